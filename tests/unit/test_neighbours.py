"""miniigd.neighbours: which addresses are one host's, from the kernel's answers."""

import errno
import struct

from helpers import Output
from miniigd import log, neighbours
from miniigd.addresses import ip6_bytes
from miniigd.errors import FirewallError
from miniigd.neighbours import Neighbours
from miniigd.netlink import Message, attributes, messages

NEW, GET = 28, 30
MAC, OTHER_MAC = b"\x02\0\0\0\0\1", b"\x02\0\0\0\0\2"
IP4, IP6, SECOND6, OTHER6 = b"\xc0\xa8\1\2", ip6_bytes("2001:db8::2"), ip6_bytes("fd00::2"), ip6_bytes("2001:db8::3")
REACHABLE, STALE, INCOMPLETE, FAILED = 0x02, 0x04, 0x01, 0x20
INDEX = 3


def _entry(raw, mac, state=STALE, index=INDEX, flags=0, sequence=2, family=None):
    message = Message()
    message.begin(NEW, flags, sequence)
    message.add(struct.pack("@BBHiHBB", family or {4: 2, 16: 10}[len(raw)], 0, 0, index, state, 0, 0))
    message.attribute(1, raw)
    if mac is not None:
        message.attribute(2, mac)
    message.end()
    return bytes(message.data)


def _error(number):
    return struct.pack("@IHHIIi", 36, 2, 0, 2, 0, -number) + bytes(16)


_DONE = struct.pack("@IHHIIi", 20, 3, 2, 2, 0, 0)


class _Kernel:
    """Stands in for the channel: `entries` are {address: (mac, state)} of the interface INDEX."""

    def __init__(self, entries, has_single=True, learns=None):
        self.entries = entries
        self.has_single = has_single
        self.learns = learns or {}  # what answers a solicitation
        self.asked = []  # (type, address)
        self.is_open = False
        self.failure = None

    def open(self):
        if self.failure is not None:
            raise self.failure
        assert not self.is_open
        self.is_open = True
        return self

    def close(self):
        self.is_open = False

    def converse(self, data, is_answered, take, is_short=False):
        assert self.is_open
        assert is_short != bool(struct.unpack_from("@H", data, 6)[0] & 0x200)  # only a dump needs the large buffer
        for answer in self._answers(bytes(data)):
            take(answer)
            if is_answered(answer):
                return
        raise AssertionError("no end")

    def _answers(self, data):
        ((kind, _, start, end),) = messages(data)
        flags = struct.unpack_from("@H", data, 6)[0]
        family, _, _, index = struct.unpack_from("@BBHi", data, start)
        found = dict([(name, data[begin:stop]) for name, begin, stop in attributes(data, start + 12, end)])
        raw = found.get(1)
        self.asked.append((kind, raw))
        if kind == NEW:
            assert struct.unpack_from("@HBB", data, start + 8) == (0, 1, 0) and index == INDEX  # NTF_USE
            if raw in self.learns:
                self.entries[raw] = self.learns[raw]
            return [_error(0)]
        assert kind == GET
        if flags & 0x300:
            assert struct.unpack("@I", found[8])[0] == INDEX
            return [_entry(one, mac, state, INDEX, 2) for one, (mac, state) in self.entries.items()
                    if {4: 2, 16: 10}[len(one)] == family] + [_DONE]
        if not self.has_single:
            return [_error(errno.EOPNOTSUPP)]
        assert index == INDEX
        return [_entry(raw, *self.entries[raw])] if raw in self.entries else [_error(errno.ENOENT)]


def _is_same(kernel, raw, other):
    with Output(log) as output:
        found = Neighbours(kernel.open).is_same_host(raw, other, INDEX)
    kernel.log = output.text()
    assert not kernel.is_open
    return found


ENTRIES = {IP4: (MAC, REACHABLE), IP6: (MAC, STALE), SECOND6: (MAC, STALE), OTHER6: (OTHER_MAC, STALE)}


def test_one_host_has_one_link_layer_address():
    for has_single in (True, False):
        for raw, other, expected in ((IP4, IP6, True), (IP6, SECOND6, True), (IP4, OTHER6, False),
                                     (OTHER6, IP6, False), (IP6, IP6, True)):
            kernel = _Kernel(dict(ENTRIES), has_single)
            assert _is_same(kernel, raw, other) is expected, (raw, other)


def test_the_link_layer_address_of_a_host():
    for has_single in (True, False):
        kernel = _Kernel(dict(ENTRIES), has_single)
        known = Neighbours(kernel.open)
        assert [known.find(raw, INDEX) for raw in (IP4, OTHER6, b"\xc0\xa8\1\7")] == [MAC, OTHER_MAC, None]
        assert not [1 for kind, _ in kernel.asked if kind == NEW]  # nobody is asked: who forges an address pays nothing


def test_an_entry_that_says_nothing_proves_nothing():
    for entry in ((None, INCOMPLETE), (b"", STALE), (bytes(6), STALE), (MAC, FAILED), (MAC, INCOMPLETE)):
        for raw in (IP4, IP6):
            entries = dict(ENTRIES)
            entries[raw] = entry
            assert not _is_same(_Kernel(entries), IP4, IP6)


def test_who_is_not_known_yet_is_asked_for():
    for has_single in (True, False):
        kernel = _Kernel({IP4: (MAC, STALE)}, has_single, {IP6: (MAC, REACHABLE)})
        assert _is_same(kernel, IP4, IP6)
        assert kernel.asked.count((NEW, IP6)) == 1
    kernel = _Kernel({IP4: (MAC, STALE)}, True, {IP6: (OTHER_MAC, REACHABLE)})
    assert not _is_same(kernel, IP4, IP6)


def test_a_caller_who_is_not_known_is_nobody():
    kernel = _Kernel({IP6: (MAC, STALE)}, True, {IP4: (MAC, STALE)})
    assert not _is_same(kernel, IP4, IP6)
    assert kernel.asked == [(GET, IP4)]


def test_nobody_is_waited_for_long():
    times = [0, 10, 20, 39, 40, 50]
    real, neighbours.monotonic_ms = neighbours.monotonic_ms, lambda: times.pop(0)
    try:
        kernel = _Kernel({IP4: (MAC, STALE)})
        assert not _is_same(kernel, IP4, IP6)
    finally:
        neighbours.monotonic_ms = real
    assert times == [50] and kernel.asked == [(GET, IP4), (GET, IP6), (NEW, IP6)] + [(GET, IP6)] * 3


def test_a_kernel_that_says_nothing_is_a_line_in_the_log():
    kernel = _Kernel({})
    kernel.failure = FirewallError("netlink: told to", 1)
    assert not _is_same(kernel, IP4, IP6)
    assert "warning: neighbours cannot be looked up: netlink: told to" in kernel.log
    with Output(log) as output:
        known = Neighbours(kernel.open)
        for _ in range(100):  # for each datagram of somebody
            assert known.find(IP4, INDEX) is None
        kernel.failure = None
        assert known.find(IP4, INDEX) is None
        kernel.failure = FirewallError("netlink: told to", 1)
        assert not known.is_same_host(IP4, IP6, INDEX)
    assert output.text().count("\n") == 2  # once for each time that it began


def test_other_entries_are_passed_over():
    def found(datagram):
        return list(neighbours.link_layer_addresses(datagram, IP6, INDEX))

    good = _entry(IP6, MAC)
    assert found(good) == [MAC] and found(_entry(OTHER6, OTHER_MAC) + good) == [MAC]
    for datagram in (_entry(IP6, MAC, index=4), _entry(IP6, MAC, family=2), _entry(OTHER6, IP6), _DONE, b"", IP6,
                     _error(0) + IP6, struct.pack("@IHHII", 36, 29, 0, 2, 0) + IP6 + bytes(4)):
        assert found(datagram) == []
    for end in range(len(good)):
        assert found(good[:end]) == []
