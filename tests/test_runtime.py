"""The unit tests again, on the lean runtime: built for this machine, and for the router's CPU under qemu-mipsel."""

import subprocess

import pytest

from package import runtime
from package.toolchain import HOST, MIPS32

COMMANDS = {HOST: [], MIPS32: ["qemu-mipsel", "-cpu", "4Kc"]}  # 4Kc: release 1, like a WRT54G


@pytest.mark.parametrize("target", COMMANDS)
def test_unit_tests_pass_on_the_lean_runtime(target):
    result = subprocess.run([*COMMANDS[target], runtime.binary(target, tests=True)], capture_output=True, text=True,
                            timeout=300)
    print(result.stdout + result.stderr)
    assert result.returncode == 0, result.stderr
    passed, failed = (int(word) for word in result.stdout.replace(",", "").split() if word.isdigit())
    assert passed > 0 and failed == 0


@pytest.mark.parametrize("target", COMMANDS)
def test_the_product_says_its_version_and_refuses_a_wrong_command_line(target):
    binary = runtime.binary(target)
    command = [*COMMANDS[target], str(binary)]
    assert subprocess.run([*command, "--version"], capture_output=True, text=True).stdout.startswith("miniigd ")
    wrong = subprocess.run([*command, "-x"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "unknown option -x" in wrong.stderr and "usage:" in wrong.stderr
    assert "Traceback" not in wrong.stderr


@pytest.mark.parametrize("target", COMMANDS)
def test_the_product_takes_commands(target):
    command = [*COMMANDS[target], str(runtime.binary(target))]
    for words, status, expected in (("version", 0, "miniigd 0."), ("help", 0, "usage: miniigd status"),
                                    ("pause soon", 2, "MINUTES is a number"), ("open 8000", 2, "unknown command open"),
                                    ("status", 3, "the daemon is not running")):
        result = subprocess.run([*command, *words.split()], capture_output=True, text=True)
        assert result.returncode == status and expected in result.stdout + result.stderr, (words, result)
        assert "Traceback" not in result.stderr and bool(result.stdout) == (status == 0)
