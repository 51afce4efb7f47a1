"""Two LANs: each is served under the router's own address there, neither knows the other's, and each can come back."""

import re
import socket
import struct
import time

import pytest

from qemu.lab import GUEST_HOST, GUEST_ROUTER, LAN_HOST, LAN_ROUTER, WAN_ROUTER
from test_daemon import GROUP, Client, fault, msearch, wait_until_serving

ROOT = "upnp:rootdevice"
NEW_ROUTER = "192.168.2.9"
FAR_HOST = "10.9.9.9"  # behind the LAN host, not in its network
SECONDS = 10  # until what changed is served again
_ETH_P_IP = 0x0800


@pytest.fixture(scope="module")
def lans(lab):
    """The daemon on both networks, as a client on each sees it: (lan, guest)."""
    lan = Client(lab)
    lan.demo.install()
    lan.demo.discover()  # starts the servers of the LAN host
    lab.router.check("sed -i \"s/internal_iface .*/internal_iface 'lan guest'/\" /etc/config/upnpd; "
                     "/etc/init.d/miniupnpd restart")
    guest = Client(lab, lab.guest, GUEST_HOST, GUEST_ROUTER)
    for client in lan, guest:
        wait_until_serving(client)
    yield lan, guest
    lan.demo.close()
    lab.router.check("opkg remove miniigd; rm -f /etc/config/upnpd*", timeout=60)


def searcher(host):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.settimeout(1)
    return sock


def listener(host):
    """A socket that hears the group on the host's network."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", GROUP[1]))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                    struct.pack("4s4s", socket.inet_aton(GROUP[0]), socket.inet_aton(host)))
    sock.settimeout(SECONDS)
    return sock


def found(client, destination=GROUP, target=ROOT):
    """Search until there is an answer, 10 seconds at most; return (its source, {header: value})."""
    limit = time.monotonic() + SECONDS
    with client.space.call(searcher, client.host) as search:
        while True:
            assert time.monotonic() < limit, "no search was answered: " + client.log()
            try:
                search.sendto(msearch(target), destination)
                answer, peer = search.recvfrom(1500)
                return peer, headers(answer)
            except OSError:
                time.sleep(0.1)  # a network that is down answers at once, with an error


def headers(datagram):
    return dict(re.findall(r"^([\w.-]+): *(.*?)\r$", datagram.decode(), re.M))


def notified(sock, kind, **wanted):
    """Return the headers of the next announcement of that kind whose headers have the `wanted` values."""
    limit = time.monotonic() + SECONDS
    while time.monotonic() < limit:
        datagram = sock.recv(1500)
        values = headers(datagram)
        if datagram.startswith(b"NOTIFY ") and values["NTS"] == "ssdp:" + kind and \
                all(values.get(name) == value for name, value in wanted.items()):
            return values
    raise AssertionError("no ssdp:%s with %s" % (kind, wanted))


def location(router):
    return "http://%s:5000/rootDesc.xml" % router


def test_each_network_is_told_its_own_address(lans):
    for client in lans:
        for destination in GROUP, (client.router, 1900):
            peer, values = found(client, destination)
            assert peer == (client.router, 1900) and values["LOCATION"] == location(client.router)
            assert values["ST"] == ROOT
        assert "<UDN>uuid:" in client.get("/rootDesc.xml")
    lan, guest = lans
    assert lan.get("/rootDesc.xml") == guest.get("/rootDesc.xml").replace(GUEST_ROUTER, LAN_ROUTER)  # one device


@pytest.mark.parametrize("number", [0, 1])
def test_a_search_is_answered_on_its_own_network_only(lans, number):
    here, other = lans[number], lans[1 - number]
    with other.space.call(socket.socket, socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP)) as wire:
        assert found(here)[1]["LOCATION"] == location(here.router)
        time.sleep(0.5)  # longer than a search counts as a repetition, and than a late answer takes
        assert found(other)[1]["LOCATION"] == location(other.router)
        wire.settimeout(0.2)
        packets = []
        with pytest.raises(TimeoutError):
            while True:
                packets.append(wire.recv(2000))
    assert any(other.router.encode() in packet for packet in packets)
    for packet in packets:
        assert here.router.encode() not in packet and socket.inet_aton(here.router) not in packet[12:20]


def test_each_network_hears_announcements_with_its_own_address(lans):
    lan, guest = lans
    with lan.space.call(listener, LAN_HOST) as at_lan, guest.space.call(listener, GUEST_HOST) as at_guest:
        lan.lab.router.check("/etc/init.d/miniupnpd restart")
        for sock, router in (at_lan, LAN_ROUTER), (at_guest, GUEST_ROUTER):
            notified(sock, "byebye", NT=ROOT)
            for path in "", "/igd2":
                values = notified(sock, "alive", NT=ROOT)
                assert values["LOCATION"] == "http://%s:5000%s/rootDesc.xml" % (router, path)
    for client in lans:
        wait_until_serving(client)


def test_a_guest_opens_a_port_to_itself(lans):
    lan, guest = lans
    with guest.space.call(socket.create_server, (GUEST_HOST, 8000)) as server:
        server.settimeout(5)
        assert guest.add(port=8100)[0] == 200
        with lan.lab.wan.call(socket.create_connection, (WAN_ROUTER, 8100), 5) as link:
            peer, source = server.accept()
            with peer:
                assert source == link.getsockname()  # the guest sees who it is
                link.sendall(b"to the guest")
                assert peer.recv(100) == b"to the guest"
                peer.sendall(b"to the wan")
                link.settimeout(5)
                assert link.recv(100) == b"to the wan"
        assert guest.delete(port=8100)[0] == 200
        assert not lan.is_open(8100)


def test_neither_network_touches_what_the_other_opened(lans):
    lan, guest = lans
    assert fault(guest.add(client=LAN_HOST)) == 718
    assert fault(lan.add(client=GUEST_HOST)) == 718
    assert not lan.is_open()
    assert lan.add()[0] == 200
    assert fault(guest.add()) == 718  # the same external port
    assert fault(guest.delete()) == 714
    assert lan.is_open()
    assert lan.delete()[0] == 200
    assert guest.add()[0] == 200
    assert fault(lan.delete()) == 714
    assert guest.delete()[0] == 200


def test_a_host_is_served_under_the_address_of_its_own_network_only(lans):
    lan, guest = lans
    for client, other in (lan, guest), (guest, lan):
        with pytest.raises(OSError):
            client.space.call(socket.create_connection, (other.router, 5000), 2)
        other_name = b"GET /rootDesc.xml HTTP/1.1\r\nHost: %s:5000\r\n\r\n" % other.router.encode()
        assert client.http(other_name).startswith("HTTP/1.1 403 ")


def test_a_host_from_behind_a_network_is_not_served(lans):
    lan = lans[0]
    router = lan.lab.router
    lan.space.ip("address", "add", FAR_HOST + "/32", "dev", "eth0")
    router.check("ip route add %s via %s" % (FAR_HOST, LAN_HOST))
    try:
        # It can reach the router: the connection is made, and closed without a word.
        with lan.space.call(socket.create_connection, (LAN_ROUTER, 5000), 5, (FAR_HOST, 0)) as link:
            link.settimeout(5)
            try:
                link.sendall(b"GET /rootDesc.xml HTTP/1.1\r\nHost: %s:5000\r\n\r\n" % LAN_ROUTER.encode())
                assert link.recv(100) == b""
            except ConnectionError:
                pass
        with lan.space.call(searcher, FAR_HOST) as search:
            search.sendto(msearch(ROOT), (LAN_ROUTER, 1900))
            with pytest.raises(TimeoutError):
                search.recv(1500)
        assert lan.get("/rootDesc.xml").startswith("HTTP/1.1 200 ")
    finally:
        router.check("ip route del %s" % FAR_HOST)
        lan.space.ip("address", "del", FAR_HOST + "/32", "dev", "eth0")


def test_a_network_that_was_down_is_served_again(lans):
    lan, guest = lans
    router = lan.lab.router
    assert found(guest)
    router.check("ip link set eth2 down")
    try:
        assert found(lan)[1]["LOCATION"] == location(LAN_ROUTER)  # the other one does not suffer
        with lan.lab.guest.call(searcher, GUEST_HOST) as search, pytest.raises(OSError):
            search.sendto(msearch(ROOT), GROUP)
            search.recv(1500)
        with guest.space.call(listener, GUEST_HOST) as announced:
            router.check("ip link set eth2 up")
            assert notified(announced, "alive", NT=ROOT)["LOCATION"] == location(GUEST_ROUTER)
    finally:
        router.check("ip link set eth2 up")
    assert found(guest)[1]["LOCATION"] == location(GUEST_ROUTER)  # by multicast: the group was joined again
    wait_until_serving(guest)
    assert guest.add()[0] == 200 and guest.delete()[0] == 200


def settled_boot_id(client):
    """Return the device's boot id when it stays: IPv6 addresses of a network that came up follow seconds later."""
    for _ in range(10):
        boot_id = found(client)[1]["BOOTID.UPNP.ORG"]
        time.sleep(3)
        if found(client)[1]["BOOTID.UPNP.ORG"] == boot_id:
            return int(boot_id)
    raise AssertionError("one life of the device follows the other")


def test_a_new_address_is_served_and_every_network_hears_of_it(lans):
    lan, guest = lans
    router = lan.lab.router
    before = settled_boot_id(lan)
    moved = Client(lan.lab, lan.lab.guest, GUEST_HOST, NEW_ROUTER)
    with lan.space.call(listener, LAN_HOST) as at_lan, guest.space.call(listener, GUEST_HOST) as at_guest:
        try:
            router.check("ip -4 addr flush dev eth2 && ip addr add %s/24 broadcast + dev eth2" % NEW_ROUTER)
            assert notified(at_guest, "alive", NT=ROOT, LOCATION=location(NEW_ROUTER))
            values = notified(at_lan, "update", NT=ROOT)
            assert values["LOCATION"] == location(LAN_ROUTER)
            boot = values["NEXTBOOTID.UPNP.ORG"]
            assert int(values["BOOTID.UPNP.ORG"]) == before < int(boot)
            assert notified(at_lan, "alive", **{"NT": ROOT, "BOOTID.UPNP.ORG": boot})
            peer, values = found(moved)
            assert peer == (NEW_ROUTER, 1900) and values["LOCATION"] == location(NEW_ROUTER)
            assert values["BOOTID.UPNP.ORG"] == boot
            wait_until_serving(moved)
            assert moved.add()[0] == 200 and moved.delete()[0] == 200
            with pytest.raises(OSError):
                guest.space.call(socket.create_connection, (GUEST_ROUTER, 5000), 1)
        finally:
            router.check("ifup guest")
        assert notified(at_guest, "alive", NT=ROOT, LOCATION=location(GUEST_ROUTER))
    assert found(guest)[1]["LOCATION"] == location(GUEST_ROUTER)
    wait_until_serving(guest)
