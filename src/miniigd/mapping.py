"""The port mappings: the table that is true, whatever the kernel, a file or a client believes.

Owns identity, order, conflict and expiry of mappings (WANIPConnection:1 2.2 and 2.4.16-2.4.18). Knows no clock, no
firewall and no protocol: `now` is an argument, in seconds.

    renewed = table.plan(mapping)      # the mapping it would replace, or None; raises UPnPError, changes nothing
    table.commit(mapping, renewed)     # after the firewall took it
"""

from .compat import const
from .errors import UPnPError

MAX_MAPPINGS = const(1500)  # in all; the runtime's heap limit holds some more, with the longest descriptions
MAX_MAPPINGS_PER_CLIENT = const(1000)  # one host cannot take them all
PROTOCOLS = ("TCP", "UDP")

# What the descriptions of mappings begin with that NAT-PMP and PCP made, as miniupnpd writes them; LuCI reads that. The
# description is all that outlasts a restart, in the lease file.
NAT_PMP, PCP_MAP, PCP_PEER = "NAT-PMP", "PCP MAP", "PCP PEER"
_NONCE_DIGITS = const(24)


def maker_of(description):
    """Return NAT_PMP, PCP_MAP or PCP_PEER where a mapping's description is one of theirs, else ""."""
    kind, _, value = description.rpartition(" ")
    if kind in (PCP_MAP, PCP_PEER) and len(value) == _NONCE_DIGITS and not value.strip("0123456789abcdef"):
        return kind
    if description.startswith(NAT_PMP + " ") and value in ("tcp", "udp"):
        return NAT_PMP
    return ""


def shown(description):
    """Return a description without a PCP client's nonce: who knows that may close the port."""
    maker = maker_of(description)
    return maker if maker in (PCP_MAP, PCP_PEER) else description


class PortMapping:
    """One mapping; `lease_duration` in seconds as the client asked, `expires` the second at which it ends."""

    def __init__(self, remote_host, external_port, protocol, internal_port, internal_client, enabled, description,
                 lease_duration, expires):
        self.remote_host = remote_host  # dotted quad, "" for any
        self.external_port = external_port
        self.protocol = protocol  # one of PROTOCOLS
        self.internal_port = internal_port
        self.internal_client = internal_client  # dotted quad
        self.enabled = enabled
        self.description = description
        self.lease_duration = lease_duration  # 0: the client set no end
        self.expires = expires
        self.handle = None  # the firewall's own name for its rule
        self.is_recorded = False  # it is in the lease file
        self.sibling = None  # the next mapping of the same port, for another remote host
        self.held_until = 0  # the second until which NAT-PMP or PCP promised it, where UPnP made it

    @property
    def remote(self):
        """The remote end that may come in, "" for any."""
        return self.remote_host

    @property
    def shown_description(self):
        """The description as others may read it."""
        return shown(self.description)

    def remaining(self, now):
        """Return the lease that is left, in seconds; 0 when the client set no end."""
        return max(1, self.expires - now) if self.lease_duration else 0

    def __str__(self):
        return "%s %d -> %s:%d%s" % (self.protocol, self.external_port, self.internal_client, self.internal_port,
                                     self.remote_host and " from " + self.remote_host)


class MappingTable:
    """All mappings, in the order in which they were made; a renewed one keeps its place.

    One for a remote host stands in front of the one for any host of the same port: rules are in the table's order, and
    the first that matches a packet counts. There are at most `most`.
    """

    def __init__(self, most=MAX_MAPPINGS):
        self._most = most
        self._mappings = []
        self._ports = {}  # _key -> first PortMapping of that port, the others behind it by `sibling`
        self._counts = {}  # internal client -> how many mappings it has
        self.next_expiry = None  # no mapping ends before this second
        self.update_id = 0  # counts the changes, as a ui4 (WANIPConnection:2 2.3.25)

    def __len__(self):
        return len(self._mappings)

    def __iter__(self):
        return iter(self._mappings)

    def at(self, index):
        """Return the mapping at `index`; UPnPError 713 outside of the table."""
        if 0 <= index < len(self._mappings):
            return self._mappings[index]
        raise UPnPError(713)

    def find(self, remote_host, external_port, protocol):
        """Return the mapping of that identity, or None."""
        mapping = self._ports.get(_key(external_port, protocol))
        while mapping is not None and mapping.remote_host != remote_host:
            mapping = mapping.sibling
        return mapping

    def owner(self, external_port, protocol):
        """Return the internal client (dotted quad) that has the port, or None."""
        mapping = self._ports.get(_key(external_port, protocol))
        return None if mapping is None else mapping.internal_client

    def plan(self, mapping):
        """Return the mapping that `mapping` would replace, or None.

        UPnPError 718 when the port belongs to another client (an external port serves one client, whatever the
        remote hosts), 728 when the table is full.
        """
        owner = self._ports.get(_key(mapping.external_port, mapping.protocol))
        if owner is not None and owner.internal_client != mapping.internal_client:
            raise UPnPError(718, "%s %d belongs to %s" % (owner.protocol, owner.external_port, owner.internal_client))
        replaced = self.find(mapping.remote_host, mapping.external_port, mapping.protocol)
        if replaced is None:
            if len(self._mappings) >= self._most:
                raise UPnPError(728, "the table is full")
            if self.has_enough(mapping.internal_client):
                raise UPnPError(728, "%s has enough" % mapping.internal_client)
        return replaced

    def has_enough(self, client):
        """True when that internal client has as many mappings as one may have."""
        return self._counts.get(client, 0) >= MAX_MAPPINGS_PER_CLIENT

    def is_last(self, mapping):
        """True when `mapping` stands at the end."""
        return self._mappings[-1] is mapping

    def successor(self, mapping, replaced):
        """Return the enabled mapping in front of which `mapping`, as planned, has its place; None at the end."""
        if replaced is None and not mapping.remote_host:
            return None
        for other in self._mappings[self._place(mapping, replaced):]:
            if other.enabled and other is not replaced:
                return other
        return None

    def _place(self, mapping, replaced):
        if replaced is not None:
            return self._mappings.index(replaced)
        wider = self.find("", mapping.external_port, mapping.protocol) if mapping.remote_host else None
        return len(self._mappings) if wider is None else self._mappings.index(wider)

    def commit(self, mapping, replaced):
        """Put `mapping` into the table, in the place of `replaced` where that is not None; whole, or not at all."""
        key = _key(mapping.external_port, mapping.protocol)
        if replaced is None:
            self._append(key, mapping)
        else:
            self._mappings[self._place(mapping, replaced)] = mapping
            self._unlink(key, replaced)
            mapping.sibling = self._ports.get(key)
            self._ports[key] = mapping
        self._count_change()
        if self.next_expiry is None or mapping.expires < self.next_expiry:
            self.next_expiry = mapping.expires

    def _append(self, key, mapping):
        # Memory can run out at each of these: what was done is taken back then.
        client = mapping.internal_client
        count = self._counts.get(client)
        place = self._place(mapping, None)
        self._mappings.insert(place, mapping)
        try:
            self._counts[client] = (count or 0) + 1
            mapping.sibling = self._ports.get(key)
            self._ports[key] = mapping
        except MemoryError:
            self._mappings.pop(place)
            if count is None:
                self._counts.pop(client, None)
            else:
                self._counts[client] = count
            raise

    def remove(self, mapping):
        """Take `mapping` out of the table."""
        self._mappings.remove(mapping)
        self._unlink(_key(mapping.external_port, mapping.protocol), mapping)
        count = self._counts[mapping.internal_client] - 1
        if count:
            self._counts[mapping.internal_client] = count
        else:
            del self._counts[mapping.internal_client]
        self._count_change()

    def expired(self, now, most):
        """Return up to `most` mappings whose lease has ended, and learn when the next one will end."""
        ended = []
        self.next_expiry = None
        for mapping in self._mappings:
            expires = mapping.expires
            if expires <= now and len(ended) < most:
                ended.append(mapping)
            elif self.next_expiry is None or expires < self.next_expiry:
                self.next_expiry = expires
        return ended

    def _count_change(self):
        self.update_id = self.update_id + 1 & 0xFFFFFFFF

    def _unlink(self, key, mapping):
        first = self._ports[key]
        if first is mapping:
            if mapping.sibling is None:
                del self._ports[key]
            else:
                self._ports[key] = mapping.sibling
            return
        while first.sibling is not mapping:
            first = first.sibling
        first.sibling = mapping.sibling


def _key(external_port, protocol):
    return external_port << 1 | (protocol == "UDP")
