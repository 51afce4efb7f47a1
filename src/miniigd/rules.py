"""Permission rules as the configuration writes them: sections perm_rule and acl_entry, and the words about ports.

A rule that is wrong never opens more than was meant: what allows is left out then, and what denies denies more.

    rule, problems = parse(section, 1)  # of type perm_rule, the first of them
"""

from .addresses import ip4_bytes

TYPES = ("perm_rule", "acl_entry")

_ACTIONS = {"allow": True, "accept": True, "deny": False, "reject": False, "": False, "ignore": None}
_OPTIONS = ("action", "ext_ports", "ext_port", "int_ports", "int_port", "int_addr", "descr_filter", "comment")
_ANY = (0, 0, 0, 0)  # network
_SPECIAL = "\\[](){}|+?*.^$"  # means something else than itself in a regular expression


class Rule:
    """Allows or denies; `name` says in the log which rule it is. An address is two halves of 16 bits."""

    def __init__(self, is_allowed, external=(1, 65535), internal=(1, 65535), network=_ANY, description=None,
                 name=""):
        self.is_allowed = is_allowed
        self.external_first, self.external_last = external
        self.internal_first, self.internal_last = internal
        self.has_network = network != _ANY
        self.network_high, self.network_low, self.mask_high, self.mask_low = network
        self.description = description  # pieces for policy.is_match, None for any
        self.name = name

    def __str__(self):
        return self.name


def text_of(rule):
    """Return the rule as miniupnpd.conf writes it."""
    bits = 0
    for half in (rule.mask_high, rule.mask_low):
        while half & 0x8000:
            half = half << 1 & 0xFFFF
            bits += 1
    text = "%s %d-%d %d.%d.%d.%d/%d %d-%d" % (
        "allow" if rule.is_allowed else "deny", rule.external_first, rule.external_last, rule.network_high >> 8,
        rule.network_high & 255, rule.network_low >> 8, rule.network_low & 255, bits, rule.internal_first,
        rule.internal_last)
    if rule.description is not None:
        text += ' "%s"' % ".*".join(rule.description)
    return text


def parse_ports(text):
    """Return the (first, last) of "80", "80-90" or "80:90"; ValueError. Port 0 is in no range: nothing maps it."""
    first, _, last = text.replace(":", "-").partition("-")
    if not last:
        last = first
        if text != first:
            raise ValueError(text)
    for part in (first, last):
        if not (part.encode().isdigit() and len(part) <= 5):
            raise ValueError(text)
    ports = (int(first), int(last))
    if not ports[0] <= ports[1] <= 65535:
        raise ValueError(text)
    return (max(1, ports[0]), ports[1])


def are_ports(text):
    """True for ports and ranges with spaces between them."""
    try:
        for word in text.split():
            parse_ports(word)
    except ValueError:
        return False
    return True


def parse_network(text):
    """Return (network's high half, its low half, mask's high half, its low half) of 1.2.3.4 or 1.2.3.0/24; ValueError.
    """
    address, slash, length = text.partition("/")
    raw = ip4_bytes(address)
    bits = 32
    if slash:
        if "." in length:
            return _network(raw, ip4_bytes(length))
        if not (length.encode().isdigit() and len(length) <= 2 and int(length) <= 32):
            raise ValueError(text)
        bits = int(length)
    mask = 0xFFFFFFFF ^ 0xFFFFFFFF >> bits
    return _network(raw, bytes([mask >> 24, mask >> 16 & 255, mask >> 8 & 255, mask & 255]))


def _network(raw, mask):
    halves = [part[0] << 8 | part[1] for part in (raw[:2], raw[2:], mask[:2], mask[2:])]
    return halves[0] & halves[2], halves[1] & halves[3], halves[2], halves[3]


def parse_filter(text):
    """Return the pieces, for policy.is_match, of a regular expression that has no more than .* and ^ and $; ValueError.
    """
    starts, ends = text.startswith("^"), text.endswith("$")
    pieces = text[starts:len(text) - ends].lower().split(".*")
    for piece in pieces:
        for character in _SPECIAL:
            if character in piece:
                raise ValueError(text)
    if not starts:
        pieces.insert(0, "")
    if not ends:
        pieces.append("")
    return tuple(pieces)


# option -> (its reader, what it should be)
_READERS = {
    "ext_port": (parse_ports, "a port or a range like 1024-65535"),
    "int_port": (parse_ports, "a port or a range like 1024-65535"),
    "int_addr": (parse_network, "an IPv4 address or a network like 192.168.1.0/24"),
    "descr_filter": (parse_filter, "words with nothing else than .* between them, ^ before and $ behind"),
}


def parse(section, number):
    """Return (the Rule of a uci.Section, or None, [what is wrong with it]); it is the `number`th of its type."""
    values = dict([(name, value) for name, value in section.options if value])
    title = "%s %d" % (section.type, number)
    name = title + (" (%s)" % values["comment"] if "comment" in values else "")
    problems, parts, end = [], {}, ""
    action = values.get("action", "")
    is_allowed = _ACTIONS.get(action, False)
    if is_allowed is None:
        return None, []
    end = "using the rule without it" if not is_allowed else "the rule is left out"
    if action not in _ACTIONS:
        problems.append("section %s, option action: '%s' is not allow or deny (accept, reject, ignore); it denies"
                        % (title, action))
    for option in values:
        kind = option[:-1] if option in ("ext_ports", "int_ports") else option
        if kind in _READERS:
            read, expected = _READERS[kind]
            try:
                parts[kind] = read(values[option])
            except ValueError:
                problems.append("section %s, option %s: '%s' is not %s; %s"
                                % (title, option, values[option], expected, end))
        elif option not in _OPTIONS:
            problems.append("section %s, option %s: no rule has it; %s" % (title, option, end))
    if problems and is_allowed:
        return None, problems
    return Rule(is_allowed, parts.get("ext_port", (1, 65535)), parts.get("int_port", (1, 65535)),
                parts.get("int_addr", _ANY), parts.get("descr_filter"), name), problems


def of_settings(rules, checks_acl, preset, accepted, rejected):
    """Return the rules of the second schema, which denies what nothing accepts.

    `rules` are those of the acl_entry sections; the others are texts: `preset` and `accepted` ports are opened to the
    same port inside, `rejected` ones neither outside nor inside.
    """
    found = []
    for word in rejected.split():
        ports = parse_ports(word)
        found.append(Rule(False, ports, name="reject_ports %s" % word))
        found.append(Rule(False, internal=ports, name="reject_ports %s" % word))
    if checks_acl:
        found.extend(rules)
    for option, text in (("access_preset", preset), ("accept_ports", accepted)):
        for word in text.split():
            ports = parse_ports(word)
            found.append(Rule(True, ports, ports, name="%s %s" % (option, word)))
    found.append(Rule(False, name="access_preset"))
    return found
