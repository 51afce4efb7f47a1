"""miniigd.firewall.iptables: what the programs are asked and given, and what becomes of their answers."""

import errno

from helpers import Output, raised
from miniigd import log
from miniigd.compat import MOST_OUTPUT
from miniigd.errors import FirewallError
from miniigd.firewall.iptables import IptablesFirewall
from miniigd.mapping import PortMapping

HEAD = "Chain %s (1 references)\nnum   pkts bytes target     prot opt in     out     source               destination\n"
NO_CHAIN = (1, b"iptables: No chain/target/match by that name.\n")
ZONES = ("zone_wan_prerouting", "zone_wan_postrouting", "zone_wan_forward")
USERS = ("prerouting_rule", "postrouting_rule", "forwarding_rule")
BUILT_IN = ("PREROUTING", "POSTROUTING", "FORWARD")


class _Wan:
    def __init__(self, name="eth1"):
        self.name = name
        self.index = 4


class _Router:
    """Stands in for the kernel and the two programs: keeps tables, does what iptables-restore is given."""

    def __init__(self, chains=ZONES + BUILT_IN):
        self.tables = {"nat": {}, "filter": {}}
        for name in chains:
            self.tables["filter" if "orward" in name.lower() else "nat"][name] = []
        self.calls = []  # argv
        self.inputs = []  # of iptables-restore, where it was not empty
        self.answers = {}  # program -> [(status, output)] that it gives, one by one, instead of doing anything
        self.knows_wait = True
        self.counter = 0  # of changes
        self.is_asked = True

    def run(self, argv, data):
        assert isinstance(data, bytes)
        self.calls.append(argv)
        if self.answers.get(argv[0]):
            return self.answers[argv[0]].pop(0)
        if not self.knows_wait and [word for word in argv if word.startswith("--wait")]:
            return 2, b"unrecognized option\n"
        return self._list(argv) if argv[0] == "iptables" else self._restore(argv, data.decode())

    def _list(self, argv):
        words = [word for word in argv[1:] if not word.startswith("--wait")]
        assert words[0] == "-t" and words[2:4] == ["--line-numbers", "-nvL"] and len(words) == 5
        rules = self.tables[words[1]].get(words[4])
        if rules is None:
            return NO_CHAIN
        text = HEAD % words[4]
        for number, rule in enumerate(rules):
            text += "%d 0 0 %s\n" % (number + 1, _listed(rule))
        return 0, text.encode()

    def _restore(self, argv, text):
        assert [word for word in argv if not word.startswith("--wait")] == ["iptables-restore", "--noflush"]
        if not text:
            return 0, b""
        self.inputs.append(text)
        table = None
        for line in text.split("\n")[:-1]:
            words = line.split(" ")
            if line[0] == "*":
                table = line[1:]
                chains = {name: rules[:] for name, rules in self.tables[table].items()}
            elif line[0] == ":":
                chains[words[0][1:]] = []
            elif line == "COMMIT":
                self.tables[table] = chains
                self.counter += 1
            elif words[1] not in chains or not self._command(chains, words):
                return 1, b"iptables-restore: line 2 failed\n"
        return 0, b""

    def _command(self, chains, words):
        command, name, rest = words[0], words[1], words[2:]
        rules = chains[name]
        number = int(rest[0]) if rest and rest[0].isdigit() else 0
        rule = " ".join(rest[1:] if number else rest)
        if command == "-A":
            rules.append(rule)
        elif command == "-I" and 1 <= number <= len(rules) + 1:
            rules.insert(number - 1, rule)
        elif command == "-R" and 1 <= number <= len(rules):
            rules[number - 1] = rule
        elif command == "-D" and 1 <= number <= len(rules):
            rules.pop(number - 1)
        elif command == "-D" and not number and rule in rules:
            rules.remove(rule)
        elif command == "-F":
            chains[name] = []
        elif command == "-X":
            for others in chains.values():
                if [one for one in others if one.endswith("-j " + name)]:
                    return False
            del chains[name]
        else:
            return False
        return True

    def info(self, table):
        return b"%d" % self.counter if self.is_asked else None

    def chain(self, table, name="MINIUPNPD"):
        return self.tables[table].get(name)

    def took(self):
        """Return the programs run since the last question."""
        calls, self.calls = self.calls, []
        return [argv[0] for argv in calls]


def _listed(rule):
    words = rule.split(" ")
    values = {words[index]: words[index + 1] for index in range(0, len(words), 2)}
    return "%s all -- %s %s 0.0.0.0/0 0.0.0.0/0" % (values["-j"], values.get("-i", "*"), values.get("-o", "*"))


def _mapping(port=8000, protocol="TCP", remote_host="", client="192.168.1.2", internal_port=None, expires=160):
    return PortMapping(remote_host, port, protocol, internal_port or port, client, True, "", 60, expires)


def _opened(router=None, mappings=(), zone="wan"):
    router = router or _Router()
    firewall = IptablesFirewall(router.run, router.info, zone)
    with Output(log):
        firewall.open(_Wan())
        firewall.sync(list(mappings), 100)
    router.took()
    return firewall, router


def _ports(router):
    """Return the external ports of the rules in the chain that translates, and check that all three agree."""
    dnat, accept = router.chain("nat"), router.chain("filter")
    masquerade = router.chain("nat", "MINIUPNPD-POSTROUTING")
    ports = [int(rule.split("--dport ")[1].split(" ")[0]) for rule in dnat]
    assert [int(rule.split("--to-ports ")[1]) for rule in masquerade] == ports
    assert [rule.split("--to-destination ")[1] for rule in dnat] == [
        "%s:%s" % (rule.split("-d ")[1].split(" ")[0], rule.split("--dport ")[1].split(" ")[0]) for rule in accept]
    return ports


def test_the_rules_of_a_mapping():
    firewall, router = _opened()
    any_host = _mapping(8000, "TCP", "", "192.168.1.2", 80)
    firewall.add(any_host, None, 60)
    firewall.add(_mapping(65535, "UDP", "11.0.0.77", "192.168.1.3", 1), None, 60, any_host)
    assert router.chain("nat") == [
        "-s 11.0.0.77 -p udp --dport 65535 -j DNAT --to-destination 192.168.1.3:1",
        "-p tcp --dport 8000 -j DNAT --to-destination 192.168.1.2:80"]
    assert router.chain("nat", "MINIUPNPD-POSTROUTING") == [
        "-s 192.168.1.3 -p udp --sport 1 -d 11.0.0.77 -j MASQUERADE --to-ports 65535",
        "-s 192.168.1.2 -p tcp --sport 80 -j MASQUERADE --to-ports 8000"]
    assert router.chain("filter") == [
        "-s 11.0.0.77 -d 192.168.1.3 -p udp --dport 1 -j ACCEPT", "-d 192.168.1.2 -p tcp --dport 80 -j ACCEPT"]


def test_every_change_is_one_process():
    mappings = [_mapping(port) for port in (8000, 8001, 8002, 8003)]
    firewall, router = _opened()
    for mapping in mappings:
        firewall.add(mapping, None, 60)
        assert router.took() == ["iptables-restore"]
    assert _ports(router) == [8000, 8001, 8002, 8003]
    renewed = _mapping(8001, internal_port=9000)
    firewall.add(renewed, mappings[1], 60)
    assert router.took() == ["iptables-restore"]
    assert _ports(router) == [8000, 8001, 8002, 8003]  # in its place
    assert "192.168.1.2:9000" in router.chain("nat")[1]
    firewall.remove([mappings[0], renewed, mappings[3]])
    assert router.took() == ["iptables-restore"]
    assert _ports(router) == [8002]
    firewall.remove([mappings[2]])
    assert router.took() == ["iptables-restore"] and _ports(router) == []


def test_a_renewal_that_changes_no_rule_runs_nothing():
    mapping, renewed = _mapping(), _mapping(expires=900)
    firewall, router = _opened(None, [mapping])
    firewall.add(renewed, mapping, 600)
    assert router.took() == [] and _ports(router) == [8000]
    firewall.remove([renewed])
    assert _ports(router) == []
    # where nobody can tell whether the rule is still there, it is put in again
    router = _Router()
    router.is_asked = False
    firewall, router = _opened(router, [mapping])
    firewall.add(renewed, mapping, 600)
    assert router.took() == ["iptables-restore"] and _ports(router) == [8000]


def test_one_that_was_not_open_before_is_new():
    mapping = _mapping()
    firewall, router = _opened(None, [_mapping(7000)])
    firewall.add(mapping, _mapping(), 60)
    assert _ports(router) == [7000, 8000]
    firewall.remove([_mapping()])  # one that is not there
    assert _ports(router) == [7000, 8000]


def test_a_new_one_may_have_to_stand_before_another():
    """One for a remote host before that for any host, which would hide it."""
    first, second, third = [_mapping(port) for port in (8000, 8001, 8002)]
    special = _mapping(8001, remote_host="11.0.0.77")
    firewall, router = _opened(None, [first, second])
    firewall.add(third, None, 60, _mapping(7000))  # before one that is not there: behind all
    firewall.add(special, None, 60, second)
    assert router.took() == ["iptables-restore"] * 2
    assert _ports(router) == [8000, 8001, 8001, 8002]
    assert "-s 11.0.0.77" in router.chain("nat")[1] and "-s" not in router.chain("nat")[2]
    firewall.remove([special])
    assert _ports(router) == [8000, 8001, 8002] and "-s" not in "".join(router.chain("nat"))


def test_a_sync_makes_exactly_the_table():
    router = _Router()
    router.tables["nat"]["MINIUPNPD"] = ["-p tcp --dport 1 -j DNAT --to-destination 192.168.1.9:1"]  # of one that died
    mappings = [_mapping(port) for port in range(2000, 2003)]
    firewall, router = _opened(router, mappings)
    assert _ports(router) == [2000, 2001, 2002]
    firewall.sync(mappings[1:], 100)
    assert _ports(router) == [2001, 2002]
    firewall.sync([], 100)
    assert _ports(router) == []


def test_a_sync_of_many_is_several_processes_and_the_first_empties_the_chains():
    mappings = [_mapping(port) for port in range(2000, 2250)]
    firewall, router = _opened(None, mappings)
    assert _ports(router) == list(range(2000, 2250))
    assert len(router.inputs) == 3
    assert [":MINIUPNPD " in text for text in router.inputs] == [True, False, False]
    firewall.remove(mappings[1:])
    assert router.took() == ["iptables-restore"] and _ports(router) == [2000]


PLACES = (
    (ZONES + USERS + BUILT_IN, ZONES, ("-j MINIUPNPD", "-j MINIUPNPD-POSTROUTING", "-j MINIUPNPD")),
    (USERS + BUILT_IN, USERS, ("-i eth1 -j MINIUPNPD", "-o eth1 -j MINIUPNPD-POSTROUTING", "-i eth1 -j MINIUPNPD")),
    (BUILT_IN, BUILT_IN, ("-i eth1 -j MINIUPNPD", "-o eth1 -j MINIUPNPD-POSTROUTING", "-i eth1 -j MINIUPNPD")),
    # Backfire's
    (("zone_wan_prerouting", "zone_wan_nat", "zone_wan_forward") + USERS + BUILT_IN,
     ("zone_wan_prerouting", "zone_wan_nat", "zone_wan_forward"),
     ("-j MINIUPNPD", "-j MINIUPNPD-POSTROUTING", "-j MINIUPNPD")),
)


def test_our_chains_are_entered_from_the_best_place_there_is():
    for chains, places, jumps in PLACES:
        firewall, router = _opened(_Router(chains))
        expected = dict(zip(places, jumps))
        for table in ("nat", "filter"):
            for name, rules in router.tables[table].items():
                if not name.startswith("MINIUPNPD"):
                    assert rules == ([expected[name]] if name in expected else []), name
        with Output(log) as output:
            for _ in range(2):  # once is enough, however often it is opened
                firewall.open(_Wan())
                firewall.sync([], 100)
        assert output.text() == ""
        for table, place, jump in zip(("nat", "nat", "filter"), places, jumps):
            assert router.chain(table, place) == [jump]


def test_another_zone():
    chains = ("zone_modem_prerouting", "zone_modem_postrouting", "zone_modem_forward")
    _, router = _opened(_Router(ZONES + chains + BUILT_IN), (), "modem")
    assert router.chain("filter", "zone_modem_forward") == ["-j MINIUPNPD"]
    assert router.chain("filter", "zone_wan_forward") == []


def test_another_device_after_a_restart():
    firewall, router = _opened(_Router(USERS + BUILT_IN))
    with Output(log):
        second = IptablesFirewall(router.run, router.info)
        second.open(_Wan("ppp0"))
        second.sync([], 100)
    assert router.chain("filter", "forwarding_rule") == ["-i ppp0 -j MINIUPNPD"]


def test_the_jump_follows_when_a_better_place_appears():
    router = _Router(BUILT_IN)
    firewall, router = _opened(router, [_mapping()])
    for name in ZONES:
        router.tables["filter" if "orward" in name else "nat"][name] = []
    with Output(log) as output:
        firewall.open(_Wan())
        firewall.sync([_mapping()], 100)
    assert [router.chain(table, name) for table, name in zip(("nat", "nat", "filter"), BUILT_IN)] == [[], [], []]
    assert router.chain("filter", "zone_wan_forward") == ["-j MINIUPNPD"]
    assert "from zone_wan_prerouting, zone_wan_postrouting, zone_wan_forward" in output.text()
    # and back, when the zones are gone with what was in them
    for name in ZONES:
        del router.tables["filter" if "orward" in name else "nat"][name]
    with Output(log):
        firewall.open(_Wan())
        firewall.sync([], 100)
    assert router.chain("filter", "FORWARD") == ["-i eth1 -j MINIUPNPD"]
    firewall.close()
    assert router.tables == _Router(BUILT_IN).tables


def test_opening_changes_nothing_by_itself():
    """What is open stays open while a signal has the daemon look again."""
    firewall, router = _opened(None, [_mapping()])
    before = len(router.inputs)
    firewall.open(_Wan())
    assert len(router.inputs) == before and _ports(router) == [8000]
    assert router.took() == ["iptables"] * 3


def test_a_device_whose_name_would_be_more_than_a_name_is_refused():
    for name in ("eth1 -j ACCEPT", "eth+", "", "a\nb"):
        router = _Router()
        assert "device" in raised(FirewallError, IptablesFirewall(router.run, router.info).open, _Wan(name)).text
        assert router.calls == []


def test_the_lock_is_waited_for_where_the_program_can():
    for knows, words in ((True, ["--wait=5"]), (False, [])):
        router = _Router()
        router.knows_wait = knows
        firewall = IptablesFirewall(router.run, router.info)
        with Output(log):
            firewall.open(_Wan())
            firewall.sync([], 100)
        assert router.calls[0] == ["iptables-restore", "--noflush", "--wait=5"]
        for argv in router.calls[1:]:
            assert [word for word in argv if "wait" in word] == words
    # a program of 2005 goes on, but says something
    router = _Router()
    router.answers["iptables-restore"] = [(0, b"iptables-restore: unrecognized option '--wait=5'\n")]
    firewall, router = _opened(router)
    firewall.add(_mapping(), None, 60)
    assert router.calls[-1] == ["iptables-restore", "--noflush"]


def test_without_the_program_the_remedy_is_named():
    router = _Router()
    router.answers["iptables-restore"] = [(127, b"")] * 9
    firewall = IptablesFirewall(router.run, router.info)
    error = raised(FirewallError, firewall.open, _Wan())
    assert "install" in error.text and not error.is_absence
    assert "install" in raised(FirewallError, firewall.sync, [], 100).text
    firewall.close()
    router = _Router()
    router.answers["iptables"] = [(127, b"")]
    assert "install" in raised(FirewallError, IptablesFirewall(router.run, router.info).open, _Wan()).text


REFUSALS = (
    (3, b"iptables v1.8.9 (legacy): can't initialize iptables table `nat': Permission denied (you must be root)\n"
        b"Perhaps iptables or your kernel needs to be upgraded.\n", "root"),
    (3, b"iptables v1.4.21: can't initialize iptables table `nat': Table does not exist (do you need to insmod?)\n",
     "kmod-ipt-nat"),
    (3, b"iptables v1.3.8: can't initialize iptables table `nat': iptables who? (do you need to insmod?)", "nat"),
    (2, b"iptables-restore v1.8.9 (legacy): iptables-restore: unable to initialize table 'nat'\n\nError occurred",
     "kmod-ipt-nat"),
    (4, b"Another app is currently holding the xtables lock. Perhaps you want to use the -w option?\n", "lock"),
    (137, b"", "status 137"), (2, b"Bad argument `\xff'\nmore", "status 2: Bad argument `?'"),
)


def test_refusals_are_explained_and_are_no_absence():
    for status, output, words in REFUSALS:
        router = _Router()
        router.answers["iptables"] = [(status, output)]
        error = raised(FirewallError, IptablesFirewall(router.run, router.info).open, _Wan())
        assert words in error.text and not error.is_absence and "\n" not in error.text, error.text
        firewall, router = _opened()
        router.answers["iptables-restore"] = [(status, output)]
        error = raised(FirewallError, firewall.add, _mapping(), None, 60)
        assert words in error.text and not error.is_absence, error.text


def test_a_chain_that_is_gone_is_an_absence_and_a_sync_puts_everything_back():
    router = _Router()
    router.is_asked = False  # so that only the program tells
    mapping = _mapping()
    firewall, router = _opened(router, [mapping])
    del router.tables["nat"]["MINIUPNPD"]
    router.tables["filter"]["zone_wan_forward"] = []
    error = raised(FirewallError, firewall.add, _mapping(9000), None, 60)
    assert error.is_absence
    assert not firewall._is_untouched()
    firewall.sync([mapping], 100)
    assert firewall._is_untouched()
    firewall.add(_mapping(9000), None, 60)
    assert _ports(router) == [8000, 9000]
    assert router.chain("filter", "zone_wan_forward") == ["-j MINIUPNPD"]


def test_a_change_by_somebody_else_is_noticed_without_any_process():
    mapping = _mapping()
    firewall, router = _opened(None, [mapping, _mapping(9000)])
    assert firewall._is_untouched()
    router.tables["nat"]["MINIUPNPD"].pop(0)  # as an old LuCI does: the numbers do not hold any more
    router.counter += 1
    assert not firewall._is_untouched() and router.took() == []
    for change in ((firewall.add, _mapping(7000), None, 60), (firewall.remove, [mapping])):
        assert raised(FirewallError, *change).is_absence
    assert router.took() == []
    firewall.sync([mapping], 100)
    firewall.remove([mapping])
    assert _ports(router) == []


def test_a_change_that_was_done_by_half_is_put_right():
    mapping = _mapping()
    firewall, router = _opened(None, [mapping])
    real, router.run = router.run, None

    def half(argv, data):
        text = data.decode()
        return real(argv, (text[:text.find("COMMIT\n") + 7] + "*nat\n-D none 1\nCOMMIT\n").encode())

    firewall._program._run = half
    assert raised(FirewallError, firewall.add, _mapping(9000), None, 60).is_absence
    firewall._program._run = real
    assert len(router.chain("filter")) == 2 and len(router.chain("nat")) == 1
    assert raised(FirewallError, firewall.remove, [mapping]).is_absence
    firewall.sync([mapping], 100)
    assert _ports(router) == [8000]


def test_before_it_is_opened_every_change_is_refused():
    router = _Router()
    firewall = IptablesFirewall(router.run, router.info)
    for change in ((firewall.add, _mapping(), None, 60), (firewall.remove, [_mapping()]), (firewall.sync, [], 100)):
        assert not raised(FirewallError, *change).is_absence
    firewall.close()
    assert router.calls == [] and not firewall._is_untouched()


def test_an_open_that_fails_leaves_no_half_of_an_answer():
    router = _Router()
    router.answers["iptables"] = [(0, (HEAD % "zone_wan_prerouting").encode()), (4, b"busy")]
    firewall = IptablesFirewall(router.run, router.info)
    raised(FirewallError, firewall.open, _Wan())
    with Output(log):
        firewall.sync([_mapping()], 100)
    assert _ports(router) == [8000] and router.chain("filter", "zone_wan_forward") == ["-j MINIUPNPD"]


def test_closing_leaves_nothing():
    for chains in (ZONES + BUILT_IN, USERS + BUILT_IN, BUILT_IN):
        router = _Router(chains)
        before = {table: {name: rules[:] for name, rules in chains.items()} for table, chains in router.tables.items()}
        firewall, router = _opened(router, [_mapping()])
        assert router.tables != before
        firewall.close()
        assert router.took() == ["iptables-restore"]
        assert router.tables == before


def test_closing_closes_even_where_somebody_took_a_jump_away():
    firewall, router = _opened(None, [_mapping()])
    router.tables["nat"]["zone_wan_prerouting"] = []
    firewall.close()
    assert router.chain("nat") == router.chain("filter") == router.chain("nat", "MINIUPNPD-POSTROUTING") == []


def test_a_place_with_more_rules_than_can_be_read():
    """The jump comes first then; one of ours from before goes."""
    router = _Router()
    router.tables["filter"]["zone_wan_forward"] = ["-j x", "-j MINIUPNPD"]
    listing = (0, b"x" * MOST_OUTPUT)
    router.answers["iptables"] = [(0, b""), (0, b""), listing]
    _, router = _opened(router)
    assert router.chain("filter", "zone_wan_forward") == ["-j MINIUPNPD", "-j x"]


def test_only_numbers_and_dotted_quads_reach_the_program():
    firewall, router = _opened()
    for values in ({"client": "1.2.3.4 -j ACCEPT"}, {"client": "host"}, {"remote_host": "::1"},
                   {"remote_host": "1.2.3.4\n-A"}, {"client": ""}):
        raised(ValueError, firewall.add, _mapping(**values), None, 60)
    raised(TypeError, firewall.add, _mapping("8000\nCOMMIT"), None, 60)
    raised(KeyError, firewall.add, _mapping(protocol="ALL"), None, 60)
    assert router.took() == [] and _ports(router) == []


def test_it_is_intact_while_it_holds_the_table_s_mappings_and_nobody_touched_it():
    mappings = [_mapping(), _mapping(9000)]
    firewall, router = _opened(None, mappings)
    assert firewall.is_intact(mappings) and router.took() == []
    assert not firewall.is_intact(mappings[:1]) and not firewall.is_intact(mappings[::-1])
    router.counter += 1
    assert not firewall.is_intact(mappings)


def test_counters_are_those_of_the_translating_rules():
    mappings = [_mapping(), _mapping(9000), _mapping(9001)]
    firewall, router = _opened(None, mappings)
    listing = ("Chain MINIUPNPD (1 references)\n    pkts      bytes target     prot opt in     out     source      "
               "destination\n"
               "       3      180 DNAT       tcp  --  *      *       0.0.0.0/0      0.0.0.0/0         tcp dpt:8000\n"
               "       0        0 DNAT       tcp  --  *      *       0.0.0.0/0      0.0.0.0/0         tcp dpt:9000\n")
    router.answers["iptables"] = [(0, listing.encode()), (1, b"none"),
                                  (0, (listing + " " * (MOST_OUTPUT - len(listing))).encode())]
    assert firewall.counters(mappings) == [(3, 180), (0, 0), (0, 0)]
    assert router.calls[-1][-4:] == ["-t", "nat", "-nvxL", "MINIUPNPD"]
    assert firewall.counters(mappings) == [(0, 0)] * 3
    assert firewall.counters(mappings) == [(3, 180), (0, 0), (0, 0)]  # the last one may be cut
