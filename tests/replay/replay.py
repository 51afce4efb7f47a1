"""Plays what clients sent into the daemon, without a network and without a clock, and writes down what it answers.

Runs on both Pythons, so that their answers can be compared byte for byte. The router is 192.168.1.1 port 5000, its
WAN is 11.0.0.2; the time is the transcript's own. Of the daemon everything is real but the sockets and the loop.

    replay.py FILE...           print each transcript with the answers of now, below a line "=== FILE"
    replay.py --write FILE...   put the answers into the files (CPython only, in practice)

A transcript is ASCII text. A line of it is one of

    # ...                  a comment; the first ones say which client this is and how its part was got
    listen                 (before all others) write down what is multicast too
    udp 192.168.1.2:1900   a datagram of that peer follows, or an answer to it
    tcp 192.168.1.2:4711   what follows is on the connection from that peer, a new one when the last one has ended
    wait 0.25              so many seconds pass
    > GET / HTTP/1.1\\r\\n   bytes that the client sends; \\r \\n \\t \\\\ and \\xNN are escapes; broken behind each \\n
    -                      end of a segment or datagram, where the next line continues on the same side
    close                  the client ends the connection before the daemon does

and what the daemon adds, which is not read but made anew:

    < HTTP/1.1 200 OK\\r\\n  bytes of an answer
    .                      the daemon ends the connection
    event 192.168.1.2:4712 a connection of the daemon to a subscriber, who takes what is sent
    multicast              to everybody, if the client listens
"""

import gc
import sys

from miniigd import events, lan, log, net
from miniigd.compat import MSG_MORE
from miniigd.description import Device
from miniigd.firewall.memory import MemoryFirewall
from miniigd.gateway import Gateway
from miniigd.http import Heads
from miniigd.interfaces import Interface
from miniigd.mapping import MappingTable
from miniigd.wan import Wan

ROUTER, PORT, WAN = "192.168.1.1", 5000, "11.0.0.2"
UUID = "6d696e69-6967-8001-8000-020000000001"
_NOTIFY_INTERVAL = 900  # seconds
_STARTED = 1700000000  # seconds since 1970
_HEX = "0123456789abcdef"


def escape(data):
    """Return bytes as the text that stands for them."""
    plain, end = (data[:-2], "\\r\\n") if data[-2:] == b"\r\n" else (data, "")
    if plain and min(plain) >= 0x20 and max(plain) < 0x7F and b"\\" not in plain:
        return plain.decode() + end  # nearly every line, and much faster than byte by byte
    parts = []
    for byte in data:
        if byte in b"\r\n\t\\":
            parts.append("\\" + {13: "r", 10: "n", 9: "t", 92: "\\"}[byte])
        elif 0x20 <= byte < 0x7F:
            parts.append(chr(byte))
        else:
            parts.append("\\x" + _HEX[byte >> 4] + _HEX[byte & 15])
    return "".join(parts)


def unescape(text):
    """Return the bytes that a text (bytes) of `escape` stands for."""
    pieces = text.split(b"\\")
    parts = [pieces[0]]
    is_literal = False  # the piece comes behind an escaped backslash
    for piece in pieces[1:]:
        if is_literal:
            parts.append(piece)
            is_literal = False
        elif not piece:
            parts.append(b"\\")
            is_literal = True
        elif piece[:1] == b"x":
            parts.append(bytes([int(piece[1:3].decode(), 16)]) + piece[3:])
        else:
            parts.append({b"r": b"\r", b"n": b"\n", b"t": b"\t"}[piece[:1]] + piece[1:])
    return b"".join(parts)


class Writer:
    """Writes the lines of a transcript by `write(text)`, each kind in one form only."""

    def __init__(self, write):
        self._write = write
        self._where = None  # the block that is open
        self._side = None  # whose bytes were written last in it
        self._pause = 0  # milliseconds that passed since

    def comment(self, line):
        """Write a line of the head, or between two blocks."""
        self.rest()
        self._write(line + "\n")
        self._where = None

    def block(self, where):
        """Begin a block, unless it is the one that is open."""
        self.rest()
        if where != self._where:
            self._write("\n%s\n" % where)
            self._where = where
            self._side = None

    def data(self, where, side, data):
        """Write bytes of the client (side ">") or of the daemon ("<")."""
        self.block(where)
        parts = ["-\n"] if self._side == side else []
        while data:
            end = data.find(b"\n") + 1 or len(data)
            parts.append("%s %s\n" % (side, escape(data[:end])))
            data = data[end:]
        self._write("".join(parts))
        self._side = side

    def end(self, where, mark="."):
        """The daemon has ended a connection, or with mark "close" the client has."""
        self.block(where)
        self._write(mark + "\n")
        self._side = None

    def wait(self, milliseconds):
        """Time passes; it is written down when something happens then."""
        self._pause += milliseconds

    def rest(self):
        """Write down the time that has passed."""
        if self._pause:
            self._write("\nwait %d.%03d\n" % (self._pause // 1000, self._pause % 1000))
            self._pause = 0
            self._where = None


class _Timer:
    def __init__(self, when_ms, callback):
        self.when_ms = when_ms
        self.callback = callback


class _Loop:
    """Stands in for the loop: its time is the transcript's, and nothing is ready but what is fed by hand."""

    def __init__(self, passed):
        self.now_ms = 1000
        self.at_end_of_turn = None
        self._passed = passed  # called with the milliseconds of each step
        self._timers = []

    @property
    def now(self):
        return self.now_ms // 1000

    def register(self, sock, watched, callback):
        sock.callback = callback

    modify = register

    def unregister(self, sock):
        sock.callback = None

    def call_later(self, delay_ms, callback):
        timer = _Timer(self.now_ms + delay_ms, callback)
        self._timers.append(timer)
        return timer

    def cancel(self, timer):
        if timer in self._timers:
            self._timers.remove(timer)

    def turn(self):
        """Call what is due, also what becomes due by that, then end the turn."""
        due = [one for one in self._timers if one.when_ms <= self.now_ms]
        while due:
            self._timers.remove(due[0])
            due[0].callback()
            due = [one for one in self._timers if one.when_ms <= self.now_ms]
        self.at_end_of_turn()

    def advance(self, milliseconds):
        """Let time pass, with a turn for each moment at which something is due."""
        until = self.now_ms + milliseconds
        while self.now_ms < until:
            before = self.now_ms
            self.now_ms = min([until] + [max(one.when_ms, before + 1) for one in self._timers])
            self._passed(self.now_ms - before)
            self.turn()


class _Wan(Wan):
    """The WAN of a router on which no other program listens."""

    def has_service(self, protocol, port):
        return False


class _Socket:
    """Stands in for a client's connection: what was put into `segment` is received."""

    def __init__(self, player, where):
        self._player = player
        self._where = where
        self.connection = None
        self.callback = None
        self.segment = b""
        self._held = b""  # more was announced

    def send(self, data, flags=0):
        self._held += bytes(data)
        if flags != MSG_MORE:
            self._flush()
        return len(data)

    def _flush(self):
        if self._held:
            self._player.writer.data(self._where, "<", self._held)
            self._held = b""

    def end(self):
        """See compat.shutdown: what was held goes with it."""
        self._flush()
        self._player.ended(self._where)

    def close(self):
        self._player.ended(self._where)


class _Player:
    """The daemon's device on one LAN, and the stand-ins for what lies between it and its clients."""

    def __init__(self, writer, is_listening):
        self.writer = writer
        self._is_listening = is_listening
        self.heads = Heads()  # see net.HttpServer
        self.outcome = None
        self._sockets = {}  # block -> _Socket
        self._sids = 0
        self._expiry_at = None  # the second for which a timer is set
        self.loop = _Loop(writer.wait)
        interface = Interface("lan")
        interface.index, interface.is_up, interface.addresses = 2, True, [(ROUTER, 24)]
        outside = Interface("wan-of-a-transcript")  # a name that no interface can have: its counters are 0
        outside.index, outside.is_up, outside.addresses = 3, True, [(WAN, 24)]
        wan = _Wan(outside, 100000000, 100000000)
        wan.update(self.loop.now)
        self._gateway = Gateway(MappingTable(), MemoryFirewall(), wan)
        device = Device(UUID)
        self._gateway.default_connection_services = {
            version: device.default_connection_service(version) for version in device.versions}
        lan.HttpServer, lan.MulticastSocket, events.Delivery = self._serve, self._join, self._deliver
        events._make_sid = self._make_sid
        net.shutdown = _shutdown
        net.receive_into = _receive_into
        lan.random_bytes, lan.wall_seconds = bytes, lambda: _STARTED
        self._lans = lan.Lans(self.loop, [interface], PORT, device, self._gateway, _NOTIFY_INTERVAL)
        self.loop.at_end_of_turn = self._end_turn
        self._lans.follow()
        self.loop.turn()

    def _end_turn(self):
        due = self._gateway.table.next_expiry
        if due != self._expiry_at:
            self._expiry_at = due
            if due is not None:
                self.loop.call_later(due * 1000 - self.loop.now_ms, self._expire)
        self._lans.look()

    def _expire(self):
        self._expiry_at = None
        self._gateway.expire(self.loop.now)

    # the stand-ins

    def _serve(self, loop, interface, port, respond, is_ipv6):
        self.respond = respond
        return self

    def forget(self, connection):
        """See net.HttpServer."""

    def join(self):
        """See datagram.MulticastSocket."""

    def _join(self, loop, interface, groups, port, receive):
        self._receive = receive
        self._groups = groups
        return self

    def send(self, datagram, peer):
        """See datagram.MulticastSocket."""
        if peer[0] not in self._groups:
            self.writer.data("udp %s:%d" % peer, "<", datagram)
        elif self._is_listening:
            self.writer.data("multicast", "<", datagram)

    def _deliver(self, loop, interface, host, port, data, done):
        self.writer.data("event %s:%d" % (host, port), "<", data)
        loop.call_later(0, lambda: done(True))

    def _make_sid(self):
        self._sids += 1
        return make_sid(self._sids)

    def ended(self, where):
        """The daemon has closed a connection, or said that it will send no more on it."""
        if self._sockets.pop(where, None) is not None:
            self.writer.end(where)

    # what the transcript says

    def feed(self, where, data):
        """Give the daemon a segment or datagram of the client."""
        self.writer.data(where, ">", data)
        kind, _, peer = where.partition(" ")
        host, _, port = peer.partition(":")
        if kind == "udp":
            self._receive(data, (host, int(port)))
        else:
            sock = self._sockets.get(where)
            if sock is None:
                sock = self._sockets[where] = _Socket(self, where)
                sock.connection = net._Connection(self, sock, host)
                sock.segment = data
                sock.connection.go_on()
                self._watch(sock.connection)
            else:
                sock.segment += data
            while sock.segment and sock.callback is not None:
                sock.callback(net.EVENT_READ)
        self.loop.turn()

    def _watch(self, connection):
        """End a connection when its time is over, as the server's sweep does."""
        left = connection.ends_ms - self.loop.now_ms
        if left > 0:
            self.loop.call_later(left, lambda: self._watch(connection))
        else:
            connection.close()

    def close(self, where):
        """The client ends a connection."""
        sock = self._sockets.pop(where, None)
        if sock is not None:
            self.writer.end(where, "close")
            sock.connection.go_on()  # reads nothing, which says so

    def wait(self, text):
        """Let the seconds in `text` pass."""
        seconds, _, rest = text.partition(".")
        self.loop.advance(int(seconds) * 1000 + int((rest + "000")[:3]))


def make_sid(number):
    """Return the SID of a subscription in a transcript."""
    return "uuid:00000000-0000-4000-8000-%012d" % number


def _receive_into(sock, buffer):
    """See compat.receive_into."""
    data, sock.segment = sock.segment[:len(buffer)], sock.segment[len(buffer):]
    buffer[:len(data)] = data
    return len(data)


def _shutdown(sock, how):
    sock.end()


def play(data, write):
    """Play a transcript (bytes); write it with the answers that it gets now, by write(text)."""
    writer = Writer(write)
    player = None
    where = None
    pending = b""
    is_open = False  # there are bytes of the client that are not sent yet
    for line in data.split(b"\n"):
        if line[:2] == b"> ":
            pending += unescape(line[2:])
            is_open = True
            continue
        if is_open:
            player.feed(where, pending)
            pending, is_open = b"", False
        if line[:1] == b"#":
            writer.comment(line.decode())
            continue
        word, _, rest = line.partition(b" ")
        if word not in (b"listen", b"udp", b"tcp", b"close", b"wait"):
            continue
        if word == b"listen":
            writer.block("listen")
        if player is None:
            player = _Player(writer, word == b"listen")
        if word == b"wait":
            player.wait(rest.decode())
        elif word == b"close":
            player.close(where)
        elif rest:
            where = line.decode()
    if is_open:
        player.feed(where, pending)
    writer.rest()


def main(arguments):
    """Play the files that the command line names; return the exit status."""
    log.set_level(log.ERROR)
    is_rewriting = arguments[:1] == ["--write"]
    for path in arguments[is_rewriting:]:
        with open(path, "rb") as file:
            data = file.read()
        if is_rewriting:
            parts = []
            play(data, parts.append)
            with open(path, "wb") as file:
                file.write("".join(parts).encode())
        else:
            sys.stdout.write("=== %s\n" % path)
            play(data, sys.stdout.write)
        gc.collect()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
