"""Build the runtime: one static executable that holds the lean MicroPython and a frozen program.

`binary(MIPS32)` is the product; `binary(HOST)` is the same recipe for the machine at hand. With `tests=True` the unit
tests are frozen in too and are its program (the runtime has no compiler, so it cannot load them from files);
`fuzzed()` has the fuzz targets for a program, and the C compiler's sanitizers look at every step; `probed()` counts
where its time goes.
"""

import shutil
import sys
from pathlib import Path

from package import kit
from package.toolchain import MIPS32, compiler, prove_mips32, toolchain

_PORT = kit.TOP / "package" / "micropython-lean"
_SOURCES = kit.TOP / "src"
_TEST_PARTS = ("unit", "mpy", "replay/replay.py")
_FUZZ_PARTS = ("unit/helpers.py", "replay/replay.py", "fuzz/manifest.py", "fuzz/run_fuzz.py", "fuzz/targets.py")
_PROBE = kit.TOP / "tests" / "bench" / "probe"
# What the probe stands around.
_PROBED = ("mp_execute_bytecode gc_alloc gc_collect poll accept close shutdown setsockopt fcntl recv recvfrom send sendto "
           "open read write rename").split()
# MicroPython itself gives memcpy and its like null pointers with a length of zero.
_SANITIZERS = "-fsanitize=address,undefined -fno-sanitize=nonnull-attribute -fno-sanitize-recover=undefined"


def source():
    """MicroPython's source tree, with its cross compiler built."""
    archive = kit.fetch("micropython")

    def build(folder):
        kit.unpack(archive, folder)
        # Debian's archive leaves the submodules out; the manifest tool wants to see this one, empty is enough.
        readme = folder / "lib" / "micropython-lib" / "README.md"
        readme.parent.mkdir(parents=True, exist_ok=True)
        readme.write_text("")
        with kit.step("Building MicroPython's cross compiler"):
            kit.run(["make", "-C", folder / "mpy-cross", "-j" + kit.JOBS, "PYTHON=" + sys.executable], lines=190)

    return kit.cached("micropython", [archive, "3"], build)


# The SCPD documents are made once and for all: on the router that would take longer than all the rest of an answer.
_SCPD = """
from miniigd import description, scpd
device = description.Device("00000000-0000-0000-0000-000000000000", is_ppp=True)
found = {}
for version in device.versions:
    for services in device.device_services(version):
        for service in services:
            found[service.type] = scpd.document(service)
print("_DOCUMENTS = %r" % found)
print()
print()
print("def document(service):")
print("    return _DOCUMENTS[service.type]")
"""


def _stage(folder):
    """Copy the daemon's source to a build folder, with what is made ahead in it."""
    shutil.rmtree(folder / "src", ignore_errors=True)
    shutil.copytree(_SOURCES, folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    made = kit.run([sys.executable, "-B", "-c", _SCPD], env={"PYTHONPATH": str(_SOURCES)})
    (folder / "src" / "miniigd" / "scpd.py").write_text(made)


def _make(top, folder, words):
    _stage(folder)
    command = ["make", "-C", _PORT, "-j" + kit.JOBS, "TOP=" + str(top), "BUILD=" + str(folder),
               "PYTHON=" + sys.executable, "MICROPY_MPYCROSS=" + str(top / "mpy-cross/build/mpy-cross"),
               "MICROPY_MANIFEST_BUILD_DIR=" + str(folder), *words]
    # The program names its build's date and revision: the same ones always.
    kit.run(command, env={"SOURCE_DATE_EPOCH": "0", "MICROPY_GIT_TAG": top.name, "MICROPY_GIT_HASH": "-"}, lines=200)


def _tool_words(tools):
    """Return the words that name a toolchain's programs to make."""
    return ["CC=" + tools.cc, "STRIP=" + tools.tool("strip"), "SIZE=" + tools.tool("size")]


def binary(target, tests=False):
    """Return the path of the executable for `target` (MIPS32 or HOST), built again only if a source changed."""
    tools, top = toolchain(target), source()
    folder = kit.BUILD / "runtime" / (target + ("-tests" if tests else ""))
    path = folder / "miniigd"
    # make does not see a change of these: everything is compiled anew then
    basis = [_PORT, Path(__file__), tools.identity, top.name]
    parts = basis + [_SOURCES] + ([kit.TOP / "tests" / one for one in _TEST_PARTS] if tests else [])

    def build():
        basis_file, key = folder / "basis", kit.digest(basis)
        if not basis_file.exists() or basis_file.read_text() != key:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            basis_file.write_text(key)
        words = _tool_words(tools)
        if tests:
            words += _with_tests(folder)
        with kit.step("Building the runtime with %s for %s" % ("the unit tests" if tests else "the daemon", target)):
            _make(top, folder, words)
        if target == MIPS32:
            prove_mips32(path)
            if not tests:
                kit.run(["qemu-mipsel", "-cpu", "4Kc", path, "--version"])

    return kit.product(path, parts, build)


def fuzzed():
    """Return the path of the executable for HOST that runs the fuzz targets under AddressSanitizer and UBSan."""
    top, folder = source(), kit.BUILD / "runtime" / "host-fuzz"
    path = folder / "miniigd"
    parts = [_PORT, _SOURCES, Path(__file__), compiler(""), top.name, *(kit.TOP / "tests" / one for one in _FUZZ_PARTS)]

    def build():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with kit.step("Building the runtime with the fuzz targets and sanitizers"):
            _make(top, folder, ["CC=gcc", "STRIP=true", "SIZE=true", "STATIC=", "LTO=",
                                "FROZEN_MANIFEST=" + str(kit.TOP / "tests/fuzz/manifest.py"), "LDFLAGS_EXTRA=" + _SANITIZERS,
                                "CFLAGS_EXTRA=%s -g -DLEAN_LINES=1 -DLEAN_PROGRAM='\"run_fuzz\"'" % _SANITIZERS])

    return kit.product(path, parts, build)


def probed():
    """Return the path of the daemon for MIPS32 that counts where its time goes (tests/bench/probe); never for a router."""
    tools, top = toolchain(MIPS32), source()
    folder = kit.BUILD / "runtime" / "mips32-probe"
    path = folder / "miniigd"
    parts = [_PORT, _SOURCES, Path(__file__), _PROBE, tools.identity, top.name]

    def build():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with kit.step("Building the runtime with the probe"):
            _make(top, folder, _tool_words(tools) + [
                "USER_C_MODULES=" + str(_PROBE), "LTO=",  # or the linker would see no calls
                "LDFLAGS_EXTRA=" + " ".join("-Wl,--wrap=" + name for name in _PROBED)])

    return kit.product(path, parts, build)


def _with_tests(folder):
    """Return the words that make the unit tests the program; their names are frozen in too."""
    names = sorted(path.stem for path in (kit.TOP / "tests" / "unit").glob("test_*.py"))
    (folder / "frozen").mkdir(exist_ok=True)
    (folder / "frozen" / "unit_tests.py").write_text("NAMES = %r\n" % (names,))
    return ["LEAN_TESTS=1", "FROZEN_MANIFEST=" + str(kit.TOP / "tests/mpy/manifest.py"),
            'CFLAGS_EXTRA=-DLEAN_LINES=1 -DLEAN_PROGRAM=\'"run_unit_tests"\'']
