"""PCP on the wire (RFC 6887): read requests, write their answers and the announcements. Section numbers are its own.

Owns the formats, the options and what is wrong with a request; pcp_server.py does what is asked. An address is 16 bytes
everywhere, an IPv4 one as ::ffff:a.b.c.d (section 5).

    request = parse(datagram)                    # a Request; PCPError; None for what is to be met with silence
    data = answer(request, lifetime, epoch, external_port, external_address)
    data = refusal(datagram, error, epoch)
"""

import struct

from .addresses import ip4_bytes, ip4_text
from .compat import const
from .errors import PCPError

VERSION = const(2)
MOST = const(1100)  # bytes of a message (section 7)
_HEADER = const(24)
_RESPONSE = const(0x80)  # bit R

ANNOUNCE, MAP, PEER = const(0), const(1), const(2)  # section 19.2
_SIZES = (_HEADER, _HEADER + 36, _HEADER + 56)  # of the messages without options

# Result codes (section 7.4)
SUCCESS = const(0)
UNSUPP_VERSION = const(1)
NOT_AUTHORIZED = const(2)
MALFORMED_REQUEST = const(3)
UNSUPP_OPCODE = const(4)
UNSUPP_OPTION = const(5)
MALFORMED_OPTION = const(6)
NETWORK_FAILURE = const(7)
NO_RESOURCES = const(8)
UNSUPP_PROTOCOL = const(9)
USER_EX_QUOTA = const(10)
CANNOT_PROVIDE_EXTERNAL = const(11)
ADDRESS_MISMATCH = const(12)
EXCESSIVE_REMOTE_PEERS = const(13)

_SHORT_LIFETIME = const(30)  # seconds that a client need not ask again (section 7.4): it may change soon
_LONG_LIFETIME = const(1800)  # or it will not
_SHORT = (NETWORK_FAILURE, NO_RESOURCES, USER_EX_QUOTA, CANNOT_PROVIDE_EXTERNAL)

THIRD_PARTY, PREFER_FAILURE, FILTER = const(1), const(2), const(3)  # option codes (section 19.4)
_OPTIONAL = const(0x80)  # codes from here on may be ignored (section 7.3)
# option -> (length of its data, opcodes that it is for, may it come several times?)
_OPTIONS = {
    THIRD_PARTY: (16, (MAP, PEER), False),
    PREFER_FAILURE: (0, (MAP,), False),
    FILTER: (20, (MAP,), True),
}

PROTOCOLS = {6: "TCP", 17: "UDP"}
_MAPPED = b"\0\0\0\0\0\0\0\0\0\0\xff\xff"  # what an IPv4 address has in front


def ip4_mapped(text):
    """Return the 16 bytes of a dotted quad."""
    return _MAPPED + ip4_bytes(text)


def ip4_of(address):
    """Return the dotted quad of 16 bytes, or None when they are an IPv6 address."""
    return ip4_text(address[12:]) if address[:12] == _MAPPED else None


def is_wildcard(address):
    """True for the address (16 bytes) that stands for any, of either family."""
    return address in (bytes(16), _MAPPED + bytes(4))


class Request:
    """A request that can be understood; of an ANNOUNCE, what is not in it is None.

    `filters` are (prefix length of 0 to 128, remote port, address), `options` the bytes of what is answered with it.
    """

    def __init__(self, datagram):
        self.opcode = datagram[1]
        self.lifetime = struct.unpack_from(">I", datagram, 4)[0]  # seconds
        self.client = bytes(datagram[8:24])
        self.body = b""  # as it came, without options
        self.nonce = self.protocol = self.internal_port = self.external_port = self.external_address = None
        self.remote_port = self.remote_address = None
        self.third_party = None  # the address of another host
        self.prefers_failure = False
        self.filters = []
        self.options = b""

    @property
    def nonce_text(self):
        """The nonce in 24 hexadecimal digits."""
        return "".join(["%02x" % byte for byte in self.nonce])


def parse(datagram):
    """Return the Request in `datagram`; None where nobody is to be answered. Raises PCPError; anything else is a bug.

    Section 8.2. The version is checked first: whatever follows it may mean something else in another one.
    """
    if len(datagram) < 2 or datagram[1] & _RESPONSE:
        return None
    if datagram[0] != VERSION:
        raise PCPError(UNSUPP_VERSION, "version %d" % datagram[0])
    opcode = datagram[1]
    if len(datagram) < _HEADER or len(datagram) > MOST or len(datagram) & 3:
        raise PCPError(MALFORMED_REQUEST, "%d bytes" % len(datagram))
    if opcode > PEER:
        raise PCPError(UNSUPP_OPCODE, "opcode %d" % opcode)
    size = _SIZES[opcode]
    if len(datagram) < size:
        raise PCPError(MALFORMED_REQUEST, "%d bytes" % len(datagram))
    request = Request(datagram)
    if opcode != ANNOUNCE:
        _read_body(request, bytes(datagram[_HEADER:size]))
    _read_options(request, datagram, size)
    return request


def _read_body(request, body):
    request.body = body
    request.nonce = body[:12]
    request.protocol = body[12]
    request.internal_port, request.external_port = struct.unpack_from(">HH", body, 16)
    request.external_address = body[20:36]
    if request.opcode == PEER:
        request.remote_port = struct.unpack_from(">H", body, 36)[0]
        request.remote_address = body[40:56]


def _read_options(request, datagram, position):
    """Take over the options from `position` on (section 7.3)."""
    seen = []
    kept = []
    while position < len(datagram):
        code, _, length = struct.unpack_from(">BBH", datagram, position)
        start, position = position, position + 4 + (length + 3 & ~3)
        if position > len(datagram):
            raise PCPError(MALFORMED_OPTION, "option %d of %d bytes" % (code, length))
        known = _OPTIONS.get(code)
        if known is None or request.opcode not in known[1]:
            if code < _OPTIONAL:
                raise PCPError(UNSUPP_OPTION, "option %d" % code)
            continue
        if length != known[0] or code in seen and not known[2]:
            raise PCPError(MALFORMED_OPTION, "option %d of %d bytes" % (code, length))
        seen.append(code)
        _take(request, code, bytes(datagram[start + 4:start + 4 + length]))
        kept.append(bytes(datagram[start:position]))
    request.options = b"".join(kept)


def _take(request, code, data):
    if code == THIRD_PARTY:
        request.third_party = data
    elif code == PREFER_FAILURE:
        request.prefers_failure = True
    else:
        if data[1] > 128:
            raise PCPError(MALFORMED_OPTION, "a prefix of %d bits" % data[1])
        request.filters.append((data[1], data[2] << 8 | data[3], data[4:]))


def _header(opcode, result, lifetime, epoch, rest=bytes(12)):
    return struct.pack(">BBBBII", VERSION, _RESPONSE | opcode, 0, result, lifetime, epoch) + rest


def answer(request, lifetime, epoch, external_port=0, external_address=None):
    """Return the datagram that says that it is done, for `lifetime` seconds; of an ANNOUNCE, that we are here."""
    body = request.body
    if body:
        body = body[:18] + struct.pack(">H", external_port) + (external_address or body[20:36]) + body[36:]
    return _header(request.opcode, SUCCESS, lifetime, epoch) + body + request.options


def refusal(datagram, error, epoch):
    """Return the datagram that refuses a request as PCPError says: all of it as it came, as far as there is room.

    What could not be parsed gets a part of its client's address back (section 7.2).
    """
    lifetime = error.lifetime
    if lifetime is None:
        lifetime = _SHORT_LIFETIME if error.code in _SHORT else _LONG_LIFETIME
    opcode = datagram[1] & 0x7F
    if error.code == UNSUPP_VERSION:
        rest = bytes(datagram[12:_HEADER])
        return _header(opcode, UNSUPP_VERSION, lifetime, epoch, rest + bytes(12 - len(rest)))
    is_parsed = error.code not in (MALFORMED_REQUEST, UNSUPP_OPCODE, UNSUPP_OPTION, MALFORMED_OPTION)
    rest = bytes(12) if is_parsed else bytes(datagram[12:_HEADER])
    body = bytes(datagram[_HEADER:MOST])
    return _header(opcode, error.code, lifetime, epoch, rest + bytes(12 - len(rest))) + body + bytes(-len(body) & 3)


def announcement(epoch):
    """Return the datagram that tells every client of a new epoch (section 14.1)."""
    return _header(ANNOUNCE, SUCCESS, 0, epoch)
