"""What the daemon may do on the router once it is set up, that all of its work goes on with that, and its files."""

import re
import time

import pytest

import test_ipv6_pinholes as pinholes
from qemu.lab import LAN_HOST
from test_command_line import command
from test_daemon import fault, wait_for, wait_until_serving
from test_port_control import natpmp, wait_for_port
from test_subscriptions import Subscriber

NET_BIND_SERVICE, NET_ADMIN, NET_RAW = 1 << 10, 1 << 12, 1 << 13
LEASES, LEASES6 = "/var/run/miniupnpd.leases", "/var/run/miniupnpd.leases6"
PAUSED = "/etc/miniigd/paused"
CONFIG = "/etc/config/upnpd"
# What is started in the place of iptables-restore: it writes down what it may do.
WITNESS = """#!/bin/sh
grep -E 'Cap|NoNew' /proc/self/status >/tmp/witness
exec /tmp/real/iptables-restore "$@"
"""

# Stands in for OpenWrt's ujail, with the same options: a root of nothing but the program, what the options name, and
# devices, in namespaces of its own; signals are passed on.
UJAIL = """#!/bin/sh
if [ -z "$INSIDE" ]; then
    INSIDE=1 unshare -m -p -f -u -i "$0" "$@" &
    child=$!
    trap 'kill -TERM $(pidof miniigd)' TERM
    wait $child
    status=$?
    while kill -0 $child 2>/dev/null; do wait $child; status=$?; done
    exit $status
fi
show() {
    [ -e "$1" ] || return 0
    if [ -d "$1" ]; then mkdir -p "$root$1"; else mkdir -p "$root${1%/*}"; : >"$root$1"; fi
    mount -o bind "$1" "$root$1"
    [ "$2" = rw ] || mount -o remount,bind,ro "$root$1"
}
set -e
root=/tmp/ujail
mkdir -p $root
mount -t tmpfs -o mode=755 tmpfs $root
privileges= readonly=
while getopts n:cpsor:w: option; do
    case $option in
    n) ;;
    c) privileges=--nnp ;;
    p) mkdir -p $root/proc; mount -t proc proc $root/proc ;;
    s) mkdir -p $root/sys; mount -t sysfs sysfs $root/sys ;;
    o) readonly=1 ;;
    r) show "$OPTARG" ro ;;
    w) show "$OPTARG" rw ;;
    *) exit 1 ;;
    esac
done
shift $((OPTIND - 1))
show "$1" ro
mkdir -p $root/dev
mknod $root/dev/null c 1 3
mknod $root/dev/zero c 1 5
mknod $root/dev/full c 1 7
mknod $root/dev/random c 1 8
mknod $root/dev/urandom c 1 9
chmod 666 $root/dev/*
[ -z "$readonly" ] || mount -o remount,bind,ro $root
exec env -i container=ujail /bin/setpriv $privileges /bin/chroot $root "$@"
"""
# One of a release before 23.05.
OLD_UJAIL = """#!/bin/sh
echo "jail: failed to load the .dynamic section from /usr/sbin/miniigd" >&2
exit 1
"""


@pytest.fixture(autouse=True)
def nothing_is_left(client):
    yield
    assert command(client, "resume")[0] == command(client, "close-all")[0] == 0


def status(client, pid=None):
    """Return the fields of /proc/PID/status, capabilities as numbers; of the daemon if nothing else is said."""
    text = client.lab.router.check("cat /proc/%s/status" % (pid or client.running()[0]))
    fields = dict(re.findall(r"^(\w+):\s*(.*)$", text, re.M))
    return {name: int(fields[name], 16) if name.startswith("Cap") else fields[name] for name in fields}


def expected(client):
    return NET_ADMIN if client.demo.has_nft() else NET_ADMIN | NET_RAW


def has_dropped(client, kept):
    found = status(client)
    assert [found[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb", "NoNewPrivs")] == [
        kept, kept, kept, 0, 0, "1"]


def set_option(client, option, value):
    """Set an option of the configuration and restart the daemon."""
    client.lab.router.check("sed -i -e '/option %s /d' -e \"s|^config upnpd.*|&\\n\\toption %s '%s'|\" %s; "
                            "/etc/init.d/miniupnpd restart" % (option, option, value, CONFIG))


@pytest.fixture
def configuration(client):
    """Lets a test change the configuration; what was there is back at the end."""
    router = client.lab.router
    router.check("cp %s /tmp/upnpd.before" % CONFIG)
    yield client
    router.check("cp /tmp/upnpd.before %s; /etc/init.d/miniupnpd restart" % CONFIG)
    wait_until_serving(client)


def mode(client, path):
    """Return "MODE UID LINKS TYPE" of a file, not of what a link points to."""
    return client.lab.router.check("stat -c '%%a %%u %%h %%F' %s" % path).strip()


def test_what_is_left_of_root_s_powers(client):
    assert status(client, 1)["CapEff"] & ~expected(client)  # others have more
    has_dropped(client, expected(client))
    assert status(client)["Uid"].split() == ["0"] * 4


def test_a_restart_by_any_way_ends_with_the_same(client):
    router = client.lab.router
    for way in "/etc/init.d/miniupnpd restart", "kill -9 $(pidof miniigd); /etc/init.d/miniupnpd restart", (
            "kill $(pidof miniigd); sleep 1; /etc/init.d/miniupnpd restart"):
        router.check(way)
        wait_until_serving(client)
        has_dropped(client, expected(client))
        assert client.add()[0] == 200 and client.is_open()
    assert client.delete()[0] == 200


@pytest.mark.parametrize("lab", ["wrt", "bare"], indirect=True)
def test_iptables_has_no_more_than_the_daemon(client):
    """Looked at from inside of the program that the daemon starts for a change."""
    router = client.lab.router
    path = router.check("which iptables-restore").strip()
    router.write("/tmp/witness.sh", WITNESS)
    router.check("mkdir /tmp/real; ln -s $(readlink -f %s) /tmp/real/iptables-restore; cp -P %s /tmp/real/link; "
                 "chmod 755 /tmp/witness.sh; ln -sf /tmp/witness.sh %s" % (path, path, path))
    try:
        assert client.add()[0] == 200 and client.is_open()
        found = dict(re.findall(r"(\w+):\s*(\w+)", router.check("cat /tmp/witness")))
        assert [int(found[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")] == [NET_ADMIN | NET_RAW] * 3
        assert found["NoNewPrivs"] == "1"
    finally:
        router.check("rm -f %s; cp -P /tmp/real/link %s; rm -rf /tmp/real /tmp/witness*" % (path, path))
    assert client.delete()[0] == 200 and not client.is_open()


def test_everything_goes_on(client):
    everything(client)


def everything(client):
    """What the daemon does later: each of these opens sockets or files, or asks the kernel for something."""
    router = client.lab.router
    subscriber = Subscriber(client)
    with subscriber.server:
        assert subscriber.subscribe()[0] == 200
        subscriber.next()
        assert client.add()[0] == 200 and client.is_open()
        assert subscriber.next()[1]["PortMappingNumberOfEntries"] == "1"
        unique_id = pinholes.add(client, port=pinholes.PORT)
        assert command(client, "status")[0] == 0
        found = command(client, "status --json", parse=True)
        assert found["port_mapping_number_of_entries"] == 1 and found["wan"]["external_ip_address"]
        # The LAN goes and comes back: its sockets are bound to the new interface.
        router.check("ifconfig eth0 0.0.0.0")
        time.sleep(1)
        router.check("ifconfig eth0 192.168.1.1 netmask 255.255.255.0 up")
        wait_until_serving(client)
        assert client.add(port=8001)[0] == 200 and client.is_open(8001)
        # The firewall is loaded anew, and the rules are put back.
        router.check(pinholes.RELOAD[client.lab.model])
        wait_for(client, lambda: client.is_open() and client.is_open(8001))
        # Somebody asks it to look again.
        router.check("kill -HUP $(pidof miniigd)")
        assert client.delete()[0] == 200
        wait_for(client, lambda: not client.is_open())
        pinholes.delete(client, unique_id)
        assert command(client, "pause") == (0, "paused until 'miniigd resume', closed 1 mapping\n")
        assert fault(client.add()) == 501
        assert command(client, "resume")[0] == 0
        assert client.add()[0] == 200 and client.is_open()
        assert command(client, "close-all") == (0, "closed 1 mapping\n")
    has_dropped(client, expected(client))
    assert "please report" not in client.log()


def test_natpmp_and_pcp_go_on(client):
    port_control(client)


def port_control(client):
    wait_for_port(client)
    assert natpmp(client, 2, external_port=8000)[0] == 0 and client.is_open()
    assert natpmp(client, 2, lifetime=0)[0] == 0 and not client.is_open()
    has_dropped(client, expected(client))


def test_a_port_below_1024_is_served_again_after_the_lan_was_gone(configuration):
    client, router = configuration, configuration.lab.router
    set_option(client, "port", 81)
    wait_for(client, lambda: "serving eth0 on 192.168.1.1 port 81" in client.log())
    has_dropped(client, expected(client) | NET_BIND_SERVICE)
    before = client.log().count("port 81")
    router.check("ifconfig eth0 0.0.0.0")
    time.sleep(1)
    router.check("ifconfig eth0 192.168.1.1 netmask 255.255.255.0 up")
    wait_for(client, lambda: client.log().count("port 81") > before)


@pytest.mark.parametrize("umask", ["000", "077"])
def test_the_modes_of_its_files(client, umask):
    """Started by hand, with an umask of its own; procd's is 022."""
    router = client.lab.router
    words = router.check("tr '\\0' ' ' </proc/%s/cmdline" % client.running()[0]).split()
    router.check("/etc/init.d/miniupnpd stop; rm -f %s %s" % (LEASES, LEASES6))
    router.check("(umask %s; start-stop-daemon -S -b -m -p /tmp/by-hand.pid -x %s -- %s)" % (
        umask, words[0], " ".join(words[1:])))
    try:
        wait_for(client, lambda: router.run("miniigd status").status == 0)
        wait_for(client, lambda: client.add()[0] == 200)
        pinholes.add(client, port=pinholes.PORT)
        wait_for(client, lambda: router.run("grep -q . %s && grep -q . %s" % (LEASES, LEASES6)).status == 0)
        for path in LEASES, LEASES6, "/var/run/miniigd.clock", "/var/run/miniigd.clock6":
            assert mode(client, path) == "600 0 1 regular file", path
        assert mode(client, "/var/run/miniigd.sock") == "600 0 1 socket"
        assert command(client, "pause")[0] == 0
        assert mode(client, PAUSED) == "600 0 1 regular file"
        assert command(client, "resume")[0] == 0
        # It opens nothing else for writing, and what it made is what it has.
        opened = router.check("ls -l /proc/$(pidof miniigd)/fd")
        assert not re.findall(r"-> (/(?!dev/null|dev/console|var/run|tmp/var).*)", opened), opened
    finally:
        router.check("kill $(cat /tmp/by-hand.pid); while pidof miniigd; do sleep 0.1; done; "
                     "/etc/init.d/miniupnpd start")
        wait_until_serving(client)


@pytest.mark.parametrize("planted", [
    "ln -s /tmp/victim {0}; ln -s /tmp/victim {0}.new", "ln /tmp/victim {0}; ln /tmp/victim {0}.new",
    "ln -s /tmp/nothing {0}; ln -s /tmp/nothing {0}.new", "mknod {0} p; chown 1 {0}; mknod {0}.new p",
    "cp /tmp/forged {0}; chown 1 {0}; cp /tmp/forged {0}.new; chown 1 {0}.new"])
def test_what_somebody_planted_in_a_common_folder_is_not_followed(configuration, planted):
    """The lease file in /tmp, where every user of the router may make files: links to root's, a pipe, a forged file."""
    client, router = configuration, configuration.lab.router
    path = "/tmp/common.leases"
    forged = "TCP:8005:%s:8000:0:forged" % LAN_HOST
    router.check("rm -f %s*; echo root >/tmp/victim; echo %s >/tmp/forged; %s" % (path, forged, planted.format(path)))
    try:
        set_option(client, "upnp_lease_file", path)
        wait_until_serving(client)
        assert client.add()[0] == 200 and client.is_open()
        wait_for(client, lambda: router.run("test -f %s && grep -q TCP:8000: %s" % (path, path)).status == 0)
        assert mode(client, path) == "600 0 1 regular file"
        assert "8005" not in router.check("cat %s" % path) and not client.is_open(8005)
        assert router.check("cat /tmp/victim") == "root\n" and router.run("ls /tmp/nothing").status
        assert client.add(port=8001)[0] == 200
        wait_for(client, lambda: "TCP:8001:" in router.check("cat %s" % path))
        for port in 8000, 8001:
            assert client.delete(port=port)[0] == 200
    finally:
        router.check("rm -f %s* /tmp/victim /tmp/forged /tmp/nothing" % path)


@pytest.fixture
def ujail(client):
    """Lets a test give the router an ujail; at the end it has none again."""
    router = client.lab.router

    def install(text):
        router.write("/sbin/ujail", text)
        router.check("chmod 755 /sbin/ujail; /etc/init.d/miniupnpd restart")
        wait_until_serving(client)
        return client

    yield install
    router.check("rm /sbin/ujail; /etc/init.d/miniupnpd restart; rm -rf /tmp/ujail")
    wait_until_serving(client)


def is_jailed(client):
    """True where the daemon's root is not the router's."""
    return client.lab.router.run("ls /proc/%s/root/bin/sh" % client.running()[0]).status != 0


@pytest.mark.parametrize("lab", ["debian"], indirect=True)
def test_procd_s_jail_has_what_the_daemon_needs_and_nothing_else(ujail):
    client = ujail(UJAIL)
    router, pid = client.lab.router, client.running()[0]
    assert is_jailed(client)
    has_dropped(client, NET_ADMIN)
    shown = router.check("cd /proc/%s/root; find dev ! -type d; ls -d etc/* etc/config/* usr/sbin/* var/*" % pid).split()
    assert sorted(router.check("ls /proc/%s/root" % pid).split()) == ["dev", "etc", "proc", "sys", "usr", "var"]
    assert sorted(shown) == sorted(["dev/" + name for name in ("full", "null", "random", "urandom", "zero")] + [
        "etc/config", "etc/config/upnpd", "etc/miniigd", "usr/sbin/miniigd", "var/run"])
    writable = [line.split()[1] for line in router.check("cat /proc/%s/mounts" % pid).splitlines()
                if "rw" in line.split()[3].split(",")]
    assert sorted(writable) == ["/etc/miniigd", "/proc", "/sys", "/var/run"]
    everything(client)
    port_control(client)
    # The lease file is the router's own, also for who takes a line out of it.
    assert client.add()[0] == client.add(port=8001)[0] == 200
    wait_for(client, lambda: "TCP:8001:" in router.check("cat " + LEASES))
    router.check("sed -i /TCP:8001:/d %s; /etc/init.d/miniupnpd restart" % LEASES)
    wait_until_serving(client)
    assert is_jailed(client) and client.is_open() and not client.is_open(8001)
    # A pause outlasts the jail.
    assert command(client, "pause")[0] == 0 and mode(client, PAUSED) == "600 0 1 regular file"
    router.check("/etc/init.d/miniupnpd restart")
    wait_until_serving(client)
    assert fault(client.add()) == 501 and command(client, "resume")[0] == 0
    router.check("/etc/init.d/miniupnpd stop")
    assert client.running() == []
    router.check("/etc/init.d/miniupnpd start")
    wait_until_serving(client)


@pytest.mark.parametrize("lab", ["debian"], indirect=True)
def test_the_folder_of_the_lease_file_is_in_the_jail(configuration, ujail):
    configuration.lab.router.check("mkdir -p /tmp/kept")
    set_option(configuration, "upnp_lease_file", "/tmp/kept/leases")
    client = ujail(UJAIL)
    assert is_jailed(client) and client.add()[0] == 200
    wait_for(client, lambda: "TCP:8000:" in client.lab.router.run("cat /tmp/kept/leases").output)
    assert client.delete()[0] == 200
    # A path that a jail cannot have: rather none.
    client.lab.router.check("mkdir -p '/tmp/kept/a folder'")
    set_option(client, "upnp_lease_file", "/tmp/kept/a folder/leases")
    wait_until_serving(client)
    assert not is_jailed(client) and client.add()[0] == client.delete()[0] == 200
    client.lab.router.check("rm -r /tmp/kept")


@pytest.mark.parametrize("lab", ["debian"], indirect=True)
def test_an_ujail_that_cannot_hold_it_and_none_at_all_keep_nothing_from_running(ujail):
    assert not is_jailed(ujail(OLD_UJAIL))


@pytest.mark.parametrize("lab", ["wrt"], indirect=True)
def test_with_iptables_there_is_no_jail(ujail):
    """An ujail that says that it can, and does not: it is not even asked."""
    assert not is_jailed(ujail("#!/bin/sh\necho miniigd\n"))
