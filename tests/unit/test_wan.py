"""miniigd.wan: the external address, since when, and the kernel's counters."""

from helpers import Files
from miniigd import wan as wan_module
from miniigd.interfaces import Interface
from miniigd.wan import Wan


def _wan(name="wan"):
    interface = Interface(name)
    return Wan(interface, 1000, 2000), interface


def test_an_interface_that_does_not_exist():
    wan, _ = _wan()
    assert (wan.address, wan.is_up, wan.index, wan.name, wan.uptime(100)) == (None, False, 0, "wan", 0)
    assert (wan.upstream_bit_rate, wan.downstream_bit_rate) == (1000, 2000)
    assert not wan.update(100)


def test_the_address_is_taken_over_by_update():
    wan, interface = _wan()
    interface.index, interface.is_up, interface.addresses = 4, True, [("81.2.69.160", 22), ("10.0.0.1", 8)]
    assert wan.address is None
    assert (wan.index, wan.is_up) == (4, True)
    assert wan.update(100)
    assert wan.address == "81.2.69.160"
    assert not wan.update(200)
    assert (wan.uptime(100), wan.uptime(160)) == (0, 60)


def test_the_uptime_begins_with_the_address():
    wan, interface = _wan()
    interface.addresses = [("81.2.69.160", 22)]
    wan.update(100)
    interface.addresses = [("81.2.69.161", 22)]
    assert wan.update(150)
    assert wan.uptime(160) == 10
    interface.clear()
    assert wan.update(170)
    assert (wan.address, wan.uptime(180)) == (None, 0)


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
