"""miniigd.policy: a host opens unprivileged ports, to itself only, unless the configuration says otherwise."""

from helpers import HOST, HOST6, OTHER, ROUTER6, Neighbours, make_lan6, raised
from miniigd import rules
from miniigd.errors import UPnPError
from miniigd.interfaces import Interface
from miniigd.mapping import PortMapping
from miniigd.policy import Policy, is_match

ALL = (1, 65535)
SHIPPED = (rules.Rule(True, (1024, 65535), (1024, 65535)), rules.Rule(False, name="perm_rule 2 (Default deny)"))


def _mapping(client, external_port=8000, internal_port=8000, description=""):
    return PortMapping("", external_port, "TCP", internal_port, client, True, description, 0, 100)


def _is_allowed(policy, *arguments, caller=None):
    try:
        policy.check_add(caller or arguments[0], _mapping(*arguments))
        return True
    except UPnPError as error:
        assert error.code == 606 and error.reason
        return False


def test_a_host_may_open_a_port_to_itself():
    for policy in (Policy(), Policy(SHIPPED)):
        for port in (1024, 8000, 65535):
            policy.check_add(HOST, _mapping(HOST, port, port))


def test_nobody_opens_a_port_to_another_host():
    for client in (OTHER, "192.168.1.20", "192.168.1.1", "127.0.0.1", "8.8.8.8", "255.255.255.255", ""):
        error = raised(UPnPError, Policy().check_add, HOST, _mapping(client))
        assert error.code == 606
        assert client in error.reason


def test_privileged_ports_stay_closed_on_both_sides():
    others_only = Policy([rules.Rule(True, ALL, ALL, rules.parse_network(OTHER))])
    for policy in (Policy(), Policy(SHIPPED), others_only):
        for external_port, internal_port in ((1023, 8000), (8000, 1023), (22, 22), (0, 8000), (8000, 0)):
            assert not _is_allowed(policy, HOST, external_port, internal_port)


def test_a_rule_opens_privileged_ports():
    policy = Policy([rules.Rule(True, (80, 90), (80, 80), rules.parse_network("192.168.1.2/31"))])
    for client, external_port, internal_port, is_allowed in (
            (HOST, 80, 80, True), (HOST, 90, 80, True), (OTHER, 80, 80, True), ("192.168.1.4", 80, 80, False),
            ("192.168.0.2", 80, 80, False), ("193.168.1.2", 80, 80, False), (HOST, 79, 80, False),
            (HOST, 91, 80, False), (HOST, 80, 81, False), (HOST, 80, 79, False), (HOST, 8000, 8000, True)):
        assert _is_allowed(policy, client, external_port, internal_port) == is_allowed


def test_the_first_rule_that_matches_counts():
    deny, allow = rules.Rule(False, (80, 8080), name="perm_rule 7 (why)"), rules.Rule(True, (80, 9000))
    assert not _is_allowed(Policy([deny, allow]), HOST, 80)
    assert _is_allowed(Policy([deny, allow]), HOST, 9000)
    assert _is_allowed(Policy([allow, deny]), HOST, 80)
    assert not _is_allowed(Policy([deny]), HOST, 8080)
    assert _is_allowed(Policy([deny]), HOST, 8081)  # no rule matches
    error = raised(UPnPError, Policy([deny]).check_add, HOST, _mapping(HOST, 81))
    assert error.reason == "perm_rule 7 (why) denies it"


def test_rules_match_networks():
    for network, client, is_denied in (
            ("0.0.0.0/0", HOST, True), (HOST, HOST, True), (OTHER, HOST, False), ("192.168.0.0/16", HOST, True),
            ("192.168.0.0/24", HOST, False), ("192.168.1.0/30", HOST, True), ("192.168.1.0/30", "192.168.1.4", False),
            ("128.0.0.0/1", HOST, True), ("0.0.0.0/1", HOST, False)):
        policy = Policy([rules.Rule(False, network=rules.parse_network(network))])
        assert _is_allowed(policy, client) != is_denied, network


def test_rules_match_descriptions():
    for text, description, is_found in (
            ("torrent", "uTorrent 3", True), ("torrent", "Skype", False), ("^torrent", "uTorrent", False),
            ("^uT", "uTorrent", True), ("3$", "uTorrent 3", True), ("3$", "uTorrent 30", False),
            ("^a$", "a", True), ("^a$", "aa", False), ("^a.*a$", "a", False), ("^a.*a$", "aa", True),
            ("a.*b.*c", "xaxbxc", True), ("a.*b.*c", "acb", False), ("^.*$", "", True), ("aa.*aa", "aaa", False)):
        assert is_match(rules.parse_filter(text), description) == is_found, text
    policy = Policy([rules.Rule(False, description=rules.parse_filter("torrent"))])
    assert not _is_allowed(policy, HOST, 8000, 8000, "uTorrent")
    assert _is_allowed(policy, HOST, 8000, 8000, "game")


def _ranges(policy, internal_port=8000, client=HOST):
    found, start = [], 1
    while True:
        allowed = policy.allowed_range(start, client, internal_port, "")
        if allowed is None:
            return found
        found.append(allowed)
        start = allowed[1] + 1


def test_allowed_ranges_are_what_check_add_allows():
    some = [rules.Rule(False, (2000, 2999)), rules.Rule(True, (2500, 3500), (1, 9000)), rules.Rule(True, (80, 80)),
            rules.Rule(False, (3400, 4000), (8000, 8000)), rules.Rule(False, (65535, 65535)),
            rules.Rule(False, (1024, 1030), ALL, rules.parse_network(OTHER))]
    for policy in (Policy(), Policy(SHIPPED), Policy(some), Policy(list(reversed(some))),
                   Policy([rules.Rule(False)]), Policy([rules.Rule(True)])):
        for internal_port in (80, 8000):
            found = _ranges(policy, internal_port)
            for port in (1, 79, 80, 81, 1023, 1024, 1999, 2000, 2499, 2500, 2999, 3000, 3399, 3400, 3500, 3501, 4000,
                         4001, 65534, 65535):
                is_in = len([one for one in found if one[0] <= port <= one[1]]) == 1
                assert is_in == _is_allowed(policy, HOST, port, internal_port), (port, internal_port)
    assert _ranges(Policy()) == [(1024, 65535)]
    assert _ranges(Policy([rules.Rule(False)])) == []
    assert _ranges(Policy(), 80) == []
    assert len(_ranges(Policy(some))) < 10


def test_only_the_owner_changes_a_mapping():
    Policy().check_owner(HOST, _mapping(HOST))
    for caller in (OTHER, "192.168.1.1", "192.168.1.22", ""):
        error = raised(UPnPError, Policy().check_owner, caller, _mapping(HOST))
        assert error.code == 606
        assert HOST in error.reason


def _interface(name, *addresses):
    interface = Interface(name)
    interface.addresses = list(addresses)
    return interface


def test_without_secure_mode_a_host_opens_ports_to_others_of_the_lan_only():
    lan = _interface("lan", ("192.168.1.1", 24), ("10.0.0.1", 30), ("10.1.0.0", 31))
    wan = _interface("wan", ("192.168.1.200", 24))
    policy = Policy((), False, [lan], [lan, wan])
    for client, is_allowed in (
            (HOST, True), (OTHER, True), ("192.168.1.254", True), ("10.0.0.2", True), ("10.1.0.1", True),
            ("192.168.1.1", False), ("10.0.0.1", False), ("10.1.0.0", False), ("192.168.1.200", False),
            ("192.168.1.0", False), ("192.168.1.255", False), ("10.0.0.3", False), ("10.0.0.0", False),
            ("192.168.2.2", False), ("127.0.0.1", False), ("8.8.8.8", False), ("255.255.255.255", False),
            ("0.0.0.0", False), ("224.0.0.1", False)):
        assert _is_allowed(policy, client, caller=HOST) == is_allowed, client
    assert not _is_allowed(policy, OTHER, 80, caller=HOST)
    policy.check_owner(HOST, _mapping(OTHER))
    local = _interface("lo", ("127.0.0.1", 8))
    assert not _is_allowed(Policy((), False, [local], [local]), "127.0.0.2", caller=HOST)
    denied = Policy([rules.Rule(False, network=rules.parse_network(OTHER))], False, [lan], [lan])
    assert not _is_allowed(denied, OTHER, caller=HOST) and _is_allowed(denied, HOST)


class _Pinhole:
    def __init__(self, internal_client, internal_port=8000):
        self.internal_client, self.internal_port = internal_client, internal_port


def _pinhole_code(policy, caller, *ends):
    try:
        policy.check_pinhole(caller, _Pinhole(*ends))
    except UPnPError as error:
        return error.code
    return 0


def test_a_pinhole_is_for_a_host_of_a_lan_and_its_own_addresses():
    lan, guests = make_lan6(), make_lan6("fd00:0:0:5::1")
    policy = Policy(lans=[lan, guests], own=[lan, guests], neighbours=Neighbours())
    assert policy.lan_of(HOST6) is lan and policy.lan_of("fd00:0:0:5::2") is guests
    for address in (ROUTER6, "2001:db8:0:1::2", "fe80::2", "ff02::1", "::1", "::", "::ffff:c0a8:102"):
        assert policy.lan_of(address) is None, address
    for caller, client, port, code in (
            (HOST6, HOST6, 1024, 0), (HOST6, HOST6, 1023, 606), (HOST, HOST6, 8000, 0), (OTHER, HOST6, 8000, 606),
            ("fe80::2", HOST6, 8000, 0), ("fe80::3", HOST6, 8000, 606),
            (ROUTER6, ROUTER6, 8000, 606), ("2001:db8:0:1::2", "2001:db8:0:1::2", 8000, 606)):
        assert _pinhole_code(policy, caller, client, port) == code, (caller, client, port)
    everybody = Policy(is_secure=False, lans=[lan], own=[lan])
    assert _pinhole_code(everybody, OTHER, HOST6) == 0 and _pinhole_code(everybody, OTHER, ROUTER6) == 606
    alone = Policy(lans=[lan], own=[lan])  # nobody tells of neighbours
    assert _pinhole_code(alone, HOST6, HOST6) == 0 and _pinhole_code(alone, HOST, HOST6) == 606


def test_rules_open_no_low_port_of_a_pinhole():
    lan = make_lan6()
    policy = Policy([rules.Rule(True)], True, [lan], [lan])
    assert _pinhole_code(policy, HOST6, HOST6, 80) == 606
