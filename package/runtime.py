"""Build the runtime: one static executable that holds the lean MicroPython and a frozen program.

`binary(MIPS32)` is the product; `binary(HOST)` is the same recipe for the machine at hand, and with `tests=True` the
unit tests are frozen in too and are its program (the runtime has no compiler, so it cannot load them from files).
"""

import shutil
import sys
from pathlib import Path

from package import kit
from package.toolchain import MIPS32, prove_mips32, toolchain

_PORT = kit.TOP / "package" / "micropython-lean"
_SOURCES = kit.TOP / "src"
_TEST_PARTS = ("unit", "mpy", "replay/replay.py")


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
        command = ["make", "-C", _PORT, "-j" + kit.JOBS, "TOP=" + str(top), "BUILD=" + str(folder), "CC=" + tools.cc,
                   "PYTHON=" + sys.executable, "MICROPY_MPYCROSS=" + str(top / "mpy-cross/build/mpy-cross"),
                   "STRIP=" + tools.tool("strip"), "SIZE=" + tools.tool("size")]
        if tests:
            command += _with_tests(folder)
        with kit.step("Building the runtime with %s for %s" % ("the unit tests" if tests else "the daemon", target)):
            # The program names its build's date and revision: the same ones always.
            kit.run(command, env={"SOURCE_DATE_EPOCH": "0", "MICROPY_GIT_TAG": top.name, "MICROPY_GIT_HASH": "-"},
                    lines=200)
        if target == MIPS32:
            prove_mips32(path)
            if not tests:
                kit.run(["qemu-mipsel", "-cpu", "4Kc", path, "--version"])

    return kit.product(path, parts, build)


def _with_tests(folder):
    """Return the words that make the unit tests the program; their names are frozen in too."""
    names = sorted(path.stem for path in (kit.TOP / "tests" / "unit").glob("test_*.py"))
    (folder / "frozen").mkdir(exist_ok=True)
    (folder / "frozen" / "unit_tests.py").write_text("NAMES = %r\n" % (names,))
    return ["FROZEN_MANIFEST=" + str(kit.TOP / "tests/mpy/manifest.py"), "MICROPY_MANIFEST_BUILD_DIR=" + str(folder),
            'CFLAGS_EXTRA=-DLEAN_PROGRAM=\'"run_unit_tests"\'']
