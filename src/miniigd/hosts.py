"""Which host an address belongs to, for whoever counts what a host takes.

Limits are for hosts, and an address is no host: over IPv6 a host may use 2**64 of them, and a forged source costs
nothing. The kernel knows the link-layer address behind an address once somebody has answered for it, or has asked who
the router is: that names the host. A datagram's forged source is mostly one that the kernel knows nothing of.

    hosts = Hosts(neighbours.find)
    hosts.find("2001:db8::2", index)    # "02:00:00:00:00:01", or None: nobody knows
"""

from .addresses import ip_bytes
from .compat import const

_MOST = const(64)  # addresses whose host is remembered, so that the kernel is not asked for each datagram


class Hosts:
    """`look_up(raw, index)` returns a link-layer address (bytes) or None; without it each address is a host."""

    def __init__(self, look_up=None):
        self._look_up = look_up
        self._names = {}  # (address, index) -> name

    def find(self, address, index):
        """Return the name of the host behind an address (text) on the interface with that index, None: unknown."""
        if self._look_up is None:
            return address
        key = (address, index)
        if key not in self._names:
            found = self._look_up(ip_bytes(address), index)
            if found is None:
                return None  # not remembered: there may be any number of these, and each may become known
            if len(self._names) >= _MOST:
                self._names.clear()
            self._names[key] = ":".join(["%02x" % byte for byte in found])
        return self._names[key]

    def name(self, address, index):
        """Return `find`, or the address itself where nobody knows more: of who has made a connection that is proven."""
        return self.find(address, index) or address
