"""Mappings in firewall4's own table: `inet fw4`, in the chains and sets of the package's snippet.

A mapping is one rule in the chain `upnp_prerouting`, in the form that luci-app-upnp reads,

    iif "wan" @nh,72,8 0x6 th dport 8000 dnat ip to 192.168.1.2:8000

and one element of the set `upnp_open` (or `upnp_open_from`, with a remote host), from which the chain `upnp_forward`
accepts. The element's timeout is what is left of the lease and a moment more: the kernel itself closes the hole,
whatever becomes of this process.
"""

import struct

from ..addresses import ip4_bytes
from ..netlink import APPEND, CREATE, ECHO, REPLACE
from . import nft_messages as nft

TABLE = b"fw4\0"
CHAIN = b"upnp_prerouting\0"
SET = b"upnp_open\0"
SET_FROM = b"upnp_open_from\0"
SET_PINHOLES = b"upnp_open6\0"  # of the same snippet: what was loaded from an older one has to be loaded anew


def probes():
    """Return the (name, function that appends the question for it) of what must be there."""
    return ((CHAIN, _ask_chain), (SET, _ask_set), (SET_FROM, _ask_set), (SET_PINHOLES, _ask_set))


def ask_table(batch, name):
    """Append the question whether there is a table of that name."""
    nft.begin(batch, nft.GETTABLE, 0)
    batch.attribute(nft.TABLE_NAME, name)
    batch.end()


def _ask_chain(batch, name):
    nft.begin(batch, nft.GETCHAIN, 0)
    batch.attribute(nft.CHAIN_TABLE, TABLE)
    batch.attribute(nft.CHAIN_NAME, name)
    batch.end()


def _ask_set(batch, name):
    nft.begin(batch, nft.GETSET, 0)
    batch.attribute(nft.SET_TABLE, TABLE)
    batch.attribute(nft.SET_NAME, name)
    batch.end()


def add(batch, mapping, replaced, seconds, wan, before=None):
    """Append what opens `mapping`: in the place of `replaced` if that is in the kernel, else in front of `before`."""
    handle = None
    if replaced is not None and replaced.handle is not None:
        handle = replaced.handle
        delete_element(batch, replaced)
    # The rule is put in again even where nothing of it changes: a reload of firewall4 drops rules and keeps elements,
    # and then this batch fails instead of renewing half a mapping.
    _add_rule(batch, mapping, handle, wan, before)
    add_element(batch, TABLE, mapping, seconds)


def add_element(batch, table, mapping, seconds):
    """Append the element of `mapping`, which stays for so long."""
    key, name = key_of(mapping)
    nft.element(batch, nft.NEWSETELEM, CREATE, table, name, key, None, seconds)


def _add_rule(batch, mapping, handle, wan, before):
    if handle is not None:
        flags = REPLACE
    elif before is not None:
        flags = CREATE
    else:
        flags = CREATE | APPEND
    nft.begin(batch, nft.NEWRULE, ECHO | flags)
    batch.attribute(nft.RULE_TABLE, TABLE)
    batch.attribute(nft.RULE_CHAIN, CHAIN)
    if handle is not None:
        batch.attribute(nft.RULE_HANDLE, handle)
    elif before is not None:
        batch.attribute(nft.RULE_POSITION, before.handle)
    expressions = batch.nest(nft.RULE_EXPRESSIONS)
    nft.meta(batch, nft.META_IIF)
    nft.compare(batch, struct.pack("@I", wan.index))
    nft.payload(batch, nft.BASE_NETWORK, 9, 1)
    nft.compare(batch, bytes([nft.IPPROTO[mapping.protocol]]))
    nft.payload(batch, nft.BASE_TRANSPORT, 2, 2)
    nft.compare(batch, struct.pack(">H", mapping.external_port))
    if mapping.remote_host:
        nft.payload(batch, nft.BASE_NETWORK, 12, 4)
        nft.compare(batch, ip4_bytes(mapping.remote_host))
    nft.immediate(batch, nft.REGISTER_1, ip4_bytes(mapping.internal_client))
    nft.immediate(batch, nft.REGISTER_2, struct.pack(">H", mapping.internal_port))
    nft.dnat(batch, nft.REGISTER_2)
    batch.unnest(expressions)
    batch.end()


def delete_rule(batch, mapping):
    """Append what removes the rule of `mapping`."""
    nft.begin(batch, nft.DELRULE, 0)
    batch.attribute(nft.RULE_TABLE, TABLE)
    batch.attribute(nft.RULE_CHAIN, CHAIN)
    batch.attribute(nft.RULE_HANDLE, mapping.handle or bytes(8))
    batch.end()


def delete_element(batch, mapping):
    """Append what removes the set element of `mapping`."""
    key, name = key_of(mapping)
    nft.element(batch, nft.DELSETELEM, 0, TABLE, name, key)


DELETIONS = (delete_rule, delete_element)
SETS = (SET, SET_FROM)


def are_rules_intact(handles, mappings):
    """True when the chain holds the rules of `mappings` and no other, in their order."""
    return handles == [mapping.handle for mapping in mappings]


def flush(batch, wan):
    """Append what removes everything of ours."""
    nft.begin(batch, nft.DELRULE, 0)
    batch.attribute(nft.RULE_TABLE, TABLE)
    batch.attribute(nft.RULE_CHAIN, CHAIN)
    batch.end()
    nft.flush_set(batch, TABLE, SET)
    nft.flush_set(batch, TABLE, SET_FROM)


close = flush


def key_of(mapping):
    """Return the (key, set) of a mapping's element: each part of a key takes whole 4 bytes."""
    key = struct.pack(">B3xH2x4sH2x", nft.IPPROTO[mapping.protocol], mapping.external_port,
                      ip4_bytes(mapping.internal_client), mapping.internal_port)
    if mapping.remote_host:
        return ip4_bytes(mapping.remote_host) + key, SET_FROM
    return key, SET
