"""miniigd.ports: the search goes up from what was asked, through what is allowed and free, and then from the lowest."""

from helpers import HOST, OTHER, Output, make_gateway, raised
from miniigd import log, ports
from miniigd.errors import UPnPError
from miniigd.policy import Policy
from miniigd.rules import Rule


def _gateway(taken=(), rules=()):
    gateway = make_gateway(policy=Policy(list(rules)))
    with Output(log):
        for client, port, internal_port in taken:
            gateway.add(client, 100, "", port, "TCP", internal_port, client, True, "", 0)
    return gateway


def _found(gateway, asked, is_own=False, internal_port=8000):
    return ports.find(gateway, asked, "TCP", HOST, internal_port, "", is_own)


def test_the_one_that_was_asked_for_or_the_next():
    gateway = _gateway([(OTHER, 8000, 8000), (HOST, 8001, 8001)])
    assert _found(gateway, 7999) == 7999
    assert _found(gateway, 8000) == _found(gateway, 8001) == 8002
    assert _found(gateway, 8001, True) == 8001  # its own
    assert _found(gateway, 8000, True) == 8002
    assert ports.find(gateway, 8000, "UDP", HOST, 8000, "") == 8000


def test_what_the_router_serves_is_left_out():
    gateway = _gateway()
    gateway.wan.services = (("TCP", 8000), ("TCP", 8001), ("UDP", 8002))
    assert _found(gateway, 8000) == 8002


def test_behind_the_last_comes_the_lowest():
    gateway = _gateway([(OTHER, 65535, 1024)])
    assert _found(gateway, 65535) == 1024


def test_only_what_is_allowed():
    rules = [Rule(True, (8000, 8001)), Rule(True, (9000, 9000)), Rule(False)]
    assert _found(_gateway((), rules), 8001) == 8001
    assert _found(_gateway((), rules), 8002) == 9000
    assert _found(_gateway([(OTHER, 9000, 8000)], rules[:2] + [Rule(True, internal=(8000, 8000))]), 9000) == 9001
    gateway = _gateway((), rules)
    with Output(log):
        for port in (8000, 8001, 9000):
            gateway.add(OTHER, 100, "", port, "TCP", 8000, OTHER, True, "", 0)
    assert raised(UPnPError, _found, gateway, 8000).code == 728
    assert _found(_gateway((), [Rule(False)]), 8000) is None


def test_a_refused_low_port_has_no_other_in_its_place():
    assert _found(_gateway(), 80) is None
    assert _found(_gateway((), [Rule(True, (80, 80))]), 80) == 80
    # others below 1024 come last
    assert _found(_gateway((), [Rule(True, (80, 81)), Rule(False)]), 9000) == 80
