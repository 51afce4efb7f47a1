"""Sockets: only this module, datagram.py and delivery.py open, read, write and close them.

HttpServer serves one LAN interface, is bound to it and hears nobody else, as datagram.py's sockets are. No bytes are
understood here.
"""

import errno
import socket

from . import log
from .addresses import ip_bytes
from .compat import (AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY, MSG_MORE, SOCK_CLOEXEC, SO_BINDTODEVICE, SO_RCVBUF, SO_SNDBUF,
                     address, const, receive_into, shutdown, split_address)
from .http import CONTINUE, Heads, HTTPError, RequestReader, error_reply
from .loop import EVENT_READ, EVENT_WRITE, QUIET

_BACKLOG = const(192)  # connections that wait to be taken: who comes when it is full tries again a second later
_ACCEPTED_AT_ONCE = const(8)  # at most, in one turn
_MAX_CONNECTIONS = const(32)  # in all: each may hold a head and a body
_MAX_CONNECTIONS_6 = const(16)  # over IPv6: any host has many addresses there, so this is what bounds the memory
_SMALL_KB, _SMALL_PART = const(24 << 10), const(3)  # with less memory than that, a third of them
_MAX_CONNECTIONS_PER_HOST = const(8)  # one host cannot lock the others out
_REQUEST_MS = const(15000)  # for each request and its answer, from accept or from the answer before
# Bytes that the kernel keeps for a connection, each way; it takes twice that. Without a bound it gives so much to clients
# that a router with 16 MB has none left. A service's document fits.
_RECEIVE_BUFFER, _SEND_BUFFER = const(8192), const(16384)
_READ = const(2048)  # bytes at once
_SWEEP_MS = const(500)  # between two looks for connections that are over
_LINGER_MS = const(2000)  # for the client to close when it has its answer


# Every connection reads into this: what came is taken over at once.
_buffer = bytearray(_READ)
_view = memoryview(_buffer)


def new_socket(ip, kind):
    """Return a socket of that kind for the family of the address `ip`."""
    return socket.socket(AF_INET6 if ":" in ip else socket.AF_INET, kind | SOCK_CLOEXEC)


def bound(interface, ip, port, kind, is_shared=True):
    """Return a socket of that kind on ip:port that hears and reaches the interface's network only.

    Where it `is_shared` others may have the port too, for TCP those of connections that ended.
    """
    sock = new_socket(ip, kind)
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


def is_small():
    """True where the kernel has little memory to give: each connection takes some of it, whatever the daemon does."""
    try:
        with open("/proc/meminfo") as file:
            return int(file.read(100).split()[1]) < _SMALL_KB  # "MemTotal:    9896 kB"
    except (OSError, ValueError, IndexError):
        return False


def is_port_free(kind, ip, port):
    """True when no program has a port of that kind at the address `ip` (IPv4); False also where that cannot be known."""
    sock = new_socket(ip, kind)
    try:
        sock.bind(address(ip, port))
        return True
    except OSError:
        return False
    finally:
        sock.close()


def would_block(error):
    """True when an OSError says that something has to be waited for."""
    return error.errno == errno.EAGAIN


class _Connection:
    """One TCP connection of a client: reads a request, writes its answer, ends.

    The loop hears of it only when something has to be waited for: mostly a request is there when the connection is taken.
    """

    def __init__(self, server, sock, peer):
        self._server = server
        self._sock = sock
        self.peer = peer
        self._reader = RequestReader(server.heads)
        self._out = ()  # what is left of the answer, in pieces
        self._sent = 0  # bytes of the first of them
        self._is_last = False  # no request after the present one
        self.is_closing = False  # the last answer is out: wait for the client's end of the connection
        self._events = 0  # what the loop watches for
        self._has_asked = False  # it was answered before
        self._later = None  # Timer of its next request
        self.ends_ms = server.loop.now_ms + _REQUEST_MS  # when it is ended at the latest

    def _ready(self, events):
        self._server.outcome = QUIET
        self.go_on(events)
        return self._server.outcome

    def go_on(self, events=EVENT_READ):
        """Do what can be done now: read and serve, or send."""
        if self._later is None:
            self._guarded(self._go_on, events)

    def _guarded(self, step, *arguments):
        try:
            step(*arguments)
        except OSError as error:
            if not would_block(error):
                self.close()
            elif not self._events and not self.is_closing:
                self._await(EVENT_READ)
        except Exception:
            self.close()
            raise

    def _go_on(self, events):
        if events & EVENT_WRITE:
            self._serve()
        elif self._read():
            if self._has_asked:
                self._serve_later()
            else:
                self._serve()

    def _serve_later(self):
        # The loop calls one timer a turn: who asks for much keeps nobody waiting who has a single question.
        self._later = self._server.loop.call_later(0, self._serve_next)

    def _serve_next(self):
        self._later = None
        if self._sock is not None:  # where memory ran out it was closed, and the timer came again
            self._guarded(self._serve)

    def _read(self):
        """Take what came; return True when there may be a request in it."""
        length = receive_into(self._sock, _buffer)
        if not length:
            self.close()
        elif not self.is_closing:  # else it is more than anybody will answer
            self._reader.receive(_view[:length])
            return True
        return False

    def _serve(self):
        """Answer a request, as far as the client takes the answer."""
        if not self._out and not self._take_request():
            return
        if not self._send_rest():
            return
        if self._is_last:
            self._finish()
        elif self._reader.has_more:
            self._serve_later()

    def _take_request(self):
        """Make the answer to the next request; return False when there is none yet."""
        try:
            request = self._reader.next_request()
        except HTTPError as error:
            log.event("refused", self.peer, "a request of %s: HTTP status %d" % (self.peer, error.status))
            self._is_last = True
            self._out = (error_reply(error),)
            return True
        if request is None:
            self._await(EVENT_READ)
            if self._reader.wants_continue:
                self._reader.wants_continue = False
                self._sock.send(CONTINUE)
            return False
        self.ends_ms = self._server.loop.now_ms + _REQUEST_MS
        self._has_asked = True
        self._is_last = not request.is_persistent
        outcome, self._server.outcome = self._server.outcome, None  # unless it is known that nothing has changed
        self._out = self._server.respond(request, self.peer)
        if request.is_quiet:
            self._server.outcome = outcome
        return True

    def _send_rest(self):
        """Send what is left of the answer; return False when the client has to take some of it first."""
        while self._out:
            piece = self._out[0]
            try:
                # What follows goes into the same segments, if it is only the end: clients are known that read once.
                self._sent += self._sock.send(memoryview(piece)[self._sent:] if self._sent else piece,
                                              MSG_MORE if self._is_last or len(self._out) > 1 else 0)
            except OSError as error:
                if not would_block(error):
                    raise
                self._await(EVENT_WRITE)
                return False
            if self._sent == len(piece):
                self._out, self._sent = self._out[1:], 0
        if not self._is_last:
            self._await(EVENT_READ)
        return True

    def _await(self, events):
        loop = self._server.loop
        if not self._events:
            loop.register(self._sock, events, self._ready)
        elif events != self._events:
            loop.modify(self._sock, events, self._ready)
        self._events = events

    def end_late(self):
        """The time is over: worth a line where there is something that was not done."""
        if self._reader.has_more or self._out:
            log.event("refused", self.peer, "a connection of %s: it takes too long" % self.peer)
        self.close()

    def _finish(self):
        # Closing with unread input would send a reset, which can overtake the answer: say that we are done, and let
        # the client close. That is no hurry: it is looked for now and then (HttpServer).
        self.is_closing = True
        shutdown(self._sock, 1)
        self.ends_ms = self._server.loop.now_ms + _LINGER_MS
        if self._events:
            self._await(EVENT_READ)

    def close(self):
        if self._sock is not None:
            if self._later is not None:
                self._server.loop.cancel(self._later)
            if self._events:
                self._server.loop.unregister(self._sock)
            self._sock.close()
            self._sock = None
            self._server.forget(self)


class HttpServer:
    """Serves the neighbours of `interface`, on its IPv4 address or all IPv6 ones.

    `respond(request, peer)` returns the pieces (bytes) of an answer, and sets request.is_quiet where it changed nothing.
    """

    def __init__(self, loop, interface, port, respond, is_ipv6=False):
        self.loop = loop
        self.respond = respond
        self.heads = Heads()
        self.outcome = None  # of a turn: QUIET, or None
        self._interface = interface
        self._connections = []
        self._counts = {}  # peer -> how many of them it has
        self._sweep_timer = None  # Timer, while there are connections
        part = _SMALL_PART if is_small() else 1
        self._most = (_MAX_CONNECTIONS_6 if is_ipv6 else _MAX_CONNECTIONS) // part
        self._sock = bound(interface, "::" if is_ipv6 else interface.address, port, socket.SOCK_STREAM)
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUF, _RECEIVE_BUFFER)
            self._sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUF, _SEND_BUFFER)
            self._sock.listen(_BACKLOG // part)
            self._sock.setblocking(False)
            loop.register(self._sock, EVENT_READ, self._accept)
        except (OSError, MemoryError):
            self._sock.close()
            raise

    def _accept(self, events):
        # Of a flood several at once, so that the kernel's queue has room: who finds it full comes again a second later.
        self.outcome = QUIET
        count = _ACCEPTED_AT_ONCE if len(self._connections) > self._most // 2 else 1
        while count and self._accept_one():
            count -= 1
        return self.outcome

    def _accept_one(self):
        """Take a new connection; return False when there is none."""
        try:
            sock, raw = self._sock.accept()
        except OSError as error:
            if not would_block(error):
                log.warning("accept failed (errno %s)" % error.errno)
            return False
        try:
            self._take(sock, split_address(raw)[0])
        except MemoryError:
            sock.close()
            raise
        return True

    def _take(self, sock, peer):
        """Serve a connection of the host `peer`, where there is room for it; whole, or not at all."""
        if not self._interface.has_neighbour(ip_bytes(peer)) or not self._has_room(peer):
            sock.close()
            return
        if len(self._connections) >= self._most:
            self._make_room()
        sock.setblocking(False)
        connection = _Connection(self, sock, peer)
        self._connections.append(connection)
        try:
            self._counts[peer] = self._counts.get(peer, 0) + 1
            self._watch()
            connection.go_on()
        except MemoryError:
            connection.close()
            raise

    def _make_room(self):
        """End a connection: some hosts have them all, and each may wait for long."""
        self._look()
        if len(self._connections) < self._most:
            return
        oldest = self._connections[0]
        for connection in self._connections:
            if connection.is_closing:
                oldest = connection  # it has its answer
                break
        else:
            oldest.go_on()  # so has this one, if it has asked meanwhile
        if oldest in self._connections:
            if not oldest.is_closing:
                log.event("refused", oldest.peer, "all connections are taken: the oldest, of %s, is ended" % oldest.peer)
            oldest.close()

    def _watch(self):
        if self._connections and self._sweep_timer is None:
            self._sweep_timer = self.loop.call_later(_SWEEP_MS, self._sweep)

    def _sweep(self):
        """End the connections whose time is over; one timer for all is less work than one for each."""
        self._look()
        for connection in list(self._connections):
            if connection.ends_ms <= self.loop.now_ms:
                connection.end_late()
        self.loop.cancel(self._sweep_timer)  # where memory ran out there may be another one
        self._sweep_timer = None
        self._watch()

    def _look(self):
        """End those that have their answer and whose client has closed, too."""
        for connection in list(self._connections):
            if connection.is_closing:
                connection.go_on()

    def _has_room(self, peer):
        if self._counts.get(peer, 0) < _MAX_CONNECTIONS_PER_HOST:
            return True
        self._look()
        if self._counts.get(peer, 0) < _MAX_CONNECTIONS_PER_HOST:
            return True
        log.event("refused", peer, "a connection of %s: it has %d already" % (peer, _MAX_CONNECTIONS_PER_HOST))
        return False

    def forget(self, connection):
        """A connection has ended."""
        self._connections.remove(connection)
        count = self._counts.get(connection.peer, 0) - 1
        if count > 0:
            self._counts[connection.peer] = count
        else:
            self._counts.pop(connection.peer, None)

    def close(self):
        """End the service and every connection."""
        for connection in list(self._connections):
            connection.close()
        self.loop.cancel(self._sweep_timer)
        self.loop.unregister(self._sock)
        self._sock.close()
