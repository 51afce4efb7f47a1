"""What the kernel says of the network interfaces we serve: index, link, MAC address, addresses (rtnetlink(7)).

Sans-IO: takes the datagrams of a rtnetlink socket, keeps the state, says when it changed. Interfaces are known by
name, so one that is deleted and made again (ppp0) is picked up.
"""

import struct

from .addresses import ip4_bytes, ip4_text, ip6_text
from .compat import const
from .netlink import DONE, DUMP, ERROR, REQUEST, Message, attributes, messages

PROTOCOL = const(0)  # NETLINK_ROUTE
GROUPS = const(0x111)  # RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR
GROUPS_IPV4 = const(0x11)

_NEWLINK, _DELLINK, _GETLINK = const(16), const(17), const(18)
_NEWADDR, _DELADDR, _GETADDR = const(20), const(21), const(22)
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_EXT_MASK = const(1), const(3), const(29)
_IFA_ADDRESS, _IFA_LOCAL = const(1), const(2)
_SKIP_STATS = const(8)  # RTEXT_FILTER_SKIP_STATS
_AF_UNSPEC, _AF_INET, _AF_INET6 = const(0), const(2), const(10)
_TEMPORARY, _OPTIMISTIC, _DAD_FAILED, _DEPRECATED, _TENTATIVE = (  # IFA_F_
    const(0x01), const(0x04), const(0x08), const(0x20), const(0x40))
_IFF_UP, _IFF_RUNNING = const(0x1), const(0x40)


def is_link_local(raw):
    """True for an IPv6 address (16 bytes) in fe80::/10: it means something on one link only."""
    return raw[0] == 0xFE and raw[1] & 0xC0 == 0x80


def _is_local(raw):
    """True for an address in fc00::/7 (RFC 4193): the network's own, it outlives what the provider gives."""
    return raw[0] & 0xFE == 0xFC


class Interface:
    """An interface by `name`; `index` is 0 while it does not exist.

    `addresses` are (dotted quad, prefix length), `addresses6` (16 bytes, prefix length, is it to last?). An IPv6 address
    is there once the kernel has made sure that nobody else has it.
    """

    def __init__(self, name):
        self.name = name
        self.clear()

    def clear(self):
        """Forget everything: the interface is gone."""
        self.index = 0
        self.is_up = False
        self.mac = b""
        self.addresses = []
        self.addresses6 = []
        self._served6 = ([], [])  # `addresses6` as they were, and what `served6` made of them

    @property
    def address(self):
        """The first IPv4 address, or None."""
        return self.addresses[0][0] if self.addresses else None

    @property
    def served6(self):
        """The IPv6 addresses (text) under which others are to find us: the link-local one, then one that is not.

        Either may be missing. The second is one of the network's own if there is any, so that it does not change with
        the provider's prefix, and never one that is about to go while there are others.
        """
        if self._served6[0] == self.addresses6:
            return self._served6[1]
        found = []
        for is_link in (True, False):
            # The address itself last, so that the kernel's order, which is another after a restart, does not matter.
            ranked = sorted([(not is_lasting, not _is_local(raw), raw) for raw, _, is_lasting in self.addresses6
                             if is_link_local(raw) == is_link])
            if ranked:
                found.append(ip6_text(ranked[0][2]))
        self._served6 = (list(self.addresses6), found)
        return found

    def has_address(self, raw):
        """True for an address of this interface (4 or 16 bytes)."""
        if len(raw) == 4:
            for address, _ in self.addresses:
                if ip4_bytes(address) == raw:
                    return True
            return False
        return raw in [address for address, _, _ in self.addresses6]

    def has_neighbour(self, raw):
        """True when the address `raw` (4 or 16 bytes) is in a subnet of this interface; link-local ones always are."""
        if len(raw) == 16:
            return is_link_local(raw) or self.has_prefix6(raw)
        for address, length in self.addresses:
            if _is_same_subnet(ip4_bytes(address), raw, length):
                return True
        return False

    def has_prefix6(self, raw):
        """True when the address `raw` (16 bytes) is in a prefix of this interface that is not link-local."""
        for address, length, _ in self.addresses6:
            if not is_link_local(address) and _is_same_subnet(address, raw, length):
                return True
        return False


class Interfaces:
    """The interfaces of the given names, kept up to date by `receive`; unless `has_ipv6`, as if there were no IPv6."""

    def __init__(self, names, has_ipv6=True):
        self._interfaces = [Interface(name) for name in names]
        self._has_ipv6 = has_ipv6

    @property
    def groups(self):
        """The multicast groups in which the kernel reports what concerns us."""
        return GROUPS if self._has_ipv6 else GROUPS_IPV4

    def __getitem__(self, name):
        for interface in self._interfaces:
            if interface.name == name:
                return interface
        raise KeyError(name)

    def forget(self):
        """Forget what is known: what is gone does not show in the answers to `requests`."""
        for interface in self._interfaces:
            interface.clear()

    def requests(self):
        """Return the messages that ask for the present state: one for each interface, then one for all addresses.

        The kernel serves one dump at a time: send each message when the one before was answered.
        """
        found = []
        for sequence, interface in enumerate(self._interfaces):
            message = Message()
            message.begin(_GETLINK, REQUEST, sequence)
            message.add(struct.pack("@BBHiII", 0, 0, 0, 0, 0, 0))
            message.attribute(_IFLA_IFNAME, interface.name.encode() + b"\0")
            message.attribute(_IFLA_EXT_MASK, struct.pack("@I", _SKIP_STATS))
            message.end()
            found.append(message.data)
        message = Message()
        message.begin(_GETADDR, REQUEST | DUMP, len(found))
        message.add(struct.pack("@BBBBI", _AF_UNSPEC if self._has_ipv6 else _AF_INET, 0, 0, 0, 0))
        message.end()
        found.append(message.data)
        return found

    def receive(self, datagram):
        """Take a datagram of the kernel; return True when the state of an interface changed."""
        is_changed = False
        for message_type, _, start, end in messages(datagram):
            if message_type in (_NEWLINK, _DELLINK) and end - start >= 16:
                is_changed |= self._link(message_type, datagram, start, end)
            elif message_type in (_NEWADDR, _DELADDR) and end - start >= 8:
                is_changed |= self._address(message_type, datagram, start, end)
        return is_changed

    def _link(self, message_type, datagram, start, end):
        family, _, _, index, flags, _ = struct.unpack_from("@BBHiII", datagram, start)
        if family:
            return False  # a bridge reports on one of its ports
        name, mac = None, b""
        for kind, begin, stop in attributes(datagram, start + 16, end):
            if kind == _IFLA_IFNAME:
                name = bytes(datagram[begin:stop - 1])
            elif kind == _IFLA_ADDRESS:
                mac = bytes(datagram[begin:stop])
        is_changed = False
        for interface in self._interfaces:
            if interface.name.encode() == name and message_type == _NEWLINK:
                before = (interface.index, interface.is_up)
                if interface.index != index:
                    interface.clear()
                interface.index, interface.mac = index, mac
                interface.is_up = flags & (_IFF_UP | _IFF_RUNNING) == _IFF_UP | _IFF_RUNNING
                is_changed |= before != (interface.index, interface.is_up)
            elif interface.index == index:  # deleted, or renamed to something else
                interface.clear()
                is_changed = True
        return is_changed

    def _address(self, message_type, datagram, start, end):
        family, length, flags, _, index = struct.unpack_from("@BBBBI", datagram, start)
        local = b""
        for kind, begin, stop in attributes(datagram, start + 8, end):
            # IFA_LOCAL is ours; on a point-to-point link IFA_ADDRESS is the other end's.
            if kind == _IFA_LOCAL or (kind == _IFA_ADDRESS and not local):
                local = bytes(datagram[begin:stop])
        for interface in self._interfaces:
            if interface.index == index and index:
                if family == _AF_INET and len(local) == 4:
                    return _change(interface.addresses, (ip4_text(local), length), message_type == _NEWADDR)
                if family == _AF_INET6 and len(local) == 16 and self._has_ipv6:
                    entry = (local, length, not flags & (_DEPRECATED | _TEMPORARY))
                    is_usable = not flags & _DAD_FAILED and (not flags & _TENTATIVE or flags & _OPTIMISTIC)
                    return _change(interface.addresses6, entry, message_type == _NEWADDR and is_usable)
        return False


def _change(entries, entry, is_there):
    """Put `entry` into the list, in the place of one of the same address, or take that out; True for a change."""
    for index, other in enumerate(entries):
        if other[:2] == entry[:2]:
            if not is_there:
                del entries[index]
            elif other != entry:
                entries[index] = entry
            else:
                return False
            return True
    if is_there:
        entries.append(entry)
    return bool(is_there)


def is_answered(datagram):
    """True when `datagram` ends the answer to one of the requests: a link, the end of the addresses, or an error."""
    for message_type, _, _, _ in messages(datagram):
        if message_type in (_NEWLINK, DONE, ERROR):
            return True
    return False


def _is_same_subnet(address, raw, length):
    whole = length // 8
    if address[:whole] != raw[:whole]:
        return False
    return whole >= len(address) or (address[whole] ^ raw[whole]) >> 8 - length % 8 == 0
