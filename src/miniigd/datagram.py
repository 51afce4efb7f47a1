"""A UDP socket on one LAN interface: hears its neighbours, answers from the address that was asked, tells a group."""

import socket

from . import log
from .compat import IP_MULTICAST_IF, SO_BINDTODEVICE, SOCK_CLOEXEC, address, const, ip4_bytes, split_address
from .loop import EVENT_READ

_DATAGRAM = const(1536)  # bytes; more than Ethernet carries


class DatagramSocket:
    """Bound to `interface` (an Interface), its address and `port`; calls receive(datagram, peer), peer = (ip, port).

    What it sends carries that address: there are clients that hear nobody else.
    """

    def __init__(self, loop, interface, port, receive):
        self._loop = loop
        self._interface = interface
        self._receive = receive
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | SOCK_CLOEXEC)
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, interface.name.encode())
            self._sock.setsockopt(0, IP_MULTICAST_IF, ip4_bytes(interface.address))
            self._sock.bind(address(interface.address, port))
            self._sock.setblocking(False)
        except OSError:
            self._sock.close()
            raise
        loop.register(self._sock, EVENT_READ, self._read)

    def _read(self, events):
        try:
            datagram, raw = self._sock.recvfrom(_DATAGRAM)
        except OSError:
            return  # an ICMP error of an answer that nobody wanted
        peer = split_address(raw)
        if self._interface.has_neighbour(ip4_bytes(peer[0])):
            self._receive(datagram, peer)

    def send(self, datagram, peer):
        """Send to `peer` (ip, port), a host or a group."""
        try:
            self._sock.sendto(datagram, address(peer[0], peer[1]))
        except OSError as error:
            log.debug("a datagram was not sent (errno %d)" % error.errno)

    def close(self):
        """End it."""
        self._loop.unregister(self._sock)
        self._sock.close()
