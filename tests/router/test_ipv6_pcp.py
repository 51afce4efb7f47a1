"""PCP over IPv6 on the router: a MAP and a PEER are pinholes, and real packets prove it."""

import socket
import struct

import pytest

from qemu.lab import LAN_HOST2_6, LAN_HOST_6, LAN_ROUTER_6, WAN_HOST2_6, WAN_HOST_6, WAN_ROUTER_6
from test_daemon import wait_for, wait_until_serving
from test_ipv6_pinholes import OTHER_PORT, PORT, is_open, nothing_is_left, servers, status  # noqa: F401

SERVER, CLIENT_PORT = 5351, 5350
NONCE, OTHER_NONCE = bytes(range(1, 13)), b"\xee" * 12
SUCCESS, NOT_AUTHORIZED, CANNOT_PROVIDE_EXTERNAL, ADDRESS_MISMATCH = 0, 2, 11, 12


def raw(address):
    return socket.inet_pton(socket.AF_INET6, address)


def link_local(client):
    """The router's link-local address on the LAN, which is what most hosts know it by."""
    text = client.lab.router.check("ip -6 address show dev eth0 scope link")
    return text.split("inet6 ")[1].split("/")[0] + "%eth0"


def ask(client, opcode, body=b"", lifetime=600, source=LAN_HOST_6, router=LAN_ROUTER_6, says=None):
    """Return the whole answer; the socket is connected, so it comes from the very address that was asked."""
    link = client.lab.lan.call(socket.socket, socket.AF_INET6, socket.SOCK_DGRAM)
    with link:
        link.settimeout(3)
        link.bind((source, 0))
        index = client.lab.lan.call(socket.if_nametoindex, "eth0")
        link.connect((router.partition("%")[0], SERVER, 0, index if "%" in router else 0))
        link.send(struct.pack(">BBHI", 2, opcode, 0, lifetime) + raw(says or source) + body)
        answer = link.recv(1100)
    assert answer[:2] == bytes([2, 128 | opcode])
    return answer


def pcp_map(client, port=PORT, nonce=NONCE, asked=0, protocol=6, options=b"", **named):
    """Return (result, lifetime, external port)."""
    source = named.get("source", LAN_HOST_6)
    answer = ask(client, 1, nonce + struct.pack(">B3xHH", protocol, port, asked) + bytes(16) + options, **named)
    if answer[3] == SUCCESS and named.get("lifetime", 600):
        assert answer[44:60] == raw(source)  # nothing is translated
    return answer[3], struct.unpack_from(">I", answer, 4)[0], struct.unpack_from(">H", answer, 42)[0]


@pytest.mark.parametrize("kind", ["its own address", "its link-local address"])
def test_a_map_lets_in_and_its_deletion_ends_that(client, servers, kind):
    router = LAN_ROUTER_6 if kind == "its own address" else link_local(client)
    assert ask(client, 0, lifetime=0, router=router)[3] == SUCCESS
    assert not is_open(client)
    assert pcp_map(client, asked=9000, router=router) == (SUCCESS, 600, PORT)
    assert is_open(client) and not is_open(client, OTHER_PORT) and not is_open(client, host=LAN_HOST2_6)
    assert pcp_map(client, lifetime=0, router=router)[0] == SUCCESS
    assert not is_open(client)


def test_hosts_open_pinholes_to_themselves_only(client, servers):
    assert pcp_map(client, says=LAN_HOST2_6)[0] == ADDRESS_MISMATCH
    assert pcp_map(client, port=80)[0] == NOT_AUTHORIZED
    assert pcp_map(client, asked=9000, options=b"\x02\0\0\0")[0] == CANNOT_PROVIDE_EXTERNAL
    assert status(client)["pinholes"] == []
    assert pcp_map(client)[0] == SUCCESS
    assert pcp_map(client, nonce=OTHER_NONCE)[0] == pcp_map(client, nonce=OTHER_NONCE, lifetime=0)[0] == NOT_AUTHORIZED
    assert is_open(client)


def test_a_filter_and_a_peer_let_one_remote_end_in(client, servers):
    options = struct.pack(">BBHBBH", 3, 0, 20, 0, 128, 0) + raw(WAN_HOST_6)
    assert pcp_map(client, options=options)[0] == SUCCESS
    assert is_open(client) and not is_open(client, source=WAN_HOST2_6)
    body = NONCE + struct.pack(">B3xHH", 6, OTHER_PORT, 0) + bytes(16) + struct.pack(">HH", 4000, 0) + raw(WAN_HOST2_6)
    assert ask(client, 2, body)[3] == SUCCESS
    assert is_open(client, OTHER_PORT, source=WAN_HOST2_6, source_port=4000)
    assert not is_open(client, OTHER_PORT, source=WAN_HOST2_6, source_port=4001)
    assert not is_open(client, OTHER_PORT)


def test_a_restart_keeps_it_and_tells_everybody(client, servers):
    assert pcp_map(client)[0] == SUCCESS
    nonce = "".join("%02x" % byte for byte in NONCE)
    wait_for(client, lambda: "PCP MAP" in client.lab.router.run("cat /var/run/miniupnpd.leases6").output)
    member = client.lab.lan.call(socket.socket, socket.AF_INET6, socket.SOCK_DGRAM)
    with member:
        index = client.lab.lan.call(socket.if_nametoindex, "eth0")
        member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, raw("ff02::1") + struct.pack("@i", index))
        member.bind(("::", CLIENT_PORT))
        member.settimeout(5)
        client.lab.router.check("/etc/init.d/miniupnpd restart")
        wait_until_serving(client)
        datagram, peer = member.recvfrom(1100)
        assert datagram[:4] == b"\x02\x80\0\0" and struct.unpack_from(">I", datagram, 8)[0] < 5
        assert peer[0].partition("%")[0] == link_local(client).partition("%")[0] and peer[1] == SERVER
    assert is_open(client)
    assert pcp_map(client, nonce=OTHER_NONCE)[0] == NOT_AUTHORIZED  # the nonce outlives it too
    assert pcp_map(client, lifetime=0)[0] == SUCCESS
    assert not is_open(client)
    assert nonce not in client.lab.router.check("logread") + client.lab.router.check("miniigd status --json; miniigd status")


def test_nobody_on_the_wan_is_answered(client):
    link = client.lab.wan.call(socket.socket, socket.AF_INET6, socket.SOCK_DGRAM)
    with link:
        link.settimeout(1)
        for target in WAN_ROUTER_6, LAN_ROUTER_6:
            link.sendto(struct.pack(">BBHI", 2, 0, 0, 0) + raw(WAN_HOST_6), (target, SERVER))
        with pytest.raises((TimeoutError, ConnectionRefusedError, PermissionError)):
            link.recv(1100)
