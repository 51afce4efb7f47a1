"""miniigd.firewall.memory: remembers what would be open, in order, and fails when it is told to."""

from helpers import raised
from miniigd.errors import FirewallError
from miniigd.firewall.memory import MemoryFirewall
from miniigd.mapping import PortMapping


def _mapping(port, expires=160):
    return PortMapping("", port, "TCP", port, "192.168.1.2", True, "", 60, expires)


def test_open_replace_and_close():
    firewall = MemoryFirewall()
    firewall.open(None)
    first, second, third = _mapping(8000), _mapping(8001), _mapping(8000)
    firewall.add(first, None, 60)
    firewall.add(second, None, 30)
    assert firewall.open_mappings == [(first, 60), (second, 30)]
    firewall.add(third, first, 90)
    assert firewall.open_mappings == [(third, 90), (second, 30)]
    firewall.remove([third])
    assert firewall.open_mappings == [(second, 30)]
    firewall.remove([third])
    assert firewall.open_mappings == [(second, 30)]
    firewall.close()
    assert firewall.open_mappings == []


def test_a_replaced_one_that_is_not_open():
    firewall = MemoryFirewall()
    mapping = _mapping(8000)
    firewall.add(mapping, _mapping(8000), 60)
    assert firewall.open_mappings == [(mapping, 60)]


def test_sync_holds_exactly_these():
    firewall = MemoryFirewall()
    firewall.add(_mapping(8000), None, 60)
    mappings = [_mapping(8001, 160), _mapping(8002, 170)]
    firewall.sync(mappings, 100)
    assert firewall.open_mappings == [(mappings[0], 60), (mappings[1], 70)]
    firewall.sync([], 100)
    assert firewall.open_mappings == []


def test_a_failure_changes_nothing():
    firewall = MemoryFirewall()
    mapping = _mapping(8000)
    firewall.add(mapping, None, 60)
    firewall.failure = FirewallError("told to", 12)
    for change in (lambda: firewall.add(_mapping(8001), None, 60), lambda: firewall.add(_mapping(8000), mapping, 90),
                   lambda: firewall.remove([mapping]), lambda: firewall.sync([], 100)):
        assert raised(FirewallError, change) is firewall.failure
        assert firewall.open_mappings == [(mapping, 60)]
    firewall.failure = None
    firewall.remove([mapping])


def test_it_knows_what_it_holds():
    firewall, mappings = MemoryFirewall(), [object(), object()]
    firewall.sync([], 100)
    assert firewall.is_intact([]) and not firewall.is_intact(mappings)
    firewall.open_mappings = [(mapping, 60) for mapping in mappings]
    assert firewall.is_intact(mappings) and not firewall.is_intact(mappings[::-1])
    assert firewall.counters(mappings) == [(0, 0)] * 2
