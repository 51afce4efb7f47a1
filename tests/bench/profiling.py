"""A profile per bytecode function of one kind of request, on the router: from the build with tests/bench/probe.

Every instruction between two snapshots counts to one name: a bytecode function with the C code that it calls, or (in
brackets) the allocator, the collector or a system call.
"""

import functools
import struct
from pathlib import Path

from package import runtime

import client
import daemons

FILE = "/tmp/probe"
_HEAD = struct.Struct("<IIQQQQ")
_ENTRY = struct.Struct("<48sIIQ")  # see probe.c
WAIT = "(poll)"  # waiting for work is in it


@functools.cache
def _functions():
    """Return {"@place in the bytecode": "module.function"}, from the list that freeze.py makes."""
    found = {}
    for line in runtime.probed().with_name("names.txt").read_text().splitlines():
        if line.startswith("line "):
            _, place, path, name = line.split(" ", 3)
            module = Path(path)
            found["@" + place] = "%s.%s" % (module.parent.name if module.stem == "__init__" else module.stem, name)
    return found


class Snapshot:
    """What the probe counted so far: {name: (calls, bytes allocated, ms)}, and the collections."""

    def __init__(self, raw):
        used, size, ticks, nanoseconds, self.collections, longest = _HEAD.unpack_from(raw, 0)
        assert size == _ENTRY.size and used < 699, (used, size)
        rate = nanoseconds / ticks / 1e6  # ms in a tick
        self.longest_collection_ms = longest * rate
        self.entries = {}
        for number in range(used):
            name, calls, allocated, spent = _ENTRY.unpack_from(raw, _HEAD.size + number * _ENTRY.size)
            name = name.partition(b"\0")[0].decode()
            name = _functions().get(name, name)
            while name in self.entries:  # methods of the same name in one module
                name += "'"
            self.entries[name] = (calls, allocated, spent * rate)


def snapshot(bench):
    """Take a Snapshot of the running daemon."""
    return Snapshot(bench.raw_file(FILE))


def collections(bench):
    """Return how many collections there were so far, and how many ms the longest took."""
    bench.check("head -c %d %s > %s.head" % (_HEAD.size, FILE, FILE))  # the whole file is many packets
    _, _, ticks, nanoseconds, count, longest = _HEAD.unpack(bench.raw_file(FILE + ".head"))
    return count, longest * nanoseconds / ticks / 1e6


class Profile:
    """`rows` are (name, calls, bytes allocated, ms), each for one request, the dearest first; `cpu_ms` the kernel's sum.

    `before` is None for the start of the program.
    """

    def __init__(self, before, after, count, cpu_ms):
        self.cpu_ms, self.rows = cpu_ms, []
        for name, values in after.entries.items():
            base = before.entries.get(name, (0, 0, 0)) if before else (0, 0, 0)
            row = [(now - then) / count for now, then in zip(values, base)]
            if row[0] or row[2] > 0.0005:
                self.rows.append((name, *row))
        self.rows.sort(key=lambda row: -row[3])
        self.sum_ms = sum(row[3] for row in self.rows if row[0] != WAIT)

    def text(self, most=60):
        """A table for reading."""
        lines = ["sum without %s %.3f ms, CPU by the kernel's account %.3f ms" % (WAIT, self.sum_ms, self.cpu_ms),
                 "%8s %6s %8s %9s  %s" % ("ms", "%", "calls", "bytes", "function")]
        for name, calls, allocated, ms in self.rows[:most]:
            lines.append("%8.3f %6.1f %8.2f %9.0f  %s" % (ms, 100 * ms / self.sum_ms, calls, allocated, name))
        return "\n".join(lines)


def measure(run, requests):
    """Return the Profile of `requests` (bytes each), one after the other."""
    bench = run.bench

    def ask():
        for request in requests:
            client.check(client.exchange(daemons.PORT, request))

    before, cpu = snapshot(bench), run.cpu_ms()
    bench.inside(ask)
    cpu = run.cpu_ms() - cpu
    return Profile(before, snapshot(bench), len(requests), cpu / len(requests))
