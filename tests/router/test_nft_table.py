"""The nftables back end's own table, on a router whose firewall is firewall3: `option firewall 'nft'`."""

import time

import pytest

from qemu.lab import LAN_HOST, WAN_HOST
from test_daemon import Client, wait_until_serving

pytestmark = pytest.mark.parametrize("lab", ["wrt"], indirect=True)


@pytest.fixture(scope="module")
def client(lab):
    """The installed daemon, told to use nftables; removed at the end."""
    client = Client(lab)
    client.demo.install()
    lab.router.check("sed -i \"/^config upnpd/a option firewall 'nft'\" /etc/config/upnpd; "
                     "/etc/init.d/miniupnpd restart")
    wait_until_serving(client)
    client.demo.discover()  # starts the servers of the LAN host
    yield client
    client.demo.close()
    lab.router.check("opkg remove miniigd; rm -f /etc/config/upnpd", timeout=60)


def test_mappings_are_not_in_iptables(client):
    assert client.add()[0] == 200
    assert "the nftables table inet miniigd" in client.log()
    assert client.lab.router.run("iptables-save | grep -E 'MINIUPNPD|8000'").output == ""
    assert client.is_open()
    assert client.delete()[0] == 200
    assert not client.is_open()


def test_both_protocols_and_a_renewal_that_moves_the_port(client):
    for protocol in "TCP", "UDP":
        assert client.add(protocol=protocol)[0] == 200
    assert client.demo.tcp_exchange() and client.demo.udp_exchange()
    for protocol in "TCP", "UDP":
        assert client.add(protocol=protocol, lease=2)[0] == 200
    time.sleep(2.5)
    assert client.demo.expect_refused()


def test_one_remote_host(client):
    assert client.add(remote_host="11.0.0.77")[0] == 200
    assert not client.is_open()
    assert client.delete(remote_host="11.0.0.77")[0] == 200
    assert client.add(remote_host=WAN_HOST)[0] == 200
    assert client.is_open()
    assert client.delete(remote_host=WAN_HOST)[0] == 200


def test_several_are_closed_at_once(client):
    for port in 8000, 8001, 8002:
        assert client.add(port=port)[0] == 200 and client.is_open(port)
    area = (("NewStartPort", 8000), ("NewEndPort", 8001), ("NewProtocol", "TCP"), ("NewManage", 0))
    assert client.call("DeletePortMappingRange", area, LAN_HOST, 2)[0] == 200
    assert [client.is_open(port) for port in (8000, 8001, 8002)] == [False, False, True]
    assert client.delete(port=8002)[0] == 200


def test_a_reload_of_the_firewall_closes_nothing(client):
    assert client.add()[0] == 200
    client.lab.router.check("fw3 reload")
    assert client.is_open()
    assert client.delete()[0] == 200


def test_the_kernel_closes_the_hole_when_the_daemon_does_nothing(client):
    assert client.add(lease=3)[0] == 200
    client.lab.router.check("kill -STOP $(pidof miniigd)")
    try:
        assert client.is_open()
        time.sleep(5.5)  # the kernel waits two seconds longer than the daemon would
        assert not client.is_open()
    finally:
        client.lab.router.check("kill -CONT $(pidof miniigd)")
    wait_until_serving(client)
