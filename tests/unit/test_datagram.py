"""miniigd.datagram: on the loopback interface its sockets hear neighbours only, answer, and tell groups."""

import errno
import socket

from helpers import Output, lacks_ipv6, lacks_multicast, raised
from miniigd import log
from miniigd.addresses import ip4_bytes, ip6_bytes
from miniigd.compat import AF_INET6, IP_ADD_MEMBERSHIP, IP_MULTICAST_IF, address, split_address
from miniigd.datagram import DatagramSocket, MulticastSocket
from miniigd.interfaces import Interface
from miniigd.loop import Loop

PORT, CLIENT_PORT, GROUP_PORT, GROUP = 17571, 17572, 17573, "239.255.77.77"


def _interface(length=8, name="lo"):
    interface = Interface(name)
    interface.index, interface.is_up, interface.addresses = 1, True, [("127.0.0.1", length)]
    return interface


def _client(source, port=CLIENT_PORT):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(address(source, port))
    sock.setblocking(False)
    return sock


def _turn(loop):
    for _ in range(3):
        loop.turn(20)


def test_it_answers_from_the_address_that_was_asked():
    if lacks_multicast():
        return
    loop, got = Loop(), []
    server = DatagramSocket(loop, _interface(), "127.0.0.1", PORT, lambda datagram, peer: got.append((datagram, peer)))
    client = _client("127.0.0.2")
    client.connect(address("127.0.0.1", PORT))  # hears nobody else
    client.send(b"hello")
    _turn(loop)
    assert got == [(b"hello", ("127.0.0.2", CLIENT_PORT))]
    server.send(b"hello yourself", got[0][1])
    assert client.recv(100) == b"hello yourself"
    # on another of the router's addresses nobody listens
    other = _client("127.0.0.1")
    other.sendto(b"hello", address("127.0.0.3", PORT))
    _turn(loop)
    assert len(got) == 1
    for sock in (client, other, server):
        sock.close()


def test_who_is_no_neighbour_is_not_heard():
    if lacks_multicast():
        return
    loop, got = Loop(), []
    server = DatagramSocket(loop, _interface(30), "127.0.0.1", PORT, lambda datagram, peer: got.append(peer[0]))
    clients = [_client("127.0.0.2"), _client("127.0.1.2")]
    for client in clients:
        client.sendto(b"hello", address("127.0.0.1", PORT))
    _turn(loop)
    assert got == ["127.0.0.2"]
    for sock in clients + [server]:
        sock.close()


def test_it_tells_a_group():
    if lacks_multicast():
        return
    loop = Loop()
    member = _client("0.0.0.0", GROUP_PORT)
    member.setsockopt(0, IP_ADD_MEMBERSHIP, ip4_bytes("224.0.0.1") + ip4_bytes("127.0.0.1"))
    server = DatagramSocket(loop, _interface(), "127.0.0.1", PORT, None)
    server.send(b"news", ("224.0.0.1", GROUP_PORT))
    data, raw = member.recvfrom(100)
    assert (data, split_address(raw)) == (b"news", ("127.0.0.1", PORT))
    server.send(b"x", ("255.255.255.255", 1))  # not allowed: nothing is raised
    member.close()
    server.close()


def test_a_port_that_is_taken():
    if lacks_multicast():
        return
    loop = Loop()
    first = DatagramSocket(loop, _interface(), "127.0.0.1", PORT, None)
    assert raised(OSError, DatagramSocket, loop, _interface(), "127.0.0.1", PORT, None).errno == errno.EADDRINUSE
    first.close()
    DatagramSocket(loop, _interface(), "127.0.0.1", PORT, None).close()


class _Heard:
    """A multicast socket; what it heard is in `datagrams`."""

    def __init__(self, prefix=8):
        self.loop = Loop()
        self.datagrams = []
        self.sock = MulticastSocket(self.loop, _interface(prefix), (GROUP,), GROUP_PORT,
                                    lambda datagram, peer: self.datagrams.append((datagram, peer)))


def test_unicast_and_multicast_are_heard():
    if lacks_multicast():
        return
    heard, client = _Heard(), _client("127.0.0.1")
    client.setsockopt(0, IP_MULTICAST_IF, ip4_bytes("127.0.0.1"))
    client.sendto(b"one", address("127.0.0.1", GROUP_PORT))
    client.sendto(b"two", address(GROUP, GROUP_PORT))
    client.sendto(b"", address("127.0.0.1", GROUP_PORT))
    _turn(heard.loop)
    peer = ("127.0.0.1", CLIENT_PORT)
    assert heard.datagrams == [(b"one", peer), (b"two", peer), (b"", peer)]
    heard.sock.close()
    client.close()


def test_answers_leave_from_the_group_s_port():
    if lacks_multicast():
        return
    heard, client = _Heard(), _client("127.0.0.1")
    heard.sock.send(b"answer", ("127.0.0.1", CLIENT_PORT))
    data, raw = client.recvfrom(100)
    assert data == b"answer"
    assert split_address(raw) == ("127.0.0.1", GROUP_PORT)
    heard.sock.close()
    client.close()


def test_announcements_reach_the_group():
    if lacks_multicast():
        return
    heard, member = _Heard(), _client("0.0.0.0", GROUP_PORT)
    member.setsockopt(0, IP_ADD_MEMBERSHIP, ip4_bytes(GROUP) + ip4_bytes("127.0.0.1"))
    heard.sock.send(b"hello", (GROUP, GROUP_PORT))
    assert member.recv(100) == b"hello"
    heard.sock.close()
    member.close()


def test_datagrams_of_strangers_are_dropped():
    if lacks_multicast():
        return
    heard, stranger, neighbour = _Heard(32), _client("127.0.0.2"), _client("127.0.0.1")
    stranger.sendto(b"evil", address("127.0.0.1", GROUP_PORT))
    neighbour.sendto(b"good", address("127.0.0.1", GROUP_PORT))
    _turn(heard.loop)
    assert heard.datagrams == [(b"good", ("127.0.0.1", CLIENT_PORT))]
    heard.sock.close()
    stranger.close()
    neighbour.close()


def test_a_datagram_that_cannot_be_sent_is_no_failure():
    if lacks_multicast():
        return
    heard = _Heard()
    log.set_level(log.DEBUG)
    with Output(log) as output:
        heard.sock.send(b"x" * 70000, ("127.0.0.1", CLIENT_PORT))
    log.set_level(log.INFO)
    assert "a datagram was not sent" in output.text()
    heard.sock.send(b"x", ("127.0.0.1", CLIENT_PORT))  # nobody listens: the next read hears of it
    _turn(heard.loop)
    assert heard.datagrams == []
    heard.sock.close()


def test_an_interface_that_is_gone():
    raised(OSError, MulticastSocket, Loop(), _interface(name="gone0"), (GROUP,), GROUP_PORT, None)


def _interface6():
    interface = Interface("lo")
    interface.index, interface.is_up, interface.addresses6 = 1, True, [(ip6_bytes("::1"), 128, True)]
    return interface


def test_datagrams_over_ipv6():
    """By unicast; groups need an interface that has them, see tests/router/test_ipv6.py."""
    if lacks_ipv6() or lacks_multicast():
        return
    loop, datagrams, interface = Loop(), [], _interface6()
    heard = MulticastSocket(loop, interface, ("ff02::c", "ff05::c"), GROUP_PORT,
                            lambda datagram, peer: datagrams.append((datagram, peer)))
    with Output(log) as output:
        log.set_level(log.DEBUG)
        heard.join()
        log.set_level(log.INFO)
    assert output.text() == ""
    client = socket.socket(AF_INET6, socket.SOCK_DGRAM)
    client.bind(address("::1", CLIENT_PORT))
    client.sendto(b"one", address("::1", GROUP_PORT))
    _turn(loop)
    interface.addresses6 = []
    client.sendto(b"of a stranger", address("::1", GROUP_PORT))
    _turn(loop)
    assert datagrams == [(b"one", ("::1", CLIENT_PORT))]
    heard.send(b"answer", ("::1", CLIENT_PORT))
    data, raw = client.recvfrom(100)
    assert (data, split_address(raw)) == (b"answer", ("::1", GROUP_PORT))
    heard.close()
    client.close()
