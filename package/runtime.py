"""Build the runtime: one static executable that holds the lean MicroPython and a frozen program.

`binary(MIPS32)` is the product; `binary(HOST)` is the same recipe for the machine at hand, and with `tests=True` the
unit tests are frozen in too and are its program (the runtime has no compiler, so it cannot load them from files).
"""

import sys

from package import kit
from package.toolchain import MIPS32, prove_mips32, toolchain

_PORT = kit.TOP / "package" / "micropython-lean"
_SOURCES = kit.TOP / "src"


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

    return kit.cached("micropython", [archive, "2"], build)


def binary(target, tests=False):
    """Return the path of the executable for `target` (MIPS32 or HOST), built again only if a source changed."""
    tools = toolchain(target)
    folder = kit.BUILD / "runtime" / (target + ("-tests" if tests else ""))
    product = folder / "miniigd"
    parts = [_PORT, _SOURCES, kit.TOP / "package" / "toolchain.py", target]
    if tests:
        parts.append(kit.TOP / "tests" / "unit")
        parts.append(kit.TOP / "tests" / "mpy")
    if kit.is_fresh(product, parts):
        return product
    top = source()
    command = ["make", "-C", _PORT, "-j" + kit.JOBS, "TOP=" + str(top), "BUILD=" + str(folder), "CC=" + tools.cc,
               "PYTHON=" + sys.executable, "MICROPY_MPYCROSS=" + str(top / "mpy-cross/build/mpy-cross"),
               "STRIP=" + tools.tool("strip"), "SIZE=" + tools.tool("size")]
    if tests:
        names = sorted(path.stem for path in (kit.TOP / "tests" / "unit").glob("test_*.py"))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "frozen").mkdir(exist_ok=True)
        (folder / "frozen" / "unit_tests.py").write_text("NAMES = %r\n" % (names,))
        command += ["FROZEN_MANIFEST=" + str(kit.TOP / "tests/mpy/manifest.py"),
                    "MICROPY_MANIFEST_BUILD_DIR=" + str(folder),
                    'CFLAGS_EXTRA=-DLEAN_PROGRAM=\'"run_unit_tests"\'']
    with kit.step("Building the runtime with %s for %s" % ("the unit tests" if tests else "the daemon", target)):
        kit.run(command, lines=200)
    if target == MIPS32:
        prove_mips32(product)
        kit.run(["qemu-mipsel", "-cpu", "4Kc", product, "--version"] if not tests else ["true"])
    kit.made(product, parts)
    return product
