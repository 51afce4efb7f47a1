"""miniigd.ip6: the text of IPv6 addresses, and what kind they are."""

from helpers import raised
from miniigd.ip6 import ip6_bytes, ip6_text, is_global_unicast, is_same_prefix

# text, its one right form
FORMS = (
    ("2001:db8::1", "2001:db8::1"), ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"), ("::", "::"), ("::1", "::1"),
    ("1::", "1::"), ("2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"),  # RFC 5952 4.2.3: the first
    ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"), ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),  # 4.2.2
    ("fe80::0204:61ff:fe9d:f156", "fe80::204:61ff:fe9d:f156"), ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
    ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
    ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"), ("0:0:3:4:5:6:7:8", "::3:4:5:6:7:8"), ("1:0:0:4:5:0:0:0", "1:0:0:4:5::"),
    ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
)
WRONG = (
    "", ":", ":::", "1", "1:2", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "1:2:3:4:5:6:7:8::", "::12345",
    "1:2:3:4::5:6:7:8", "fe80::1%eth0", "2001:db8::g", "2001:db8::1/64", " ::1", "::1 ", "[::1]", "192.0.2.1",
    "::192.0.2.256", "::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4", "::+1", "::0x1", "::1_0", "\u0661::1", "1.2.3.4::", ":1::",
    "::1:", "2001:db8::" + "0" * 40,
)


def test_addresses_have_one_form():
    for text, form in FORMS:
        raw = ip6_bytes(text)
        assert len(raw) == 16
        assert ip6_text(raw) == form, text
        assert ip6_bytes(form) == raw


def test_the_bytes_are_in_their_places():
    assert ip6_bytes("2001:db8::a:b0c") == b"\x20\x01\x0d\xb8" + bytes(8) + b"\x00\x0a\x0b\x0c"


def test_what_is_no_address():
    for text in WRONG:
        raised(ValueError, ip6_bytes, text)


def test_prefixes():
    one = ip6_bytes("2001:db8:1:ff00::1")
    for other, length, is_same in (
            ("2001:db8:1:ff00::2", 64, True), ("2001:db8:1:ff01::1", 64, False), ("2001:db8:1:ff01::1", 63, True),
            ("2001:db8:1:fe00::1", 55, True), ("2001:db8:1:fe00::1", 56, False), ("::", 0, True),
            ("2001:db8:1:ff00::1", 128, True), ("2001:db8:1:ff00::", 128, False), ("3001::", 4, False),
            ("3001::", 3, True)):
        assert is_same_prefix(one, ip6_bytes(other), length) is is_same, (other, length)


def test_kinds():
    for text, is_global in (
            ("2001:db8::1", True), ("fd00::1", True), ("64:ff9b::1", True), ("::", False), ("::1", False),
            ("::ffff:192.0.2.1", False), ("fe80::1", False), ("febf::1", False), ("fec0::1", True), ("ff02::1", False),
            ("ff0e::1", False)):
        assert is_global_unicast(ip6_bytes(text)) is is_global, text
