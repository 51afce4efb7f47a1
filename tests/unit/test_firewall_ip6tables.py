"""miniigd.firewall.ip6tables: the rules of pinholes, and what becomes of a router without the program."""

import errno

from helpers import Output, raised
from miniigd import log
from miniigd.compat import MOST_OUTPUT
from miniigd.errors import FirewallError
from miniigd.firewall.ip6tables import Ip6tables
from miniigd.firewall.iptables import IptablesFirewall
from miniigd.pinhole import Pinhole

HEAD = "Chain %s (1 references)\nnum   pkts bytes target     prot opt in     out     source               destination\n"
ZONE = "zone_wan_forward"


class _Router:
    """Stands in for ip6tables and the kernel: keeps the chains of its filter, does what ip6tables-restore is given."""

    def __init__(self, chains=(ZONE, "FORWARD"), is_there=True):
        self.chains = {name: [] for name in chains}
        self.is_there = is_there
        self.calls, self.answers = [], []  # argv, and what is answered instead
        self.counter = 0

    def run(self, argv, data):
        if argv[0].startswith("iptables"):
            return (0, b"") if "-restore" in argv[0] else (0, (HEAD % argv[-1]).encode())
        self.calls.append(argv)
        if not self.is_there:
            return 127, b""
        if self.answers:
            return self.answers.pop(0)
        if argv[0] == "ip6tables":
            return self._list(argv[-1])
        assert argv[0] == "ip6tables-restore" and "--noflush" in argv
        chains = {name: rules[:] for name, rules in self.chains.items()}
        lines = data.decode().split("\n")[:-1]
        if not lines:
            return 0, b""
        assert lines[0] == "*filter" and lines[-1] == "COMMIT"
        for line in lines[1:-1]:
            words = line.split(" ")
            if line[0] == ":":
                chains[words[0][1:]] = []
            elif words[1] not in chains or not _change(chains, words):
                return 1, b"ip6tables-restore: line 2 failed\n"
        self.chains, self.counter = chains, self.counter + 1
        return 0, b""

    def _list(self, name):
        if name not in self.chains:
            return 1, b"ip6tables: No chain/target/match by that name.\n"
        text = HEAD % name
        for number, rule in enumerate(self.chains[name]):
            words = rule.split(" ")
            counts = "%d 5 300" % (number + 1) if name.startswith("zone") else "%d %d" % (number + 1, 60 * (number + 1))
            text += "%s %s all      %s * ::/0 ::/0\n" % (
                counts, words[words.index("-j") + 1], words[words.index("-i") + 1] if "-i" in words else "*")
        return 0, text.encode()

    def info(self, table):
        return b"%d" % self.counter

    def took(self):
        calls, self.calls = self.calls, []
        return [argv[0] for argv in calls]


def _change(chains, words):
    command, name, rule = words[0], words[1], " ".join(words[2:])
    if command == "-A":
        chains[name].append(rule)
    elif command == "-I":
        chains[name].insert(int(words[2]) - 1, " ".join(words[3:]))
    elif command == "-D" and rule in chains[name]:
        chains[name].remove(rule)
    elif command == "-F":
        chains[name] = []
    elif command == "-X" and not chains[name]:
        del chains[name]
    else:
        return False
    return True


def _pinhole(port=8000, remote_host="", remote_port=0, protocol="TCP"):
    return Pinhole(port, remote_host, remote_port, protocol, "2001:db8::2", port, 60, 160)


def _opened(router=None, pinholes=()):
    router = router or _Router()
    pinholes_of = Ip6tables(router.run, router.info)
    with Output(log) as output:
        pinholes_of.open("eth1")
        pinholes_of.sync(list(pinholes))
    router.log = output.text()
    router.took()
    return pinholes_of, router


def test_the_rules_of_a_pinhole():
    it, router = _opened()
    for pinhole in (_pinhole(), _pinhole(8001, "2001:db8:9::1"), _pinhole(8002, "", 77, "UDP"),
                    _pinhole(8003, "2001:db8:9::1", 77)):
        it.add(pinhole, False)
        assert router.took() == ["ip6tables-restore"]
    assert router.chains["MINIUPNPD"] == [
        "-d 2001:db8::2 -p tcp --dport 8000 -j ACCEPT",
        "-s 2001:db8:9::1 -d 2001:db8::2 -p tcp --dport 8001 -j ACCEPT",
        "-d 2001:db8::2 -p udp --sport 77 --dport 8002 -j ACCEPT",
        "-s 2001:db8:9::1 -d 2001:db8::2 -p tcp --sport 77 --dport 8003 -j ACCEPT"]
    assert router.chains[ZONE] == ["-j MINIUPNPD"] and router.chains["FORWARD"] == []
    assert "pinholes go into the ip6tables chains MINIUPNPD, from zone_wan_forward\n" in router.log


def test_closing_is_one_process_and_a_renewal_none():
    some = [_pinhole(port) for port in (8000, 8001, 8002)]
    it, router = _opened(None, some)
    assert it.is_intact(some)
    it.add(some[1], True)
    assert router.took() == []
    it.remove([some[2], some[0], _pinhole(9000)])
    assert router.took() == ["ip6tables-restore"]
    assert router.chains["MINIUPNPD"] == ["-d 2001:db8::2 -p tcp --dport 8001 -j ACCEPT"] and it.is_intact(some[1:2])
    it.remove(some[:1])
    assert router.took() == []
    assert raised(FirewallError, it.add, some[0], True).is_absence


def test_where_there_is_no_zone_the_jump_is_for_the_wan_alone():
    for chains, place in ((("forwarding_rule", "FORWARD"), "forwarding_rule"), (("FORWARD",), "FORWARD")):
        _, router = _opened(_Router(chains))
        assert router.chains[place] == ["-i eth1 -j MINIUPNPD"]


def test_the_jump_comes_before_the_end_of_the_zone_and_once():
    router = _Router()
    router.chains[ZONE] = ["-j ACCEPT_some", "-j zone_wan_dest_REJECT"]
    it, router = _opened(router)
    assert router.chains[ZONE] == ["-j ACCEPT_some", "-j MINIUPNPD", "-j zone_wan_dest_REJECT"]
    for _ in range(2):
        with Output(log):
            it.open("eth1")
            it.sync([])
    assert router.chains[ZONE].count("-j MINIUPNPD") == 1


def test_what_somebody_else_changed_is_noticed_and_put_back():
    some = [_pinhole(port) for port in (8000, 8001)]
    it, router = _opened(None, some)
    router.chains["MINIUPNPD"], router.counter = [], router.counter + 1
    assert not it.is_intact(some)
    for change in (lambda: it.add(_pinhole(8002), False), lambda: it.remove(some), lambda: it.add(some[0], True)):
        assert raised(FirewallError, change).is_absence
    it.sync(some)
    assert len(router.chains["MINIUPNPD"]) == 2 and it.is_intact(some)
    router.answers = [(1, b"ip6tables-restore: line 3 failed\n")]
    assert raised(FirewallError, it.add, _pinhole(8002), False).number == errno.ENOENT
    assert not it.is_intact(some)


def test_many_go_in_pieces():
    some = [_pinhole(2000 + index) for index in range(250)]
    it, router = _opened()
    it.sync(some)
    assert router.took() == ["ip6tables"] * 1 + ["ip6tables-restore"] * 3
    assert len(router.chains["MINIUPNPD"]) == 250 and it.is_intact(some)


def test_a_router_without_the_program_has_no_pinholes():
    it, router = _opened(_Router(is_there=False))
    assert "ip6tables-restore cannot be run" in it.refusal and router.log.count("no IPv6 pinholes") == 1
    assert it.is_intact([_pinhole()]) and it.counters([_pinhole()]) == [(0, 0)]
    assert raised(FirewallError, it.add, _pinhole(), False).text == it.refusal
    with Output(log) as output:
        it.open("eth1")  # said once
        it.close()
    assert output.text() == ""
    router.is_there = True
    it, router = _opened(router)
    assert it.refusal == ""


def test_a_trouble_with_pinholes_in_the_kernel_is_tried_again():
    it, router = _opened(None, [_pinhole()])
    router.answers = [(4, b"Another app is currently holding the xtables lock\n")]
    assert "xtables lock" not in raised(FirewallError, it.open, "eth1").text  # the remedy is
    assert it.refusal == ""


def test_before_it_was_opened_nothing_is_done():
    router = _Router()
    it = Ip6tables(router.run, router.info)
    assert raised(FirewallError, it.add, _pinhole(), False).number == errno.ENODEV
    it.close()
    assert router.calls == []


def test_counters_are_each_pinhole_s_own():
    some = [_pinhole(port) for port in (8000, 8001, 8002)]
    it, router = _opened(None, some)
    assert it.counters([some[2], some[0], _pinhole(9000)]) == [(3, 180), (1, 60), (0, 0)]
    router.answers = [(0, b"1 60 ACCEPT tcp * * ::/0 2001:db8::2 tcp dpt:8000\n" * 400)]
    assert it.counters(some)[0] == (1, 60) and len(b"x" * 400) < MOST_OUTPUT


def test_nothing_is_left_behind():
    it, router = _opened(None, [_pinhole()])
    it.close()
    assert router.chains == {ZONE: [], "FORWARD": []}
    it, router = _opened(None, [_pinhole()])
    router.chains[ZONE] = []  # somebody took the jump
    it.close()
    assert router.chains["MINIUPNPD"] == []


def test_the_back_end_hands_over():
    router = _Router()
    firewall = IptablesFirewall(router.run, lambda table: b"", info6=router.info)

    class _Wan:
        name, index, name6 = "eth1", 4, "6in4-wan6"

    assert firewall.pinhole_refusal == ""
    some = [_pinhole()]
    with Output(log):
        firewall.open(_Wan())
        firewall.sync([], 100, some)
    assert firewall.is_intact([], some) and not firewall.is_intact([], [])
    firewall.add_pinhole(_pinhole(8001), 60, False)
    assert len(router.chains["MINIUPNPD"]) == 2
    firewall.remove_pinholes(some)
    assert firewall.pinhole_counters(some) == [(0, 0)] and len(router.chains["MINIUPNPD"]) == 1
    firewall.close()
    assert "MINIUPNPD" not in router.chains
    router.is_there = False
    firewall = IptablesFirewall(router.run, lambda table: b"", info6=router.info)
    with Output(log):
        firewall.open(_Wan())
        firewall.sync([], 100, some)
    assert firewall.pinhole_refusal and raised(FirewallError, firewall.add_pinhole, some[0], 60, False)
    firewall = IptablesFirewall(router.run, lambda table: b"")  # without pinholes
    assert "switched off" in firewall.pinhole_refusal
    raised(FirewallError, firewall.add_pinhole, some[0], 60, False)
