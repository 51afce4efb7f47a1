"""What PCP's opcodes do (RFC 6887): ANNOUNCE, MAP, PEER. Section numbers are its own.

Sans-IO: `source` is the address that a request came from (16 bytes), `now` the loop's second.

    data = Server(dynamic).answer(datagram, source, now)    # None: silence
"""

from . import pcp
from .compat import const
from .dynamic import log_refusal
from .errors import PCPError

MIN_LIFETIME = const(120)  # seconds: clients need not ask more often than each minute (15)
MAX_LIFETIME = const(86400)  # and what was forgotten closes within a day
_IP4_PREFIX = const(96)  # bits of an IPv4 address in its 16 bytes that are no part of it


class Server:
    """Answers for `dynamic` (dynamic.Dynamic); `allows_third_party`: a host may ask for another one."""

    def __init__(self, dynamic, allows_third_party=False):
        self._dynamic = dynamic
        self._allows_third_party = allows_third_party

    def answer(self, datagram, source, now):
        """Return the datagram that answers; None where nobody is to be answered. Never raises."""
        epoch = self._dynamic.epoch(now)
        try:
            request = pcp.parse(datagram)
            return None if request is None else self._serve(request, source, now, epoch)
        except PCPError as refusal:
            log_refusal(pcp.ip4_of(source) or "an IPv6 host", "PCP", refusal)
            return pcp.refusal(datagram, refusal, epoch)

    def announcement(self, now):
        """Return the datagram that tells every client of the epoch (14.1)."""
        return pcp.announcement(self._dynamic.epoch(now))

    def _serve(self, request, source, now, epoch):
        if request.client != source:
            raise PCPError(pcp.ADDRESS_MISMATCH, "it takes itself for another host: there is a NAT between us")
        if request.opcode == pcp.ANNOUNCE:
            return pcp.answer(request, 0, epoch)
        client = self._client(request, source)
        if pcp.ip4_of(client) is None or pcp.ip4_of(source) is None:
            return self._pinhole(request, source, client, now, epoch)
        if request.opcode == pcp.MAP:
            return self._map(request, pcp.ip4_of(source), pcp.ip4_of(client), now, epoch)
        return self._peer(request, pcp.ip4_of(source), pcp.ip4_of(client), now, epoch)

    def _client(self, request, source):
        """Return the internal address (16 bytes): that of who asks, or of a THIRD_PARTY (13.1)."""
        client = request.third_party
        if client is None:
            return source
        if not self._allows_third_party:
            raise PCPError(pcp.UNSUPP_OPTION, "hosts open ports to themselves only")
        if client == source:
            raise PCPError(pcp.MALFORMED_REQUEST, "a third party is another host")
        address = pcp.ip4_of(client)
        if address is None or not self._dynamic.gateway.policy.is_other_host(address):
            raise PCPError(pcp.NOT_AUTHORIZED, "the third party is no host of the LAN")
        return client

    def _pinhole(self, request, source, client, now, epoch):
        """A MAP or PEER for IPv6: there is no table of pinholes yet."""
        raise PCPError(pcp.NO_RESOURCES, "no pinholes for IPv6")

    def _map(self, request, caller, client, now, epoch):
        """Open a port, renew or close it (11.3, 15.1)."""
        protocol = pcp.PROTOCOLS.get(request.protocol)
        if protocol is None and (request.protocol or request.lifetime):
            raise PCPError(pcp.UNSUPP_PROTOCOL, "protocol %d" % request.protocol)
        if not request.lifetime:
            # Protocol 0 stands for all, and then its port for nothing (11.1).
            self._dynamic.delete(now, client, protocol, request.internal_port if protocol else 0, request.nonce_text)
            return pcp.answer(request, 0, epoch, request.external_port)
        if not request.internal_port:
            raise PCPError(pcp.NOT_AUTHORIZED, "nobody gets every port")
        filters = [_remote_host(one) for one in request.filters]
        address = pcp.ip4_mapped(self._dynamic.external_address)
        if request.prefers_failure and request.external_address != address and not pcp.is_wildcard(
                request.external_address):
            raise PCPError(pcp.CANNOT_PROVIDE_EXTERNAL, "another external address")
        port, lifetime = self._dynamic.map(now, caller, client, protocol, request.internal_port, request.external_port,
                                           _clamped(request.lifetime), request.nonce_text, filters,
                                           request.prefers_failure)
        return pcp.answer(request, lifetime, epoch, port, address)

    def _peer(self, request, caller, client, now, epoch):
        """Tell how a connection is translated, or prepare it (12.3)."""
        if not (request.protocol and request.internal_port and request.remote_port) or pcp.is_wildcard(
                request.remote_address):
            raise PCPError(pcp.MALFORMED_REQUEST, "a peer without port or address")
        protocol = pcp.PROTOCOLS.get(request.protocol)
        if protocol is None:
            raise PCPError(pcp.UNSUPP_PROTOCOL, "protocol %d" % request.protocol)
        remote_host = pcp.ip4_of(request.remote_address)
        if remote_host is None:
            raise PCPError(pcp.CANNOT_PROVIDE_EXTERNAL, "no translation to IPv6")
        address = pcp.ip4_mapped(self._dynamic.external_address)
        port, lifetime = self._dynamic.peer(
            now, caller, client, protocol, request.internal_port, remote_host, request.remote_port,
            _clamped(request.lifetime) if request.lifetime else 0, request.nonce_text)
        return pcp.answer(request, lifetime, epoch, port, address)


def _clamped(lifetime):
    return min(max(lifetime, MIN_LIFETIME), MAX_LIFETIME)


def _remote_host(one):
    """Return the remote host (dotted quad) of a FILTER, None where it takes the others away (13.3).

    A rule is for one host and all of its ports. Where a filter is narrower or wider it is refused.
    """
    length, port, address = one
    if not length:
        return None
    host = pcp.ip4_of(address)
    if host is None or length < _IP4_PREFIX:
        raise PCPError(pcp.MALFORMED_OPTION, "a filter that is not for IPv4")
    if port or length != 128:
        raise PCPError(pcp.EXCESSIVE_REMOTE_PEERS, "a filter for a port or a network")
    return host
