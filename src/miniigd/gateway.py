"""What a gateway does, whatever protocol asks: check, open, remember, close.

The order of every change is policy, table plan, firewall, table commit: when the firewall refuses, nothing has
happened. Knows no bytes of any protocol.
"""

from . import log
from .compat import const
from .errors import FirewallError, UPnPError
from .mapping import PortMapping
from .policy import check_add, check_owner

# Seconds. A lease without end is closed after a week all the same, unless the configuration says otherwise: many
# clients never delete. It is the most that WANIPConnection:2 knows (2.3.16 there).
MAX_LEASE = const(604800)

_EXPIRE_AT_ONCE = const(16)  # mappings closed in one turn of the loop; the rest wait for the next


class Gateway:
    """The mapping table, the firewall that mirrors it and the WAN side, as one; no lease is longer than `max_lease`."""

    def __init__(self, table, firewall, wan, max_lease=MAX_LEASE):
        self.table = table
        self.firewall = firewall
        self.wan = wan
        self._max_lease = max_lease

    def add(self, caller, now, remote_host, external_port, protocol, internal_port, internal_client, enabled,
            description, lease_duration):
        """Open a port for `caller`, or renew it; UPnPError 606, 718, 728, 729 or 501."""
        lease = min(lease_duration, self._max_lease)
        seconds = lease or self._max_lease
        mapping = PortMapping(remote_host, external_port, protocol, internal_port, internal_client, enabled,
                              description, lease, now + seconds)
        try:
            check_add(caller, mapping)
            replaced = self.table.plan(mapping)
            if self.wan.refusal:
                raise UPnPError(501, self.wan.refusal)
            if replaced is None and self.wan.has_service(protocol, external_port):
                raise UPnPError(729, "the router itself serves that port")
            self._change_firewall(now, self._project_add, mapping, replaced, seconds)
        except UPnPError as refusal:
            log.warning("refused %s to %s: %s" % (mapping, caller, refusal.reason))
            raise
        try:
            self.table.commit(mapping, replaced)
        except MemoryError:
            self._change_firewall(now, self._project_remove, [mapping])
            raise
        log.info("%s %s for %d s: %s" % ("opened" if replaced is None else "renewed", mapping, seconds, description))

    def _project_add(self, mapping, replaced, seconds):
        if mapping.enabled:
            self.firewall.add(mapping, replaced, seconds)
        elif replaced is not None and replaced.enabled:
            self.firewall.remove([replaced])

    def _project_remove(self, mappings):
        opened = [mapping for mapping in mappings if mapping.enabled]
        if opened:
            self.firewall.remove(opened)

    def _change_firewall(self, now, change, *arguments):
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

    def delete(self, caller, now, remote_host, external_port, protocol):
        """Close a port of `caller`; UPnPError 714, 606 or 501."""
        mapping = self.table.find(remote_host, external_port, protocol)
        if mapping is None:
            raise UPnPError(714)
        self.delete_all(caller, now, [mapping])

    def delete_all(self, caller, now, mappings):
        """Close mappings (PortMapping) of `caller`, in one change of the firewall; UPnPError 606 or 501."""
        for mapping in mappings:
            self._check_owner(caller, mapping)
        try:
            self._close(mappings, now)
        except UPnPError as refusal:
            log.warning("refused to close %s for %s: %s" % (mappings[0], caller, refusal.reason))
            raise
        for mapping in mappings:
            log.info("closed %s: deleted by %s" % (mapping, caller))

    def _check_owner(self, caller, mapping):
        try:
            check_owner(caller, mapping)
        except UPnPError as refusal:
            log.warning("refused to close %s for %s: %s" % (mapping, caller, refusal.reason))
            raise

    def _close(self, mappings, now):
        self._change_firewall(now, self._project_remove, mappings)
        for mapping in mappings:
            self.table.remove(mapping)

    def expire(self, now):
        """Close what has ended, not too many at once; return the second at which to look again, or None."""
        ended = self.table.expired(now, _EXPIRE_AT_ONCE)
        if ended:
            trouble = ""
            try:
                self._close(ended, now)
            except UPnPError as error:
                # The kernel closes the hole by itself; what is left is a rule that leads nowhere.
                trouble = ", but " + error.reason
                for mapping in ended:
                    self.table.remove(mapping)
            for mapping in ended:
                (log.error if trouble else log.info)("closed %s: its lease ended%s" % (mapping, trouble))
        return self.table.next_expiry

    def sync(self, now):
        """Make the firewall hold exactly the table's mappings; FirewallError."""
        self.firewall.sync([mapping for mapping in self.table if mapping.enabled], now)
