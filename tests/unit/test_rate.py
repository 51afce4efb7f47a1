"""miniigd.rate: what a host may take at once, what it regains, what all may together, and that few are remembered."""

from helpers import Output
from miniigd import log
from miniigd.rate import Sources

HOST, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02"


def _taken(sources, now_ms, host=HOST, tries=100):
    return len([1 for _ in range(tries) if sources.allow(host, 1, now_ms)])


def test_a_burst_and_then_so_many_a_second():
    sources = Sources(10, 4, "asks too often")
    with Output(log) as output:
        assert _taken(sources, 1000) == 10
        assert _taken(sources, 1000, OTHER) == 10  # everybody has his own
        assert _taken(sources, 1249) == 0
        assert _taken(sources, 1250) == 1
        assert _taken(sources, 2250) == 4
        assert _taken(sources, 3600000) == 10
    # once for each time that it began
    lines = output.text().split("\n")
    assert lines == ["miniigd: warning: refused an answer: %s asks too often" % host
                     for host in (HOST, OTHER, HOST)] + [""]


def test_all_or_nothing_is_taken():
    sources = Sources(10, 4, "asks too often")
    with Output(log):
        assert [sources.allow(HOST, count, 0) for count in (6, 5, 4, 1)] == [True, False, True, False]


def test_whom_nobody_knows_shares_with_the_others_and_a_known_host_is_served():
    """One host forges 200 addresses, each of which asks for little."""
    sources = Sources(10, 4, "asks too often")
    with Output(log) as output:
        taken = served = 0
        for now_ms in range(1000, 61000, 5):
            taken += sources.allow(None, 1, now_ms, "192.168.1.%d" % (now_ms // 5 % 200))
            if now_ms % 1000 == 0:
                served += sources.allow(HOST, 1, now_ms, "192.168.1.250")
    assert 10 + 4 * 59 <= taken <= 10 + 4 * 60 and served == 60
    assert len(sources) == 1
    assert output.text().count("\n") == 1  # it never was moderate


def test_all_hosts_together_have_a_bound():
    """Whoever forges link-layer addresses too is bounded all the same, and then nobody is treated better."""
    sources = Sources(10, 4, "asks too often")
    with Output(log):
        assert len([1 for index in range(2000) if sources.allow(str(index), 1, 1000)]) == 40
        assert len([1 for index in range(2000) if sources.allow(str(index), 1, 2000)]) == 16
        assert _taken(sources, 3600000, "x") == 10


def test_the_memory_of_hosts_is_bounded():
    sources = Sources(100, 1, "asks too often")
    with Output(log):
        for index in range(1000):
            sources.allow(str(index), 1, 0)
            assert len(sources) <= 64
        # Who has not got back yet what he took is remembered, whoever else asks.
        assert "0" in sources and "999" not in sources
        assert sources.allow("999", 1, 1000) and "0" not in sources and len(sources) == 1


def test_the_others_hear_nothing_of_a_host_without_room():
    sources = Sources(4, 1, "asks too often")
    with Output(log):
        for index in range(16):
            sources.allow(str(index), 1, 0)
        for now_ms in range(250, 12000, 250):  # as much as all together regain
            sources.allow(str(now_ms), 1, now_ms)
        assert len(sources) <= 64
        assert _taken(sources, 60000, "x") == 4


def test_who_stops_and_begins_again_does_not_fill_the_log():
    """All of it in an hour is twenty lines, then one in five minutes."""
    sources = Sources(4, 4, "asks too often")
    seconds = [0]
    with Output(log) as output:
        log.set_clock(lambda: seconds[0])
        for second in range(0, 3600, 2):
            seconds[0] = second
            assert _taken(sources, second * 1000, tries=9) == 4
        log.set_clock(None)
    assert 20 <= output.text().count("\n") <= 20 + 3600 // 300 + 1
