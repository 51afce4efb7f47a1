"""The nf_tables back end: speaks to the kernel over netlink, without any `nft` process.

Where firewall4 is loaded, mappings live in its table (nft_fw4.py); elsewhere in one of our own (nft_table.py). Every
change is one batch, which the kernel takes whole or not at all; what it costs us does not depend on the table. The
batches that open and close a plain mapping are built once and patched from then on: building one takes longer than
everything else about a request.
"""

import errno

from .. import log
from ..compat import const
from ..errors import FirewallError
from ..mapping import MAX_MAPPINGS, PROTOCOLS
from ..netlink import DONE, ERROR, Message, error_of, messages
from ..pinhole import MAX_PINHOLES
from . import nft_fw4, nft_hairpin, nft_messages, nft_pinholes, nft_table
from .nft_messages import begin_batch, end_batch
from .nft_template import IN_KERNEL, MODEL_SECONDS, Template, model_mapping

_SYNC_BATCH = const(24)  # mappings in one batch of a sync; the answers must fit a socket's default buffer
_REMOVE_BATCH = const(64)  # mappings in one batch that closes them: about 14 KB
_LAST = const(2)  # sequence number of the message whose acknowledgement ends a transaction
_GRACE = const(2)  # seconds that the kernel waits longer than we do: what ends by our hand is still there then


class NftFirewall:
    """See miniigd.firewall; `channel` speaks with the kernel (netlink_channel.NetlinkChannel of nft_messages.PROTOCOL)."""

    name = "nftables"
    is_polled = False
    most_mappings = MAX_MAPPINGS
    most_pinholes = MAX_PINHOLES

    def __init__(self, channel, lans=None):
        self._channel = channel
        self._lans = lans  # the LANs' Interfaces, where their hosts may use the external address; else None
        self._wan = None
        self._layout = None  # nft_fw4 or nft_table
        self._templates = {}  # (is it to open?, protocol) -> Template

    def open(self, wan):
        """Find out where mappings go; `wan` (a Wan) is asked for its name and index from now on."""
        self._wan = wan
        missing = [name for name, ask in nft_fw4.probes() if not self._has(ask, name)]
        if len(missing) == len(nft_fw4.probes()) and not self._has_table():
            if self._layout is nft_fw4:  # it is being restarted: what we put elsewhere now would lead nowhere then
                raise FirewallError("nftables: table inet fw4 is away: run 'fw4 start'", errno.ENOENT)
            layout = nft_table
        elif missing:
            raise FirewallError("nftables: %s is not in table inet fw4: run 'fw4 reload'" % missing[0][:-1].decode(),
                                errno.ENOENT)
        else:
            layout = nft_fw4
        if layout is not self._layout:
            self._remove_leftovers(layout)
            self._layout = layout
            log.info("mappings go into the nftables table inet %s" % layout.TABLE[:-1].decode())

    def _remove_leftovers(self, layout):
        """Remove the tables of ours that are not needed: there may be some of another time."""
        tables = [nft_table.TABLE] if layout is nft_fw4 else []
        if self._lans is None:
            tables.append(nft_hairpin.TABLE)
        if tables:
            batch = _begin()
            for table in tables:
                nft_messages.make_table(batch, table)  # so that it can be deleted whether it was there or not
                nft_messages.delete_table(batch, table)
            self._transact(_finish(batch), True)

    def prepare(self):
        """See miniigd.firewall."""
        if self._layout is not None:
            for protocol in PROTOCOLS:
                self._template(True, protocol)
                self._template(False, protocol)

    def basis(self):
        """See miniigd.firewall."""
        wan = self._wan
        if wan is None:
            return None
        return (wan.index, wan.index6) if self._lans is None else (wan.index, wan.index6, wan.address, self._subnets())

    def _subnets(self):
        return [lan.addresses[0] for lan in self._lans if lan.addresses]

    def _has(self, ask, name):
        message = Message()
        ask(message, name)
        message.acknowledge(_LAST)
        try:
            self._transact(message.data, True)
        except FirewallError as error:
            if not error.is_absence:
                raise
            return False
        return True

    def _has_table(self):
        return self._has(nft_fw4.ask_table, nft_fw4.TABLE)

    def _check_open(self):
        if self._layout is None:
            raise FirewallError("nftables: there is no place for mappings yet", errno.ENODEV)

    @property
    def pinhole_refusal(self):
        """See miniigd.firewall."""
        if self._layout is not nft_table:
            return ""
        return "the firewall has no place for IPv6 pinholes: they need firewall4, or ip6tables"

    def add_pinhole(self, pinhole, seconds, is_renewed):
        """See miniigd.firewall."""
        self._check_open()
        counted = self.pinhole_counters([pinhole])[0] if is_renewed else (0, 0)
        batch = _begin()
        nft_pinholes.add(batch, pinhole, seconds + _GRACE, self._wan, is_renewed)
        self._transact(_finish(batch), True)
        pinhole.counted = counted

    def remove_pinholes(self, pinholes):
        """See miniigd.firewall."""
        self._check_open()
        self._do_pinholes(pinholes, nft_pinholes.delete)

    def remove_ended_pinholes(self, pinholes):
        """See miniigd.firewall and remove_ended."""
        try:
            self.remove_pinholes(pinholes)
        except FirewallError as error:
            if not error.is_absence:
                raise
            self._do_pinholes(pinholes, self._append_certain_deletion)

    def _append_certain_deletion(self, batch, pinhole):
        nft_pinholes.add(batch, pinhole, 1, self._wan, False)
        nft_pinholes.delete(batch, pinhole)

    def _do_pinholes(self, pinholes, append):
        for start in range(0, len(pinholes), nft_pinholes.BATCH):
            batch = _begin()
            for pinhole in pinholes[start:start + nft_pinholes.BATCH]:
                append(batch, pinhole)
            self._commit(batch)

    def pinhole_counters(self, pinholes):
        """See miniigd.firewall."""
        self._check_open()
        found = []
        for pinhole in pinholes:
            message = Message()
            nft_pinholes.ask(message, pinhole)
            message.acknowledge(_LAST)
            counts = (0, 0)
            for datagram in self._channel.transact(message.data, _is_answered, True):
                for _, counts in nft_messages.elements(datagram):
                    pass
            found.append((counts[0] + pinhole.counted[0], counts[1] + pinhole.counted[1]))
        return found

    def add(self, mapping, replaced, seconds, before=None):
        """See miniigd.firewall."""
        self._check_open()
        seconds += _GRACE
        if mapping.remote_host or before is not None or (replaced is not None and replaced.handle is not None):
            batch = _begin()
            self._append_addition(batch, mapping, replaced, seconds, before)
            data = _finish(batch)
        else:
            data = self._template(True, mapping.protocol).patch(mapping, seconds)
        handles = self._transact(data, True)
        mapping.handle = handles[0] if handles else IN_KERNEL

    def remove(self, mappings):
        """See miniigd.firewall."""
        self._check_open()
        # Never the rule alone: after a restart of firewall4 its handle may be another mapping's. Both, or neither.
        if len(mappings) == 1 and not mappings[0].remote_host:
            self._transact(self._template(False, mappings[0].protocol).patch(mappings[0], 0), True)
            mappings[0].handle = None
            return
        for start in range(0, len(mappings), _REMOVE_BATCH):
            some = mappings[start:start + _REMOVE_BATCH]
            batch = _begin()
            for mapping in some:
                self._append_deletions(batch, mapping)
            self._transact(_finish(batch), True)
            for mapping in some:
                mapping.handle = None

    def remove_ended(self, mappings):
        """See miniigd.firewall; these are so few that one batch holds them.

        The kernel forgets elements at their own time, and a batch that deletes what is not there fails as a whole.
        Only then they are made anew first, and the rules deleted by their handles alone: should firewall4 have been
        restarted right before, one may be another mapping's, which is seen and healed at once.
        """
        try:
            self.remove(mappings)
        except FirewallError as error:
            if not error.is_absence:
                raise
            batch = _begin()
            for mapping in mappings:
                self._layout.add_element(batch, self._layout.TABLE, mapping, 1)
                if self._is_for_lans(mapping):
                    nft_table.add_element(batch, nft_hairpin.TABLE, mapping, 1)
                self._append_deletions(batch, mapping)
            self._transact(_finish(batch), True)
            for mapping in mappings:
                mapping.handle = None

    def _append_addition(self, batch, mapping, replaced, seconds, before=None):
        self._layout.add(batch, mapping, replaced, seconds, self._wan, before)
        if self._is_for_lans(mapping):
            nft_hairpin.add(batch, mapping, replaced, seconds)

    def _append_deletions(self, batch, mapping):
        for deletion in self._layout.DELETIONS:
            deletion(batch, mapping)
        if self._is_for_lans(mapping):
            nft_hairpin.delete(batch, mapping)

    def _is_for_lans(self, mapping):
        return self._lans is not None and not mapping.remote_host

    def _template(self, is_to_open, protocol):
        template = self._templates.get((is_to_open, protocol))
        if template is None:
            model = model_mapping(protocol)
            batch = _begin()
            if is_to_open:
                self._append_addition(batch, model, None, MODEL_SECONDS)
            else:
                self._append_deletions(batch, model)
            template = self._templates[(is_to_open, protocol)] = Template(_finish(batch), model)
        return template

    def sync(self, mappings, now, pinholes=()):
        """See miniigd.firewall."""
        self._check_open()
        self._templates = {}  # the WAN's index is in them
        batch = _begin()
        self._layout.flush(batch, self._wan)
        if self._layout is nft_fw4:
            nft_pinholes.flush(batch)
        if self._lans is not None:
            nft_hairpin.flush(batch, self._wan.address, self._subnets())
        pending = []
        for mapping in mappings:
            self._append_addition(batch, mapping, None, max(1, mapping.expires - now) + _GRACE)
            pending.append(mapping)
            if len(pending) == _SYNC_BATCH:
                self._commit_all(batch, pending)
                batch, pending = _begin(), []
        self._commit_all(batch, pending)
        if self._layout is nft_fw4:
            self._do_pinholes(pinholes, lambda batch, pinhole: nft_pinholes.add(
                batch, pinhole, max(1, pinhole.expires - now) + _GRACE, self._wan, False))

    def is_intact(self, mappings, pinholes=()):
        """See miniigd.firewall: the chain's rules, and the number of elements, are what they should be."""
        layout = self._layout
        if layout is None or layout is nft_table and self._has_table():
            return False  # firewall4 was away when we looked for a place
        handles = []
        sets = [(layout.TABLE, name) for name in layout.SETS]
        if self._lans is not None:
            sets.append((nft_hairpin.TABLE, nft_table.MAP))
        try:
            self._dump(nft_messages.ask_rules, layout.TABLE, layout.CHAIN,
                       lambda datagram: handles.extend(nft_messages.handles(datagram)))
            counts = [self._count(table, name) for table, name in sets]
            if layout is nft_fw4 and not self._are_pinholes_intact(pinholes):
                return False
        except FirewallError as error:
            if not error.is_absence:
                raise
            return False
        narrow = len([1 for mapping in mappings if mapping.remote_host])
        wide = len(mappings) - narrow
        return counts == [wide, narrow, wide][:len(counts)] and layout.are_rules_intact(handles, mappings)

    def _count(self, table, name):
        """Return how many elements a set has."""
        keys = []
        self._dump(nft_messages.ask_elements, table, name,
                   lambda datagram: keys.extend([1 for _ in nft_messages.elements(datagram)]))
        return len(keys)

    def _are_pinholes_intact(self, pinholes):
        names = [nft_pinholes.key_of(pinhole)[1] for pinhole in pinholes]
        for name in nft_pinholes.SETS:
            if self._count(nft_pinholes.TABLE, name) != names.count(name):
                return False
        return not pinholes or self._count(nft_pinholes.TABLE, nft_pinholes.WAN_SET) == 1

    def counters(self, mappings):
        """See miniigd.firewall."""
        self._check_open()
        found = {}
        for name in self._layout.SETS:
            self._dump(nft_messages.ask_elements, self._layout.TABLE, name,
                       lambda datagram: found.update(dict(nft_messages.elements(datagram))))
        return [found.get(self._layout.key_of(mapping)[0], (0, 0)) for mapping in mappings]

    def _dump(self, ask, table, name, take):
        """Ask for all there is in the chain or set `name`; call take(datagram) with each of the answers."""
        message = Message()
        ask(message, table, name)
        failures = []

        def look(datagram):
            for message_type, _, start, _ in messages(datagram):
                if message_type == ERROR:
                    failures.append(error_of(datagram, start))
            take(datagram)

        self._channel.converse(message.data, _is_dumped, look)
        if failures and failures[0]:
            raise FirewallError("nftables: the kernel does not say what there is (errno %s)" % failures[0], failures[0])

    def close(self):
        """See miniigd.firewall."""
        if self._layout is not None:
            batch = _begin()
            self._layout.close(batch, self._wan)
            if self._layout is nft_fw4:
                nft_pinholes.flush(batch)
            if self._lans is not None:
                nft_hairpin.close(batch)
            self._commit(batch)

    def _commit_all(self, batch, mappings):
        handles = self._transact(_finish(batch), len(mappings) < 2)
        for index, mapping in enumerate(mappings):
            mapping.handle = handles[index] if handles else IN_KERNEL

    def _commit(self, batch):
        """Send the batch; return the handles (8 bytes each) of the rules it made."""
        return self._transact(_finish(batch))

    def _transact(self, data, is_one=False):
        """Send messages, the last to be acknowledged as _LAST; return the handles of rules that the kernel reports.

        `is_one`: they are about one mapping.
        """
        made, failures = [], []

        def look(datagram):
            is_last = False
            for message_type, sequence, start, end in messages(datagram):
                if message_type == ERROR:
                    failures.append(error_of(datagram, start))
                    is_last = is_last or sequence == _LAST
                elif message_type == nft_messages.NEWRULE:
                    made.extend(nft_messages.handle(datagram, start, end))
            return is_last

        self._channel.transact(data, look, is_one)
        for failure in failures:
            if failure:
                raise FirewallError("nftables: the kernel refused a change (errno %s)" % failure, failure)
        return made


def _is_answered(datagram):
    """True when `datagram` holds the acknowledgement, or refusal, of the last message."""
    for message_type, sequence, _, _ in messages(datagram):
        if message_type == ERROR and sequence == _LAST:
            return True
    return False


def _is_dumped(datagram):
    """True when `datagram` ends the answer to a question for everything, or refuses it."""
    for message_type, _, _, _ in messages(datagram):
        if message_type in (DONE, ERROR):
            return True
    return False


def _begin():
    batch = Message()
    begin_batch(batch)
    return batch


def _finish(batch):
    """Complete the batch; return its bytes."""
    # Only the last change is acknowledged: an earlier one's "done" would not mean that the batch was taken.
    batch.acknowledge(_LAST)
    end_batch(batch)
    return batch.data
