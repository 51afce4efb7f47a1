"""Runs iptables or ip6tables: finds out what there is, and makes the changes; knows no mapping.

Owns the program's words, what its complaints mean, and the jumps from the router's own chains to ours.
"""

import errno

from .. import log
from ..compat import MOST_OUTPUT, const
from ..errors import FirewallError
from .iptables_chains import jump, jump_lines, parse_listing, removal_lines

_WAIT = "--wait=5"  # seconds for the lock that other programs hold; in one word, which old programs take for an option
CANNOT_START = const(127)
_NO_SUCH_THING = const(1)  # status of iptables and iptables-restore when a chain or a rule is not there

# What the programs say -> what to do about it; the first that fits.
_REMEDIES = (
    ("ermission denied", "it is not permitted: run miniigd as root"),
    ("must be root", "it is not permitted: run miniigd as root"),
    ("insmod", "the kernel lacks a table: install kmod-ipt-nat, or load iptable_nat and iptable_filter"),
    ("unable to initialize", "the kernel lacks a table: install kmod-ipt-nat, or load iptable_nat and iptable_filter"),
    ("xtables lock", "another program does not give the lock back: see which iptables is running"),
)


class Program:
    """The program `name` ("iptables", "ip6tables") with its -restore; `run` is compat.run_program.

    `hooks` are the iptables_chains.Hook of our chains, `zone` is the WAN's in firewall3.
    """

    def __init__(self, name, run, hooks, zone):
        self.name = name
        self.hooks = hooks
        self.places = None  # [(Hook, place)] from which our chains are entered
        self._run = run
        self._zone = zone
        self._wait = None  # the words with which it waits for its lock; None: not known yet
        self._jumps = None  # [(Hook, place, lines)], from a look at the chains until they are made

    @property
    def is_found(self):
        """True once it is known that the program is there."""
        return self._wait is not None

    def find(self):
        """Learn whether the program is there and waits for the lock; it does nothing with an empty input."""
        status, output = self._run([self.name + "-restore", "--noflush", _WAIT], b"")
        if status == CANNOT_START:
            raise FirewallError("%s: %s-restore cannot be run: install the package %s (on old releases "
                                "iptables-utils)" % (self.name, self.name, self.name))
        # The oldest programs ignore what they do not know, and say so.
        self._wait = [] if status or output else [_WAIT]

    def look(self, device):
        """Find out from where our chains are to be entered for the WAN's `device`; log it where it is news."""
        if self._wait is None:
            self.find()
        jumps = []
        for index, hook in enumerate(self.hooks):
            place, rules = self._find_place(hook)
            lines = self._jump_lines(hook, place, rules, device)
            before = self.places[index][1] if self.places else place
            if before != place:
                lines = self._lines_without(hook, before) + lines
            jumps.append((hook, place, lines))
        self._jumps = jumps
        places = [(hook, place) for hook, place, _ in jumps]
        if places != self.places:
            self.places = places
            log.info("%s go into the %s chains %s, from %s" % (
                "mappings" if self.name == "iptables" else "pinholes", self.name, self.hooks[0].chain,
                ", ".join([place for _, place in places])))

    def take_jumps(self, device):
        """Return what `look` found, once: what is done with it may fail."""
        if self._jumps is None:
            self.look(device)
        jumps, self._jumps = self._jumps, None
        return jumps

    def forget_jumps(self):
        """Our chains go: what `look` found is of no use any more."""
        self._jumps = None

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
        raise self._error(self.name, status, output)

    def _list(self, hook, place):
        return self._run([self.name] + self._wait + ["-t", hook.table, "--line-numbers", "-nvL", place], b"")

    def _lines_without(self, hook, place):
        """Return the lines that take our jumps out of `place`, from a time when there was no better one."""
        status, output = self._list(hook, place)
        return [] if status else removal_lines(hook, place, parse_listing(_text(output)))

    def _jump_lines(self, hook, place, rules, device):
        if rules is not None:
            return jump_lines(hook, place, rules, device)
        # A jump of ours may be anywhere among so many: it goes, and the new one is put in front.
        words = jump(hook, place, device)
        self._run(self._restore_words(), restore_text(hook.table, ["-D %s %s" % (place, words)]))
        return ["-I %s 1 %s" % (place, words)]

    def counters(self, table, chain, count):
        """Return [(packets, bytes)] of the first `count` rules of a chain; zeros of those that one listing lacks."""
        status, output = self._run([self.name] + (self._wait or []) + ["-t", table, "-nvxL", chain], b"")
        found = []
        for line in [] if status else _text(output).split("\n"):
            words = line.split()
            if len(words) > 7 and words[0].isdigit() and words[1].isdigit():
                found.append((int(words[0]), int(words[1])))
        if len(output) >= MOST_OUTPUT:
            found = found[:-1]  # it may be cut
        return (found + [(0, 0)] * count)[:count]

    def _restore_words(self):
        return [self.name + "-restore", "--noflush"] + self._wait

    def restore(self, texts):
        """Give the texts (bytes) to iptables-restore, one process; FirewallError.

        Each table is changed as a whole, but the second may fail when the first is done.
        """
        status, output = self._run(self._restore_words(), b"".join(texts))
        if status:
            raise self._error(self.name + "-restore", status, output)

    def removal(self, table, device):
        """Return the text that takes the jumps of a table and our chains away."""
        lines = []
        for hook, place in self.places or ():
            if hook.table == table:
                lines += ["-D %s %s" % (place, jump(hook, place, device)), "-F " + hook.chain, "-X " + hook.chain]
        return restore_text(table, lines)

    def emptying(self, table):
        """Return the text that empties our chains of a table."""
        return restore_text(table, [_empty(hook) for hook in self.hooks if hook.table == table])

    def _error(self, program, status, output):
        """Return the FirewallError for a program that ended with that status and output."""
        text = _text(output)
        for words, remedy in _REMEDIES:
            if words in text:
                return FirewallError("%s: %s" % (self.name, remedy))
        if status == CANNOT_START:
            return FirewallError("%s: %s cannot be run: install the package %s" % (self.name, program, self.name))
        lines = text.strip().split("\n")
        return FirewallError("%s: %s ended with status %d: %s" % (self.name, program, status, lines[0][:200]),
                             errno.ENOENT if status == _NO_SUCH_THING else 0)


def _empty(hook):
    """Return the line that makes the chain of a hook, or empties it."""
    return ":%s - [0:0]" % hook.chain


def beginning(table, jumps):
    """Return the lines that make our chains of a table, empty, and the jumps to them that are missing."""
    lines = [_empty(hook) for hook, _, _ in jumps if hook.table == table]
    for hook, _, some in jumps:
        if hook.table == table:
            lines += some
    return lines


def restore_text(table, lines):
    """Return the input of iptables-restore for a table."""
    return ("*%s\n%s\nCOMMIT\n" % (table, "\n".join(lines))).encode() if lines else b""


def _text(output):
    """Return a program's output (bytes) as text: other bytes than ASCII can only be in somebody's comments."""
    return "".join([chr(byte) if byte < 128 else "?" for byte in output])
