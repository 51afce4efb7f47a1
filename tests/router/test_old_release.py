"""A release of 2006 and its successors up to procd: the `bare` router has neither uci nor procd, but nvram."""

import re
import time

import pytest

from package import ipk
from test_daemon import Client, wait_for, wait_until_serving

pytestmark = pytest.mark.parametrize("lab", ["bare"], indirect=True)

SERVICE = "/etc/init.d/miniupnpd"
DEVICE = "PROG=x; . /usr/share/miniigd/old-release.sh; _device %s"
# what Kamikaze's and Backfire's has, in short
RC_COMMON = """#!/bin/sh
initscript=$1
action=${2:-help}
start() { return 0; }
stop() { return 0; }
reload() { return 1; }
restart() { stop "$@"; start "$@"; }
boot() { start "$@"; }
enable() { ln -sf "../init.d/${initscript##*/}" "/etc/rc.d/S${START}${initscript##*/}"; }
disable() { rm -f /etc/rc.d/S??"${initscript##*/}"; }
enabled() { [ -x "/etc/rc.d/S${START}${initscript##*/}" ]; }
. "$initscript"
$action "$@"
"""
NETWORK = """config 'interface' 'lan'
	option 'type'    'bridge'
	option 'ifname'  "eth0"
	option 'proto'   'static'

config interface wan
	option ifname 'eth1'
	option proto  %s
"""


@pytest.fixture
def client(lab):
    """A client of the router, which still has the factory's nvram, with the package installed by ipkg."""
    lab.router.check("nvram set upnp_enable=1; nvram commit; rm -f /etc/config/upnpd*")
    client = Client(lab)
    client.output = lab.router.check("ipkg install %s" % lab.serve(ipk.ipk("mipsel")), timeout=60)
    yield client
    client.demo.close()
    lab.router.check("ipkg remove miniigd; rm -f /etc/config/upnpd; nvram unset upnp_enable; nvram commit", timeout=60)


def switch_on(client):
    client.lab.router.check("nvram set upnp_enable=1; nvram commit; %s restart" % SERVICE)
    wait_until_serving(client)


def described(client):
    """The command line that the service has or waits with."""
    return client.lab.router.check("cat /var/run/miniigd.service").split("  ")[0]


def test_nothing_of_a_newer_release_is_there(lab):
    for path in ("/etc/rc.common", "/lib/functions.sh", "/lib/functions/procd.sh", "/lib/functions/network.sh",
                 "/etc/config/network", "/sbin/fw3", "/sbin/fw4"):
        assert lab.router.run("ls " + path).status, path
    assert lab.router.run("command -v uci || command -v nft").status
    assert lab.router.check("nvram get wan_ifname") == "eth1\n"


def test_the_factory_s_setting_is_not_taken_for_the_owner_s(client):
    assert "nvram set upnp_enable=1; nvram commit" in client.output
    assert client.running() == [] and client.lab.router.check("nvram get upnp_enable; cat /etc/nvram").count(
        "upnp_enable") == 0
    switch_on(client)  # that is the owner's
    assert client.lab.router.check("ipkg install %s" % client.lab.serve(ipk.ipk("mipsel", 2)), timeout=60)
    wait_until_serving(client)
    assert client.lab.router.check("nvram get upnp_enable") == "1\n"


@pytest.mark.parametrize("nvram, option, runs", [("", 0, False), ("", 1, True), (0, 1, False), (1, 0, True)])
def test_nvram_decides_where_it_says_anything(client, nvram, option, runs):
    router = client.lab.router
    router.check("nvram %s; sed -i \"s/option enabled .*/option enabled '%d'/\" /etc/config/upnpd; %s restart" % (
        "set upnp_enable=%s" % nvram if nvram != "" else "unset upnp_enable", option, SERVICE))
    if runs:
        wait_until_serving(client)
        assert described(client) == "/usr/sbin/miniigd -W eth1 -L eth0 -o notify_interval=60 " + router.check(
            "md5sum </etc/config/upnpd").split()[0]
    else:
        time.sleep(0.5)
        assert client.running() == []


def test_the_settings_of_linksys_s_own_daemon_count(client):
    router = client.lab.router
    router.check("nvram set upnp_port=1780; nvram set 'upnp_ssdp_interval=60; reboot'; nvram set upnp_enable=1; "
                 "%s restart" % SERVICE)
    try:
        wait_for(client, lambda: "serving eth0 on 192.168.1.1 port 1780" in client.log())
        assert described(client).split()[5:-1] == ["-o", "port=1780"]  # what is no number is none of ours
    finally:
        router.check("nvram unset upnp_port; nvram set upnp_ssdp_interval=60")


def test_the_router_s_start_starts_it(client):
    router = client.lab.router
    assert router.check("ls /etc/init.d/S*") == "/etc/init.d/S45firewall\n/etc/init.d/S94miniupnpd\n"
    router.check("nvram set upnp_enable=1; /etc/init.d/S94miniupnpd start")
    wait_until_serving(client)
    router.check("/etc/init.d/S94miniupnpd stop; %s disable" % SERVICE)
    assert router.check("ls /etc/init.d/S*") == "/etc/init.d/S45firewall\n"
    assert router.run("%s nonsense" % SERVICE).status == 1


def test_it_is_kept_alive_and_a_stop_ends_all_of_it(client):
    router = client.lab.router
    switch_on(client)
    for _ in range(2):
        pid = client.running()
        router.check("kill -9 %s" % pid[0])
        begin = time.monotonic()
        wait_for(client, lambda: client.running() not in ([], pid))
        assert time.monotonic() - begin > 3  # not at once again and again
        wait_until_serving(client)
    assert "miniupnpd: miniigd: info: serving" in router.check("logread")
    router.check("%s start" % SERVICE)
    assert len(client.running()) == 1
    router.check("%s stop" % SERVICE)
    time.sleep(6)
    assert router.run("ps w | grep -E '[m]iniigd|[k]eeper|[l]ogger'").output == ""
    assert router.run("ls /var/run/miniigd.keeper /var/run/miniigd.service").status


def test_a_keeper_whose_number_is_another_program_s_by_now_is_left_alone(client):
    router = client.lab.router
    switch_on(client)
    router.check("kill $(cat /var/run/miniigd.keeper) $(pidof miniigd); sleep 100 & echo $! >/var/run/miniigd.keeper")
    other = router.check("cat /var/run/miniigd.keeper").strip()
    router.check("%s restart" % SERVICE)
    wait_until_serving(client)
    router.check("kill %s" % other)  # it lives


def test_the_wan_of_a_ppp_link(client):
    """Linksys's nvram names the Ethernet device below; the link itself comes later, and tells so by hotplug."""
    router = client.lab.router
    router.check("nvram set upnp_enable=1; nvram set wan_proto=pppoe; %s restart" % SERVICE)
    try:
        assert client.running() == []
        assert "is not up yet, waiting for it" in client.lab.router.check("logread | tail -n 3")
        router.check("ip link add ppp0 type bridge; ifconfig ppp0 11.1.1.2 netmask 255.255.255.0; "
                     "ACTION=ifup INTERFACE=wan DEVICE=ppp0 hotplug-call iface")
        wait_until_serving(client)
        assert "-W ppp0 -L eth0" in described(client)
        pid = client.running()
        router.check("ACTION=ifup INTERFACE=lan DEVICE=eth0 hotplug-call iface")
        assert client.running() == pid
        # after a stop by hand it stays stopped
        router.check("%s stop; ACTION=ifup INTERFACE=wan DEVICE=ppp0 hotplug-call iface" % SERVICE)
        assert client.running() == []
    finally:
        router.check("ip link del ppp0; nvram set wan_proto=static")


def test_kamikaze_has_rc_common_and_a_file_for_the_network(client):
    router = client.lab.router
    router.check("ipkg remove miniigd", timeout=60)
    router.check("mkdir -p /etc/rc.d")
    router.write("/etc/rc.common", RC_COMMON, mode="755")
    router.write("/etc/config/network", NETWORK % "static")
    try:
        output = router.check("ipkg install %s" % client.lab.serve(ipk.ipk("mipsel")), timeout=60)
        assert "nvram" not in output and "option enabled" in output
        assert router.check("head -n 1 %s" % SERVICE) == "#!/bin/sh /etc/rc.common\n"
        assert router.check("ls /etc/rc.d") == "S94miniupnpd\n" and client.running() == []
        router.check("nvram set upnp_enable=1; %s restart" % SERVICE)
        assert client.running() == []  # nvram does not count there
        router.check("sed -i '/bridge/d' /etc/config/network; /etc/rc.d/S94miniupnpd boot; "
                     "sed -i \"s/option enabled .*/option enabled '1'/\" /etc/config/upnpd")
        assert client.running() == []
        router.check("/etc/rc.d/S94miniupnpd boot")
        wait_until_serving(client)
        assert "-W eth1 -L eth0" in described(client)
        pid = client.running()
        router.check("%s reload" % SERVICE)
        assert client.running() == pid
        router.check("ipkg remove miniigd", timeout=60)
        assert client.running() == [] and router.check("ls /etc/rc.d") == ""
    finally:
        router.check("rm -rf /etc/rc.common /etc/rc.d /etc/config/network; nvram unset upnp_enable")
        router.run("ipkg remove miniigd; rm -f /etc/config/upnpd", timeout=60)
        router.check("ipkg install %s" % client.lab.serve(ipk.ipk("mipsel")), timeout=60)


def test_where_the_devices_names_come_from(client):
    router = client.lab.router
    assert [router.check(DEVICE % name) for name in ("lan", "wan", "guest", "none")] == [
        "eth0\n", "eth1\n", "eth2\n", "\n"]
    try:
        router.write("/etc/config/network", NETWORK % "static")
        assert [router.check(DEVICE % name) for name in ("lan", "wan", "none")] == ["br-lan\n", "eth1\n", "\n"]
        router.write("/etc/config/network", NETWORK % "'pppoe'")
        assert router.check(DEVICE % "wan") == "ppp0\n"
        # uci's state knows better
        router.write("/usr/bin/uci", '#!/bin/sh\n[ "$*" = "-P /var/state get network.wan.ifname" ] && echo pppoe-wan\n',
                     mode="755")
        assert [router.check(DEVICE % name) for name in ("lan", "wan")] == ["br-lan\n", "pppoe-wan\n"]
        # 12.09: netifd's own functions
        router.write("/lib/functions/network.sh", 'network_get_device() { export -n "$1=netifd-$2"; }\n')
        assert router.check(DEVICE % "wan") == "netifd-wan\n"
    finally:
        router.check("rm -rf /etc/config/network /usr/bin/uci /lib/functions")


def test_what_an_ipkg_of_that_age_reads(client):
    assert re.search(r"^Architecture: mipsel$", client.lab.router.check("ipkg status miniigd"), re.M)
