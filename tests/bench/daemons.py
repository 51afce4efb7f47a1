"""Who is compared: how each daemon is configured, started and cleaned up after, with the same features switched on.

UPnP, NAT-PMP and PCP, IPv4 and IPv6, secure mode, a lease file; everything logged as each does it by default.
"""

from collections import namedtuple

PORT = 5000
_UUID = "8b8f4c2a-6f0e-4a43-9d6c-0123456789ab"

# `program` is its path on the router, `control` the path of WANIPConnection's control, `prepare` and `clean` are
# commands for the router's shell.
Daemon = namedtuple("Daemon", "name title program arguments control prepare clean")

_CONF = """ext_ifname=eth1
listening_ip=eth0
port=%d
enable_natpmp=yes
enable_upnp=yes
secure_mode=yes
system_uptime=no
notify_interval=900
uuid=%s
lease_file=/var/run/incumbent.leases
%s
allow 1024-65535 0.0.0.0/0 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""
_NFT_CHAINS = "\n".join("upnp_%s=%s" % pair for pair in (
    ("table_name", "fw4"), ("nat_table_name", "fw4"), ("forward_chain", "upnp_forward"),
    ("nat_chain", "upnp_prerouting"), ("nat_postrouting_chain", "upnp_postrouting")))


def _incumbent(name, title, program, lines, prepare, clean):
    conf = "/tmp/%s.conf" % name
    write = "cat >%s <<'END'\n%s\nEND\nrm -f /var/run/incumbent.leases; touch /var/run/incumbent.leases\n" % (
        conf, _CONF % (PORT, _UUID, lines))
    return Daemon(name, title, program, "-f %s -P /tmp/%s.pid" % (conf, name), "/ctl/IPConn", write + prepare, clean)


MINIUPNPD_NFT = _incumbent("miniupnpd-nft", "miniupnpd, nftables", "/usr/sbin/miniupnpd-nft", _NFT_CHAINS,
                           "fw4 reload", "fw4 reload")
# The chains that its own scripts make.
_CHAINS = "\n".join("iptables -t %s -N %s && iptables -t %s -A %s -i eth1 -j %s" % (table, chain, table, hook, chain)
                    for table, chain, hook in (("nat", "MINIUPNPD", "PREROUTING"), ("filter", "MINIUPNPD", "FORWARD")))
MINIUPNPD_IPT = _incumbent(
    "miniupnpd-ipt", "miniupnpd, iptables", "/usr/sbin/miniupnpd-ipt", "",
    _CHAINS + "\niptables -t nat -N MINIUPNPD-POSTROUTING && iptables -t nat -A POSTROUTING -o eth1 "
    "-j MINIUPNPD-POSTROUTING",
    "iptables -t nat -F; iptables -t nat -X; iptables -F; iptables -X")

_MINIIGD_CONFIG = r"""sed -i "s/option enabled .*/option enabled '1'/; s/option uuid .*/option uuid '%s'/" /etc/config/upnpd
rm -f /var/run/miniupnpd.leases*; fw4 reload""" % _UUID


def miniigd(name="miniigd", title="miniigd", program="/bench/miniigd"):
    """The daemon of this tree, or another build of it, from the bench's squashfs; its package is installed."""
    return Daemon(name, title, program, "-W eth1 -L eth0", "/upnp/control/WANIPConn1", _MINIIGD_CONFIG,
                  "rm -f /var/run/miniupnpd.leases*; fw4 reload")


MINIIGD = miniigd()
