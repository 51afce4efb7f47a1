"""What a gateway does, whatever protocol asks: check, open, remember, close.

The order of every change is policy, table plan, firewall, table commit: when the firewall refuses, nothing has
happened. Knows no bytes of any protocol.
"""

from . import log
from .compat import const
from .errors import FirewallError, UPnPError
from .hosts import Hosts
from .mapping import PortMapping, maker_of
from .pinholes import Pinholes
from .policy import Policy

# Seconds. A lease without end is closed after a week all the same, unless the configuration says otherwise: many
# clients never delete. It is the most that WANIPConnection:2 knows (2.3.16 there).
MAX_LEASE = const(604800)

_EXPIRE_AT_ONCE = const(16)  # mappings closed in one turn of the loop; the rest wait for the next


class Gateway:
    """The mapping table, the firewall that mirrors it and the WAN side, as one; no lease is longer than `max_lease`.

    `pinholes` are what it does for IPv6; `hosts` (Hosts) tells whose an address is.
    """

    def __init__(self, table, firewall, wan, max_lease=MAX_LEASE, leases=None, flows=None, policy=None, leases6=None,
                 allows_pinholes=True, hosts=None):
        self.hosts = hosts or Hosts()
        self.policy = policy or Policy()
        self.table = table
        self.firewall = firewall
        self.wan = wan
        self._max_lease = max_lease
        self._leases = leases  # LeaseFile, or None
        self.flows = flows  # firewall.conntrack.Flows, or None
        self.is_paused = False  # nothing opens
        self.is_stale = False  # something may be left in the firewall that the tables do not have
        self.pinholes = Pinholes(self, leases6, allows_pinholes)

    def add(self, caller, now, remote_host, external_port, protocol, internal_port, internal_client, enabled,
            description, lease_duration, is_third_party=False):
        """Open a port for `caller`, or renew it; UPnPError 606, 718, 728, 729 or 501.

        With `is_third_party` it was found before that the caller may open ports to that internal client.
        """
        lease = min(lease_duration, self._max_lease)
        seconds = lease or self._max_lease
        mapping = PortMapping(remote_host, external_port, protocol, internal_port, internal_client, enabled,
                              description, lease, now + seconds)
        try:
            self.policy.check_add(internal_client if is_third_party else caller, mapping)
            replaced = self.table.plan(mapping)
            if replaced is not None and not maker_of(description):
                # A program of that host may have the port by NAT-PMP or PCP, for so long at least.
                mapping.held_until = replaced.expires if maker_of(replaced.description) else replaced.held_until
                mapping.expires = max(mapping.expires, mapping.held_until)
                seconds = mapping.expires - now
            if self.wan.refusal:
                raise UPnPError(501, self.wan.refusal)
            if self.is_paused:
                raise UPnPError(501, "paused by the administrator")
            if replaced is None and self.wan.has_service(protocol, external_port):
                raise UPnPError(729, "the router itself serves that port")
            before = None
            if replaced is None or not replaced.enabled:
                before = self.table.successor(mapping, replaced)
            self.change_firewall(now, self._project_add, mapping, replaced, seconds, before)
        except UPnPError as refusal:
            log.event("refused", caller, "%s to %s: %s" % (mapping, caller, refusal.reason))
            raise
        try:
            self.table.commit(mapping, replaced)
        except MemoryError:
            self.change_firewall(now, self._project_remove, [mapping])
            raise
        if replaced is not None:
            mapping.is_recorded = replaced.is_recorded  # by the same line, which may be taken out before it is written anew
        if self._leases is not None:
            if replaced is None and mapping.enabled and self.table.is_last(mapping):
                self._leases.append(mapping, now, now * 1000)
            else:
                self._leases.mark_changed()
        if replaced is not None and not (mapping.enabled and mapping.internal_port == replaced.internal_port):
            self._end_flows([replaced])
        if mapping.enabled and self.flows is not None:
            self.flows.begin(mapping)
        log.event("opened" if replaced is None else "renewed", caller,
                  "%s for %d s%s: %s" % (mapping, seconds, "" if caller == internal_client else " by " + caller,
                                         mapping.shown_description))

    def _project_add(self, mapping, replaced, seconds, before):
        if mapping.enabled:
            self.firewall.add(mapping, replaced, seconds, before)
        elif replaced is not None and replaced.enabled:
            self.firewall.remove([replaced])

    def _project_remove(self, mappings):
        opened = [mapping for mapping in mappings if mapping.enabled]
        if opened:
            self.firewall.remove(opened)

    def change_firewall(self, now, change, *arguments):
        """Do change(*arguments), and 501 if the firewall refuses.

        Where somebody else took something of ours away, everything is put back first.
        """
        try:
            try:
                change(*arguments)
            except FirewallError as error:
                if not error.is_absence:
                    raise
                log.warning("the firewall was changed by somebody else: putting our rules back")
                self.sync(now)
                change(*arguments)
        except FirewallError as error:
            raise UPnPError(501, error.text)

    def find_flow(self, protocol, host, port, remote_host, remote_port):
        """Return (external address, external port, seconds it is kept) of a connection of a LAN host, or None.

        Addresses are dotted quads. None also where the kernel does not tell.
        """
        if self.flows is None:
            return None
        return self.flows.find(protocol, host, port, remote_host, remote_port)

    def delete(self, caller, now, remote_host, external_port, protocol):
        """Close a port of `caller`; UPnPError 714, 606 or 501."""
        mapping = self.table.find(remote_host, external_port, protocol)
        if mapping is None:
            log.event("refused", caller, "to close %s %d for %s: it is not mapped" % (protocol, external_port, caller))
            raise UPnPError(714)
        self.delete_all(caller, now, [mapping])

    def delete_all(self, caller, now, mappings):
        """Close mappings (PortMapping) of `caller`, in one change of the firewall; UPnPError 606 or 501."""
        for mapping in mappings:
            self._check_owner(caller, mapping)
        try:
            self._close(mappings, now)
        except UPnPError as refusal:
            log.event("refused", caller, "to close %s for %s: %s" % (mappings[0], caller, refusal.reason))
            raise
        _log_closed(mappings, "deleted by %s" % caller)

    def close(self, mappings, now, reason):
        """Close mappings (PortMapping), whoever they belong to; UPnPError 501. `reason` is for the log."""
        self._close(mappings, now)
        for mapping in mappings:
            log.info("closed %s: %s" % (mapping, reason))  # no host made us say it: never left out

    def close_all(self, now, reason):
        """Close everything, in one change of the firewall; UPnPError 501.

        Return how many mappings and how many pinholes there were.
        """
        if self.has_open:
            self.change_firewall(now, self.firewall.sync, [], now, [])
        return self._forget_all(reason)

    def _forget_all(self, reason):
        mappings = list(self.table)
        if mappings:
            self._forget(mappings)
            _log_closed(mappings, reason)
        return len(mappings), self.pinholes.forget_all(reason)

    def pause(self, now):
        """Open nothing as long as `is_paused`, and close everything: `close_all`.

        When the firewall refuses, the table is empty all the same: that is what it has to agree with.
        """
        self.is_paused = True
        try:
            return self.close_all(now, "paused by the administrator")
        except UPnPError:
            self._forget_all("paused by the administrator")
            raise

    def _check_owner(self, caller, mapping):
        try:
            self.policy.check_owner(caller, mapping)
        except UPnPError as refusal:
            log.event("refused", caller, "to close %s for %s: %s" % (mapping, caller, refusal.reason))
            raise

    def _close(self, mappings, now):
        self.change_firewall(now, self._project_remove, mappings)
        self._forget(mappings)

    def _end_flows(self, mappings):
        opened = [mapping for mapping in mappings if mapping.enabled]
        if opened and self.flows is not None:
            self.flows.end(opened)

    def _forget(self, mappings):
        for mapping in mappings:  # first: it needs no memory
            self.table.remove(mapping)
        if self._leases is not None:
            self._leases.mark_changed()
        self._end_flows(mappings)

    def expire(self, now):
        """Close what has ended, not too many at once; return the second at which to look again, or None."""
        ended = self.table.expired(now, _EXPIRE_AT_ONCE)
        if ended:
            trouble = self.close_ended(self.firewall.remove_ended, [one for one in ended if one.enabled])
            self._forget(ended)
            _log_closed(ended, "its lease ended", trouble)
        self.pinholes.expire(now)
        return self.next_expiry

    def close_ended(self, remove, ended):
        """Do remove(ended); return "" or, for the log, how that failed: something is left for who sees `is_stale`.

        Nothing is put back first, as in change_firewall: on a busy router that takes longer than what ends next has
        left, and then there would be no end of it.
        """
        try:
            if ended:
                remove(ended)
        except FirewallError as error:
            self.is_stale = True
            if not error.is_absence:
                return ", but " + error.text
        return ""

    @property
    def next_expiry(self):
        """The second before which nothing ends, or None."""
        one, other = self.table.next_expiry, self.pinholes.table.next_expiry
        return one if other is None or one is not None and one < other else other

    @property
    def has_open(self):
        """True while anything is open."""
        return bool(len(self.table) or len(self.pinholes.table))

    def restore(self, leases, now):
        """Take over what was open before a restart (a list of leases.Lease); the firewall follows with `sync`."""
        ended = []
        for lease in _latest(leases):
            seconds = min(lease.remaining or self._max_lease, self._max_lease)
            mapping = PortMapping(lease.remote_host, lease.external_port, lease.protocol, lease.internal_port,
                                  lease.internal_client, True, lease.description,
                                  seconds if lease.remaining else 0, now + seconds)
            if seconds < 0 or self.is_paused:
                ended.append(mapping)  # while nobody ran
                continue
            try:
                self.policy.check_add(lease.internal_client, mapping)
                self.table.plan(mapping)
            except UPnPError as refusal:
                log.warning("not opened again: %s: %s" % (mapping, refusal.reason))
                continue
            self.table.commit(mapping, None)
            mapping.is_recorded = True
        self._end_flows(ended)
        if self._leases is not None:
            self._leases.mark_changed()

    def keep_only(self, leases, now):
        """Close what was in the lease file and is not among `leases`, what stands there now."""
        kept = set([(lease.protocol, lease.external_port, lease.remote_host) for lease in leases])
        missing = [mapping for mapping in self.table if mapping.is_recorded and mapping.enabled and (
            mapping.protocol, mapping.external_port, mapping.remote_host) not in kept]
        if missing:
            try:
                self._close(missing, now)
            except UPnPError as error:
                log.error("%s was taken out of the lease file, but %s" % (missing[0], error.reason))
                return
            _log_closed(missing, "taken out of the lease file")

    def sync(self, now):
        """Make the firewall hold exactly the tables' mappings and pinholes; FirewallError."""
        self.firewall.sync(self._opened(), now, list(self.pinholes.table))

    def is_intact(self):
        """True when the firewall holds exactly the tables' mappings and pinholes; FirewallError."""
        return self.firewall.is_intact(self._opened(), list(self.pinholes.table))

    def _opened(self):
        return [mapping for mapping in self.table if mapping.enabled]


def _log_closed(mappings, reason, trouble=""):
    for mapping in mappings:
        if trouble:
            log.error("closed %s: %s%s" % (mapping, reason, trouble))
        else:
            log.event("closed", mapping.internal_client, "%s: %s" % (mapping, reason))


def _latest(leases):
    """Return the leases without those that a later one of the same port takes the place of.

    A line that is to be taken out may still be there when the next one comes behind it.
    """
    found, owners, seen = [], {}, set()
    for lease in reversed(leases):
        port = (lease.protocol, lease.external_port)
        if (port, lease.remote_host) not in seen and owners.get(port, lease.internal_client) == lease.internal_client:
            seen.add((port, lease.remote_host))
            owners[port] = lease.internal_client
            found.append(lease)
    found.reverse()
    return found
