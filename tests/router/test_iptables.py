"""iptables on the router: what LuCI reads, what opens and what does not, and what others do to our chains."""

import contextlib
import re
import socket
import time

import pytest

from package import kit
from qemu.lab import LAN_HOST, WAN_HOST, WAN_ROUTER
from test_daemon import fault, wait_until_serving

pytestmark = pytest.mark.parametrize("lab", ["wrt", "bare"], indirect=True)

# luci-app-upnp's own, in the syntax of its script
LUCI = r"^([0-9]+) .+ \* +([0-9.]+) .+ ([ut].p) spt:([0-9]+) .+ ports: ([0-9]+)"
OLD_LUCI = r"^([0-9]+).*?([a-z]+).*?dpt:([0-9]+) to:(\S*?):([0-9]+)"  # Lua's ^(%d+).-([a-z]+).-dpt:(%d+) to:(%S-):(%d+)
RELOAD = "/etc/init.d/firewall reload"
LOG = "/tmp/programs.log"
# Stands in front of a program in PATH: writes down how it is called, and refuses what the condition matches.
WRAPPER = """#!/bin/sh
echo "%(name)s $*" >>/tmp/programs.log
for word; do
    case $word in
    %(refused)s) echo "%(name)s: unrecognized option '$word'" >&2; exit 2 ;;
    esac
done
exec /usr/sbin/%(name)s "$@"
"""


@pytest.fixture(autouse=True)
def nothing_is_left(client):
    """A test ends without mappings."""
    yield
    assert fault(client.call("GetGenericPortMappingEntry", (("NewPortMappingIndex", 0),))) == 713
    assert [line for line in rules(client) if line.startswith("-A MINIUPNPD")] == []


def rules(client):
    """Everything of ours in the router's tables, and who jumps there."""
    return client.lab.router.run("iptables-save | grep MINIUPNPD").output.splitlines()


def jumps(client):
    return [line for line in rules(client) if re.search(r"-j MINIUPNPD", line)]


def ports(client):
    """The external ports in the order of the rules; all three chains have to agree."""
    text = "\n".join(rules(client))
    found = re.findall(r"-A MINIUPNPD .*--dport (\d+) -j DNAT", text)
    assert re.findall(r"-A MINIUPNPD-POSTROUTING .*--to-ports (\d+)", text) == found
    assert len(re.findall(r"-A MINIUPNPD .*-j ACCEPT", text)) == len(found)
    return found


def wait_for(client, condition, seconds=1):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it does not happen: %s\n%s" % (client.log(), "\n".join(rules(client)))


@contextlib.contextmanager
def wrapped(client, refused="''"):
    """The daemon runs iptables and iptables-restore through a script that logs; it refuses the words `refused`."""
    router = client.lab.router
    for name in "iptables", "iptables-restore":
        router.write("/tmp/wrap/" + name, WRAPPER % {"name": name, "refused": refused}, mode="755")
    router.check("sed -i 's|^PROG=.*|PROG=/tmp/wrap/miniigd|' /etc/init.d/miniupnpd")
    router.write("/tmp/wrap/miniigd", '#!/bin/sh\nPATH=/tmp/wrap:$PATH exec /usr/sbin/miniigd "$@"\n', mode="755")
    restart(client)
    try:
        yield lambda: programs(client)
    finally:
        router.check("sed -i 's|^PROG=.*|PROG=/usr/sbin/miniigd|' /etc/init.d/miniupnpd")
        restart(client)
        router.check("rm -rf /tmp/wrap " + LOG)


def restart(client):
    client.lab.router.check("/etc/init.d/miniupnpd restart")
    wait_until_serving(client)
    programs(client)


def programs(client):
    """The programs that the daemon ran since the last question."""
    return client.lab.router.check("cat %s 2>/dev/null; rm -f %s" % (LOG, LOG)).splitlines()


def test_luci_reads_our_rules(client):
    """Rule N is mapping N, also after renewals and deletions, with the columns where LuCI looks for them."""
    for port, protocol in (8000, "TCP"), (8001, "UDP"), (8002, "TCP"):
        assert client.add(port=port, protocol=protocol)[0] == 200
    assert client.add(port=8000)[0] == 200
    assert client.add(port=8003)[0] == 200
    assert client.delete(port=8002)[0] == 200
    output = client.lab.router.check("iptables --line-numbers -t nat -xnvL MINIUPNPD-POSTROUTING")
    assert re.findall(LUCI, output, re.M) == [
        ("1", LAN_HOST, "tcp", "8000", "8000"), ("2", LAN_HOST, "udp", "8000", "8001"),
        ("3", LAN_HOST, "tcp", "8000", "8003")]
    output = client.lab.router.check("iptables --line-numbers -t nat -xnvL MINIUPNPD")
    assert [(number, port, host) for number, _, port, host, _ in re.findall(OLD_LUCI, output, re.M)] == [
        ("1", "8000", LAN_HOST), ("2", "8001", LAN_HOST), ("3", "8003", LAN_HOST)]
    for port, protocol in (8000, "TCP"), (8001, "UDP"), (8003, "TCP"):
        assert client.delete(port=port, protocol=protocol)[0] == 200


def test_mappings_keep_their_order_in_every_chain(client):
    for port in 8000, 8001, 8002:
        assert client.add(port=port)[0] == 200
    assert client.add(port=8001)[0] == 200
    assert client.add(port=8001, remote_host=WAN_HOST)[0] == 200  # else the one for any host would hide it
    assert ports(client) == ["8000", "8001", "8001", "8002"]
    for port in 8000, 8001, 8002:
        assert client.delete(port=port)[0] == 200
    assert ports(client) == ["8001"] and "-s %s/32" % WAN_HOST in "\n".join(rules(client))
    assert client.is_open(8001)
    assert client.delete(port=8001, remote_host=WAN_HOST)[0] == 200


def test_packets_are_forwarded_and_the_router_itself_stays_closed(client):
    """A service of the router on the internal port is not reached, with a mapping for it and without."""
    router = client.lab.router
    before = [line for line in router.check("iptables-save -t filter").splitlines() if line.startswith("-A INPUT")]
    router.check("nc -l -p 8000 </dev/null >/dev/null 2>&1 &\necho $! >/tmp/nc.pid; sleep 0.3")
    try:
        for port in 9000, 9001:
            assert client.add(port=port)[0] == 200
            assert client.is_open(port)
        with pytest.raises(ConnectionRefusedError):
            client.lab.wan.call(socket.create_connection, (WAN_ROUTER, 8000), 5)
        assert client.lab.lan.call(socket.create_connection, ("192.168.1.1", 8000), 5).close() is None  # it is there
    finally:
        router.run("kill $(cat /tmp/nc.pid)")
    after = [line for line in router.check("iptables-save -t filter").splitlines() if line.startswith("-A INPUT")]
    assert after == before
    for port in 9000, 9001:
        assert client.delete(port=port)[0] == 200
        assert not client.is_open(port)


def test_what_comes_from_the_lan_to_the_wan_s_address_is_not_translated(client):
    """Our chains are entered for the WAN's packets only."""
    assert client.add()[0] == 200
    with pytest.raises(OSError):
        client.lab.lan.call(socket.create_connection, (WAN_ROUTER, 8000), 2).close()
    assert client.delete()[0] == 200


def test_a_client_keeps_its_port_towards_the_wan(client):
    """What the LAN host sends from a mapped port leaves with the external one (a full cone)."""
    assert client.call("AddPortMapping", (
        ("NewRemoteHost", ""), ("NewExternalPort", 9005), ("NewProtocol", "UDP"), ("NewInternalPort", 8005),
        ("NewInternalClient", LAN_HOST), ("NewEnabled", 1), ("NewPortMappingDescription", "cone"),
        ("NewLeaseDuration", 600)))[0] == 200
    with client.lab.wan.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as server, \
            client.lab.lan.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as peer:
        server.bind((WAN_HOST, 7777))
        server.settimeout(5)
        peer.bind((LAN_HOST, 8005))
        peer.sendto(b"out", (WAN_HOST, 7777))
        assert server.recvfrom(10) == (b"out", (WAN_ROUTER, 9005))
    assert client.delete(port=9005, protocol="UDP")[0] == 200


def test_a_reload_of_the_firewall_closes_nothing_for_long(client):
    for _ in range(2):
        assert client.add()[0] == 200
        before = jumps(client)
        assert len(before) == 3
        client.lab.router.check(RELOAD)
        wait_for(client, lambda: jumps(client) == before and ports(client) == ["8000"])
        assert client.is_open()
        assert client.delete()[0] == 200
        assert not client.is_open()


def test_what_somebody_took_away_is_put_back_at_the_next_change(client):
    before = jumps(client)
    for damage in ("iptables -t nat -D MINIUPNPD 1", "iptables -F MINIUPNPD",
                   "iptables-save | sed -n 's/^-A \\(.*-j MINIUPNPD\\)$/-D \\1/p' | tail -n 1 >/tmp/jump;"
                   " iptables $(cat /tmp/jump)"):
        for port in 8000, 8001:
            assert client.add(port=port)[0] == 200
        client.lab.router.check(damage)
        assert client.delete()[0] == 200  # the numbers of the rules do not hold any more
        assert ports(client) == ["8001"] and jumps(client) == before, damage
        assert client.is_open(8001)
        assert client.delete(port=8001)[0] == 200


def test_a_change_while_the_firewall_is_away_leaves_no_jump_where_none_belongs(client):
    """Its chains are gone for a moment when it starts anew: then ours are entered from the kernel's own."""
    before = jumps(client)
    client.lab.router.check("iptables -P INPUT ACCEPT; for table in nat filter; do iptables -t $table -F;"
                            " iptables -t $table -X; done")
    try:
        assert client.add()[0] == 200
        assert [line.split()[1] for line in jumps(client)] == ["PREROUTING", "POSTROUTING", "FORWARD"]
    finally:
        client.lab.router.check(RELOAD)
    wait_for(client, lambda: jumps(client) == before, 2)
    assert client.is_open()
    assert client.delete()[0] == 200
    assert not client.is_open()


def test_several_ports_are_closed_by_one_process_and_a_renewal_needs_none(client):
    with wrapped(client) as programs:
        for port in range(8000, 8005):
            assert client.add(port=port)[0] == 200
            assert programs() == ["iptables-restore --noflush --wait=5"]
        assert client.add(port=8002)[0] == 200
        assert programs() == []
        area = (("NewStartPort", 8000), ("NewEndPort", 8003), ("NewProtocol", "TCP"), ("NewManage", 0))
        assert client.call("DeletePortMappingRange", area, LAN_HOST, 2)[0] == 200
        assert programs() == ["iptables-restore --noflush --wait=5"]
        assert ports(client) == ["8004"]
        assert client.delete(port=8004)[0] == 200
        assert programs() == ["iptables-restore --noflush --wait=5"]


def test_programs_that_do_not_know_how_to_wait(client):
    with wrapped(client, "-w*|--wait*") as programs:
        assert client.add()[0] == 200
        assert programs() == ["iptables-restore --noflush"]
        assert client.is_open()
        assert client.delete()[0] == 200
        assert programs() == ["iptables-restore --noflush"]


def test_the_lock_of_another_program_is_waited_for(client):
    """firewall3 and others hold it for a second or two."""
    client.lab.router.check("(echo '*mangle'; sleep 2; echo COMMIT) | iptables-restore --noflush >/dev/null 2>&1 &\n"
                            "sleep 0.3")
    begin = time.monotonic()
    assert client.add()[0] == 200
    assert time.monotonic() - begin > 1
    assert client.delete()[0] == 200


def test_what_a_killed_daemon_left_open_is_closed_when_it_starts_again(client):
    """iptables knows no timeouts: what the kernel does with nftables, the restart by procd does here."""
    assert client.add(lease=4)[0] == 200
    client.lab.router.check("kill -9 $(pidof miniigd)")
    assert client.is_open()
    wait_for(client, lambda: client.running() != [], 15)
    wait_until_serving(client)
    wait_for(client, lambda: not client.is_open(), 5)
    assert ports(client) == []


def test_a_stop_takes_everything_away(client):
    assert client.add()[0] == 200
    try:
        client.lab.router.check("/etc/init.d/miniupnpd stop")
        assert client.lab.router.run("iptables-save | grep MINIUPNPD").output == ""
        assert not client.is_open()
    finally:
        client.lab.router.check("/etc/init.d/miniupnpd start")
    wait_until_serving(client)
    assert client.is_open()  # the lease goes on
    assert client.delete()[0] == 200


def test_a_stop_closes_even_where_a_jump_was_taken_away(client):
    assert client.add()[0] == 200
    client.lab.router.check("iptables-save | sed -n 's/^-A \\(.*-j MINIUPNPD\\)$/-D \\1/p' | head -n 1 >/tmp/jump;"
                            " iptables -t nat $(cat /tmp/jump)")
    try:
        client.lab.router.check("/etc/init.d/miniupnpd stop")
        assert [line for line in rules(client) if line.startswith("-A MINIUPNPD")] == []
    finally:
        client.lab.router.check("/etc/init.d/miniupnpd start")
    wait_until_serving(client)
    assert len(jumps(client)) == 3 and ports(client) == ["8000"]
    assert client.delete()[0] == 200


def test_the_package_leaves_the_router_s_files_as_they_were(client):
    router = client.lab.router
    show = "cat /etc/config/firewall; cat /etc/firewall.user 2>&1; true"
    installed = router.check(show)
    assert installed.count("/usr/share/miniigd/firewall.include") == (1 if client.lab.model == "wrt" else 2)
    router.check("opkg remove miniigd", timeout=60)
    try:
        assert router.check(show) == router.check(show.replace("/etc", "/rom/etc")).replace("/rom/", "/")
        assert router.run("iptables-save | grep MINIUPNPD").output == ""
    finally:
        client.demo.install()
        wait_until_serving(client)
    assert router.check(show) == installed


def test_a_firewall_without_any_chain_for_users(client):
    """Then our chains are entered from the kernel's own, before what ends them."""
    router = client.lab.router
    router.check("""iptables-save >/tmp/rules; iptables-restore <<EOT
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
-A FORWARD -m state --state RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i eth0 -j ACCEPT
-A FORWARD -j REJECT
COMMIT
*nat
-A POSTROUTING -o eth1 -j MASQUERADE
COMMIT
EOT""")
    try:
        assert client.add()[0] == 200  # notices, and looks for its places anew
        assert [line for line in router.check("iptables-save").splitlines() if "-j MINIUPNPD" in line
                or "-A FORWARD" in line] == [
            "-A PREROUTING -i eth1 -j MINIUPNPD", "-A POSTROUTING -o eth1 -j MINIUPNPD-POSTROUTING",
            "-A FORWARD -m state --state RELATED,ESTABLISHED -j ACCEPT", "-A FORWARD -i eth0 -j ACCEPT",
            "-A FORWARD -i eth1 -j MINIUPNPD", "-A FORWARD -j REJECT --reject-with icmp-port-unreachable"]
        assert client.is_open()
        assert client.delete()[0] == 200
        with pytest.raises(kit.Stop):
            client.demo.tcp_exchange()
    finally:
        router.check("iptables-restore </tmp/rules")
        restart(client)
