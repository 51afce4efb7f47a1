"""The iptables back end: for firewall3, and for everything older down to the releases of 2005.

A mapping is a rule in each of three chains of ours, under the names and in the form that firewall3's integration and
luci-app-upnp know, and at the same position in all of them:

    nat    MINIUPNPD              -p tcp --dport 8000 -j DNAT --to-destination 192.168.1.2:8000
    nat    MINIUPNPD-POSTROUTING  -s 192.168.1.2 -p tcp --sport 8000 -j MASQUERADE --to-ports 8000
    filter MINIUPNPD              -d 192.168.1.2 -p tcp --dport 8000 -j ACCEPT

Every change is one `iptables-restore --noflush`, whatever the number of mappings: the positions are known here, and
whether somebody else changed the tables is asked of the kernel without any process. iptables has no timeouts: the
rules of a daemon that was killed stay until it is started again.
"""

import errno

from ..addresses import ip4_bytes, ip4_text
from ..compat import const
from ..errors import FirewallError
from .ip6tables import Ip6tables
from .iptables_chains import CHAIN, HOOKS, POSTROUTING_CHAIN, ZONE, is_device
from .iptables_program import Program, beginning, restore_text

# Mappings in one process of a sync: its input is about 25 KB, and is in memory some times over while it is made. A
# router with fewer loses nothing for a moment.
_SYNC_BATCH = const(100)
_TABLES = ("filter", "nat")
_PROTOCOLS = {"TCP": "tcp", "UDP": "udp"}


class IptablesFirewall:
    """See miniigd.firewall; `run` is compat.run_program, `zone` the WAN's in firewall3.

    `info` is compat.xtables_info; `info6` compat.xtables6_info, None: pinholes are not made.
    """

    name = "iptables"
    is_polled = True
    most_mappings = 500  # a router with 16 MB is out of memory at 780: kernel and program copy whole tables
    most_pinholes = 200  # for the same reason, beside as many mappings

    def __init__(self, run, info, zone=ZONE, info6=None):
        self._program = Program("iptables", run, HOOKS, zone)
        self._pinholes = None if info6 is None else Ip6tables(run, info6, zone)
        self._info = info
        self._wan = None
        self._mappings = None  # in the order of the rules; None: nobody knows what is in our chains
        self._seen = None  # what the kernel told of the tables after our last change

    def open(self, wan):
        """Find out where our chains belong; the next sync makes them. `wan` (a Wan) gives the device's name."""
        if not is_device(wan.name):
            raise FirewallError("iptables: '%s' is no name of a device that a rule can have" % wan.name)
        self._wan = wan
        self._program.look(wan.name)
        if self._pinholes is not None:
            self._pinholes.open(wan.name6)

    def prepare(self):
        """See miniigd.firewall."""

    def basis(self):
        """See miniigd.firewall."""
        return self._wan and self._wan.index

    @property
    def pinhole_refusal(self):
        """See miniigd.firewall."""
        return "IPv6 pinholes are switched off" if self._pinholes is None else self._pinholes.refusal

    def add_pinhole(self, pinhole, seconds, is_renewed):
        """See miniigd.firewall; nothing in the kernel ends by itself after `seconds`."""
        self._check_pinholes().add(pinhole, is_renewed)

    def remove_pinholes(self, pinholes):
        """See miniigd.firewall; one process for all of them."""
        self._check_pinholes().remove(pinholes)

    remove_ended_pinholes = remove_pinholes

    def pinhole_counters(self, pinholes):
        """See miniigd.firewall."""
        return self._check_pinholes().counters(pinholes)

    def _check_pinholes(self):
        if self._pinholes is None:
            raise FirewallError(self.pinhole_refusal)
        return self._pinholes

    def is_intact(self, mappings, pinholes=()):
        """See miniigd.firewall: nobody changed the tables since our last change, which was about these.

        Asks the kernel three times, runs nothing. Where the kernel cannot be asked the answer is True.
        """
        return self._mappings == mappings and self._is_untouched() and (
            self._pinholes is None or self._pinholes.is_intact(pinholes))

    def _is_untouched(self):
        return self._mappings is not None and (self._seen is None or self._ask() == self._seen)

    def counters(self, mappings):
        """See miniigd.firewall; of as many as one listing holds, zeros of the others."""
        return self._program.counters("nat", CHAIN, len(mappings))

    def _ask(self):
        found = [self._info(table) for table in _TABLES]
        return None if None in found else found

    def _check_intact(self):
        if self._wan is None:
            raise FirewallError("iptables: there is no place for mappings yet", errno.ENODEV)
        if not self._is_untouched():
            self._mappings = None
            raise FirewallError("iptables: somebody else changed the tables", errno.ENOENT)

    def add(self, mapping, replaced, seconds, before=None):
        """See miniigd.firewall; nothing in the kernel ends by itself after `seconds`."""
        self._check_intact()
        index = _index(self._mappings, replaced)
        is_new = index is None
        if not is_new:
            command, number = "-R", " %d" % (index + 1)
            if self._seen is not None and _rules(mapping) == _rules(replaced):  # renewed: the rules stay as they are
                self._mappings[index] = mapping
                return
        else:
            index = _index(self._mappings, before)
            if index is None:
                index = len(self._mappings)
                command, number = "-A", ""
            else:
                command, number = "-I", " %d" % (index + 1)
        dnat, masquerade, accept = _rules(mapping)
        if is_new:
            self._mappings.insert(index, mapping)
        else:
            self._mappings[index] = mapping
        # What is opened last translates: then what it translates to is accepted already.
        self._change(restore_text("filter", ["%s %s%s %s" % (command, CHAIN, number, accept)]),
                     restore_text("nat", ["%s %s%s %s" % (command, CHAIN, number, dnat),
                                           "%s %s%s %s" % (command, POSTROUTING_CHAIN, number, masquerade)]))

    def remove(self, mappings):
        """See miniigd.firewall; one process for all of them."""
        self._check_intact()
        gone = [index for index in [_index(self._mappings, mapping) for mapping in mappings] if index is not None]
        if not gone:
            return
        gone.sort()
        gone.reverse()  # from the end, so that the numbers of the others hold
        nat = ["-D %s %d" % (chain, index + 1) for chain in (CHAIN, POSTROUTING_CHAIN) for index in gone]
        accept = ["-D %s %d" % (CHAIN, index + 1) for index in gone]
        for index in gone:
            self._mappings.pop(index)
        self._change(restore_text("nat", nat), restore_text("filter", accept))

    remove_ended = remove  # nothing ends by itself here

    def sync(self, mappings, now, pinholes=()):
        """See miniigd.firewall; puts back what is missing of the chains, too."""
        if self._wan is None:
            raise FirewallError("iptables: there is no place for mappings yet", errno.ENODEV)
        jumps = self._program.take_jumps(self._wan.name)  # if it fails they are looked for again
        start = 0
        while True:
            some = [_rules(mapping) for mapping in mappings[start:start + _SYNC_BATCH]]
            filter_lines = ["-A %s %s" % (CHAIN, accept) for _, _, accept in some]
            nat_lines = ["-A %s %s" % (CHAIN, dnat) for dnat, _, _ in some]
            nat_lines += ["-A %s %s" % (POSTROUTING_CHAIN, masquerade) for _, masquerade, _ in some]
            if not start:
                filter_lines = beginning("filter", jumps) + filter_lines
                nat_lines = beginning("nat", jumps) + nat_lines
            self._change(restore_text("filter", filter_lines), restore_text("nat", nat_lines))
            start += _SYNC_BATCH
            if start >= len(mappings):
                break
        self._mappings = mappings[:]
        if self._pinholes is not None:
            self._pinholes.sync(pinholes)

    def close(self):
        """See miniigd.firewall."""
        if self._pinholes is not None:
            self._pinholes.close()
        if not self._program.is_found:
            return
        self._mappings = None
        self._program.forget_jumps()
        try:
            self._change(*[self._program.removal(table, self._wan.name) for table in _TABLES])
        except FirewallError:
            # Somebody took a part of it away. Nothing may stay open: the chains stay then, empty.
            self._change(*[self._program.emptying(table) for table in _TABLES])

    def _change(self, *texts):
        """Give the texts (bytes) to iptables-restore, one process; FirewallError.

        Each table is changed as a whole, but the second may fail when the first is done: nothing is known then, and
        the next change puts everything right first. So the list of mappings may say already what it will be.
        """
        known, self._mappings = self._mappings, None
        self._program.restore(texts)
        self._mappings = known
        self._seen = self._ask()


def _index(mappings, mapping):
    """Return where `mapping` stands, or None."""
    try:
        return None if mapping is None else mappings.index(mapping)
    except ValueError:
        return None


def _rules(mapping):
    """Return the words of a mapping's rules, for DNAT, MASQUERADE and ACCEPT: numbers and dotted quads only."""
    client = ip4_text(ip4_bytes(mapping.internal_client))
    protocol = _PROTOCOLS[mapping.protocol]
    source = destination = ""
    if mapping.remote_host:
        remote_host = ip4_text(ip4_bytes(mapping.remote_host))
        source, destination = "-s %s " % remote_host, "-d %s " % remote_host
    external_port, internal_port = mapping.external_port, mapping.internal_port
    return ("%s-p %s --dport %d -j DNAT --to-destination %s:%d" % (source, protocol, external_port, client,
                                                                   internal_port),
            "-s %s -p %s --sport %d %s-j MASQUERADE --to-ports %d" % (client, protocol, internal_port, destination,
                                                                      external_port),
            "%s-d %s -p %s --dport %d -j ACCEPT" % (source, client, protocol, internal_port))
