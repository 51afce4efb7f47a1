"""Messages to subscribers: each is a TCP connection of its own that the loop serves."""

import errno
import socket

from .compat import SO_BINDTODEVICE, address, const
from .loop import EVENT_READ, EVENT_WRITE
from .net import new_socket, would_block

_DELIVERY_MS = const(5000)  # for a subscriber to take an event and say so
_READ = const(2048)  # bytes of the answer, of which only the beginning matters


class Delivery:
    """One message to a subscriber on `interface`: connects, sends `data`, waits for an answer.

    Calls done(True) when the subscriber answered with HTTP, done(False) when it did not within some seconds.
    """

    def __init__(self, loop, interface, host, port, data, done):
        self._loop = loop
        self._data = data
        self._sent = 0
        self._done = done
        self._sock = new_socket(host, socket.SOCK_STREAM)
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
            if not would_block(error):
                self._end(False)

    def _end(self, is_done):
        if self._sock is not None:
            self._loop.cancel(self._deadline)
            self._loop.unregister(self._sock)
            self._sock.close()
            self._sock = None
            self._done(is_done)
