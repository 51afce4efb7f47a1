"""Which host is behind an address: the kernel's table of link-layer addresses (rtnetlink(7), RTM_GETNEIGH).

A host has several IPv6 addresses and mostly an IPv4 one too, and may ask for any of them by any other. Two addresses
are one host's when the kernel knows them with the same link-layer address on the same interface. Asked when somebody
wants a pinhole to another address than the one that it calls from, and by hosts.py for who asks much.

    neighbours = Neighbours(lambda: NetlinkChannel(PROTOCOL))
    neighbours.is_same_host(raw, other, index)    # addresses as 4 or 16 bytes; never raises
    neighbours.find(raw, index)                   # the link-layer address, or None
"""

import errno
import struct

from . import log
from .compat import const, monotonic_ms
from .errors import FirewallError
from .netlink import ACK, CREATE, DONE, DUMP, ERROR, REPLACE, REQUEST, Message, attributes, error_of, messages

PROTOCOL = const(0)  # NETLINK_ROUTE

_NEW, _GET = const(28), const(30)  # RTM_NEWNEIGH, RTM_GETNEIGH
_DST, _LLADDR, _IFINDEX = const(1), const(2), const(8)
_FAMILIES = {4: 2, 16: 10}  # length of an address -> AF_INET, AF_INET6
_NTF_USE = const(1)
_KNOWN = const(0x02 | 0x04 | 0x08 | 0x10 | 0x80)  # NUD_REACHABLE, _STALE, _DELAY, _PROBE, _PERMANENT
_LAST = const(2)  # sequence number of the message whose answer ends a conversation
# A host that we never sent anything to is not in the table until it answers a solicitation; it has just talked to us,
# so it is awake. Nobody is served meanwhile: no longer than this.
_ANSWER_MS = const(40)


class Neighbours:
    """The kernel's table of neighbours; `open_channel()` returns a netlink_channel.NetlinkChannel, which is closed after use."""

    def __init__(self, open_channel):
        self._open_channel = open_channel
        self._channel = None
        self._is_failing = False  # said in the log
        self._has_single = True  # the kernel can be asked for one entry (Linux 5.0)

    def find(self, raw, index):
        """Return the link-layer address (bytes) behind an address on the interface with that index; None: unknown."""
        return self._with_channel(lambda: self._find(raw, index))

    def is_same_host(self, raw, other, index):
        """True when both addresses belong to one host on the interface with that index."""

        def compare():
            host = self._find(raw, index)
            return host is not None and host == self._find(other, index, True)

        return bool(self._with_channel(compare))

    def _with_channel(self, ask):
        """Return ask() while there is a channel; None, said in the log once in a row, when the kernel cannot be asked."""
        try:
            self._channel = self._open_channel()
            try:
                found = ask()
                self._is_failing = False
                return found
            finally:
                self._channel.close()
        except FirewallError as error:
            if not self._is_failing:
                self._is_failing = True
                log.warning("neighbours cannot be looked up: %s" % error.text)
            return None

    def _find(self, raw, index, is_patient=False):
        """Return the link-layer address (bytes) behind an address, or None; `is_patient`: have it asked if need be."""
        found = self._ask(raw, index)
        if found is None and is_patient:
            self._converse(_solicitation(raw, index), raw, index)
            start_ms = monotonic_ms()
            while found is None and monotonic_ms() - start_ms < _ANSWER_MS:
                found = self._ask(raw, index)
        return found

    def _ask(self, raw, index):
        if self._has_single:
            found, number = self._converse(_question(raw, index), raw, index)
            if number not in (errno.EOPNOTSUPP, errno.EINVAL):
                return found
            self._has_single = False
        return self._converse(_question(raw, index, True), raw, index, False)[0]

    def _converse(self, message, raw, index, is_short=True):
        """Send a message; return (the link-layer address in its answer or None, the kernel's errno or 0)."""
        found, failures = [], []

        def look(datagram):
            found.extend(link_layer_addresses(datagram, raw, index))
            failures.extend(_errors(datagram))

        self._channel.converse(message, _is_answered, look, is_short)
        return (found[0] if found else None, failures[0] if failures else 0)


def _entry(raw, index, kind, flags, entry_flags=0):
    message = Message()
    message.begin(kind, REQUEST | flags, _LAST)
    message.add(struct.pack("@BBHiHBB", _FAMILIES[len(raw)], 0, 0, index, 0, entry_flags, 0))
    return message


def _question(raw, index, is_for_all=False):
    """Return the message that asks for an entry, or for all of the interface."""
    message = _entry(raw, 0 if is_for_all else index, _GET, DUMP if is_for_all else 0)
    if is_for_all:
        message.attribute(_IFINDEX, struct.pack("@I", index))
    else:
        message.attribute(_DST, raw)
    message.end()
    return message.data


def _solicitation(raw, index):
    """Return the message that has the kernel ask the LAN who has an address."""
    message = _entry(raw, index, _NEW, ACK | CREATE | REPLACE, _NTF_USE)
    message.attribute(_DST, raw)
    message.end()
    return message.data


def _errors(datagram):
    return [error_of(datagram, start) for kind, _, start, _ in messages(datagram) if kind == ERROR]


def _is_answered(datagram):
    """True for the last datagram of an answer: one entry that was asked for alone, the end of all, or an error."""
    for kind, sequence, start, _ in messages(datagram):
        if kind in (DONE, ERROR) or kind == _NEW and not _is_part(datagram, start):
            return sequence == _LAST
    return False


def _is_part(datagram, start):
    return struct.unpack_from("@H", datagram, start - 10)[0] & 2  # NLM_F_MULTI


def link_layer_addresses(datagram, raw, index):
    """Yield the link-layer addresses that the entries in `datagram` have for the address `raw` on that interface."""
    if raw not in datagram:  # most of a long table: not taken apart
        return
    for kind, _, start, end in messages(datagram):
        if kind != _NEW or end - start < 12:
            continue
        family, _, _, found, state, _, _ = struct.unpack_from("@BBHiHBB", datagram, start)
        if family != _FAMILIES[len(raw)] or found != index or not state & _KNOWN:
            continue
        address = link_layer = b""
        for name, begin, stop in attributes(datagram, start + 12, end):
            if name == _DST:
                address = bytes(datagram[begin:stop])
            elif name == _LLADDR:
                link_layer = bytes(datagram[begin:stop])
        if address == raw and link_layer.strip(b"\0"):
            yield link_layer
