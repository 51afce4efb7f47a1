"""miniigd.mapping: identity, order, conflict and expiry of the one table."""

from helpers import raised
from miniigd import mapping as mapping_module
from miniigd.errors import UPnPError
from miniigd.mapping import MappingTable, PortMapping, maker_of

HOST, OTHER = "192.168.1.2", "192.168.1.3"


def _mapping(port, protocol="TCP", client=HOST, remote_host="", lease=60, expires=160, description=""):
    return PortMapping(remote_host, port, protocol, port, client, True, description, lease, expires)


def _put(table, mapping):
    replaced = table.plan(mapping)
    table.commit(mapping, replaced)
    return replaced


def test_an_empty_table():
    table = MappingTable()
    assert len(table) == 0
    assert list(table) == []
    assert table.next_expiry is None
    assert table.expired(10 ** 9, 100) == []
    assert table.find("", 8000, "TCP") is None
    assert raised(UPnPError, table.at, 0).code == 713


def test_the_order_is_that_of_making():
    table = MappingTable()
    ports = [9000, 8000, 1024, 65535, 30001, 3000]
    for port in ports:
        assert _put(table, _mapping(port)) is None
    assert [mapping.external_port for mapping in table] == ports
    assert [table.at(index).external_port for index in range(len(table))] == ports
    for index in (6, 7, 65535, -1):
        assert raised(UPnPError, table.at, index).code == 713


def test_plan_changes_nothing():
    table = MappingTable()
    table.plan(_mapping(8000))
    assert len(table) == 0 and table.find("", 8000, "TCP") is None


def test_port_protocol_and_remote_host_are_the_identity():
    table = MappingTable()
    made = [_mapping(8000), _mapping(8000, "UDP"), _mapping(8000, remote_host="11.0.0.1"), _mapping(8001),
            _mapping(8000, remote_host="11.0.0.2")]
    for mapping in made:
        assert _put(table, mapping) is None
    for mapping in made:
        assert table.find(mapping.remote_host, mapping.external_port, mapping.protocol) is mapping
    assert table.find("11.0.0.1", 8001, "TCP") is None
    assert table.find("11.0.0.1", 8000, "UDP") is None
    assert table.find("11.0.0.3", 8000, "TCP") is None


def test_a_renewed_mapping_keeps_its_place():
    table = MappingTable()
    for port in (8000, 8001, 8002):
        _put(table, _mapping(port))
    before = table.find("", 8001, "TCP")
    renewal = _mapping(8001, description="new", expires=500)
    assert _put(table, renewal) is before
    assert [mapping.external_port for mapping in table] == [8000, 8001, 8002]
    assert table.at(1) is renewal and table.find("", 8001, "TCP") is renewal
    assert len(table) == 3


def test_another_client_gets_718_whatever_the_remote_hosts():
    table = MappingTable()
    _put(table, _mapping(8000))
    _put(table, _mapping(8001, remote_host="11.0.0.1"))
    for mapping in (_mapping(8000, client=OTHER), _mapping(8000, client=OTHER, remote_host="11.0.0.1"),
                    _mapping(8001, client=OTHER), _mapping(8001, client=OTHER, remote_host="11.0.0.2")):
        error = raised(UPnPError, table.plan, mapping)
        assert error.code == 718
        assert HOST in error.reason
    assert table.plan(_mapping(8000, "UDP", OTHER)) is None
    table.remove(table.find("", 8000, "TCP"))
    assert table.plan(_mapping(8000, client=OTHER)) is None


def test_removal_in_every_order_leaves_the_siblings():
    hosts = ("", "11.0.0.1", "11.0.0.2")
    for first, second in ((0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)):
        table = MappingTable()
        made = [_mapping(8000, remote_host=host) for host in hosts]
        for mapping in made:
            _put(table, mapping)
        table.remove(made[first])
        assert table.find(hosts[first], 8000, "TCP") is None
        assert table.find(hosts[second], 8000, "TCP") is made[second]
        table.remove(made[second])
        left = made[3 - first - second]
        assert list(table) == [left]
        assert table.find(left.remote_host, 8000, "TCP") is left
        table.remove(left)
        assert len(table) == 0
        assert table.plan(_mapping(8000, client=OTHER)) is None


def test_renewal_among_siblings():
    table = MappingTable()
    for host in ("", "11.0.0.1", "11.0.0.2"):
        _put(table, _mapping(8000, remote_host=host))
    for host in ("11.0.0.1", "", "11.0.0.2", "11.0.0.1"):
        renewal = _mapping(8000, remote_host=host)
        _put(table, renewal)
        assert table.find(host, 8000, "TCP") is renewal
    assert [mapping.remote_host for mapping in table] == ["11.0.0.1", "11.0.0.2", ""]
    for host in ("", "11.0.0.1", "11.0.0.2"):
        assert table.find(host, 8000, "TCP") is not None


def test_one_for_a_remote_host_stands_in_front_of_the_one_for_any():
    """Rules are in this order, and the first that matches a packet counts."""
    table = MappingTable()
    for port, host, protocol in ((8000, "", "TCP"), (9000, "11.0.0.1", "TCP"), (8000, "", "UDP"), (8001, "", "TCP")):
        _put(table, _mapping(port, protocol, remote_host=host))
    _put(table, _mapping(8001, remote_host="11.0.0.1"))
    _put(table, _mapping(8000, remote_host="11.0.0.2"))
    _put(table, _mapping(9000))
    assert [(mapping.external_port, mapping.protocol, mapping.remote_host) for mapping in table] == [
        (8000, "TCP", "11.0.0.2"), (8000, "TCP", ""), (9000, "TCP", "11.0.0.1"), (8000, "UDP", ""),
        (8001, "TCP", "11.0.0.1"), (8001, "TCP", ""), (9000, "TCP", "")]


def test_the_successor_is_what_a_rule_is_put_in_front_of():
    table = MappingTable()
    for port in (8000, 8001, 8002):
        _put(table, _mapping(port))
    first, second, third = list(table)
    assert table.successor(_mapping(9000), None) is None
    assert table.successor(_mapping(9000, remote_host="11.0.0.1"), None) is None
    assert table.successor(_mapping(8001, remote_host="11.0.0.1"), None) is second
    second.enabled = False  # it has no rule
    assert table.successor(_mapping(8001, remote_host="11.0.0.1"), None) is third
    assert table.successor(_mapping(8001), second) is third
    assert table.successor(_mapping(8002), third) is None
    third.enabled = False
    assert table.successor(_mapping(8001), second) is None
    assert table.successor(_mapping(8000), first) is None


def test_ports_do_not_match_by_prefix():
    table = MappingTable()
    for port in (3000, 30001, 300):
        _put(table, _mapping(port))
    table.remove(table.find("", 3000, "TCP"))
    assert [mapping.external_port for mapping in table] == [30001, 300]


def test_leases_end_at_their_second():
    table = MappingTable()
    for port, expires in ((8000, 160), (8001, 120), (8002, 200)):
        _put(table, _mapping(port, expires=expires))
    assert table.next_expiry == 120
    assert table.expired(119, 100) == []
    ended = table.expired(120, 100)
    assert [mapping.external_port for mapping in ended] == [8001]
    assert table.next_expiry == 160
    table.remove(ended[0])
    assert [mapping.external_port for mapping in table.expired(10 ** 9, 100)] == [8000, 8002]
    assert table.next_expiry is None


def test_not_too_many_end_at_once():
    table = MappingTable()
    for port, expires in ((8000, 160), (8001, 120), (8002, 110), (8003, 200)):
        _put(table, _mapping(port, expires=expires))
    ended = table.expired(170, 2)
    assert [mapping.external_port for mapping in ended] == [8000, 8001]
    assert table.next_expiry == 110  # the rest has ended too: look again at once
    for mapping in ended:
        table.remove(mapping)
    assert [mapping.external_port for mapping in table.expired(170, 2)] == [8002]
    assert table.next_expiry == 200


def test_a_renewal_moves_the_end():
    table = MappingTable()
    _put(table, _mapping(8000, expires=120))
    _put(table, _mapping(8000, expires=300))
    assert table.next_expiry <= 300
    assert table.expired(299, 100) == []
    assert table.next_expiry == 300


def test_no_mapping_ends_before_next_expiry_says():
    table = MappingTable()
    for port, expires in ((8000, 500), (8001, 300), (8002, 400)):
        _put(table, _mapping(port, expires=expires))
        assert table.next_expiry == min([mapping.expires for mapping in table])


def test_what_is_left_of_a_lease():
    mapping = _mapping(8000, lease=60, expires=160)
    for now, left in ((100, 60), (101, 59), (159, 1), (160, 1), (200, 1)):
        assert mapping.remaining(now) == left
    assert _mapping(8000, lease=0, expires=160).remaining(100) == 0


def test_a_full_table_takes_renewals_only():
    assert mapping_module.MAX_MAPPINGS == 1500
    table = MappingTable()
    _put(table, _mapping(8000))
    table._mappings.extend([None] * (mapping_module.MAX_MAPPINGS - 1))
    assert raised(UPnPError, table.plan, _mapping(8001)).code == 728
    assert raised(UPnPError, table.plan, _mapping(8000, remote_host="11.0.0.1")).code == 728
    assert table.plan(_mapping(8000)) is table.at(0)
    table._mappings.pop()
    assert table.plan(_mapping(8001)) is None


def test_one_client_cannot_have_them_all():
    assert mapping_module.MAX_MAPPINGS_PER_CLIENT == 1000
    table = MappingTable()
    for port in range(2000, 2999):
        _put(table, _mapping(port))
    _put(table, _mapping(2000, description="new"))  # renewed, not one more
    _put(table, _mapping(2000, "UDP"))
    error = raised(UPnPError, table.plan, _mapping(2999))
    assert error.code == 728 and HOST in error.reason
    assert table.plan(_mapping(2000)) is table.at(0)
    assert table.plan(_mapping(2999, client=OTHER)) is None
    table.remove(table.at(5))
    assert table.plan(_mapping(2999)) is None


def test_many_mappings_are_all_found():
    table = MappingTable()
    for port in range(2000, 2300):
        _put(table, _mapping(port, "TCP" if port % 2 else "UDP"))
    for port in range(2000, 2300, 3):
        table.remove(table.find("", port, "TCP" if port % 2 else "UDP"))
    for port in range(2000, 2300):
        found = table.find("", port, "TCP" if port % 2 else "UDP")
        assert (found is None) == ((port - 2000) % 3 == 0)
        assert table.find("", port, "UDP" if port % 2 else "TCP") is None


def test_the_owner_of_a_port():
    table = MappingTable()
    assert table.owner(8000, "TCP") is None
    _put(table, _mapping(8000, remote_host="11.0.0.1"))
    _put(table, _mapping(8000))
    assert table.owner(8000, "TCP") == HOST
    assert table.owner(8000, "UDP") is None and table.owner(8001, "TCP") is None
    _put(table, _mapping(8000, "UDP", OTHER))
    assert (table.owner(8000, "TCP"), table.owner(8000, "UDP")) == (HOST, OTHER)
    table.remove(table.find("", 8000, "TCP"))
    assert table.owner(8000, "TCP") == HOST  # by the other remote host
    table.remove(table.find("11.0.0.1", 8000, "TCP"))
    assert table.owner(8000, "TCP") is None


def test_changes_are_counted():
    table = MappingTable()
    assert table.update_id == 0
    mapping = _mapping(8000)
    table.plan(mapping)
    assert table.update_id == 0
    _put(table, mapping)
    assert table.update_id == 1
    _put(table, _mapping(8001, client=OTHER))
    assert table.update_id == 2
    raised(UPnPError, table.plan, _mapping(8000, client=OTHER))
    table.find("", 8000, "TCP")
    table.at(0)
    table.expired(10 ** 9, 100)
    assert table.update_id == 2
    _put(table, _mapping(8000, description="new"))
    assert table.update_id == 3
    table.remove(table.at(1))
    assert table.update_id == 4


def test_the_count_of_changes_is_a_ui4():
    table = MappingTable()
    table.update_id = 4294967294
    _put(table, _mapping(8000))
    assert table.update_id == 4294967295
    _put(table, _mapping(8001))
    assert table.update_id == 0
    table.remove(table.at(0))
    assert table.update_id == 1


def test_a_mapping_as_text():
    assert str(_mapping(8000)) == "TCP 8000 -> 192.168.1.2:8000"


NONCE = "0123456789abcdef01234567"


def test_who_made_it_is_in_the_description():
    for description, maker, shown in (
            ("NAT-PMP 8000 tcp", "NAT-PMP", "NAT-PMP 8000 tcp"), ("NAT-PMP 8000 udp", "NAT-PMP", "NAT-PMP 8000 udp"),
            ("PCP MAP " + NONCE, "PCP MAP", "PCP MAP"), ("PCP PEER " + NONCE, "PCP PEER", "PCP PEER")):
        assert maker_of(description) == maker
        assert PortMapping("", 8000, "TCP", 80, "192.168.1.2", True, description, 0, 0).shown_description == shown
    for description in ("", "web", "NAT-PMP", "NAT-PMP 8000", "NAT-PMP 8000 sctp", "my NAT-PMP 8000 tcp", "PCP MAP",
                        "PCP MAP " + NONCE[1:], "PCP MAP " + NONCE.upper(), "PCP MAP " + NONCE[:-1] + "g",
                        "PCP MAP  " + NONCE, "PCP GET " + NONCE, "PCP MAP " + NONCE + " "):
        assert maker_of(description) == ""
        assert PortMapping("", 8000, "TCP", 80, "192.168.1.2", True, description, 0, 0).shown_description == description


def test_one_client_may_have_enough():
    table = MappingTable()
    for port in range(1, 1001):
        assert not table.has_enough("192.168.1.2")
        table.commit(_mapping(port, client="192.168.1.2"), None)
    assert table.has_enough("192.168.1.2") and not table.has_enough("192.168.1.3")
