"""miniigd.firewall.nft_hairpin: the table's two chains and their rules, and an element for each mapping, to the byte."""

import struct

from helpers import nft_expressions, nft_messages, values
from miniigd.addresses import ip4_bytes
from miniigd.firewall import nft_hairpin
from miniigd.mapping import PortMapping
from miniigd.netlink import Message

NEWTABLE, DELTABLE, NEWCHAIN, NEWRULE, NEWSET = 0xA00, 0xA02, 0xA03, 0xA06, 0xA09
NEWSETELEM, DELSETELEM = 0xA0C, 0xA0E


def _flushed(address="81.2.69.160", subnets=(("192.168.1.1", 24), ("10.1.2.3", 20))):
    message = Message()
    nft_hairpin.flush(message, address, subnets)
    return nft_messages(message.data)


def test_the_table_is_made_anew():
    found = _flushed()
    assert [one[0] for one in found] == [NEWTABLE, DELTABLE, NEWTABLE, NEWSET, NEWCHAIN, NEWCHAIN] + [NEWRULE] * 3
    for one in found:
        assert one[4][1] == b"miniigd_hairpin\0"
    for chain, hook, priority in ((found[4], 0, -100), (found[5], 4, 100)):
        assert [value for _, value in values(chain[4][4])] == [struct.pack(">I", hook), struct.pack(">i", priority)]
        assert chain[4][7] == b"nat\0"


def test_packets_for_the_external_address_are_translated():
    expressions = nft_expressions(_flushed()[6][4][4])
    assert [name for name, _ in expressions] == [
        b"payload\0", b"cmp\0", b"meta\0", b"payload\0", b"lookup\0", b"nat\0"]
    assert (expressions[0][1][3], expressions[0][1][4]) == (struct.pack(">I", 16), struct.pack(">I", 4))
    assert values(expressions[1][1][3]) == [(1, ip4_bytes("81.2.69.160"))]


def test_packets_between_neighbours_come_from_the_router():
    for rule, network, mask in ((7, "192.168.1.0", "255.255.255.0"), (8, "10.1.0.0", "255.255.240.0")):
        expressions = nft_expressions(_flushed()[rule][4][4])
        assert [name for name, _ in expressions] == [b"payload\0", b"bitwise\0", b"cmp\0"] * 2 + [
            b"ct\0", b"cmp\0", b"masq\0"]
        for start, offset in ((0, 12), (3, 16)):
            assert expressions[start][1][3] == struct.pack(">I", offset)
            assert values(expressions[start + 1][1][4]) == [(1, ip4_bytes(mask))]
            assert values(expressions[start + 2][1][3]) == [(1, ip4_bytes(network))]
        assert (expressions[6][1][2], expressions[6][1][3]) == (struct.pack(">I", 20), b"\0")
        assert values(expressions[7][1][3]) == [(1, ip4_bytes("81.2.69.160"))]


def test_without_an_address_there_are_no_rules():
    assert NEWRULE not in [one[0] for one in _flushed(None)]
    assert [one[0] for one in _flushed("81.2.69.160", ())].count(NEWRULE) == 1


def _mapping(port=8000, handle=None):
    mapping = PortMapping("", port, "TCP", 8001, "192.168.1.2", True, "", 60, 160)
    mapping.handle = handle
    return mapping


def test_a_mapping_is_an_element():
    message = Message()
    nft_hairpin.add(message, _mapping(), None, 62)
    nft_hairpin.add(message, _mapping(), _mapping(handle=b"12345678"), 62)
    nft_hairpin.delete(message, _mapping())
    found = nft_messages(message.data)
    assert [one[0] for one in found] == [NEWSETELEM, DELSETELEM, NEWSETELEM, DELSETELEM]
    for one in found:
        assert (one[4][1], one[4][2]) == (b"miniigd_hairpin\0", b"open\0")
        element = dict(values(values(one[4][3])[0][1]))
        assert values(element[1]) == [(1, b"\6\0\0\0\x1f\x40\0\0")]
        if one[0] == NEWSETELEM:
            assert values(element[2]) == [(1, ip4_bytes("192.168.1.2") + b"\x1f\x41\0\0")]
            assert element[4] == struct.pack(">Q", 62000)
