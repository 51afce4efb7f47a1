"""miniigd.compat: the same few functions on both Pythons. Signals are for the tests that run a process of its own."""

import errno
import io
import selectors
import socket

from helpers import raised
from miniigd import compat

QUADS = (("0.0.0.0", b"\0\0\0\0"), ("192.168.1.1", b"\xc0\xa8\x01\x01"), ("255.255.255.255", b"\xff\xff\xff\xff"))

NO_QUADS = (
    "", ".", "...", "1.2.3", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.4.5", "256.1.1.1", "1.1.1.1000", "1.2.3.-4",
    "+1.2.3.4", "1_0.2.3.4", "0x1.2.3.4", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4\n", "1.2.3.4\0", "::1", "localhost",
    "\u0661.\u0662.\u0663.\u0664", "\u00b2.1.1.1",
)


def test_dotted_quads_go_both_ways():
    for text, raw in QUADS:
        assert compat.ip4_bytes(text) == raw
        assert compat.ip4_text(raw) == text
        assert compat.ip4_text(bytearray(raw)) == text


def test_leading_zeros_are_decimal():
    assert compat.ip4_bytes("192.168.001.010") == b"\xc0\xa8\x01\x0a"


def test_what_is_no_dotted_quad_is_a_value_error():
    for text in NO_QUADS:
        raised(ValueError, compat.ip4_bytes, text)


def test_const_is_its_argument():
    assert compat.const(7) == 7


def test_the_wall_clock_is_of_this_century():
    assert 1700000000 < compat.wall_seconds() < 4000000000


def test_random_bytes_are_never_the_same():
    assert [len(compat.random_bytes(count)) for count in (1, 16, 64)] == [1, 16, 64]
    assert len(set([compat.random_bytes(16) for _ in range(20)])) == 20


def test_the_clock_does_not_go_back():
    before = compat.monotonic_ms()
    assert isinstance(before, int) and before >= 0
    for _ in range(1000):
        now = compat.monotonic_ms()
        assert now >= before
        before = now


def test_the_signals_differ():
    numbers = [compat.SIGHUP, compat.SIGINT, compat.SIGTERM, compat.SIGUSR1]
    assert sorted(numbers)[0] > 0
    assert len(set(numbers)) == 4


def _udp(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(compat.address("127.0.0.1", port))
    return sock


def test_addresses_of_datagrams():
    receiver, sender = _udp(17501), _udp(17502)
    sender.sendto(b"x", compat.address("127.0.0.1", 17501))
    data, raw = receiver.recvfrom(10)
    receiver.close()
    sender.close()
    assert data == b"x"
    assert compat.split_address(raw) == ("127.0.0.1", 17502)


def test_select_ms_gives_the_key_and_the_events():
    receiver, sender = _udp(17501), _udp(17502)
    selector = selectors.DefaultSelector()
    selector.register(receiver, selectors.EVENT_READ, "mine")
    assert list(compat.select_ms(selector, 0)) == []
    sender.sendto(b"x", compat.address("127.0.0.1", 17501))
    for timeout_ms in (0, 50, None):
        ready = compat.select_ms(selector, timeout_ms)
        assert [(key.data, events) for key, events in ready] == [("mine", selectors.EVENT_READ)]
    selector.close()
    receiver.close()
    sender.close()


def test_shutdown_ends_one_direction():
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(compat.address("127.0.0.1", 17503))
    listener.listen(1)
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.connect(compat.address("127.0.0.1", 17503))
    served, raw = listener.accept()
    assert compat.split_address(raw)[0] == "127.0.0.1"
    compat.shutdown(client, 1)
    assert served.recv(10) == b""
    served.send(b"still")
    assert client.recv(10) == b"still"
    for sock in (client, served, listener):
        sock.close()


def test_a_netlink_socket_does_not_block():
    sock = compat.netlink_socket(0, 0x11)
    assert raised(OSError, sock.recv, 100).errno == errno.EAGAIN
    sock.close()


def test_a_traceback_is_written_to_a_file():
    file = io.StringIO()
    try:
        raise ValueError("of this test")
    except ValueError as error:
        compat.print_exception(error, file)
    assert "ValueError: of this test" in file.getvalue()
