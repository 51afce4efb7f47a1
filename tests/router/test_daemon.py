"""The daemon from its package on the router: asked by real sockets on the LAN, tried by real packets from the WAN."""

import re
import socket
import struct
import time

import pytest

from package import ipk, kit
from qemu.demo import LEASE, Demonstration
from qemu.lab import LAN_HOST, LAN_HOST2, LAN_ROUTER, WAN_HOST, WAN_ROUTER

CONTROL = {1: "/upnp/control/WANIPConn1", 2: "/igd2/upnp/control/WANIPConn1"}
SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:%d"
GROUP = ("239.255.255.250", 1900)


class Client:
    """The router with the daemon running, and what a client on the LAN (or on the guest network) does with it."""

    def __init__(self, lab, space=None, host=LAN_HOST, router=LAN_ROUTER):
        self.lab = lab
        self.space, self.host, self.router = space or lab.lan, host, router
        self.demo = Demonstration(lab, ipk.ipk())

    def http(self, request, source=None):
        """Send bytes to the daemon's port from the host's or another address; return the whole answer as text."""
        with self.space.call(socket.create_connection, (self.router, 5000), 10, (source or self.host, 0)) as link:
            link.sendall(request)
            parts = []
            while part := link.recv(65536):
                parts.append(part)
        return b"".join(parts).decode()

    def get(self, path):
        return self.http(("GET %s HTTP/1.1\r\nHost: %s:5000\r\n\r\n" % (path, self.router)).encode())

    def call(self, action, arguments, source=None, version=1):
        """Call an action of WANIPConnection; return (HTTP status, body)."""
        service = SERVICE % version
        body = ('<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
                '<u:%s xmlns:u="%s">%s</u:%s></s:Body></s:Envelope>'
                % (action, service, "".join("<%s>%s</%s>" % (n, v, n) for n, v in arguments), action)).encode()
        head, _, answer = self.http(
            ("POST %s HTTP/1.1\r\nHost: %s:5000\r\nSOAPAction: \"%s#%s\"\r\nContent-Length: %d\r\n\r\n"
             % (CONTROL[version], self.router, service, action, len(body))).encode() + body,
            source).partition("\r\n\r\n")
        return int(head.split()[1]), answer

    def add(self, port=8000, protocol="TCP", client=None, source=None, lease=LEASE, remote_host="",
            version=1, action="AddPortMapping"):
        return self.call(action, (
            ("NewRemoteHost", remote_host), ("NewExternalPort", port), ("NewProtocol", protocol),
            ("NewInternalPort", 8000), ("NewInternalClient", client or self.host), ("NewEnabled", 1),
            ("NewPortMappingDescription", "test"), ("NewLeaseDuration", lease)), source, version)

    def delete(self, port=8000, protocol="TCP", source=None, remote_host=""):
        return self.call("DeletePortMapping", (("NewRemoteHost", remote_host), ("NewExternalPort", port),
                                               ("NewProtocol", protocol)), source)

    def is_open(self, port=8000):
        """True when a TCP exchange from the WAN succeeds, False when it is refused."""
        try:
            self.demo.tcp_exchange(port)
        except kit.Stop as stop:
            assert "refused" in str(stop), stop
            return False
        return True

    def running(self):
        return self.lab.router.run("pidof miniigd").output.split()

    def log(self):
        return self.lab.router.check("logread | grep miniigd: | tail -20")


def fault(answer):
    """The UPnP error code of a (status, body)."""
    status, body = answer
    assert status == 500, answer
    return int(re.search(r"<errorCode>(\d+)</errorCode>", body)[1])


def test_a_lease_ends(client):
    assert client.add(lease=2)[0] == 200
    assert client.is_open()
    time.sleep(2.5)
    assert not client.is_open()
    assert fault(client.delete()) == 714
    assert "its lease ended" in client.log()


def test_the_hole_closes_when_the_daemon_was_killed(client):
    """With nftables the kernel does it; with iptables the daemon that procd starts again after five seconds."""
    assert client.add(lease=4)[0] == 200
    client.lab.router.check("kill -9 $(pidof miniigd)")
    assert client.is_open()
    time.sleep(6.5)  # the kernel waits two seconds longer than the daemon would
    assert not client.is_open()
    client.lab.router.check("/etc/init.d/miniupnpd restart")
    wait_until_serving(client)


def test_while_it_is_stopped_nothing_is_open(client):
    assert client.add()[0] == 200
    assert client.is_open()
    client.lab.router.check("/etc/init.d/miniupnpd stop")
    assert client.running() == []
    assert not client.is_open()
    client.lab.router.check("/etc/init.d/miniupnpd start")
    wait_until_serving(client)
    assert client.is_open()  # the lease goes on
    assert client.delete()[0] == 200
    assert not client.is_open()


def test_a_host_opens_ports_to_itself_only(client):
    for other in LAN_HOST2, LAN_ROUTER, WAN_HOST:
        assert fault(client.add(client=other)) == 718
        assert fault(client.add(client=other, version=2)) == 606
    assert not client.is_open()


def test_the_port_of_another_host_is_left_alone(client):
    assert client.add()[0] == 200
    assert fault(client.add(client=LAN_HOST2, source=LAN_HOST2)) == 718
    assert fault(client.delete(source=LAN_HOST2)) == 714
    assert client.is_open()
    assert client.delete()[0] == 200
    assert not client.is_open()


def test_privileged_ports_stay_closed(client):
    assert fault(client.add(port=80)) == 718
    assert fault(client.add(port=80, version=2)) == 606
    assert not client.is_open(80)


def test_two_ports_to_one_server_close_one_by_one(client):
    for port in 8000, 9000:
        assert client.add(port=port)[0] == 200
        assert client.is_open(port)
    assert client.delete(port=9000)[0] == 200
    assert not client.is_open(9000)
    assert client.is_open(8000)
    assert client.delete(port=8000)[0] == 200


def test_a_mapping_for_one_remote_host_is_open_to_it_alone(client):
    assert client.add(remote_host="11.0.0.77")[0] == 200
    assert not client.is_open()
    assert client.delete(remote_host="11.0.0.77")[0] == 200
    assert client.add(remote_host=WAN_HOST)[0] == 200
    assert client.is_open()
    assert client.delete(remote_host=WAN_HOST)[0] == 200


def test_a_renewed_mapping_follows_its_new_port(client):
    """The same client again replaces the mapping, its lease and its internal port."""
    assert client.add(lease=2)[0] == 200
    assert client.add(lease=LEASE)[0] == 200
    time.sleep(2.5)
    assert client.is_open()
    assert client.delete()[0] == 200


@pytest.mark.parametrize("lab", ["debian"], indirect=True)
def test_a_renewal_after_a_reload_of_the_firewall_opens_the_port_again(client):
    assert client.add()[0] == 200
    client.lab.router.check("fw4 reload")
    assert not client.is_open()
    assert client.add()[0] == 200
    assert client.is_open()
    assert client.delete()[0] == 200


@pytest.mark.parametrize("lab", ["debian"], indirect=True)
def test_after_a_restart_of_the_firewall_nobody_loses_another_s_rule(client):
    """Rules' handles start anew in a new table, so an old handle may be somebody else's."""
    assert client.add()[0] == 200
    client.lab.router.check("fw4 restart")
    assert client.add(port=9001, client=LAN_HOST2, source=LAN_HOST2)[0] == 200
    assert client.add()[0] == 200  # a renewal, as far as the daemon knows
    assert client.is_open()
    rules = client.lab.router.check("nft list chain inet fw4 upnp_prerouting")
    assert "dport 9001 dnat ip to 192.168.1.3:8000" in rules and rules.count("dnat") == 2
    assert client.delete()[0] == 200
    assert client.delete(port=9001, source=LAN_HOST2)[0] == 200
    assert "dnat" not in client.lab.router.check("nft list chain inet fw4 upnp_prerouting")


def test_the_package_is_installed_over_itself(client):
    client.lab.router.check("opkg install %s" % client.lab.serve(ipk.ipk()), timeout=60)
    assert "enabled '1'" in client.lab.router.check("cat /etc/config/upnpd")
    wait_until_serving(client)


def test_it_waits_for_the_wan(client):
    router = client.lab.router
    try:
        router.check("ifdown wan; /etc/init.d/miniupnpd restart")
        assert client.running() == []
    finally:
        router.check("ifup wan")
    wait_until_serving(client)
    assert client.add()[0] == 200 and client.is_open()
    assert client.delete()[0] == 200


def test_nothing_answers_on_the_wan(client):
    with pytest.raises(OSError):
        client.lab.wan.call(socket.create_connection, (WAN_ROUTER, 5000), 2)
    with client.lab.wan.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as search:
        search.settimeout(1)
        search.sendto(msearch("ssdp:all"), (WAN_ROUTER, 1900))
        with pytest.raises(OSError):
            search.recv(1500)


@pytest.mark.parametrize("destination", [(LAN_ROUTER, 1900), GROUP])
def test_searches_are_answered(client, destination):
    with client.lab.lan.call(bound_udp) as search:
        for version, path in (1, b""), (2, b"/igd2"):
            search.sendto(msearch("urn:schemas-upnp-org:device:InternetGatewayDevice:%d" % version), destination)
            answer, peer = search.recvfrom(1500)
            assert peer == (LAN_ROUTER, 1900)
            assert b"\r\nLOCATION: http://192.168.1.1:5000%s/rootDesc.xml\r\n" % path in answer
        search.sendto(msearch("urn:schemas-upnp-org:device:InternetGatewayDevice:3"), destination)
        search.settimeout(0.5)
        with pytest.raises(OSError):
            search.recv(1500)


def test_it_is_announced_at_start_and_taken_back_at_stop(client):
    with client.lab.lan.call(group_member) as listener:
        client.lab.router.check("/etc/init.d/miniupnpd stop")
        assert b"NTS: ssdp:byebye" in listener.recv(1500)
        client.lab.router.check("/etc/init.d/miniupnpd start")
        limit = time.monotonic() + 10
        while b"NTS: ssdp:alive" not in listener.recv(1500):
            assert time.monotonic() < limit
    wait_until_serving(client)


def test_documents_and_wrong_requests(client):
    assert "<UDN>uuid:" in client.get("/rootDesc.xml")
    assert "<name>AddPortMapping</name>" in client.get("/WANIPConn1.xml")
    assert client.get("/nothing").startswith("HTTP/1.1 404 ")
    assert client.http(b"nonsense\r\n\r\n").startswith("HTTP/1.1 400 ")
    assert client.http(b"GET /rootDesc.xml HTTP/1.1\r\nHost: evil.example\r\n\r\n").startswith("HTTP/1.1 403 ")
    assert fault(client.call("NoSuchAction", ())) == 401


def test_any_port_is_found_listed_and_closed_as_a_range(client):
    assert client.add()[0] == 200
    status, body = client.add(client=LAN_HOST2, source=LAN_HOST2, version=2, action="AddAnyPortMapping")
    assert status == 200 and "<NewReservedPort>8001</NewReservedPort>" in body  # 8000 is taken
    area = (("NewStartPort", 8000), ("NewEndPort", 8010), ("NewProtocol", "TCP"), ("NewManage", 0))
    for manage, count in (0, 1), (1, 2):
        wanted = area[:3] + (("NewManage", manage), ("NewNumberOfPorts", 0))
        status, body = client.call("GetListOfPortMappings", wanted, version=2)
        assert status == 200 and body.count("<p:PortMappingEntry>") == count
    assert client.call("DeletePortMappingRange", area, LAN_HOST2, 2)[0] == 200
    assert fault(client.call("DeletePortMappingRange", area, LAN_HOST2, 2)) == 606  # what is left is another's
    assert client.is_open()
    assert client.call("DeletePortMappingRange", area, LAN_HOST, 2)[0] == 200
    assert not client.is_open()
    assert fault(client.call("DeletePortMappingRange", area, LAN_HOST, 2)) == 730


def test_a_state_variable_can_be_asked_for(client):
    status, body = client.call("QueryStateVariable", (("u:varName", "ExternalIPAddress"),))
    assert status == 200 and "<return>11.0.0.2</return>" in body


def test_it_is_off_until_it_is_switched_on(client):
    router = client.lab.router
    router.check("sed -i \"s/option enabled .*/option enabled '0'/\" /etc/config/upnpd; /etc/init.d/miniupnpd restart")
    try:
        assert client.running() == []
    finally:
        router.check("sed -i \"s/option enabled .*/option enabled '1'/\" /etc/config/upnpd; "
                     "/etc/init.d/miniupnpd restart")
    wait_until_serving(client)


def msearch(target):
    return ('M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 2\r\nST: %s\r\n\r\n'
            % target).encode()


def bound_udp():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((LAN_HOST, 0))
    sock.settimeout(3)
    return sock


def group_member():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", 1900))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                    struct.pack("4s4s", socket.inet_aton(GROUP[0]), socket.inet_aton(LAN_HOST)))
    sock.settimeout(5)
    return sock


def wait_for(client, condition):
    """Wait until the condition holds, 10 seconds at most."""
    for _ in range(50):
        if condition():
            return
        client.lab.router.check("sleep 0.2")
    raise AssertionError("it does not happen: " + client.log())


def wait_until_serving(client):
    """Wait until the daemon answers, 10 seconds at most."""
    for _ in range(50):
        try:
            if client.get("/rootDesc.xml").startswith("HTTP/1.1 200"):
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError("the daemon does not answer: " + client.log())
