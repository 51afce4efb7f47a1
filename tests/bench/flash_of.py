"""What each daemon costs on flash, by the same measure: a squashfs with LZMA in blocks of 256 KB of what comes with it."""

import re
import tempfile
from pathlib import Path

from package import flash, ipk, kit

# Of the incumbent: the program and the libraries that it is linked with, besides the C library. Debian's builds: release
# 2, hard float, optimized for speed; OpenWrt's are somewhat smaller.
_INCUMBENTS = {"miniupnpd-nft": ("miniupnpd-nftables", {"libnftnl11": "libnftnl.so.11*", "libmnl0": "libmnl.so.0*"}),
               "miniupnpd-ipt": ("miniupnpd-iptables", {"libip4tc2": "libip4tc.so.2*", "libip6tc2": "libip6tc.so.2*"})}
_OF_EVERY_ROUTER = {"libc.so.6", "ld.so.1"}


def _incumbent(name, folder):
    """Fill two trees under `folder`: the program alone, and with its libraries; return their sizes and the libraries."""
    package, libraries = _INCUMBENTS[name]
    tree = folder / "tree"
    kit.unpack(kit.fetch(package), folder / package)
    (tree / "usr/sbin").mkdir(parents=True)
    program = tree / "usr/sbin/miniupnpd"
    kit.run(["cp", folder / package / "usr/sbin/miniupnpd", program])
    alone = flash.squashfs(tree, "lzma", "256K")
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", kit.run(["mipsel-linux-gnu-readelf", "-d", program])))
    (tree / "usr/lib").mkdir()
    for library, pattern in libraries.items():
        kit.unpack(kit.fetch(library), folder / library)
        for path in (folder / library).rglob(pattern):
            kit.run(["cp", "-a", path, tree / "usr/lib"])
    names = {path.name for path in (tree / "usr/lib").iterdir()}
    if not needed - _OF_EVERY_ROUTER <= names:
        raise kit.Stop("%s needs other libraries than flash_of.py knows: %s" % (package, ", ".join(sorted(needed))))
    return alone, flash.squashfs(tree, "lzma", "256K"), sorted(names & needed)


def measure():
    """Return {name: {"program": bytes, "all": bytes, "libraries": [...]}}; of ours "all" is the whole package."""
    tree = ipk.overlay()
    found = {"miniigd": {"all": flash.squashfs(tree, "lzma", "256K"), "libraries": [],
                         "executable": (tree / "usr/sbin/miniigd").stat().st_size}}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "usr/sbin").mkdir(parents=True)
        kit.run(["cp", tree / "usr/sbin/miniigd", Path(folder) / "usr/sbin"])
        found["miniigd"]["program"] = flash.squashfs(folder, "lzma", "256K")
    for name in _INCUMBENTS:
        with tempfile.TemporaryDirectory() as folder:
            program, everything, libraries = _incumbent(name, Path(folder))
            found[name] = {"program": program, "all": everything, "libraries": libraries}
    return found
