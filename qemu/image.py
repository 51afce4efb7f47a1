"""The disk image of the emulated router: a read-only squashfs root, its kernel and a tiny initramfs.

Three models share the router's own files (qemu/rootfs) and the way they boot:

- `debian`: Debian's mipsel kernel, busybox, nft, iptables and the incumbent miniupnpd, ready made; 128 MB.
- `wrt`: kernel and programs built for MIPS32 release 1, soft float (qemu/wrt.py); a WRT54G's 16 MB.
- `bare`: the same machine as a release of 2006 (qemu/bare): settings in nvram, neither uci nor procd nor rc.common, a
  firewall that is chains for users and nothing else.

As on OpenWrt the root is a compressed squashfs and what is written lives in an overlay, here a tmpfs; every boot
starts from the same bytes.

    image = image.image("debian")  # made on first use and when an input changed
    image.kernel, image.initrd, image.disk, image.cpu, image.memory, image.append
"""

import gzip
import lzma
import re
import shutil
import struct
import tempfile
from collections import namedtuple
from pathlib import Path

from package import kit

MODELS = ("debian", "wrt", "bare")
Image = namedtuple("Image", "model kernel initrd disk cpu memory append")

_HERE = Path(__file__).resolve().parent
_ROOTFS = _HERE / "rootfs"
_BARE = _HERE / "bare"  # laid over it, where these are taken away
_NOT_BARE = ("etc/config", "etc/rc.common", "etc/rc.d", "lib/functions", "lib/functions.sh", "sbin/reload_config",
             "usr/libexec/instance")
_KERNEL_BASE = 0x80100000  # where a Malta kernel is linked to run
# norandmaps: a program that is always at the same addresses is translated once (and times are comparable).
# nokaslr: else the kernel moves itself by up to 16 MB, which small memories do not have.
_APPEND = "console=ttyS0,115200 panic=-1 nokaslr norandmaps rdinit=/init"
_MACHINES = {"debian": ("24Kc", 128), "wrt": ("4KEcR1", 16), "bare": ("4KEcR1", 16)}

_PACKAGES = """
    linux-image busybox-static libc6 libgcc-s1 nft libnftables1 libedit2 libtinfo6 libbsd0 libmd0 libjansson4 libgmp10
    libmnl0 libnftnl11 iptables libxtables12 libip4tc2 libip6tc2 libnetfilter-conntrack3 libnfnetlink0 netbase
    miniupnpd-nftables miniupnpd-iptables""".split()
_LIBRARY_PACKAGES = [name for name in _PACKAGES if name.startswith("lib") and name != "libc6"]
_LIBC = ("ld.so.1 libc.so.6 libm.so.6 libpthread.so.0 libdl.so.2 librt.so.1 libresolv.so.2 libnss_files.so.2 "
         "libnss_dns.so.2").split()
# What they depend on comes along, except crc32c_generic, which libcrc32c asks for by what it does.
_BOOT_MODULES = "virtio_pci virtio_blk squashfs overlay".split()  # without these there is no root
_MODULES = """
    virtio_net bridge crc32c_generic
    nf_tables nft_compat nft_chain_nat nft_nat nft_masq nft_ct nft_redir nft_log nft_limit nft_reject nft_reject_inet
    nft_fib_inet nft_numgen nft_hash nft_objref nft_quota nf_conntrack_netlink
    ip_tables iptable_filter iptable_nat iptable_mangle xt_nat xt_conntrack xt_tcpudp xt_MASQUERADE xt_REDIRECT
    xt_comment xt_multiport xt_mark xt_limit nf_log_syslog xt_LOG ipt_REJECT xt_addrtype
    ip6_tables ip6table_filter ip6t_REJECT""".split()
_IPTABLES = "iptables iptables-restore iptables-save ip6tables ip6tables-restore ip6tables-save".split()
# Where scripts that name a path expect these; everything else is found in /bin.
_LINKS = {"sbin/init": "../bin/busybox", "sbin/start-stop-daemon": "../bin/busybox", "usr/bin/env": "../../bin/busybox",
          "usr/bin/logger": "../../bin/busybox"}

_INIT = """#!/bin/sh
# Make the root: the squashfs below, a tmpfs above, as OpenWrt's preinit does on a router without a data partition.
mount -t devtmpfs devtmpfs /dev
for module in %(modules)s; do
    insmod /modules/$module.ko
done
mount -t squashfs -o ro /dev/vda /rom && mount -t tmpfs tmpfs /overlay && mkdir /overlay/upper /overlay/work &&
    mount -t overlay -o lowerdir=/rom,upperdir=/overlay/upper,workdir=/overlay/work overlay /root &&
    mount -o bind /rom /root/rom && mount -o bind /overlay /root/overlay && umount /rom /overlay || exit 1
mount -t devtmpfs devtmpfs /root/dev
exec switch_root /root /sbin/init
"""


def image(model):
    """Return the Image of `model`, making it when it is missing or one of its inputs changed."""
    if model not in MODELS:
        raise kit.Stop("there is no router model '%s': take %s" % (model, " or ".join(MODELS)))
    folder = kit.BUILD / "image" / model
    cpu, memory = _MACHINES[model]
    result = Image(model, folder / "kernel.elf", folder / "initramfs", folder / "root.squashfs", cpu, memory, _APPEND)
    inputs = {name: kit.fetch(name) for name in _PACKAGES} if model == "debian" else _wrt_inputs()

    def build():
        with kit.step("Making the image of the %s router" % model):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            with tempfile.TemporaryDirectory(prefix="root.", dir=folder) as work:
                _make(result, inputs, Path(work))

    kit.product(result.disk, [Path(__file__), _ROOTFS, _BARE, *inputs.values()], build)
    return result


def _wrt_inputs():
    from qemu import wrt  # only here: the debian model needs none of what it builds
    return {"kernel": wrt.kernel(), "busybox": wrt.busybox(), "iptables": wrt.iptables()}


def _make(result, inputs, work):
    root, modules, order = work / "root", work / "modules", []
    shutil.copytree(_ROOTFS, root, symlinks=True)
    for name in "proc sys dev tmp rom overlay root mnt bin sbin lib usr/bin usr/sbin usr/lib etc/nftables.d".split():
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "var").symlink_to("tmp")
    # firewall4 where there is nft, firewall3 on the older router, neither on the oldest
    for name, model in ("fw4", "debian"), ("fw3", "wrt"):
        if result.model != model:
            (root / "sbin" / name).unlink()
    if result.model == "bare":
        for name in _NOT_BARE:
            shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()
        shutil.copytree(_BARE, root, symlinks=True, dirs_exist_ok=True)
    if result.model == "debian":
        order = _install_debian(inputs, root, modules, work)
        kernel = next((work / "linux-image/boot").glob("vmlinuz-*")).read_bytes()
        result.kernel.write_bytes(_elf(kernel))
    else:
        shutil.copy(inputs["busybox"], root / "bin/busybox")
        for name in _IPTABLES:
            (root / "usr/sbin" / name).symlink_to("xtables-legacy-multi")
        shutil.copy(inputs["iptables"], root / "usr/sbin/xtables-legacy-multi")
        shutil.copy(inputs["kernel"], result.kernel)
    _link_applets(root)
    kit.run(["mksquashfs", root, result.disk, "-comp", "xz", "-b", "256K", "-all-root", "-no-xattrs", "-noappend",
             "-no-progress", "-all-time", "0", "-mkfs-time", "0"])
    init = _INIT % {"modules": " ".join(order)}
    result.initrd.write_bytes(gzip.compress(_initramfs(init, root / "bin/busybox", modules, order), 6, mtime=0))


def _install_debian(inputs, root, modules, work):
    """Copy what runs from Debian's packages; return the names of the modules that are needed to find the root."""
    for name, archive in inputs.items():
        kit.unpack(archive, work / name)
    libraries = root / "lib"
    for name in _LIBRARY_PACKAGES:
        for path in (work / name).rglob("lib*.so.*"):
            if path.name.count(".so.") and not path.is_dir():
                _copy(path, libraries / path.name)
    for name in _LIBC:
        _copy(next(path for path in (work / "libc6").rglob(name) if not path.is_symlink()), libraries / name)
    # The loader looks for libraries where it was built to: let that lead to the one place there is.
    for folder in (root / "lib/mipsel-linux-gnu", root / "usr/lib/mipsel-linux-gnu"):
        folder.symlink_to("/lib")
    shutil.copytree(next((work / "iptables").rglob("xtables")), libraries / "xtables",
                    ignore=shutil.ignore_patterns("libarpt*", "libebt*"))
    _copy(work / "busybox-static/bin/busybox", root / "bin/busybox")
    _copy(work / "nft/usr/sbin/nft", root / "usr/sbin/nft")
    _copy(work / "iptables/usr/sbin/xtables-legacy-multi", root / "usr/sbin/xtables-legacy-multi")
    for name in _IPTABLES:
        (root / "usr/sbin" / name).symlink_to("xtables-legacy-multi")
    _copy(work / "miniupnpd-nftables/usr/sbin/miniupnpd", root / "usr/sbin/miniupnpd-nft")
    _copy(work / "miniupnpd-iptables/usr/sbin/miniupnpd", root / "usr/sbin/miniupnpd-ipt")
    (root / "run").symlink_to("var/run")  # Debian's iptables has its lock there
    for name in "protocols", "services":
        _copy(work / "netbase/etc" / name, root / "etc" / name)

    tree = next((work / "linux-image/lib/modules").iterdir())
    found = {path.stem.replace("-", "_"): path for path in tree.rglob("*.ko")}
    boot = _ordered(found, _BOOT_MODULES)
    later = [name for name in _ordered(found, _BOOT_MODULES + _MODULES) if name not in boot]
    for folder, names in (modules, boot), (root / "lib/modules" / tree.name, later):
        for name in names:
            _copy(found[name], folder / (name + ".ko"))
    (root / "etc/modules.d").mkdir()
    (root / "etc/modules.d/50-router").write_text("\n".join(later) + "\n")
    return boot


def _copy(source, target):
    """Copy a file or, as a link, a link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)


def _ordered(found, wanted):
    """Return the modules of `wanted` and all they depend on, each after what it needs (insmod looks for nothing)."""
    order = []

    def add(name):
        if name not in order:
            depends = re.search(rb"\x00depends=([^\x00]*)\x00", b"\0" + found[name].read_bytes()).group(1).decode()
            for other in filter(None, depends.split(",")):
                add(other.replace("-", "_"))
            order.append(name)

    for name in wanted:
        add(name)
    return order


def _link_applets(root):
    """Make every applet that the busybox has callable, except where the router has a program of its own."""
    table = re.search(rb"\[\x00(?:\[\[\x00)?(?:[a-z0-9_.-]+\x00){20,}", (root / "bin/busybox").read_bytes())
    if not table:
        raise kit.Stop("the list of applets was not found in busybox: see _link_applets in qemu/image.py")
    (root / "bin/busybox").chmod(0o755)
    (root / "bin/sh").symlink_to("busybox")
    own = {path.name for folder in ("bin", "sbin", "usr/bin", "usr/sbin") for path in (root / folder).iterdir()}
    for name in table.group().decode().rstrip("\0").split("\0"):
        if name not in own:
            (root / "bin" / name).symlink_to("busybox")
    for name, target in _LINKS.items():
        if not (root / name).exists():
            (root / name).symlink_to(target)


def _elf(vmlinuz):
    """Unpack Debian's self-extracting kernel into an ELF file that QEMU can load: two seconds less at each boot.

    The entry point is not in the payload: it is where the extractor jumps at the end (lui t9; ori t9; jalr t9).
    """
    payload = b""
    for match in re.finditer(rb"\xfd7zXZ\x00", vmlinuz):
        try:
            payload = lzma.LZMADecompressor().decompress(vmlinuz[match.start():])
            break
        except lzma.LZMAError:
            continue  # the same bytes in the extractor's own code
    jump = re.search(rb"(..)\x19\x3c(..)\x39\x37\x09\xf8\x20\x03", vmlinuz, re.S)
    if not payload or not jump:
        raise kit.Stop("Debian's kernel is packed in a way that _elf in qemu/image.py does not know")
    entry = int.from_bytes(jump.group(2) + jump.group(1), "little")
    offset = 0x1000
    # Room for .bss, which the file does not hold: without it QEMU puts the initramfs where the kernel clears memory.
    memory = len(payload) + (2 << 20)
    header = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01", 2, 8, 1, entry, 52, 0, 0x50001001,
                         52, 32, 1, 0, 0, 0)
    segment = struct.pack("<8I", 1, offset, _KERNEL_BASE, _KERNEL_BASE, len(payload), memory, 7, 0x1000)
    return (header + segment).ljust(offset, b"\0") + payload


def _initramfs(init, busybox, modules, order):
    """Return a cpio archive (newc) with the init script, busybox and the modules that it loads."""
    archive, inode = bytearray(), 0

    def add(name, mode, data=b"", device=(0, 0)):
        nonlocal inode
        inode += 1
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
        archive.extend(b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0")
        archive.extend(b"\0" * (-len(archive) % 4) + data)
        archive.extend(b"\0" * (-len(archive) % 4))

    for name in "bin dev modules rom overlay root".split():
        add(name, 0o040755)
    add("dev/console", 0o020600, device=(5, 1))
    add("init", 0o100755, init.encode())
    add("bin/busybox", 0o100755, busybox.read_bytes())
    for name in "sh mount umount mkdir insmod switch_root".split():
        add("bin/" + name, 0o120777, b"busybox")
    for name in order:
        add("modules/%s.ko" % name, 0o100644, (modules / (name + ".ko")).read_bytes())
    add("TRAILER!!!", 0)
    return bytes(archive)
