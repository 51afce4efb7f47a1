"""The mappings of NAT-PMP and PCP clients ("explicit dynamic mappings", RFC 6887 2.2) in the one table, and the epoch.

A client that has a port already, by whichever protocol, gets the same one: its mapping then lasts until the later of
both ends. Who made a mapping stands in its description (mapping.maker_of), which the lease file keeps; a deletion takes
away only what the same protocol made, and of PCP only what has the same nonce. Refuses with PCPError.

    port, lifetime = dynamic.map(now, host, host, "TCP", 8000, 8000, 3600, nonce)
"""

from . import log, pcp, ports
from .compat import const
from .errors import PCPError, UPnPError
from .mapping import NAT_PMP, PCP_MAP, PCP_PEER, maker_of
from .policy import LOWEST_PORT

MOST_HOSTS = const(8)  # remote hosts of one mapping: each is a rule of its own, and all of them make one change

# UPnP's codes, which the gateway refuses with -> PCP's; 728 is either that or USER_EX_QUOTA
_CODES = {
    501: pcp.NO_RESOURCES,  # the firewall refuses
    606: pcp.NOT_AUTHORIZED,
    718: pcp.CANNOT_PROVIDE_EXTERNAL,
    728: pcp.NO_RESOURCES,
    729: pcp.CANNOT_PROVIDE_EXTERNAL,
}


class Dynamic:
    """Mappings in `gateway`; the epoch begins at the second `now`."""

    def __init__(self, gateway, now):
        self.gateway = gateway
        self._since = now

    def epoch(self, now):
        """Return the seconds since the present epoch began (RFC 6886 3.6, RFC 6887 8.5)."""
        return now - self._since

    def begin_epoch(self, now):
        """Let clients know that they have to ask anew for what they need."""
        self._since = now

    def external_address(self, client=None):
        """Return the WAN's address, as a dotted quad; PCPError NETWORK_FAILURE while there is none that is of use."""
        wan = self.gateway.wan
        if wan.address is None:
            raise PCPError(pcp.NETWORK_FAILURE, wan.refusal or "the WAN has no address")
        return wan.address

    def map(self, now, caller, client, protocol, internal_port, asked, lifetime, nonce=None, filters=(),
            is_exact=False):
        """Open a port for `caller` to `client`, or renew it; return (external port, seconds granted).

        `asked` is the external port that would be best, 0 for none; with `is_exact` it is that one or none. `nonce` is
        that of PCP (24 digits), None for NAT-PMP. `filters` are remote hosts that may come in besides those of before,
        None among them: none of those before it.
        """
        self._check_open()
        found = self._find(client, protocol, internal_port)
        if nonce is not None:
            check_nonce(found, PCP_MAP, nonce, now)
        own = [mapping for mapping in found if _is_own(mapping, nonce)]
        hosts = merged(found, own, filters)
        port = self._choose(found, own, client, protocol, internal_port, asked, nonce, is_exact)
        granted = self._open(now, caller, client, protocol, internal_port, port, hosts, lifetime, nonce)
        self._close([mapping for mapping in own if mapping.remote_host not in hosts], client, now)
        return port, granted

    def _check_open(self):
        if self.external_address() and self.gateway.is_paused:
            raise PCPError(pcp.NOT_AUTHORIZED, "paused by the administrator")

    def _find(self, client, protocol, internal_port):
        """Return the mappings to a port of `client`; protocol None and port 0 stand for every one."""
        return [mapping for mapping in self.gateway.table
                if mapping.internal_client == client and mapping.enabled and protocol in (None, mapping.protocol)
                and internal_port in (0, mapping.internal_port)]

    def _choose(self, found, own, client, protocol, internal_port, asked, nonce, is_exact):
        """Return the external port."""
        candidates = [mapping.external_port for mapping in own or found]
        if candidates:
            port = asked if asked in candidates else candidates[0]
            if is_exact and asked not in (0, port):
                raise PCPError(pcp.CANNOT_PROVIDE_EXTERNAL, "it has port %d already" % port)
            return port
        gateway = self.gateway
        if is_exact and asked:
            owner = gateway.table.owner(asked, protocol)
            if owner is not None:
                raise PCPError(pcp.CANNOT_PROVIDE_EXTERNAL, "port %d belongs to %s" % (asked, owner))
            return asked
        start = asked or internal_port
        description = _describe(nonce, start, protocol)
        try:
            # What is asked for is a wish: in the place of a low port that no rule allows there is another one.
            return ports.find(gateway, start, protocol, client, internal_port, description) or ports.find(
                gateway, max(start, LOWEST_PORT), protocol, client, internal_port, description) or start
        except UPnPError as refusal:
            raise self._translated(refusal, client, False)

    def _open(self, now, caller, client, protocol, internal_port, port, hosts, lifetime, nonce):
        """Open `port` to all `hosts`, or to none where one of them is refused; return the seconds granted."""
        made = []
        try:
            for host in hosts:
                mapping, is_new = self._open_one(now, caller, client, protocol, internal_port, port, host, lifetime,
                                                 _describe(nonce, port, protocol))
                lifetime = min(lifetime, mapping.expires - now)
                if is_new:
                    made.append(mapping)
        except PCPError:
            self._close(made, client, now)
            raise
        return lifetime

    def _open_one(self, now, caller, client, protocol, internal_port, port, host, lifetime, description):
        """Open a port to a remote host, or renew it; return (the mapping, is it new?)."""
        table = self.gateway.table
        there = table.find(host, port, protocol)
        lease = lifetime
        if there is not None:
            if there.internal_client == client and there.internal_port != internal_port:
                raise PCPError(pcp.CANNOT_PROVIDE_EXTERNAL, "port %d leads to %d" % (port, there.internal_port))
            if there.description != description and there.internal_client == client and there.enabled:
                # Somebody else's too: PCP's nonce outlasts NAT-PMP, and what UPnP calls it everything.
                if maker_of(there.description) != NAT_PMP:
                    description = there.description
                if there.expires >= now + lifetime and description == there.description:
                    there.held_until = max(there.held_until, now + lifetime)
                    return there, False
                lease = max(lifetime, there.expires - now) if there.lease_duration else 0
        try:
            self.gateway.add(caller, now, host, port, protocol, internal_port, client, True, description, lease,
                             caller != client)
        except UPnPError as refusal:
            raise self._translated(refusal, client)
        mapping = table.find(host, port, protocol)
        if not maker_of(description):
            mapping.held_until = max(mapping.held_until, min(mapping.expires, now + lifetime))
        return mapping, there is None

    def _close(self, mappings, client, now):
        if mappings:
            try:
                self.gateway.delete_all(client, now, mappings)
            except UPnPError as refusal:
                raise self._translated(refusal, client)

    def _translated(self, refusal, client, is_logged=True):
        """Return the PCPError for what the gateway refused."""
        code = _CODES[refusal.code]
        if refusal.code == 728 and self.gateway.table.has_enough(client):
            code = pcp.USER_EX_QUOTA
        return PCPError(code, refusal.reason, None, is_logged)

    def delete(self, now, client, protocol, internal_port, nonce=None):
        """Close what the same protocol opened to a port of `client`; protocol None and port 0 stand for every one.

        Where there is nothing, nothing is wrong (RFC 6886 3.4, RFC 6887 15.1).
        """
        found = self._find(client, protocol, internal_port)
        own = [mapping for mapping in found if _is_own(mapping, nonce)]
        if nonce is not None and not own:
            check_nonce(found, PCP_MAP, nonce, now)
        for mapping in found:
            mapping.held_until = 0
        self._close(own, client, now)

    def peer(self, now, caller, client, protocol, internal_port, remote_host, remote_port, lifetime, nonce):
        """Tell or prepare how the router translates a connection: (external port, seconds), RFC 6887 section 12.

        What the kernel has is told as it is. Where it has nothing yet, the port is opened to the remote host that the
        router will give the connection: MASQUERADE keeps the host's own port where that is free. A lifetime of 0
        closes that again, and never a connection.
        """
        self._check_open()
        there = self.gateway.table.find(remote_host, internal_port, protocol)
        is_own = there is not None and there.internal_client == client and maker_of(there.description) == PCP_PEER
        if is_own:
            check_nonce([there], PCP_PEER, nonce, now)
            if not lifetime:
                self._close([there], client, now)
        flow = self.gateway.find_flow(protocol, client, internal_port, remote_host, remote_port)
        if flow is not None and not (is_own and lifetime and flow[1] == internal_port):
            if flow[0] == client:
                raise PCPError(pcp.CANNOT_PROVIDE_EXTERNAL, "the connection is not translated")
            return flow[1], flow[2]
        if not lifetime:
            return internal_port, 0
        mapping, _ = self._open_one(now, caller, client, protocol, internal_port, internal_port, remote_host,
                                    lifetime, described(PCP_PEER, nonce))
        return internal_port, min(lifetime, mapping.expires - now)


def _describe(nonce, port, protocol):
    """Return the description of a mapping, as miniupnpd writes it: LuCI reads that."""
    if nonce is None:
        return "%s %d %s" % (NAT_PMP, port, protocol.lower())
    return described(PCP_MAP, nonce)


def described(maker, nonce):
    """Return the description of what a PCP client made with that nonce (24 digits)."""
    return "%s %s" % (maker, nonce)


def _is_own(mapping, nonce):
    if nonce is None:
        return maker_of(mapping.description) == NAT_PMP
    return mapping.description == described(PCP_MAP, nonce)


def check_nonce(mappings, maker, nonce, now):
    """Refuse what has another nonce, for as long as that mapping lasts (RFC 6887 11.3)."""
    for mapping in mappings:
        if maker_of(mapping.description) == maker and mapping.description != described(maker, nonce):
            raise PCPError(pcp.NOT_AUTHORIZED, "another nonce than the mapping's", mapping.expires - now)


def merged(found, own, filters):
    """Return the remote ends that may come in: "" for any, or those of before (`own`) and of `filters`.

    `found` are all that lead to the same port of the client.
    """
    remotes = [one.remote for one in own]
    if filters:
        remotes = [remote for remote in remotes if remote]
    for remote in filters:
        if remote is None:
            remotes = []
        elif remote not in remotes:
            remotes.append(remote)
    if len(remotes) > MOST_HOSTS:
        raise PCPError(pcp.EXCESSIVE_REMOTE_PEERS, "%d remote hosts" % len(remotes))
    if remotes and "" not in remotes and [1 for one in found if not one.remote and one not in own]:
        raise PCPError(pcp.EXCESSIVE_REMOTE_PEERS, "the port is open to any host for another program")
    return remotes or [""]


def log_refusal(caller, what, refusal):
    """Say in the log that `what` was refused (PCPError) to the host `caller`, where the gateway did not."""
    if not refusal.is_logged:
        log.event("refused", caller, "%s to %s: %s" % (what, caller, refusal.reason))
