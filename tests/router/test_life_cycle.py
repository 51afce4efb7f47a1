"""The package's life on the router: installed, switched on, used, upgraded, removed; and what reloads leave alone."""

import re
import socket
import struct
import tarfile
import time

import pytest

from package import ipk
from qemu.lab import LAN_HOST, WAN_HOST, WAN_ROUTER
from test_daemon import Client, wait_for, wait_until_serving
from test_flows import Stream, udp

PORT = 8000
UDP_PORT = 8100
ENABLE = "sed -i \"s/option enabled .*/option enabled '1'/\" /etc/config/upnpd"
SERVICE = "/etc/init.d/miniupnpd"
OTHER_PORT = "sed -i \"/option notify_interval/s/'.*'/'%d'/\" /etc/config/upnpd"


@pytest.fixture(scope="module")
def client(lab):
    """A client of the router, on which nothing is installed yet; nothing is at the end."""
    client = Client(lab)
    client.demo._serve_lan_host()
    lab.router.check("rm -f /etc/config/upnpd /etc/config/upnpd-opkg")  # other tests' settings
    yield client
    client.demo.close()
    if lab.router.run("opkg status miniigd").output:
        lab.router.check("opkg remove miniigd", timeout=60)
    lab.router.check("rm -f /etc/config/upnpd")


@pytest.fixture
def serving(client):
    """The same with the daemon installed and switched on; removed at the end."""
    router = client.lab.router
    install(client, ipk.ipk())
    router.check("%s; %s restart" % (ENABLE, SERVICE))
    wait_until_serving(client)
    yield client
    if router.run("opkg status miniigd").output:
        router.check("opkg remove miniigd", timeout=60)
    router.check("rm -f /etc/config/upnpd")


def install(client, package):
    return client.lab.router.check("opkg install %s" % client.lab.serve(package), timeout=60)


def files(client):
    """{path: checksum or where a link leads} of the router, and what lies in /var/run."""
    found = client.lab.router.check(
        "find /etc /usr /lib /sbin /bin /root -type f -exec md5sum '{}' '+' 2>/dev/null; "
        "for link in $(find /etc /usr /lib /sbin -type l 2>/dev/null); do echo \"$(readlink $link)  $link\"; done; "
        "for file in $(find /var/run -type f 2>/dev/null); do echo \"-  $file\"; done", timeout=60)
    own = ("/usr/lib/opkg/status", "/etc/nvram", "/var/run/nvram", "/var/run/xtables.lock", "/var/run/fw4.state",
           "/var/run/fw3.state")  # the bare router's nvram loses the factory's upnp_enable; see test_old_release.py
    return {path: sign for sign, path in (line.split("  ", 1) for line in found.splitlines())
            if path not in own and "/var/run/procd" not in path}


def rules(client):
    """The firewall, without counters and handles."""
    text = client.lab.router.check("nft -s list ruleset" if client.demo.has_nft() else "iptables-save")
    return [re.sub(r" ?\[\d+:\d+\]", "", line) for line in text.splitlines() if not line.startswith("#")]


def test_install_enable_map_upgrade_remove(client):
    router = client.lab.router
    before, rules_before = files(client), rules(client)

    output = install(client, ipk.ipk())
    assert "switched off" in output and "trojan" in output and SERVICE + " restart" in output
    assert client.running() == []
    added = set(files(client)) - set(before)
    assert {"/usr/sbin/miniigd", "/etc/config/upnpd", SERVICE} < added
    assert [path for path in added if re.search(r"/S\d\dminiupnpd$", path)]  # it is off all the same
    router.check("%s restart" % SERVICE)
    assert client.running() == []

    router.check("%s; echo '# mine' >>/etc/config/upnpd; %s restart" % (ENABLE, SERVICE))
    wait_until_serving(client)
    assert client.add(lease=600)[0] == 200 and client.is_open()
    edited = router.check("cat /etc/config/upnpd")

    with client.lab.lan.call(socket.create_server, (LAN_HOST, PORT + 1)) as listener:
        listener.settimeout(5)
        assert client.call("AddPortMapping", (
            ("NewRemoteHost", ""), ("NewExternalPort", PORT + 1), ("NewProtocol", "TCP"), ("NewInternalPort", PORT + 1),
            ("NewInternalClient", LAN_HOST), ("NewEnabled", 1), ("NewPortMappingDescription", "stream"),
            ("NewLeaseDuration", 600)))[0] == 200
        stream = Stream(client, listener, PORT + 1)
        assert stream.goes_on()
        pid = client.running()
        output = install(client, ipk.ipk(release=ipk.RELEASE + 1))
        assert "Upgrading miniigd" in output and "switched off" not in output
        wait_until_serving(client)
        assert client.running() != pid
        assert "Version: %s\n" % ipk.version(ipk.RELEASE + 1) in router.check("opkg status miniigd")
        assert router.check("cat /etc/config/upnpd") == edited
        assert client.is_open()
        assert stream.goes_on()
        stream.close()

    assert router.run("miniigd pause").status == 0  # a pause is remembered over a restart, but not over this
    output = router.check("opkg remove miniigd", timeout=60)
    assert "Not deleting modified conffile /etc/config/upnpd." in output
    assert client.running() == [] and router.run("ps w | grep '[k]eeper'").output == ""
    assert not client.is_open()
    after = files(client)
    assert router.check("cat /etc/config/upnpd") == edited
    del after["/etc/config/upnpd"]
    assert after == before
    assert rules(client) == rules_before
    router.check("rm /etc/config/upnpd")


def test_an_unchanged_conffile_goes_with_the_package(client):
    before = files(client)
    install(client, ipk.ipk())
    client.lab.router.check("opkg remove miniigd", timeout=60)
    assert files(client) == before


def test_a_reload_changes_nothing_where_nothing_changed(serving):
    pid = serving.running()
    assert serving.add()[0] == 200
    serving.lab.router.check("%s reload; %s start; ifup wan" % (SERVICE, SERVICE))
    assert serving.running() == pid and serving.is_open()


@pytest.mark.parametrize("change", [
    OTHER_PORT % 1200 + "; %s reload" % SERVICE, SERVICE + " restart",
    "[ -x /sbin/reload_config ] || exec %s restart; %s; reload_config" % (SERVICE, OTHER_PORT % 1300)])
def test_neither_mappings_nor_connections_end_with_a_restart(serving, change):
    """Flows in both protocols, each way, while the daemon is replaced; and the port opens for new ones again."""
    client = serving
    assert client.add()[0] == 200
    for protocol in "TCP", "UDP":
        assert client.call("AddPortMapping", (
            ("NewRemoteHost", ""), ("NewExternalPort", UDP_PORT), ("NewProtocol", protocol),
            ("NewInternalPort", UDP_PORT), ("NewInternalClient", LAN_HOST), ("NewEnabled", 1),
            ("NewPortMappingDescription", "flow"), ("NewLeaseDuration", 600)))[0] == 200
    pid = client.running()
    with client.lab.lan.call(socket.create_server, (LAN_HOST, UDP_PORT)) as listener, \
            client.lab.lan.call(udp, LAN_HOST, UDP_PORT) as inner, client.lab.wan.call(udp, WAN_HOST, 0) as outer:
        listener.settimeout(5)
        stream = Stream(client, listener, UDP_PORT)
        outer.connect((WAN_ROUTER, UDP_PORT))
        outer.send(b"in")
        peer = inner.recvfrom(10)[1]
        assert stream.goes_on()
        client.lab.router.check(change, timeout=60)
        wait_until_serving(client)
        assert client.running() != pid
        assert client.is_open()  # as soon as it answers
        assert stream.goes_on()
        inner.sendto(b"out", peer)
        assert outer.recv(10) == b"out"
        outer.send(b"in")
        assert inner.recv(10) == b"in"
        # and when the mapping is deleted, what went on over the restart ends with it
        assert client.delete(port=UDP_PORT)[0] == 200
        assert not stream.goes_on()
        for end in stream.outer, stream.inner:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.close()
    assert client.delete(port=UDP_PORT, protocol="UDP")[0] == 200
    assert client.delete()[0] == 200


def test_a_stop_closes_what_a_killed_daemon_left(serving):
    """Nobody else would: the daemon that does it at its start is not started any more."""
    assert serving.add(lease=600)[0] == 200
    try:
        serving.lab.router.check("kill -9 $(pidof miniigd); %s stop" % SERVICE)
        assert not serving.is_open()
        assert "dport 8000" not in "\n".join(rules(serving))
        time.sleep(6)
        assert serving.running() == []
    finally:
        serving.lab.router.check("%s start" % SERVICE)
    wait_until_serving(serving)
    assert serving.is_open()
    assert serving.delete()[0] == 200


def test_switched_off_means_ended(serving):
    assert serving.add()[0] == 200
    serving.lab.router.check("%s; %s reload" % (ENABLE.replace("'1'", "'0'"), SERVICE))
    wait_for(serving, lambda: serving.running() == [])
    assert not serving.is_open()


def test_who_took_it_out_of_the_boot_keeps_that_over_an_upgrade(serving):
    router = serving.lab.router
    router.check("%s disable" % SERVICE)
    install(serving, ipk.ipk(release=ipk.RELEASE + 1))
    assert router.run("%s enabled" % SERVICE).status == 1
    router.check("%s enable" % SERVICE)
    assert router.run("%s enabled" % SERVICE).status == 0


@pytest.mark.parametrize("kind", ["src/gz", "src"])
def test_a_feed_is_a_source_of_packages(client, kind, tmp_path):
    router = client.lab.router
    folder = tmp_path / "feed"
    folder.mkdir()
    for path in ipk.feed().iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    router.write("/etc/opkg/miniigd.conf", "%s miniigd %s\n" % (kind, client.lab.serve(folder)))
    try:
        router.check("opkg update")
        assert "Configuring miniigd." in router.check("opkg install miniigd", timeout=60)
        router.check("opkg remove miniigd", timeout=60)
        package = next(folder.glob("*.ipk"))
        package.write_bytes(package.read_bytes()[:-1] + b"?")
        assert "is not what the feed says it is" in router.run("opkg install miniigd", timeout=60).output
        assert router.run("opkg install ghost").status
    finally:
        router.check("rm -rf /etc/opkg /var/opkg-lists")


@pytest.mark.parametrize("lab", ["debian", "wrt"], indirect=True)
def test_an_overlay_is_the_package_in_an_image(client, tmp_path):
    """What an image builder does with FILES: the tree is there at the first boot, which runs its uci-defaults."""
    router = client.lab.router
    before, rules_before = files(client), rules(client)
    archive = tmp_path / "overlay.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(ipk.overlay(), arcname=".")
    router.check("wget -q -O - %s | tar xz -C /" % client.lab.serve(archive))
    try:
        assert router.run("%s enabled" % SERVICE).status == 0
        router.check("for one in /etc/uci-defaults/*; do (. $one) && rm $one; done; /etc/init.d/firewall restart")
        router.check("/etc/rc.d/S94miniupnpd boot")
        assert client.running() == []  # off there too
        router.check("%s; /etc/rc.d/S94miniupnpd boot" % ENABLE)
        wait_until_serving(client)
        assert client.add()[0] == 200 and client.is_open()
        assert client.delete()[0] == 200
    finally:
        router.check("%s stop; rm -f /var/run/miniigd.* /var/run/miniupnpd.leases; cp /rom/etc/config/firewall "
                     "/etc/config/firewall" % SERVICE)
        router.check("rm -f " + " ".join(set(files(client)) - set(before)))
        router.check("/etc/init.d/firewall restart; rm -rf /usr/share/miniigd /usr/share/nftables.d")
    assert rules(client) == rules_before
