"""What a soak does, as a function of its seed and of nothing else: who asks for what in which order, what happens when.

    for step in steps(seed, hosts=24): ...    # without end

A Step has a `kind`: an operation of hosts.py for the host of that number, "harm" for a disturbance of harm.py, or
"look" for a comparison of everything by audit.py. Numbers in its `words` that choose among what a host has at that
time are taken modulo how many there are, so the steps do not depend on any answer.
"""

import random
from collections import namedtuple

Step = namedtuple("Step", "number kind host words pause")  # pause in seconds, before its host does the next

OPERATIONS = (
    ("add", 22), ("any", 4), ("delete", 9), ("delete_range", 1), ("get", 10), ("list_own", 3), ("generic", 3),
    ("read", 5),
    ("natpmp", 7), ("natpmp_delete", 3), ("pcp", 7), ("pcp_delete", 3), ("pinhole", 6), ("pinhole_renew", 3),
    ("pinhole_delete", 3), ("pinhole_packets", 2), ("pcp6", 3), ("pcp6_delete", 1), ("subscribe", 3), ("renew", 3),
    ("unsubscribe", 1), ("search", 4), ("junk", 5), ("probe", 10),
)
HARMS = (
    ("kill", 4), ("restart", 2), ("reload", 4), ("firewall_restart", 1), ("flush", 2), ("wan_flap", 3), ("lan_flap", 2),
    ("clock_forward", 2), ("clock_back", 2), ("clock_1970", 1), ("full", 2), ("full_and_kill", 2), ("jump_and_kill", 2),
)
JUNK = 9  # kinds of it
PORTS = 6  # external ports of one host, of each dialect: few, so that they meet again
AREA = 8000, 9000  # the first external port of UPnP, and of NAT-PMP and PCP
STORM_PORT = 10000
INNER = {"add": 20000, "any": 20010, "storm": 20020, "natpmp": 21000, "pcp": 22000, "pinhole": 23000, "pcp6": 24000}
INNERS = {"add": 4, "any": 2, "storm": 1, "natpmp": 4, "pcp": 4, "pinhole": 4, "pcp6": 3}  # how many, from INNER on
_STORM_HOSTS = 4
HARM_EVERY = 110  # operations
_STORM_EVERY = 300
LOOK_EVERY = 1500


def steps(seed, hosts, storm=20, harm_every=HARM_EVERY):
    """Yield Steps without end; `storm` is how many leases a host takes in a storm, `harm_every` so many operations."""
    rng = random.Random(seed)
    number = 0
    begun, harms = 0, []
    while True:
        begun += 1
        if begun % LOOK_EVERY == 0:
            yield Step(number := number + 1, "look", 0, (), 0)
        if begun % _STORM_EVERY == _STORM_EVERY // 10:  # the first one soon
            lease = rng.randint(3, 8)
            first = rng.randrange(hosts)
            for other in range(min(_STORM_HOSTS, hosts)):
                yield Step(number := number + 1, "storm", (first + other) % hosts, (storm, lease), 0)
        if begun % harm_every == 0:
            harms = harms or _shuffled(rng)
            yield Step(number := number + 1, "harm", 0, (harms.pop(), rng.randint(1, 4), rng.random()), 0)
        kind = _choose(rng, OPERATIONS)
        yield Step(number := number + 1, kind, rng.randrange(hosts), _words(rng, kind, hosts),
                   round(rng.random() ** 3 * 0.3, 3))


def _choose(rng, weighted):
    return rng.choices([name for name, _ in weighted], [weight for _, weight in weighted])[0]


def _shuffled(rng):
    """Return every harm, as often as its weight, in any order: none is left out by chance."""
    names = [name for name, weight in HARMS for _ in range(weight)]
    rng.shuffle(names)
    return names


def _lease(rng):
    """Return a lease in seconds: short, long, or 0 for none."""
    return rng.choice((rng.randint(2, 15), rng.randint(20, 90), rng.randint(300, 900), 0))


def _words(rng, kind, hosts):
    protocol = rng.choice(("TCP", "TCP", "UDP"))
    # mostly a port of its own, sometimes one that another host may have
    offset = rng.randrange(hosts * PORTS) if rng.random() < 0.15 else None, rng.randrange(PORTS)
    remote = rng.choices((0, 1, 2), (8, 1, 1))[0]
    number = rng.randrange(1 << 16)
    inner = rng.randrange(INNERS.get(kind, 4))
    if kind in ("add", "any"):
        return protocol, offset, remote if kind == "add" else 0, inner, _lease(rng), rng.choice((1, 2))
    if kind in ("delete", "get", "list_own", "generic", "probe"):
        return protocol, offset, remote, number, rng.random() < 0.25
    if kind in ("natpmp", "pcp"):
        return protocol, offset, inner, _lease(rng) or 3600
    if kind in ("natpmp_delete", "pcp_delete"):
        return protocol, inner, rng.random() < 0.1
    if kind in ("pinhole", "pcp6"):
        return protocol, inner, remote, rng.choice((0, 0, 7777)), _lease(rng) or 3600
    if kind == "pcp6_delete":
        return protocol, rng.randrange(INNERS["pcp6"])
    if kind == "junk":
        return rng.randrange(JUNK), rng.randbytes(rng.choice((1, 20, 300, 1400)))
    return number, _lease(rng) or 3600, protocol, inner
