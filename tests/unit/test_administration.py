"""miniigd.administration: what root's commands do to the gateway, and what they answer."""

from helpers import HOST, HOST6, OTHER, Output, make_gateway, make_gateway6
from miniigd import log
from miniigd.administration import Administration
from miniigd.errors import FirewallError


class _Pause:
    """Stands in for the file's Pause."""

    def __init__(self):
        self.is_on, self.left, self.is_kept, self.calls = False, None, True, []

    def begin(self, seconds, now):
        self.calls.append((seconds, now))
        self.is_on, self.left = True, seconds or None
        return self.is_kept

    def end(self):
        self.calls.append("end")
        self.is_on = False
        return self.is_kept

    def remaining(self, now):
        return self.left

    def is_over(self, now):
        return self.left is not None and now >= self.left


class _Router:
    def __init__(self, ports=(8000, 8001), make=make_gateway):
        self.gateway, self.pause, self.projected = make(), _Pause(), 0
        self.firewall = self.gateway.firewall
        self.administration = Administration(self.gateway, self.pause, self._project, lambda: 3)
        with Output(log):
            for port in ports:
                self.gateway.add(HOST, 100, "", port, "TCP", port, HOST, True, "web", 600)
        self.log = ""

    def _project(self):
        self.projected += 1

    def ask(self, line):
        """Return (exit status, text) of the answer."""
        with Output(log) as output:
            answer = "".join(self.administration.respond(line.encode() if isinstance(line, str) else line, 110))
        self.log = output.text()
        head, _, text = answer.partition("\n")
        return int(head), text

    def ports(self):
        assert [entry[0] for entry in self.firewall.open_mappings] == list(self.gateway.table)
        return [mapping.external_port for mapping in self.gateway.table]


def test_what_is_wrong_is_status_2():
    router = _Router()
    for line in (b"", b" ", b"stop", b"close 0 TCP", b"\xff\xfe", b"version", b"help", b"status \xc3\xa9", b"x" * 80):
        status, text = router.ask(line)
        assert status == 2 and text.endswith("\n") and len(text) > 5, line
        assert [c for c in text[:-1] if not " " <= c <= "~"] == []
    assert router.ports() == [8000, 8001] and router.pause.calls == []


def test_status():
    router = _Router()
    router.firewall.counters = lambda mappings: [(mapping.external_port, 7) for mapping in mappings]
    with Output(log):
        router.gateway.add(OTHER, 100, "", 9000, "UDP", 9000, OTHER, False, "", 600)
    status, text = router.ask("status")
    assert status == 0 and "3 mappings, 3 subscribers" in text
    lines = [line.split() for line in text.split("\n")]
    assert lines[4][-3:] == ["8000", "7", "web"] and lines[5][-3:] == ["8001", "7", "web"]
    assert lines[6][-3:] == ["disabled", "-", "-"]
    status, text = router.ask("status --json")
    assert status == 0 and text.startswith("{") and text.endswith("}\n") and '"packets":8001,"bytes":7' in text


def test_status_without_counters():
    router = _Router()

    def counters(mappings):
        raise FirewallError("told to", 12)

    router.firewall.counters = counters
    status, text = router.ask("status")
    assert status == 0 and [line.split()[-3:] for line in text.split("\n")[4:6]] == [["-", "-", "web"]] * 2
    assert "packets are not counted: told to" in router.log
    assert '"packets":null,"bytes":null' in router.ask("status --json")[1]
    assert "0 mappings" in _Router(()).ask("status")[1]


def test_a_port_is_closed_whoever_has_it():
    router = _Router()
    assert router.ask("close 8000 tcp") == (0, "closed 1 mapping\n")
    assert router.log == "miniigd: info: closed TCP 8000 -> 192.168.1.2:8000: by the administrator\n"
    assert router.ports() == [8001]
    for line in ("close 8000 TCP", "close 8001 UDP", "close 8001 TCP 11.0.0.1"):
        status, text = router.ask(line)
        assert status == 1 and text.startswith("no mapping of "), line
    assert router.ports() == [8001]


def test_a_port_is_closed_for_one_remote_host_or_for_all():
    router = _Router()
    with Output(log):
        for host in ("11.0.0.1", "11.0.0.2"):
            router.gateway.add(HOST, 100, host, 8000, "TCP", 8000, HOST, True, "", 600)
    assert router.ask("close 8000 TCP 11.0.0.2") == (0, "closed 1 mapping\n")
    assert sorted([mapping.remote_host for mapping in router.gateway.table]) == ["", "", "11.0.0.1"]
    assert router.ask("close 8000 TCP") == (0, "closed 2 mappings\n")
    assert "closed TCP 8000 -> 192.168.1.2:8000 from 11.0.0.1: by the administrator" in router.log
    assert router.ports() == [8001]


def test_what_the_owner_closes_is_always_in_the_log():
    router = _Router(range(8000, 8050))
    log.set_clock(lambda: 110)
    try:
        for port in range(8000, 8049):
            assert router.ask("close %d TCP" % port)[0] == 0
            assert "closed TCP %d -> " % port in router.log
        router.ask("close-all")
        assert "closed 1 mapping by the administrator" in router.log
    finally:
        log.set_clock(None)


def test_everything_is_closed():
    router = _Router()
    assert router.ask("close-all") == (0, "closed 2 mappings\n")
    assert router.log.count(": by the administrator") == 2
    assert router.log.endswith("closed 2 mappings by the administrator\n")
    assert router.ports() == []
    assert router.ask("close-all") == (0, "closed 0 mappings\n")
    with Output(log):
        router.gateway.add(HOST, 100, "", 8000, "TCP", 8000, HOST, True, "", 600)
    assert router.ports() == [8000]


def test_a_firewall_that_refuses_closes_nothing():
    router = _Router()
    router.firewall.failure = FirewallError("told to", 12)
    for line in ("close 8000 TCP", "close-all"):
        assert router.ask(line) == (1, "nothing was closed: told to\n")
    assert router.ports() == [8000, 8001]


def test_pause_and_resume():
    router = _Router()
    assert router.ask("pause") == (0, "paused until 'miniigd resume', closed 2 mappings\n")
    assert "paused by the administrator until 'miniigd resume'\n" in router.log
    assert router.log.count("closed TCP") == 2
    assert router.ports() == [] and router.gateway.is_paused and router.pause.calls == [(0, 110)]
    assert "PAUSED until" in router.ask("status")[1]
    assert router.ask("pause 1") == (0, "paused for 1 minutes, closed 0 mappings\n")
    assert router.pause.calls[-1] == (60, 110)
    assert "PAUSED for another 0:01:00" in router.ask("status")[1]
    assert router.ask("resume") == (0, "resumed: ports open when their programs ask again\n")
    assert "resumed by the administrator" in router.log
    assert not router.gateway.is_paused and router.pause.calls[-1] == "end"
    assert "PAUSED" not in router.ask("status")[1]
    assert router.ask("resume") == (0, "nothing was paused\n") and router.log == ""


def test_a_pause_that_the_firewall_does_not_follow_is_tried_again():
    router = _Router()
    router.firewall.failure = FirewallError("told to", 12)
    status, text = router.ask("pause")
    assert status == 1 and text.startswith("paused until 'miniigd resume', but the firewall") and "told to" in text
    assert router.gateway.is_paused and len(router.gateway.table) == 0 and router.projected == 1


def test_a_pause_that_a_restart_would_not_know_of_is_said():
    router = _Router()
    router.pause.is_kept = False
    status, text = router.ask("pause 5")
    assert status == 1 and "paused for 5 minutes, but not beyond a restart" in text
    assert router.ports() == [] and router.gateway.is_paused
    status, text = router.ask("resume")
    assert status == 1 and "a restart pauses again" in text and not router.gateway.is_paused


def test_a_pause_ends_by_itself():
    router = _Router()
    router.ask("pause 5")
    with Output(log) as output:
        router.administration.look(299)
        assert router.gateway.is_paused
        router.administration.look(300)
    assert not router.gateway.is_paused and not router.pause.is_on
    assert output.text() == "miniigd: info: resumed: the pause is over\n"


def test_pinholes_are_shown_and_closed_with_the_rest():
    for command, answer in (("close-all", "closed 2 mappings, 2 pinholes"),
                            ("pause", "paused until 'miniigd resume', closed 2 mappings, 2 pinholes")):
        router = _Router(make=make_gateway6)
        with Output(log):
            for port in (8000, 8001):
                router.gateway.pinholes.add(HOST6, 100, "", 0, HOST6, port, "TCP", 600)
        router.firewall.packets = 7
        status, text = router.ask("status")
        assert status == 0 and "2 IPv6 pinholes\n" in text
        assert [line.split()[-2:] for line in text.split("\n") if "2001:db8::2" in line] == [["7", "420"]] * 2
        assert '"pinholes":[\n{"unique_id":1,' in router.ask("status --json")[1]
        assert router.ask(command) == (0, answer + "\n")
        assert router.firewall.open_pinholes == [] and len(router.gateway.pinholes.table) == 0


def test_pinholes_that_nobody_counts_are_shown_all_the_same():
    router = _Router(make=make_gateway6)
    with Output(log):
        router.gateway.pinholes.add(HOST6, 100, "", 0, HOST6, 8000, "TCP", 600)

    def fail(some):
        raise FirewallError("told to", 12)

    router.firewall.pinhole_counters = fail
    assert "[2001:db8::2]:8000" in router.ask("status")[1] and "packets are not counted: told to" in router.log
