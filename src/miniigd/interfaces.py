"""What the kernel says of the network interfaces we serve: index, link, MAC address, IPv4 addresses (rtnetlink(7)).

Sans-IO: takes the datagrams of a rtnetlink socket, keeps the state, says when it changed. Interfaces are known by
name, so one that is deleted and made again (ppp0) is picked up.
"""

import struct

from .compat import const, ip4_text
from .netlink import DONE, DUMP, ERROR, REQUEST, Message, attributes, messages

PROTOCOL = const(0)  # NETLINK_ROUTE
GROUPS = const(0x11)  # RTMGRP_LINK | RTMGRP_IPV4_IFADDR

_NEWLINK, _DELLINK, _GETLINK = const(16), const(17), const(18)
_NEWADDR, _DELADDR, _GETADDR = const(20), const(21), const(22)
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_EXT_MASK = const(1), const(3), const(29)
_IFA_ADDRESS, _IFA_LOCAL = const(1), const(2)
_SKIP_STATS = const(8)  # RTEXT_FILTER_SKIP_STATS
_AF_INET = const(2)
_IFF_UP, _IFF_RUNNING = const(0x1), const(0x40)


class Interface:
    """An interface by `name`; `index` is 0 while it does not exist; `addresses` are (dotted quad, prefix length)."""

    def __init__(self, name):
        self.name = name
        self.clear()

    def clear(self):
        """Forget everything: the interface is gone."""
        self.index = 0
        self.is_up = False
        self.mac = b""
        self.addresses = []

    @property
    def address(self):
        """The first IPv4 address, or None."""
        return self.addresses[0][0] if self.addresses else None

    def has_neighbour(self, raw):
        """True when the address `raw` (4 bytes) is in a subnet of this interface."""
        for address, length in self.addresses:
            if _is_same_subnet(address, raw, length):
                return True
        return False


class Interfaces:
    """The interfaces of the given names, kept up to date by `receive`."""

    def __init__(self, names):
        self._interfaces = [Interface(name) for name in names]

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
        message.add(struct.pack("@BBBBI", _AF_INET, 0, 0, 0, 0))
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
        _, length, _, _, index = struct.unpack_from("@BBBBI", datagram, start)
        local = None
        for kind, begin, stop in attributes(datagram, start + 8, end):
            # IFA_LOCAL is ours; on a point-to-point link IFA_ADDRESS is the other end's.
            if kind == _IFA_LOCAL or (kind == _IFA_ADDRESS and local is None):
                local = ip4_text(datagram[begin:stop]) if stop - begin == 4 else None
        for interface in self._interfaces:
            if interface.index == index and index and local:
                entry = (local, length)
                if message_type == _NEWADDR and entry not in interface.addresses:
                    interface.addresses.append(entry)
                    return True
                if message_type == _DELADDR and entry in interface.addresses:
                    interface.addresses.remove(entry)
                    return True
        return False


def is_answered(datagram):
    """True when `datagram` ends the answer to one of the requests: a link, the end of the addresses, or an error."""
    for message_type, _, _, _ in messages(datagram):
        if message_type in (_NEWLINK, DONE, ERROR):
            return True
    return False


def _is_same_subnet(address, raw, length):
    for index, part in enumerate(address.split(".")):
        bits = min(8, max(0, length - 8 * index))
        mask = 0xFF00 >> bits & 0xFF
        if int(part) & mask != raw[index] & mask:
            return False
    return True
