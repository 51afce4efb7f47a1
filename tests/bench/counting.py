"""The router's instructions, counted by QEMU itself: what is a program's own, what the kernel's, and in which function.

    with BenchRouter(binaries, counting.words()): ...
        before = counting.read()
        counting.by_function(before, counting.read(), map)

Other programs that run meanwhile count too: the router is idle but for the daemon and what writes its log. See counter.c.
"""

import bisect
import re
import struct

from package import kit

_SOURCE = kit.TOP / "tests/bench/counter.c"
FILE = kit.BUILD / "bench" / "counts"
_TEXT = 0x400000
_HEAD = 3  # counters before those of the text


def plugin():
    """Return the path of the plugin for QEMU."""
    path = kit.BUILD / "bench" / "counter.so"

    def build():
        path.parent.mkdir(parents=True, exist_ok=True)
        kit.run(["gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", path, _SOURCE])

    return kit.product(path, [_SOURCE], build)


def words():
    """What QEMU's command line needs to load it."""
    return ["-plugin", "%s,to=%s" % (plugin(), FILE)]


def read():
    """Return all counters: (program, kernel, TLB misses, then each word of the text)."""
    data = FILE.read_bytes()
    return struct.unpack("<%dQ" % (len(data) // 8), data)


def functions(path):
    """Return [(address, name)] of the functions of C in the linker's map `path`, by address."""
    found = {}
    for name, address in re.findall(r"^ \.text\.(\S+)\s+0x([0-9a-f]+)\s+0x[1-9a-f]", path.read_text(), re.M):
        found[int(address, 16)] = name
    return sorted(entry for entry in found.items() if entry[0] >= _TEXT)


def by_function(before, after, path):
    """Return [(instructions, name)] between two readings, the most first; `path` is the linker's map."""
    spent, table = {}, functions(path)
    starts = [address for address, _ in table]
    for index in range(_HEAD, len(after)):
        count = after[index] - before[index]
        if count:
            place = bisect.bisect_right(starts, _TEXT + (index - _HEAD) * 4) - 1
            name = table[place][1] if place >= 0 else "?"
            spent[name] = spent.get(name, 0) + count
    return sorted(((count, name) for name, count in spent.items()), reverse=True)
