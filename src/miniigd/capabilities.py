"""What the daemon keeps of root's powers once it is set up: the capabilities(7) that it needs, and no way to more.

It stays uid 0, because it is root's files that it writes, and iptables wants to be root's. Of the capabilities it needs

* CAP_NET_ADMIN for nftables, connection tracking and iptables;
* CAP_NET_RAW for iptables, and before Linux 5.7 to bind a socket to a device (SO_BINDTODEVICE);
* CAP_NET_BIND_SERVICE where HTTP is served on a port below 1024, whose socket is opened anew with each new address.

What it gives up is lost to the programs that it runs too.
"""

from . import log
from .compat import const, keep_capabilities

_NET_BIND_SERVICE = const(1 << 10)
_NET_ADMIN = const(1 << 12)
_NET_RAW = const(1 << 13)
_RELEASE = "/proc/sys/kernel/osrelease"
# What the kernel refused, as bits -> what the log says.
_LACKING = (
    (1, "our own capabilities"),
    (2, "the bounding set: programs that we run may have all capabilities"),  # before 2.6.25, or in a jail
    (4, "no_new_privs"),  # before 3.5
)


def drop(runs_programs, port):
    """Give up what is not needed; `port` is the HTTP server's. Nothing is raised: a kernel gives up what it can."""
    kept = _NET_ADMIN
    if runs_programs or not _binds_to_devices():
        kept |= _NET_RAW
    if port < 1024:
        kept |= _NET_BIND_SERVICE
    refused = keep_capabilities(kept)
    for bit, what in _LACKING:
        if refused & bit:
            log.info("privileges: the kernel does not restrict " + what)


def _binds_to_devices():
    """True where SO_BINDTODEVICE needs no capability: since Linux 5.7, for a socket that is bound to none yet."""
    try:
        with open(_RELEASE) as file:
            major, minor = file.read(40).split(".")[:2]
        return (int(major), int(minor.split("-")[0])) >= (5, 7)
    except (OSError, ValueError):
        return False
