"""miniigd.firewall.conntrack: which connections end, what is asked of the kernel for it, and kernels that cannot."""

import errno
import struct

from helpers import Output, values
from miniigd import log
from miniigd.addresses import ip4_bytes, ip6_bytes
from miniigd.errors import FirewallError
from miniigd.firewall.conntrack import Flows
from miniigd.mapping import PortMapping
from miniigd.netlink import Message, attributes, messages
from miniigd.pinhole import Pinhole

NEW, GET, DELETE, DONE, ERROR = 0x100, 0x101, 0x102, 3, 2
TCP, UDP = 6, 17
WAN, REMOTE, HOST, OTHER = "81.2.69.160", "11.0.0.1", "192.168.1.2", "192.168.1.3"


class _Kernel:
    """Stands in for the channel and the kernel's table.

    `connections` are (protocol, source, port, destination, port, who answers, port).
    """

    def __init__(self, connections=()):
        self.connections = list(connections)
        self.sent = []
        self.error = 0
        self.is_silent = False

    def converse(self, data, is_answered, take, is_short=False):
        if self.is_silent:
            raise FirewallError("netlink: no answer from the kernel", errno.EAGAIN)
        self.sent.append(bytes(data))
        kind, sequence, _, _ = messages(data)[-1]
        if self.error or kind != GET:
            answers = [_error(sequence, self.error)]
        else:
            answers = [_entry(number, *one) for number, one in enumerate(self.connections)] + [_done()]
        for datagram in answers:
            take(datagram)
            if is_answered(datagram):
                return
        raise AssertionError("no end")


def _message(kind, body, sequence=0):
    return struct.pack("@IHHII", 16 + len(body), kind, 0, sequence, 0) + body


def _done():
    return _message(DONE, struct.pack("@i", 0))


def _error(sequence, number):
    return _message(ERROR, struct.pack("@i", -number) + bytes(16), sequence)


def _nest(kind, *parts):
    message = Message()
    outer = message.nest(kind)
    for part in parts:
        message.add(part)
    message.unnest(outer)
    return bytes(message.data)


def _value(kind, value):
    message = Message()
    message.attribute(kind, value)
    return bytes(message.data)


def _tuple(kind, protocol, source, source_port, destination, destination_port):
    return _nest(kind, _nest(1, _value(1, ip4_bytes(source)), _value(2, ip4_bytes(destination))),
                 _nest(2, _value(1, bytes([protocol])), _value(2, struct.pack(">H", source_port)),
                       _value(3, struct.pack(">H", destination_port))))


def _entry(number, protocol, source, source_port, destination, destination_port, replier, reply_port):
    body = b"\2\0\0\0" + _tuple(1, protocol, source, source_port, destination, destination_port) + _tuple(
        2, protocol, replier, reply_port, source, source_port) + _value(
        3, struct.pack(">I", 0x2E if replier != destination else 0x0E)) + _value(12, struct.pack(">I", number))
    return _message(NEW, body)


def _read(data):
    """Return [(type, {attribute: value})] of a row of messages."""
    return [(kind, dict(values(data[start + 4:end]))) for kind, _, start, end in messages(data)]


def _ends(data):
    """Return (protocol, source, port, destination, port) of a tuple's value."""
    inner = {(outer, name): value for outer, outer_value in values(data) for name, value in values(outer_value)}
    return (inner[(2, 1)][0], inner[(1, 1)], struct.unpack(">H", inner[(2, 2)])[0], inner.get((1, 2)),
            struct.unpack(">H", inner[(2, 3)])[0] if (2, 3) in inner else None)


def _mapping(port=8000, protocol="TCP", client=HOST, internal_port=8001, remote_host=""):
    return PortMapping(remote_host, port, protocol, internal_port, client, True, "", 60, 160)


THROUGH = (TCP, REMOTE, 40000, WAN, 8000, HOST, 8001)
OTHERS = (
    (TCP, REMOTE, 40001, WAN, 8002, HOST, 8001),  # another port to the same server
    (TCP, REMOTE, 40002, WAN, 8000, OTHER, 8001), (TCP, REMOTE, 40003, WAN, 8000, HOST, 8003),
    (UDP, REMOTE, 40004, WAN, 8000, HOST, 8001),
    (TCP, HOST, 8001, REMOTE, 8000, REMOTE, 8000),  # from inside
    (TCP, "192.168.1.9", 40005, "192.168.1.1", 8000, "192.168.1.1", 8000))


def _deleted(kernel):
    """Return the identities that were deleted."""
    return [struct.unpack(">I", found[12])[0] for data in kernel.sent for kind, found in _read(data) if kind == DELETE]


def test_what_was_not_translated_did_not_come_through_a_mapping():
    """Older kernels name it too; it is not even taken apart."""
    kernel = _Kernel([(TCP, REMOTE, 40000, HOST, 8000, HOST, 8001), THROUGH])
    Flows(kernel).end([_mapping(), _mapping(9000)])
    assert _deleted(kernel) == [1]


def test_only_the_connections_of_the_mapping_end():
    kernel = _Kernel(OTHERS[:3] + (THROUGH,) + OTHERS[3:])
    Flows(kernel).end([_mapping()])
    assert _deleted(kernel) == [3]
    assert [kind for kind, _ in _read(kernel.sent[1])] == [DELETE, NEW]


def test_the_kernel_is_asked_for_the_mapping_s_host_and_port():
    kernel = _Kernel()
    Flows(kernel).end([_mapping(protocol="UDP")])
    ((kind, found),) = _read(kernel.sent[0])
    assert kind == GET and _ends(found[2]) == (UDP, ip4_bytes(HOST), 8001, None, None)
    assert values(found[25]) == [(2, struct.pack("@I", 0x19))]
    assert len(kernel.sent) == 1  # nothing is connected


def test_several_mappings_are_looked_for_at_once():
    kernel = _Kernel((THROUGH,) + OTHERS)
    Flows(kernel).end([_mapping(), _mapping(8002), _mapping(9000)])
    ((kind, found),) = _read(kernel.sent[0])
    assert kind == GET and found == {3: struct.pack(">I", 0x20)}  # of Linux 5.15: only those that are translated
    assert _deleted(kernel) == [0, 1] and len(kernel.sent) == 2


def test_a_remote_host_s_connections_are_its_own():
    kernel = _Kernel((THROUGH, (TCP, "11.0.0.3", 40000, WAN, 8000, HOST, 8001)))
    Flows(kernel).end([_mapping(remote_host="11.0.0.3")])
    assert _deleted(kernel) == [1]


def test_what_the_host_still_sends_gets_another_port():
    for port, low, high in ((8000, 49152, 65535), (32767, 49152, 65535), (32768, 1024, 32767), (65535, 1024, 32767)):
        for protocol, number, seconds in (("TCP", TCP, 7500), ("UDP", UDP, 60)):
            kernel = _Kernel([(number, REMOTE, 40000, WAN, port, HOST, 8001)])
            Flows(kernel).end([_mapping(port, protocol)])
            (_, deletion), (_, ending) = _read(kernel.sent[1])
            assert _ends(deletion[1]) == (number, ip4_bytes(REMOTE), 40000, ip4_bytes(WAN), port)
            assert _ends(ending[1]) == (number, ip4_bytes(HOST), 8001, ip4_bytes(REMOTE), 40000)
            assert _ends(ending[2]) == (number, ip4_bytes(REMOTE), 40000, ip4_bytes(HOST), 8001)
            source = dict(values(ending[6]))
            assert source[1] == source[2] == ip4_bytes(WAN)
            assert values(source[3]) == [(1, struct.pack(">H", low)), (2, struct.pack(">H", high))]
            assert ending[3] == struct.pack(">I", 10) and ending[7] == struct.pack(">I", seconds)
            if protocol == "TCP":
                state = dict(values(values(ending[4])[0][1]))
                assert state == {1: b"\3", 4: b"\x08\x08", 5: b"\x08\x08"}
            else:
                assert 4 not in ending


def test_a_port_that_opens_again_is_free_of_what_was_left():
    left = (TCP, HOST, 8001, REMOTE, 40000, REMOTE, 40000)
    kernel = _Kernel([THROUGH])
    flows = Flows(kernel)
    flows.begin(_mapping())
    assert kernel.sent == []  # nothing was ended: nothing is asked
    flows.end([_mapping()])
    kernel.sent, kernel.connections = [], [OTHERS[1], left, THROUGH]
    flows.begin(_mapping(client=OTHER))
    assert kernel.sent == []
    flows.begin(_mapping())
    ((_, question),), (deletion,) = _read(kernel.sent[0]), _read(kernel.sent[1])
    assert _ends(question[1]) == (TCP, ip4_bytes(HOST), 8001, None, None)
    assert values(question[25]) == [(1, struct.pack("@I", 0x19))]
    assert deletion[0] == DELETE and _deleted(kernel) == [1]
    kernel.sent = []
    flows.begin(_mapping())
    assert kernel.sent == []


def test_what_is_remembered_is_bounded():
    kernel = _Kernel()
    flows = Flows(kernel)
    for port in range(2000, 2400):
        kernel.connections = [(TCP, REMOTE, 40000, WAN, port, HOST, port)]
        flows.end([_mapping(port, internal_port=port)])
    assert len(flows._ended) == 256


def test_a_kernel_that_cannot_is_named_once_and_not_asked_again():
    kernel = _Kernel([THROUGH])
    kernel.error = errno.EINVAL
    flows = Flows(kernel)
    with Output(log) as output:
        for _ in range(3):
            flows.end([_mapping()])
    assert output.text().count("load nf_conntrack_netlink") == 1 and len(kernel.sent) == 1


def test_other_troubles_are_named_and_it_goes_on():
    kernel = _Kernel([THROUGH])
    flows = Flows(kernel)
    with Output(log) as output:
        kernel.is_silent = True
        flows.end([_mapping()])
        kernel.is_silent, kernel.error = False, errno.EPERM
        flows.end([_mapping()])
        kernel.error = 0
        flows.end([_mapping()])
    assert output.text().count("connections of TCP 8000 -> 192.168.1.2:8001 live on") == 2
    assert _deleted(kernel) == [0]


def test_a_connection_that_ended_by_itself_is_as_good():
    kernel = _Kernel([THROUGH])
    real = kernel.converse

    def converse(data, is_answered, take, is_short=False):
        kernel.error = errno.ENOENT if messages(data)[0][0] == DELETE else 0
        real(data, is_answered, take)

    kernel.converse = converse
    with Output(log) as output:
        Flows(kernel).end([_mapping()])
    assert output.text() == ""


def test_strange_entries_are_left_alone():
    whole = _entry(0, *THROUGH)
    kernel = _Kernel()
    for position in range(0, len(whole), 3):
        for byte in (0, 1, 255):
            data = whole[:position] + bytes([byte]) + whole[position + 1:]
            kernel.converse = lambda question, is_answered, take, is_short=False: take(data) if (
                messages(question)[0][0] == GET) else None
            Flows(kernel).end([_mapping()])
    assert attributes(whole, 20, len(whole))


REMOTE6, STRANGER6, HOST6, OTHER6 = "2001:db8:9::1", "2001:db8:9::2", "2001:db8::2", "2001:db8::3"


def _tuple6(kind, protocol, source, source_port, destination, destination_port):
    return _nest(kind, _nest(1, _value(3, ip6_bytes(source)), _value(4, ip6_bytes(destination))),
                 _nest(2, _value(1, bytes([protocol])), _value(2, struct.pack(">H", source_port)),
                       _value(3, struct.pack(">H", destination_port))))


class _Kernel6(_Kernel):
    """`connections` are (protocol, source, port, destination, port)."""

    def converse(self, data, is_answered, take, is_short=False):
        kind, sequence, _, _ = messages(data)[-1]
        if kind != GET:
            _Kernel.converse(self, data, is_answered, take)
            return
        self.sent.append(bytes(data))
        for number, one in enumerate(self.connections):
            protocol, source, source_port, destination, destination_port = one
            take(_message(NEW, b"\x0a\0\0\0" + _tuple6(1, *one) + _tuple6(
                2, protocol, destination, destination_port, source, source_port) + _value(
                    12, struct.pack(">I", number))))
        take(_done())
        assert is_answered(_done())


def _pinhole(port=8000, protocol="TCP", remote_host="", remote_port=0):
    return Pinhole(7, remote_host, remote_port, protocol, HOST6, port, 60, 160)


CONNECTIONS6 = (
    (TCP, REMOTE6, 40000, HOST6, 8000), (UDP, REMOTE6, 40001, HOST6, 8000), (TCP, REMOTE6, 40002, OTHER6, 8000),
    (TCP, REMOTE6, 40003, HOST6, 8001), (TCP, HOST6, 8000, REMOTE6, 8000), (TCP, STRANGER6, 77, HOST6, 8000),
    (58, REMOTE6, 0, HOST6, 8000))


def test_only_the_connections_that_came_through_a_pinhole_end():
    for pinholes, ended in (
            ([_pinhole()], [0, 5]), ([_pinhole(protocol="UDP")], [1]), ([_pinhole(remote_host=REMOTE6)], [0]),
            ([_pinhole(remote_port=77)], [5]), ([_pinhole(remote_host=REMOTE6, remote_port=77)], []),
            ([_pinhole(8001), _pinhole(remote_host=STRANGER6)], [3, 5]), ([_pinhole(9000)], [])):
        kernel = _Kernel6(CONNECTIONS6)
        Flows(kernel).end_pinholes(pinholes)
        assert _deleted(kernel) == ended, str(pinholes[0])
        assert kernel.sent[0][16] == 10  # AF_INET6
        ((_, found),) = _read(kernel.sent[0])
        assert (25 in found) == (len(pinholes) == 1)
        if 25 in found:  # the kernel's filter by an IPv6 address does the opposite
            assert values(found[25]) == [(2, struct.pack("@I", 0x18))]
    kernel = _Kernel6()
    Flows(kernel).end_pinholes([_pinhole(protocol="UDP")])
    ((kind, found),) = _read(kernel.sent[0])
    inner = {(outer, name): value for outer, part in values(found[2]) for name, value in values(part)}
    assert inner == {(1, 3): ip6_bytes(HOST6), (2, 1): b"\x11", (2, 2): struct.pack(">H", 8000)}


def test_what_the_host_still_sends_is_answered_by_nobody():
    kernel = _Kernel6(CONNECTIONS6)
    Flows(kernel).end_pinholes([_pinhole(remote_host=REMOTE6)])
    (_, deleted), (kind, made) = _read(kernel.sent[1])
    assert kind == NEW and _six(deleted[1]) == (TCP, REMOTE6, 40000, HOST6, 8000)
    assert _six(made[1]) == (TCP, HOST6, 8000, REMOTE6, 40000)
    assert _six(made[2]) == (TCP, "::", 40000, HOST6, 8000)
    assert made[3] == b"\0\0\0\x0a" and made[7] == struct.pack(">I", 7500) and 4 in made and 6 not in made
    assert kernel.sent[1][16] == 10
    kernel = _Kernel6(CONNECTIONS6)
    Flows(kernel).end_pinholes([_pinhole(protocol="UDP")])
    made = _read(kernel.sent[1])[1][1]
    assert made[7] == struct.pack(">I", 60) and 4 not in made


def _six(data):
    inner = {(outer, name): value for outer, part in values(data) for name, value in values(part)}
    names = {ip6_bytes(text): text for text in (REMOTE6, STRANGER6, HOST6, OTHER6, "::")}
    return (inner[(2, 1)][0], names[inner[(1, 3)]], struct.unpack(">H", inner[(2, 2)])[0], names[inner[(1, 4)]],
            struct.unpack(">H", inner[(2, 3)])[0])


def test_a_pinhole_that_is_opened_again_takes_that_out_of_the_way():
    kernel = _Kernel6(CONNECTIONS6)
    flows = Flows(kernel)
    flows.begin(_pinhole())
    assert kernel.sent == []  # nothing was ended
    flows.end_pinholes([_pinhole(remote_host=REMOTE6)])
    kernel.connections, kernel.sent = [(TCP, HOST6, 8000, REMOTE6, 40000), (TCP, HOST6, 8001, REMOTE6, 1)], []
    flows.begin(_pinhole(8001))
    assert kernel.sent == []
    flows.begin(_pinhole())
    assert _deleted(kernel) == [0] and kernel.sent[0][16] == 10
    kernel.sent = []
    flows.begin(_pinhole())
    assert kernel.sent == []


def _flow(original, reply, seconds):
    return _message(NEW, b"\2\0\0\0" + _tuple(1, *original) + _tuple(2, *reply) + _value(
        7, struct.pack(">I", seconds)))


class _One(_Kernel):
    """A kernel that is asked for one connection, and acknowledges what it was asked."""

    def __init__(self, answer=None):
        super().__init__()
        self.answer = answer

    def converse(self, data, is_answered, take, is_short=False):
        if self.is_silent:
            raise FirewallError("netlink: no answer from the kernel", errno.EAGAIN)
        self.sent.append(bytes(data))
        for datagram in [self.answer] * (self.answer is not None) + [_error(2, 0 if self.answer else 2)]:
            take(datagram)
            if is_answered(datagram):
                return
        raise AssertionError("no end")


def test_a_connection_from_inside_is_found_with_its_external_port():
    kernel = _One(_flow((UDP, HOST, 5060, REMOTE, 5061), (UDP, REMOTE, 5061, WAN, 1025), 170))
    assert Flows(kernel).find("UDP", HOST, 5060, REMOTE, 5061) == (WAN, 1025, 170)
    ((kind, found),) = _read(kernel.sent[0])
    assert kind == GET and _ends(found[1]) == (UDP, ip4_bytes(HOST), 5060, ip4_bytes(REMOTE), 5061)
    _, _, flags, sequence = struct.unpack_from("@IHHI", kernel.sent[0], 0)
    assert (flags, sequence) == (5, 2)  # one, not all; with an acknowledgement


def test_a_connection_from_outside_is_found_with_its_external_port():
    kernel = _One(_flow((TCP, REMOTE, 40000, WAN, 8000), (TCP, HOST, 8001, REMOTE, 40000), 7000))
    assert Flows(kernel).find("TCP", HOST, 8001, REMOTE, 40000) == (WAN, 8000, 7000)


def test_a_connection_that_is_not_translated_has_its_host_s_address():
    kernel = _One(_flow((UDP, HOST, 5060, REMOTE, 5061), (UDP, REMOTE, 5061, HOST, 5060), 30))
    assert Flows(kernel).find("UDP", HOST, 5060, REMOTE, 5061) == (HOST, 5060, 30)


def test_a_connection_that_is_not_there_is_not_found():
    assert Flows(_One()).find("UDP", HOST, 5060, REMOTE, 5061) is None
    kernel = _One()
    kernel.is_silent = True
    with Output(log) as output:
        assert Flows(kernel).find("UDP", HOST, 5060, REMOTE, 5061) is None
    assert "a connection is not found: netlink: no answer" in output.text()
