"""miniigd.firewall.nft_messages: the numbers and the layout of nf_tables messages, decoded again."""

from helpers import nft_expressions, nft_messages, values
from miniigd.firewall import nft_messages as nft
from miniigd.netlink import CREATE, Message

INET = b"\1\0\0\0"


def _one(function, *arguments):
    message = Message()
    function(message, *arguments)
    found = nft_messages(message.data)
    assert len(found) == 1
    return found[0]


def _expression(function, *arguments):
    message = Message()
    function(message, *arguments)
    found = nft_expressions(message.data)
    assert len(found) == 1
    return found[0]


def test_a_batch_is_between_two_marks():
    for function, kind in ((nft.begin_batch, 0x10), (nft.end_batch, 0x11)):
        assert _one(function) == (kind, 1, 0, b"\0\0\0\x0a", {})  # res_id is in network order


def test_an_element():
    kind, flags, sequence, family, found = _one(nft.element, nft.NEWSETELEM, CREATE, b"t\0", b"s\0", b"keykey", None,
                                                60)
    assert (kind, flags, sequence, family) == (0xA0C, 0x401, 0, INET)
    assert (found[1], found[2]) == (b"t\0", b"s\0")
    elements = values(found[3])
    assert len(elements) == 1 and elements[0][0] == 1
    element = dict(values(elements[0][1]))
    assert values(element[1]) == [(1, b"keykey")]
    assert element[4] == b"\0\0\0\0\0\0\xea\x60"  # milliseconds
    assert 2 not in element


def test_an_element_of_a_map():
    found = _one(nft.element, nft.NEWSETELEM, CREATE, b"t\0", b"s\0", b"k", b"data", 604800)[4]
    element = dict(values(values(found[3])[0][1]))
    assert values(element[2]) == [(1, b"data")]
    assert element[4] == b"\0\0\0\0\x24\x0c\x84\0"


def test_an_element_without_end():
    found = _one(nft.element, nft.DELSETELEM, 0, b"t\0", b"s\0", b"k")[4]
    assert [kind for kind, _ in values(values(found[3])[0][1])] == [1]


def test_a_set_is_flushed():
    assert _one(nft.flush_set, b"t\0", b"s\0") == (0xA0E, 1, 0, INET, {1: b"t\0", 2: b"s\0"})


def test_expressions():
    assert _expression(nft.meta, nft.META_IIF) == (b"meta\0", {2: b"\0\0\0\4", 1: b"\0\0\0\1"})
    assert _expression(nft.meta, nft.META_L4PROTO, 8) == (b"meta\0", {2: b"\0\0\0\x10", 1: b"\0\0\0\x08"})
    assert _expression(nft.payload, nft.BASE_NETWORK, 12, 4) == (
        b"payload\0", {1: b"\0\0\0\1", 2: b"\0\0\0\1", 3: b"\0\0\0\x0c", 4: b"\0\0\0\4"})
    name, found = _expression(nft.compare, b"\x1f\x40")
    assert (name, found[1], found[2], values(found[3])) == (b"cmp\0", b"\0\0\0\1", bytes(4), [(1, b"\x1f\x40")])
    name, found = _expression(nft.immediate, 2, b"\xc0\xa8\1\2")
    assert (name, found[1], values(found[2])) == (b"immediate\0", b"\0\0\0\2", [(1, b"\xc0\xa8\1\2")])
    assert _expression(nft.lookup, b"open\0") == (b"lookup\0", {1: b"open\0", 2: b"\0\0\0\1", 3: b"\0\0\0\1"})
    assert _expression(nft.dnat, 2) == (
        b"nat\0", {1: b"\0\0\0\1", 2: b"\0\0\0\2", 3: b"\0\0\0\1", 5: b"\0\0\0\2"})


def test_the_numbers_are_those_of_the_kernel_s_header():
    assert (nft.NEWTABLE, nft.GETTABLE, nft.DELTABLE) == (0xA00, 0xA01, 0xA02)
    assert (nft.NEWCHAIN, nft.GETCHAIN, nft.NEWRULE, nft.DELRULE) == (0xA03, 0xA04, 0xA06, 0xA08)
    assert (nft.NEWSET, nft.GETSET, nft.NEWSETELEM, nft.DELSETELEM) == (0xA09, 0xA0A, 0xA0C, 0xA0E)
    assert (nft.RULE_TABLE, nft.RULE_CHAIN, nft.RULE_HANDLE, nft.RULE_EXPRESSIONS) == (1, 2, 3, 4)
    assert (nft.META_IIF, nft.META_IIFNAME, nft.META_L4PROTO) == (4, 6, 16)
    assert (nft.BASE_NETWORK, nft.BASE_TRANSPORT, nft.REGISTER_1, nft.REGISTER_2, nft.REGISTER_1_1) == (1, 2, 1, 2, 9)
    assert nft.IPPROTO["TCP"] == 6 and nft.IPPROTO["UDP"] == 17 and nft.PROTOCOL == 12
