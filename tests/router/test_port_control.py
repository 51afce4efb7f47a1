"""NAT-PMP and PCP on the router: Debian's clients and one of our own ask, real packets prove what they are told."""

import re
import select
import socket
import struct
import time

import pytest

from qemu.lab import LAN_HOST, LAN_HOST2, LAN_ROUTER, WAN_HOST, WAN_HOST2, WAN_ROUTER
from test_clients import entry, expect_given_back, peer_exchange, start, torrent  # noqa: F401 - two are fixtures
from test_daemon import wait_for, wait_until_serving

PORT, CLIENT_PORT, GROUP = 5351, 5350, "224.0.0.1"
FLOW_PORT = 8100  # of these tests' own socket on the LAN host
NONCE, OTHER_NONCE = b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c", b"\xee" * 12
NONCE_TEXT = "0102030405060708090a0b0c"
ANY = "0.0.0.0"
SERVICE = "/etc/init.d/miniupnpd"
SWITCH = "sed -i \"s/option %s .*/option %s '%d'/\" /etc/config/upnpd; " + SERVICE + " restart"
PREFER_FAILURE = b"\x02\0\0\0"
LEASES = "/var/run/miniupnpd.leases"
WAN_NEW = "11.0.0.9"


@pytest.fixture(autouse=True)
def nothing_is_open(client):
    yield
    client.lab.router.check("miniigd close-all")


def mapped(address):
    return b"\0" * 10 + b"\xff\xff" + socket.inet_aton(address)


def udp(client, source, port=0):
    """A UDP socket on an address of the LAN host."""
    link = client.lab.lan.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
    link.settimeout(3)
    link.bind((source, port))
    return link


def ask(client, datagram, source=LAN_HOST):
    """Return the answer; the socket is connected, so it comes from the very address that was asked."""
    with udp(client, source) as link:
        link.connect((LAN_ROUTER, PORT))
        for _ in range(5):
            link.send(datagram)
            if select.select([link], [], [], 2)[0]:
                return link.recv(1100)
    raise AssertionError("no answer: " + client.log())


def natpmp(client, opcode, internal_port=8000, external_port=0, lifetime=600, source=LAN_HOST):
    """Ask for a mapping; return (result, epoch, external port, lifetime)."""
    answer = ask(client, struct.pack(">BBHHHI", 0, opcode, 0, internal_port, external_port, lifetime), source)
    version, operation, result, epoch, port, external_port, lifetime = struct.unpack(">BBHIHHI", answer)
    assert (version, operation, port) == (0, 128 + opcode, internal_port)
    return result, epoch, external_port, lifetime


def pcp(client, opcode, body=b"", lifetime=600, source=LAN_HOST):
    """Ask by PCP; return (result, lifetime, epoch, the rest)."""
    answer = ask(client, struct.pack(">BBHI", 2, opcode, 0, lifetime) + mapped(source) + body, source)
    version, operation, _, result, lifetime, epoch = struct.unpack_from(">BBBBII", answer)
    assert (version, operation) == (2, 128 + opcode)
    return result, lifetime, epoch, answer[24:]


def pcp_map(client, internal_port=8000, external_port=0, protocol=6, nonce=NONCE, options=b"", lifetime=600,
            source=LAN_HOST):
    """Return (result, lifetime, external port)."""
    result, granted, _, rest = pcp(client, 1, nonce + struct.pack(
        ">B3xHH", protocol, internal_port, external_port) + mapped(ANY) + options, lifetime, source)
    assert rest[:18] == nonce + struct.pack(">B3xH", protocol, internal_port) and rest[36:] == options
    if result == 0 and lifetime:
        assert rest[20:36] == mapped(WAN_ROUTER)
    return result, granted, struct.unpack_from(">H", rest, 18)[0]


def pcp_peer(client, internal_port, remote_host, remote_port, nonce=NONCE, lifetime=600):
    """Return (result, lifetime, external port)."""
    body = nonce + struct.pack(">B3xHH", 17, internal_port, 0) + mapped(ANY) + struct.pack(
        ">HH", remote_port, 0) + mapped(remote_host)
    result, lifetime, _, rest = pcp(client, 2, body, lifetime)
    return result, lifetime, struct.unpack_from(">H", rest, 18)[0]


def pcp_filter(host):
    return struct.pack(">BBHBBH", 3, 0, 20, 0, 128, 0) + mapped(host)


def mappings(client):
    """Return how many mappings there are."""
    return int(re.search(r"(\d+) mappings", client.lab.router.check("miniigd status"))[1])


def expect_leases(client, expected):
    """Wait until the lease file has exactly these lines, without the times; it is written some seconds later."""
    def lines():
        return client.lab.router.check("cut -d: -f1-4,6 " + LEASES).splitlines()

    wait_for(client, lambda: lines() == expected)


def epoch_of(client):
    return pcp(client, 0, lifetime=0)[2]


def wait_for_port(client):
    """Wait until NAT-PMP and PCP are served, 10 seconds at most."""
    for _ in range(50):
        with udp(client, LAN_HOST) as link:
            link.connect((LAN_ROUTER, PORT))
            try:
                link.send(b"\0\0")
                link.settimeout(0.5)
                if len(link.recv(100)) == 12:
                    return
            except OSError:
                time.sleep(0.2)
    raise AssertionError("it does not answer: " + client.log())


class Listener:
    """Hears what is announced on the LAN: `with Listener(client) as listener: ...`."""

    def __init__(self, client):
        self._link = udp(client, "", CLIENT_PORT)
        self._link.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + socket.inet_aton(
            LAN_HOST))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._link.close()

    def heard(self, is_last, seconds=15):
        """Return [(seconds, epoch, external address; None in PCP's)] up to the one for which is_last(it)."""
        found = []
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if not select.select([self._link], [], [], 0.5)[0]:
                continue
            data, sender = self._link.recvfrom(1100)
            assert sender == (LAN_ROUTER, PORT)
            if data[0]:
                assert data[:8] == b"\x02\x80" + bytes(6) and data[12:] == bytes(12) and len(data) == 24
                one = (time.monotonic(), struct.unpack_from(">I", data, 8)[0], None)
            else:
                assert data[:4] == b"\0\x80\0\0" and len(data) == 12
                one = (time.monotonic(), struct.unpack_from(">I", data, 4)[0], socket.inet_ntoa(data[8:]))
            found.append(one)
            if is_last(one):
                return found
        raise AssertionError("it is not announced: %s" % found)


def natpmpc(client, *words):
    """Return what Debian's client prints on the LAN host."""
    return client.lab.lan.run(["natpmpc", "-g", LAN_ROUTER, *[str(word) for word in words]], 30).stdout


# --- the clients of others


def test_natpmpc_opens_ports_and_gives_them_back(client):
    output = natpmpc(client)
    assert "Public IP address : %s\n" % WAN_ROUTER in output and re.search(r"epoch = \d+\n", output)
    client.demo.expect_refused(8010)
    for protocol in "tcp", "udp":
        output = natpmpc(client, "-a", 8010, 8000, protocol, 600)
        assert re.search(r"Mapped public port 8010 protocol %s to local port 8000 li\w+ 600\n" % protocol.upper(),
                         output)
        assert entry(client, 8010, protocol.upper())["NewPortMappingDescription"] == "NAT-PMP 8010 " + protocol
    expect_leases(client, [
        "TCP:8010:192.168.1.2:8000:NAT-PMP 8010 tcp", "UDP:8010:192.168.1.2:8000:NAT-PMP 8010 udp"])
    client.demo.tcp_exchange(8010)
    client.demo.udp_exchange(8010)
    assert re.search(r"Mapped public port 0 protocol TCP to local port 8000 li\w+ 0\n",
                     natpmpc(client, "-a", 0, 8000, "tcp", 0))
    assert not client.is_open(8010)
    client.demo.udp_exchange(8010)
    assert "Mapped public port 0 protocol UDP" in natpmpc(client, "-a", 0, 0, "udp", 0)  # all of them
    client.demo.expect_refused(8010)


def test_libtorrent_opens_its_port_by_pcp_and_gives_it_back(client, start, tmp_path, torrent):  # noqa: F811
    path, info_hash = torrent
    with start("torrents.py", LAN_HOST, "51415", path, tmp_path, "pcp") as program:
        missing = {"TCP", "UDP"}
        while missing:
            [message] = program.value("portmap_alert")
            assert message.startswith("successfully mapped port using NAT-PMP. local: 192.168.1.2 external port: ")
            missing.discard(message.rpartition(" ")[2].partition("/")[0])
        for protocol in "TCP", "UDP":
            assert entry(client, 51415, protocol)["NewPortMappingDescription"] == "PCP MAP"
        peer_exchange(client, 51415, info_hash)
        program.tell()
        program.line('["ended"]')
        assert program.end() == 0
    wait_for(client, lambda: not entry(client, 51415, "TCP") and not entry(client, 51415, "UDP"))
    expect_given_back(client, 51415)


# --- one of our own


def test_pcp_opens_ports_and_gives_them_back(client):
    client.demo.expect_refused(8011)
    for protocol in 6, 17:
        assert pcp_map(client, 8000, 8011, protocol, options=PREFER_FAILURE) == (0, 600, 8011)
    client.demo.tcp_exchange(8011)
    client.demo.udp_exchange(8011)
    assert pcp_map(client, 8000, 8011, nonce=OTHER_NONCE)[0] == 2
    assert pcp_map(client, 8000, nonce=OTHER_NONCE, lifetime=0)[0] == 2
    client.demo.tcp_exchange(8011)
    assert pcp_map(client, 8000, lifetime=0)[:2] == pcp_map(client, 8000, protocol=17, lifetime=0)[:2] == (0, 0)
    client.demo.expect_refused(8011)


def test_the_port_of_another_host_is_left_alone(client):
    assert natpmp(client, 2, external_port=8012)[0::2] == (0, 8012)
    assert natpmp(client, 2, external_port=8012, source=LAN_HOST2)[0::2] == (0, 8013)
    assert pcp_map(client, 8001, 8012, options=PREFER_FAILURE, source=LAN_HOST2)[0] == 11
    assert natpmp(client, 2, lifetime=0, source=LAN_HOST2)[0] == 0
    client.demo.tcp_exchange(8012)
    assert natpmp(client, 2, lifetime=0)[0] == 0
    assert not client.is_open(8012)


def test_what_is_denied_stays_closed(client):
    assert natpmp(client, 2, internal_port=80, external_port=80)[0] == 2
    assert pcp_map(client, 80, 80)[0] == 2
    # a host speaks for itself only, and must be who it says
    body = NONCE + struct.pack(">B3xHH", 6, 8000, 8014) + mapped(ANY)
    assert pcp(client, 1, body + b"\x01\0\0\x10" + mapped(LAN_HOST2))[0] == 5
    assert ask(client, struct.pack(">BBHI", 2, 1, 0, 600) + mapped(LAN_HOST2) + body)[3] == 12
    assert mappings(client) == 0
    assert "refused PCP to 192.168.1.2: " in client.log()


def test_a_filter_lets_its_hosts_in_only(client):
    assert pcp_map(client, 8000, 8015, options=pcp_filter(WAN_HOST2)) == (0, 600, 8015)
    assert not client.is_open(8015)
    assert pcp_map(client, 8000, 8015, options=pcp_filter(WAN_HOST)) == (0, 600, 8015)
    client.demo.tcp_exchange(8015)
    expect_leases(client, ["TCP:8015:192.168.1.2:8000:PCP MAP %s [from %s]" % (NONCE_TEXT, host)
                           for host in (WAN_HOST2, WAN_HOST)])
    assert pcp_map(client, 8000, lifetime=0)[:2] == (0, 0)
    assert not client.is_open(8015)


def test_the_lease_ends(client):
    assert natpmp(client, 2, external_port=8016, lifetime=2)[2:] == (8016, 2)
    client.demo.tcp_exchange(8016)
    time.sleep(2.5)
    assert not client.is_open(8016)


def test_upnp_and_nat_pmp_and_pcp_are_one_mapping(client):
    assert client.add(8017, lease=300)[0] == 200
    assert natpmp(client, 2, external_port=8018)[0::2] == (0, 8017)
    assert pcp_map(client, 8000, 8019, lifetime=900) == (0, 900, 8017)
    assert 890 < int(entry(client, 8017)["NewLeaseDuration"]) <= 900
    assert entry(client, 8017)["NewPortMappingDescription"] == "test"
    assert mappings(client) == 1
    assert natpmp(client, 2, lifetime=0)[0] == 0 and pcp_map(client, 8000, lifetime=0)[0] == 0
    client.demo.tcp_exchange(8017)  # UPnP made it
    assert client.delete(8017)[0] == 200
    assert not client.is_open(8017)


def test_no_nonce_is_shown(client):
    assert pcp_map(client, 8000, 8020)[0] == 0
    expect_leases(client, ["TCP:8020:192.168.1.2:8000:PCP MAP " + NONCE_TEXT])  # so that LuCI names it
    for output in (client.lab.router.check("miniigd status; miniigd status --json; logread"),
                   str(entry(client, 8020))):
        assert "PCP MAP" in output and NONCE_TEXT not in output


def from_outside(client, port, host):
    """Send from a WAN host until the LAN host has something, or not."""
    with client.lab.wan.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind((host, 0))
        link.sendto(host.encode(), (WAN_ROUTER, port))


def test_a_peer_is_told_as_the_kernel_translates_it(client):
    with udp(client, LAN_HOST, FLOW_PORT) as inner, client.lab.wan.call(
            socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as outer:
        outer.bind((WAN_HOST, 5060))
        outer.settimeout(3)
        inner.sendto(b"out", (WAN_HOST, 5060))
        _, seen = outer.recvfrom(100)
        result, lifetime, port = pcp_peer(client, FLOW_PORT, WAN_HOST, 5060)
        assert (result, port) == (0, seen[1]) and 0 < lifetime <= 180
        assert mappings(client) == 0


def test_a_peer_to_come_gets_in_under_the_port_that_the_router_will_use(client):
    with udp(client, LAN_HOST, FLOW_PORT + 1) as inner, client.lab.wan.call(
            socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as outer:
        outer.bind((WAN_HOST, 5061))
        outer.settimeout(3)
        result, lifetime, port = pcp_peer(client, FLOW_PORT + 1, WAN_HOST, 5061)
        assert (result, lifetime) == (0, 600)
        from_outside(client, port, WAN_HOST2)
        outer.sendto(b"in", (WAN_ROUTER, port))
        assert inner.recvfrom(100) == (b"in", (WAN_HOST, 5061))  # and nothing of the other one
        inner.sendto(b"out", (WAN_HOST, 5061))
        assert outer.recvfrom(100) == (b"out", (WAN_ROUTER, port))
        # and a connection from inside alone has it too
        inner.sendto(b"new", (WAN_HOST, 5062))
    assert pcp_peer(client, FLOW_PORT + 1, WAN_HOST, 5061, OTHER_NONCE)[0] == 2
    assert pcp_peer(client, FLOW_PORT + 1, WAN_HOST, 5061, lifetime=0)[0] == 0
    assert mappings(client) == 0


# --- the daemon's life


def test_a_restart_keeps_the_ports_and_announces_another_epoch(client):
    assert natpmp(client, 2, external_port=8021)[0] == 0
    assert pcp_map(client, 8000, 8022, 17)[0] == 0
    while (before := epoch_of(client)) < 8:
        time.sleep(1)
    with Listener(client) as listener:
        client.lab.router.check(SERVICE + " restart")
        heard = listener.heard(lambda one: one[1] < before and one[2] == WAN_ROUTER)
        heard += listener.heard(lambda one: one[1] < before and one[2] is None)
        assert heard[-1][1] <= 5
    wait_until_serving(client)
    assert epoch_of(client) < before
    client.demo.tcp_exchange(8021)
    client.demo.udp_exchange(8022)
    # the nonce is known as before
    assert pcp_map(client, 8000, 8022, 17, OTHER_NONCE)[0] == 2
    assert pcp_map(client, 8000, 0, 17)[2] == 8022


def test_another_address_is_announced(client):
    router = client.lab.router
    while epoch_of(client) < 4:
        time.sleep(1)
    try:
        with Listener(client) as listener:
            router.check("ip addr flush dev eth1; ip addr add %s/24 dev eth1" % WAN_NEW)
            heard = [one for one in listener.heard(lambda one: one[1] >= 1 and one[2] == WAN_NEW)
                     if one[2] == WAN_NEW]
            # the first of ten, then after 250 and 500 milliseconds, with the second that it is then
            assert len(heard) >= 3 and heard[0][1] == 0 and [one[1] for one in heard] == sorted(one[1] for one in heard)
            assert heard[2][0] - heard[1][0] > 0.3
    finally:
        router.check("ip addr flush dev eth1; ifup wan")
    wait_for(client, lambda: ask(client, b"\0\0")[8:] == socket.inet_aton(WAN_ROUTER))


def test_without_an_address_the_network_fails(client):
    router = client.lab.router
    try:
        router.check("ip addr flush dev eth1; ip addr add 10.64.0.2/24 dev eth1")
        wait_for(client, lambda: ask(client, b"\0\0")[:4] == b"\0\x80\0\x03")
        assert natpmp(client, 2)[0] == 3 and pcp_map(client)[:2] == (7, 30)
    finally:
        router.check("ip addr flush dev eth1; ifup wan")
    wait_for(client, lambda: ask(client, b"\0\0")[2:4] == b"\0\0")


def test_a_pause_refuses_and_its_end_is_announced(client):
    router = client.lab.router
    assert natpmp(client, 2, external_port=8023)[0] == 0
    router.check("miniigd pause")
    assert not client.is_open(8023)
    assert natpmp(client, 2)[0] == 2 and pcp_map(client)[:2] == (2, 1800)
    while (before := epoch_of(client)) < 3:
        time.sleep(1)
    with Listener(client) as listener:
        router.check("miniigd resume")
        listener.heard(lambda one: one[1] < before)
    assert natpmp(client, 2, external_port=8023)[0] == 0
    client.demo.tcp_exchange(8023)


def test_each_can_be_switched_off_alone(client):
    router = client.lab.router
    router.check("cp /etc/config/upnpd /tmp/upnpd")
    try:
        router.check(SWITCH % ("enable_upnp", "enable_upnp", 0))
        wait_for_port(client)
        with pytest.raises(OSError):
            client.get("/rootDesc.xml")
        assert natpmp(client, 2, external_port=8024)[0] == 0
        client.demo.tcp_exchange(8024)
        router.check(SWITCH % ("enable_natpmp", "enable_natpmp", 0))
        time.sleep(1)
        assert client.running() == []
        assert not client.is_open(8024)
        router.check(SWITCH % ("enable_upnp", "enable_upnp", 1))
        wait_until_serving(client)
        with udp(client, LAN_HOST) as link, pytest.raises(OSError):
            link.connect((LAN_ROUTER, PORT))
            for _ in range(2):  # the router says that nobody is there
                link.send(b"\0\0")
                link.recv(100)
    finally:
        router.check("mv /tmp/upnpd /etc/config/upnpd; %s restart" % SERVICE)
        wait_until_serving(client)


def test_nobody_on_the_wan_is_answered(client):
    with client.lab.wan.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(1)
        for address in WAN_ROUTER, LAN_ROUTER:
            link.connect((address, PORT))
            with pytest.raises(OSError):
                for _ in range(2):
                    link.send(b"\0\0")
                    link.recv(100)


def test_who_asks_too_often_keeps_the_others_from_nothing(client, neighbours):
    host, space = list(neighbours.items())[0]
    with space.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind((host, 0))
        link.connect((LAN_ROUTER, PORT))
        for _ in range(1000):
            link.send(b"\0\0")
        assert ask(client, b"\0\0")[:4] == b"\0\x80\0\0"
        answers = 0
        while select.select([link], [], [], 0.5)[0]:
            answers += len(link.recv(100)) == 12
    assert 10 <= answers <= 150
    assert host + " asks for ports too often" in client.log()


def test_broken_datagrams_do_no_harm(client):
    [pid] = client.running()
    request = struct.pack(">BBHI", 2, 1, 0, 600) + mapped(LAN_HOST) + NONCE + struct.pack(
        ">B3xHH", 6, 8000, 8025) + mapped(ANY) + PREFER_FAILURE
    with udp(client, LAN_HOST) as link:
        link.connect((LAN_ROUTER, PORT))
        for length in range(1, len(request)):
            link.send(request[:length])
            time.sleep(0.02)
        link.send(request + bytes(1400))
    time.sleep(5)  # until it may ask again
    assert natpmp(client, 2, external_port=8026)[0] == 0
    assert client.running() == [pid]
    assert "please report" not in client.log()
