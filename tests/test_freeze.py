"""What package/micropython-lean/freeze.py makes of the program: names without a text, and lists that say which."""

import re
import subprocess

from package import ipk, kit, runtime
from package.toolchain import HOST, MIPS32


def _names(path):
    return dict(line.split(" ", 1) for line in path.read_text().splitlines() if line.startswith("#"))


def test_each_number_stands_for_one_name():
    names = _names(runtime.binary(HOST).parent / "names.txt")
    assert len(names) > 1000 and len(set(names.values())) == len(names)
    for number, name in names.items():
        assert re.fullmatch("#[1-9][0-9]*", number) and re.fullmatch(r"[A-Za-z_]\w*", name), (number, name)


def test_a_name_without_a_text_is_shown_by_its_number():
    binary = runtime.binary(HOST, tests=True)
    failed = subprocess.run([binary, "replay", "/nonexistent"], capture_output=True, text=True)
    assert failed.returncode == 1, failed
    names = _names(binary.parent / "names.txt")
    shown = re.findall(r"(?m)^  File .* in (#\d+)$", failed.stderr)
    assert [names[number] for number in shown] == ["main"], failed.stderr


def test_the_line_of_a_function_without_lines_is_its_place_in_the_list():
    binary = runtime.binary(HOST, tests=True)
    failed = subprocess.run(["unshare", "--net", binary, "full-heap"], capture_output=True, text=True)
    assert failed.returncode == 1, failed
    path, line = re.search(r'(?m)^  File "(miniigd/.*)", line (\d+)$', failed.stderr).groups()
    places = [words for _, *words in (
        text.split(" ") for text in (binary.parent / "names.txt").read_text().splitlines() if text.startswith("line"))]
    found = max((int(place), at, name) for place, at, name in places if int(place) <= int(line))
    assert (path, *found[1:]) == ("miniigd/supervisor.py", "miniigd/supervisor.py", "Supervisor.run")


def test_what_strings_and_c_find_keeps_its_name():
    kept = set(_names(runtime.binary(HOST).parent / "names.txt").values())
    # methods that C calls, attributes of C modules, options (config.py sets them by name), modules, an exception
    for name in ("__init__", "fileno", "SIGTERM", "upnp_port", "enabled", "gateway", "firewall", "FirewallError"):
        assert name not in kept, name
    assert "add_port_mapping" in kept


def test_functions_that_nothing_names_are_left_out_and_no_others():
    rules = (runtime.binary(HOST).parent / "frozen" / "unused.sed").read_text()
    for name in ("format", "rsplit", "union", "StringIO"):
        assert "(MP_QSTR_%s)" % name in rules, name
    # what the daemon calls, what C calls, and what is counted in objstr.c
    for name in ("partition", "sorted", "property", "OSError", "__exit__", "close", "write", "append", "encode"):
        assert "(MP_QSTR_%s)" % name not in rules, name
    tests = (runtime.binary(HOST, tests=True).parent / "frozen" / "unused.sed").read_text()
    assert "(MP_QSTR_StringIO)" not in tests and "(MP_QSTR_format)" in tests


def test_the_package_brings_its_list_and_every_target_has_the_same():
    package = ipk.ipk()
    names = package.with_suffix(".names").read_text()
    assert names == (runtime.binary(MIPS32).parent / "names.txt").read_text() == (
        runtime.binary(HOST).parent / "names.txt").read_text()
    assert package.parent == kit.BUILD
