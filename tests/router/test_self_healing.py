"""Whatever happens to the firewall or to the WAN, what is mapped is open again within five seconds, by itself."""

import time

import pytest

from qemu.lab import LAN_HOST, WAN_ROUTER
from test_daemon import fault, wait_for, wait_until_serving

WITHIN = 5  # seconds


@pytest.fixture
def opened(client):
    """Two mappings that are open, TCP 8000 and 8001; gone at the end."""
    for port in 8000, 8001:
        assert client.add(port=port)[0] == 200 and client.is_open(port)
    yield client
    for port in 8000, 8001:
        client.delete(port=port)


def opens_again(client, *ports):
    """Wait until the ports are open; return after how many seconds that was, which must be soon."""
    start = time.monotonic()
    for port in ports:
        while not is_open(client, port):
            assert time.monotonic() - start < WITHIN + 5, client.log()
            time.sleep(0.1)
    took = time.monotonic() - start
    assert took < WITHIN, client.log()
    return took


def is_open(client, port):
    """As Client.is_open, and False too while nothing answers at all."""
    try:
        return client.is_open(port)
    except AssertionError:
        return False


def processor(client):
    """Seconds of processor time that the daemon has used, and how often it woke up."""
    pid = client.running()[0]
    text = client.lab.router.check("cat /proc/%s/schedstat; grep ^voluntary /proc/%s/status" % (pid, pid)).split()
    return int(text[0]) / 1e9, int(text[-1])


@pytest.mark.parametrize("lab", ["debian"], indirect=True)
@pytest.mark.parametrize("harm", [
    "fw4 reload", "fw4 restart", "nft flush chain inet fw4 upnp_prerouting",
    "nft delete rule inet fw4 upnp_prerouting handle $(nft --handle list chain inet fw4 upnp_prerouting | "
    "sed -n 's/.*dport 8001.*# handle //p')",
    "nft flush set inet fw4 upnp_open", "nft insert rule inet fw4 upnp_prerouting iif eth1 tcp dport 8000 drop"])
def test_rules_that_somebody_took_away_are_put_back(opened, harm):
    opened.lab.router.check(harm)
    opens_again(opened, 8000, 8001)
    assert "changed by somebody else: putting our rules back" in opened.log()


@pytest.mark.parametrize("lab", ["debian"], indirect=True)
def test_a_daemon_that_is_late_leaves_no_rule_and_makes_nothing_anew(opened):
    """A busy router: the kernel forgets the elements of what ended before the daemon gets to it."""
    router = opened.lab.router
    for port in range(8100, 8110):
        assert opened.add(port=port, lease=2)[0] == 200
    count = "logread | grep -c 'putting our rules back'"
    before = router.run(count).output
    router.check("kill -STOP $(pidof miniigd); sleep 5; kill -CONT $(pidof miniigd)")
    wait_for(opened, lambda: "dport 81" not in opened.demo.rules())
    assert opened.demo.rules().count("dnat ip to") == 2
    assert router.run(count).output == before
    assert opened.is_open(8000) and opened.is_open(8001)


@pytest.mark.parametrize("lab", ["debian"], indirect=True)
def test_what_is_not_ours_is_taken_out_of_our_chain(opened):
    opened.lab.router.check("nft add rule inet fw4 upnp_prerouting iif eth1 tcp dport 9999 dnat ip to 192.168.1.2:22")
    wait_for(opened, lambda: "9999" not in opened.demo.rules())
    assert opened.is_open(8000)


@pytest.mark.parametrize("lab", ["debian"], indirect=True)
def test_changes_that_are_not_about_us_are_looked_at_and_left_alone(opened):
    before = len(opened.log())
    opened.lab.router.check("nft add table inet other; nft add chain inet other c; nft add rule inet other c accept; "
                            "sleep 1; nft delete table inet other; sleep 1")
    assert "putting our rules back" not in opened.log()[before:]
    assert opened.is_open(8000)


@pytest.mark.parametrize("lab", ["debian"], indirect=True)
def test_a_missing_chain_is_one_clear_line_and_501(opened):
    router = opened.lab.router
    router.check("nft flush chain inet fw4 dstnat; nft flush chain inet fw4 upnp_prerouting; "
                 "nft delete chain inet fw4 upnp_prerouting")
    try:
        wait_for(opened, lambda: "upnp_prerouting is not in table inet fw4: run 'fw4 reload'" in opened.log())
        assert fault(opened.add(port=8002)) == 501
        router.check("sleep 6")
        assert opened.log().count("run 'fw4 reload'") <= 2  # once by itself, once for the client that asked
    finally:
        router.check("fw4 reload")
    opens_again(opened, 8000, 8001)
    assert fault(opened.call("GetGenericPortMappingEntry", (("NewPortMappingIndex", 2),))) == 713


@pytest.mark.parametrize("lab", ["debian"], indirect=True)
def test_our_own_changes_wake_nobody_and_nothing_is_polled(opened):
    opened.lab.router.check("sleep 3")  # announcements, events
    _, before = processor(opened)
    for port in range(8100, 8110):
        assert opened.add(port=port)[0] == 200
    opened.lab.router.check("sleep 3")
    _, after = processor(opened)
    for port in range(8100, 8110):
        assert opened.delete(port=port)[0] == 200
    opened.lab.router.check("sleep 3")
    # a connection wakes the daemon three times: it comes, it sends, it ends; a watcher of our own changes once more
    assert after - before <= 10 * 4 + 6, (before, after)
    _, quiet = processor(opened)
    opened.lab.router.check("sleep 10")
    assert processor(opened)[1] - quiet <= 1


@pytest.fixture
def bridged(client):
    """The WAN is a bridge, which can be deleted and made again as a ppp0 is; at the end it is eth1 again."""
    router = client.lab.router
    make = ("ip link add br-wan type bridge; ip link set eth1 master br-wan; ip addr flush dev eth1; "
            "ip link set br-wan up; ip addr add %s/24 dev br-wan" % WAN_ROUTER)
    name, firewall = "sed -i \"/'wan'/,/^$/s/option device .*/option device '%s'/\" /etc/config/network", "fw3"
    if client.lab.model == "debian":
        firewall = "fw4"
    elif client.lab.model == "bare":
        name, firewall = "nvram set wan_ifname=%s", "/etc/init.d/firewall"
    turn = "; ifup wan; %s restart; /etc/init.d/miniupnpd restart" % firewall
    router.check("%s; %s" % (make, name % "br-wan") + turn)
    wait_until_serving(client)
    yield make
    router.check("%s; ip link del br-wan" % name % "eth1" + turn)
    wait_until_serving(client)


@pytest.mark.parametrize("harm", [
    "ip link del br-wan; sleep 1; %s", "ip link del br-wan; %s",
    "ip link set br-wan down; ip link set br-wan name away; ip link set away up; sleep 1; ip link set away down; "
    "ip link set away name br-wan; ip link set br-wan up",
    "ip addr flush dev br-wan; sleep 1; ip addr add 11.0.0.2/24 dev br-wan",
    "ip link set br-wan down; sleep 1; ip link set br-wan up"])
def test_a_wan_that_goes_and_comes_back_has_its_mappings(client, bridged, harm):
    for port in 8000, 8001:
        assert client.add(port=port)[0] == 200 and client.is_open(port)
    client.lab.router.check(harm % bridged if "%s" in harm else harm)
    opens_again(client, 8000, 8001)
    for port in 8000, 8001:
        assert client.delete(port=port)[0] == 200
        assert not client.is_open(port)


def test_another_address_on_the_wan_is_told_and_the_ports_stay_open(opened):
    router = opened.lab.router
    router.check("ip addr flush dev eth1; ip addr add 11.0.0.9/24 dev eth1")
    try:
        wait_for(opened, lambda: ">11.0.0.9<" in opened.call("GetExternalIPAddress", ())[1])
    finally:
        router.check("ip addr flush dev eth1; ifup wan")
    wait_for(opened, lambda: ">%s<" % WAN_ROUTER in opened.call("GetExternalIPAddress", ())[1])
    opens_again(opened, 8000, 8001)
    assert LAN_HOST in opened.call("GetGenericPortMappingEntry", (("NewPortMappingIndex", 0),))[1]
