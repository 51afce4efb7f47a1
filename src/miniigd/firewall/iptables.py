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

from .. import log
from ..compat import MOST_OUTPUT, const, ip4_bytes, ip4_text
from ..errors import FirewallError
from .iptables_chains import (CHAIN, HOOKS, POSTROUTING_CHAIN, ZONE, is_device, jump, jump_lines, parse_listing,
                              removal_lines)

# Mappings in one process of a sync: its input is about 25 KB, and is in memory some times over while it is made. A
# router with fewer loses nothing for a moment.
_SYNC_BATCH = const(100)
_WAIT = "--wait=5"  # seconds for the lock that other programs hold; in one word, which old programs take for an option
_TABLES = ("filter", "nat")
_PROTOCOLS = {"TCP": "tcp", "UDP": "udp"}
_CANNOT_START = const(127)
_NO_SUCH_THING = const(1)  # status of iptables and iptables-restore when a chain or a rule is not there

# What the programs say -> what to do about it; the first that fits.
_REMEDIES = (
    ("ermission denied", "it is not permitted: run miniigd as root"),
    ("must be root", "it is not permitted: run miniigd as root"),
    ("insmod", "the kernel lacks a table: install kmod-ipt-nat, or load iptable_nat and iptable_filter"),
    ("unable to initialize", "the kernel lacks a table: install kmod-ipt-nat, or load iptable_nat and iptable_filter"),
    ("xtables lock", "another program does not give the lock back: see which iptables is running"),
)


class IptablesFirewall:
    """See miniigd.firewall; `run` is compat.run_program, `info` compat.xtables_info, `zone` the WAN's in firewall3."""

    name = "iptables"
    is_polled = True
    most_mappings = 500  # a router with 16 MB is out of memory at 780: kernel and program copy whole tables

    def __init__(self, run, info, zone=ZONE):
        self._run = run
        self._info = info
        self._zone = zone
        self._wan = None
        self._wait = None  # the words with which iptables waits for its lock; None: not known yet
        self._jumps = None  # [(Hook, place, lines)], from a look at the chains until they are made
        self._places = None  # [(Hook, place)] from which our chains are entered
        self._mappings = None  # in the order of the rules; None: nobody knows what is in our chains
        self._seen = None  # what the kernel told of the tables after our last change

    def open(self, wan):
        """Find out where our chains belong; the next sync makes them. `wan` (a Wan) gives the device's name."""
        if not is_device(wan.name):
            raise FirewallError("iptables: '%s' is no name of a device that a rule can have" % wan.name)
        self._wan = wan
        self._look()

    def basis(self):
        """See miniigd.firewall."""
        return self._wan and self._wan.index

    def _look(self):
        if self._wait is None:
            self._find_program()
        jumps = []
        for index, hook in enumerate(HOOKS):
            place, rules = self._find_place(hook)
            lines = self._jump_lines(hook, place, rules)
            before = self._places[index][1] if self._places else place
            if before != place:
                lines = self._lines_without(hook, before) + lines
            jumps.append((hook, place, lines))
        self._jumps = jumps
        places = [(hook, place) for hook, place, _ in jumps]
        if places != self._places:
            self._places = places
            log.info("mappings go into the iptables chains %s, from %s" % (
                CHAIN, ", ".join([place for _, place in places])))

    def _find_program(self):
        """Learn whether iptables-restore is there and waits for the lock; it does nothing with an empty input."""
        status, output = self._run(["iptables-restore", "--noflush", _WAIT], b"")
        if status == _CANNOT_START:
            raise FirewallError("iptables: iptables-restore cannot be run: install the package iptables (on old "
                                "releases iptables-utils)")
        # The oldest programs ignore what they do not know, and say so.
        self._wait = [] if status or output else [_WAIT]

    def _find_place(self, hook):
        """Return (place, its Rules, None where there are too many to be read)."""
        for place in hook.places:
            if "%s" in place:
                place = place % self._zone
            status, output = self._list(hook, place)
            if not status:
                return place, None if len(output) >= MOST_OUTPUT else parse_listing(_text(output))
            if status != _NO_SUCH_THING:
                break
        raise _error("iptables", status, output)

    def _list(self, hook, place):
        return self._run(["iptables"] + self._wait + ["-t", hook.table, "--line-numbers", "-nvL", place], b"")

    def _lines_without(self, hook, place):
        """Return the lines that take our jumps out of `place`, from a time when there was no better one."""
        status, output = self._list(hook, place)
        return [] if status else removal_lines(hook, place, parse_listing(_text(output)))

    def _jump_lines(self, hook, place, rules):
        if rules is not None:
            return jump_lines(hook, place, rules, self._wan.name)
        # A jump of ours may be anywhere among so many: it goes, and the new one is put in front.
        words = jump(hook, place, self._wan.name)
        self._run(self._restore_words(), _restore_text(hook.table, ["-D %s %s" % (place, words)]))
        return ["-I %s 1 %s" % (place, words)]

    def is_intact(self, mappings):
        """See miniigd.firewall: nobody changed the tables since our last change, which was about these.

        Asks the kernel twice, runs nothing. Where the kernel cannot be asked the answer is True.
        """
        return self._mappings == mappings and self._is_untouched()

    def _is_untouched(self):
        return self._mappings is not None and (self._seen is None or self._ask() == self._seen)

    def counters(self, mappings):
        """See miniigd.firewall; of as many as one listing holds, zeros of the others."""
        status, output = self._run(["iptables"] + (self._wait or []) + ["-t", "nat", "-nvxL", CHAIN], b"")
        found = []
        for line in [] if status else _text(output).split("\n"):
            words = line.split()
            if len(words) > 8 and words[0].isdigit() and words[1].isdigit():
                found.append((int(words[0]), int(words[1])))
        if len(output) >= MOST_OUTPUT:
            found = found[:-1]  # it may be cut
        return (found + [(0, 0)] * len(mappings))[:len(mappings)]

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
        self._change(_restore_text("filter", ["%s %s%s %s" % (command, CHAIN, number, accept)]),
                     _restore_text("nat", ["%s %s%s %s" % (command, CHAIN, number, dnat),
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
        self._change(_restore_text("nat", nat), _restore_text("filter", accept))

    def sync(self, mappings, now):
        """See miniigd.firewall; puts back what is missing of the chains, too."""
        if self._wan is None:
            raise FirewallError("iptables: there is no place for mappings yet", errno.ENODEV)
        if self._jumps is None:
            self._look()
        jumps, self._jumps = self._jumps, None  # if it fails they are looked for again
        start = 0
        while True:
            some = [_rules(mapping) for mapping in mappings[start:start + _SYNC_BATCH]]
            filter_lines = ["-A %s %s" % (CHAIN, accept) for _, _, accept in some]
            nat_lines = ["-A %s %s" % (CHAIN, dnat) for dnat, _, _ in some]
            nat_lines += ["-A %s %s" % (POSTROUTING_CHAIN, masquerade) for _, masquerade, _ in some]
            if not start:
                filter_lines = _beginning("filter", jumps) + filter_lines
                nat_lines = _beginning("nat", jumps) + nat_lines
            self._change(_restore_text("filter", filter_lines), _restore_text("nat", nat_lines))
            start += _SYNC_BATCH
            if start >= len(mappings):
                break
        self._mappings = mappings[:]

    def close(self):
        """See miniigd.firewall."""
        if self._wait is None:
            return
        self._mappings = self._jumps = None
        texts = []
        for table in _TABLES:
            lines = []
            for hook, place in self._places or ():
                if hook.table == table:
                    lines += ["-D %s %s" % (place, jump(hook, place, self._wan.name)), "-F " + hook.chain,
                              "-X " + hook.chain]
            texts.append(_restore_text(table, lines))
        try:
            self._change(*texts)
        except FirewallError:
            # Somebody took a part of it away. Nothing may stay open: the chains stay then, empty.
            self._change(*[_restore_text(table, [_empty(hook) for hook in HOOKS if hook.table == table])
                           for table in _TABLES])

    def _restore_words(self):
        return ["iptables-restore", "--noflush"] + self._wait

    def _change(self, *texts):
        """Give the texts (bytes) to iptables-restore, one process; FirewallError.

        Each table is changed as a whole, but the second may fail when the first is done: nothing is known then, and
        the next change puts everything right first. So the list of mappings may say already what it will be.
        """
        known, self._mappings = self._mappings, None
        status, output = self._run(self._restore_words(), b"".join(texts))
        if status:
            raise _error("iptables-restore", status, output)
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


def _empty(hook):
    """Return the line that makes the chain of a hook, or empties it."""
    return ":%s - [0:0]" % hook.chain


def _beginning(table, jumps):
    """Return the lines that make our chains of a table, empty, and the jumps to them that are missing."""
    lines = [_empty(hook) for hook, _, _ in jumps if hook.table == table]
    for hook, _, some in jumps:
        if hook.table == table:
            lines += some
    return lines


def _restore_text(table, lines):
    """Return the input of iptables-restore for a table."""
    return ("*%s\n%s\nCOMMIT\n" % (table, "\n".join(lines))).encode() if lines else b""


def _text(output):
    """Return a program's output (bytes) as text: other bytes than ASCII can only be in somebody's comments."""
    return "".join([chr(byte) if byte < 128 else "?" for byte in output])


def _error(program, status, output):
    """Return the FirewallError for a program that ended with that status and output."""
    text = _text(output)
    for words, remedy in _REMEDIES:
        if words in text:
            return FirewallError("iptables: " + remedy)
    if status == _CANNOT_START:
        return FirewallError("iptables: %s cannot be run: install the package iptables" % program)
    lines = text.strip().split("\n")
    return FirewallError("iptables: %s ended with status %d: %s" % (program, status, lines[0][:200]),
                         errno.ENOENT if status == _NO_SUCH_THING else 0)
