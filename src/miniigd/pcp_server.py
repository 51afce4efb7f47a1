"""What PCP's opcodes do (RFC 6887): ANNOUNCE, MAP, PEER. Section numbers are its own.

Sans-IO: `source` is the address that a request came from (16 bytes), `now` the loop's second.

    data = Server(dynamic).answer(datagram, source, now)    # None: silence
"""

from . import pcp
from .addresses import ip6_bytes, ip6_text
from .compat import const
from .dynamic import log_refusal
from .dynamic6 import Dynamic6
from .errors import PCPError

MIN_LIFETIME = const(120)  # seconds: clients need not ask more often than each minute (15)
MAX_LIFETIME = const(86400)  # and what was forgotten closes within a day
_IP4_PREFIX = const(96)  # bits of an IPv4 address in its 16 bytes that are no part of it


class Server:
    """Answers for `dynamic` (dynamic.Dynamic) and its gateway's pinholes.

    With `allows_third_party` a host may ask for another one.
    """

    def __init__(self, dynamic, allows_third_party=False):
        self._dynamic = dynamic
        self._dynamic6 = Dynamic6(dynamic.gateway)
        self._allows_third_party = allows_third_party

    def answer(self, datagram, source, now):
        """Return the datagram that answers; None where nobody is to be answered. Never raises."""
        epoch = self._dynamic.epoch(now)
        try:
            request = pcp.parse(datagram)
            return None if request is None else self._serve(request, source, now, epoch)
        except PCPError as refusal:
            log_refusal(_text(source), "PCP", refusal)
            return pcp.refusal(datagram, refusal, epoch)

    def announcement(self, now):
        """Return the datagram that tells every client of the epoch (14.1)."""
        return pcp.announcement(self._dynamic.epoch(now))

    def _serve(self, request, source, now, epoch):
        if request.client != source:
            raise PCPError(pcp.ADDRESS_MISMATCH, "it takes itself for another host: there is a NAT between us")
        if request.opcode == pcp.ANNOUNCE:
            return pcp.answer(request, 0, epoch)
        client = _text(self._client(request, source))
        hosts = (client,) if ":" in client else (_text(source), client)  # what both tables want to know
        table = self._dynamic6 if ":" in client else self._dynamic
        if request.opcode == pcp.MAP:
            return self._map(request, table, hosts, now, epoch)
        return self._peer(request, table, hosts, now, epoch)

    def _client(self, request, source):
        """Return the internal address (16 bytes): that of who asks, or of a THIRD_PARTY (13.1), over IPv4 only."""
        client = request.third_party
        if client is None:
            return source
        if not self._allows_third_party:
            raise PCPError(pcp.UNSUPP_OPTION, "hosts open ports to themselves only")
        if client == source:
            raise PCPError(pcp.MALFORMED_REQUEST, "a third party is another host")
        address = pcp.ip4_of(client)
        if address is None or pcp.ip4_of(source) is None or not self._dynamic.gateway.policy.is_other_host(address):
            raise PCPError(pcp.NOT_AUTHORIZED, "the third party is no host of the LAN")
        return client

    def _map(self, request, table, hosts, now, epoch):
        """Open a port, renew or close it (11.3, 15.1)."""
        protocol = pcp.PROTOCOLS.get(request.protocol)
        if protocol is None and (request.protocol or request.lifetime):
            raise PCPError(pcp.UNSUPP_PROTOCOL, "protocol %d" % request.protocol)
        if not request.lifetime:
            # Protocol 0 stands for all, and then its port for nothing (11.1).
            table.delete(now, hosts[-1], protocol, request.internal_port if protocol else 0, request.nonce_text)
            return pcp.answer(request, 0, epoch, request.external_port)
        if not request.internal_port:
            raise PCPError(pcp.NOT_AUTHORIZED, "nobody gets every port")
        filters = [_remote(one, ":" in hosts[-1]) for one in request.filters]
        address = _bytes(table.external_address(hosts[-1]))
        if request.prefers_failure and request.external_address != address and not pcp.is_wildcard(
                request.external_address):
            raise PCPError(pcp.CANNOT_PROVIDE_EXTERNAL, "another external address")
        port, lifetime = table.map(now, *hosts, protocol, request.internal_port, request.external_port,
                                   _clamped(request.lifetime), request.nonce_text, filters, request.prefers_failure)
        return pcp.answer(request, lifetime, epoch, port, address)

    def _peer(self, request, table, hosts, now, epoch):
        """Tell how a connection is translated, or prepare it (12.3)."""
        if not (request.protocol and request.internal_port and request.remote_port) or pcp.is_wildcard(
                request.remote_address):
            raise PCPError(pcp.MALFORMED_REQUEST, "a peer without port or address")
        protocol = pcp.PROTOCOLS.get(request.protocol)
        if protocol is None:
            raise PCPError(pcp.UNSUPP_PROTOCOL, "protocol %d" % request.protocol)
        remote_host = _text(request.remote_address)
        if (":" in remote_host) != (":" in hosts[-1]):
            raise PCPError(pcp.CANNOT_PROVIDE_EXTERNAL, "no translation between IPv4 and IPv6")
        address = _bytes(table.external_address(hosts[-1]))
        port, lifetime = table.peer(now, *hosts, protocol, request.internal_port, remote_host, request.remote_port,
                                    _clamped(request.lifetime) if request.lifetime else 0, request.nonce_text)
        return pcp.answer(request, lifetime, epoch, port, address)


def _text(address):
    """Return the text of an address of 16 bytes, which may be an IPv4 one."""
    return pcp.ip4_of(address) or ip6_text(address)


def _bytes(text):
    """Return the 16 bytes of an address."""
    return ip6_bytes(text) if ":" in text else pcp.ip4_mapped(text)


def _clamped(lifetime):
    return min(max(lifetime, MIN_LIFETIME), MAX_LIFETIME)


def _remote(one, is_ipv6):
    """Return the remote end that a FILTER lets in; None where it takes the others away (13.3).

    Of IPv4 it is a host, since a rule is for all of its ports; of IPv6 a (host, port). Where a filter is narrower or
    wider it is refused.
    """
    length, port, address = one
    if not length:
        return None
    host = pcp.ip4_of(address)
    if (host is None) != is_ipv6 or length < _IP4_PREFIX and not is_ipv6:
        raise PCPError(pcp.MALFORMED_OPTION, "a filter of the other version of IP")
    if length != 128 or port and not is_ipv6:
        raise PCPError(pcp.EXCESSIVE_REMOTE_PEERS, "a filter for a port or a network")
    return (ip6_text(address), port) if is_ipv6 else host
