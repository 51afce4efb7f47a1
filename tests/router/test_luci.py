"""Under an unmodified luci-app-upnp: what its page reads, deletes and saves, point by point (docs/conformance.md).

`Page` does what the page's back end does (its luci.upnp in rpcd), with its own regular expressions and commands.
"""

import re
import time

import pytest

from qemu.lab import LAN_HOST, LAN_HOST2
from test_command_line import nothing_is_left  # noqa: F401 - a fixture
from test_daemon import fault, wait_for, wait_until_serving
from test_iptables import OLD_LUCI
from test_lease_file import lines, rules, settle

SERVICE = "/etc/init.d/miniupnpd"
LEASES = "/var/run/miniupnpd.leases"
# Every option that the page of any release can save, with what a person may have put there.
FORM = """
config upnpd 'config'
	option enabled '1'
	option enable_natpmp '1'
	option enable_upnp '1'
	option igdv1 '1'
	option external_iface 'wan'
	option internal_iface 'lan'
	option ext_allow_private_ipv4 '0'
	option use_stun '0'
	option stun_host 'stun.example.net'
	option stun_port '3478'
	option secure_mode '1'
	option ipv6_disable '0'
	option system_uptime '1'
	option log_output '1'
	option upnp_lease_file '/tmp/luci.leases'
	option upnp_lease_file6 '/tmp/luci.leases6'
	option download '1024'
	option upload '512'
	option model_number '4'
	option serial_number '12345678'
	option presentation_url 'http://192.168.1.1/'
	option uuid '6d696e69-6967-8001-8000-0123456789ab'
	option port '5000'
	option notify_interval '900'
	option clean_ruleset_threshold '20'
	option clean_ruleset_interval '600'

config perm_rule
	option comment 'Allow high ports'
	option int_addr '0.0.0.0/0'
	option int_ports '1024-65535'
	option ext_ports '1024-65535'
	option action 'allow'

config perm_rule
	option action 'deny'
"""


class Page:
    """The status page: its rows, and its button that deletes one."""

    def __init__(self, client, leases=LEASES):
        self._client, self._leases = client, leases

    def rows(self):
        """[(number, protocol, external port, address, internal port, description, seconds left)]."""
        router = self._client.lab.router
        now, known = int(router.check("date +%s")), {}
        for line in router.check("cat %s" % self._leases).split("\n"):
            if not line:
                break  # it stops at the first empty line
            protocol, port, address, inner, ends, *description = line.split(":")
            assert len(description) == 1  # the newest page takes a seventh field for a remote host
            known[protocol, port, address, inner] = (description[0], int(ends) - now if int(ends) else None)
        return [(number, *rule, *known.get(rule, ("", None))) for number, rule in enumerate(rules(self._client), 1)]

    def delete(self, number):
        """Press the button of row `number`."""
        assert self._client.lab.router.run("ls " + self._leases).status == 0  # else it does nothing, and says OK
        self._client.lab.router.check("sed -i -e %dd %s; %s restart" % (number, self._leases, SERVICE))
        wait_until_serving(self._client)


def test_a_row_for_each_mapping_with_its_description_and_what_is_left(client):
    for port, protocol, host in (8000, "TCP", LAN_HOST), (8000, "UDP", LAN_HOST), (8001, "UDP", LAN_HOST2):
        assert client.add(port=port, protocol=protocol, client=host, source=host)[0] == 200
    assert client.add(port=8002, lease=0)[0] == 200
    settle(client)
    rows = Page(client).rows()
    assert [row[:6] for row in rows] == [
        (1, "TCP", "8000", LAN_HOST, "8000", "test"), (2, "UDP", "8000", LAN_HOST, "8000", "test"),
        (3, "UDP", "8001", LAN_HOST2, "8000", "test"), (4, "TCP", "8002", LAN_HOST, "8000", "test")]
    assert all(0 < left <= 600 for *_, left in rows[:3]) and rows[3][6] is None


def test_each_row_s_button_closes_that_row_alone(client):
    for port in range(8000, 8005):
        assert client.add(port=port)[0] == 200
    assert client.add(port=8001)[0] == 200  # a renewal stays in its row
    settle(client)
    page, left = Page(client), ["8000", "8001", "8002", "8003", "8004"]
    for number in 2, 4, 1:
        assert [row[2] for row in page.rows()] == left
        gone = left.pop(number - 1)
        page.delete(number)
        assert not client.is_open(int(gone))
        assert client.is_open(int(left[0]))
    assert [row[2] for row in page.rows()] == left


def test_every_option_that_a_page_saves_is_taken(client):
    router = client.lab.router
    before = router.check("cat /etc/config/upnpd")
    router.write("/etc/config/upnpd", FORM)
    try:
        router.check(SERVICE + " restart")
        wait_until_serving(client)
        log = router.check("logread | grep miniigd:").rpartition(" started\n")[2]
        assert "serving" in log and "warning" not in log and "not known" not in log, log
        assert router.run("miniigd check").status == 0
        text = client.get("/rootDesc.xml")
        for part in ("<modelNumber>4<", "<serialNumber>12345678<", "uuid:6d696e69-6967-8001-8000-0123456789ab<",
                     "<presentationURL>http://192.168.1.1/<"):
            assert part in text, part
        assert client.add()[0] == 200 and fault(client.add(port=80)) == 718
        page = Page(client, "/tmp/luci.leases")
        wait_for(client, lambda: len(page.rows()) == 1)
        page.delete(1)
        assert page.rows() == [] and not client.is_open()
    finally:
        router.write("/etc/config/upnpd", before)
        router.check("%s restart; rm -f /tmp/luci.leases*" % SERVICE)
        wait_until_serving(client)


@pytest.mark.parametrize("lab", ["debian", "wrt"], indirect=True)
def test_what_the_page_and_its_companions_call(client):
    router = client.lab.router
    pid = client.running()
    router.check("%s enable; %s enabled; %s reload; reload_config" % (SERVICE, SERVICE, SERVICE))
    wait_for(client, lambda: client.running() == pid)  # where it starts a program, that has its name for a moment
    router.check("%s disable" % SERVICE)
    assert router.run("%s enabled" % SERVICE).status
    router.check("%s enable; %s stop" % (SERVICE, SERVICE))
    assert client.running() == []
    router.check("%s start" % SERVICE)
    wait_until_serving(client)


def test_whoever_reads_the_file_sees_whole_lines_of_one_moment(client):
    """Read as fast as the router can, while mappings come, are renewed, go, and the file is edited and read again."""
    router = client.lab.router
    router.write("/tmp/reader", """
        while [ ! -f /tmp/reader.end ]; do
            awk -F: 'NF != 6 || $1 !~ /^(TCP|UDP)$/ || $5 !~ /^[0-9]+$/ || $6 !~ /^test$/ { print "BAD " $0 }
                END { print NR }' %s
        done >/tmp/reader.out 2>&1
        """ % LEASES)
    assert client.add(port=8000)[0] == 200
    settle(client)
    router.check("rm -f /tmp/reader.*; sh /tmp/reader </dev/null >/dev/null 2>&1 &")
    try:
        for turn in range(6):
            for port in range(8000, 8006):
                assert client.add(port=port)[0] == 200
            for port in range(8000, 8003):
                assert client.delete(port=port)[0] == 200
    finally:
        router.check("touch /tmp/reader.end; sleep 1")
    output = router.check("cat /tmp/reader.out; rm -f /tmp/reader*")
    assert "BAD" not in output and "No such" not in output, output
    counts = set(output.split())
    assert len(counts) > 2, counts  # it saw several moments
    settle(client)
    assert len(lines(client)) == 3


@pytest.mark.parametrize("lab", ["wrt", "bare"], indirect=True)
def test_the_oldest_page_takes_rules_out_and_restarts_nothing(client):
    """Up to 19.07: `iptables -D` in both chains by number, then the file's line."""
    router = client.lab.router
    for port in 8000, 8001, 8002:
        assert client.add(port=port)[0] == 200
    settle(client)
    pid = client.running()
    listing = router.check("iptables --line-numbers -t nat -xnvL MINIUPNPD")
    found = [(number, port) for number, _, port, _, _ in re.findall(OLD_LUCI, listing, re.M)]
    assert found == [("1", "8000"), ("2", "8001"), ("3", "8002")]
    router.check("iptables -t filter -D MINIUPNPD 2; iptables -t nat -D MINIUPNPD 2; sed -i -e 2d %s" % LEASES)
    limit = time.monotonic() + 6
    while [row[2] for row in Page(client).rows()] != ["8000", "8002"] or client.is_open(8001):
        assert time.monotonic() < limit, client.log()
        time.sleep(0.5)
    time.sleep(5)  # and it stays so
    assert [row[2] for row in Page(client).rows()] == ["8000", "8002"]
    assert client.is_open(8000) and client.is_open(8002) and client.running() == pid
    assert fault(client.delete(port=8001)) == 714
