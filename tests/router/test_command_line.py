"""The command line on the router: it shows what is open, closes it, and keeps it closed, with real packets."""

import json
import re
import time

import pytest

from qemu.lab import LAN_HOST, LAN_HOST2, WAN_HOST, WAN_ROUTER
from test_daemon import fault, wait_for, wait_until_serving
from test_flows import PORT, Stream, add, listener  # noqa: F401 - a fixture

SOCKET, PAUSED, LEASES = "/var/run/miniigd.sock", "/etc/miniigd/paused", "/var/run/miniupnpd.leases"


@pytest.fixture(autouse=True)
def nothing_is_left(client):
    """Each test ends with an empty table, and nothing paused."""
    yield
    assert command(client, "resume")[0] == 0
    assert command(client, "close-all")[0] == 0
    assert command(client, "status --json", parse=True)["port_mappings"] == []
    assert "please report" not in client.log()


def command(client, words, parse=False):
    """Run `miniigd WORDS`; return (exit status, what it printed), or the JSON that it printed."""
    status, output = client.lab.router.run("miniigd " + words)
    if not parse:
        return status, output
    assert status == 0, output
    return json.loads(output)


def mapping(client, port):
    """Return the one mapping of an external port, as the JSON has it."""
    found = [one for one in command(client, "status --json", parse=True)["port_mappings"]
             if one["external_port"] == port]
    assert len(found) == 1
    return found[0]


def log_of(client, pattern):
    """Return how many of the daemon's lines match."""
    return len(re.findall(pattern, client.lab.router.check("logread | grep miniigd:")))


def test_status_shows_who_holds_what_and_what_came_in(client):
    assert client.add()[0] == 200
    assert client.add(port=8001, protocol="UDP", client=LAN_HOST2, source=LAN_HOST2, lease=0)[0] == 200
    assert client.add(port=8002, remote_host=WAN_HOST)[0] == 200
    before = mapping(client, 8000)
    counts = []
    for _ in range(2):
        assert client.is_open()
        counts.append(mapping(client, 8000))
    assert before["packets"] == before["bytes"] == 0
    assert 0 < counts[0]["packets"] < counts[1]["packets"] and 0 < counts[0]["bytes"] < counts[1]["bytes"]
    assert mapping(client, 8001)["packets"] == 0
    found = command(client, "status --json", parse=True)
    assert found["wan"]["external_ip_address"] == WAN_ROUTER and found["wan"]["interface"] == "eth1"
    assert found["firewall"] == ("nftables" if client.demo.has_nft() else "iptables")
    assert (found["paused"], found["port_mapping_number_of_entries"]) == (False, 3)
    one = mapping(client, 8002)
    assert (one["remote_host"], one["protocol"], one["internal_client"], one["internal_port"], one["description"]) == (
        WAN_HOST, "TCP", LAN_HOST, 8000, "test")
    assert 500 < one["lease_duration"] <= 600
    status, text = command(client, "status")
    lines = text.splitlines()
    assert status == 0 and WAN_ROUTER in lines[1] and lines[2].startswith("3 mappings")
    rows = [line.split() for line in lines[4:]]
    assert rows[0][:4] == ["TCP", "8000", LAN_HOST + ":8000", "any"] and re.fullmatch(r"0:(09:\d\d|10:00)", rows[0][4])
    assert int(rows[0][5]) == counts[1]["packets"] and rows[0][7] == "test"
    assert rows[1][:6] == ["UDP", "8001", LAN_HOST2 + ":8000", "any", "no", "end"]
    assert rows[2][:4] == ["TCP", "8002", LAN_HOST + ":8000", WAN_HOST]


def test_a_long_status_comes_whole_while_clients_are_served(client):
    """As many mappings as take some time to list."""
    for port in range(9000, 9100):
        assert client.add(port=port)[0] == 200
    ports = [one["external_port"] for one in command(client, "status --json", parse=True)["port_mappings"]]
    assert ports == list(range(9000, 9100))
    assert command(client, "status | head -3")[1].count("\n") == 3
    assert command(client, "close-all") == (0, "closed 100 mappings\n")


def test_close_ends_what_is_connected_and_the_file_follows(client, listener):  # noqa: F811
    add(client)
    assert client.add(port=8001)[0] == 200
    stream = Stream(client, listener)
    assert stream.goes_on()
    assert command(client, "close %d tcp" % PORT) == (0, "closed 1 mapping\n")
    assert not stream.goes_on()
    stream.close()
    assert not client.is_open(PORT) and client.is_open(8001)
    wait_for(client, lambda: re.findall(r"^TCP:(\d+):", client.lab.router.check("cat " + LEASES), re.M) == ["8001"])
    assert log_of(client, r"closed TCP %d -> %s:%d: by the administrator" % (PORT, LAN_HOST, PORT)) == 1
    assert command(client, "close %d TCP" % PORT) == (1, "miniigd: no mapping of TCP %d\n" % PORT)
    assert command(client, "close 8001 UDP")[0] == 1
    add(client)  # nothing is in the way of another one
    assert command(client, "close-all") == (0, "closed 2 mappings\n")
    assert not client.is_open(8001)


def test_a_mapping_of_one_remote_host_is_closed_alone(client):
    assert client.add(remote_host=WAN_HOST)[0] == 200
    assert client.add(remote_host="11.0.0.77")[0] == 200
    assert command(client, "close 8000 TCP 11.0.0.78")[0] == 1
    assert command(client, "close 8000 TCP 11.0.0.77")[0] == 0
    assert client.is_open()
    assert command(client, "close 8000 TCP")[0] == 0
    assert not client.is_open()


def test_a_pause_outlasts_the_daemon(client, listener):  # noqa: F811
    add(client)
    assert client.add()[0] == 200
    stream = Stream(client, listener)
    assert stream.goes_on()
    assert command(client, "pause") == (0, "paused until 'miniigd resume', closed 2 mappings\n")
    assert not stream.goes_on()
    stream.close()
    assert not client.is_open() and not client.is_open(PORT)
    assert fault(client.add()) == 501
    assert fault(client.call("GetGenericPortMappingEntry", (("NewPortMappingIndex", 0),))) == 713  # reads go on
    client.lab.router.check("/etc/init.d/miniupnpd restart")
    wait_until_serving(client)
    assert fault(client.add()) == 501
    client.lab.router.check("kill -9 $(pidof miniigd)")
    client.lab.router.check("/etc/init.d/miniupnpd restart")
    wait_until_serving(client)
    assert fault(client.add()) == 501 and not client.is_open()
    assert "PAUSED until 'miniigd resume'" in command(client, "status")[1]
    assert command(client, "status --json", parse=True)["paused"] is True
    assert command(client, "resume")[0] == 0
    assert not client.is_open()  # until somebody asks
    assert client.add()[0] == 200 and client.is_open()
    client.lab.router.check("/etc/init.d/miniupnpd restart")
    wait_until_serving(client)
    assert client.is_open()


def test_a_pause_holds_while_clients_ask(client):
    assert client.add()[0] == 200
    assert command(client, "pause 1")[0] == 0
    before = log_of(client, "refused TCP")
    for port in range(8000, 8060):
        assert fault(client.add(port=port)) == 501
    assert not client.is_open()
    assert 10 < log_of(client, "refused TCP") - before <= 21
    found = command(client, "status --json", parse=True)
    assert found["paused"] is True and 20 <= found["paused_for"] <= 60


def test_a_pause_ends_by_itself(client):
    """A minute is the shortest: what is left of it after a jump of the wall clock too."""
    router = client.lab.router
    assert command(client, "pause 1")[0] == 0
    now = int(router.check("date +%s"))
    try:
        router.check("date -s @%d" % (now + 86400))
        assert fault(client.add()) == 501
        router.check("/etc/init.d/miniupnpd restart")
        wait_until_serving(client)
        assert fault(client.add()) == 501
    finally:
        router.check("date -s @$(($(date +%s) - 86400))")
    limit = time.monotonic() + 70
    while command(client, "status --json", parse=True)["paused"]:
        assert time.monotonic() < limit
        time.sleep(2)
    assert client.add()[0] == 200 and client.is_open()
    assert log_of(client, "resumed: the pause is over") >= 1
    assert router.run("ls " + PAUSED).status != 0


def test_only_root_may(client):
    """The file's mode keeps others out, before anybody looks at who they are."""
    router = client.lab.router
    assert client.add()[0] == 200
    assert router.check("ls -l " + SOCKET).startswith("srw-------")
    router.check("echo nobody:x:65534:65534:nobody:/:/bin/false >>/etc/passwd")
    try:
        for words in "close-all", "status":
            result = router.run("start-stop-daemon -S -c nobody -p /tmp/no-such.pid -x /usr/sbin/miniigd -- " + words)
            assert result == (3, "miniigd: only root may do that\n")
    finally:
        router.check("sed -i /^nobody:/d /etc/passwd")
    assert client.is_open()


def test_wrong_usage(client):
    for words in "open", "close", "close 8000", "close 0 TCP", "close 8000 ICMP", "pause soon", "status now":
        status, output = command(client, words)
        assert status == 2 and output.startswith("miniigd: ") and "\nusage: miniigd status" in output, words
    assert command(client, "version")[1] == client.lab.router.check("miniigd --version")
    assert command(client, "help")[0] == 0


def test_without_a_daemon(client):
    router = client.lab.router
    expected = (3, "miniigd: the daemon is not running: /etc/init.d/miniupnpd start\n")
    router.check("/etc/init.d/miniupnpd stop")
    try:
        assert router.run("ls " + SOCKET).status != 0
        for words in "status", "close-all", "pause":
            assert command(client, words) == expected
        assert command(client, "version")[0] == 0
    finally:
        router.check("/etc/init.d/miniupnpd start")
    wait_until_serving(client)
    router.check("kill -9 $(pidof miniigd)")
    assert command(client, "status") == expected  # the socket's file is still there
    router.check("/etc/init.d/miniupnpd restart")
    wait_until_serving(client)
    assert command(client, "status")[0] == 0


def test_what_the_command_costs(client):
    """It is a program for a moment beside the daemon: not more than the daemon itself."""
    router = client.lab.router
    command(client, "status")
    before = router.check("grep VmHWM /proc/$(pidof miniigd)/status").split()[1]
    for _ in range(20):
        assert command(client, "status")[0] == 0
    after = router.check("grep VmHWM /proc/$(pidof miniigd)/status").split()[1]
    assert int(after) - int(before) < 200  # kB
