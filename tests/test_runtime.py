"""The unit tests again, on the lean runtime: built for this machine, and for the router's CPU under qemu-mipsel."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from package import runtime
from package.toolchain import HOST, MIPS32, toolchain

TOP = Path(__file__).resolve().parent.parent
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


@pytest.mark.parametrize("target", COMMANDS)
def test_the_executable_has_no_shell_and_no_way_to_one(target):
    """execve, with the words of one list, is the only way to another program that the linker took in."""
    binary = Path(runtime.binary(target))
    assert not [word for word in (b"/bin/sh", b"sh\0-c\0") if word in binary.read_bytes()]
    linked = set(re.findall(r"libc\.a\((\w+)\.l?o\)", Path(str(binary) + ".map").read_text()))
    assert "execve" in linked or target == MIPS32
    assert not linked & {"system", "popen", "wordexp", "execl", "execle", "execlp", "execvp", "posix_spawn", "fork", "vfork"}


def test_the_c_library_gives_no_system_call_on_mips():
    """kernel.c has them: whatever else is used of the C library would bring its own along (and some KB of flash)."""
    linker_map = Path(str(runtime.binary(MIPS32)) + ".map").read_text()
    kept = set(re.findall(r"(?m)^ \.text\S*\s+0x0*[1-9a-f][0-9a-f]*\s+0x[1-9a-f]\S*\s\S*libc\.a\((\w+)\.o\)$", linker_map))
    assert "memcmp" in kept and kept <= {"htonl", "memchr", "memcmp", "setjmp", "strlen", "strncmp"}


# The memory functions of kernel.c at each length and place around their steps, against a byte at a time; and getenv.
MEMORY = """#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static unsigned char before[256], after[256], wanted[256];
static void fill(void) { for (int i = 0; i < 256; i++) before[i] = after[i] = wanted[i] = i * 7 + 1; }
int main(int count, char **words) {
    for (int length = 0; length < 70; length++) for (int from = 64; from < 72; from++) for (int to = 0; to < 150; to++) {
        fill();
        for (int i = 0; i < length; i++) wanted[to + i] = before[from + i];
        if (memmove(after + to, after + from, length) != after + to || memcmp(after, wanted, 256)) return 1;
        if (to >= from + length || to + length <= from) {
            memcpy(after, before, 256);
            if (memcpy(after + to, after + from, length) != after + to || memcmp(after, wanted, 256)) return 2;
        }
        fill();
        for (int i = 0; i < length; i++) wanted[to + i] = 0x85;
        if (memset(after + to, 0x185, length) != after + to || memcmp(after, wanted, 256)) return 3;
    }
    const char *text = "a:b";
    if (strchr(text, 'b') != text + 2 || strchr(text, 'c') || strchr(text, 0) != text + 3) return 4;
    if (count != 2 || strcmp(words[1], "word") || strcmp(getenv("KEY"), "value") || getenv("KE")) return 5;
    return write(99, "", 1) == -1 && lseek(99, 0, SEEK_SET) == -1 ? 77 : 6;
}
"""


def test_the_runtimes_own_memory_functions(tmp_path):
    (tmp_path / "memory.c").write_text(MEMORY)
    subprocess.run([toolchain(MIPS32).cc, "-fno-builtin", "-Wno-attributes", "-D_FILE_OFFSET_BITS=64", "-D_GNU_SOURCE", "-o",
                    tmp_path / "memory", tmp_path / "memory.c", TOP / "package/micropython-lean/kernel.c"], check=True)
    result = subprocess.run([*COMMANDS[MIPS32], tmp_path / "memory", "word"], env={"KEY": "value", "PATH": os.environ["PATH"]})
    assert result.returncode == 77


KEEP = """import sys
from miniigd.compat import keep_capabilities, run_program
print(keep_capabilities(int(sys.argv[1])))
print(open("/proc/self/status").read())
print(run_program(["cat", "/proc/self/status"], b"")[1].decode())
"""
SOURCE = TOP / "src"


@pytest.mark.parametrize("target", [None, *COMMANDS])
def test_capabilities_are_given_up_for_good_and_for_programs_too(target):
    """None: CPython. Each in a process of its own, which no later test gets them from."""
    if target is None:
        command = [sys.executable, "-c", KEEP]
    else:
        command = [*COMMANDS[target], str(runtime.binary(target, tests=True)), "keep"]
    mine = {key: int(value, 16) for key, value in re.findall(r"(Cap\w+):\s+(\w+)", Path("/proc/self/status").read_text())}
    for mask in 1 << 12, 1 << 12 | 1 << 13, 0:
        done = subprocess.run([*command, str(mask)], capture_output=True, text=True, env=os.environ | {
            "PYTHONPATH": str(SOURCE)})
        refused = int(done.stdout.split()[0])
        found = re.findall(r"(Cap\w+|NoNewPrivs):\s+(\w+)", done.stdout)
        left, program = dict(found[:len(found) // 2]), dict(found[len(found) // 2:])
        assert len(left) == 6 and left.keys() == program.keys(), done
        is_bounded = mine["CapEff"] >> 8 & 1  # CAP_SETPCAP: without it nobody changes the bounding set
        assert refused == (0 if is_bounded else 2)
        for each in left, program:
            assert each["NoNewPrivs"] == "1"
            assert int(each["CapInh"], 16) == int(each["CapAmb"], 16) == 0
            assert int(each["CapBnd"], 16) == mine["CapBnd"] & (mask if is_bounded else -1)
        assert int(left["CapEff"], 16) == int(left["CapPrm"], 16) == mine["CapPrm"] & mask
        # What root starts has what the bounding set and no_new_privs leave.
        assert int(program["CapEff"], 16) == int(program["CapPrm"], 16) == (
            mine["CapPrm"] & mask if os.geteuid() == 0 else 0)


# A network of its own for tests/mpy/full_heap.py, and a /var/run: the daemon serves the loopback interface there. A
# LAN host's IPv6 address is one that everything in the prefix stands for.
NETWORK = """
set -e
mount -t tmpfs none /run
ip link set lo up
ip link add wan0 type veth peer name wan1
ip addr add 81.2.69.160/24 dev wan0
ip link set wan0 up
ip link set wan1 up
echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind
ip -6 addr del ::1/128 dev lo
ip -6 addr add 2001:db8::1/64 dev lo nodad
ip -6 route add local 2001:db8::/64 dev lo
exec "$@"
"""


def run_daemon(*words, timeout=600):
    """Run full_heap.py with these arguments; return what it says."""
    result = subprocess.run(["unshare", "--net", "--mount", "sh", "-c", NETWORK, "sh", runtime.binary(HOST, tests=True),
                             *words], capture_output=True, text=True, timeout=timeout)
    print(result.stdout + result.stderr)
    assert "please report" not in result.stderr
    assert result.returncode == 0, result.stdout
    return result.stdout


def test_memory_that_runs_out_costs_one_request():
    """At every 31st allocation of each kind of request; all of them take half an hour."""
    found = re.findall(r"^(\w+): (\d+) places, (\d+) descriptors lost$", run_daemon("full-heap", "1", "31"), re.M)
    assert len(found) == 16 and sum(int(places) for _, places, _ in found) > 200
    # MicroPython makes the objects of sockets behind their descriptors, which are lost where there is no room for them.
    assert sum(int(lost) for _, _, lost in found) <= 20


def test_memory_does_not_grow():
    """The bytes in use after N and after 10 N requests of all kinds are the same."""
    first, second = re.findall(r"(\d+) bytes after", run_daemon("growth", "5"))
    assert int(second) <= int(first) + 256
