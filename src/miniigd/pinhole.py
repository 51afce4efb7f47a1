"""The pinholes: what IPv6 hosts of the LAN have had opened in the firewall, as a table that is true.

Owns identity, number and expiry of pinholes (WANIPv6FirewallControl:1 2.2 and 2.5.3). Nothing is translated for IPv6:
a pinhole only lets through. Knows no clock, no firewall and no protocol: `now` is an argument, in seconds.

    pinhole = table.find_tuple("", 0, "TCP", "2001:db8::2", 8000)    # to be renewed, or None
    table.check_room("2001:db8::2")                                  # UPnPError 701
    table.commit(pinhole)                                            # after the firewall took it
"""

from .compat import const
from .errors import UPnPError

# 200 of them took 0.8 MB of the runtime's heap, which has 4; a client was never seen to want more than four. One address
# cannot take them all.
MAX_PINHOLES = const(500)
MAX_PINHOLES_PER_CLIENT = const(200)
_MOST_RETIRED = const(64)  # ids that are not given out again yet: somebody may still call his gone pinhole by it


class Pinhole:
    """One pinhole. `lease_duration` in seconds as the client asked, `expires` the second at which it ends.

    Addresses are text as addresses.ip6_text writes them.
    """

    enabled = True  # as every pinhole is: the lease file asks

    def __init__(self, unique_id, remote_host, remote_port, protocol, internal_client, internal_port, lease_duration,
                 expires, description=""):
        self.unique_id = unique_id  # 1..65535
        self.remote_host = remote_host  # "" for any
        self.remote_port = remote_port  # 0 for any
        self.protocol = protocol  # one of mapping.PROTOCOLS
        self.internal_client = internal_client
        self.internal_port = internal_port
        self.lease_duration = lease_duration
        self.expires = expires
        self.description = description  # what PCP keeps there; UPnP has none
        self.owner = internal_client  # the host that it counts as: one may have many addresses
        self.counted = (0, 0)  # (packets, bytes) that the firewall counted before it was last renewed
        self.is_recorded = False  # it is in the lease file
        self.sibling = None  # the next pinhole of the same internal port

    @property
    def remote(self):
        """The remote end that may come in: (address, port), or "" for any."""
        return (self.remote_host, self.remote_port) if self.remote_host or self.remote_port else ""

    def remaining(self, now):
        """Return the lease that is left, in seconds."""
        return max(1, self.expires - now)

    def is_open_to(self, remote_host, remote_port):
        """True when it has exactly that remote end."""
        return self.remote_host == remote_host and self.remote_port == remote_port

    def __str__(self):
        text = "%s [%s]:%d" % (self.protocol, self.internal_client, self.internal_port)
        if self.remote_host:
            text += " from [%s]" % self.remote_host
        if self.remote_port:
            text += "%s port %d" % ("" if self.remote_host else " from", self.remote_port)
        return text


class PinholeTable:
    """All pinholes, in the order in which they were made; there are at most `most`.

    `make_number()` returns a number of 16 bits that nobody can guess.
    """

    def __init__(self, make_number, most=MAX_PINHOLES):
        self._make_number = make_number
        self._most = most
        self._pinholes = []
        self._ids = {}  # unique id -> Pinhole
        self._ports = {}  # _key -> first Pinhole of that internal port, the others behind it by `sibling`
        self._retired = []  # ids, the longest gone first
        self.next_expiry = None  # no pinhole ends before this second

    def __len__(self):
        return len(self._pinholes)

    def __iter__(self):
        return iter(self._pinholes)

    def find(self, unique_id):
        """Return the pinhole with that id, or None."""
        return self._ids.get(unique_id)

    def find_tuple(self, remote_host, remote_port, protocol, internal_client, internal_port):
        """Return the pinhole of that identity, or None."""
        pinhole = self._ports.get(_key(internal_port, protocol))
        while pinhole is not None and not (
                pinhole.internal_client == internal_client and pinhole.is_open_to(remote_host, remote_port)):
            pinhole = pinhole.sibling
        return pinhole

    def check_room(self, owner):
        """Raise UPnPError 701 when there can be no other pinhole, or none of that owner."""
        if len(self._pinholes) >= self._most:
            raise UPnPError(701, "the table is full")
        if len([1 for pinhole in self._pinholes if pinhole.owner == owner]) >= MAX_PINHOLES_PER_CLIENT:
            raise UPnPError(701, "%s has enough" % owner)

    def new_id(self):
        """Return an id that no pinhole has or had lately; which one it is cannot be guessed."""
        number = self._make_number()
        while number == 0 or number in self._ids or number in self._retired:
            number = number + 1 & 0xFFFF  # there are far fewer pinholes than numbers
        return number

    def is_free(self, unique_id):
        """True for an id that no pinhole has."""
        return unique_id not in self._ids

    def commit(self, pinhole):
        """Put a new pinhole into the table; whole, or not at all."""
        key = _key(pinhole.internal_port, pinhole.protocol)
        self._pinholes.append(pinhole)
        # Memory can run out at each of these: what was done is taken back then.
        try:
            self._ids[pinhole.unique_id] = pinhole
            pinhole.sibling = self._ports.get(key)
            self._ports[key] = pinhole
        except MemoryError:
            self._pinholes.pop()
            self._ids.pop(pinhole.unique_id, None)
            raise
        self._expect(pinhole.expires)

    def renew(self, pinhole, lease_duration, expires):
        """Give a pinhole of the table another lease."""
        pinhole.lease_duration, pinhole.expires = lease_duration, expires
        self._expect(expires)

    def _expect(self, expires):
        if self.next_expiry is None or expires < self.next_expiry:
            self.next_expiry = expires

    def remove(self, pinhole):
        """Take `pinhole` out of the table."""
        self._pinholes.remove(pinhole)
        del self._ids[pinhole.unique_id]
        key = _key(pinhole.internal_port, pinhole.protocol)
        before = self._ports[key]
        if before is not pinhole:
            while before.sibling is not pinhole:
                before = before.sibling
            before.sibling = pinhole.sibling
        elif pinhole.sibling is None:
            del self._ports[key]
        else:
            self._ports[key] = pinhole.sibling
        pinhole.sibling = None
        if len(self._retired) >= _MOST_RETIRED:
            self._retired.pop(0)
        self._retired.append(pinhole.unique_id)

    def expired(self, now, most):
        """Return up to `most` pinholes whose lease has ended, and learn when the next one will end."""
        ended = []
        self.next_expiry = None
        for pinhole in self._pinholes:
            if pinhole.expires <= now and len(ended) < most:
                ended.append(pinhole)
            else:
                self._expect(pinhole.expires)
        return ended


def _key(internal_port, protocol):
    return internal_port << 1 | (protocol == "UDP")
