"""nf_tables messages (linux/netfilter/nf_tables.h): batches, set elements, and the expressions that rules are made of.

Owns the numbers of that header. Appends to a netlink Message; sends nothing, knows no mapping.
"""

import struct

from ..compat import const
from ..netlink import CREATE, DUMP, REQUEST, attributes, messages

PROTOCOL = const(12)  # NETLINK_NETFILTER
GROUPS = const(0x40)  # NFNLGRP_NFTABLES: the kernel reports who changed what
IPPROTO = {"TCP": 6, "UDP": 17}

NEWTABLE, GETTABLE, DELTABLE = const(0xA00), const(0xA01), const(0xA02)
NEWCHAIN, GETCHAIN = const(0xA03), const(0xA04)
NEWRULE, GETRULE, DELRULE = const(0xA06), const(0xA07), const(0xA08)
NEWSET, GETSET = const(0xA09), const(0xA0A)
NEWSETELEM, GETSETELEM, DELSETELEM = const(0xA0C), const(0xA0D), const(0xA0E)
_BATCH_BEGIN, _BATCH_END = const(0x10), const(0x11)
_NF_TABLES = const(10)  # the subsystem

TABLE_NAME = const(1)
CHAIN_TABLE, CHAIN_NAME, CHAIN_HOOK, CHAIN_TYPE = const(1), const(3), const(4), const(7)
SET_TABLE, SET_NAME, SET_FLAGS, SET_KEY_TYPE, SET_KEY_LEN = const(1), const(2), const(3), const(4), const(5)
SET_DATA_TYPE, SET_DATA_LEN, SET_ID = const(6), const(7), const(10)
RULE_TABLE, RULE_CHAIN, RULE_HANDLE, RULE_EXPRESSIONS, RULE_POSITION = const(1), const(2), const(3), const(4), const(6)
_ELEMENTS_TABLE, _ELEMENTS_SET, _ELEMENTS = const(1), const(2), const(3)
_ELEMENT_KEY, _ELEMENT_DATA, _ELEMENT_TIMEOUT, _ELEMENT_EXPRESSION = const(1), const(2), const(4), const(7)
_COUNTER_BYTES, _COUNTER_PACKETS = const(1), const(2)
_LIST_ELEMENT, _DATA_VALUE = const(1), const(1)

REGISTER_1, REGISTER_2 = const(1), const(2)  # of 16 bytes each
REGISTER_1_1 = const(9)  # the second 4 bytes of REGISTER_1
META_IIF, META_IIFNAME, META_L4PROTO = const(4), const(6), const(16)
BASE_NETWORK, BASE_TRANSPORT = const(1), const(2)
_NFPROTO_INET, _NFPROTO_IPV4 = const(1), const(2)
_NAT_DNAT = const(1)


def begin(batch, message_type, flags):
    """Start a message about tables of the family inet; `batch.end()` ends it."""
    batch.begin(message_type, REQUEST | flags, 0)
    batch.add(struct.pack(">BBH", _NFPROTO_INET, 0, 0))


def make_table(batch, name):
    """Append what makes a table where it is not there yet."""
    begin(batch, NEWTABLE, CREATE)
    batch.attribute(TABLE_NAME, name)
    batch.end()


def delete_table(batch, name):
    """Append what removes a table and all that is in it."""
    begin(batch, DELTABLE, 0)
    batch.attribute(TABLE_NAME, name)
    batch.end()


def begin_batch(batch):
    """Append the message that starts a batch: what follows is taken whole or not at all."""
    _batch_mark(batch, _BATCH_BEGIN)


def end_batch(batch):
    """Append the message that ends a batch."""
    _batch_mark(batch, _BATCH_END)


def _batch_mark(batch, message_type):
    batch.begin(message_type, REQUEST, 0)
    batch.add(struct.pack(">BBH", 0, 0, _NF_TABLES))
    batch.end()


def number(batch, attribute_type, value):
    """Append an attribute of 32 bits."""
    batch.attribute(attribute_type, struct.pack(">I", value))


def _value(batch, attribute_type, value):
    outer = batch.nest(attribute_type)
    batch.attribute(_DATA_VALUE, value)
    batch.unnest(outer)


def element(batch, message_type, flags, table, name, key, data=None, seconds=None):
    """Append a message about one element of a set or map; `seconds` is the kernel's timeout for it."""
    begin(batch, message_type, flags)
    batch.attribute(_ELEMENTS_TABLE, table)
    batch.attribute(_ELEMENTS_SET, name)
    elements = batch.nest(_ELEMENTS)
    one = batch.nest(_LIST_ELEMENT)
    _value(batch, _ELEMENT_KEY, key)
    if data is not None:
        _value(batch, _ELEMENT_DATA, data)
    if seconds is not None:
        batch.attribute(_ELEMENT_TIMEOUT, struct.pack(">Q", seconds * 1000))
    batch.unnest(one)
    batch.unnest(elements)
    batch.end()


def flush_set(batch, table, name):
    """Append a message that removes every element of a set."""
    begin(batch, DELSETELEM, 0)
    batch.attribute(_ELEMENTS_TABLE, table)
    batch.attribute(_ELEMENTS_SET, name)
    batch.end()


def ask_rules(message, table, chain):
    """Append the question for the rules of a chain, in order."""
    begin(message, GETRULE, DUMP)
    message.attribute(RULE_TABLE, table)
    message.attribute(RULE_CHAIN, chain)
    message.end()


def handles(datagram):
    """Return the handles (8 bytes each) of the rules in an answer."""
    found = []
    for kind, _, start, end in messages(datagram):
        if kind == NEWRULE:
            found.extend(handle(datagram, start, end))
    return found


def handle(datagram, start, end):
    """Return a list of the handle (8 bytes) of a rule, whose message's body is between these offsets."""
    start += 4
    while start + 4 <= end:  # as netlink.attributes, but the handle comes early, and much behind it
        length, name = struct.unpack_from("@HH", datagram, start)
        if length < 4 or start + length > end:
            break
        if name == RULE_HANDLE:
            return [bytes(datagram[start + 4:start + length])]
        start += (length + 3) & ~3
    return []


def ask_elements(message, table, name):
    """Append the question for the elements of a set or map."""
    begin(message, GETSETELEM, DUMP)
    message.attribute(_ELEMENTS_TABLE, table)
    message.attribute(_ELEMENTS_SET, name)
    message.end()


def elements(datagram):
    """Yield (key, (packets, bytes)) of the elements in an answer; zeros where the kernel does not count."""
    for kind, _, start, end in messages(datagram):
        if kind == NEWSETELEM:
            for name, begin_at, stop in attributes(datagram, start + 4, end):
                if name == _ELEMENTS:
                    for _, first, last in attributes(datagram, begin_at, stop):
                        yield _element(datagram, first, last)


def _element(datagram, start, end):
    key, counts = b"", (0, 0)
    for name, first, last in attributes(datagram, start, end):
        if name == _ELEMENT_KEY:
            for _, begin_at, stop in attributes(datagram, first, last):
                key = bytes(datagram[begin_at:stop])
        elif name == _ELEMENT_EXPRESSION:
            for inner, begin_at, stop in attributes(datagram, first, last):
                if inner == 2:  # the expression's own values
                    counts = _counts(datagram, begin_at, stop)
    return key, counts


def _counts(datagram, start, end):
    values = {}
    for name, begin_at, stop in attributes(datagram, start, end):
        if stop - begin_at == 8 and datagram[begin_at] < 0x80:  # the runtime's integers hold 63 bits
            values[name] = struct.unpack_from(">Q", datagram, begin_at)[0]
    return values.get(_COUNTER_PACKETS, 0), values.get(_COUNTER_BYTES, 0)


def _begin_expression(batch, name):
    one = batch.nest(_LIST_ELEMENT)
    batch.attribute(1, name)
    return one, batch.nest(2)


def _end_expression(batch, marks):
    batch.unnest(marks[1])
    batch.unnest(marks[0])


def meta(batch, key, register=REGISTER_1):
    """Append: load something of the packet's own into a register."""
    marks = _begin_expression(batch, b"meta\0")
    number(batch, 2, key)
    number(batch, 1, register)
    _end_expression(batch, marks)


def payload(batch, base, offset, length, register=REGISTER_1):
    """Append: load bytes of a header into a register."""
    marks = _begin_expression(batch, b"payload\0")
    number(batch, 1, register)
    number(batch, 2, base)
    number(batch, 3, offset)
    number(batch, 4, length)
    _end_expression(batch, marks)


def compare(batch, value):
    """Append: go on only if the first register holds `value`."""
    marks = _begin_expression(batch, b"cmp\0")
    number(batch, 1, REGISTER_1)
    number(batch, 2, 0)  # equal
    _value(batch, 3, value)
    _end_expression(batch, marks)


def mask(batch, value):
    """Append: keep the bits of the 4 bytes in the first register that are set in `value`."""
    marks = _begin_expression(batch, b"bitwise\0")
    number(batch, 1, REGISTER_1)
    number(batch, 2, REGISTER_1)
    number(batch, 3, len(value))
    _value(batch, 4, value)
    _value(batch, 5, bytes(len(value)))
    _end_expression(batch, marks)


def conntrack(batch, key, direction):
    """Append: load something of the connection's tuple of that direction (a byte) into the first register."""
    marks = _begin_expression(batch, b"ct\0")
    number(batch, 1, REGISTER_1)
    number(batch, 2, key)
    batch.attribute(3, direction)
    _end_expression(batch, marks)


def masquerade(batch):
    """Append: give the packet the address of the interface that it leaves by."""
    _end_expression(batch, _begin_expression(batch, b"masq\0"))


def immediate(batch, register, value):
    """Append: put `value` into a register."""
    marks = _begin_expression(batch, b"immediate\0")
    number(batch, 1, register)
    _value(batch, 2, value)
    _end_expression(batch, marks)


def lookup(batch, name):
    """Append: replace the first register by what the map `name` has for it; go on only if it has something."""
    marks = _begin_expression(batch, b"lookup\0")
    batch.attribute(1, name)
    number(batch, 2, REGISTER_1)
    number(batch, 3, REGISTER_1)
    _end_expression(batch, marks)


def dnat(batch, port_register):
    """Append: translate to the IPv4 address in the first register and the port in `port_register`."""
    marks = _begin_expression(batch, b"nat\0")
    number(batch, 1, _NAT_DNAT)
    number(batch, 2, _NFPROTO_IPV4)
    number(batch, 3, REGISTER_1)
    number(batch, 5, port_register)
    _end_expression(batch, marks)
