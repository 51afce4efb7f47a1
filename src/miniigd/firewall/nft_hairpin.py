"""Lets hosts of the LAN use the external address too (hairpin, RFC 4787 section 6), where somebody switched that on.

In a table of its own, whatever layout the mappings have: a mapping for any remote host is one element more of a map,

    chain prerouting { ip daddr EXTERNAL dnat ip to meta l4proto . th dport map @open }
    chain postrouting { ip saddr LAN ip daddr LAN ct original ip daddr EXTERNAL masquerade }

whose timeout is that of the mapping. Answers have to come back through the router, so the source is the router's.
"""

import struct

from ..addresses import ip4_bytes
from ..compat import const
from ..netlink import APPEND, CREATE
from . import nft_messages as nft
from . import nft_table

TABLE = b"miniigd_hairpin\0"
POSTROUTING_CHAIN = b"postrouting\0"
SETS = (nft_table.MAP,)

_PREROUTING, _POSTROUTING = const(0), const(4)  # netfilter's hooks
_PRIORITY_SRCNAT = const(100)
_CT_DST_IP = const(20)
_ORIGINAL = b"\0"


def make_table(batch):
    """Append what makes the table where it is not there yet."""
    nft.make_table(batch, TABLE)


def close(batch):
    """Append what removes the table."""
    nft.delete_table(batch, TABLE)


def flush(batch, address, subnets):
    """Append what makes the table anew, empty, for the external `address` (None: without rules).

    `subnets` are the LANs' (dotted quad of a host, prefix length).
    """
    make_table(batch)  # so that it can be deleted whether it was there or not
    close(batch)
    make_table(batch)
    nft_table.make_map(batch, TABLE, nft_table.MAP, nft_table.KEY_TYPE, 8, 1)
    nft_table.make_chain(batch, TABLE, nft_table.CHAIN, _PREROUTING, nft_table.PRIORITY_DSTNAT)
    nft_table.make_chain(batch, TABLE, POSTROUTING_CHAIN, _POSTROUTING, _PRIORITY_SRCNAT)
    if address is not None:
        _translate(batch, ip4_bytes(address))
        for host, length in subnets:
            _masquerade(batch, ip4_bytes(address), ip4_bytes(host), length)


def _begin_rule(batch, chain):
    nft.begin(batch, nft.NEWRULE, CREATE | APPEND)
    batch.attribute(nft.RULE_TABLE, TABLE)
    batch.attribute(nft.RULE_CHAIN, chain)
    return batch.nest(nft.RULE_EXPRESSIONS)


def _translate(batch, address):
    expressions = _begin_rule(batch, nft_table.CHAIN)
    nft.payload(batch, nft.BASE_NETWORK, 16, 4)
    nft.compare(batch, address)
    nft_table.look_up(batch, nft_table.MAP, 8)  # 8: the first 4 bytes of REGISTER_1
    batch.unnest(expressions)
    batch.end()


def _masquerade(batch, address, host, length):
    mask = struct.pack(">I", 0xFFFFFFFF ^ 0xFFFFFFFF >> length)
    network = bytes([host[index] & mask[index] for index in range(4)])
    expressions = _begin_rule(batch, POSTROUTING_CHAIN)
    for offset in (12, 16):  # source, destination
        nft.payload(batch, nft.BASE_NETWORK, offset, 4)
        nft.mask(batch, mask)
        nft.compare(batch, network)
    nft.conntrack(batch, _CT_DST_IP, _ORIGINAL)
    nft.compare(batch, address)
    nft.masquerade(batch)
    batch.unnest(expressions)
    batch.end()


def add(batch, mapping, replaced, seconds):
    """Append what opens `mapping` to the LAN, in the place of `replaced` where that is in the kernel."""
    if replaced is not None and replaced.handle is not None:
        delete(batch, replaced)
    nft_table.add_element(batch, TABLE, mapping, seconds)


def delete(batch, mapping):
    """Append what closes `mapping` to the LAN."""
    key, name = nft_table.key_of(mapping)
    nft.element(batch, nft.DELSETELEM, 0, TABLE, name, key)
