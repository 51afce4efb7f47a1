"""Sockets: the only module that opens, reads, writes and closes them.

HttpServer serves one LAN interface, is bound to it and hears nobody else, as datagram.py's sockets are. NetlinkChannel is
a conversation with the kernel. No bytes are understood here.
"""

import errno
import socket

from . import log
from .compat import (AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY, SO_BINDTODEVICE, SOCK_CLOEXEC, address, const, ignore_sender,
                     ip_bytes, netlink_socket, shutdown, split_address)
from .errors import FirewallError
from .http import CONTINUE, HTTPError, RequestReader, error_reply
from .loop import EVENT_READ, EVENT_WRITE

_BACKLOG = const(16)
_MAX_CONNECTIONS = const(32)  # in all: each may hold a head and a body
_MAX_CONNECTIONS_6 = const(16)  # over IPv6: any host has many addresses there, so this is what bounds the memory
_MAX_CONNECTIONS_PER_HOST = const(8)  # one host cannot lock the others out
_REQUEST_MS = const(15000)  # for each request and its answer, from accept or from the answer before
_DELIVERY_MS = const(5000)  # for a subscriber to take an event and say so
_READ = const(2048)  # bytes at once
_NETLINK_READ = const(8192)  # bytes; the kernel's largest datagram for what is asked here
_NETLINK_SHORT = const(2048)  # bytes; enough for the answers to one mapping's batch, and found in the heap much sooner
_MOST_DRAINED = const(1000)  # datagrams: a socket holds fewer
_LINGER_MS = const(2000)  # for the client to close when it has its answer


def _socket(ip, kind):
    """Return a socket of that kind for the family of the address `ip`."""
    return socket.socket(AF_INET6 if ":" in ip else socket.AF_INET, kind | SOCK_CLOEXEC)


def bound(interface, ip, port, kind, is_shared=True):
    """Return a socket of that kind on ip:port that hears and reaches the interface's network only.

    Where it `is_shared` others may have the port too, for TCP those of connections that ended.
    """
    sock = _socket(ip, kind)
    try:
        if is_shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, interface.name.encode())
        if ":" in ip:
            sock.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)
        sock.bind(address(ip, port))
    except (OSError, MemoryError):
        sock.close()
        raise
    return sock


def _would_block(error):
    return error.errno == errno.EAGAIN


class _Connection:
    """One TCP connection of a client: reads a request, writes its answer, ends."""

    def __init__(self, server, sock, peer):
        self._server = server
        self._sock = sock
        self.peer = peer
        self._reader = RequestReader()
        self._out = b""
        self._sent = 0
        self._is_last = False  # no request after the present one
        self._is_closing = False  # the last answer is out: wait for the client's end of the connection
        self._events = EVENT_READ  # what the loop watches for
        self.deadline = None

    def start(self, loop):
        self.deadline = loop.call_later(_REQUEST_MS, self._end_late)
        try:
            loop.register(self._sock, self._events, self._ready)
        except MemoryError:
            loop.cancel(self.deadline)
            raise

    def _ready(self, events):
        try:
            if events & EVENT_WRITE or self._read():
                self._serve()
        except OSError as error:
            if not _would_block(error):
                self.close()
        except Exception:
            self.close()
            raise

    def _read(self):
        """Take what came; return True when there may be a request in it."""
        data = self._sock.recv(_READ)
        if not data:
            self.close()
        elif not self._is_closing:  # else it is more than anybody will answer
            self._reader.receive(data)
            return True
        return False

    def _serve(self):
        """Answer a request, as far as the client takes the answer; the next one in another turn, after other clients."""
        if not self._out and not self._take_request():
            return
        if not self._send_rest():
            return
        if self._is_last:
            self._finish()
        elif self._reader.has_more:
            self._await(EVENT_WRITE)

    def _take_request(self):
        """Make the answer to the next request; return False when there is none yet."""
        try:
            request = self._reader.next_request()
        except HTTPError as error:
            log.event("refused", self.peer, "a request of %s: HTTP status %d" % (self.peer, error.status))
            self._is_last = True
            self._out = error_reply(error)
            return True
        if request is None:
            self._await(EVENT_READ)
            if self._reader.wants_continue:
                self._reader.wants_continue = False
                self._sock.send(CONTINUE)
            return False
        self._restart_deadline(_REQUEST_MS)
        self._is_last = not request.is_persistent
        self._out = self._server.respond(request, self.peer)
        return True

    def _send_rest(self):
        """Send what is left of the answer; return False when the client has to take some of it first."""
        while self._sent < len(self._out):
            try:
                self._sent += self._sock.send(memoryview(self._out)[self._sent:])
            except OSError as error:
                if not _would_block(error):
                    raise
                self._await(EVENT_WRITE)
                return False
        self._out, self._sent = b"", 0
        self._await(EVENT_READ)
        return True

    def _await(self, events):
        if events != self._events:
            self._events = events
            self._server.loop.modify(self._sock, events, self._ready)

    def _restart_deadline(self, milliseconds):
        self._server.loop.cancel(self.deadline)
        self.deadline = self._server.loop.call_later(milliseconds, self._end_late)

    def _end_late(self):
        """The time is over: worth a line where there is something that was not done."""
        if self._reader.has_more or self._out:
            log.event("refused", self.peer, "a connection of %s: it takes too long" % self.peer)
        self.close()

    def _finish(self):
        # Closing with unread input would send a reset, which can overtake the answer: say that we are done, and let
        # the client close.
        self._is_closing = True
        shutdown(self._sock, 1)
        self._restart_deadline(_LINGER_MS)

    def close(self):
        if self._sock is not None:
            self._server.loop.cancel(self.deadline)
            self._server.loop.unregister(self._sock)
            self._sock.close()
            self._sock = None
            self._server.forget(self)


class HttpServer:
    """Serves `respond(request, peer) -> bytes` to the neighbours of `interface`, on its IPv4 address or all IPv6 ones."""

    def __init__(self, loop, interface, port, respond, is_ipv6=False):
        self.loop = loop
        self.respond = respond
        self._interface = interface
        self._connections = []
        self._most = _MAX_CONNECTIONS_6 if is_ipv6 else _MAX_CONNECTIONS
        self._sock = bound(interface, "::" if is_ipv6 else interface.address, port, socket.SOCK_STREAM)
        try:
            self._sock.listen(_BACKLOG)
            self._sock.setblocking(False)
            loop.register(self._sock, EVENT_READ, self._accept)
        except (OSError, MemoryError):
            self._sock.close()
            raise

    def _accept(self, events):
        try:
            sock, raw = self._sock.accept()
        except OSError as error:
            if not _would_block(error):
                log.warning("accept failed (errno %s)" % error.errno)
            return
        try:
            self._take(sock, split_address(raw)[0])
        except MemoryError:
            sock.close()
            raise

    def _take(self, sock, peer):
        """Serve a connection of the host `peer`, where there is room for it; whole, or not at all."""
        if not self._interface.has_neighbour(ip_bytes(peer)) or not self._has_room(peer):
            sock.close()
            return
        if len(self._connections) >= self._most:
            # Some hosts have them all, and each may wait for long: the oldest goes, so that everybody is served.
            log.event("refused", self._connections[0].peer, "all connections are taken: the oldest, of %s, is ended"
                      % self._connections[0].peer)
            self._connections[0].close()
        sock.setblocking(False)
        connection = _Connection(self, sock, peer)
        self._connections.append(connection)
        try:
            connection.start(self.loop)
        except MemoryError:
            self._connections.remove(connection)
            raise

    def _has_room(self, peer):
        if len([1 for connection in self._connections if connection.peer == peer]) < _MAX_CONNECTIONS_PER_HOST:
            return True
        log.event("refused", peer, "a connection of %s: it has %d already" % (peer, _MAX_CONNECTIONS_PER_HOST))
        return False

    def forget(self, connection):
        """A connection has ended."""
        self._connections.remove(connection)

    def close(self):
        """End the service and every connection."""
        for connection in list(self._connections):
            connection.close()
        self.loop.unregister(self._sock)
        self._sock.close()


class Delivery:
    """One message to a subscriber on `interface`: connects, sends `data`, waits for an answer.

    Calls done(True) when the subscriber answered with HTTP, done(False) when it did not within some seconds.
    """

    def __init__(self, loop, interface, host, port, data, done):
        self._loop = loop
        self._data = data
        self._sent = 0
        self._done = done
        self._sock = _socket(host, socket.SOCK_STREAM)
        self._deadline = None  # Timer
        try:
            self._start(interface, host, port)
        except MemoryError:
            loop.cancel(self._deadline)
            self._sock.close()
            raise

    def _start(self, interface, host, port):
        loop = self._loop
        self._deadline = loop.call_later(_DELIVERY_MS, lambda: self._end(False))
        try:
            self._sock.setblocking(False)
            self._sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, interface.name.encode())
            self._sock.connect(address(host, port))
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                loop.cancel(self._deadline)
                self._deadline = loop.call_later(0, lambda: self._end(False))  # never before this call returns
        loop.register(self._sock, EVENT_WRITE, self._ready)

    def _ready(self, events):
        try:
            while self._sent < len(self._data):
                self._sent += self._sock.send(memoryview(self._data)[self._sent:])
                if self._sent == len(self._data):
                    self._loop.modify(self._sock, EVENT_READ, self._ready)
                    return
            self._end(self._sock.recv(_READ).startswith(b"HTTP/"))
        except OSError as error:
            if not _would_block(error):
                self._end(False)

    def _end(self, is_done):
        if self._sock is not None:
            self._loop.cancel(self._deadline)
            self._loop.unregister(self._sock)
            self._sock.close()
            self._sock = None
            self._done(is_done)


class NetlinkChannel:
    """A netlink socket of `protocol`: `transact` and `converse` ask the kernel, `listen` hears the `groups`."""

    def __init__(self, protocol, groups=0):
        try:
            self._sock = netlink_socket(protocol, groups)
        except OSError as error:
            raise FirewallError("netlink: the kernel lacks protocol %d (errno %s)" % (protocol, error.errno),
                                error.errno)
        self._is_clean = True  # nothing is left of an earlier conversation

    def transact(self, data, is_answered, is_short=False):
        """Send messages, return the datagrams that answer, up to the one for which `is_answered(datagram)` is true.

        `is_short` promises that none of them is long. FirewallError as `converse`.
        """
        answers = []
        self.converse(data, is_answered, answers.append, is_short)
        return answers

    def converse(self, data, is_answered, take, is_short=False):
        """Send messages, and call take(datagram) with each that answers, up to the one that `is_answered`.

        The kernel works while we send: every answer is there when we begin to read. FirewallError when it says
        nothing, or that it cannot take messages.
        """
        if not self._is_clean:
            self._drain()
        self._is_clean = False
        try:
            self._sock.send(data)
            while True:
                datagram = self._sock.recv(_NETLINK_SHORT if is_short else _NETLINK_READ)
                take(datagram)
                if is_answered(datagram):
                    self._is_clean = True
                    return
        except OSError as error:
            raise FirewallError("netlink: no answer from the kernel (errno %s)" % error.errno, error.errno)

    def _drain(self):
        # What is left of a conversation that broke off must not be taken for an answer.
        for _ in range(_MOST_DRAINED):
            try:
                self._sock.recv(_NETLINK_READ)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    return

    def close(self):
        """End the conversation."""
        self._sock.close()

    def listen(self, loop, receive):
        """Call receive(datagram) for whatever the kernel reports; with None when reports were lost."""

        def read(events):
            try:
                receive(self._sock.recv(_NETLINK_READ))
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    receive(None)

        loop.register(self._sock, EVENT_READ, read)

    def ignore(self, other):
        """Hear no reports of what the NetlinkChannel `other` changes."""
        try:
            ignore_sender(self._sock, other._sock)
        except OSError as error:
            log.debug("reports of our own changes are heard too (errno %s)" % error.errno)

    def watch(self, loop, pause_ms, notice):
        """Call notice() when the kernel reports anything, `pause_ms` after the first of a row of reports."""

        def read(events):
            loop.unregister(self._sock)
            loop.call_later(pause_ms, look)

        def look():
            self._drain()
            loop.register(self._sock, EVENT_READ, read)
            notice()

        loop.register(self._sock, EVENT_READ, read)
