"""Ends mean ended, with real packets: what is connected through a mapping ends with it, and nothing else does."""

import socket
import struct
import time

import pytest

from qemu.lab import LAN_HOST, LAN_HOST2, WAN_HOST, WAN_HOST2, WAN_ROUTER
from test_daemon import wait_for, wait_until_serving

PORT = 8100  # of these tests' own server on the LAN host


def add(client, port=PORT, protocol="TCP", lease=600, inner=PORT, **named):
    client_address = named.get("host", LAN_HOST)
    status, body = client.call("AddPortMapping", (
        ("NewRemoteHost", named.get("remote_host", "")), ("NewExternalPort", port), ("NewProtocol", protocol),
        ("NewInternalPort", inner), ("NewInternalClient", client_address), ("NewEnabled", named.get("enabled", 1)),
        ("NewPortMappingDescription", "test"), ("NewLeaseDuration", lease)), client_address)
    assert status == 200, body


def is_listed(client, protocol):
    """True while there is a mapping of PORT."""
    return client.call("GetSpecificPortMappingEntry", (
        ("NewRemoteHost", ""), ("NewExternalPort", PORT), ("NewProtocol", protocol)))[0] == 200


class Stream:
    """A TCP connection from the WAN to the LAN host: both ends."""

    def __init__(self, client, listener, port=PORT, source=WAN_HOST):
        self.outer = client.lab.wan.call(socket.create_connection, (WAN_ROUTER, port), 5, (source, 0))
        self.inner, self.peer = listener.accept()
        for end in self.inner, self.outer:
            end.settimeout(3)

    def goes_on(self):
        """True when both directions carry data."""
        try:
            self.outer.sendall(b"in")
            self.inner.sendall(b"out")
            return self.inner.recv(10) == b"in" and self.outer.recv(10) == b"out"
        except OSError:
            return False

    def push(self):
        """What the WAN host gets of what the LAN host sends."""
        try:
            self.inner.sendall(b"push")
            return self.outer.recv(10)
        except OSError:
            return b""

    def close(self):
        self.outer.close()
        self.inner.close()


@pytest.fixture
def listener(client):
    listener = client.lab.lan.call(socket.create_server, (LAN_HOST, PORT))
    listener.settimeout(5)
    with listener:
        yield listener


@pytest.mark.parametrize("end", ["delete", "expiry", "disable"])
@pytest.mark.parametrize("who_sends", ["the WAN host", "the LAN host"])
def test_an_established_tcp_stream_stops(client, listener, end, who_sends):
    add(client, lease=3 if end == "expiry" else 600)
    stream = Stream(client, listener)
    assert stream.goes_on()
    if end == "delete":
        assert client.delete(port=PORT)[0] == 200
    elif end == "disable":
        add(client, enabled=0)
    else:
        wait_for(client, lambda: not is_listed(client, "TCP"))
    if who_sends == "the LAN host":
        assert stream.push() == b""
    assert not stream.goes_on()
    assert stream.push() == b""
    # both ends learn it
    for socket_end in stream.inner, stream.outer:
        with pytest.raises(OSError) as caught:
            for _ in range(3):
                socket_end.sendall(b"x")
                time.sleep(0.2)
        assert not isinstance(caught.value, TimeoutError)
    stream.close()
    if end == "disable":
        assert client.delete(port=PORT)[0] == 200


@pytest.mark.parametrize("end", ["delete", "expiry"])
def test_an_established_udp_flow_stops(client, end):
    add(client, protocol="UDP", lease=3 if end == "expiry" else 600)
    with client.lab.lan.call(udp, LAN_HOST, PORT) as inner, client.lab.wan.call(udp, WAN_HOST, 0) as outer:
        outer.connect((WAN_ROUTER, PORT))
        outer.send(b"in")
        data, peer = inner.recvfrom(10)
        inner.sendto(b"out", peer)
        assert (data, outer.recv(10)) == (b"in", b"out")
        if end == "delete":
            assert client.delete(port=PORT, protocol="UDP")[0] == 200
        else:
            wait_for(client, lambda: not is_listed(client, "UDP"))
        for _ in range(2):
            inner.sendto(b"push", peer)
            with pytest.raises(OSError):
                assert outer.recv(10) == b""
            with pytest.raises(OSError):
                outer.send(b"in")
                inner.recv(10)
        # the port opens again, and the same peer comes back under its old port
        add(client, protocol="UDP")
        try:
            outer.send(b"back")
        except OSError:
            outer.send(b"back")  # the refusal of before
        assert inner.recv(10) == b"back"
    assert client.delete(port=PORT, protocol="UDP")[0] == 200


def test_the_same_tcp_peer_may_come_back(client, listener):
    add(client)
    stream = Stream(client, listener)
    port = stream.outer.getsockname()[1]
    assert client.delete(port=PORT)[0] == 200
    for end in stream.outer, stream.inner:  # without a word, so that the ports are free at once
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()
    add(client)
    outer = client.lab.wan.call(connect_from, (WAN_HOST, port), (WAN_ROUTER, PORT))
    inner, _ = listener.accept()
    inner.settimeout(3)
    outer.sendall(b"again")
    assert inner.recv(10) == b"again"
    outer.close()
    inner.close()
    assert client.delete(port=PORT)[0] == 200


def test_nobody_else_s_connections_end(client, listener):
    """Another port to the same server, another client's, and a connection that the LAN host made itself."""
    add(client)
    add(client, 8101)
    add(client, 8102, host=LAN_HOST2)
    ours, same_server = Stream(client, listener), Stream(client, listener, 8101)
    with client.lab.lan.call(socket.create_server, (LAN_HOST2, PORT)) as second:
        second.settimeout(5)
        others = Stream(client, second, 8102, WAN_HOST2)
    with client.lab.wan.call(socket.create_server, (WAN_HOST, 9100)) as remote:
        outward = client.lab.lan.call(socket.create_connection, (WAN_HOST, 9100), 5, (LAN_HOST, 0))
        accepted, _ = remote.accept()
    assert client.delete(port=PORT)[0] == 200
    assert not ours.goes_on()
    assert same_server.goes_on() and others.goes_on()
    outward.sendall(b"still")
    accepted.settimeout(3)
    assert accepted.recv(10) == b"still"
    for one in ours, same_server, others, outward, accepted:
        one.close()
    assert client.delete(port=8101)[0] == 200
    assert client.delete(port=8102, source=LAN_HOST2)[0] == 200


def test_a_renewal_ends_nothing_and_a_new_internal_port_does(client, listener):
    add(client)
    stream = Stream(client, listener)
    add(client)
    assert stream.goes_on()
    add(client, inner=PORT + 1)
    assert not stream.goes_on()
    stream.close()
    assert client.delete(port=PORT)[0] == 200


def test_the_connections_of_one_remote_host_end_with_its_mapping(client, listener):
    add(client)
    add(client, remote_host=WAN_HOST2)
    general, narrow = Stream(client, listener, source=WAN_HOST), Stream(client, listener, source=WAN_HOST2)
    assert client.delete(port=PORT, remote_host=WAN_HOST2)[0] == 200
    assert not narrow.goes_on()
    assert general.goes_on()
    narrow.close()
    general.close()
    assert client.delete(port=PORT)[0] == 200


def test_what_ended_while_nobody_ran_ends_at_the_next_start(client, listener):
    add(client, lease=4)
    stream = Stream(client, listener)
    wait_for(client, lambda: leases_end_within(client, 5))  # the file says so
    client.lab.router.check("kill -9 $(pidof miniigd); sleep 5")
    client.lab.router.check("/etc/init.d/miniupnpd restart")
    wait_until_serving(client)
    assert not stream.goes_on()
    stream.close()


def leases_end_within(client, seconds):
    """True when there are lines in the lease file, and all of them end so soon."""
    now, *lines = client.lab.router.check("date +%s; cat /var/run/miniupnpd.leases").split()
    return bool(lines) and all(int(line.split(":")[4]) <= int(now) + seconds for line in lines)


def udp(address, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))
    sock.settimeout(1)
    return sock


def connect_from(source, destination):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(source)
    sock.settimeout(5)
    sock.connect(destination)
    return sock
