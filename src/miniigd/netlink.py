"""The netlink wire format (linux/netlink.h): build messages, read answers.

Owns headers, attributes and the meaning of acknowledgements, for rtnetlink and nf_tables alike. No sockets.

    message = Message(type, flags, sequence)
    message.add(body)                  # the family's own header
    message.attribute(1, b"fw4\\0")
    data = message.finish()
    for type, sequence, start, end in messages(datagram): ...
    for type, start, end in attributes(datagram, start + 4, end): ...
"""

import struct

from .compat import const

REQUEST = const(0x1)
ACK = const(0x4)
ECHO = const(0x8)
DUMP = const(0x300)
REPLACE = const(0x100)
CREATE = const(0x400)
APPEND = const(0x800)

ERROR = const(2)  # message types
DONE = const(3)

NESTED = const(0x8000)  # bit of an attribute's type
_HEADER = const(16)


class Message:
    """A growing row of netlink messages in `data` (bytearray)."""

    def __init__(self):
        self.data = bytearray()
        self._start = 0

    def begin(self, message_type, flags, sequence):
        """Start a message behind what is there already."""
        self._start = len(self.data)
        self.data += struct.pack("@IHHII", 0, message_type, flags, sequence, 0)

    def end(self):
        """Fill in the length of the message that was begun last."""
        struct.pack_into("@I", self.data, self._start, len(self.data) - self._start)

    def acknowledge(self, sequence):
        """Ask for an acknowledgement of the message that was begun last, under that `sequence` number."""
        flags = struct.unpack_from("@H", self.data, self._start + 6)[0] | ACK
        struct.pack_into("@H", self.data, self._start + 6, flags)
        struct.pack_into("@I", self.data, self._start + 8, sequence)

    def add(self, body):
        """Append the family's header or another raw field; return its offset."""
        offset = len(self.data)
        self.data += body
        self._pad()
        return offset

    def attribute(self, attribute_type, value):
        """Append an attribute; return the offset of its value."""
        self.data += struct.pack("@HH", 4 + len(value), attribute_type)
        return self.add(value)

    def nest(self, attribute_type):
        """Start an attribute that holds attributes; give what is returned to `unnest` at its end."""
        offset = len(self.data)
        self.data += struct.pack("@HH", 0, attribute_type | NESTED)
        return offset

    def unnest(self, offset):
        """End the attribute that `nest` started."""
        struct.pack_into("@H", self.data, offset, len(self.data) - offset)

    def _pad(self):
        while len(self.data) & 3:
            self.data += b"\0"


def messages(datagram):
    """Return a list of (type, sequence, start, end) of each message's body in `datagram`; stops at what is broken."""
    found = []
    position = 0
    while position + _HEADER <= len(datagram):
        length, message_type, _, sequence, _ = struct.unpack_from("@IHHII", datagram, position)
        if length < _HEADER or position + length > len(datagram):
            break
        found.append((message_type, sequence, position + _HEADER, position + length))
        position += (length + 3) & ~3
    return found


def attributes(datagram, start, end):
    """Return a list of (type, start, end) of each attribute's value between two offsets; stops at what is broken."""
    found = []
    while start + 4 <= end:
        length, attribute_type = struct.unpack_from("@HH", datagram, start)
        if length < 4 or start + length > end:
            break
        found.append((attribute_type & 0x3FFF, start + 4, start + length))
        start += (length + 3) & ~3
    return found


def error_of(datagram, start):
    """Return the errno (positive; 0: acknowledged) in the body of an ERROR message."""
    return -struct.unpack_from("@i", datagram, start)[0]
