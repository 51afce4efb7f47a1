"""The configuration on the router: rules that real packets meet, wrong values in the log, and `miniigd check`."""

import pytest

from qemu.lab import LAN_HOST, LAN_HOST2, LAN_ROUTER, WAN_HOST
from test_daemon import fault, wait_until_serving

PATH = "/etc/config/upnpd"
BASE = "config upnpd 'config'\n\toption enabled '1'\n\toption external_iface 'wan'\n"
DENY_ALL = "config perm_rule\n\toption action 'deny'\n\toption comment 'Default deny'\n"


@pytest.fixture
def configure(client):
    """Give the router a configuration and start the daemon with it; the one that was there comes back."""
    router = client.lab.router
    before = router.check("cat " + PATH)

    def write(text):
        router.write(PATH, text)
        router.check("/etc/init.d/miniupnpd restart")
        wait_until_serving(client)

    yield write
    router.check("/etc/init.d/miniupnpd stop; rm -f /var/run/miniupnpd.leases*")
    write(before)


def rule(action, **options):
    lines = ["\toption %s '%s'\n" % (name, options[name]) for name in options]
    return "config perm_rule\n\toption action '%s'\n%s" % (action, "".join(lines))


def check(client, path=PATH):
    """Return (exit status, lines) of `miniigd check` on the router."""
    result = client.lab.router.run("miniigd check -c %s; echo $?" % path)
    *lines, status = result.output.splitlines()
    return int(status), lines


def test_the_shipped_file_is_right(client):
    status, lines = check(client)
    assert status == 0
    for line in ("enabled = 1   (from: file)", "port = 5000   (from: file)", "secure_mode = 1   (from: file)",
                 "uuid = one made from the LAN device's address   (from: default)",
                 "rule 2: deny 1-65535 0.0.0.0/0 1-65535   (perm_rule 2 (Default deny))"):
        assert line in lines, line
    assert client.lab.router.run("miniigd check").output.splitlines() == lines


def test_a_rule_denies_a_port(client, configure):
    configure(BASE + rule("deny", ext_ports="8001-8002", int_addr=LAN_HOST + "/32", comment="not these")
              + rule("allow", ext_ports="1024:65535"))
    for port in 8001, 8002:
        assert fault(client.add(port)) == 718
        assert fault(client.add(port, version=2)) == 606
    assert "refused TCP 8002 -> 192.168.1.2:8000 to 192.168.1.2: perm_rule 1 (not these) denies it" in client.log()
    assert not client.is_open(8001)
    status, body = client.add(8001, version=2, action="AddAnyPortMapping")
    assert status == 200 and "<NewReservedPort>8003<" in body
    assert client.is_open(8003)
    assert client.add(8001, client=LAN_HOST2, source=LAN_HOST2)[0] == 200


def test_a_rule_opens_a_low_port(client, configure):
    configure(BASE + rule("allow", ext_ports="81", int_addr=LAN_HOST, int_ports="8000") + DENY_ALL)
    assert fault(client.add(82)) == 718
    assert fault(client.add(8000)) == 718
    assert client.add(81)[0] == 200
    assert client.is_open(81)
    assert client.delete(81)[0] == 200
    assert not client.is_open(81)
    assert fault(client.add(81, client=LAN_HOST2, source=LAN_HOST2)) == 718
    status, body = client.add(8000, version=2, action="AddAnyPortMapping")
    assert status == 200 and "<NewReservedPort>81<" in body
    assert client.is_open(81)


def test_what_a_rule_denies_now_is_closed(client, configure):
    configure(BASE)
    assert client.add(8000)[0] == 200 and client.add(8001)[0] == 200
    assert client.is_open(8000) and client.is_open(8001)
    configure(BASE + rule("deny", ext_ports="8001"))
    assert client.is_open(8000) and not client.is_open(8001)
    assert "not opened again: TCP 8001" in client.log()


def test_wrong_values_are_named_and_the_defaults_used(client, configure):
    configure(BASE + "\toption port 'http'\n\toption colour 'blue'\n\toption secure_mode 'perhaps'\n"
              + "\toption flavour 'sweet'\n" + rule("allow", ext_ports="80", int_addr="nas"))
    log = client.log()  # it answers on the default port
    for text in ("section config, option port: 'http' is not a number from 1 to 65535; using 5000",
                 "section config, option secure_mode: 'perhaps' is not 0 or 1; using 1",
                 "section perm_rule 1, option int_addr: 'nas' is not an IPv4 address or a network"):
        assert log.count(text) == 1, text
    assert log.count("not known are ignored: config.colour config.flavour") == 1
    assert fault(client.add(80)) == 718 and fault(client.add(client=LAN_HOST2)) == 718
    status, lines = check(client)
    assert status == 1 and len(lines) == 5
    assert [line for line in lines if "port: 'http' is not a number" in line]


def test_a_broken_file_is_named(client):
    router = client.lab.router
    router.write("/tmp/broken", "config upnpd 'config'\n\toption port\n")
    status, lines = check(client, "/tmp/broken")
    assert status == 1 and lines == ["/tmp/broken: line 2 is not UCI: option port"]
    assert check(client, "/tmp/none") == (1, ["/tmp/none cannot be read"])
    router.check("rm /tmp/broken")


def test_the_second_schema(client, configure):
    text = (BASE + "config upnpd 'settings'\n\toption upnp_igd_compat 'igdv1'\n\toption friendly_name 'Tom & Jerry'\n"
            "\toption accept_ports '81 8001-8003'\n\toption reject_ports '8002'\n\toption access_preset 'none'\n"
            "config acl_entry\n\toption action 'accept'\n\toption ext_port '82'\n\toption int_port '8000'\n"
            "\toption int_addr '%s'\n" % LAN_HOST)
    configure(text)
    assert client.get("/igd2/rootDesc.xml").startswith("HTTP/1.1 404")
    assert "<friendlyName>Tom &amp; Jerry</friendlyName>" in client.get("/rootDesc.xml")
    assert client.add(82)[0] == 200
    assert client.is_open(82)
    for port in 8000, 8001, 8002, 81:  # accepted only to the same port inside
        assert fault(client.add(port)) == 718
    status, lines = check(client)
    assert status == 0
    assert "access_preset = none   (from: file)" in lines and "igdv1 = 1   (from: file)" in lines
    assert [line.partition("   ")[0].partition(": ")[2] for line in lines if line.startswith("rule ")] == [
        "deny 8002-8002 0.0.0.0/0 1-65535", "deny 1-65535 0.0.0.0/0 8002-8002",
        "allow 82-82 192.168.1.2/32 8000-8000", "allow 81-81 0.0.0.0/0 81-81",
        "allow 8001-8003 0.0.0.0/0 8001-8003", "deny 1-65535 0.0.0.0/0 1-65535"]


@pytest.mark.parametrize("lab", ["debian", "wrt"], indirect=True)
def test_a_file_of_the_second_schema_alone_starts_it(client, configure):
    configure("config upnpd 'settings'\n\toption enabled '1'\n\toption external_iface 'wan'\n\n"
              "config internal_network\n\toption interface 'lan'\n\toption access_preset 'accept-high-ports'\n\n"
              "config internal_network\n\toption interface 'guest'\n\toption access_preset 'accept-high-ports'\n")
    command = client.lab.router.check("tr '\\0' ' ' </proc/$(pidof miniigd)/cmdline")
    assert command == "/usr/sbin/miniigd -W eth1 -L eth0 -L eth2 "
    assert client.add()[0] == 200
    assert client.is_open()
    assert client.delete()[0] == 200


def test_without_secure_mode_hosts_open_ports_to_each_other(client, configure):
    configure(BASE + "\toption secure_mode '0'\n")
    assert client.add(client=LAN_HOST, source=LAN_HOST2)[0] == 200
    assert client.is_open()
    for other in LAN_ROUTER, WAN_HOST, "192.168.1.255", "127.0.0.1":
        assert fault(client.add(8001, client=other)) == 718
    assert client.delete(source=LAN_HOST2)[0] == 200
    assert not client.is_open()
