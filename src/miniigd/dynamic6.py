"""What IPv6 hosts have opened by PCP (RFC 6887): pinholes of the one table, beside those that UPnP made.

Nothing is translated, so the external address and port are the host's own. Answers the same questions as
dynamic.Dynamic, for clients that are IPv6 addresses (text); a remote end is "" for any, else (address, port), port 0
for any. Refuses with PCPError.
"""

from . import pcp
from .dynamic import check_nonce, described, merged
from .errors import PCPError, UPnPError
from .mapping import PCP_MAP, PCP_PEER, maker_of

# UPnP's codes, which the pinholes refuse with -> PCP's
_CODES = {501: pcp.NO_RESOURCES, 606: pcp.NOT_AUTHORIZED, 701: pcp.NO_RESOURCES, 703: pcp.NOT_AUTHORIZED}


class Dynamic6:
    """Pinholes in the table of `gateway`."""

    def __init__(self, gateway):
        self._pinholes = gateway.pinholes

    def external_address(self, client):
        """Return the address (text) under which a host is reached; PCPError while none of them is."""
        try:
            self._pinholes.check_allowed()
        except UPnPError as refusal:
            raise PCPError(_CODES[refusal.code], refusal.reason)
        return client

    def map(self, now, client, protocol, internal_port, asked, lifetime, nonce, filters=(), is_exact=False):
        """Let `client` be reached at a port, or renew it; return (external port, seconds granted). See Dynamic.map."""
        if is_exact and asked not in (0, internal_port):
            raise PCPError(pcp.CANNOT_PROVIDE_EXTERNAL, "ports are not translated")
        found = self._find(client, protocol, internal_port)
        check_nonce(found, PCP_MAP, nonce, now)
        own = [pinhole for pinhole in found if pinhole.description == described(PCP_MAP, nonce)]
        remotes = merged(found, own, filters)
        made = []
        try:
            for remote in remotes:
                pinhole, is_new = self._open(now, client, protocol, internal_port, remote, lifetime, PCP_MAP, nonce)
                lifetime = min(lifetime, pinhole.expires - now)
                if is_new:
                    made.append(pinhole)
        except PCPError:
            self._close(made, now)
            raise
        self._close([pinhole for pinhole in own if pinhole.remote not in remotes], now)
        return internal_port, lifetime

    def _find(self, client, protocol, internal_port):
        """Return the pinholes to a port of `client`; protocol None and port 0 stand for every one."""
        return [pinhole for pinhole in self._pinholes.table
                if pinhole.internal_client == client and protocol in (None, pinhole.protocol)
                and internal_port in (0, pinhole.internal_port)]

    def _open(self, now, client, protocol, internal_port, remote, lifetime, maker, nonce):
        """Open a pinhole, or renew it; return (it, is it new?). What UPnP made stays UPnP's, and lasts until the later
        of both ends."""
        host, port = remote or ("", 0)
        there = self._pinholes.table.find_tuple(host, port, protocol, client, internal_port)
        description = described(maker, nonce)
        if there is not None and there.description != description:
            description = there.description
            if there.expires >= now + lifetime:
                return there, False
        try:
            return self._pinholes.add(client, now, host, port, client, internal_port, protocol, lifetime,
                                      description), there is None
        except UPnPError as refusal:
            raise PCPError(_CODES[refusal.code], refusal.reason, None, True)

    def _close(self, pinholes, now):
        if pinholes:
            try:
                self._pinholes.close_all(pinholes, now, "deleted by %s" % pinholes[0].internal_client)
            except UPnPError as refusal:
                raise PCPError(_CODES[refusal.code], refusal.reason)

    def delete(self, now, client, protocol, internal_port, nonce):
        """Close what PCP opened with this nonce to a port of `client`: see Dynamic.delete."""
        found = self._find(client, protocol, internal_port)
        own = [pinhole for pinhole in found if pinhole.description == described(PCP_MAP, nonce)]
        if not own:
            check_nonce(found, PCP_MAP, nonce, now)
        self._close(own, now)

    def peer(self, now, client, protocol, internal_port, remote_host, remote_port, lifetime, nonce):
        """Let a remote end in as long as asked, whether a connection to it is there or not; a lifetime of 0 ends that.

        Return (external port, seconds), RFC 6887 section 12.
        """
        there = self._pinholes.table.find_tuple(remote_host, remote_port, protocol, client, internal_port)
        if there is not None and maker_of(there.description) == PCP_PEER:
            check_nonce([there], PCP_PEER, nonce, now)
            if not lifetime:
                self._close([there], now)
        if not lifetime:
            return internal_port, 0
        pinhole, _ = self._open(now, client, protocol, internal_port, (remote_host, remote_port), lifetime, PCP_PEER,
                                nonce)
        return internal_port, min(lifetime, pinhole.expires - now)
