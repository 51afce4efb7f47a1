"""miniigd.firewall.nft_fw4: the rule and the set element of a mapping in firewall4's table."""

import struct

from helpers import nft_expressions, nft_messages, values
from miniigd.firewall import nft_fw4
from miniigd.mapping import PortMapping
from miniigd.netlink import Message

NEWRULE, DELRULE, NEWSETELEM, DELSETELEM = 0xA06, 0xA08, 0xA0C, 0xA0E
REQUEST, ECHO, CREATE, APPEND, REPLACE = 0x1, 0x8, 0x400, 0x800, 0x100
HANDLE = b"\0\0\0\0\0\0\0\x2a"
KEY = b"\x06\0\0\0\x1f\x40\0\0\xc0\xa8\1\2\x1f\x41\0\0"  # TCP . 8000 . 192.168.1.2 . 8001


class _Wan:
    index = 4
    name = "wan"


def _mapping(remote_host="", internal_port=8001, client="192.168.1.2", protocol="TCP", handle=None):
    mapping = PortMapping(remote_host, 8000, protocol, internal_port, client, True, "", 60, 160)
    mapping.handle = handle
    return mapping


def _added(mapping, replaced=None, seconds=60, before=None):
    message = Message()
    nft_fw4.add(message, mapping, replaced, seconds, _Wan, before)
    return nft_messages(message.data)


def _element(found):
    """Return (set, key, timeout in ms or None) of a message about one element."""
    element = dict(values(values(found[4][3])[0][1]))
    timeout = element.get(4)
    return found[4][2], values(element[1])[0][1], timeout and struct.unpack(">Q", timeout)[0]


def test_a_mapping_is_a_rule_and_an_element():
    rule, element = _added(_mapping())
    assert rule[:4] == (NEWRULE, REQUEST | ECHO | CREATE | APPEND, 0, b"\1\0\0\0")
    assert (rule[4][1], rule[4][2]) == (b"fw4\0", b"upnp_prerouting\0")
    assert 3 not in rule[4]
    assert element[:4] == (NEWSETELEM, REQUEST | CREATE, 0, b"\1\0\0\0")
    assert element[4][1] == b"fw4\0"
    assert _element(element) == (b"upnp_open\0", KEY, 60000)


def _compared(expression):
    assert expression[0] == b"cmp\0" and expression[1][2] == bytes(4)
    return values(expression[1][3])[0][1]


def test_the_rule_is_the_one_that_luci_reads():
    found = nft_expressions(_added(_mapping())[0][4][4])
    names = [name for name, _ in found]
    assert names == [b"meta\0", b"cmp\0", b"payload\0", b"cmp\0", b"payload\0", b"cmp\0", b"immediate\0",
                     b"immediate\0", b"nat\0"]
    assert found[0][1][2] == b"\0\0\0\4"  # iif
    assert _compared(found[1]) == struct.pack("@I", 4)
    assert (found[2][1][2], found[2][1][3], found[2][1][4]) == (b"\0\0\0\1", b"\0\0\0\x09", b"\0\0\0\1")
    assert _compared(found[3]) == b"\x06"
    assert (found[4][1][2], found[4][1][3], found[4][1][4]) == (b"\0\0\0\2", b"\0\0\0\2", b"\0\0\0\2")
    assert _compared(found[5]) == b"\x1f\x40"
    assert values(found[6][1][2])[0][1] == b"\xc0\xa8\1\2"
    assert values(found[7][1][2])[0][1] == b"\x1f\x41"
    assert found[8][1] == {1: b"\0\0\0\1", 2: b"\0\0\0\2", 3: found[6][1][1], 5: found[7][1][1]}


def test_udp():
    rule, element = _added(_mapping(protocol="UDP"))
    assert _compared(nft_expressions(rule[4][4])[3]) == b"\x11"
    assert _element(element)[1] == b"\x11" + KEY[1:]


def test_a_remote_host_is_in_the_rule_and_in_the_key():
    rule, element = _added(_mapping("11.0.0.1"))
    found = nft_expressions(rule[4][4])
    assert len(found) == 11
    assert (found[6][1][2], found[6][1][3], found[6][1][4]) == (b"\0\0\0\1", b"\0\0\0\x0c", b"\0\0\0\4")
    assert _compared(found[7]) == b"\x0b\0\0\1"
    assert _element(element) == (b"upnp_open_from\0", b"\x0b\0\0\1" + KEY, 60000)


def test_a_renewal_takes_the_rule_s_place():
    # even where nothing of the rule changes: if it is gone, the batch must fail
    found = _added(_mapping(), _mapping(handle=HANDLE), 90)
    assert [message[0] for message in found] == [DELSETELEM, NEWRULE, NEWSETELEM]
    assert _element(found[0]) == (b"upnp_open\0", KEY, None)
    assert found[1][1] == REQUEST | ECHO | REPLACE and found[1][4][3] == HANDLE
    assert _element(found[2]) == (b"upnp_open\0", KEY, 90000)


def test_a_rule_goes_in_front_of_another_or_to_the_end():
    message = _added(_mapping(remote_host="11.0.0.1"), before=_mapping(handle=HANDLE))[0]
    assert message[1] & (APPEND | CREATE) == CREATE and message[4][6] == HANDLE and 3 not in message[4]
    for message in (_added(_mapping())[0], _added(_mapping(remote_host="11.0.0.1"))[0],
                    _added(_mapping(), _mapping())[0]):
        assert message[1] & APPEND and 6 not in message[4]


def test_another_internal_port_or_client_takes_the_rule_s_place():
    for mapping in (_mapping(internal_port=9000), _mapping(client="192.168.1.3")):
        found = _added(mapping, _mapping(handle=HANDLE))
        assert [message[0] for message in found] == [DELSETELEM, NEWRULE, NEWSETELEM]
        assert found[1][1] == REQUEST | ECHO | REPLACE
        assert found[1][4][3] == HANDLE
        assert _element(found[0])[1] == KEY
        assert _element(found[2])[1] != KEY


def test_one_that_was_not_in_the_kernel_is_made():
    found = _added(_mapping(), _mapping())
    assert [message[0] for message in found] == [NEWRULE, NEWSETELEM]
    assert found[0][1] & REPLACE == 0


def test_deletions():
    message = Message()
    for deletion in nft_fw4.DELETIONS:
        deletion(message, _mapping("11.0.0.1", handle=HANDLE))
    rule, element = nft_messages(message.data)
    assert rule[:2] == (DELRULE, REQUEST)
    assert rule[4] == {1: b"fw4\0", 2: b"upnp_prerouting\0", 3: HANDLE}
    assert element[:2] == (DELSETELEM, REQUEST)
    assert _element(element) == (b"upnp_open_from\0", b"\x0b\0\0\1" + KEY, None)


def test_a_deletion_without_handle_does_not_flush_the_chain():
    message = Message()
    nft_fw4.delete_rule(message, _mapping())
    assert nft_messages(message.data)[0][4][3] == bytes(8)


def test_flush_empties_the_chain_and_both_sets():
    message = Message()
    nft_fw4.flush(message, _Wan)
    found = nft_messages(message.data)
    assert [(one[0], one[1], one[4]) for one in found] == [
        (DELRULE, REQUEST, {1: b"fw4\0", 2: b"upnp_prerouting\0"}),
        (DELSETELEM, REQUEST, {1: b"fw4\0", 2: b"upnp_open\0"}),
        (DELSETELEM, REQUEST, {1: b"fw4\0", 2: b"upnp_open_from\0"})]


def test_what_must_be_there_is_asked_for():
    found = []
    for name, ask in nft_fw4.probes():
        message = Message()
        ask(message, name)
        one = nft_messages(message.data)[0]
        found.append((one[0], one[4]))
    assert found == [(0xA04, {1: b"fw4\0", 3: b"upnp_prerouting\0"}), (0xA0A, {1: b"fw4\0", 2: b"upnp_open\0"}),
                     (0xA0A, {1: b"fw4\0", 2: b"upnp_open_from\0"}),
                     (0xA0A, {1: b"fw4\0", 2: b"upnp_open6\0"})]
    message = Message()
    nft_fw4.ask_table(message, b"fw4\0")
    assert nft_messages(message.data)[0][4] == {1: b"fw4\0"}
