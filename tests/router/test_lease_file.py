"""The lease file on the router: what LuCI reads and edits, and what brings leases back after a restart."""

import re
import time

import pytest

from qemu.lab import LAN_HOST, LAN_HOST2, WAN_HOST
from test_daemon import fault, wait_for, wait_until_serving

LEASES = "/var/run/miniupnpd.leases"


@pytest.fixture(autouse=True)
def nothing_is_mapped(client):
    """Each test begins and ends with an empty table."""
    yield
    client.call("DeletePortMappingRange", (("NewStartPort", 1), ("NewEndPort", 65535), ("NewProtocol", "TCP"),
                                           ("NewManage", 0)), version=2)
    client.call("DeletePortMappingRange", (("NewStartPort", 1), ("NewEndPort", 65535), ("NewProtocol", "TCP"),
                                           ("NewManage", 0)), LAN_HOST2, 2)
    assert fault(client.call("GetGenericPortMappingEntry", (("NewPortMappingIndex", 0),))) == 713


def lines(client):
    """The file's lines, split as LuCI does: at most six fields."""
    text = client.lab.router.check("cat %s" % LEASES)
    assert "\n\n" not in text  # LuCI stops at an empty line
    return [line.split(":", 5) for line in text.split("\n") if line]


def listed(client):
    """(protocol, port, client, internal port, remote host, lease) of each mapping, as a client lists them."""
    found = []
    while True:
        status, body = client.call("GetGenericPortMappingEntry", (("NewPortMappingIndex", len(found)),))
        if status != 200:
            return found
        entry = dict(re.findall(r"<New(\w+)>(.*?)</New\1>", body))
        found.append((entry["Protocol"], entry["ExternalPort"], entry["InternalClient"], entry["InternalPort"],
                      entry["RemoteHost"], int(entry["LeaseDuration"])))


def rules(client):
    """(protocol, port, client, internal port) of each rule, read as LuCI reads what nft or iptables lists."""
    if client.demo.has_nft():
        text = client.lab.router.check("nft --handle list chain inet fw4 upnp_prerouting")
        found = re.findall(r'^\t\tiif ".+" @nh,72,8 (0x6|0x11) th dport ([0-9]+).* dnat ip to ([0-9.]+):([0-9]+)', text,
                           re.M)
        return [("TCP" if protocol == "0x6" else "UDP", *rest) for protocol, *rest in found]
    text = client.lab.router.check("iptables --line-numbers -t nat -xnvL MINIUPNPD-POSTROUTING")
    found = re.findall(r"^([0-9]+) .+ \* +([0-9.]+) .+ ([ut].p) spt:([0-9]+) .+ ports: ([0-9]+)", text, re.M)
    assert [int(one[0]) for one in found] == list(range(1, len(found) + 1))
    return [(protocol.upper(), port, address, inner) for _, address, protocol, inner, port in found]


def agree(client):
    """Line N of the file, rule N and entry N of the list are the same mapping."""
    entries = listed(client)
    assert [(p, port, address, inner) for p, port, address, inner, _, _ in entries] == [
        tuple(line[:4]) for line in lines(client)]
    assert rules(client) == [entry[:4] for entry in entries]
    return len(entries)


def test_line_n_is_rule_n_at_all_times(client):
    assert client.add(port=8000)[0] == 200
    assert client.add(port=8001, protocol="UDP")[0] == 200
    assert client.add(port=8002, client=LAN_HOST2, source=LAN_HOST2)[0] == 200
    assert agree(client) == 3
    assert client.add(port=8000)[0] == 200  # renewed
    assert client.add(port=8000, remote_host="11.0.0.77")[0] == 200  # goes in front of the other
    assert client.add(port=8003)[0] == 200
    wait_for(client, lambda: len(lines(client)) == 5)
    assert agree(client) == 5
    assert lines(client)[0][5].endswith(" [from 11.0.0.77]")
    assert client.delete(port=8000)[0] == 200
    assert client.delete(port=8001, protocol="UDP")[0] == 200
    wait_for(client, lambda: len(lines(client)) == 3)
    assert agree(client) == 3
    now = int(client.lab.router.check("date +%s"))
    for line in lines(client):
        assert abs(int(line[4]) - now - 600) < 60


def settle(client):
    """Wait until the file says what the daemon says: after many changes it is written every two seconds."""
    wait_for(client, lambda: [entry[:4] for entry in listed(client)] == [tuple(line[:4]) for line in lines(client)])


def test_what_luci_deletes_is_closed_and_the_others_stay(client):
    for port in 8000, 8001, 8002:
        assert client.add(port=port)[0] == 200
    assert client.is_open(8001)
    settle(client)  # LuCI shows what is in the file
    client.lab.router.check("sed -i -e 2d %s; /etc/init.d/miniupnpd restart" % LEASES)
    wait_until_serving(client)
    assert [entry[1] for entry in listed(client)] == ["8000", "8002"]
    assert agree(client) == 2
    assert not client.is_open(8001)
    assert client.is_open(8000) and client.is_open(8002)


def test_an_older_luci_edits_the_file_of_a_running_daemon(client):
    for port in 8000, 8001:
        assert client.add(port=port)[0] == 200
    client.lab.router.check("sed -i -e 1d %s" % LEASES)
    assert client.add(port=8002)[0] == 200  # now it looks
    wait_for(client, lambda: len(lines(client)) == 2)
    assert [entry[1] for entry in listed(client)] == ["8001", "8002"]
    assert agree(client) == 2
    assert not client.is_open(8000)


@pytest.mark.parametrize("end", ["kill -9 $(pidof miniigd); /etc/init.d/miniupnpd restart",
                                 "kill -CONT $(pidof miniigd); /etc/init.d/miniupnpd restart"])
def test_leases_survive_a_restart_none_twice_and_stale_ones_are_gone(client, end):
    assert client.add(port=8000, lease=300)[0] == 200
    assert client.add(port=8001, lease=4)[0] == 200
    assert client.add(port=8002, lease=0)[0] == 200
    assert client.add(port=8003, remote_host=WAN_HOST)[0] == 200
    settle(client)
    before = time.monotonic()
    client.lab.router.check("kill -STOP $(pidof miniigd); sleep 4.5; " + end)  # it does not see the end of 8001's lease
    wait_until_serving(client)
    found = {entry[1]: entry for entry in listed(client)}
    assert sorted(found) == ["8000", "8002", "8003"]
    passed = time.monotonic() - before
    assert 300 - passed - 8 <= found["8000"][5] <= 300 - 2
    assert found["8002"][5] == 0
    assert found["8003"][4] == WAN_HOST
    assert agree(client) == 3
    assert client.is_open(8000) and client.is_open(8003) and not client.is_open(8001)


def test_the_wall_clock_jumps_and_no_lease_ends_or_stretches(client):
    router = client.lab.router
    now = int(router.check("date +%s"))
    try:
        # a router without a battery (the kernel takes no time that is before its own start)
        router.check("date -s @100000; /etc/init.d/miniupnpd restart")
        wait_until_serving(client)
        assert client.add(lease=300)[0] == 200
        router.check("date -s @%d; kill -9 $(pidof miniigd); /etc/init.d/miniupnpd restart" % now)  # the time server
        wait_until_serving(client)
        ((*_, lease),) = listed(client)
        assert 270 <= lease <= 300
        router.check("date -s @100000")
        # LuCI shows what is left
        wait_for(client, lambda: client.add(port=8001)[0] == 200 and int(lines(client)[0][4]) < 200000)
        assert all(0 < entry[5] <= 600 for entry in listed(client))
    finally:
        router.check("date -s @%d" % (now + 10))


def test_a_hostile_description_is_one_field_of_one_line(client):
    texts = ("a&#10;TCP:1:192.168.1.3:22:0:x", "a:b:c", "]]&gt;", "x [from 1.2.3.4]", "caf\u00e9: 1")
    for number, text in enumerate(texts):
        assert client.call("AddPortMapping", (
            ("NewRemoteHost", ""), ("NewExternalPort", 8000 + number), ("NewProtocol", "TCP"),
            ("NewInternalPort", 8000),
            ("NewInternalClient", LAN_HOST), ("NewEnabled", 1), ("NewPortMappingDescription", text),
            ("NewLeaseDuration", 600)))[0] == 200
    wait_for(client, lambda: len(lines(client)) == 5)
    text = client.lab.router.check("cat %s" % LEASES)
    assert [line.count(":") for line in text.splitlines()] == [5] * 5
    before = listed(client)
    client.lab.router.check("/etc/init.d/miniupnpd restart")
    wait_until_serving(client)
    assert [entry[:5] for entry in listed(client)] == [entry[:5] for entry in before]
