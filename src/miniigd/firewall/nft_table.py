"""Mappings in a table of our own, `inet miniigd`, for routers whose firewall is not firewall4.

A mapping is one element of a map whose timeout is what is left of the lease,

    chain prerouting { iifname "wan" dnat ip to meta l4proto . th dport map @open }

so the kernel itself stops translating when the time is up. The router's own firewall must let translated connections
through FORWARD, as firewall3 does (`-m conntrack --ctstate DNAT -j ACCEPT` in its WAN zone): another table's accept
cannot overrule its drop.
"""

import struct

from ..addresses import ip4_bytes
from ..compat import const
from ..netlink import APPEND, CREATE
from . import nft_messages as nft

TABLE = b"miniigd\0"
CHAIN = b"prerouting\0"
MAP = b"open\0"
MAP_FROM = b"open_from\0"
SETS = (MAP, MAP_FROM)

PRIORITY_DSTNAT = const(0xFFFFFF9C)  # -100
_HOOK_NUMBER, _HOOK_PRIORITY = const(1), const(2)
_PREROUTING = const(0)
_FLAG_MAP, _FLAG_TIMEOUT = const(8), const(16)
# Types as the nft program numbers them, so that it can show the maps: 6 bits for each part of a concatenation.
_TYPE_ADDRESS, _TYPE_PROTOCOL, _TYPE_SERVICE = const(7), const(12), const(13)
KEY_TYPE = _TYPE_PROTOCOL << 6 | _TYPE_SERVICE
_IFNAMSIZ = const(16)


def flush(batch, wan):
    """Append what makes the table anew, empty."""
    make_table(batch)  # so that it can be deleted whether it was there or not
    close(batch, wan)
    make_table(batch)
    make_map(batch, TABLE, MAP, KEY_TYPE, 8, 1)
    make_map(batch, TABLE, MAP_FROM, _TYPE_ADDRESS << 12 | KEY_TYPE, 12, 2)
    make_chain(batch, TABLE, CHAIN, _PREROUTING, PRIORITY_DSTNAT)
    _make_rule(batch, MAP_FROM, wan)
    _make_rule(batch, MAP, wan)


def close(batch, wan):
    """Append what removes the table."""
    nft.delete_table(batch, TABLE)


def make_table(batch):
    """Append what makes the table where it is not there yet."""
    nft.make_table(batch, TABLE)


def make_chain(batch, table, name, hook_number, priority):
    """Append what makes a chain of type nat."""
    nft.begin(batch, nft.NEWCHAIN, CREATE)
    batch.attribute(nft.CHAIN_TABLE, table)
    batch.attribute(nft.CHAIN_NAME, name)
    hook = batch.nest(nft.CHAIN_HOOK)
    nft.number(batch, _HOOK_NUMBER, hook_number)
    nft.number(batch, _HOOK_PRIORITY, priority)
    batch.unnest(hook)
    batch.attribute(nft.CHAIN_TYPE, b"nat\0")
    batch.end()


def make_map(batch, table, name, key_type, key_length, identifier):
    """Append what makes a map with timeouts, to an address and a port."""
    nft.begin(batch, nft.NEWSET, CREATE)
    batch.attribute(nft.SET_TABLE, table)
    batch.attribute(nft.SET_NAME, name)
    nft.number(batch, nft.SET_FLAGS, _FLAG_MAP | _FLAG_TIMEOUT)
    nft.number(batch, nft.SET_KEY_TYPE, key_type)
    nft.number(batch, nft.SET_KEY_LEN, key_length)
    nft.number(batch, nft.SET_DATA_TYPE, _TYPE_ADDRESS << 6 | _TYPE_SERVICE)
    nft.number(batch, nft.SET_DATA_LEN, 8)
    nft.number(batch, nft.SET_ID, identifier)
    batch.end()


def _make_rule(batch, name, wan):
    nft.begin(batch, nft.NEWRULE, CREATE | APPEND)
    batch.attribute(nft.RULE_TABLE, TABLE)
    batch.attribute(nft.RULE_CHAIN, CHAIN)
    expressions = batch.nest(nft.RULE_EXPRESSIONS)
    device = wan.name.encode()
    nft.meta(batch, nft.META_IIFNAME)
    nft.compare(batch, device + bytes(_IFNAMSIZ - len(device)))
    register = 8  # the first 4 bytes of REGISTER_1
    if name == MAP_FROM:
        nft.payload(batch, nft.BASE_NETWORK, 12, 4, register)
        register += 1
    look_up(batch, name, register)
    batch.unnest(expressions)
    batch.end()


def look_up(batch, name, register):
    """Append: translate to what the map `name` has for the protocol and the port, put from `register` on."""
    nft.meta(batch, nft.META_L4PROTO, register)
    nft.payload(batch, nft.BASE_TRANSPORT, 2, 2, register + 1)
    nft.lookup(batch, name)
    nft.dnat(batch, nft.REGISTER_1_1)


def add(batch, mapping, replaced, seconds, wan, before=None):
    """Append what opens `mapping`, in the place of `replaced` where that is in the kernel; elements have no order."""
    if replaced is not None and replaced.handle is not None:
        delete_element(batch, replaced)
    add_element(batch, TABLE, mapping, seconds)


def add_element(batch, table, mapping, seconds):
    """Append the element of `mapping`, which stays for so long."""
    key, name = key_of(mapping)
    data = ip4_bytes(mapping.internal_client) + struct.pack(">H2x", mapping.internal_port)
    nft.element(batch, nft.NEWSETELEM, CREATE, table, name, key, data, seconds)


def delete_element(batch, mapping):
    """Append what removes the element of `mapping`."""
    key, name = key_of(mapping)
    nft.element(batch, nft.DELSETELEM, 0, TABLE, name, key)


DELETIONS = (delete_element,)


def are_rules_intact(handles, mappings):
    """True when the chain holds its two rules, one for each map."""
    return len(handles) == len(SETS)


def key_of(mapping):
    """Return the (key, map) of a mapping's element: each part of a key takes whole 4 bytes."""
    key = struct.pack(">B3xH2x", nft.IPPROTO[mapping.protocol], mapping.external_port)
    if mapping.remote_host:
        return ip4_bytes(mapping.remote_host) + key, MAP_FROM
    return key, MAP
