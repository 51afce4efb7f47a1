"""Packets from the WAN: what is promised leads to its host, what is closed is refused, what was connected ends.

On the LAN every internal port of the plan is served, at every host's address, and says where it was reached.
"""

import contextlib
import select
import socket
import struct
import threading
import time

import plan

from qemu.lab import WAN_HOST, WAN_HOST2, WAN_HOST_6, WAN_ROUTER

_IPV6_RECVPKTINFO, _IPV6_PKTINFO = 49, 50
_IP_PKTINFO = 8
_PATIENCE = 8  # seconds for a port to open: it is open already, but the router may be busy
_SECONDS = 2  # for one attempt
_MOST_HELD = 60  # connections
_ENDS = 8  # seconds within which a connection whose mapping is gone must have ended
MARGIN = 4  # seconds of its lease that a port must have left to be tried


class Probes:
    """The servers on the LAN side of `world`, and attempts from its WAN side."""

    def __init__(self, world):
        self.world = world
        self._sockets = {}  # fd -> (socket, is it TCP's)
        self._is_ended = threading.Event()
        self.held = []  # (key, connection from the WAN)
        ports = [first + one for dialect, first in plan.INNER.items() for one in range(plan.INNERS[dialect])]
        for port in ports:
            is_ipv6 = port >= plan.INNER["pinhole"]
            for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
                sock = world.lab.lan.call(_listener, is_ipv6, kind, port)
                self._sockets[sock.fileno()] = (sock, kind == socket.SOCK_STREAM)
        self._links = {}
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self):
        self._is_ended.set()
        self._thread.join()
        for sock, _ in self._sockets.values():
            sock.close()
        for link in self._links.values():
            link.close()
        for _, link in self.held:
            link.close()

    def _serve(self):
        poll = select.poll()
        for fd in self._sockets:
            poll.register(fd, select.POLLIN)
        while not self._is_ended.is_set():
            for fd, _ in poll.poll(200):
                with contextlib.suppress(OSError):
                    if fd in self._links:
                        if not self._links[fd].recv(100):
                            raise ConnectionResetError
                    elif self._sockets[fd][1]:
                        link = self._sockets[fd][0].accept()[0]
                        self._links[link.fileno()] = link
                        poll.register(link, select.POLLIN)
                        link.sendall(_name(link.getsockname()))
                    else:
                        _reply(self._sockets[fd][0])
                    continue
                if fd in self._links:
                    poll.unregister(fd)
                    self._links.pop(fd).close()

    # --- from the WAN

    def one_of(self, host, number, is_held):
        """Try one of the ports that `host` must have, while nothing disturbs; return how it went."""
        mappings, now = self.world.mappings, time.monotonic()
        mine = mappings.keys(host.host, now)
        # one for that host alone stands in front of the one for any
        keys = [key for key in sorted(mine) if self._is_sure(key, now) and (
            key[3] or key[:3] + (WAN_HOST,) not in mine)]
        if not keys or not self.world.is_quiet(now):
            return "nothing to try"
        key = keys[number % len(keys)]
        value = mappings.sure(key, now)
        limit = now + _PATIENCE
        while True:
            link = self.reach(key)
            if link and link[1] == _name((host.host, value.what)):
                if is_held and key[1] == "TCP" and len(self.held) < _MOST_HELD:
                    self.held.append((key, link[0]))
                else:
                    link[0].close()
                return "open"
            if link:
                link[0].close()
            now = time.monotonic()
            if not self._is_sure(key, now) or not self.world.is_quiet(now):
                return "nothing to try any more"
            if now > limit:
                if self.world.clock.measure():
                    return "the router stood still"
                self.world.disagree("%s %s %d %s should be open to %d: %s" % (
                    *key, value.what, "it leads to %r" % link[1] if link else "nobody answers on the WAN"))
                return "closed"
            time.sleep(0.3)

    def _is_sure(self, key, now):
        return self.world.mappings.sure(key, now + MARGIN) is not None

    def reach(self, key):
        """Send from the WAN to a mapping; return (socket, what the server says), or None."""
        _, protocol, port, remote_host = key
        try:
            return self.world.lab.wan.call(_reach, socket.AF_INET, protocol, (WAN_ROUTER, port),
                                           remote_host or WAN_HOST)
        except OSError:
            return None

    def reach6(self, key):
        """The same for a pinhole."""
        host, protocol, port, remote_host, remote_port = key
        try:
            return self.world.lab.wan.call(_reach, socket.AF_INET6, protocol, (host, port), remote_host or WAN_HOST_6,
                                           remote_port)
        except OSError:
            return None

    def is_refused(self, protocol, port):
        """True when neither WAN host reaches an external port."""
        for source in WAN_HOST, WAN_HOST2:
            with contextlib.suppress(OSError):
                link, _ = self.world.lab.wan.call(_reach, socket.AF_INET, protocol, (WAN_ROUTER, port), source)
                link.close()
                return False
        return True

    def still_connected(self):
        """Return the keys of held connections that are alive although nothing is mapped any more."""
        limit = time.monotonic() + _ENDS
        left = self.held
        while left and time.monotonic() < limit:
            left = [(key, link) for key, link in left if _is_alive(link)]
            time.sleep(0.5 if left else 0)
        return [key for key, _ in left]


def _is_alive(link):
    """True where what is sent is taken: an ended connection is reset by the answer to that."""
    try:
        link.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            if link.recv(100) == b"":
                return False
        link.send(b"still there?")
        return True
    except OSError:
        return False


def _listener(is_ipv6, kind, port):
    sock = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_ipv6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if kind == socket.SOCK_DGRAM:
        sock.setsockopt(*(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO) if is_ipv6 else (socket.IPPROTO_IP, _IP_PKTINFO), 1)
    sock.bind(("", port))
    if kind == socket.SOCK_STREAM:
        sock.listen(64)
    sock.settimeout(2)
    return sock


def _name(address):
    return b"%s %d" % (address[0].encode(), address[1])


def _reply(sock):
    """Answer a datagram from the address it was sent to, with that address."""
    _, notes, _, peer = sock.recvmsg(100, 100)
    for level, kind, data in notes:
        if level == socket.IPPROTO_IP:
            text, note = socket.inet_ntoa(data[8:12]), struct.pack("@i", 0) + data[8:12] + bytes(4)
        else:
            text, note = socket.inet_ntop(socket.AF_INET6, data[:16]), data[:16] + struct.pack("@i", 0)
        sock.sendmsg([_name((text, sock.getsockname()[1]))], [(level, kind, note)], 0, peer)


def _reach(family, protocol, target, source, source_port=0):
    """Return (socket, what the server says); OSError."""
    link = socket.socket(family, socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM)
    try:
        if source_port:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        link.bind((source, source_port))
        link.settimeout(_SECONDS)
        link.connect(target)
        if protocol == "UDP":
            link.send(b"?")
        answer = link.recv(100)
        if not answer:
            raise ConnectionResetError
        return link, answer
    except OSError:
        link.close()
        raise
