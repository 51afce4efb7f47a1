"""Compare all that say what is open: the table, the lease files, the kernel's rules, and what clients were promised.

Nobody asks for anything meanwhile, but leases go on ending, so what disagrees is looked at again for a while.
"""

import json
import re
import time

import test_lease_file
from hosts import entries, word
from promises import NEVER

LEASES6 = "/var/run/miniupnpd.leases6"
_AGREES = 40  # seconds within which all must agree once
_PROBES = 8  # ports tried from the WAN, of those that are open and of those that are not
_FLOWS = "cat /proc/net/nf_conntrack"
_TRANSLATED = re.compile(r"src=11\.0\.0\.[13] dst=11\.0\.0\.2 .*src=192\.168\.1\.\d+ dst=11\.0\.0\.[13] sport=2[0-2]0")


class Audit:
    """Looks at the router of `world`, whose hosts are at rest."""

    def __init__(self, world):
        self.world = world
        self.looks = self.opened = self.refused = 0
        self.most_mappings = self.most_pinholes = 0

    def _check(self, command, timeout=30):
        return self.world.lab.router.check(command, timeout)

    def status(self):
        return json.loads(self._check("miniigd status --json"))

    def look(self):
        """Wait until everything agrees; say what does not."""
        self.looks += 1
        wrong = self._settle(self._compare)
        for text in wrong:
            self.world.disagree(text)
        self._try_ports()
        self._read_log()
        return "agrees" if not wrong else "%d disagreements" % len(wrong)

    def _settle(self, compare):
        """Return what disagrees in the end, a line each."""
        limit = time.monotonic() + _AGREES
        while True:
            wrong = compare()
            if not wrong or time.monotonic() > limit:
                return wrong
            time.sleep(1)

    def _compare(self):
        """Return what disagrees, a line each."""
        world = self.world
        world.clock.measure()
        sent = time.monotonic()
        before = self.status()
        read = time.monotonic()
        lists, others = self._mappings(), self._pinholes()
        after = self.status()
        mappings = after["port_mappings"]
        self.most_mappings = max(self.most_mappings, len(mappings))
        self.most_pinholes = max(self.most_pinholes, len(after["pinholes"]))
        # what ended while the lists were read may be in some of them
        wrong = _all_differ("mappings", [_mapping(one) for one in before["port_mappings"]],
                            [_mapping(one) for one in mappings], lists)
        wrong += _all_differ("pinholes", [_pinhole(one) for one in before["pinholes"]],
                             [_pinhole(one) for one in after["pinholes"]], others)
        seen = {(one["internal_client"], one["protocol"], one["external_port"], one["remote_host"]): (
            one["internal_port"], one["expires_in"] if one["lease_duration"] else NEVER)
            for one in before["port_mappings"]}
        wrong += world.mappings.check(seen, sent, read, lambda key, what: (key[0], key[1], what))
        seen = {(one["internal_client"], one["protocol"], one["internal_port"], one["remote_host"],
                 one["remote_port"]): (one["unique_id"], one["expires_in"]) for one in before["pinholes"]}
        wrong += world.pinholes.check(seen, sent, read)
        least, most = world.events.counts(time.monotonic())
        if not least <= after["subscribers"] <= most:
            wrong.append("there are %d subscribers, clients know of %d to %d" % (after["subscribers"], least, most))
        if len(before["port_mappings"]) == len(mappings):
            wrong += world.events.check({"PortMappingNumberOfEntries": str(len(mappings)),
                                         "ExternalIPAddress": after["wan"]["external_ip_address"] or ""},
                                        time.monotonic())
        return wrong

    def _mappings(self):
        """Return {who lists mappings: (how many of a mapping's values, the list)}; see _all_differ."""
        lines = [tuple(line[:4]) + (_remote_of(line[5]),) for line in test_lease_file.lines(self.world.reader)]
        rules = test_lease_file.rules(self.world.reader)
        lists = {"the lease file": (5, lines), "the kernel's rules": (4, rules), "SOAP": (5, sorted(self._soap()))}
        if self.world.has_nft:
            lists["the kernel's sets"] = (0, [()] * len(self._elements("upnp_open") + self._elements("upnp_open_from")))
        else:
            for name, command, target in (("iptables' filter", "iptables -S MINIUPNPD", "-j ACCEPT"),
                                          ("iptables' nat", "iptables -t nat -S MINIUPNPD", "-j DNAT")):
                lists[name] = (0, [()] * self._check(command).count(target))
        return lists

    def _soap(self):
        """Yield what SOAP lists, of all hosts: at most 300 in an answer, so it is asked for area by area."""
        for protocol in "TCP", "UDP":
            for first, last in (1, 8999), (9000, 9999), (10000, 65535):
                answer = self.world.reader.call("GetListOfPortMappings", (
                    ("NewStartPort", first), ("NewEndPort", last), ("NewProtocol", protocol), ("NewManage", 1),
                    ("NewNumberOfPorts", 0)), version=2)
                if word(answer) == "730":
                    continue
                for one in entries(answer[1]):
                    yield (one["Protocol"], one["ExternalPort"], one["InternalClient"], one["InternalPort"],
                           one["RemoteHost"])

    def _pinholes(self):
        """The same for pinholes."""
        text = self.world.lab.router.run("cat " + LEASES6).output
        lines = [tuple(line.split(";")[:6]) for line in text.splitlines() if line.count(";") >= 7]
        if self.world.has_nft:
            count = sum(len(self._elements("upnp_open6" + name)) for name in ("", "_from", "_port", "_from_port"))
        else:
            count = self._check("ip6tables -S MINIUPNPD").count("-j ACCEPT")
        return {"the lease file": (6, lines), "the kernel": (0, [()] * count)}

    def _elements(self, name):
        text = self._check("nft list set inet fw4 %s" % name)
        return re.findall(r"[^,{}]+ expires [^,{}]+", text.partition("elements = ")[2])

    def _try_ports(self):
        """Try some of the ports from the WAN: those that are promised, and those that nobody has."""
        world, now = self.world, time.monotonic()
        table = {(one["protocol"], one["external_port"]) for one in self.status()["port_mappings"]}
        answers = [world.probes.one_of(host, self.looks * 7 + number, False)
                   for number, host in enumerate(world.hosts[:_PROBES])]
        self.opened += answers.count("open")
        for host in world.hosts[:_PROBES]:
            for key in sorted(world.pinholes.keys(host.host6, now))[:1]:
                if world.pinholes.sure(key, now + 10) is None:
                    continue
                if not world.probes.reach6(key) and world.pinholes.sure(key, time.monotonic()) is not None:
                    world.disagree("the pinhole %s should be open, nobody answers" % (key,))
                self.opened += 1
        closed = [(protocol, port) for host in world.hosts for protocol, port in (
            ("TCP", host.port(0, (None, 1))), ("TCP", host.port(1, (None, 2)))) if (protocol, port) not in table]
        for protocol, port in closed[:_PROBES]:
            if not world.probes.is_refused(protocol, port):
                world.disagree("%s %d is open, and nobody has it" % (protocol, port))
            self.refused += 1

    def _read_log(self):
        """The daemon asks to be told of what should not be possible."""
        text = self.world.lab.router.run("logread | grep -A 6 'please report' | head -n 20").output
        if text.strip():
            self.world.disagree("in the router's log: " + text)

    def nothing_is_left(self):
        """All hosts gave everything back: look for what is left in the table, the files and the kernel."""
        for text in self._settle(self._left):
            self.world.disagree(text)
        for key in self.world.probes.still_connected():
            self.world.disagree("what was connected through %s %s %d %s goes on" % key)

    def _left(self):
        status = self.status()
        found = ["still in the table: %s" % (one,) for one in status["port_mappings"] + status["pinholes"]]
        for name, (_, listed) in (*self._mappings().items(), *self._pinholes().items()):
            found += ["still in %s: %s" % (name, " ".join(one)) for one in listed]
        flows = self.world.lab.router.run(_FLOWS).output
        found += ["still in conntrack: " + line.strip() for line in flows.splitlines()
                  if "ESTABLISHED" in line and _TRANSLATED.search(line)]
        return found


def _mapping(one):
    """Return a mapping of the status as the lease file has it."""
    return (one["protocol"], str(one["external_port"]), one["internal_client"], str(one["internal_port"]),
            one["remote_host"])


def _pinhole(one):
    return (one["protocol"], one["internal_client"], str(one["internal_port"]), one["remote_host"],
            str(one["remote_port"]), str(one["unique_id"]))


def _remote_of(description):
    found = re.search(r" \[from ([0-9.]+)\]$", description)
    return found[1] if found else ""


def _all_differ(what, before, after, lists):
    """Return in what lists differ from the table, a line each: what is in the table `before` and `after`.

    `lists` is {name: (how many values of an entry it has, the list)}; with 0 values it says only how many there are.
    """
    ended = [one for one in before if one not in after]
    wrong = []
    for name, (values, listed) in lists.items():
        if not values:
            if not len(after) <= len(listed) <= len(before):
                wrong.append("%d %s, but %d in %s" % (len(after), what, len(listed), name))
            continue
        table = sorted(after) if name == "SOAP" else after
        table, gone = [one[:values] for one in table], [one[:values] for one in ended]
        left = [one for one in listed if one in table or one not in gone]
        if left == table:
            continue
        only, more = [one for one in table if one not in left], [one for one in left if one not in table]
        wrong.append("%s: only in the table %s, only in %s %s" % (what, only[:5], name, more[:5]) if only or more else
                     "%s: the table and %s have another order, or one twice" % (what, name))
    return wrong
