"""UDP sockets on one LAN interface: they hear its neighbours only. No bytes are understood here.

DatagramSocket answers from the address that was asked; MulticastSocket hears groups as well.
"""

import socket
import struct

from . import log
from .addresses import ip4_bytes, ip_bytes
from .compat import (IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP, IP_MULTICAST_IF, IP_MULTICAST_LOOP, IP_MULTICAST_TTL,
                     IPPROTO_IPV6, IPV6_JOIN_GROUP, IPV6_LEAVE_GROUP, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_IF,
                     IPV6_MULTICAST_LOOP, address, const, split_address)
from .loop import EVENT_READ
from .net import bound

_DATAGRAM = const(1536)  # bytes; more than Ethernet carries
_TTL = const(2)  # UDA 1.1 1.1.2: at most a router away
_HOPS = const(10)  # UDA 2.0 annex A: a site may have more of them; what is for the link never leaves it
# The level, and at it the options to leave and to join a group, for what is sent the interface, how far it goes, whether
# we hear it ourselves.
_IPV4 = (0, IP_DROP_MEMBERSHIP, IP_ADD_MEMBERSHIP, IP_MULTICAST_IF, IP_MULTICAST_TTL, IP_MULTICAST_LOOP)
_IPV6 = (IPPROTO_IPV6, IPV6_LEAVE_GROUP, IPV6_JOIN_GROUP, IPV6_MULTICAST_IF, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP)


class DatagramSocket:
    """A socket of `interface` (an Interface) at ip:port; calls receive(datagram, peer) with peer = (ip, port).

    What it sends carries that address: there are clients that hear nobody else. Nobody else can have the port.
    """

    is_shared = False

    def __init__(self, loop, interface, ip, port, receive):
        self._loop = loop
        self._interface = interface
        self._receive = receive
        self._peer = self._peer_address = None  # whom it sent to last
        is_ipv6 = ":" in ip
        self._numbers = _IPV6 if is_ipv6 else _IPV4
        # groups are reached through this interface
        self._where = struct.pack("@i", interface.index) if is_ipv6 else ip4_bytes(interface.address)
        self._sock = bound(interface, ip, port, socket.SOCK_DGRAM, self.is_shared)
        try:
            self._sock.setsockopt(self._numbers[0], self._numbers[3], self._where)
            self._set_up(is_ipv6)
            self._sock.setblocking(False)
            loop.register(self._sock, EVENT_READ, self._read)
        except (OSError, MemoryError):
            self._sock.close()
            raise

    def _set_up(self, is_ipv6):
        pass

    def _read(self, events):
        try:
            datagram, raw = self._sock.recvfrom(_DATAGRAM)
        except OSError:
            return  # an ICMP error of an answer that nobody wanted
        peer = split_address(raw)
        if self._interface.has_neighbour(ip_bytes(peer[0])):
            self._receive(datagram, peer)

    def send(self, datagram, peer):
        """Send to `peer` (ip, port), a host or a group."""
        if peer is not self._peer:
            self._peer_address = address(peer[0], peer[1])
            self._peer = peer
        try:
            self._sock.sendto(datagram, self._peer_address)
        except OSError as error:
            log.debug("a datagram was not sent (errno %s)" % error.errno)

    def close(self):
        """End it."""
        self._loop.unregister(self._sock)
        self._sock.close()


class MulticastSocket(DatagramSocket):
    """Hears the `groups` (texts, of one family) at `port` and unicast to it; other programs may do so too."""

    is_shared = True

    def __init__(self, loop, interface, groups, port, receive):
        self._groups = groups
        DatagramSocket.__init__(self, loop, interface, "::" if ":" in groups[0] else "0.0.0.0", port, receive)

    def _set_up(self, is_ipv6):
        level, _, join, _, hops, hears_itself = self._numbers
        self._sock.setsockopt(level, hops, _HOPS if is_ipv6 else _TTL)
        self._sock.setsockopt(level, hears_itself, 0)
        for group in self._groups:
            self._sock.setsockopt(level, join, ip_bytes(group) + self._where)

    def join(self):
        """Tell the network anew that we want to hear the groups."""
        for group in self._groups:
            for option in self._numbers[1:3]:
                try:
                    self._sock.setsockopt(self._numbers[0], option, ip_bytes(group) + self._where)
                except OSError as error:
                    log.debug("the multicast group was not joined anew (errno %s)" % error.errno)
