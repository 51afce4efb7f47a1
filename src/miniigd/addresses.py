"""IP addresses: as text, and as the 4 or 16 bytes that the kernel and the protocols have."""

import struct

_MOST_KEPT = 16
_kept = {}  # address as text -> bytes, and the other way round: the same few hosts ask again and again


def ip4_bytes(text):
    """Return the 4 bytes of a dotted quad; ValueError when it is none."""
    raw = _kept.get(text)
    if raw is None or len(raw) != 4:
        raw = _keep(text, _ip4_bytes(text))
    return raw


def _keep(text, raw):
    if len(_kept) >= _MOST_KEPT:
        _kept.clear()
    _kept[text] = raw
    return raw


def _ip4_bytes(text):
    parts = text.encode().split(b".")  # bytes: among their digits are the ASCII ones only
    if len(parts) != 4:
        raise ValueError(text)
    for part in parts:
        if not (part.isdigit() and len(part) <= 3 and int(part) <= 255):
            raise ValueError(text)
    return bytes([int(part) for part in parts])


def ip4_text(raw):
    """Return the dotted quad of 4 bytes."""
    return "%d.%d.%d.%d" % (raw[0], raw[1], raw[2], raw[3])


def host_text(raw):
    """Return the same for the address (bytes) of a host that we talk with."""
    return _kept.get(raw) or _keep(raw, ip4_text(raw))


def ip6_bytes(text):
    """Return the 16 bytes of an IPv6 address (RFC 4291 2.2), without a zone; ValueError when it is none.

    The form that ends in a dotted quad is not taken: no interface has such an address, and no client sends one.
    """
    raw = _kept.get(text)
    if raw is None or len(raw) != 16:
        raw = _keep(text, _ip6_bytes(text))
    return raw


def _ip6_bytes(text):
    head, gap, tail = text.partition("::")
    groups = _groups(head)
    if gap:
        rest = _groups(tail)
        missing = 8 - len(groups) - len(rest)
        if missing < 1:
            raise ValueError(text)
        groups += [0] * missing + rest
    if len(groups) != 8:
        raise ValueError(text)
    return struct.pack(">8H", *groups)


def _groups(text):
    found = []
    for part in text.split(":") if text else ():
        if not 0 < len(part) <= 4 or part.strip("0123456789abcdefABCDEF"):
            raise ValueError(text)
        found.append(int(part, 16))
    return found


def ip6_text(raw):
    """Return the canonical text (RFC 5952 4) of 16 bytes: lower case, the first of the longest gaps of zeros as "::"."""
    groups = struct.unpack(">8H", raw)
    start, length = 0, 1  # a single group of zeros is not shortened
    position = 0
    while position < 8:
        end = position
        while end < 8 and groups[end] == 0:
            end += 1
        if end - position > length:
            start, length = position, end - position
        position = end + 1
    parts = ["%x" % group for group in groups]
    if length == 1:
        return ":".join(parts)
    return ":".join(parts[:start]) + "::" + ":".join(parts[start + length:])


def ip_bytes(text):
    """Return the 4 or 16 bytes of an address of either family; ValueError when it is none."""
    return ip6_bytes(text) if ":" in text else ip4_bytes(text)
