"""The C toolchains: musl for the build host and for MIPS32 release 1, little-endian, soft float, always static.

Debian's cross compiler can produce code for the oldest routers, but every library it comes with is MIPS32 release 2
with hard float, so the C library (musl) and the compiler's own run-time functions (libgcc: 64-bit division and
soft-float arithmetic) are built here. `prove_mips32` is the check that nothing else slipped in.
"""

from pathlib import Path

from package import kit

_CROSS = "mipsel-linux-gnu-"
# OpenWrt's flags for its mipsel_mips32 architecture; code without PIC is smaller and a static program needs none.
_MIPS32 = ["-Os", "-march=mips32", "-mtune=mips32", "-mno-branch-likely", "-msoft-float", "-mno-mips16",
           "-fno-pic", "-mabicalls", "-mno-shared", "-mplt"]

_LIBGCC2 = ("udivdi3 umoddi3 divdi3 moddi3 divmoddi4 udivmoddi4 muldi3 clz clzsi2 clzdi2 ctzsi2 ctzdi2 ffsdi2 "
            "ashldi3 ashrdi3 lshrdi3 cmpdi2 ucmpdi2 bswapsi2 bswapdi2 popcountsi2 popcountdi2 popcount_tab").split()
_SOFT_FP = ("adddf3 subdf3 muldf3 divdf3 negdf2 eqdf2 gedf2 ledf2 unorddf2 fixdfsi fixunsdfsi floatsidf floatunsidf "
            "fixdfdi fixunsdfdi floatdidf floatundidf addsf3 subsf3 mulsf3 divsf3 negsf2 eqsf2 gesf2 lesf2 unordsf2 "
            "fixsfsi fixunssfsi floatsisf floatunsisf fixsfdi fixunssfdi floatdisf floatundisf extendsfdf2 "
            "truncdfsf2").split()

HOST, MIPS32 = "host", "mips32"
_RECIPE = Path(__file__)


class Toolchain:
    """`cc` compiles and links for one target; `tool("strip")` names its binutils.

    `identity` changes with the compiler, its flags and its libraries: what is compiled depends on it.
    """

    def __init__(self, cc, prefix, identity):
        self.cc, self.prefix, self.identity = cc, prefix, identity

    def tool(self, name):
        return self.prefix + name


def toolchain(name):
    """Return the toolchain HOST or MIPS32, building its libraries on the machine's first use."""
    if name == HOST:
        return Toolchain("musl-gcc", "", compiler(""))
    musl, gcc = kit.fetch("musl"), kit.fetch("gcc-source")
    root = kit.cached("toolchain-mips32", [_RECIPE, compiler(_CROSS), musl, gcc],
                      lambda folder: _build(folder, musl, gcc))
    return Toolchain(str(root / "bin" / "mips32-cc"), _CROSS, root.name)


def compiler(prefix):
    """Return what Debian's compiler with that prefix says of its version."""
    return kit.run([prefix + "gcc", "--version"]).splitlines()[0]


def _build(root, musl, gcc):
    with kit.step("Building libgcc for MIPS32 release 1, soft float"):
        _build_libgcc(root, gcc)
    with kit.step("Building musl for MIPS32 release 1, soft float"):
        source = root / "musl"
        kit.unpack(musl, source)
        # The folder is renamed when it is complete: nothing in it may hold its present name.
        kit.run(["./configure", "--target=mipsel-linux-gnu", "--prefix=/", "--disable-shared", "--disable-wrapper",
                 "CROSS_COMPILE=" + _CROSS, "CFLAGS=" + " ".join(_MIPS32), "LIBCC=" + str(root / "lib/libgcc.a")],
                cwd=source)
        kit.run(["make", "-j" + kit.JOBS, "install", "DESTDIR=" + str(root)], cwd=source, lines=1270)
    _add_kernel_headers(root / "include")
    kit.run(["rm", "-rf", source])
    wrapper = root / "bin" / "mips32-cc"
    wrapper.parent.mkdir()
    wrapper.write_text(_WRAPPER % {"gcc": _CROSS + "gcc", "flags": " ".join(_MIPS32)})
    wrapper.chmod(0o755)


# The compiler's driver would add Debian's crt1.o, crtbegin.o, libgcc and libc: name ours instead, whenever it links.
_WRAPPER = """#!/bin/sh
# C compiler for MIPS32 release 1, little-endian, soft float, musl, static.
root=${0%%/bin/*}
link=yes
for word; do
    case $word in
    -c | -E | -S | -M | -MM | -r | -shared | -print-* | -dump* | --version | -v | -V) link= ;;
    esac
done
set -- %(flags)s -nostdinc -isystem "$root/include" -isystem "$(%(gcc)s -print-file-name=include)" "$@"
[ -n "$link" ] || exec %(gcc)s "$@"
exec %(gcc)s -static -nostdlib -L"$root/lib" "$root/lib/crt1.o" "$root/lib/crti.o" "$@" \\
    -Wl,--start-group "$root/lib/libc.a" "$root/lib/libgcc.a" -Wl,--end-group "$root/lib/crtn.o"
"""


def _build_libgcc(root, gcc):
    """Compile the functions of GCC's own libgcc that C code for this target can call."""
    source = root / "gcc"
    kit.unpack(gcc, source, "./usr/src/gcc-12/gcc-*.tar.xz")
    tar = next(source.rglob("gcc-*.tar.xz"))
    kit.unpack(tar, source / "tree", "*/libgcc/*", "*/include/*")
    libgcc, empty = source / "tree" / "libgcc", source / "empty"
    empty.mkdir()
    for name in ("tconfig.h", "tm.h", "libgcc_tm.h", "auto-host.h", "coretypes.h"):
        (empty / name).write_text("")  # what a full build generates; nothing of it is needed here
    (empty / "tsystem.h").write_text("#include <stddef.h>\n")
    (empty / "sfp-machine.h").write_text((libgcc / "config/mips/sfp-machine.h").read_text())
    cc = [_CROSS + "gcc", *_MIPS32, "-std=gnu99", "-ffreestanding", "-fbuilding-libgcc", "-DIN_LIBGCC2",
          "-DMIN_UNITS_PER_WORD=4", "-DBITS_PER_UNIT=8", "-I", empty, "-I", libgcc, "-I", libgcc / "soft-fp",
          "-I", source / "tree/include", "-c"]
    for name in _LIBGCC2:
        kit.run(cc + ["-DL_" + name, libgcc / "libgcc2.c", "-o", empty / (name + ".o")])
    for name in _SOFT_FP:
        kit.run(cc + [libgcc / "soft-fp" / (name + ".c"), "-o", empty / (name + ".o")])
    (root / "lib").mkdir()
    kit.run([_CROSS + "ar", "rcD", root / "lib/libgcc.a", *sorted(empty.glob("*.o"))])
    kit.run(["rm", "-rf", source])


def _add_kernel_headers(include):
    """Link the kernel's user-space headers (linux/, asm/, asm-generic/) beside musl's."""
    base = Path("/usr/mipsel-linux-gnu/include")
    for name in ("linux", "asm", "asm-generic", "mtd"):
        if not (base / name).is_dir():
            raise kit.Stop("the kernel's headers for mipsel are missing: run 'make setup'")
        (include / name).symlink_to(base / name)


def prove_mips32(binary):
    """Stop unless `binary` is MIPS32 release 1, little-endian, soft float and static, by its own headers."""
    headers = kit.run([_CROSS + "readelf", "-A", "-h", "-l", binary])
    for text in ("ISA: MIPS32\n", "FP ABI: Soft float\n", "little endian"):
        if text not in headers:
            raise kit.Stop("%s would not run on a WRT54G: readelf does not say '%s'" % (binary, text.strip()))
    if "INTERP" in headers:
        raise kit.Stop("%s is not static" % binary)
