"""Where our chains are entered from: reads what `iptables -L` prints and writes the lines that jump to them.

Owns the names of the chains. Each hook has its places in the order of preference: firewall3's zone (LuCI and its
users expect the jump there), the chains that older releases keep for users, the kernel's own. Runs nothing.
"""

from ..compat import const

CHAIN = "MINIUPNPD"  # in the tables nat (DNAT) and filter (ACCEPT)
POSTROUTING_CHAIN = "MINIUPNPD-POSTROUTING"
ZONE = "wan"
_LONGEST_DEVICE = const(15)
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-@"
# Where one of these is met whatever the packet, nothing behind it is reached. Chains that end so are firewall3's.
_ENDS = ("reject", "drop", "accept", "return")


class Hook:
    """A way through the kernel: `chain` of ours in `table` is entered from the first of `places` that exists."""

    def __init__(self, table, chain, places, device_option):
        self.table = table
        self.chain = chain
        self.places = places  # %s: the zone
        self.device_option = device_option  # that names the WAN, where the place is not the WAN's alone

    def is_of_zone(self, place):
        """True when `place` is entered for the zone's devices only."""
        return place.startswith("zone_")


HOOKS = (
    Hook("nat", CHAIN, ("zone_%s_prerouting", "prerouting_rule", "PREROUTING"), "-i"),
    # zone_wan_nat: Backfire's
    Hook("nat", POSTROUTING_CHAIN, ("zone_%s_postrouting", "zone_%s_nat", "postrouting_rule", "POSTROUTING"), "-o"),
    Hook("filter", CHAIN, ("zone_%s_forward", "forwarding_rule", "FORWARD"), "-i"),
)


def is_device(text):
    """True for a network device's name that stands for itself in a rule ("+" at its end would match others too)."""
    for character in text:
        if character not in _LETTERS:
            return False
    return 0 < len(text) <= _LONGEST_DEVICE


class Rule:
    """A rule as `iptables -nvL` shows it; `target` is "" where it has none, `conditions` the words at its end."""

    def __init__(self, target, protocol, device_in, device_out, source, destination, conditions):
        self.target = target
        self.protocol = protocol
        self.device_in = device_in
        self.device_out = device_out
        self.source = source
        self.destination = destination
        self.conditions = conditions

    def matches_all(self, device):
        """True when no packet that comes from or goes to `device` passes by."""
        return (self.protocol in ("all", "0") and self.device_in in ("*", device) and self.device_out in ("*", device)
                and self.source == self.destination and self.source in ("0.0.0.0/0", "::/0") and not self.conditions)


def parse_listing(text):
    """Return the Rules of `iptables --line-numbers -nvL CHAIN`; lines that are none are passed over."""
    rules = []
    for line in text.split("\n"):
        words = line.split()
        # num pkts bytes [target] protocol options in out source destination conditions
        if len(words) < 8 or not words[0].isdigit():
            continue
        words = words[3:]
        _add_options(words)
        if len(words) < 2:
            continue
        if words[1] in ("--", "-f", "!f"):  # the options: there is no target
            words.insert(0, "")
        if len(words) >= 7:
            target, protocol, _, device_in, device_out, source, destination = words[:7]
            rules.append(Rule(target, protocol, device_in, device_out, source, destination, _conditions(words[7:])))
    return rules


def _add_options(words):
    """Put in the column of options, which ip6tables leaves blank, in front of the devices and the addresses."""
    for index in range(3, min(len(words), 6)):
        if "::" in words[index] or words[index].count(":") > 2:  # the first IPv6 address
            if words[index - 3] not in ("--", "-f", "!f"):
                words.insert(index - 2, "--")
            return


def _conditions(words):
    """Return the words that narrow a rule down: no comments, no details of its target."""
    found = []
    is_comment = False
    skipped = 0
    for word in words:
        if word == "/*":
            is_comment = True
        elif word == "*/":
            is_comment = False
        elif word == "reject-with":
            skipped = 1
        elif skipped:
            skipped -= 1
        elif not is_comment:
            found.append(word)
    return found


def jump(hook, place, device):
    """Return the words of the jump from `place` to the hook's chain, for `device` alone where that is needed."""
    if hook.is_of_zone(place):
        return "-j " + hook.chain
    return "%s %s -j %s" % (hook.device_option, device, hook.chain)


def jump_lines(hook, place, rules, device):
    """Return the lines for iptables-restore after which `place` has one jump to our chain, where it still has effect.

    `rules` is what `place` holds. Nothing is returned where the jump is there already.
    """
    others = [rule for rule in rules if not _is_ours(hook, rule)]
    ours = [(index, rule) for index, rule in enumerate(rules) if _is_ours(hook, rule)]
    end = _end(hook, others, device)
    if len(ours) == 1 and ours[0][0] <= end and _words(hook, ours[0][1]) == jump(hook, place, device):
        return []
    where = "-A " + place if end == len(others) else "-I %s %d" % (place, end + 1)
    return removal_lines(hook, place, rules) + ["%s %s" % (where, jump(hook, place, device))]


def removal_lines(hook, place, rules):
    """Return the lines for iptables-restore that take every jump to our chain out of `place`, which holds `rules`."""
    return ["-D %s %s" % (place, _words(hook, rule)) for rule in rules if _is_ours(hook, rule)]


def _is_ours(hook, rule):
    return rule.target == hook.chain and not rule.conditions and rule.protocol in ("all", "0")


def _words(hook, rule):
    """Return the words of a jump that is there."""
    words = ""
    for option, device in (("-i", rule.device_in), ("-o", rule.device_out)):
        if device != "*":
            words += "%s %s " % (option, device)
    return words + "-j " + hook.chain


def _end(hook, rules, device):
    """Return how many of `rules` come before the one behind which a jump would have no effect."""
    for index, rule in enumerate(rules):
        name = rule.target.lower()
        if hook.chain == POSTROUTING_CHAIN and name in ("masquerade", "snat"):
            return index
        for end in _ENDS:
            if name.endswith(end) and rule.matches_all(device):
                return index
    return len(rules)
