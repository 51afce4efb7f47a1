"""IPv6 addresses: text and bytes of them, and what kind they are (RFC 4291, RFC 5952).

    ip6_bytes("2001:DB8::1")            # 16 bytes; ValueError
    ip6_text(raw)                       # "2001:db8::1": the one form that is compared
"""

from .compat import const, ip4_bytes

_LONGEST = const(39)  # characters of an address without a dotted quad in it
_DIGITS = b"0123456789abcdefABCDEF"


def ip6_bytes(text):
    """Return the 16 bytes of an IPv6 address in any of RFC 4291's forms (2.2), without a zone; ValueError."""
    data = text.encode()  # bytes: among their digits are the ASCII ones only
    if not 2 <= len(data) <= _LONGEST + 6:
        raise ValueError(text)
    head, gap, tail = data.partition(b"::")
    front, back = _groups(head, not gap), _groups(tail, True)
    missing = 16 - len(front) - len(back)
    if missing < 2 if gap else missing:
        raise ValueError(text)
    return front + bytes(missing) + back


def _groups(data, is_end):
    """Return the bytes of groups with colons in between; a dotted quad may be the last one at the address's end."""
    found = b""
    parts = data.split(b":") if data else []
    for index, part in enumerate(parts):
        if is_end and index == len(parts) - 1 and b"." in part:
            found += ip4_bytes(part.decode())
            continue
        if not 1 <= len(part) <= 4:
            raise ValueError(data)
        for byte in part:
            if byte not in _DIGITS:
                raise ValueError(data)
        number = int(part.decode(), 16)
        found += bytes([number >> 8, number & 0xFF])
    return found


def ip6_text(raw):
    """Return the text of 16 bytes as RFC 5952 section 4 wants it; IPv4-mapped ones end in a dotted quad (section 5)."""
    if raw[:12] == b"\0\0\0\0\0\0\0\0\0\0\xff\xff":
        return "::ffff:%d.%d.%d.%d" % (raw[12], raw[13], raw[14], raw[15])
    groups = [raw[index] << 8 | raw[index + 1] for index in range(0, 16, 2)]
    best, length = 0, 1  # the first of the longest rows of zeros, of two groups at least
    index = 0
    while index < 8:
        end = index
        while end < 8 and groups[end] == 0:
            end += 1
        if end - index > length:
            best, length = index, end - index
        index = end + 1
    if length < 2:
        return ":".join(["%x" % group for group in groups])
    return ":".join(["%x" % group for group in groups[:best]]) + "::" + ":".join(
        ["%x" % group for group in groups[best + length:]])


def is_same_prefix(raw, other, length):
    """True when the first `length` bits of two addresses (16 bytes each) are the same."""
    whole = length // 8
    if raw[:whole] != other[:whole]:
        return False
    rest = length % 8
    return not rest or (raw[whole] ^ other[whole]) >> 8 - rest == 0


def is_global_unicast(raw):
    """True for what a single host elsewhere can have.

    Not unspecified, loopback, mapped, link-local or multicast (RFC 4291 2.4); unique local ones (RFC 4193) are taken.
    """
    if raw[:8] == bytes(8) or raw[0] == 0xFF:  # ::/64 has no hosts
        return False
    return not (raw[0] == 0xFE and raw[1] & 0xC0 == 0x80)
