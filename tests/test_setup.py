"""What goes wrong on somebody's machine is said in one line that tells what to do, and the status is not 0."""

import os
import subprocess
import sys

import pytest

from package import kit

FETCH = "import sys; from package import kit\ntry: kit.fetch('netbase')\nexcept kit.Stop as stop: sys.exit(str(stop))"
CHECK = ("import sys; from package import kit; from qemu import lab\n"
         "try: lab.check_preconditions()\nexcept kit.Stop as stop: sys.exit(str(stop))")


def python(code, *prefix, **environment):
    """Run `code` in another Python at the tree's top, behind the command line `prefix`."""
    return subprocess.run([*prefix, sys.executable, "-B", "-c", code], cwd=kit.TOP, capture_output=True, text=True,
                          timeout=120, env=dict(os.environ, PYTHONPATH=str(kit.TOP), **environment))


def test_no_network(tmp_path):
    result = python(FETCH, "unshare", "--net", MINIIGD_CACHE=str(tmp_path))
    assert result.returncode == 1
    assert "cannot download netbase" in result.stderr and "check the network" in result.stderr
    assert "Traceback" not in result.stderr and "http" not in result.stderr


def test_wrong_checksum(tmp_path):
    name = kit.fetch("netbase").name
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / name).write_bytes(b"something else")
    result = python(FETCH, MINIIGD_CACHE=str(tmp_path))
    assert result.returncode == 1 and "is not the file that package/setup/downloads.txt pins" in result.stderr
    assert not (tmp_path / "downloads" / name).exists()
    assert python(FETCH, MINIIGD_CACHE=str(tmp_path)).returncode == 0  # fetched again, and right


def test_not_root():
    if os.geteuid() != 0:
        pytest.fail("run the tests as root")
    # everything is imported first: nobody may not even read the tree
    result = python("import os\nfrom qemu import lab\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n" + CHECK)
    assert result.returncode == 1 and "sudo" in result.stderr and "Traceback" not in result.stderr


def test_no_tun_device():
    hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh"]
    result = python(CHECK, *hidden)
    assert result.returncode == 1 and "/dev/net/tun" in result.stderr and "modprobe tun" in result.stderr


def test_a_program_that_fails_ends_in_one_line_and_a_log():
    with pytest.raises(kit.Stop) as stop:
        kit.run(["sh", "-c", "echo what went wrong; exit 3"])
    assert "failed with status 3" in str(stop.value)
    assert "what went wrong" in (kit.BUILD / "failed.log").read_text()
