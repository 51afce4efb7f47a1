"""The `wrt` router's parts, made from source: a Linux 6.1 kernel, busybox and iptables for a WRT54G's processor.

A WRT54G is a MIPS32 release 1 machine without an FPU and with 16 MB of RAM. No distribution's binaries run on one,
so these three are built here, with as little in them as such a router has. They are only made here: the root file
system is put together, and booted, elsewhere.

    image = wrt.kernel()    # for qemu-system-mipsel -M malta -cpu 4KEcR1 -m 16 -kernel
    shell = wrt.busybox()   # static; every applet is this one file under another name
    rules = wrt.iptables()  # static; iptables-restore, ip6tables and so on are this one file under another name
"""

import re
from pathlib import Path

from package import kit
from package.toolchain import MIPS32, compiler, prove_mips32, toolchain

_HERE = Path(__file__).resolve().parent / "wrt"
_CROSS = "mipsel-linux-gnu-"
# Neither time nor place of the build may be in a product: the same sources give the same bytes.
_ANONYMOUS = {"KBUILD_BUILD_TIMESTAMP": "1970-01-01", "KBUILD_BUILD_USER": "miniigd", "KBUILD_BUILD_HOST": "build",
              "SOURCE_DATE_EPOCH": "0"}
# iptables' extensions: those that OpenWrt's own has built in, less CT and set. NAT is DNAT, SNAT, MASQUERADE and
# REDIRECT; conntrack is state too.
_EXTENSIONS = "standard tcp udp comment conntrack limit mac mark multiport time LOG MARK NAT TCPMSS"
_EXTENSIONS_IPV4 = "icmp REJECT"
_EXTENSIONS_IPV6 = "icmp6 REJECT"


def kernel():
    """Return the kernel: a stripped ELF file with everything built in, no modules."""
    archive, fragment = kit.fetch("linux-source"), _HERE / "kernel.config"
    make = ["make", "ARCH=mips", "CROSS_COMPILE=" + _CROSS, "-j" + kit.JOBS]

    def build(folder):
        source = folder / "source"
        with kit.step("Building the wrt router's kernel (some minutes, once on a machine)"):
            kit.unpack(archive, folder / "deb", "./usr/src/linux-source-6.1.tar.xz")
            kit.unpack(folder / "deb/usr/src/linux-source-6.1.tar.xz", source)
            kit.run(make + ["KCONFIG_ALLCONFIG=" + str(fragment), "allnoconfig"], cwd=source, env=_ANONYMOUS)
            _check_config(fragment, source / ".config")
            kit.run(make + ["vmlinux"], cwd=source, env=_ANONYMOUS, lines=1420)
            _strip(source / "vmlinux", folder / "vmlinux")
            kit.run(["rm", "-rf", source, folder / "deb"])

    return kit.cached("wrt-kernel", [fragment, archive, compiler(_CROSS), "1"], build) / "vmlinux"


def busybox():
    """Return busybox, with the applets that busybox.config lists."""
    archive, fragment, tools = kit.fetch("busybox"), _HERE / "busybox.config", toolchain(MIPS32)
    make = ["make", "CC=" + tools.cc, "AR=" + tools.tool("ar"), "STRIP=" + tools.tool("strip"), "-j" + kit.JOBS]

    def build(folder):
        source = folder / "source"
        with kit.step("Building busybox for the wrt router"):
            kit.unpack(archive, source)
            kit.run(["make", "allnoconfig"], cwd=source)
            # Its Kconfig has no working KCONFIG_ALLCONFIG: put our lines in place of its own, say no to the rest.
            ours = fragment.read_text()
            kept = [line for line in (source / ".config").read_text().splitlines()
                    if not set(re.findall(r"CONFIG_\w+", line)) & set(re.findall(r"CONFIG_\w+", ours))]
            (source / ".config").write_text("\n".join(kept) + "\n" + ours)
            kit.run(["make", "oldconfig"], cwd=source, input="n\n" * 3000)
            _check_config(fragment, source / ".config")
            kit.run(make + ["busybox"], cwd=source, env=_ANONYMOUS, lines=540)
            _finish(source / "busybox", folder / "busybox")
            # A floating-point instruction, or one of release 2, would kill it here.
            if _emulate(folder / "busybox", "awk", "BEGIN { print 1.5 * 3 }") != "4.5\n":
                raise kit.Stop("busybox computes 1.5 * 3 wrongly: is the soft-float arithmetic in libgcc complete?")
            kit.run(["rm", "-rf", source])

    return kit.cached("wrt-busybox", [fragment, archive, tools.identity, "1"], build) / "busybox"


def iptables():
    """Return iptables: one file that is iptables, ip6tables and their -restore and -save by the name it is called by."""
    archive, tools = kit.fetch("iptables-source"), toolchain(MIPS32)
    options = ["--host=mipsel-linux-gnu", "--prefix=/usr", "--disable-shared", "--enable-static", "--disable-nftables",
               "--disable-connlabel", "--disable-dependency-tracking",
               "--with-xt-lock-name=/var/run/xtables.lock",  # where OpenWrt has it
               "CFLAGS=-ffunction-sections -fdata-sections", "LDFLAGS=-Wl,--gc-sections"]
    # Without these lines its makefile takes all there are, and the program is nearly twice as large.
    extensions = ["pfx_build_mod=" + _EXTENSIONS, "pf4_build_mod=" + _EXTENSIONS_IPV4,
                  "pf6_build_mod=" + _EXTENSIONS_IPV6]
    env = {"PKG_CONFIG": "false"}  # the build host's libraries must not be found

    def build(folder):
        source = folder / "source"
        with kit.step("Building iptables for the wrt router"):
            kit.unpack(archive, source)
            kit.run(["./configure", *options, "CC=" + tools.cc], cwd=source, env=env)
            kit.run(["make", "-j" + kit.JOBS, *extensions], cwd=source, env=env)
            _finish(source / "iptables/xtables-legacy-multi", folder / "iptables")
            # An extension prints its own help, so one that is not inside fails here.
            for option in "--version", "-h", "-mconntrack -h", "-jDNAT -h", "-jREJECT -h":
                _emulate(folder / "iptables", *option.split())
            (folder / "ip6tables").symlink_to("iptables")
            for option in "--version", "-micmp6 -h", "-jREJECT -h":
                _emulate(folder / "ip6tables", *option.split())
            kit.run(["rm", "-rf", source])

    parts = [archive, tools.identity, *options, *extensions, "1"]
    return kit.cached("wrt-iptables", parts, build) / "iptables"


def _check_config(fragment, config):
    """Stop when Kconfig dropped a line: it does so silently where something that the option needs is missing."""
    found = set(config.read_text().splitlines())
    dropped = [line for line in fragment.read_text().splitlines() if line.startswith("CONFIG_") and line not in found]
    if dropped:
        raise kit.Stop("%s asks for what its Kconfig refuses: %s" % (fragment.name, " ".join(dropped)))


def _strip(source, target):
    kit.run([_CROSS + "strip", "-s", "-R", ".comment", source, "-o", target])


def _finish(source, target):
    """Strip a program and prove that the router can run it."""
    _strip(source, target)
    target.chmod(0o755)
    prove_mips32(target)


def _emulate(program, *words):
    """Run a program on an emulated 4Kc, which has no FPU and knows release 1 only; return what it printed."""
    return kit.run(["qemu-mipsel", "-cpu", "4Kc", program, *words])
