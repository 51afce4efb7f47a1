"""miniigd.netlink: messages are laid out as the kernel wants them, and its own are read, damaged ones too."""

import struct

from miniigd import netlink
from miniigd.netlink import Message


def _batch():
    """Two messages: one with two attributes, one of them nested; one that is empty."""
    message = Message()
    message.begin(0x0A06, netlink.REQUEST | netlink.CREATE, 7)
    message.add(b"\1\0\0\0")
    message.attribute(1, b"fw4\0")
    outer = message.nest(4)
    message.attribute(2, b"abcde")
    inner = message.nest(3)
    message.unnest(inner)
    message.unnest(outer)
    message.end()
    message.begin(0x11, netlink.REQUEST, 8)
    message.end()
    return message


def test_a_message_byte_by_byte():
    message = Message()
    message.begin(18, netlink.REQUEST | netlink.DUMP, 3)
    assert message.add(b"xy") == 16
    assert message.attribute(5, b"z") == 24
    message.end()
    assert message.data == (struct.pack("@IHHII", 28, 18, 0x301, 3, 0) + b"xy\0\0" + struct.pack("@HH", 5, 5) +
                            b"z\0\0\0")


def test_the_numbers_are_those_of_the_kernel_s_header():
    assert (netlink.REQUEST, netlink.ACK, netlink.ECHO, netlink.DUMP) == (0x1, 0x4, 0x8, 0x300)
    assert (netlink.REPLACE, netlink.CREATE, netlink.APPEND) == (0x100, 0x400, 0x800)
    assert (netlink.ERROR, netlink.DONE, netlink.NESTED) == (2, 3, 0x8000)


def test_a_nested_attribute_byte_by_byte():
    message = Message()
    outer = message.nest(4)
    message.attribute(1, b"ab")
    message.unnest(outer)
    assert message.data == struct.pack("@HHHH", 12, 4 | 0x8000, 6, 1) + b"ab\0\0"


def test_what_is_built_is_read():
    data = _batch().data
    found = netlink.messages(data)
    assert [(kind, sequence) for kind, sequence, _, _ in found] == [(0x0A06, 7), (0x11, 8)]
    _, _, start, end = found[0]
    assert data[start:start + 4] == b"\1\0\0\0"
    first, second = netlink.attributes(data, start + 4, end)
    assert first[0] == 1 and data[first[1]:first[2]] == b"fw4\0"
    assert second[0] == 4  # without the bit for nested
    third, fourth = netlink.attributes(data, second[1], second[2])
    assert third[0] == 2 and data[third[1]:third[2]] == b"abcde"
    assert fourth[0] == 3 and fourth[1] == fourth[2]
    assert found[1][2] == found[1][3] == len(data)


def test_every_part_begins_at_a_multiple_of_four():
    for length in range(9):
        message = Message()
        message.begin(1, 0, 0)
        message.attribute(1, b"x" * length)
        offset = message.attribute(2, b"y")
        message.end()
        assert offset % 4 == 0
        assert len(message.data) % 4 == 0
        _, _, start, end = netlink.messages(message.data)[0]
        kinds = [(kind, stop - begin) for kind, begin, stop in netlink.attributes(message.data, start, end)]
        assert kinds == [(1, length), (2, 1)]


def test_an_acknowledgement_is_asked_of_the_last_message():
    message = _batch()
    message.acknowledge(2)
    headers = [struct.unpack_from("@IHHII", message.data, start - 16)
               for _, _, start, _ in netlink.messages(message.data)]
    assert headers[0][2:4] == (netlink.REQUEST | netlink.CREATE, 7)
    assert headers[1][2:4] == (netlink.REQUEST | netlink.ACK, 2)


def test_bytes_and_bytearray_are_read_alike():
    data = _batch().data
    assert netlink.messages(bytes(data)) == netlink.messages(data)


def test_cut_messages_are_left_out():
    data = bytes(_batch().data)
    first = netlink.messages(data)[0][3]
    for length in range(len(data)):
        assert len(netlink.messages(data[:length])) == (0 if length < first else 1)


def test_the_last_message_may_lack_its_padding():
    data = struct.pack("@IHHII", 18, 2, 0, 0, 0) + b"ab"
    assert netlink.messages(data) == [(2, 0, 16, 18)]


def test_lengths_that_cannot_be_end_the_walk():
    for length in (0, 1, 15, 21, 1000, 0xFFFFFFFF):
        data = struct.pack("@IHHII", length, 2, 0, 0, 0) + bytes(4)
        assert netlink.messages(data) == [], length
    for length in (0, 1, 3, 9, 0xFFFF):
        data = struct.pack("@HH", length, 1) + bytes(4)
        assert netlink.attributes(data, 0, len(data)) == [], length


def test_cut_attributes_are_left_out():
    message = Message()
    message.attribute(1, b"abcd")
    message.attribute(2, b"efgh")
    for end in range(17):
        found = netlink.attributes(message.data, 0, end)
        assert [kind for kind, _, _ in found] == [1, 2][:end // 8]
    assert netlink.attributes(message.data, 12, 3) == []


def test_flipped_bytes_never_raise():
    data = bytes(_batch().data)
    for position in range(len(data)):
        for byte in (0, 1, 3, 4, 15, 16, 127, 128, 255):
            flipped = data[:position] + bytes([byte]) + data[position + 1:]
            for _, _, start, end in netlink.messages(flipped):
                for _, begin, stop in netlink.attributes(flipped, start + 4, end):
                    assert start <= begin <= stop <= end


def test_the_errno_of_an_error():
    for number in (0, 1, 2, 17, 22):
        data = b"xx" + struct.pack("@i", -number) + bytes(16)
        assert netlink.error_of(data[2:], 0) == number
