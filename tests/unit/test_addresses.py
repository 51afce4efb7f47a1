"""miniigd.addresses: what is an address and what is none, in both forms."""

from helpers import raised
from miniigd import addresses

QUADS = (("0.0.0.0", b"\0\0\0\0"), ("192.168.1.1", b"\xc0\xa8\x01\x01"), ("255.255.255.255", b"\xff\xff\xff\xff"))

NO_QUADS = (
    "", ".", "...", "1.2.3", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.4.5", "256.1.1.1", "1.1.1.1000", "1.2.3.-4",
    "+1.2.3.4", "1_0.2.3.4", "0x1.2.3.4", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4\n", "1.2.3.4\0", "::1", "localhost",
    "\u0661.\u0662.\u0663.\u0664", "\u00b2.1.1.1",
)


def test_dotted_quads_go_both_ways():
    for text, raw in QUADS:
        assert addresses.ip4_bytes(text) == raw
        assert addresses.ip4_text(raw) == text
        assert addresses.ip4_text(bytearray(raw)) == text
        assert addresses.host_text(raw) == addresses.host_text(raw) == text


def test_leading_zeros_are_decimal():
    assert addresses.ip4_bytes("192.168.001.010") == b"\xc0\xa8\x01\x0a"


def test_what_is_no_dotted_quad_is_a_value_error():
    for text in NO_QUADS:
        raised(ValueError, addresses.ip4_bytes, text)


# (text, its 16 bytes); the first text of the same bytes is the canonical one (RFC 5952)
IPV6 = (
    ("::", bytes(16)),
    ("::1", bytes(15) + b"\1"), ("0:0:0:0:0:0:0:1", bytes(15) + b"\1"), ("0::0:0001", bytes(15) + b"\1"),
    ("2a00:11:0:1::2", b"\x2a\0\0\x11\0\0\0\1" + bytes(7) + b"\2"),
    ("2A00:0011::1:0:0:0:2", b"\x2a\0\0\x11\0\0\0\1" + bytes(7) + b"\2"),
    ("fe80::", b"\xfe\x80" + bytes(14)),
    ("0:1:0:0:2::", b"\0\0\0\1\0\0\0\0\0\2" + bytes(6)),
    ("1::2:0:0:3:4", b"\0\1\0\0\0\0\0\2\0\0\0\0\0\3\0\4"),  # the first of two gaps, the same length
    ("1:0:2:3:4:5:6:7", b"\0\1\0\0\0\2\0\3\0\4\0\5\0\6\0\7"),  # one group is no gap
    ("1:2:3:4:5:6:7:0", b"\0\1\0\2\0\3\0\4\0\5\0\6\0\7\0\0"), ("1:2:3:4:5:6:7::", None),
    ("::2:3:4:5:6:7:8", None), ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", b"\xff" * 16),
)


def test_ipv6_addresses_and_their_canonical_text():
    seen = set()
    for text, raw in IPV6:
        if raw is None:  # a gap may stand for one group
            raw = addresses.ip6_bytes(text)
            assert addresses.ip6_text(raw) != text and addresses.ip6_bytes(addresses.ip6_text(raw)) == raw
            continue
        assert addresses.ip6_bytes(text) == raw == addresses.ip_bytes(text), text
        if raw not in seen:
            seen.add(raw)
            assert addresses.ip6_text(raw) == text
    assert addresses.ip_bytes("192.168.1.2") == b"\xc0\xa8\1\2"


def test_what_is_no_ipv6_address():
    for text in ("", ":", "1", ":::", "::1::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4::5:6:7:8", "12345::",
                 "g::", "::1%eth0", "::1.2.3.4", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", "::-1", "+1::", " ::1", "::1 ",
                 "\u0661::", "[::1]", "1_1::"):
        raised(ValueError, addresses.ip6_bytes, text)


def test_the_addresses_asked_for_lately_are_kept_and_no_more():
    for number in range(300):
        assert addresses.ip4_bytes("10.0.%d.%d" % (number // 256, number % 256)) == bytes([10, 0, number // 256, number % 256])
        assert len(addresses._kept) <= addresses._MOST_KEPT
    assert addresses.ip4_bytes("10.0.1.43") is addresses.ip4_bytes("10.0.1.43")
