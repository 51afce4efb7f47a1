"""miniigd.rate: what a source may take at once, what it regains, and that few are remembered."""

from helpers import Output
from miniigd import log
from miniigd.rate import Sources

HOST, OTHER = "192.168.1.2", "192.168.1.3"


def _taken(sources, now_ms, address=HOST, tries=100):
    return len([1 for _ in range(tries) if sources.allow(address, 1, now_ms)])


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
    assert lines == ["miniigd: warning: %s asks too often" % host for host in (HOST, OTHER, HOST)] + [""]


def test_all_or_nothing_is_taken():
    sources = Sources(10, 4, "asks too often")
    with Output(log):
        assert [sources.allow(HOST, count, 0) for count in (6, 5, 4, 1)] == [True, False, True, False]


def test_the_memory_of_sources_is_bounded():
    sources = Sources(1, 1, "asks too often")
    for index in range(1000):
        assert sources.allow("10.0.%d.%d" % (index >> 8, index & 255), 1, index)
        assert len(sources) <= 64
    # who was forgotten may ask again; who was not is remembered
    assert "10.0.3.231" in sources and "10.0.0.0" not in sources
    with Output(log):
        assert not sources.allow("10.0.3.231", 1, 999) and sources.allow("10.0.0.0", 1, 999)
