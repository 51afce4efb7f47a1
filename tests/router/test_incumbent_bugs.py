"""What the C daemon gets wrong, found by running it: each of its bugs is a test that this one passes on the router."""

import re

import pytest

from qemu.lab import LAN_HOST, LAN_HOST2, WAN_HOST
from test_attacks import with_argument
from test_daemon import fault, wait_for, wait_until_serving


def entry(client, index):
    """The values of the mapping at an index, by name."""
    status, body = client.call("GetGenericPortMappingEntry", (("NewPortMappingIndex", index),))
    assert status == 200, body
    return dict(re.findall(r"<(New\w+)>(.*?)</\1>", body))


def count(client):
    """How many mappings there are."""
    body = client.call("QueryStateVariable", (("u:varName", "PortMappingNumberOfEntries"),))[1]
    return int(re.search(r"<return>(\d+)</return>", body)[1])


def test_1_port_70000_is_not_port_4464(client):
    assert fault(client.add(port=70000)) == 402
    assert count(client) == 0


def test_2_sctp_is_not_tcp(client):
    assert fault(client.add(protocol="SCTP")) == 402
    assert fault(client.add(protocol="SCTP", version=2)) == 601
    assert count(client) == 0


def test_3_deleting_port_3000_leaves_port_30001(client):
    for port in 30001, 3000, 30002:
        assert client.add(port=port)[0] == 200
    assert client.delete(port=3000)[0] == 200
    assert [entry(client, index)["NewExternalPort"] for index in range(count(client))] == ["30001", "30002"]
    assert client.is_open(30001)
    for port in 30001, 30002:
        assert client.delete(port=port)[0] == 200


def test_4_a_renewed_mapping_keeps_its_place(client):
    for port in 8000, 8001, 8002:
        assert client.add(port=port)[0] == 200
    assert client.add(port=8000)[0] == 200
    assert [entry(client, index)["NewExternalPort"] for index in range(3)] == ["8000", "8001", "8002"]
    assert re.findall(r"dport (\d+)(?: dnat| -j DNAT)", client.demo.rules()) == ["8000", "8001", "8002"]
    for port in 8000, 8001, 8002:
        assert client.delete(port=port)[0] == 200


def test_5_a_renewal_changes_the_description(client):
    for text in "first", "second":
        assert client.call("AddPortMapping", with_argument("NewPortMappingDescription", text))[0] == 200
        assert entry(client, 0)["NewPortMappingDescription"] == text
    assert client.delete()[0] == 200


def test_6_a_remote_host_is_reported_and_filters_the_translation(client):
    assert client.add(remote_host="11.0.0.77")[0] == 200
    assert entry(client, 0)["NewRemoteHost"] == "11.0.0.77"
    rules = client.demo.rules()
    assert re.search(r"th dport 8000 (ip saddr 11\.0\.0\.77|@nh,96,32 0xb00004d) dnat|"
                     r"-A MINIUPNPD -s 11\.0\.0\.77/32 -p tcp -m tcp --dport 8000 -j DNAT", rules), rules
    assert not client.is_open()
    assert client.delete(remote_host="11.0.0.77")[0] == 200


@pytest.mark.parametrize("sent, shown", [
    ("a &amp; b", "a &amp; b"), ("a & b", "a &amp; b"), ("&lt;x>", "&lt;x&gt;"), ("]]&gt;", "]]&gt;"),
    ("\u00e9", "\u00e9")])
def test_7_a_description_is_text_and_not_markup(client, sent, shown):
    assert client.call("AddPortMapping", with_argument("NewPortMappingDescription", sent))[0] == 200
    assert entry(client, 0)["NewPortMappingDescription"] == shown
    area = (("NewStartPort", 8000), ("NewEndPort", 8000), ("NewProtocol", "TCP"), ("NewManage", 0),
            ("NewNumberOfPorts", 0))
    body = client.call("GetListOfPortMappings", area, version=2)[1]
    assert "<p:NewDescription>%s</p:NewDescription>" % shown in body and body.count("]]>") == 1
    assert client.delete()[0] == 200


def test_8_deleting_what_is_not_there_is_an_error(client):
    for version in 1, 2:
        assert fault(client.call("DeletePortMapping", (("NewRemoteHost", ""), ("NewExternalPort", 8000),
                                                       ("NewProtocol", "TCP")), version=version)) == 714


def test_9_a_range_of_others_ports_is_not_deleted(client):
    assert client.add()[0] == 200
    for manage in 0, 1:
        area = (("NewStartPort", 1), ("NewEndPort", 65535), ("NewProtocol", "TCP"), ("NewManage", manage))
        assert fault(client.call("DeletePortMappingRange", area, LAN_HOST2, 2)) == 606
    assert client.is_open()
    assert client.delete()[0] == 200


def test_11_an_empty_client_is_the_caller(client):
    for version in 1, 2:
        assert client.add(client="", version=version)[0] == 200
        assert entry(client, 0)["NewInternalClient"] == LAN_HOST
        assert client.is_open()
        assert client.delete()[0] == 200


def test_a_disabled_mapping_is_kept_and_closed(client):
    """The C daemon opens it all the same."""
    assert client.call("AddPortMapping", with_argument("NewEnabled", 0))[0] == 200
    assert entry(client, 0)["NewEnabled"] == "0"
    assert not client.is_open()
    assert client.add()[0] == 200 and client.is_open()
    assert client.call("AddPortMapping", with_argument("NewEnabled", 0))[0] == 200
    assert not client.is_open()
    assert client.delete()[0] == 200


def test_a_private_address_is_refused_in_one_clear_line_and_recovered_from(client):
    """The C daemon says nothing and, for some releases, stays like that."""
    router = client.lab.router
    try:
        router.check("ip addr flush dev eth1; ip addr add 10.64.0.2/24 dev eth1")
        wait_for(client, lambda: "10.64.0.2 is private or shared" in client.log())
        assert fault(client.add()) == 501
        assert "<NewExternalIPAddress></NewExternalIPAddress>" in client.call("GetExternalIPAddress", ())[1]
        assert client.log().count("10.64.0.2 is private or shared") == 1
    finally:
        router.check("ip addr flush dev eth1; ifup wan")
    wait_for(client, lambda: WAN_HOST[:7] in client.call("GetExternalIPAddress", ())[1])
    assert client.add()[0] == 200 and client.is_open()
    assert client.delete()[0] == 200


def test_a_private_address_is_served_where_that_is_allowed(client):
    router = client.lab.router
    router.check("sed -i \"/^config upnpd/a option ext_allow_private_ipv4 '1'\" /etc/config/upnpd; "
                 "/etc/init.d/miniupnpd restart")
    try:
        wait_until_serving(client)
        router.check("ip addr flush dev eth1; ip addr add 10.64.0.2/24 dev eth1")
        wait_for(client, lambda: "<NewExternalIPAddress>10.64.0.2<" in client.call("GetExternalIPAddress", ())[1])
        assert client.add()[0] == 200
        assert client.delete()[0] == 200
    finally:
        router.check("ip addr flush dev eth1; ifup wan; sed -i '/ext_allow_private_ipv4/d' /etc/config/upnpd; "
                     "/etc/init.d/miniupnpd restart")
    wait_until_serving(client)
