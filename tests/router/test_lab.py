"""The lab itself: the machine, its two networks and the stand-ins for what OpenWrt provides."""

import errno
import io
import socket
import struct
import tarfile
import time

import pytest

from package import kit
from qemu.lab import GUEST_HOST_6, GUEST_ROUTER_6, LAN_HOST, LAN_HOST_6, LAN_ROUTER, LAN_ROUTER_6, WAN_HOST, \
    WAN_HOST_6, WAN_ROUTER, WAN_ROUTER_6

TOY = """#!/bin/sh
echo "toy says $1"
echo "toy warns" >&2
trap 'echo "toy ends"; exit 0' TERM
while :; do sleep 0.1; done
"""
TOY_INIT = """#!/bin/sh /etc/rc.common
START=95
STOP=10
USE_PROCD=1
start_service() {
    config_load toy
    config_get word main word
    procd_open_instance
    procd_set_param command /usr/sbin/toy "$word" 'two words'
    procd_set_param file /etc/config/toy
    procd_set_param stdout 1
    procd_set_param stderr 1
    procd_set_param respawn 3600 1 5
    procd_close_instance
}
service_triggers() {
    procd_add_reload_trigger toy
}
"""


CONFIG = "config toy 'main'\n\toption word '%s'\n"
# the bare router is a release without procd and uci; see test_old_release.py
with_procd = pytest.mark.parametrize("lab", ["debian", "wrt"], indirect=True)


def ipk(path, version="1.0", word="hello", architecture="all", depends="libc, firewall4", conflicts=""):
    """Make a tiny package `toy` as OpenWrt's build does: three archives in one, all gzip."""
    def archive(members):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w:gz", format=tarfile.GNU_FORMAT) as tar:
            for name, content, mode in members:
                info = tarfile.TarInfo("./" + name)
                info.size, info.mode = len(content), mode
                tar.addfile(info, io.BytesIO(content))
        return data.getvalue()

    fields = "Package: toy\nVersion: %s\nArchitecture: %s\nDepends: %s\nConflicts: %s\n" % (
        version, architecture, depends, conflicts)
    frame = "#!/bin/sh\n. /lib/functions.sh\ndefault_%s $0 $@\n"
    path.write_bytes(archive([
        ("debian-binary", b"2.0\n", 0o644),
        ("control.tar.gz", archive([("control", fields.encode(), 0o644), ("conffiles", b"/etc/config/toy\n", 0o644)] +
                                   [(name, (frame % name).encode(), 0o755) for name in ("postinst", "prerm")]), 0o644),
        ("data.tar.gz", archive([("usr/sbin/toy", TOY.encode(), 0o755), ("etc/init.d/toy", TOY_INIT.encode(), 0o755),
                                 ("etc/config/toy", (CONFIG % word).encode(), 0o644)]), 0o644)]))
    return path


@pytest.fixture
def toy(lab, tmp_path):
    """The toy package, installed; gone afterwards with all it had."""
    lab.router.check("opkg install %s" % lab.serve(ipk(tmp_path / "toy.ipk")))
    yield lab.router
    lab.router.run("opkg remove toy; rm -f /etc/config/toy*")


def reach(space, address):
    """Try a TCP connection; return the exception, or None when it was accepted."""
    try:
        space.call(socket.create_connection, address, 5).close()
    except OSError as error:
        return error


def wait_for(router, command, text, seconds=10):
    """Run a command until `text` is in its output."""
    limit = time.monotonic() + seconds
    while text not in (output := router.run(command).output):
        assert time.monotonic() < limit, "no %r in the output of %s:\n%s" % (text, command, output)
        time.sleep(0.2)


def test_it_boots_as_the_model_it_claims_to_be(lab):
    assert "mips" in lab.router.check("uname -m")
    total = int(lab.router.check("sed -n 's/^MemTotal: *//p' /proc/meminfo").split()[0])
    assert total < lab.router.memory * 1024
    mounts = lab.router.check("cat /proc/mounts")
    assert "/dev/vda /rom squashfs ro" in mounts and "overlay / overlay rw" in mounts
    assert "11.0.0.1" in lab.router.check("ip route show default")


def test_commands_keep_status_output_and_quoting(lab):
    assert lab.router.run("echo \"it's\"\n\nfalse") == (1, "it's\n")
    assert lab.router.run("printf x; exit 7") == (7, "x")
    assert lab.router.run("cat; echo gone >&2") == (0, "gone\n")  # empty standard input
    lab.router.write("/tmp/a file", "one\n\ttwo '$x'\n", mode="600")
    assert lab.router.check("cat '/tmp/a file'; stat -c %a '/tmp/a file'") == "one\n\ttwo '$x'\n600\n"
    with pytest.raises(kit.Stop, match="status 3 on the router from: echo why; exit 3\n    | why"):
        lab.router.check("echo why; exit 3")


def test_much_output_arrives_whole(lab):
    output = lab.router.check("seq 1 40000", timeout=60)
    assert output == "".join("%d\n" % number for number in range(1, 40001))


def test_a_command_that_hangs_is_ended_and_the_channel_lives(lab):
    with pytest.raises(kit.Stop, match="not done after 1 s"):
        lab.router.run("echo begun; sleep 1000", timeout=1)
    assert lab.router.run("echo again") == (0, "again\n")
    assert lab.router.run("ps w | grep '[s]leep 1000'").status == 1  # other programs may sleep


def test_the_lan_host_pings_the_router(lab):
    def ping():
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as link:
            link.settimeout(5)
            packet = struct.pack("!BBHHH", 8, 0, 0, 1, 2)
            total = sum(struct.unpack("!4H", packet))
            link.sendto(packet[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xffff) + packet[4:], (LAN_ROUTER, 0))
            return link.recv(100)[20]  # the type, after the IP header

    assert lab.lan.call(ping) == 0


def test_lan_to_wan_is_masqueraded(lab):
    with lab.wan.call(socket.create_server, (WAN_HOST, 0)) as server:
        server.settimeout(5)
        with lab.lan.call(socket.create_connection, server.getsockname(), 5) as client:
            link, peer = server.accept()
            with link:
                assert peer[0] == WAN_ROUTER
                client.sendall(b"hello")
                link.settimeout(5)
                assert link.recv(5) == b"hello"


def test_wan_to_router_and_to_lan_is_rejected(lab):
    with lab.lan.call(socket.create_server, (LAN_HOST, 8080)):
        assert reach(lab.lan, (LAN_HOST, 8080)) is None
        assert isinstance(reach(lab.wan, (LAN_HOST, 8080)), ConnectionRefusedError)
    assert isinstance(reach(lab.wan, (WAN_ROUTER, 80)), ConnectionRefusedError)


def server6(space, address):
    return space.call(socket.create_server, (address, 0), family=socket.AF_INET6)


def test_lan_to_wan_is_routed_over_ipv6(lab):
    for space, host, router in (lab.lan, LAN_HOST_6, LAN_ROUTER_6), (lab.guest, GUEST_HOST_6, GUEST_ROUTER_6):
        assert isinstance(reach(space, (router, 80)), ConnectionRefusedError)
        with server6(lab.wan, WAN_HOST_6) as server:
            server.settimeout(5)
            with space.call(socket.create_connection, server.getsockname()[:2], 5) as client:
                link, peer = server.accept()
                with link:
                    assert peer[0] == host == client.getsockname()[0]  # nothing is translated
                    client.sendall(b"hello")
                    link.settimeout(5)
                    assert link.recv(5) == b"hello"


def test_wan_to_router_and_to_lan_is_rejected_over_ipv6_until_a_rule_says_otherwise(lab):
    router = lab.router
    allow = {"debian": ("nft insert rule inet fw4 forward_wan ip6 daddr %s tcp dport %d accept",
                        "fw4 reload"),
             "wrt": ("ip6tables -I zone_wan_forward -d %s -p tcp --dport %d -j ACCEPT",
                     "fw3 reload"),
             "bare": ("ip6tables -A forwarding_rule -d %s -p tcp --dport %d -j ACCEPT",
                      "/etc/init.d/S45firewall restart")}
    assert isinstance(reach(lab.wan, (WAN_ROUTER_6, 80)), ConnectionRefusedError)
    with server6(lab.lan, LAN_HOST_6) as server:
        address = server.getsockname()[:2]
        assert reach(lab.lan, address) is None
        assert isinstance(reach(lab.wan, address), ConnectionRefusedError)
        rule, restore = allow[lab.model]
        try:
            router.check(rule % address)
            assert reach(lab.wan, address) is None
        finally:
            router.check(restore)
        assert isinstance(reach(lab.wan, address), ConnectionRefusedError)


def test_ifup_restores_the_addresses_of_both_families(lab):
    show = "for device in eth0 eth1 eth2; do ip addr show dev $device; done | grep -E '^ *inet' | sed 's/ *valid.*//'"
    route = "; ip route show default; ip -6 route show default | sed 's/ metric.*//'"
    before = lab.router.check(show + route)
    assert before.count("inet6 fe80::") == 3 and before.count("inet6 2a00:") == 3 and "tentative" not in before
    lab.router.check("ifdown wan; ifdown lan")
    assert WAN_ROUTER_6 not in lab.router.check(show + route)
    lab.router.check("ifup wan; ifup lan; ifup lan")  # the second time as a changed address makes it
    assert lab.router.check(show + route) == before
    lab.router.check("ip addr flush dev eth1; ifup wan")  # all addresses, as some tests do
    assert lab.router.check(show + route) == before
    assert reach(lab.lan, (LAN_ROUTER_6, 80)).errno == reach(lab.lan, (LAN_ROUTER, 80)).errno == errno.ECONNREFUSED


def test_programs_run_inside_the_namespaces(lab):
    assert LAN_HOST in lab.lan.run(["ip", "address"], check=True).stdout
    assert lab.wan.python("import sys; print(sys.argv[1])", "x").stdout == "x\n"
    child = lab.wan.popen(["sleep", "100"])
    assert child.poll() is None
    child.kill()
    child.wait()
    with pytest.raises(kit.Stop, match="status 1 in lan"):
        lab.lan.run(["false"], check=True)


@with_procd
def test_opkg_installs_upgrades_and_removes(lab, toy, tmp_path):
    assert toy.check("opkg list-installed").count("toy - 1.0\n") == 1
    assert toy.check("opkg files toy") == "/etc/config/toy\n/etc/init.d/toy\n/usr/sbin/toy\n"
    assert "Status: install user installed" in toy.check("opkg status toy")
    assert toy.run("/etc/init.d/toy enabled && /etc/init.d/toy running && pidof toy").status == 0

    new = ipk(tmp_path / "new.ipk", "2.0", "newer")
    assert "2.0" in toy.check("opkg install %s; opkg list-installed" % lab.serve(new))
    assert "newer" in toy.check("cat /etc/config/toy")  # it was not changed here, so the new one is taken

    toy.check("sed -i s/newer/mine/ /etc/config/toy")
    newest = ipk(tmp_path / "newest.ipk", "3.0", "newest")
    assert "Existing conffile /etc/config/toy" in toy.check("opkg install %s" % lab.serve(newest))
    assert "mine" in toy.check("cat /etc/config/toy") and "newest" in toy.check("cat /etc/config/toy-opkg")

    assert "Not deleting modified conffile /etc/config/toy." in toy.check("opkg remove toy")
    assert "mine" in toy.check("cat /etc/config/toy")
    assert toy.run("pidof toy || ls /usr/sbin/toy /etc/init.d/toy /etc/rc.d/*toy /usr/lib/opkg/info/toy.*").status
    assert "toy" not in toy.check("opkg list-installed")


CASES = (
    ({"conflicts": "nftables-json"}, "package toy conflicts with nftables-json: remove that first"),
    ({"depends": "libc, ghost (>= 2)"}, "package toy depends on ghost, which is not installed"),
    ({"architecture": "x86_64"}, "package toy is for architecture 'x86_64', which this router does not run"),
)


@pytest.mark.parametrize("field, message", CASES)
def test_opkg_refuses_what_does_not_fit(lab, tmp_path, field, message):
    path = ipk(tmp_path / "bad.ipk", **field)
    result = lab.router.run("opkg install %s" % lab.serve(path))
    assert result.status == 1 and result.output.endswith("opkg: %s\n" % message)
    assert lab.router.run("ls /usr/sbin/toy").status


def test_opkg_says_what_is_wrong(lab):
    for command, message in (
            ("opkg install /tmp/none.ipk", "there is no file /tmp/none.ipk"),
            ("opkg install /etc/passwd", "/etc/passwd is not a package"),
            ("opkg install http://%s:9/x.ipk" % LAN_HOST, "cannot download http://%s:9/x.ipk" % LAN_HOST),
            ("opkg remove ghost", "no package ghost is installed"),
            ("opkg files ghost", "no package ghost is installed")):
        result = lab.router.run(command)
        assert result.status == 1 and result.output.endswith("opkg: %s\n" % message), result.output


@with_procd
def test_services_start_log_and_stop(lab, toy):
    wait_for(toy, "logread", "toy warns")
    pid = toy.check("cat /var/run/procd/toy.instance1.pid").strip()
    assert pid == toy.check("pidof toy").strip()  # the service itself, not what logs for it
    log = toy.check("logread -e 'toy\\[%s\\]'" % pid)
    assert "daemon.info toy[%s]: toy says hello" % pid in log and "daemon.err toy[%s]: toy warns" % pid in log

    toy.check("/etc/init.d/toy start")
    assert toy.check("pidof toy").strip() == pid  # nothing changed: it runs on
    toy.check("sed -i s/hello/bye/ /etc/config/toy && reload_config")
    wait_for(toy, "logread", "toy says bye")
    assert toy.check("pidof toy").strip() != pid

    pid = toy.check("pidof toy").strip()
    toy.check("kill -9 %s" % pid)  # a crash: started again after a second
    wait_for(toy, "pidof toy || true", "\n")
    assert toy.check("pidof toy").strip() != pid

    toy.check("/etc/init.d/toy restart && pidof toy")
    toy.check("/etc/init.d/toy stop", timeout=10)
    assert toy.run("pidof toy").status == 1
    wait_for(toy, "logread | tail -n 3", "toy ends")
    assert toy.run("/etc/init.d/toy status").output == "inactive\n"
    toy.check("/etc/init.d/toy disable")
    assert toy.run("/etc/init.d/toy enabled").status == 1


@with_procd
def test_a_service_that_ignores_sigterm_is_killed(lab, toy):
    toy.check("/etc/init.d/toy stop")
    toy.check("sed -i \"s/^trap.*/trap '' TERM/\" /usr/sbin/toy && /etc/init.d/toy start")
    wait_for(toy, "pidof toy || true", "\n")
    time.sleep(0.5)
    begin = time.monotonic()
    toy.check("/etc/init.d/toy stop")
    assert 4 < time.monotonic() - begin < 9
    assert toy.run("pidof toy").status == 1
    assert "sending SIGKILL" in toy.check("logread")


@pytest.mark.parametrize("lab", ["wrt"], indirect=True)
def test_fw3_forwards_what_is_translated_and_nothing_else(lab):
    rules, rules6 = lab.router.check("iptables-save"), lab.router.check("ip6tables-save")
    wan = [line for line in rules.splitlines() if line.startswith("-A zone_wan_forward")]
    assert "--ctstate DNAT" in wan[0] and wan[0].endswith("-j ACCEPT")
    assert wan[1].endswith("-j reject") and len(wan) == 2
    assert ":FORWARD DROP" in rules
    assert ":FORWARD DROP" in rules6 and "DNAT" not in rules6
    assert [line for line in rules6.splitlines() if line.startswith("-A zone_wan_forward")][-1].endswith("-j reject")
    lab.router.check("ip6tables -N toy; ip6tables -A toy -j ACCEPT; ip6tables -I FORWARD -j toy; fw3 reload")
    assert lab.router.check("ip6tables-save | grep toy") == ":toy - [0:0]\n-A FORWARD -j toy\n-A toy -j ACCEPT\n"
    lab.router.check("ip6tables -D FORWARD -j toy; ip6tables -F toy; ip6tables -X toy; fw3 reload")
    for program, earlier in ("iptables-save", rules), ("ip6tables-save", rules6):
        assert lab.router.check(program + " | grep '^-A'") == "".join(
            line + "\n" for line in earlier.splitlines() if line.startswith("-A"))


@pytest.mark.parametrize("lab", ["debian"], indirect=True)
def test_fw4_includes_snippets_where_firewall4_does(lab):
    router = lab.router
    snippets = {"table-post/20-toy.nft": "chain toy_forward {}\nchain toy_dstnat {}",
                "chain-post/forward/20-toy.nft": 'jump toy_forward comment "toy"',
                "chain-pre/forward/20-toy.nft": 'counter comment "toy first"',
                "chain-post/dstnat/20-toy.nft": "jump toy_dstnat"}
    try:
        for name, text in snippets.items():
            router.write("/usr/share/nftables.d/" + name, text + "\n")
        router.check("fw4 reload")
        rules = [line.strip() for line in router.check("nft list chain inet fw4 forward").splitlines()]
        places = [next(number for number, rule in enumerate(rules) if text in rule) for text in
                  ("toy first", "established", "jump forward_wan", "jump toy_forward", "jump handle_reject")]
        assert places == sorted(places)
        assert "jump toy_dstnat" in router.check("nft list chain inet fw4 dstnat")

        router.check("rm /usr/share/nftables.d/table-post/20-toy.nft && nft add rule inet fw4 toy_forward counter")
        router.check("nft delete rule inet fw4 forward handle $(nft -a list chain inet fw4 forward |"
                     " sed -n 's/.*jump toy_forward.*handle //p') && nft delete rule inet fw4 dstnat handle $(nft -a"
                     " list chain inet fw4 dstnat | sed -n 's/.*jump toy_dstnat.*handle //p')")
        router.check("nft 'flush chain inet fw4 toy_forward; delete chain inet fw4 toy_forward'")
        before = router.check("nft -s list table inet fw4")
        result = router.run("fw4 reload")
        assert result.status == 1 and "toy_forward" in result.output
        assert router.check("nft -s list table inet fw4") == before  # all or nothing
    finally:
        router.check("rm -rf /usr/share/nftables.d; nft delete table inet fw4; rm -f /var/run/fw4.state; fw4 start")
    assert "toy" not in router.check("nft list ruleset")


@with_procd
def test_scripts_read_the_configuration(lab):
    lab.router.write("/etc/config/toy", """
config thing 'first'
	option enabled 'yes'   # a comment
	option text "two  words; $HOME `id`"
	list item 'a b'
	list item c

config thing
	option bare word
""")
    output = lab.router.check("""
. /lib/functions.sh; . /lib/functions/network.sh
config_load toy
config_get_bool on first enabled 0; config_get text first text; config_get none first none default
echo "$on|$text|$none"
show() { echo "item <$1>"; }
config_list_foreach first item show
each() { config_get value "$1" bare nothing; echo "$1 $value $2"; }
config_foreach each thing argument
network_find_wan wan; network_get_device device "$wan"; network_get_ipaddr address "$wan"; network_get_subnet lan lan
network_find_wan6 wan6
echo "$wan6 $wan $device $address $lan"
rm /etc/config/toy
""")
    assert output == ("1|two  words; $HOME `id`|default\nitem <a b>\nitem <c>\nfirst nothing argument\n"
                      "cfg01 word argument\nwan wan eth1 11.0.0.2 192.168.1.1/24\n")


@with_procd
def test_an_interface_goes_down_and_up_with_its_hotplug_scripts(lab):
    router = lab.router
    router.write("/etc/hotplug.d/iface/50-toy", 'echo "$ACTION $INTERFACE $DEVICE" >>/tmp/hotplug\n')
    try:
        router.check("ifdown wan")
        assert router.run(". /lib/functions/network.sh; network_find_wan wan").status == 1
        router.check("ifup wan")
        assert router.check("cat /tmp/hotplug") == "ifdown wan eth1\nifup wan eth1\n"
        assert router.check(". /lib/functions/network.sh; network_find_wan wan; echo $wan") == "wan\n"
    finally:
        router.run("rm -rf /etc/hotplug.d/iface/50-toy /tmp/hotplug; ifup wan")
