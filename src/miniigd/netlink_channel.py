"""A conversation with the kernel: the only module that opens netlink sockets. No bytes are understood here."""

import errno

from . import log
from .compat import const, ignore_sender, netlink_socket, receive_into
from .errors import FirewallError
from .loop import EVENT_READ

_NETLINK_READ = const(8192)  # bytes; the kernel's largest datagram for what is asked here
_NETLINK_SHORT = const(2048)  # bytes; enough for the answers to one mapping's batch, and found in the heap much sooner
_MOST_DRAINED = const(1000)  # datagrams: a socket holds fewer

_short = bytearray(_NETLINK_SHORT)  # short answers are read into this


class NetlinkChannel:
    """A netlink socket of `protocol`: `transact` and `converse` ask the kernel, `listen` hears the `groups`.

    One that `is_brief`, soon to be closed after many questions, keeps the buffer for answers as long.
    """

    def __init__(self, protocol, groups=0, is_brief=False):
        self._buffer = bytearray(_NETLINK_READ) if is_brief else None
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
                datagram = self._receive(is_short)
                take(datagram)
                if is_answered(datagram):
                    self._is_clean = True
                    return
        except OSError as error:
            raise FirewallError("netlink: no answer from the kernel (errno %s)" % error.errno, error.errno)

    def _receive(self, is_short):
        buffer = self._buffer or (_short if is_short else None)
        if buffer is None:
            return self._sock.recv(_NETLINK_READ)
        return bytes(memoryview(buffer)[:receive_into(self._sock, buffer)])

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
