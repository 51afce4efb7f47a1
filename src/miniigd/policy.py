"""Who may have which mapping: pure functions that raise UPnPError 606 with the reason for the log.

UPnP IGD has no authentication: every program on the LAN may ask, and then anyone on the Internet may come in. So a
host opens ports to itself only, and none below 1024, unless the configuration says otherwise. Its rules (rules.Rule)
are tried in order and the first that matches counts; where none does, ports below 1024 are refused and the others
allowed. Rules are compared as ints: a request has up to twenty of them to pass.
"""

import struct

from .addresses import ip4_bytes, ip6_bytes, ip_bytes
from .compat import const
from .errors import UPnPError
from .interfaces import is_link_local

LOWEST_PORT = const(1024)  # below it are the ports of services that nobody opens by accident
_HIGHEST_PORT = const(65535)


class Policy:
    """The `rules` in order, and whether a host opens ports to itself only (`is_secure`).

    `lans` are the interfaces.Interface that hosts may be on, and `own` all of the router's. `neighbours` (Neighbours)
    tell which addresses are one host's; None: each stands for itself.
    """

    def __init__(self, rules=(), is_secure=True, lans=(), own=(), neighbours=None):
        self._neighbours = neighbours
        self.rules = rules
        self.is_secure = is_secure
        self._lans = lans
        self._own = own
        self._client = ""  # the address that is in the two halves: taking it apart costs as much as ten rules
        self._high = self._low = 0

    def check_add(self, caller, mapping):
        """Refuse a mapping that `caller` (its address as text) may not have."""
        client = mapping.internal_client
        if client != caller and (self.is_secure or not self.is_other_host(client)):
            # Over IPv6 nothing proves which IPv4 address is the caller's own.
            raise UPnPError(606, "it asks %sfor %s" % ("over IPv6 " if ":" in caller else "", client))
        external_port, internal_port = mapping.external_port, mapping.internal_port
        for rule in self.rules:
            if rule.external_first <= external_port <= rule.external_last and self._is_about(
                    rule, client, internal_port, mapping.description):
                if rule.is_allowed:
                    return
                raise UPnPError(606, "%s denies it" % rule)
        if external_port < LOWEST_PORT or internal_port < LOWEST_PORT:
            raise UPnPError(606, "ports below %d stay closed unless a rule allows them" % LOWEST_PORT)

    def check_owner(self, caller, mapping):
        """Refuse to let `caller` change a mapping of another host."""
        if mapping.internal_client != caller and self.is_secure:
            raise UPnPError(606, "it belongs to %s" % mapping.internal_client)

    def check_pinhole(self, caller, pinhole):
        """Refuse a pinhole that `caller` may not have; rules are about IPv4 only, so none allows a low port."""
        if self.lan_of(pinhole.internal_client) is None:
            raise UPnPError(606, "no host of a LAN can have the address %s" % pinhole.internal_client)
        if pinhole.internal_port < LOWEST_PORT:
            raise UPnPError(606, "ports below %d stay closed" % LOWEST_PORT)
        self.check_pinhole_owner(caller, pinhole)

    def check_pinhole_owner(self, caller, pinhole):
        """Refuse to let `caller` change a pinhole to another host."""
        client = pinhole.internal_client
        if client == caller or not self.is_secure:
            return
        lan = self.lan_of(client)
        if lan is None or self._neighbours is None or not self._neighbours.is_same_host(
                ip_bytes(caller), ip6_bytes(client), lan.index):
            raise UPnPError(606, "%s is not known to be an address of %s" % (client, caller))

    def lan_of(self, client):
        """Return the Interface of the LAN on which a host can have the IPv6 address, or None: not the router's own."""
        raw = ip6_bytes(client)
        for interface in self._own:
            if interface.has_address(raw):
                return None
        if _is_host(raw):
            for interface in self._lans:
                if interface.has_prefix6(raw):
                    return interface
        return None

    def allowed_range(self, start, client, internal_port, description):
        """Return the (first, last) of the lowest allowed external ports from `start` on, or None.

        Goes from one rule's border to the next, not from port to port.
        """
        rules = [rule for rule in self.rules if self._is_about(rule, client, internal_port, description)]
        while start <= _HIGHEST_PORT:
            is_allowed, last = _verdict(rules, start, internal_port)
            if is_allowed:
                return start, last
            start = last + 1
        return None

    def _is_about(self, rule, client, internal_port, description):
        """True when the rule matches in everything but the external port."""
        if not rule.internal_first <= internal_port <= rule.internal_last:
            return False
        if rule.has_network:
            if client != self._client:
                raw = ip4_bytes(client)
                self._client, self._high, self._low = client, raw[0] << 8 | raw[1], raw[2] << 8 | raw[3]
            if self._high & rule.mask_high != rule.network_high or self._low & rule.mask_low != rule.network_low:
                return False
        return rule.description is None or is_match(rule.description, description)

    def is_other_host(self, client):
        """True for an address that only another host of a LAN can have: not the router's, not everybody's."""
        for interface in self._own:
            if client in [address for address, _ in interface.addresses]:
                return False
        number = _number(client)
        for interface in self._lans:
            for address, length in interface.addresses:
                hosts = 0xFFFFFFFF >> length  # what is left of the mask
                if (number ^ _number(address)) & ~hosts == 0 and (hosts < 2 or 0 < number & hosts < hosts):
                    return number >> 24 != 127
        return False


def _is_host(raw):
    """True for an IPv6 address (16 bytes) that a packet from elsewhere can be for.

    Not unspecified, loopback or mapped, all of which are in ::/64, and neither link-local nor multicast (RFC 4291 2.4).
    """
    return raw[:8] != bytes(8) and raw[0] != 0xFF and not is_link_local(raw)


def _number(address):
    return struct.unpack(">I", ip4_bytes(address))[0]


def _verdict(rules, port, internal_port):
    """Return (is the external `port` allowed?, the last port for which the same rule says so)."""
    last = _HIGHEST_PORT
    for rule in rules:
        if rule.external_first > port:
            last = min(last, rule.external_first - 1)
        elif port <= rule.external_last:
            return rule.is_allowed, min(last, rule.external_last)
    if port < LOWEST_PORT:
        last = min(last, LOWEST_PORT - 1)
    return port >= LOWEST_PORT and internal_port >= LOWEST_PORT, last


def is_match(pieces, description):
    """True when the lower-case `pieces` are in the description in this order, the first and the last at its ends."""
    text = description.lower()
    if len(pieces) == 1:
        return text == pieces[0]
    if not text.startswith(pieces[0]):
        return False
    position = len(pieces[0])
    for piece in pieces[1:-1]:
        position = text.find(piece, position)
        if position < 0:
            return False
        position += len(piece)
    return len(text) - len(pieces[-1]) >= position and text.endswith(pieces[-1])
