"""miniigd.firewall.nft_table: a table of our own, made anew by each flush, and a mapping as one element of a map."""

import struct

from helpers import nft_expressions, nft_messages, values
from miniigd.firewall import nft_table
from miniigd.mapping import PortMapping
from miniigd.netlink import Message

NEWTABLE, DELTABLE, NEWCHAIN, NEWRULE, NEWSET = 0xA00, 0xA02, 0xA03, 0xA06, 0xA09
NEWSETELEM, DELSETELEM = 0xA0C, 0xA0E
KEY, DATA = b"\x06\0\0\0\x1f\x40\0\0", b"\xc0\xa8\1\2\x1f\x41\0\0"  # TCP . 8000 : 192.168.1.2 . 8001


class _Wan:
    index = 4
    name = "pppoe-wan"


def _mapping(remote_host="", handle=None, client="192.168.1.2"):
    mapping = PortMapping(remote_host, 8000, "TCP", 8001, client, True, "", 60, 160)
    mapping.handle = handle
    return mapping


def _made(function, *arguments):
    message = Message()
    function(message, *arguments)
    return nft_messages(message.data)


def _element(found):
    """Return (map, key, data or None, timeout in ms or None) of a message about one element."""
    assert found[4][1] == b"miniigd\0"
    element = dict(values(values(found[4][3])[0][1]))
    data, timeout = element.get(2), element.get(4)
    return (found[4][2], values(element[1])[0][1], data and values(data)[0][1],
            timeout and struct.unpack(">Q", timeout)[0])


def test_a_mapping_is_an_element():
    found = _made(nft_table.add, _mapping(), None, 60, _Wan)
    assert [one[0] for one in found] == [NEWSETELEM]
    assert _element(found[0]) == (b"open\0", KEY, DATA, 60000)


def test_a_remote_host_is_in_the_key_of_the_other_map():
    found = _made(nft_table.add, _mapping("11.0.0.1"), None, 60, _Wan)
    assert _element(found[0]) == (b"open_from\0", b"\x0b\0\0\1" + KEY, DATA, 60000)


def test_a_renewal_takes_the_old_element_out_first():
    found = _made(nft_table.add, _mapping(client="192.168.1.3"), _mapping(handle=bytes(8)), 90, _Wan)
    assert [one[0] for one in found] == [DELSETELEM, NEWSETELEM]
    assert _element(found[0]) == (b"open\0", KEY, None, None)
    assert _element(found[1]) == (b"open\0", KEY, b"\xc0\xa8\1\3\x1f\x41\0\0", 90000)
    found = _made(nft_table.add, _mapping(), _mapping(), 90, _Wan)  # it was not in the kernel
    assert [one[0] for one in found] == [NEWSETELEM]


def test_deletions():
    assert len(nft_table.DELETIONS) == 1
    found = _made(nft_table.DELETIONS[0], _mapping("11.0.0.1", bytes(8)))
    assert found[0][0] == DELSETELEM
    assert _element(found[0]) == (b"open_from\0", b"\x0b\0\0\1" + KEY, None, None)


def test_flush_makes_the_table_anew():
    found = _made(nft_table.flush, _Wan)
    assert [one[0] for one in found] == [NEWTABLE, DELTABLE, NEWTABLE, NEWSET, NEWSET, NEWCHAIN, NEWRULE, NEWRULE]
    for one in found:
        assert one[4][1] == b"miniigd\0"
    for one, name, key_length in ((found[3], b"open\0", 8), (found[4], b"open_from\0", 12)):
        assert one[4][2] == name
        assert one[4][3] == b"\0\0\0\x18"  # a map with timeouts
        assert one[4][5] == struct.pack(">I", key_length)
        assert one[4][7] == b"\0\0\0\x08"
    # the types as the nft program numbers them: inet_proto . inet_service, with ipv4_addr in front or as the value
    assert found[3][4][4] == struct.pack(">I", 12 << 6 | 13)
    assert found[4][4][4] == struct.pack(">I", 7 << 12 | 12 << 6 | 13)
    assert found[3][4][6] == found[4][4][6] == struct.pack(">I", 7 << 6 | 13)
    assert found[3][4][10] != found[4][4][10]
    assert found[5][4][3] == b"prerouting\0" and found[5][4][7] == b"nat\0"
    assert dict(values(found[5][4][4])) == {1: bytes(4), 2: struct.pack(">i", -100)}


def _numbers(attributes):
    return dict([(kind, struct.unpack(">I", value)[0]) for kind, value in attributes.items()])


def test_the_rule_with_a_remote_host_is_looked_at_first():
    rules = [nft_expressions(one[4][4]) for one in _made(nft_table.flush, _Wan) if one[0] == NEWRULE]
    assert [name for name, _ in rules[0]] == [b"meta\0", b"cmp\0", b"payload\0", b"meta\0", b"payload\0", b"lookup\0",
                                              b"nat\0"]
    assert [name for name, _ in rules[1]] == [b"meta\0", b"cmp\0", b"meta\0", b"payload\0", b"lookup\0", b"nat\0"]
    assert rules[0][5][1][1] == b"open_from\0" and rules[1][4][1][1] == b"open\0"
    assert _numbers(rules[0][2][1]) == {1: 8, 2: 1, 3: 12, 4: 4}  # ip saddr
    for rule in rules:
        assert _numbers(rule[0][1]) == {1: 1, 2: 6}  # iifname
        assert _numbers(rule[-4][1])[2] == 16  # l4proto
        assert _numbers(rule[-3][1]) == {1: 7 + len(rule) - 4, 2: 2, 3: 2, 4: 2}  # th dport
        assert _numbers(rule[-1][1]) == {1: 1, 2: 2, 3: 1, 5: 9}
        assert values(rule[1][1][3])[0][1] == b"pppoe-wan" + bytes(7)
        # the parts of the key lie one behind the other from the first register on
        registers = [attributes[1] for name, attributes in rule[2:] if name in (b"meta\0", b"payload\0")]
        assert registers == [struct.pack(">I", 8 + index) for index in range(len(registers))]


def test_close_removes_the_table():
    assert [(one[0], one[4]) for one in _made(nft_table.close, _Wan)] == [(DELTABLE, {1: b"miniigd\0"})]
