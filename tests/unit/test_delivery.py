"""miniigd.delivery: real sockets on the loopback interface, with a loop turned by hand. Runs as root (SO_BINDTODEVICE)."""

import errno
import socket

from helpers import Clock, Output, Slow, lacks_ipv6, loopback, loopback6, turn
from miniigd import log
from miniigd.compat import AF_INET6, address, split_address
from miniigd.delivery import Delivery
from miniigd.loop import Loop

EVENT_PORT = 17545


class _Delivered:
    """A message on its way to a subscriber that listens here; how it ended is in `results`."""

    def __init__(self, data=b"NOTIFY", name="lo", is_listening=True):
        self.loop = Loop()
        self.results = []
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(address("127.0.0.1", EVENT_PORT))
        if is_listening:
            self.listener.listen(4)
        self.listener.setblocking(False)
        self.delivery = Delivery(self.loop, loopback(name=name), "127.0.0.1", EVENT_PORT, data, self.results.append)
        assert self.results == []  # never before it is made

    def accept(self):
        """Return the subscriber's end of the connection."""
        for _ in range(200):
            try:
                sock, raw = self.listener.accept()
            except OSError as error:
                assert error.errno == errno.EAGAIN
                self.loop.turn(1)
                continue
            assert split_address(raw)[0] == "127.0.0.1"
            sock.setblocking(False)
            return sock
        raise AssertionError("nobody connected")

    def read(self, sock, data):
        """Let the message arrive: `data`, and nothing else."""
        position = 0
        for _ in range(20000):
            self.loop.turn(0 if position else 1)
            try:
                piece = sock.recv(65536)
            except OSError as error:
                assert error.errno == errno.EAGAIN
                continue
            assert piece and piece == data[position:position + len(piece)]
            position += len(piece)
            if position == len(data):
                return
        raise AssertionError("%d bytes came" % position)

    def ended(self, result):
        """Let it end with that result, once, and close everything."""
        for _ in range(200):
            if self.results:
                break
            self.loop.turn(1)
        turn(self.loop)
        assert self.results == [result]
        assert self.delivery._sock is None
        assert self.loop._timers == [] and len(list(self.loop._selector.get_map())) == 0
        self.listener.close()


def test_a_message_is_taken_and_answered():
    for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.0 412 Precondition Failed\r\n\r\n"):
        delivered = _Delivered(b"NOTIFY /e HTTP/1.1\r\n\r\nbody")
        sock = delivered.accept()
        delivered.read(sock, b"NOTIFY /e HTTP/1.1\r\n\r\nbody")
        turn(delivered.loop)
        assert delivered.results == []
        sock.send(answer)
        delivered.ended(True)
        assert sock.recv(10) == b""  # our end is closed
        sock.close()


def test_a_message_that_is_answered_and_closed_at_once_is_taken():
    delivered = _Delivered()
    sock = delivered.accept()
    delivered.read(sock, b"NOTIFY")
    sock.send(b"HTTP/1.1 200 OK\r\n\r\n")
    sock.close()
    delivered.ended(True)


def test_a_subscriber_that_is_not_there():
    _Delivered(is_listening=False).ended(False)


def test_a_subscriber_whose_interface_is_gone():
    _Delivered(name="gone0").ended(False)


def test_a_subscriber_that_cannot_be_reached():
    loop, results = Loop(), []
    Delivery(loop, loopback(), "255.255.255.255", EVENT_PORT, b"NOTIFY", results.append)
    assert results == []
    turn(loop)
    assert results == [False]
    assert loop._timers == [] and len(list(loop._selector.get_map())) == 0


def test_a_subscriber_that_never_answers_has_a_deadline():
    for is_accepted in (True, False):
        with Clock() as clock:
            delivered = _Delivered()
            if is_accepted:
                sock = delivered.accept()
                delivered.read(sock, b"NOTIFY")
            clock.ms += 4999
            turn(delivered.loop)
            assert delivered.results == []
            clock.ms += 1
            delivered.ended(False)
            if is_accepted:
                assert sock.recv(10) == b""
                sock.close()


def test_a_subscriber_that_closes_without_an_answer():
    for is_read in (True, False):  # unread data makes it a reset
        delivered = _Delivered()
        sock = delivered.accept()
        if is_read:
            delivered.read(sock, b"NOTIFY")
        else:
            turn(delivered.loop)
        sock.close()
        delivered.ended(False)


def test_a_subscriber_that_answers_something_else():
    delivered = _Delivered()
    sock = delivered.accept()
    delivered.read(sock, b"NOTIFY")
    sock.send(b"220 mail.example ESMTP\r\n")
    delivered.ended(False)
    sock.close()


def test_a_message_goes_out_as_the_network_takes_it():
    data = b"0123456789" * 10
    delivered = _Delivered(data)
    delivered.delivery._sock = Slow(delivered.delivery._sock)
    sock = delivered.accept()
    delivered.read(sock, data)
    turn(delivered.loop)
    assert delivered.results == []
    sock.send(b"HTTP/1.1 200 OK\r\n\r\n")
    delivered.ended(True)
    sock.close()


def test_a_long_message_arrives_whole():
    data = b"0123456789abcdef" * 65536
    delivered = _Delivered(data)
    sock = delivered.accept()
    delivered.read(sock, data)
    sock.send(b"HTTP/1.1 200 OK\r\n\r\n")
    delivered.ended(True)
    sock.close()


def test_a_subscriber_that_takes_only_a_part_has_a_deadline():
    with Clock() as clock:
        delivered = _Delivered(b"0123456" * 100)
        delivered.delivery._sock = Slow(delivered.delivery._sock)
        sock = delivered.accept()
        delivered.read(sock, b"0123456" * 3)
        clock.ms += 4999
        turn(delivered.loop)
        assert delivered.results == []
        clock.ms += 1
        delivered.ended(False)
        sock.close()


def test_a_failure_behind_a_delivery_ends_nothing_else():
    delivered = _Delivered()
    delivered.delivery._done = None  # TypeError when called
    sock = delivered.accept()
    delivered.read(sock, b"NOTIFY")
    sock.send(b"HTTP/1.1 200 OK\r\n\r\n")
    with Output(log) as output:
        for _ in range(50):
            delivered.loop.turn(1)
    assert "TypeError" in output.text()
    assert output.text().count("TypeError") == 1
    delivered.results.append(None)
    delivered.ended(None)
    sock.close()


def test_a_message_to_a_subscriber_over_ipv6():
    if lacks_ipv6():
        return
    loop, results = Loop(), []
    listener = socket.socket(AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address("::1", EVENT_PORT))
    listener.listen(1)
    Delivery(loop, loopback6(), "::1", EVENT_PORT, b"NOTIFY", results.append)
    sock = listener.accept()[0]
    turn(loop)
    assert sock.recv(100) == b"NOTIFY"
    sock.send(b"HTTP/1.1 200 OK\r\n\r\n")
    turn(loop)
    assert results == [True]
    sock.close()
    listener.close()
