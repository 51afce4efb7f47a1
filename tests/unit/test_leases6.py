"""miniigd.leases6: the lines of the lease file of pinholes, there and back."""

from helpers import damaged
from miniigd import leases6
from miniigd.leases import LeaseFile
from miniigd.pinhole import Pinhole

LINE = b"TCP;2001:db8::2;8000;;0;4711;1798000060;PCP MAP 0102\n"


def _pinhole(remote_host="", remote_port=0, description="PCP MAP 0102"):
    return Pinhole(4711, remote_host, remote_port, "TCP", "2001:db8::2", 8000, 60, 160, description)


def _fields(lease):
    return (lease.protocol, lease.internal_client, lease.internal_port, lease.remote_host, lease.remote_port,
            lease.unique_id, lease.remaining, lease.description)


def test_the_line_is_the_other_daemon_s():
    assert leases6.line(_pinhole(), 1797999900) == LINE.decode()
    assert leases6.line(_pinhole("2001:db8:9::1", 77, ""), 0) == "TCP;2001:db8::2;8000;2001:db8:9::1;77;4711;160;\n"


def test_a_line_comes_back():
    for pinhole in (_pinhole(), _pinhole("2001:db8:9::1"), _pinhole("", 65535, ""), _pinhole(description="a;b;c")):
        lease = leases6.parse(leases6.line(pinhole, 1000).encode(), 1100)
        assert _fields(lease) == ("TCP", "2001:db8::2", 8000, pinhole.remote_host, pinhole.remote_port, 4711, 60,
                                  pinhole.description)
    assert leases6.parse(LINE, 1798000060).remaining == -1  # it ends in this second
    assert leases6.parse(LINE, 1798000061).remaining == -1
    assert leases6.parse(LINE.replace(b";;0;", b";*;0;"), 0).remote_host == ""
    assert leases6.parse(LINE.replace(b"2001:db8::2", b"2001:DB8:0::2"), 0).internal_client == "2001:db8::2"


def test_what_is_no_lease():
    for data in (b"", b"\n", b"TCP", LINE.replace(b"TCP", b"SCTP"), LINE.replace(b";8000;", b";0;"),
                 LINE.replace(b";8000;", b";65536;"), LINE.replace(b";4711;", b";0;"), LINE.replace(b";0;", b";-1;"),
                 LINE.replace(b"2001:db8::2", b"192.168.1.2"), LINE.replace(b";;", b";host;"), b"\xff" + LINE,
                 LINE.replace(b"1798000060", b"x"), LINE[:-1] + b"x" * 600, LINE.replace(b";PCP MAP 0102", b"")):
        assert leases6.parse(data, 0) is None, data
    for data in damaged(LINE):
        lease = leases6.parse(data, 0)
        assert lease is None or 0 < lease.internal_port <= 65535 and 0 < lease.unique_id <= 65535


def test_the_file_takes_the_form():
    leases = LeaseFile("/nowhere/leases6", "/nowhere/clock6", leases6.FORM)
    assert leases._line is leases6.line and leases._parse is leases6.parse
    assert LeaseFile("/nowhere/leases")._line is not leases6.line
