"""The control channel: a local socket on which the running daemon takes one command from root, and answers it.

Commands are understood by somebody else: `respond(line, now)` returns the pieces (str) of an answer, which are asked
for and sent a few in each turn of the loop, so that the longest listing neither needs much memory nor keeps clients
waiting. A zero byte ends the answer.

The socket's file is root's alone before anybody can connect, and who connects is looked at besides.
"""

import errno
import socket

from . import CHANNEL, log
from .compat import AF_UNIX, SOCK_CLOEXEC, accept_local, chmod, const, local_address, remove
from .loop import EVENT_READ, EVENT_WRITE

_MOST_AT_ONCE = const(2)  # the others wait in the kernel's queue
_BACKLOG = const(4)
_MAX_LINE = const(80)  # bytes; the longest command has 34
_PIECES = const(16)  # of an answer, in one turn of the loop
_PATIENCE_MS = const(15000)  # with somebody who does not say or take anything
_RETRY_MS = const(5000)  # when the socket could not be opened


class Channel:
    """The socket at `path`: `open` it, and again for as long as that does not succeed."""

    def __init__(self, loop, respond, path=CHANNEL):
        self.loop = loop
        self.respond = respond
        self._path = path
        self._sock = None
        self._talks = []
        self._retry = None  # Timer
        self._is_failing = False  # said in the log
        self._is_listening = False

    def open(self):
        """Take commands from now on."""
        try:
            self._sock = _listener(self._path)
        except OSError as error:
            if not self._is_failing:
                self._is_failing = True
                log.warning("no commands are taken on %s (errno %s)%s" % (
                    self._path, error.errno, ": another miniigd is running" if error.errno == errno.EADDRINUSE else ""))
            self._retry = self.loop.call_later(_RETRY_MS, self.open)
            return
        self._is_failing = False
        self._listen()

    def _listen(self):
        """Watch for connections while there is room for one."""
        wants = len(self._talks) < _MOST_AT_ONCE
        if wants != self._is_listening:
            self._is_listening = wants
            if wants:
                self.loop.register(self._sock, EVENT_READ, self._accept)
            else:
                self.loop.unregister(self._sock)

    def _accept(self, events):
        try:
            sock, uid = accept_local(self._sock)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                log.warning("a command was not taken (errno %s)" % error.errno)
            return
        if uid:
            log.warning("a command of the user %d was not taken: only root's are" % uid)
            sock.close()
            return
        self._talks.append(_Talk(self, sock))
        self._listen()

    def forget(self, talk):
        """A connection has ended."""
        self._talks.remove(talk)
        if self._sock is not None:
            self._listen()

    def close(self):
        """End it; the file goes."""
        self.loop.cancel(self._retry)
        if self._sock is None:
            return
        if self._is_listening:
            self.loop.unregister(self._sock)
            self._is_listening = False
        self._sock.close()
        self._sock = None
        for talk in list(self._talks):
            talk.close()
        try:
            remove(self._path)
        except OSError:
            pass  # somebody tidied up


def _listener(path):
    """Return a socket that listens at `path`, in the place of what a killed daemon left there; OSError."""
    if _is_served(path):
        raise OSError(errno.EADDRINUSE, path)
    try:
        remove(path)
    except OSError:
        pass  # there is none, or bind says what is wrong
    sock = socket.socket(AF_UNIX, socket.SOCK_STREAM | SOCK_CLOEXEC)
    try:
        sock.bind(local_address(path))
        chmod(path, 0o600)  # nobody can connect before it listens
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _is_served(path):
    """True when somebody listens at `path`."""
    sock = socket.socket(AF_UNIX, socket.SOCK_STREAM | SOCK_CLOEXEC)
    try:
        sock.setblocking(False)
        sock.connect(local_address(path))
        return True
    except OSError as error:
        return error.errno == errno.EAGAIN  # its queue is full
    finally:
        sock.close()


class _Talk:
    """One connection: a line comes, an answer goes."""

    def __init__(self, channel, sock):
        self._channel = channel
        self._sock = sock
        self._line = b""
        self._pieces = None  # iterator of str, once the line is there
        self._out = b""
        self._is_whole = False  # the end of the answer is in _out
        self._deadline = channel.loop.call_later(_PATIENCE_MS, self.close)
        channel.loop.register(sock, EVENT_READ, self._ready)

    def _ready(self, events):
        try:
            if self._pieces is None:
                self._read()
            else:
                self._write()
        except OSError as error:
            if error.errno != errno.EAGAIN:
                self.close()
        except Exception:
            self.close()
            raise

    def _read(self):
        data = self._sock.recv(_MAX_LINE)
        self._line += data
        line, mark, _ = self._line.partition(b"\n")
        if mark:
            loop = self._channel.loop
            self._pieces = iter(self._channel.respond(line, loop.now))
            loop.modify(self._sock, EVENT_WRITE, self._ready)
        elif not data or len(self._line) >= _MAX_LINE:
            self.close()

    def _write(self):
        """Send a few pieces, as far as they are taken."""
        loop = self._channel.loop
        for _ in range(_PIECES):
            if not self._out:
                if self._is_whole:
                    self.close()
                    return
                self._out = self._next()
            self._out = self._out[self._sock.send(self._out):]
            loop.cancel(self._deadline)
            self._deadline = loop.call_later(_PATIENCE_MS, self.close)

    def _next(self):
        for piece in self._pieces:
            return piece.encode()
        self._is_whole = True
        return b"\0"

    def close(self):
        """End the connection."""
        if self._sock is not None:
            loop = self._channel.loop
            loop.cancel(self._deadline)
            loop.unregister(self._sock)
            self._sock.close()
            self._sock = None
            self._channel.forget(self)
