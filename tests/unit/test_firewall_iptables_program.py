"""miniigd.firewall.iptables_program: what its complaints mean, and the texts that it is given."""

import errno

from helpers import Output, raised
from miniigd import log
from miniigd.errors import FirewallError
from miniigd.firewall.iptables_chains import HOOKS
from miniigd.firewall.iptables_program import Program, beginning, restore_text


class _Answers:
    """Stands in for compat.run_program: answers one by one, remembers what was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.calls = []

    def __call__(self, argv, data):
        self.calls.append((argv, data))
        return self.answers.pop(0)


def _program(*answers, **named):
    run = _Answers(*answers)
    return Program(named.get("name", "ip6tables"), run, [HOOKS[2]], "wan"), run


def test_the_program_is_looked_for_once():
    program, run = _program((0, b""), (0, b""))
    assert not program.is_found
    program.find()
    program.restore([b"a", b"b"])
    assert program.is_found and run.calls == [
        (["ip6tables-restore", "--noflush", "--wait=5"], b""), (["ip6tables-restore", "--noflush", "--wait=5"], b"ab")]
    program, run = _program((2, b"unknown option\n"), (0, b""))
    program.find()
    program.restore([b"a"])
    assert run.calls[1][0] == ["ip6tables-restore", "--noflush"]
    program, _ = _program((127, b""))
    assert "install the package ip6tables" in raised(FirewallError, program.find).text
    assert not program.is_found


def test_what_it_complains_of_has_a_remedy():
    for output, status, text, number in (
            (b"can't initialize: Permission denied (you must be root)", 3, "run miniigd as root", 0),
            (b"modprobe: insmod failed", 3, "load iptable_nat", 0), (b"holding the xtables lock", 4, "which iptables", 0),
            (b"line 3 failed\nmore", 1, "ip6tables-restore ended with status 1: line 3 failed", errno.ENOENT),
            (b"\xff\xfe", 2, "status 2: ??", 0), (b"", 127, "cannot be run", 0)):
        program, _ = _program((0, b""), (status, output))
        program.find()
        error = raised(FirewallError, program.restore, [b"x"])
        assert text in error.text and error.text.startswith("ip6tables: ") and error.number == number, output


def test_the_jumps_are_looked_for_until_they_are_made():
    listing = b"num pkts bytes target prot opt in out source destination\n"
    program, run = _program((0, b""), (1, b"No chain"), (0, listing), (1, b"No chain"), (0, listing))
    with Output(log) as output:
        program.look("eth1")
        ((hook, place, lines),) = program.take_jumps("eth1")
    assert place == "forwarding_rule" and lines == ["-A forwarding_rule -i eth1 -j MINIUPNPD"]
    assert output.text().count("from forwarding_rule") == 1
    assert run.calls[1][0] == ["ip6tables", "--wait=5", "-t", "filter", "--line-numbers", "-nvL", "zone_wan_forward"]
    program.take_jumps("eth1")
    assert len(run.calls) == 5
    assert program.removal("filter", "eth1") == (
        b"*filter\n-D forwarding_rule -i eth1 -j MINIUPNPD\n-F MINIUPNPD\n-X MINIUPNPD\nCOMMIT\n")
    assert program.removal("nat", "eth1") == b""
    assert program.emptying("filter") == b"*filter\n:MINIUPNPD - [0:0]\nCOMMIT\n"
    assert beginning("filter", [(hook, place, lines)]) == [":MINIUPNPD - [0:0]"] + lines
    assert beginning("nat", [(hook, place, lines)]) == []


def test_an_empty_text_is_none():
    assert restore_text("filter", []) == b"" and restore_text("nat", ["-F x"]) == b"*nat\n-F x\nCOMMIT\n"


def test_counters():
    line = b"12 720 ACCEPT tcp * * ::/0 2001:db8::2 tcp dpt:8000\n"
    for output, expected in ((b"Chain x\npkts bytes target\n" + line, [(12, 720), (0, 0)]), (line * 3, [(12, 720)] * 2),
                             (b"", [(0, 0)] * 2)):
        program, _ = _program((0, output))
        assert program.counters("filter", "MINIUPNPD", 2) == expected
    program, _ = _program((1, line))
    assert program.counters("filter", "MINIUPNPD", 1) == [(0, 0)]
