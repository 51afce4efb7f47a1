"""What the package costs on flash: squashfs files made with it and without it, as an OpenWrt image has them.

A file system of a router is read in blocks that are compressed together, so the package's share of one is measured as
the difference that it makes. The `wrt` router's root stands for OpenWrt's.

    print(report())
"""

import tempfile
from pathlib import Path

from package import ipk, kit

FLASH = 4 << 20
AIM = 110 << 10  # bytes, with LZMA and 256 KB blocks
LIMIT = 124 << 10  # whatever the compression: beyond this something went in that should not have
# What a WRT54G's 4 MB hold besides kernel and root: the boot loader (CFE) and nvram.
_RESERVED = (256 + 64) << 10
COMPRESSIONS = ("lzma", "xz")  # White Russian to Backfire had the one, everything since has the other
_BLOCKS = ("64K", "256K")  # OpenWrt's for the smallest flash chips, and its usual ones


def squashfs(tree, compression, block):
    """Return the size in bytes of a squashfs of `tree`, without the padding to whole device blocks."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"
        kit.run(["mksquashfs", tree, path, "-comp", compression, "-b", block, "-all-root", "-no-xattrs", "-nopad",
                 "-noappend", "-no-progress"])
        return path.stat().st_size


def measure():
    """Return {(compression, block): (the package alone, a router's root, the same with the package)} in bytes."""
    from qemu import image  # only here: packing needs no router

    tree, sizes = ipk.overlay(), {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        kit.run(["unsquashfs", "-no-progress", "-dest", root, image.image("wrt").disk])
        roots = {(compression, block): squashfs(root, compression, block)
                 for compression in COMPRESSIONS for block in _BLOCKS}
        kit.run(["cp", "-a", "%s/." % tree, root])
        for (compression, block), size in roots.items():
            sizes[compression, block] = (squashfs(tree, compression, block), size,
                                         squashfs(root, compression, block))
    return sizes


def report():
    """Return a table as text."""
    left = FLASH - _RESERVED
    lines = ["Flash, in bytes, of the package for %s (squashfs)" % ipk.ARCHITECTURE,
             "%-16s %12s %12s %12s %12s" % ("", "alone", "root without", "root with", "difference")]
    most, sizes = 0, measure()
    for (compression, block), (alone, without, with_it) in sizes.items():
        lines.append("%-16s %12d %12d %12d %12d" % ("%s, %s blocks" % (compression, block), alone, without, with_it,
                                                    with_it - without))
        most = max(most, with_it - without)
    _, without, with_it = sizes["lzma", "256K"]
    lines.append("The aim with lzma and 256K blocks is %d: %s." % (
        AIM, "it is met" if with_it - without <= AIM else "%d too many" % (with_it - without - AIM)))
    lines.append("A WRT54G's %d KB of flash leave %d KB for kernel, root and what is written later; at most %.1f %% of "
                 "these go to the package." % (FLASH >> 10, left >> 10, 100 * most / left))
    return "\n".join(lines)
