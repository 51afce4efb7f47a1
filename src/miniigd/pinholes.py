"""What a gateway does for IPv6 hosts, whatever protocol asks: check, open, remember, close pinholes.

The part of gateway.Gateway that is about IPv6, in the same order: policy, table, firewall, table commit. Knows no bytes
of any protocol.
"""

from . import log
from .compat import const, random_bytes
from .errors import FirewallError, UPnPError
from .mapping import shown
from .pinhole import Pinhole, PinholeTable

MAX_LEASE = const(86400)  # seconds: WANIPv6FirewallControl:1 2.2.7, and what miniupnpd gives PCP clients at most
# Seconds without a packet after which the kernel forgets what a host began itself: of TCP once it is established, of UDP
# while nothing comes back. Kernels before 2.6.20 have them elsewhere.
_TIMEOUTS = {"TCP": ("nf_conntrack_tcp_timeout_established", "ip_conntrack_tcp_timeout_established"),
             "UDP": ("nf_conntrack_udp_timeout", "ip_conntrack_udp_timeout")}
_TIMEOUT_FOLDERS = ("/proc/sys/net/netfilter/", "/proc/sys/net/ipv4/netfilter/")
_EXPIRE_AT_ONCE = const(16)  # closed in one turn of the loop, as mappings are


def _make_number():
    """Return 16 bits that nobody can guess."""
    try:
        high, low = random_bytes(2)
    except OSError:
        raise UPnPError(501, "there are no random numbers")
    return high << 8 | low


class Pinholes:
    """The pinholes of `gateway` (Gateway): its firewall, policy and log are theirs; `leases` is their LeaseFile or None.

    `is_allowed` is False where the configuration wants none.
    """

    def __init__(self, gateway, leases=None, is_allowed=True, make_number=_make_number):
        self._gateway = gateway
        self._leases = leases
        self._is_allowed = is_allowed
        self.table = PinholeTable(make_number, gateway.firewall.most_pinholes)

    @property
    def refusal(self):
        """Why no pinhole can be opened, in words; "" when they can."""
        if not self._is_allowed:
            return "IPv6 pinholes are switched off (ipv6_disable)"
        if self._gateway.is_paused:
            return "paused by the administrator"
        return self._gateway.firewall.pinhole_refusal

    def check_allowed(self):
        """Raise UPnPError 703 when no pinhole can be opened."""
        if self.refusal:
            raise UPnPError(703, self.refusal)

    def add(self, caller, now, remote_host, remote_port, internal_client, internal_port, protocol, lease_duration,
            description=""):
        """Open a pinhole for `caller`, or give the one with the same ends another lease (2.5.3).

        Return the Pinhole; UPnPError 703, 606, 701 or 501. Addresses as addresses.ip6_text has them; "" and 0: any.
        """
        lease = min(lease_duration, MAX_LEASE)
        table = self.table
        pinhole = Pinhole(0, remote_host, remote_port, protocol, internal_client, internal_port, lease, now + lease,
                          description)
        try:
            self.check_allowed()
            self._gateway.policy.check_pinhole(caller, pinhole)
            found = table.find_tuple(remote_host, remote_port, protocol, internal_client, internal_port)
            if found is not None:
                self._renew(found, now, lease)
                found.description = description
                pinhole = found
            else:
                pinhole.owner = self._owner(internal_client)
                table.check_room(pinhole.owner)
                pinhole.unique_id = table.new_id()
                self._gateway.change_firewall(now, self._gateway.firewall.add_pinhole, pinhole, lease, False)
        except UPnPError as refusal:
            log.event("refused", caller, "pinhole %s to %s: %s" % (pinhole, caller, refusal.reason))
            raise
        if found is None:
            try:
                table.commit(pinhole)
            except MemoryError:
                self._gateway.change_firewall(now, self._gateway.firewall.remove_pinholes, [pinhole])
                raise
            self._record(pinhole, now)
            self._begin_flows(pinhole)
        self._tell("opened" if found is None else "renewed", caller, pinhole)
        return pinhole

    def _owner(self, internal_client):
        """Return the name of the host with that address, of which there can be many."""
        lan = self._gateway.policy.lan_of(internal_client)
        return internal_client if lan is None else self._gateway.hosts.name(internal_client, lan.index)

    def _renew(self, pinhole, now, lease):
        firewall = self._gateway.firewall
        self._gateway.change_firewall(now, firewall.add_pinhole, pinhole, lease, True)
        self.table.renew(pinhole, lease, now + lease)
        self._mark_changed()

    def _begin_flows(self, pinhole):
        if self._gateway.flows is not None:
            self._gateway.flows.begin(pinhole)

    def _record(self, pinhole, now):
        if self._leases is not None:
            self._leases.append(pinhole, now, now * 1000)

    def _mark_changed(self):
        if self._leases is not None:
            self._leases.mark_changed()

    def _tell(self, what, caller, pinhole):
        log.event(what, caller, "pinhole %s for %d s%s%s" % (
            pinhole, pinhole.lease_duration, "" if caller == pinhole.internal_client else " by " + caller,
            pinhole.description and ": " + shown(pinhole.description)))

    def find(self, caller, unique_id):
        """Return the pinhole of `caller` with that id; UPnPError 703, 704 or 606."""
        self.check_allowed()
        pinhole = self.table.find(unique_id)
        if pinhole is None:
            raise UPnPError(704, "there is no pinhole %d" % unique_id)
        self._gateway.policy.check_pinhole_owner(caller, pinhole)
        return pinhole

    def update(self, caller, now, unique_id, lease_duration):
        """Give a pinhole of `caller` another lease; UPnPError 703, 704, 606 or 501."""
        pinhole = self._find_logged("to renew", caller, unique_id)
        self._renew(pinhole, now, min(lease_duration, MAX_LEASE))
        self._tell("renewed", caller, pinhole)

    def delete(self, caller, now, unique_id):
        """Close a pinhole of `caller`; UPnPError 703, 704, 606 or 501."""
        self.close_all([self._find_logged("to close", caller, unique_id)], now, "deleted by %s" % caller)

    def _find_logged(self, what, caller, unique_id):
        try:
            return self.find(caller, unique_id)
        except UPnPError as refusal:
            log.event("refused", caller, "%s pinhole %d for %s: %s" % (what, unique_id, caller, refusal.reason))
            raise

    def close_all(self, pinholes, now, reason):
        """Close pinholes (Pinhole); UPnPError 501. `reason` is for the log."""
        self.close(pinholes, now)
        _log_closed(pinholes, reason)

    def close(self, pinholes, now):
        """Close pinholes (Pinhole), whoever they belong to, and log nothing; UPnPError 501."""
        self._gateway.change_firewall(now, self._gateway.firewall.remove_pinholes, pinholes)
        self.forget(pinholes)

    def forget(self, pinholes):
        """Pinholes (Pinhole) are closed: what is connected through them ends, and the table follows."""
        if not pinholes:
            return
        for pinhole in pinholes:
            self.table.remove(pinhole)
        self._mark_changed()
        if self._gateway.flows is not None:
            self._gateway.flows.end_pinholes(pinholes)

    def forget_all(self, reason):
        """Everything was closed: `forget`; return how many pinholes there were. `reason` is for the log."""
        pinholes = list(self.table)
        self.forget(pinholes)
        _log_closed(pinholes, reason)
        return len(pinholes)

    def forget_unsupported(self):
        """The firewall was made to agree with the table; where it takes no pinholes, there are none."""
        reason = self._gateway.firewall.pinhole_refusal
        if reason and len(self.table):
            self.forget_all(reason)

    def expire(self, now):
        """Close what has ended, not too many at once."""
        self._close_ended(self.table.expired(now, _EXPIRE_AT_ONCE), "its lease ended")

    def close_gone(self):
        """Close what leads to addresses that no host of a LAN can have any more: the prefix is another."""
        policy = self._gateway.policy
        self._close_ended([pinhole for pinhole in self.table if policy.lan_of(pinhole.internal_client) is None],
                          "its prefix is gone")

    def _close_ended(self, pinholes, reason):
        if pinholes:
            trouble = self._gateway.close_ended(self._gateway.firewall.remove_ended_pinholes, pinholes)
            if trouble:
                log.error("closed pinhole %s%s" % (pinholes[0], trouble))
            self.forget(pinholes)
            _log_closed(pinholes, reason)

    def packets(self, pinhole):
        """Return how many packets came in through a pinhole, as a ui4; UPnPError 501."""
        try:
            return self._gateway.firewall.pinhole_counters([pinhole])[0][0] & 0xFFFFFFFF
        except FirewallError as error:
            raise UPnPError(501, error.text)

    def outbound_timeout(self, protocol):
        """Return after how many seconds of silence what a LAN host began is closed to answers; UPnPError 501."""
        for folder, name in zip(_TIMEOUT_FOLDERS, _TIMEOUTS[protocol]):
            try:
                with open(folder + name) as file:
                    return int(file.read())
            except (OSError, ValueError):
                continue
        raise UPnPError(501, "the kernel does not say it")

    def restore(self, leases, now):
        """Take over what was open before a restart (a list of leases6.Lease); the firewall follows with its sync."""
        table = self.table
        for lease in leases:
            pinhole = Pinhole(lease.unique_id, lease.remote_host, lease.remote_port, lease.protocol,
                              lease.internal_client, lease.internal_port, lease.remaining, now + lease.remaining,
                              lease.description)
            if lease.remaining <= 0 or self.refusal:
                if self._gateway.flows is not None:
                    self._gateway.flows.end_pinholes([pinhole])
                continue
            try:
                self._gateway.policy.check_pinhole(lease.internal_client, pinhole)
                table.check_room(lease.internal_client)
            except UPnPError as refusal:
                log.warning("not opened again: pinhole %s: %s" % (pinhole, refusal.reason))
                continue
            if table.is_free(pinhole.unique_id) and table.find_tuple(
                    pinhole.remote_host, pinhole.remote_port, pinhole.protocol, pinhole.internal_client,
                    pinhole.internal_port) is None:
                pinhole.expires = now + min(lease.remaining, MAX_LEASE)
                table.commit(pinhole)
        self._mark_changed()


def _log_closed(pinholes, reason):
    for pinhole in pinholes:
        log.event("closed", pinhole.internal_client, "pinhole %s: %s" % (pinhole, reason))
