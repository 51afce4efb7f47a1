"""miniigd.datagram: on the loopback interface it hears neighbours only, answers from its address and tells a group."""

import errno
import socket

from helpers import lacks_multicast, raised
from miniigd.compat import IP_ADD_MEMBERSHIP, address, ip4_bytes, split_address
from miniigd.datagram import DatagramSocket
from miniigd.interfaces import Interface
from miniigd.loop import Loop

PORT, CLIENT_PORT, GROUP_PORT = 17571, 17572, 17573


def _interface(length=8):
    interface = Interface("lo")
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
    server = DatagramSocket(loop, _interface(), PORT, lambda datagram, peer: got.append((datagram, peer)))
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
    server = DatagramSocket(loop, _interface(30), PORT, lambda datagram, peer: got.append(peer[0]))
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
    server = DatagramSocket(loop, _interface(), PORT, None)
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
    first = DatagramSocket(loop, _interface(), PORT, None)
    assert raised(OSError, DatagramSocket, loop, _interface(), PORT, None).errno == errno.EADDRINUSE
    first.close()
    DatagramSocket(loop, _interface(), PORT, None).close()
