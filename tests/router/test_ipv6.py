"""UPnP over IPv6: found on both groups, read, called, subscribed to from the LAN; and nothing of it from the WAN."""

import contextlib
import re
import socket
import struct
import time
from urllib.parse import urlsplit

import pytest

from qemu.lab import GUEST_HOST_6, GUEST_ROUTER_6, LAN_HOST, LAN_HOST_6, LAN_ROUTER_6, WAN_HOST_6, WAN_ROUTER_6
from test_daemon import fault, wait_for, wait_until_serving
from test_lans import found, headers, listener, notified

LINK, SITE = "ff02::c", "ff05::c"
ROUTER_LINK = "fe80::5054:ff:fe00:101"  # made by the kernel from the MAC address
HOST_LINK = "fe80::2"
ROOT = "upnp:rootdevice"
SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:%d"
NEW_ROUTER, NEW_HOST = "2a00:11:0:9::1", "2a00:11:0:9::2"
FAR_HOST = "2a00:11:0:77::1"  # behind the LAN host, not in its network
SECONDS = 10
EACH_SCOPE = pytest.mark.parametrize("group, host, router", [(LINK, HOST_LINK, ROUTER_LINK),
                                                              (SITE, LAN_HOST_6, LAN_ROUTER_6)])


def zoned(address):
    """The address as sockets of the LAN host want it."""
    return address + "%eth0" if address.startswith(("fe80:", "ff02:")) else address


def resolved(address, port):
    """The whole address, with the number of the link that a link-local one is on."""
    return socket.getaddrinfo(zoned(address), port)[0][4]


def connected(host, address, port):
    sock = socket.socket(socket.AF_INET6)
    sock.settimeout(10)
    sock.bind(resolved(host, 0))
    sock.connect(resolved(address, port))
    return sock


def searcher(host):
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("eth0"))
    sock.bind(resolved(host, 0))
    sock.settimeout(1)
    return sock


def member(group):
    """A socket that hears the group on the host's network."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((group, 1900, 0, socket.if_nametoindex("eth0")))
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                    socket.inet_pton(socket.AF_INET6, group) + struct.pack("@i", socket.if_nametoindex("eth0")))
    sock.settimeout(SECONDS)
    return sock


def search(space, host, destination, target=ROOT):
    """Search, 10 seconds at most; return (the source of the answer, its headers)."""
    limit = time.monotonic() + SECONDS
    request = 'M-SEARCH * HTTP/1.1\r\nHOST: [%s]:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: %s\r\n\r\n' % (
        destination.upper(), target)
    with space.call(searcher, host) as sock:
        where = space.call(resolved, destination, 1900)
        while time.monotonic() < limit:
            with contextlib.suppress(TimeoutError):
                sock.sendto(request.encode(), where)
                answer, peer = sock.recvfrom(1500)
                return peer[0].partition("%")[0], headers(answer)
    raise AssertionError("no search was answered")


def http(space, host, location, method="GET", body=b"", lines=""):
    """Make a request of an URL from the host's address; return (status, headers and body as text)."""
    url = urlsplit(location)
    with space.call(connected, host, url.hostname, url.port) as link:
        link.sendall(("%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n%s\r\n" % (
            method, url.path, url.netloc, len(body), lines)).encode() + body)
        parts = []
        while part := link.recv(65536):
            parts.append(part)
    answer = b"".join(parts).decode()
    return int(answer.split()[1]), answer


def call(space, host, router, action, arguments=(), version=1):
    """Call an action of WANIPConnection over IPv6; return (HTTP status, the answer)."""
    body = "<s:Envelope><s:Body><u:%s>%s</u:%s></s:Body></s:Envelope>" % (
        action, "".join("<%s>%s</%s>" % (name, value, name) for name, value in arguments), action)
    return http(space, host, "http://[%s]:5000%s/upnp/control/WANIPConn1" % (router, "/igd2" if version == 2 else ""),
                "POST", body.encode(), 'SOAPAction: "%s#%s"\r\n' % (SERVICE % version, action))


@EACH_SCOPE
def test_a_search_leads_to_the_description_by_an_address_of_the_host_s_kind(client, group, host, router):
    lan = client.lab.lan
    for destination in group, router:
        for version, path in (1, ""), (2, "/igd2"):
            peer, values = search(lan, host, destination, SERVICE % version)
            assert peer == router and values["ST"] == SERVICE % version
            assert values["LOCATION"] == "http://[%s]:5000%s/rootDesc.xml" % (router, path)
            assert values["01-NLS"] == values["BOOTID.UPNP.ORG"]
            status, document = http(lan, host, values["LOCATION"])
            assert status == 200 and "InternetGatewayDevice:%d<" % version in document
            assert "<presentationURL>http://[%s]/<" % router in document
    ipv4, ipv6 = found(client)[1], search(lan, host, group)[1]
    for name in "USN", "BOOTID.UPNP.ORG", "CONFIGID.UPNP.ORG":
        assert ipv4[name] == ipv6[name]  # it is the same device


@EACH_SCOPE
def test_everything_can_be_read_and_no_port_is_opened(client, group, host, router):
    lan = client.lab.lan
    assert client.add()[0] == 200
    try:
        assert "<NewExternalIPAddress>11.0.0.2<" in call(lan, host, router, "GetExternalIPAddress")[1]
        assert "<NewInternalClient>%s<" % LAN_HOST in call(
            lan, host, router, "GetGenericPortMappingEntry", (("NewPortMappingIndex", 0),))[1]
        identity = (("NewRemoteHost", ""), ("NewExternalPort", 8001), ("NewProtocol", "TCP"))
        for version, code in (1, 718), (2, 606):
            answer = call(lan, host, router, "AddPortMapping", identity + (
                ("NewInternalPort", 8000), ("NewInternalClient", LAN_HOST), ("NewEnabled", 1),
                ("NewPortMappingDescription", "test"), ("NewLeaseDuration", 60)), version)
            assert fault(answer) == code
        assert "to %s: it asks over IPv6 for %s" % (host, LAN_HOST) in client.log()
        assert fault(call(lan, host, router, "DeletePortMapping", (
            ("NewRemoteHost", ""), ("NewExternalPort", 8000), ("NewProtocol", "TCP")))) == 714
        assert client.is_open()
    finally:
        assert client.delete()[0] == 200


@EACH_SCOPE
def test_a_subscriber_is_told_everything_and_then_every_change(client, group, host, router):
    lan = client.lab.lan

    def message(server):
        link, peer = server.accept()
        with link:
            assert peer[0].partition("%")[0] == router
            data = b""
            link.settimeout(5)
            while b"</e:propertyset>" not in data:
                part = link.recv(4096)
                assert part, data
                data += part
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return data.decode()

    event = "http://[%s]:5000/upnp/event/WANIPConn1" % router
    with lan.call(socket.socket, socket.AF_INET6) as server:
        server.bind(lan.call(resolved, host, 0))
        server.listen()
        server.settimeout(5)
        callback = "<http://[%s]:%d/e>" % (host, server.getsockname()[1])
        status, answer = http(lan, host, event, "SUBSCRIBE", lines="NT: upnp:event\r\nCALLBACK: %s\r\n" % callback)
        assert status == 200
        sid = re.search(r"^SID: (.*)\r$", answer, re.M)[1]
        text = message(server)
        assert "SID: %s\r\nSEQ: 0\r\n" % sid in text and "<PortMappingNumberOfEntries>0<" in text
        assert "\r\nHOST: [%s]:%d\r\n" % (host, server.getsockname()[1]) in text
        assert client.add()[0] == 200
        assert "<PortMappingNumberOfEntries>1<" in message(server)
        assert client.delete()[0] == 200
        assert "<PortMappingNumberOfEntries>0<" in message(server)
        assert http(lan, host, event, "UNSUBSCRIBE", lines="SID: %s\r\n" % sid)[0] == 200
    # To the asking host and nowhere else; its other address is another host's as far as we know.
    for other in "http://[fe80::3]:80/", "http://[%s]:80/" % (LAN_HOST_6 if host == HOST_LINK else HOST_LINK):
        assert http(lan, host, event, "SUBSCRIBE", lines="NT: upnp:event\r\nCALLBACK: <%s>\r\n" % other)[0] == 412


def test_it_is_announced_on_both_groups_and_taken_back(client):
    router = client.lab.router
    with client.lab.lan.call(member, LINK) as at_link, client.lab.lan.call(member, SITE) as at_site:
        router.check("/etc/init.d/miniupnpd stop")
        sockets = (at_link, "[FF02::C]:1900", ROUTER_LINK), (at_site, "[FF05::C]:1900", LAN_ROUTER_6)
        for sock, name, _ in sockets:
            assert notified(sock, "byebye", NT=ROOT)["HOST"] == name
        router.check("/etc/init.d/miniupnpd start")
        for sock, name, address in sockets:
            for path in "", "/igd2":
                values = notified(sock, "alive", NT=ROOT)
                assert values["HOST"] == name
                assert values["LOCATION"] == "http://[%s]:5000%s/rootDesc.xml" % (address, path)
    wait_until_serving(client)


def silent_on_the_wan(client):
    """Check that the WAN host finds and reaches nothing over IPv6."""
    wan = client.lab.wan
    for address in WAN_ROUTER_6, LAN_ROUTER_6, "fe80::5054:ff:fe00:201%eth0":
        with pytest.raises(OSError):
            wan.call(socket.create_connection, (address, 5000), 1)
    with wan.call(searcher, WAN_HOST_6) as sock, wan.call(searcher, "fe80::1") as at_link:
        for one, address in (sock, WAN_ROUTER_6), (sock, LAN_ROUTER_6), (sock, SITE), (at_link, LINK):
            one.sendto(b"M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\n\r\n", wan.call(resolved, address, 1900))
            with pytest.raises(OSError):
                one.recv(1500)


def test_nothing_answers_on_the_wan(client):
    silent_on_the_wan(client)


def test_nothing_answers_on_the_wan_even_without_a_firewall(client):
    router = client.lab.router
    stop, start = {"debian": ("fw4 flush", "fw4 start"), "wrt": ("fw3 stop", "fw3 start"),
                   "bare": ("/etc/init.d/S45firewall stop", "/etc/init.d/S45firewall start")}[client.lab.model]
    try:
        router.check(stop)
        silent_on_the_wan(client)
    finally:
        router.check("%s; /etc/init.d/miniupnpd restart" % start)
    wait_until_serving(client)


def test_a_host_from_behind_the_network_is_not_served(client):
    lan, router = client.lab.lan, client.lab.router
    lan.ip("address", "add", FAR_HOST + "/128", "dev", "eth0", "nodad")
    router.check("ip -6 route add %s via %s" % (FAR_HOST, LAN_HOST_6))
    try:
        # It can reach the router: the connection is made, and closed without a word.
        with lan.call(socket.create_connection, (LAN_ROUTER_6, 5000), 5, (FAR_HOST, 0)) as link:
            link.settimeout(5)
            with contextlib.suppress(ConnectionError):
                link.sendall(b"GET /rootDesc.xml HTTP/1.1\r\nHost: [%s]:5000\r\n\r\n" % LAN_ROUTER_6.encode())
                assert link.recv(100) == b""
        with lan.call(searcher, FAR_HOST) as sock:
            sock.sendto(b"M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\n\r\n", (LAN_ROUTER_6, 1900))
            with pytest.raises(TimeoutError):
                sock.recv(1500)
        assert search(lan, LAN_HOST_6, SITE)
    finally:
        router.check("ip -6 route del %s" % FAR_HOST)
        lan.ip("address", "del", FAR_HOST + "/128", "dev", "eth0")


def test_a_new_prefix_is_followed_and_ipv4_hears_of_it(client):
    lan, router = client.lab.lan, client.lab.router
    before = int(search(lan, LAN_HOST_6, SITE)[1]["BOOTID.UPNP.ORG"])
    lan.ip("address", "add", NEW_HOST + "/64", "dev", "eth0", "nodad")
    with lan.call(member, SITE) as at_site, lan.call(listener, LAN_HOST) as ipv4:
        try:
            router.check("ip -6 addr del %s/64 dev eth0 && ip -6 addr add %s/64 dev eth0" % (LAN_ROUTER_6, NEW_ROUTER))
            notified(at_site, "byebye", NT=ROOT)
            location = "http://[%s]:5000/rootDesc.xml" % NEW_ROUTER
            values = notified(at_site, "alive", NT=ROOT, LOCATION=location)
            assert int(values["BOOTID.UPNP.ORG"]) == before + 1  # one change, not two
            assert int(notified(ipv4, "update", NT=ROOT)["NEXTBOOTID.UPNP.ORG"]) == before + 1
            assert search(lan, NEW_HOST, SITE)[1]["LOCATION"] == location
            assert http(lan, NEW_HOST, location)[0] == 200
            assert search(lan, HOST_LINK, LINK)[1]["LOCATION"] == "http://[%s]:5000/rootDesc.xml" % ROUTER_LINK
            # The old prefix is nobody's now, also for a host that still has it.
            with pytest.raises((OSError, AssertionError)):
                search(lan, LAN_HOST_6, SITE)
        finally:
            router.check("ifup lan")
            lan.ip("address", "del", NEW_HOST + "/64", "dev", "eth0")
        notified(at_site, "alive", NT=ROOT, LOCATION="http://[%s]:5000/rootDesc.xml" % LAN_ROUTER_6)
    wait_until_serving(client)
    assert search(lan, LAN_HOST_6, SITE)[1]["LOCATION"] == "http://[%s]:5000/rootDesc.xml" % LAN_ROUTER_6


def test_an_address_that_has_to_be_checked_first_is_served_when_it_is(client):
    """Duplicate address detection, which the lab has switched off: for a second nothing can be bound to the address."""
    lan, router = client.lab.lan, client.lab.router
    try:
        router.check("echo 1 >/proc/sys/net/ipv6/conf/eth0/accept_dad; ip link set eth0 down; ip link set eth0 up; "
                     "ip -6 addr add %s/64 dev eth0" % LAN_ROUTER_6)
        assert search(lan, LAN_HOST_6, SITE)[0] == LAN_ROUTER_6
        assert search(lan, HOST_LINK, LINK)[0] == ROUTER_LINK
    finally:
        router.check("echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad; ifup lan")
    wait_until_serving(client)


def test_each_network_is_told_its_own_addresses(client):
    router, lan, guest = client.lab.router, client.lab.lan, client.lab.guest
    try:
        router.check("sed -i \"s/internal_iface .*/internal_iface 'lan guest'/\" /etc/config/upnpd; "
                     "/etc/init.d/miniupnpd restart")
        wait_until_serving(client)
        for space, places in ((lan, ((HOST_LINK, LINK, ROUTER_LINK), (LAN_HOST_6, SITE, LAN_ROUTER_6))),
                              (guest, ((HOST_LINK, LINK, "fe80::5054:ff:fe00:301"),
                                       (GUEST_HOST_6, SITE, GUEST_ROUTER_6)))):
            for host, group, address in places:
                peer, values = search(space, host, group)
                assert peer == address and values["LOCATION"] == "http://[%s]:5000/rootDesc.xml" % address
                assert http(space, host, values["LOCATION"])[0] == 200
        # The router has that address too, but not there.
        assert http(guest, GUEST_HOST_6, "http://[%s]:5000/rootDesc.xml" % LAN_ROUTER_6)[0] == 403
    finally:
        router.check("sed -i \"s/internal_iface .*/internal_iface 'lan'/\" /etc/config/upnpd; "
                     "/etc/init.d/miniupnpd restart")
    wait_until_serving(client)


def test_it_can_be_switched_off(client):
    router = client.lab.router
    sockets = "cat /proc/net/tcp6 /proc/net/udp6 | grep -E ': 0{32}:(1388|076C) '"  # :: with ports 5000 and 1900
    assert len(router.check(sockets).splitlines()) == 2  # for the network that is served
    before = router.check("cat /etc/config/upnpd")
    try:
        router.write("/etc/config/upnpd", "config upnpd 'config'\n\toption enabled '1'\n\toption ipv6_disable '1'\n")
        router.check("/etc/init.d/miniupnpd restart")
        wait_until_serving(client)
        assert router.run(sockets).output == ""
        with pytest.raises(AssertionError):
            search(client.lab.lan, HOST_LINK, LINK)
    finally:
        router.write("/etc/config/upnpd", before)
        router.check("/etc/init.d/miniupnpd restart")
    wait_until_serving(client)
    wait_for(client, lambda: len(router.run(sockets).output.splitlines()) == 2)


def test_upnpc_finds_the_router_over_ipv6(client):
    """A real client."""
    output = client.lab.lan.run(["upnpc", "-6", "-m", "eth0", "-s"], timeout=30).stdout
    url = r"Found valid IGD : http://\[%s(%%\w+)?\]:5000/upnp/control/WANIPConn1" % ROUTER_LINK
    assert re.search(url, output), output
    assert "ExternalIPAddress = 11.0.0.2" in output and "Status : Connected" in output
