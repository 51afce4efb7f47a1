"""IPv6 pinholes with real packets: what opens, to whom, for how long, and what never does."""

import contextlib
import json
import re
import socket
import time

import pytest

from qemu.lab import (LAN_HOST, LAN_HOST2, LAN_HOST2_6, LAN_HOST_6, LAN_ROUTER_6, WAN_HOST2_6, WAN_HOST_6,
                      WAN_ROUTER_6)
from test_daemon import wait_for, wait_until_serving

CONTROL = "/igd2/upnp/control/WANIPv6Firewall1"
SERVICE = "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1"
DESCRIPTION = "http://192.168.1.1:5000/igd2/rootDesc.xml"
PORT, OTHER_PORT = 8200, 8201  # of these tests' own servers on the LAN host
NUMBERS = {"TCP": 6, "UDP": 17}
RELOAD = {"debian": "fw4 reload", "wrt": "fw3 reload", "bare": "/etc/init.d/firewall restart"}
WITHIN = 5  # seconds


class Refused(Exception):
    """An action is refused; its argument is the code."""


def call(client, action, arguments=(), source=LAN_HOST):
    """Call an action of WANIPv6FirewallControl; return the values of its answer by name. Raises Refused."""
    body = "<s:Envelope><s:Body><u:%s>%s</u:%s></s:Body></s:Envelope>" % (
        action, "".join("<%s>%s</%s>" % (name, value, name) for name, value in arguments), action)
    head, _, answer = client.http((
        "POST %s HTTP/1.1\r\nHost: 192.168.1.1:5000\r\nSOAPAction: \"%s#%s\"\r\nContent-Length: %d\r\n\r\n%s"
        % (CONTROL, SERVICE, action, len(body), body)).encode(), source).partition("\r\n\r\n")
    if head.split()[1] != "200":
        raise Refused(int(re.search(r"<errorCode>(\d+)<", answer)[1]))
    return dict(re.findall(r"<(\w+)>([^<]*)</\1>", answer))


def ends(port=PORT, host=LAN_HOST_6, protocol="TCP", remote_host="", remote_port=0):
    return (("RemoteHost", remote_host), ("RemotePort", remote_port), ("InternalClient", host), ("InternalPort", port),
            ("Protocol", NUMBERS[protocol]))


def add(client, lease=600, source=LAN_HOST, **named):
    """Open a pinhole; return its UniqueID."""
    return int(call(client, "AddPinhole", ends(**named) + (("LeaseTime", lease),), source)["UniqueID"])


def delete(client, unique_id, source=LAN_HOST):
    call(client, "DeletePinhole", (("UniqueID", unique_id),), source)


def code(function, *arguments, **named):
    """The code with which an action is refused."""
    with pytest.raises(Refused) as caught:
        function(*arguments, **named)
    return caught.value.args[0]


def connect(client, port=PORT, host=LAN_HOST_6, source=WAN_HOST_6, source_port=0):
    """Connect from the WAN; OSError."""
    return client.lab.wan.call(socket.create_connection, (host, port), 2, (source, source_port))


def is_open(client, *where, **named):
    """True when a TCP connection from the WAN is made, False when it is refused."""
    try:
        connect(client, *where, **named).close()
    except ConnectionRefusedError:
        return False
    except PermissionError:  # what the reject of another port than TCP's reset says
        return False
    return True


def datagram_socket(host, port):
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.bind((host, port))
    sock.settimeout(1)
    return sock


def status(client):
    return json.loads(client.lab.router.check("miniigd status --json"))


def make_server(host, port):
    sock = socket.socket(socket.AF_INET6)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(20)
    sock.settimeout(5)
    return sock


@pytest.fixture
def servers(client):
    """TCP servers of the LAN host on PORT, at both of its addresses, and on OTHER_PORT."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(client.lab.lan.call(make_server, host, port)) for host, port in (
            (LAN_HOST_6, PORT), (LAN_HOST2_6, PORT), (LAN_HOST_6, OTHER_PORT))]


@pytest.fixture(autouse=True)
def nothing_is_left(client):
    """Each test ends without pinholes, and nothing paused."""
    yield
    client.lab.router.check("miniigd resume; miniigd close-all")
    assert status(client)["pinholes"] == []
    assert "please report" not in client.log()


def test_a_pinhole_opens_one_port_of_one_host_and_no_other(client, servers):
    assert call(client, "GetFirewallStatus") == {"FirewallEnabled": "1", "InboundPinholeAllowed": "1"}
    assert not is_open(client)
    unique_id = add(client)
    assert is_open(client) and is_open(client, source=WAN_HOST2_6)
    assert not is_open(client, OTHER_PORT) and not is_open(client, host=LAN_HOST2_6)
    delete(client, unique_id)
    assert not is_open(client)
    assert code(delete, client, unique_id) == 704


def test_udp_is_another_protocol(client, servers):
    with client.lab.lan.call(datagram_socket, LAN_HOST_6, PORT) as inner, client.lab.wan.call(
            datagram_socket, WAN_HOST_6, 0) as outer:
        def arrives():
            outer.sendto(b"in", (LAN_HOST_6, PORT))
            with contextlib.suppress(TimeoutError):
                return inner.recv(10) == b"in"

        assert not arrives()
        unique_id = add(client, protocol="UDP")
        assert arrives() and not is_open(client)
        delete(client, unique_id)
        assert not arrives()  # the flow ended with it
        inner.sendto(b"out", outer.getsockname())
        assert not arrives()  # and what the host still sends does not open it again
        add(client, protocol="UDP")
        assert arrives()


@pytest.mark.parametrize("remote_host, remote_port", [(WAN_HOST_6, 0), ("", 7777), (WAN_HOST_6, 7777)])
def test_a_remote_end_that_is_named_is_let_in_alone(client, servers, remote_host, remote_port):
    unique_id = add(client, remote_host=remote_host, remote_port=remote_port)
    wide = add(client, port=OTHER_PORT)
    assert is_open(client, source_port=remote_port)
    if remote_host:
        assert not is_open(client, source=WAN_HOST2_6, source_port=remote_port)
    if remote_port:
        assert not is_open(client, source_port=7778)
    assert is_open(client, OTHER_PORT, source=WAN_HOST2_6)
    delete(client, unique_id)
    assert not is_open(client, source_port=remote_port + 1 if remote_port else 0)
    delete(client, wide)


def test_one_for_any_host_and_one_for_a_host_stand_side_by_side(client, servers):
    wide, narrow = add(client), add(client, remote_host=WAN_HOST_6)
    assert wide != narrow and is_open(client, source=WAN_HOST2_6)
    delete(client, wide)
    assert is_open(client) and not is_open(client, source=WAN_HOST2_6)


def test_programs_on_the_router_stay_closed(client):
    """INPUT is never opened: not by a pinhole to a host, and there is none to the router itself."""
    add(client)
    for address in LAN_ROUTER_6, WAN_ROUTER_6, "fe80::5054:ff:fe00:101":
        assert code(add, client, host=address) == 606
    router = client.lab.router
    router.check("(while :; do nc -l -p %d </dev/null; done) >/dev/null 2>&1 & echo $! >/tmp/nc" % PORT)
    try:
        for _ in range(20):
            with contextlib.suppress(OSError):
                client.lab.lan.call(socket.create_connection, (LAN_ROUTER_6, PORT), 2).close()
                break
            time.sleep(0.2)
        else:
            raise AssertionError("nothing listens on the router")
        for address in LAN_ROUTER_6, WAN_ROUTER_6:
            with pytest.raises(OSError):
                connect(client, host=address)
        assert router.run("ip6tables-save 2>/dev/null | grep -- '-A INPUT.*MINIUPNPD'").output == ""
    finally:
        router.check("kill $(cat /tmp/nc); killall nc; true")


def test_other_hosts_are_refused(client, servers):
    unique_id = add(client)
    assert is_open(client)
    for function, arguments, named in (
            (add, (client,), {"host": "2a00:11:0:1::77"}), (add, (client,), {"port": 1023}),
            (add, (client,), {"host": WAN_HOST_6}), (add, (client,), {"host": "fe80::2"})):
        assert code(function, *arguments, **named) == 606, named
    # both addresses are the LAN host's, and the table of neighbours says so
    assert add(client, source=LAN_HOST2) == add(client, source=LAN_HOST) == unique_id
    other = client.lab.lan
    other.ip("link", "add", "link", "eth0", "name", "other", "address", "02:00:00:00:00:99", "type", "macvlan", "mode",
             "bridge")
    try:
        other.ip("address", "add", "192.168.1.99/32", "dev", "other")
        other.ip("link", "set", "other", "up")
        other.ip("route", "add", "192.168.1.1/32", "dev", "other", "src", "192.168.1.99")
        assert code(add, client, source="192.168.1.99") == 606
        assert code(delete, client, unique_id, source="192.168.1.99") == 606
    finally:
        other.ip("link", "del", "other")
    assert is_open(client)


def test_the_table_of_neighbours_knows_a_host_that_was_silent(client):
    """The router has never sent anything to that address: it asks the LAN who has it."""
    client.lab.router.check("ip -6 neigh flush dev eth0")
    assert add(client, host=LAN_HOST2_6) > 0


def test_a_lease_can_be_updated_and_ends(client, servers):
    unique_id = add(client, lease=600)
    assert call(client, "UpdatePinhole", (("UniqueID", unique_id), ("NewLeaseTime", 2))) == {}
    assert is_open(client)
    time.sleep(2.6)
    assert not is_open(client)
    assert "its lease ended" in client.log()
    unique_id = add(client, lease=2)
    call(client, "UpdatePinhole", (("UniqueID", unique_id), ("NewLeaseTime", 600)))
    time.sleep(4.6)
    assert is_open(client)


def test_the_hole_closes_when_the_daemon_was_killed(client, servers):
    """With nftables the kernel does it; with ip6tables the daemon that is started again after five seconds."""
    add(client, lease=4)
    client.lab.router.check("kill -9 $(pidof miniigd)")
    assert is_open(client)
    time.sleep(6.5)  # the kernel waits two seconds longer than the daemon would
    assert not is_open(client)
    client.lab.router.check("/etc/init.d/miniupnpd restart")
    wait_until_serving(client)


def test_it_survives_a_restart_and_a_kill(client, servers):
    unique_id = add(client, remote_host=WAN_HOST_6)
    for command in "/etc/init.d/miniupnpd restart", "kill -9 $(pidof miniigd); /etc/init.d/miniupnpd restart":
        client.lab.router.check(command)
        wait_until_serving(client)
        assert is_open(client) and not is_open(client, source=WAN_HOST2_6)
        (found,) = status(client)["pinholes"]
        assert found["unique_id"] == unique_id and 500 < found["expires_in"] <= 600
    assert re.match(r"TCP;%s;%d;%s;0;%d;\d+;\n$" % (LAN_HOST_6, PORT, WAN_HOST_6, unique_id),
                    client.lab.router.check("cat /var/run/miniupnpd.leases6"))
    client.lab.router.check("/etc/init.d/miniupnpd stop")
    assert not is_open(client)
    client.lab.router.check("/etc/init.d/miniupnpd start")
    wait_until_serving(client)
    assert is_open(client)


def test_what_is_connected_ends(client, servers):
    for end in lambda: delete(client, add(client)), lambda: client.lab.router.check("miniigd close-all"):
        add(client)
        with connect(client) as outer:
            inner = servers[0].accept()[0]
            inner.settimeout(2)
            with inner:
                outer.sendall(b"in")
                assert inner.recv(10) == b"in"
                end()
                inner.sendall(b"out")  # what the host sends may still get out
                with pytest.raises(OSError):
                    for _ in range(5):
                        outer.sendall(b"more")
                        time.sleep(0.2)
                with pytest.raises(OSError):
                    assert inner.recv(10) == b""


def test_a_reload_of_the_firewall_is_healed(client, servers):
    add(client)
    add(client, port=OTHER_PORT, remote_host=WAN_HOST_6)
    client.lab.router.check(RELOAD[client.lab.model], timeout=60)
    start = time.monotonic()
    while not (is_open(client) and is_open(client, OTHER_PORT)):
        assert time.monotonic() - start < WITHIN, client.log()
        time.sleep(0.1)
    assert not is_open(client, OTHER_PORT, source=WAN_HOST2_6)


def test_a_pause_closes_and_keeps_closed(client, servers):
    unique_id = add(client)
    assert client.lab.router.check("miniigd pause").startswith("paused until")
    assert not is_open(client)
    assert call(client, "GetFirewallStatus")["InboundPinholeAllowed"] == "0"
    assert code(add, client) == code(delete, client, unique_id) == 703
    client.lab.router.check("miniigd resume")
    assert add(client) != unique_id and is_open(client)


def test_packets_are_counted_and_shown(client, servers):
    unique_id = add(client)
    assert code(call, client, "CheckPinholeWorking", (("UniqueID", unique_id),)) == 709
    for _ in range(2):
        assert is_open(client)
    packets = int(call(client, "GetPinholePackets", (("UniqueID", unique_id),))["PinholePackets"])
    assert packets >= 2
    assert call(client, "CheckPinholeWorking", (("UniqueID", unique_id),)) == {"IsWorking": "1"}
    assert add(client) == unique_id  # renewed
    assert int(call(client, "GetPinholePackets", (("UniqueID", unique_id),))["PinholePackets"]) >= packets
    (found,) = status(client)["pinholes"]
    assert found["packets"] >= packets and found["internal_client"] == LAN_HOST_6
    assert "[%s]:%d" % (LAN_HOST_6, PORT) in client.lab.router.check("miniigd status")


def test_the_outbound_timeout_is_the_kernel_s(client):
    for protocol, name in (("TCP", "tcp_timeout_established"), ("UDP", "udp_timeout")):
        seconds = client.lab.router.check("cat /proc/sys/net/netfilter/nf_conntrack_" + name).strip()
        assert call(client, "GetOutboundPinholeTimeout", ends(protocol=protocol)) == {"OutboundPinholeTimeout": seconds}


def test_a_prefix_that_is_gone_takes_its_pinholes_along(client, servers):
    add(client)
    router = client.lab.router
    try:
        router.check("ip -6 addr del %s/64 dev eth0" % LAN_ROUTER_6)
        wait_for(client, lambda: status(client)["pinholes"] == [])
        assert "its prefix is gone" in client.log()
        assert code(add, client) == 606
    finally:
        router.check("ip -6 addr add %s/64 dev eth0" % LAN_ROUTER_6)
    wait_for(client, lambda: is_added(client))
    assert is_open(client)


def is_added(client):
    """True once a pinhole can be opened."""
    try:
        return bool(add(client))
    except Refused:
        return False


def upnpc(client, *words):
    return client.lab.lan.run(["upnpc", "-m", "eth0", "-u", DESCRIPTION, *[str(word) for word in words]], 30).stdout


def test_miniupnpc_opens_renews_looks_and_closes(client, servers):
    assert "FirewallEnabled: 1 & Inbound Pinhole Allowed: 1" in upnpc(client, "-S")
    output = upnpc(client, "-A", "", 0, LAN_HOST_6, PORT, "TCP", 600)
    unique_id = re.search(r"AddPinhole: \(\[\]:0 -> \[%s\]:%d\) / Pinhole ID = (\d+)" % (LAN_HOST_6, PORT), output)[1]
    assert is_open(client)
    assert "UpdatePinhole: Pinhole ID = %s with Lease Time: 900" % unique_id in upnpc(client, "-U", unique_id, 900)
    assert 800 < status(client)["pinholes"][0]["expires_in"] <= 900
    assert "CheckPinholeWorking: Pinhole ID = %s / IsWorking = Yes" % unique_id in upnpc(client, "-C", unique_id)
    assert re.search(r"GetPinholePackets: Pinhole ID = %s / PinholePackets = [1-9]" % unique_id,
                     upnpc(client, "-K", unique_id))
    assert "DeletePinhole" in upnpc(client, "-D", unique_id)
    assert not is_open(client) and status(client)["pinholes"] == []
