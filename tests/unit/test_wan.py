"""miniigd.wan: the external address, since when, and the kernel's counters."""

import struct

from helpers import Files, Output
from miniigd import log
from miniigd import wan as wan_module
from miniigd.compat import monotonic_ms
from miniigd.interfaces import Interface
from miniigd.wan import Wan, is_ppp


def _wan(name="wan"):
    interface = Interface(name)
    return Wan(interface, 1000, 2000), interface


def test_an_interface_that_does_not_exist():
    wan, _ = _wan()
    assert (wan.address, wan.is_up, wan.index, wan.name, wan.uptime(100)) == (None, False, 0, "wan", 0)
    assert (wan.upstream_bit_rate, wan.downstream_bit_rate) == (1000, 2000)
    assert _update(wan, 100) == ""
    assert not wan.is_connected


def _update(wan, now):
    """Let the WAN look again; return what it logs."""
    with Output(log) as output:
        wan.update(now)
    return output.text()


def test_the_address_is_taken_over_by_update():
    wan, interface = _wan()
    interface.index, interface.is_up, interface.addresses = 4, True, [("81.2.69.160", 22), ("10.0.0.1", 8)]
    assert wan.address is None
    assert (wan.index, wan.is_up) == (4, True)
    assert _update(wan, 100) == "miniigd: info: external address: 81.2.69.160\n"
    assert wan.address == "81.2.69.160" and wan.is_connected and not wan.refusal
    assert _update(wan, 200) == ""
    assert (wan.uptime(100), wan.uptime(160)) == (0, 60)


def test_the_uptime_begins_with_the_address():
    wan, interface = _wan()
    interface.addresses = [("81.2.69.160", 22)]
    _update(wan, 100)
    interface.addresses = [("81.2.69.161", 22)]
    assert "81.2.69.161" in _update(wan, 150)
    assert wan.uptime(160) == 10
    interface.clear()
    assert "none" in _update(wan, 170)
    assert (wan.address, wan.uptime(180)) == (None, 0)


def test_the_uptime_of_the_router_where_the_configuration_says_so():
    interface = Interface("wan")
    wan = Wan(interface, 0, 0, "", False, True)
    assert wan.uptime(100) == 0  # not connected
    interface.addresses = [("81.2.69.160", 22)]
    _update(wan, 100)
    before = monotonic_ms() // 1000
    assert before <= wan.uptime(160) <= monotonic_ms() // 1000
    assert before > 0


def test_counters_are_read_from_the_kernel():
    wan, _ = _wan("lo")
    for name in ("tx_bytes", "rx_bytes", "tx_packets", "rx_packets"):
        assert 0 <= wan.counter(name) <= 0xFFFFFFFF


def test_counters_wrap_as_a_ui4():
    wan, _ = _wan()
    for data, value in ((b"0\n", 0), (b"12345\n", 12345), (b"4294967295\n", 4294967295), (b"4294967296\n", 0),
                        (b"4294967301\n", 5), (b"9007199254740993\n", 1)):
        with Files(wan_module, data):
            assert wan.counter("tx_bytes") == value


def test_a_counter_that_cannot_be_read_is_0():
    wan, _ = _wan("gone0")
    assert wan.counter("tx_bytes") == 0
    for data in (None, b"", b"junk\n"):
        with Files(wan_module, data):
            assert wan.counter("tx_bytes") == 0


PUBLIC = ("1.0.0.1", "8.8.8.8", "9.255.255.255", "11.0.0.2", "81.2.69.160", "100.63.255.255", "100.128.0.0",
          "126.0.0.1", "128.0.0.1", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.1",
          "192.0.3.1", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.112.255",
          "203.0.114.0", "223.255.255.255")
RESERVED = ("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1",
            "169.254.0.1", "172.16.0.0", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.31.196.1", "192.52.193.1",
            "192.88.99.1", "192.168.0.0", "192.168.255.255", "192.175.48.1", "198.18.0.0", "198.19.255.255",
            "198.51.100.1", "203.0.113.255", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255")


def test_addresses_that_the_internet_cannot_reach():
    for address in PUBLIC:
        assert not wan_module.is_reserved(address), address
    for address in RESERVED:
        assert wan_module.is_reserved(address), address


def test_behind_a_private_address_no_port_is_opened_until_it_changes():
    wan, interface = _wan()
    interface.addresses = [("100.64.1.2", 10)]
    text = _update(wan, 100)
    assert text.startswith("miniigd: warning: external address: 100.64.1.2 is private or shared: ")
    assert "set ext_allow_private_ipv4 or external_ip" in text and text.count("\n") == 1
    assert (wan.address, wan.is_connected, wan.uptime(110)) == (None, True, 10)
    assert "100.64.1.2" in wan.refusal
    interface.addresses = [("81.2.69.160", 22)]
    assert _update(wan, 120) == "miniigd: info: external address: 81.2.69.160\n"
    assert (wan.address, wan.refusal) == ("81.2.69.160", "")


def test_ports_are_opened_behind_a_private_address_where_that_is_allowed():
    interface = Interface("wan")
    wan = Wan(interface, 0, 0, "", True)
    interface.addresses = [("10.0.0.2", 8)]
    assert "ports are opened all the same" in _update(wan, 100)
    assert (wan.address, wan.refusal) == ("10.0.0.2", "")


def test_another_address_can_be_reported():
    interface = Interface("wan")
    wan = Wan(interface, 0, 0, "81.2.69.160")
    _update(wan, 50)
    assert wan.address is None
    interface.addresses = [("192.168.100.2", 24)]
    assert _update(wan, 100) == "miniigd: info: external address: 81.2.69.160\n"
    assert (wan.address, wan.refusal) == ("81.2.69.160", "")
    interface.clear()
    _update(wan, 110)
    assert wan.address is None


SOCKETS = b"""  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:%s 00000000:0000 %s 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0101A8C0:1388 00000000:0000 %s 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0101A8C0:1389 0201A8C0:BC40 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
"""


def test_ports_that_the_router_itself_serves():
    wan, interface = _wan()
    interface.addresses = [("81.2.69.160", 22)]
    _update(wan, 100)
    for protocol, state in (("TCP", b"0A"), ("UDP", b"07")):
        for file, ports in (
                (SOCKETS % (b"04AA", state, state), [1194]),  # not the LAN's 5000, and no connection
                (SOCKETS % (b"CA6C", state, state), [51820]), (SOCKETS % (b"CA6C", b"01", state), []),
                (SOCKETS.replace(b"00000000:%s", OWN + b":%s") % (b"04AA", state, state), [1194]),
                (SOCKETS.replace(b"00000000:%s", b"0000000000000000FFFF00000100007F:%s") % (b"04AA", state, state), []),
                (SOCKETS.replace(b"00000000:%s", b"0" * 32 + b":%s") % (b"04AA", state, state), [1194]),
                (b"", []), (b"junk :04AA \n:04AA", []), (None, [])):
            with Files(wan_module, file):
                found = [port for port in (1193, 1194, 5000, 5001, 48192, 51820) if wan.has_service(protocol, port)]
            assert found == ports, (protocol, file)


# 81.2.69.160 as the kernel prints it
OWN = b"%08X" % struct.unpack("@I", b"\x51\x02\x45\xa0")[0]


def test_ipv6_comes_by_the_same_interface_or_by_a_tunnel():
    wan, interface = _wan()
    interface.index = 4
    assert (wan.name6, wan.index6) == (wan.name, 4)
    tunnel = Interface("6in4-wan6")
    wan = Wan(interface, 0, 0, interface6=tunnel)
    assert (wan.index, wan.name6, wan.index6) == (4, "6in4-wan6", 0)
    tunnel.index = 9
    assert wan.index6 == 9


def test_devices_of_point_to_point_links_are_known_by_name():
    for device in ("pppoe-wan", "ppp0", "pptp-vpn", "l2tp-wan", "3g-wan"):
        assert is_ppp(device), device
    for device in ("eth1", "wan", "br-lan"):
        assert not is_ppp(device), device
