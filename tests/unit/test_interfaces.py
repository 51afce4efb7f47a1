"""miniigd.interfaces: the kernel's reports (rtnetlink) of links and addresses, in every order, cut and flipped."""

import struct

from helpers import raised, values
from miniigd import netlink
from miniigd.addresses import ip4_bytes, ip6_bytes
from miniigd.interfaces import PROTOCOL, Interface, Interfaces, is_answered
from miniigd.netlink import Message

NEWLINK, DELLINK, NEWADDR, DELADDR = 16, 17, 20, 21
UP, RUNNING = 0x1, 0x40
MAC = b"\x02\x11\x22\x33\x44\x55"


def _link(kind, index, name, flags=UP | RUNNING, mac=MAC, family=0):
    message = Message()
    message.begin(kind, 0, 0)
    message.add(struct.pack("@BBHiII", family, 0, 1, index, flags, 0))
    message.attribute(3, name.encode() + b"\0")
    message.attribute(13, bytes(4))
    if mac is not None:
        message.attribute(1, mac)
    message.end()
    return bytes(message.data)


def _address(kind, index, local, length, peer=None):
    message = Message()
    message.begin(kind, 0, 0)
    message.add(struct.pack("@BBBBI", 2, length, 0, 0, index))
    message.attribute(1, ip4_bytes(peer or local))
    if local is not None:
        message.attribute(2, ip4_bytes(local))
    message.attribute(3, b"br-lan\0")
    message.end()
    return bytes(message.data)


def _known():
    """Interfaces with lan at index 3, 192.168.1.1/24, and wan at index 4, 81.2.69.160/22."""
    interfaces = Interfaces(["lan", "wan"])
    for datagram in (_link(NEWLINK, 3, "lan"), _link(NEWLINK, 4, "wan"), _address(NEWADDR, 3, "192.168.1.1", 24),
                     _address(NEWADDR, 4, "81.2.69.160", 22)):
        assert interfaces.receive(datagram)
    return interfaces


def test_nothing_is_known_at_first():
    interfaces = Interfaces(["lan"])
    lan = interfaces["lan"]
    assert (lan.name, lan.index, lan.is_up, lan.mac, lan.address, lan.addresses) == ("lan", 0, False, b"", None, [])
    raised(KeyError, interfaces.__getitem__, "wan")


def test_links_and_addresses():
    interfaces = _known()
    lan, wan = interfaces["lan"], interfaces["wan"]
    assert (lan.index, lan.is_up, lan.mac, lan.address) == (3, True, MAC, "192.168.1.1")
    assert (wan.index, wan.is_up, wan.address, wan.addresses) == (4, True, "81.2.69.160", [("81.2.69.160", 22)])


def test_several_messages_in_one_datagram():
    interfaces = Interfaces(["lan", "wan"])
    assert interfaces.receive(_link(NEWLINK, 9, "eth9") + _link(NEWLINK, 3, "lan") +
                              _address(NEWADDR, 3, "192.168.1.1", 24) + _link(NEWLINK, 4, "wan"))
    assert interfaces["lan"].address == "192.168.1.1"
    assert interfaces["wan"].index == 4


def test_a_report_that_changes_nothing():
    interfaces = _known()
    for datagram in (_link(NEWLINK, 3, "lan"), _address(NEWADDR, 3, "192.168.1.1", 24), _link(NEWLINK, 7, "eth7"),
                     _link(DELLINK, 7, "eth7"), _address(NEWADDR, 7, "10.0.0.1", 8),
                     _address(DELADDR, 7, "10.0.0.1", 8), _address(DELADDR, 3, "192.168.1.2", 24),
                     _address(DELADDR, 3, "192.168.1.1", 16), b""):
        assert not interfaces.receive(datagram)
    assert interfaces["lan"].addresses == [("192.168.1.1", 24)]


def test_a_cable_is_pulled_and_put_back():
    interfaces = _known()
    for flags in (UP, RUNNING, 0):
        assert interfaces.receive(_link(NEWLINK, 4, "wan", flags))
        assert not interfaces["wan"].is_up
        assert interfaces["wan"].address == "81.2.69.160"
        assert interfaces.receive(_link(NEWLINK, 4, "wan"))
        assert interfaces["wan"].is_up


def test_an_interface_is_deleted_and_made_again():
    interfaces = _known()
    assert interfaces.receive(_link(DELLINK, 4, "wan"))
    wan = interfaces["wan"]
    assert (wan.index, wan.is_up, wan.mac, wan.address) == (0, False, b"", None)
    assert not interfaces.receive(_address(NEWADDR, 4, "81.2.69.160", 22))
    assert interfaces.receive(_link(NEWLINK, 12, "wan", mac=None))
    assert interfaces.receive(_address(NEWADDR, 12, "81.2.69.161", 32))
    assert (wan.index, wan.address, wan.mac) == (12, "81.2.69.161", b"")
    assert interfaces["lan"].address == "192.168.1.1"


def test_a_new_index_without_a_report_of_the_deletion():
    interfaces = _known()
    assert interfaces.receive(_link(NEWLINK, 12, "wan"))
    assert (interfaces["wan"].index, interfaces["wan"].address) == (12, None)


def test_an_interface_is_renamed_away_and_back():
    interfaces = _known()
    assert interfaces.receive(_link(NEWLINK, 4, "old"))
    assert (interfaces["wan"].index, interfaces["wan"].address) == (0, None)
    assert interfaces.receive(_link(NEWLINK, 4, "wan"))
    assert interfaces["wan"].index == 4


def test_an_interface_takes_the_name_of_another():
    for first, second in (("lan", "wan"), ("wan", "lan")):
        interfaces = Interfaces(["lan", "wan"])
        interfaces.receive(_link(NEWLINK, 3, first))
        assert interfaces.receive(_link(NEWLINK, 3, second))
        assert interfaces[first].index == 0
        assert interfaces[second].index == 3


def test_a_bridge_port_that_leaves_its_bridge_is_not_deleted():
    interfaces = _known()
    assert not interfaces.receive(_link(DELLINK, 3, "lan", family=7))  # AF_BRIDGE
    assert interfaces["lan"].address == "192.168.1.1"


def test_addresses_come_and_go():
    interfaces = _known()
    lan = interfaces["lan"]
    assert interfaces.receive(_address(NEWADDR, 3, "10.0.0.1", 8))
    assert lan.addresses == [("192.168.1.1", 24), ("10.0.0.1", 8)]
    assert interfaces.receive(_address(DELADDR, 3, "192.168.1.1", 24))
    assert lan.address == "10.0.0.1"
    assert interfaces.receive(_address(DELADDR, 3, "10.0.0.1", 8))
    assert lan.address is None


def test_on_a_point_to_point_link_the_address_is_ours_not_the_peer_s():
    interfaces = _known()
    assert interfaces.receive(_address(NEWADDR, 3, "100.64.0.2", 32, "100.64.0.1"))
    assert ("100.64.0.2", 32) in interfaces["lan"].addresses
    body = b"\2\x20\0\0\3\0\0\0"
    local, peer = b"\x08\0\2\0\x64\x40\0\4", b"\x08\0\1\0\x64\x40\0\3"  # in the other order
    assert interfaces.receive(_message(NEWADDR, body + local + peer))
    assert [address for address, _ in interfaces["lan"].addresses] == ["192.168.1.1", "100.64.0.2", "100.64.0.4"]


def test_an_address_without_local_part():
    interfaces = _known()
    assert interfaces.receive(_address(NEWADDR, 3, None, 24, "10.1.1.1"))
    assert ("10.1.1.1", 24) in interfaces["lan"].addresses


def test_damaged_reports_never_raise():
    for datagram in (_link(NEWLINK, 3, "lan"), _address(NEWADDR, 3, "192.168.1.9", 24)):
        for position in range(len(datagram)):
            _known().receive(datagram[:position])
            for byte in (0, 3, 4, 16, 128, 255):
                _known().receive(datagram[:position] + bytes([byte]) + datagram[position + 1:])


def test_messages_too_short_for_their_type_are_left_out():
    for kind, least in ((NEWLINK, 16), (DELLINK, 16), (NEWADDR, 8), (DELADDR, 8)):
        for length in range(least):
            assert not _known().receive(_message(kind, bytes(length)))
        assert not _known().receive(_message(kind, bytes(least - 4) + b"\x63\0\0\0"))


def test_other_messages_are_left_out():
    for kind in (2, 3, 18, 22, 24, 28, 0xFFFF):
        assert not _known().receive(_message(kind, b"\2\x18\0\0\3\0\0\0" + bytes(60)))


def test_a_cut_address_is_no_address():
    interfaces = _known()
    message = Message()
    message.begin(NEWADDR, 0, 0)
    message.add(struct.pack("@BBBBI", 2, 24, 0, 0, 3))
    message.attribute(2, b"\x0a\0")
    message.end()
    assert not interfaces.receive(message.data)


def test_neighbours():
    interface = Interface("lan")
    assert not interface.has_neighbour(b"\xc0\xa8\x01\x02")
    interface.addresses = [("192.168.1.1", 24), ("10.0.0.1", 30), ("11.0.0.1", 32), ("172.16.0.1", 12)]
    for text, expected in (("192.168.1.2", True), ("192.168.1.255", True), ("192.168.2.1", False), ("10.0.0.3", True),
                           ("10.0.0.4", False), ("11.0.0.1", True), ("11.0.0.0", False), ("172.31.255.255", True),
                           ("172.32.0.0", False), ("127.0.0.1", False), ("8.8.8.8", False)):
        assert interface.has_neighbour(ip4_bytes(text)) == expected, text
    for length, last in ((25, 127), (26, 63), (27, 31), (28, 15), (29, 7), (30, 3), (31, 1)):
        interface.addresses = [("10.0.0.0", length)]
        assert interface.has_neighbour(bytes([10, 0, 0, last]))
        assert not interface.has_neighbour(bytes([10, 0, 0, last + 1]))
    interface.addresses = [("1.2.3.4", 0)]
    assert interface.has_neighbour(b"\x08\x08\x08\x08")


def test_the_present_state_is_asked_for():
    assert PROTOCOL == 0  # NETLINK_ROUTE; the groups are RTMGRP_LINK, RTMGRP_IPV4_IFADDR and RTMGRP_IPV6_IFADDR
    assert (Interfaces([]).groups, Interfaces([], False).groups) == (0x111, 0x11)
    assert netlink.messages(Interfaces([], False).requests()[0])[0][0] == 22
    assert Interfaces([], False).requests()[0][16:] == b"\2" + bytes(7)  # AF_INET alone
    requests = Interfaces(["br-lan", "pppoe-wan"]).requests()
    assert len(requests) == 3
    for request, name in zip(requests, (b"br-lan\0", b"pppoe-wan\0")):
        kind, _, start, end = netlink.messages(request)[0]
        assert kind == 18  # RTM_GETLINK
        assert struct.unpack_from("@H", request, 6)[0] == netlink.REQUEST
        assert request[start:start + 16] == bytes(16)
        assert values(request[start + 16:end]) == [(3, name), (29, b"\x08\0\0\0")]  # without statistics
    kind, _, start, end = netlink.messages(requests[2])[0]
    assert kind == 22  # RTM_GETADDR
    assert struct.unpack_from("@H", requests[2], 6)[0] == netlink.REQUEST | netlink.DUMP
    assert requests[2][start:end] == bytes(8)  # of all families
    assert len(set([netlink.messages(request)[0][1] for request in requests])) == 3


TEMPORARY, OPTIMISTIC, DAD_FAILED, DEPRECATED, TENTATIVE, PERMANENT = 0x01, 0x04, 0x08, 0x20, 0x40, 0x80
LINK, GLOBAL, OTHER, LOCAL = "fe80::1", "2a00:11:0:1::1", "2a00:11:0:9::1", "fd12:3456::1"


def _address6(kind, index, address, length=64, flags=PERMANENT, local=None):
    message = Message()
    message.begin(kind, 0, 0)
    message.add(struct.pack("@BBBBI", 10, length, flags, 0, index))
    if local is not None:
        message.attribute(2, ip6_bytes(local))
    message.attribute(1, ip6_bytes(address))
    message.attribute(6, bytes(16))  # IFA_CACHEINFO
    message.end()
    return bytes(message.data)


def test_ipv6_addresses_come_and_go():
    interfaces = _known()
    lan = interfaces["lan"]
    assert lan.served6 == []
    assert interfaces.receive(_address6(NEWADDR, 3, LINK))
    assert lan.served6 == [LINK]
    assert interfaces.receive(_address6(NEWADDR, 3, GLOBAL))
    assert not interfaces.receive(_address6(NEWADDR, 3, GLOBAL))  # the kernel says so again: its lifetime is another
    assert lan.addresses6 == [(ip6_bytes(LINK), 64, True), (ip6_bytes(GLOBAL), 64, True)]
    assert lan.served6 == [LINK, GLOBAL] and lan.addresses == [("192.168.1.1", 24)]
    assert interfaces["wan"].addresses6 == []
    for raw, expected in ((ip6_bytes(GLOBAL), True), (ip6_bytes(OTHER), False), (ip4_bytes("192.168.1.1"), True),
                          (ip4_bytes("192.168.1.2"), False)):
        assert lan.has_address(raw) == expected
    assert interfaces.receive(_address6(DELADDR, 3, GLOBAL))
    assert not interfaces.receive(_address6(DELADDR, 3, GLOBAL))
    assert lan.served6 == [LINK]
    assert interfaces.receive(_link(DELLINK, 3, "lan"))
    assert lan.addresses6 == [] and lan.served6 == []


def test_an_ipv6_address_counts_once_it_is_known_to_be_ours_alone():
    interfaces = _known()
    lan = interfaces["lan"]
    assert not interfaces.receive(_address6(NEWADDR, 3, LINK, flags=PERMANENT | TENTATIVE))
    assert not interfaces.receive(_address6(NEWADDR, 3, LINK, flags=PERMANENT | TENTATIVE | DAD_FAILED))
    assert lan.served6 == []
    assert interfaces.receive(_address6(NEWADDR, 3, LINK, flags=PERMANENT | TENTATIVE | OPTIMISTIC))
    assert not interfaces.receive(_address6(NEWADDR, 3, LINK))
    assert lan.served6 == [LINK]
    assert interfaces.receive(_address6(NEWADDR, 3, LINK, flags=PERMANENT | TENTATIVE | DAD_FAILED))  # it was not
    assert lan.served6 == []


def test_the_ipv6_address_that_others_are_told_is_the_one_that_lasts():
    interfaces = _known()
    lan = interfaces["lan"]
    for address, flags, told in (
            (GLOBAL, TEMPORARY, GLOBAL), (OTHER, 0, OTHER), (GLOBAL, 0, GLOBAL), (GLOBAL, DEPRECATED, OTHER),
            (LOCAL, DEPRECATED, OTHER), (OTHER, DEPRECATED, LOCAL), (OTHER, 0, OTHER), (LOCAL, 0, LOCAL)):
        assert interfaces.receive(_address6(NEWADDR, 3, address, flags=flags))
        assert lan.served6 == [told], (address, flags)
    assert interfaces.receive(_address6(NEWADDR, 3, LINK))
    assert lan.served6 == [LINK, LOCAL]
    lan.addresses6.reverse()  # as the kernel lists them
    assert lan.served6 == [LINK, LOCAL]
    lan.addresses6 = [(ip6_bytes(one), 64, True) for one in (OTHER, "fe80::2", GLOBAL, LINK)]
    for _ in range(2):
        assert lan.served6 == [LINK, GLOBAL]
        lan.addresses6.reverse()


def test_a_neighbour_over_ipv6_has_one_of_our_prefixes_or_is_on_the_link():
    interfaces = _known()
    lan, wan = interfaces["lan"], interfaces["wan"]
    assert lan.has_neighbour(ip6_bytes("fe80::2")) and not lan.has_prefix6(ip6_bytes("fe80::2"))
    assert not lan.has_neighbour(ip6_bytes("2a00:11:0:1::2"))
    interfaces.receive(_address6(NEWADDR, 3, LINK) + _address6(NEWADDR, 3, GLOBAL, 60, DEPRECATED) +
                       _address6(NEWADDR, 4, OTHER) + _address6(NEWADDR, 4, "2a00:22::1", 128, local="2a00:33::1"))
    for text, expected in (("2a00:11:0:1::2", True), ("2a00:11:0:f:ffff::", True), ("2a00:11:0:10::", False),
                           ("2a00:11:0:9::2", True), ("febf::1", True), ("fec0::1", False), ("::1", False)):
        assert lan.has_neighbour(ip6_bytes(text)) == expected, text
    # What is the WAN's is no neighbour of the LAN, and the address of a point-to-point link is ours, not the other's.
    assert not lan.has_neighbour(ip6_bytes("2a00:33::1"))
    assert wan.has_neighbour(ip6_bytes("2a00:33::1")) and not wan.has_neighbour(ip6_bytes("2a00:22::1"))
    assert wan.has_neighbour(ip6_bytes("2a00:11:0:9::2")) and not wan.has_neighbour(ip6_bytes("2a00:11:0:1::2"))


def test_ipv6_that_is_switched_off_is_not_there():
    interfaces = Interfaces(["lan"], False)
    assert interfaces.receive(_link(NEWLINK, 3, "lan"))
    assert not interfaces.receive(_address6(NEWADDR, 3, GLOBAL))
    assert interfaces["lan"].served6 == []


def test_no_report_of_ipv6_that_was_damaged_on_the_way_raises():
    whole = _address6(NEWADDR, 3, GLOBAL)
    for position in range(len(whole)):
        for byte in (0, 1, 2, 3, 10, 16, 255):
            interfaces = _known()
            interfaces.receive(whole[:position] + bytes([byte]) + whole[position + 1:])
            interfaces.receive(whole[:position])
            for raw, _, _ in interfaces["lan"].addresses6:
                assert len(raw) == 16
            for raw in [bytes(16)] + [raw for raw, _, _ in interfaces["lan"].addresses6]:
                interfaces["lan"].has_neighbour(raw)


def test_what_is_forgotten_can_be_learnt_again():
    interfaces = _known()
    interfaces.forget()
    assert (interfaces["lan"].index, interfaces["wan"].address) == (0, None)
    assert interfaces.receive(_link(NEWLINK, 3, "lan"))


def _message(kind, body):
    return struct.pack("@IHHII", 16 + len(body), kind, 0, 0, 0) + body


def test_the_end_of_an_answer():
    assert is_answered(_link(NEWLINK, 3, "lan"))
    assert is_answered(_address(NEWADDR, 3, "10.0.0.1", 8) + _message(3, bytes(4)))  # NLMSG_DONE
    assert is_answered(_message(2, struct.pack("@i", -19) + bytes(16)))  # NLMSG_ERROR, ENODEV
    assert not is_answered(_address(NEWADDR, 3, "10.0.0.1", 8))
    assert not is_answered(b"")
