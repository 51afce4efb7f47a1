"""Pinholes in firewall4's table: elements of timed sets, from which the chain `upnp_forward6` accepts.

Four sets, for each of what a pinhole may leave open: the remote host and the remote port. (One set of ranges would do,
with the widest range for what is open; but the kernel takes no range inside of another one: a pinhole for one remote
host beside one for any.) An element's timeout is what is left of the lease and a moment more: the kernel itself closes
the hole. What comes in by another interface than the WAN, whose index is in a set too, does not get there.
"""

import struct

from ..addresses import ip6_bytes
from ..compat import const
from ..netlink import CREATE
from . import nft_messages as nft
from .nft_fw4 import TABLE

CHAIN = b"upnp_forward6\0"
WAN_SET = b"upnp_wan6\0"
SET, SET_FROM = b"upnp_open6\0", b"upnp_open6_from\0"
SET_PORT, SET_FROM_PORT = b"upnp_open6_port\0", b"upnp_open6_from_port\0"
SETS = (SET, SET_FROM, SET_PORT, SET_FROM_PORT)
BATCH = const(64)  # pinholes in one batch: about 12 KB


def add(batch, pinhole, seconds, wan, is_renewed):
    """Append what opens `pinhole` for so long, anew where it `is_renewed`: a kernel does not change a timeout."""
    # no matter if it is there already
    nft.element(batch, nft.NEWSETELEM, CREATE, TABLE, WAN_SET, struct.pack("@I", wan.index6))
    key, name = key_of(pinhole)
    if is_renewed:
        nft.element(batch, nft.DELSETELEM, 0, TABLE, name, key)
    nft.element(batch, nft.NEWSETELEM, CREATE, TABLE, name, key, None, seconds)


def delete(batch, pinhole):
    """Append what closes `pinhole`."""
    key, name = key_of(pinhole)
    nft.element(batch, nft.DELSETELEM, 0, TABLE, name, key)


def flush(batch):
    """Append what closes every pinhole."""
    for name in SETS + (WAN_SET,):
        nft.flush_set(batch, TABLE, name)


def ask(message, pinhole):
    """Append the question for the element of `pinhole`."""
    key, name = key_of(pinhole)
    nft.element(message, nft.GETSETELEM, 0, TABLE, name, key)


def key_of(pinhole):
    """Return the (key, set) of a pinhole's element: each part of a key takes whole 4 bytes."""
    key = struct.pack(">B3x", nft.IPPROTO[pinhole.protocol])
    name = SET
    if pinhole.remote_port:
        key += struct.pack(">H2x", pinhole.remote_port)
        name = SET_PORT
    if pinhole.remote_host:
        key = ip6_bytes(pinhole.remote_host) + key
        name = SET_FROM_PORT if pinhole.remote_port else SET_FROM
    return key + ip6_bytes(pinhole.internal_client) + struct.pack(">H2x", pinhole.internal_port), name
