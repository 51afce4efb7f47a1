"""miniigd.firewall.nft_pinholes: the set element of a pinhole, for each of what it leaves open."""

import struct

from helpers import nft_messages, values
from miniigd.addresses import ip6_bytes
from miniigd.firewall import nft_pinholes
from miniigd.netlink import Message
from miniigd.pinhole import Pinhole

NEWSETELEM, GETSETELEM, DELSETELEM = 0xA0C, 0xA0D, 0xA0E
REQUEST, CREATE = 0x1, 0x400
HOST, REMOTE = ip6_bytes("2001:db8::2"), ip6_bytes("2001:db8:9::1")


class _Wan:
    index, index6 = 4, 6


def _pinhole(remote_host="", remote_port=0, protocol="TCP"):
    return Pinhole(7, remote_host, remote_port, protocol, "2001:db8::2", 8000, 60, 160)


# (pinhole, set, key)
ELEMENTS = (
    (_pinhole(), b"upnp_open6\0", b"\x06\0\0\0" + HOST + b"\x1f\x40\0\0"),
    (_pinhole(protocol="UDP"), b"upnp_open6\0", b"\x11\0\0\0" + HOST + b"\x1f\x40\0\0"),
    (_pinhole("2001:db8:9::1"), b"upnp_open6_from\0", REMOTE + b"\x06\0\0\0" + HOST + b"\x1f\x40\0\0"),
    (_pinhole("", 77), b"upnp_open6_port\0", b"\x06\0\0\0\0\x4d\0\0" + HOST + b"\x1f\x40\0\0"),
    (_pinhole("2001:db8:9::1", 77), b"upnp_open6_from_port\0",
     REMOTE + b"\x06\0\0\0\0\x4d\0\0" + HOST + b"\x1f\x40\0\0"),
)


def _element(found):
    """Return (set, key, timeout in ms or None) of a message about one element."""
    assert found[4][1] == b"fw4\0"
    element = dict(values(values(found[4][3])[0][1]))
    timeout = element.get(4)
    return found[4][2], values(element[1])[0][1], timeout and struct.unpack(">Q", timeout)[0]


def _made(function, *arguments):
    message = Message()
    function(message, *arguments)
    return nft_messages(message.data)


def test_each_kind_of_pinhole_has_its_set():
    for pinhole, name, key in ELEMENTS:
        wan, element = _made(nft_pinholes.add, pinhole, 60, _Wan, False)
        assert wan[:2] == element[:2] == (NEWSETELEM, REQUEST | CREATE)
        assert _element(wan) == (b"upnp_wan6\0", struct.pack("@I", 6), None)
        assert _element(element) == (name, key, 60000)
        (deletion,) = _made(nft_pinholes.delete, pinhole)
        assert deletion[0] == DELSETELEM and _element(deletion) == (name, key, None)
        (question,) = _made(nft_pinholes.ask, pinhole)
        assert question[:2] == (GETSETELEM, REQUEST) and _element(question) == (name, key, None)
    assert {name for _, name, _ in ELEMENTS} == set(nft_pinholes.SETS)


def test_a_renewal_takes_the_old_element_out_first():
    found = _made(nft_pinholes.add, _pinhole(), 90, _Wan, True)
    assert [one[0] for one in found] == [NEWSETELEM, DELSETELEM, NEWSETELEM]
    assert _element(found[1])[1] == _element(found[2])[1] and _element(found[2])[2] == 90000


def test_a_flush_names_every_set():
    found = _made(nft_pinholes.flush)
    assert [(one[0], one[4][2]) for one in found] == [
        (DELSETELEM, name) for name in nft_pinholes.SETS + (nft_pinholes.WAN_SET,)]
    assert not [one for one in found if 3 in one[4]]
