"""Hairpin on the router: where it is switched on, a host of the LAN reaches another one by the external address."""

import socket

import pytest

from qemu.lab import LAN_HOST, LAN_HOST2, LAN_ROUTER, WAN_HOST, WAN_ROUTER
from test_daemon import Client, wait_for, wait_until_serving

PORT = 8200


@pytest.fixture(scope="module")
def client(lab):
    """The installed and enabled daemon with nftables and hairpin; removed at the end."""
    client = Client(lab)
    client.demo.install()
    lab.router.check("sed -i \"/^config upnpd/a option hairpin '1'\" /etc/config/upnpd; "
                     "sed -i \"/^config upnpd/a option firewall 'nft'\" /etc/config/upnpd; "
                     "/etc/init.d/miniupnpd restart")
    wait_until_serving(client)
    yield client
    lab.router.check("opkg remove miniigd; rm -f /etc/config/upnpd", timeout=60)


@pytest.fixture
def listener(client):
    listener = client.lab.lan.call(socket.create_server, (LAN_HOST, PORT))
    listener.settimeout(3)
    with listener:
        yield listener


def reaches(client, listener, address=WAN_ROUTER, space=None, source=LAN_HOST2):
    """Connect to the external address; return who the server saw, or None when it is not reached."""
    try:
        with (space or client.lab.lan).call(socket.create_connection, (address, PORT), 2, (source, 0)) as link:
            accepted, peer = listener.accept()
            with accepted:
                link.sendall(b"hello")
                accepted.settimeout(3)
                assert accepted.recv(10) == b"hello"
                accepted.sendall(b"you")
                assert link.recv(10) == b"you"
                return peer[0]
    except OSError:
        return None


def add(client, lease=600, port=PORT):
    assert client.call("AddPortMapping", (
        ("NewRemoteHost", ""), ("NewExternalPort", port), ("NewProtocol", "TCP"), ("NewInternalPort", PORT),
        ("NewInternalClient", LAN_HOST), ("NewEnabled", 1), ("NewPortMappingDescription", "test"),
        ("NewLeaseDuration", lease)))[0] == 200


@pytest.mark.parametrize("lab", ["debian", "wrt"], indirect=True)
def test_a_neighbour_reaches_the_server_by_the_external_address(client, listener):
    assert reaches(client, listener) is None
    add(client)
    assert reaches(client, listener) == LAN_ROUTER  # or the answers would not come back through the router
    if client.demo.has_nft():  # LuCI counts the rules of this chain
        assert client.lab.router.check("nft list chain inet fw4 upnp_prerouting").count("dnat") == 1
    assert reaches(client, listener, space=client.lab.wan, source=WAN_HOST) == WAN_HOST  # as ever
    assert reaches(client, listener, LAN_ROUTER) is None  # the router's own address is the router
    add(client)
    assert reaches(client, listener) == LAN_ROUTER
    assert client.delete(port=PORT)[0] == 200
    assert reaches(client, listener) is None
    add(client, lease=2)
    assert reaches(client, listener) == LAN_ROUTER
    client.lab.router.check("sleep 3")
    assert reaches(client, listener) is None


@pytest.mark.parametrize("lab", ["debian", "wrt"], indirect=True)
def test_it_follows_the_external_address(client, listener):
    router = client.lab.router
    add(client)
    router.check("ip addr flush dev eth1; ip addr add 11.0.0.9/24 dev eth1")
    try:
        wait_for(client, lambda: reaches(client, listener, "11.0.0.9") == LAN_ROUTER)
    finally:
        router.check("ip addr flush dev eth1; ifup wan")
    wait_for(client, lambda: reaches(client, listener) == LAN_ROUTER)
    assert client.delete(port=PORT)[0] == 200
