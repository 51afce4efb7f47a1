"""miniigd.port_server: which protocol answers, who asks too often, what is announced when; sockets are stood in for."""

import errno

from helpers import HOST, OTHER, Clock, Output, make_gateway, take_turns
from miniigd import log
from miniigd import port_server as port_server_module
from miniigd.addresses import ip6_bytes
from miniigd.hosts import Hosts
from miniigd.interfaces import Interface
from miniigd.loop import Loop
from miniigd.pcp import ip4_mapped
from miniigd.port_server import PortServer

ADDRESS = "81.2.69.160"
GROUP = ("224.0.0.1", 5350)
PEER = (HOST, 40000)
ANNOUNCE = b"\x02\0\0\0\0\0\0\0"


class _Socket:
    """Stands in for DatagramSocket: `sent` are its (datagram, peer), `made` all that were opened."""

    made = []
    errors = []  # raised one by one

    def __init__(self, loop, interface, ip, port, receive):
        if _Socket.errors:
            raise OSError(_Socket.errors.pop(0), "test")
        assert port == 5351
        self.name, self.address, self.receive = interface.name, ip, receive
        self.sent = []
        self.is_closed = False
        _Socket.made.append(self)

    def send(self, datagram, peer):
        assert not self.is_closed
        self.sent.append((datagram, peer))

    def close(self):
        assert not self.is_closed
        self.is_closed = True

    def took(self):
        """Return what was sent since the last question."""
        sent, self.sent = self.sent, []
        return sent


class _Control:
    """PortServer on two interfaces, with a clock: `with _Control() as it: ...`."""

    def __init__(self, address=ADDRESS, is_paused=False):
        self.clock, self.output = Clock(), Output(log)
        self._address, self._is_paused = address, is_paused

    def __enter__(self):
        self._real = port_server_module.DatagramSocket
        port_server_module.DatagramSocket = _Socket
        _Socket.made, _Socket.errors = [], []
        self.clock.__enter__()
        self.loop = Loop()
        self.gateway = make_gateway(self._address)
        self.gateway.is_paused = self._is_paused
        self.output.__enter__()
        self.lans = [Interface("lan"), Interface("lan2")]
        for index, lan in enumerate(self.lans):
            lan.index, lan.is_up, lan.addresses = index + 3, True, [("192.168.%d.1" % (index + 1), 24)]
        self.control = PortServer(self.loop, self.lans, self.gateway)
        self.control.follow()
        return self

    def __exit__(self, kind, value, traceback):
        self.output.__exit__(kind, value, traceback)
        self.clock.__exit__(kind, value, traceback)
        port_server_module.DatagramSocket = self._real

    def pass_ms(self, milliseconds):
        self.clock.ms += milliseconds
        take_turns(self.loop)
        self.control.look()

    def change(self, address):
        """A second later the kernel reports another address of the WAN, while timers are due."""
        self.clock.ms += 1000
        self.loop._tick()
        self.gateway.wan.address = address
        self.control.follow()
        self.pass_ms(0)

    def settle(self):
        """Let 300 seconds pass: everything is announced."""
        for _ in range(12):
            self.pass_ms(25000)
        for one in _Socket.made:
            one.took()

    def ask(self, datagram, peer=PEER, index=0):
        """Return the one answer, or None."""
        _Socket.made[index].took()
        _Socket.made[index].receive(datagram, peer)
        sent = _Socket.made[index].took()
        assert [one[1] for one in sent] in ([], [peer])
        return sent[0][0] if sent else None


def _announced(epoch, address=ADDRESS):
    """Return what is announced in that second of the epoch."""
    pcp = b"\x02\x80\0\0\0\0\0\0" + bytes([0, 0, epoch >> 8, epoch & 255]) + bytes(12)
    if address is None:
        return [(pcp, GROUP)]
    return [(b"\0\x80\0\0" + bytes([0, 0, epoch >> 8, epoch & 255]) + ip4_mapped(address)[12:], GROUP), (pcp, GROUP)]


def test_the_first_byte_says_which_protocol():
    with _Control() as it:
        assert it.ask(b"\0\0") == b"\0\x80\0\0\0\0\0\0\x51\x02\x45\xa0"
        assert it.ask(ANNOUNCE + ip4_mapped(HOST))[:4] == b"\x02\x80\0\0"
        for version in (1, 3, 255):  # told that PCP is there in version 2
            assert it.ask(bytes([version]) + ANNOUNCE[1:] + ip4_mapped(HOST))[:4] == b"\x02\x80\0\x01"
        assert it.ask(ANNOUNCE + ip4_mapped(OTHER))[:4] == b"\x02\x80\0\x0c"
        assert it.ask(b"") is it.ask(b"\0") is it.ask(b"\0\x80") is it.ask(b"\x02") is None
        assert it.ask(b"\0\x02\0\0\x1f\x40\x1f\x40\0\0\0\x3c") == b"\0\x82\0\0\0\0\0\0\x1f\x40\x1f\x40\0\0\0\x3c"
        assert len(it.gateway.table) == 1


def test_who_asks_too_often_is_not_answered():
    with _Control() as it:
        assert len([1 for _ in range(100) if it.ask(b"\0\0")]) == 64
        assert it.ask(b"\0\0", (OTHER, 1)) and it.ask(b"\0\0", (OTHER, 1), 1)
        it.clock.ms += 1000
        it.loop.turn(0)
        assert len([1 for _ in range(100) if it.ask(b"\0\0")]) == 8
        assert it.output.text().count("192.168.1.2 asks for ports too often") == 1


class _Neighbours:
    """Stands in for Neighbours: the kernel knows who ends in 7 or in 8; whoever is in 2001:db8:2::/64 is the host 7."""

    def find(self, raw, index):
        assert index == 4  # of the second network
        host = 7 if len(raw) == 16 else raw[-1]
        return b"\2\0\0\0\0" + bytes([host]) if host in (7, 8) else None


def test_an_address_is_no_host():
    """A host has any number of IPv6 addresses, and forges IPv4 ones that nobody knows: neither gives it more."""
    with _Control() as it:
        it.gateway.hosts = Hosts(_Neighbours().find)
        it.lans[1].addresses6 = [(ip6_bytes("2001:db8:2::1"), 64, True)]
        it.control.follow()
        asked = answered = 0
        for number in range(2, 300):
            host = "2001:db8:2::%x" % number
            asked += 1
            answered += it.ask(ANNOUNCE + ip6_bytes(host), (host, 40000), 2) is not None
        assert (asked, answered) == (298, 64)
        forged = len([1 for number in range(9, 209) if it.ask(b"\0\0", ("192.168.2.%d" % number, 1), 1)])
        assert forged == 64
        assert it.ask(b"\0\0", ("192.168.2.8", 1), 1) and not it.ask(b"\0\0", ("192.168.2.7", 1), 1)


def test_each_interface_is_served_on_its_address():
    with _Control() as it:
        assert [(one.name, one.address) for one in _Socket.made] == [("lan", "192.168.1.1"), ("lan2", "192.168.2.1")]
        it.control.follow()
        assert len(_Socket.made) == 2  # nothing changed
        it.lans[0].addresses = [("192.168.3.1", 24)]
        it.control.follow()
        assert _Socket.made[0].is_closed and not _Socket.made[1].is_closed
        assert _Socket.made[2].address == "192.168.3.1" and len(_Socket.made[2].sent) == 2
        it.lans[1].is_up = False
        it.control.follow()
        assert _Socket.made[1].is_closed and len(_Socket.made) == 3
        it.control.close()
        assert _Socket.made[2].is_closed
        it.pass_ms(600000)  # nothing is announced any more


def test_a_port_that_is_taken_is_tried_again():
    with _Control() as it:
        it.control.close()
        _Socket.errors = [errno.EADDRINUSE]
        it.control.follow()
        assert [one.name for one in _Socket.made[2:]] == ["lan2"]
        assert "cannot serve NAT-PMP and PCP on lan port 5351 (errno %d)" % errno.EADDRINUSE in it.output.text()
        it.pass_ms(4999)
        assert len(_Socket.made) == 3
        it.pass_ms(1)
        assert [one.name for one in _Socket.made[2:]] == ["lan2", "lan"]
        it.pass_ms(5000)
        assert len(_Socket.made) == 4


def test_a_start_is_announced_ten_times_each_pause_twice_as_long():
    with _Control() as it:
        begun = it.clock.ms
        times = []
        for _ in range(3000):
            for one in _Socket.made:
                if one.sent:
                    assert one.took() == _announced((it.clock.ms - begun) // 1000)
                    times.append(it.clock.ms - begun)
            it.pass_ms(125)
        assert times[::2] == times[1::2] == [0, 250, 750, 1750, 3750, 7750, 15750, 31750, 63750, 127750]


def test_another_address_is_another_epoch_and_announced():
    with _Control() as it:
        it.settle()
        it.pass_ms(1)
        assert _Socket.made[0].sent == []
        it.change("81.2.69.161")
        assert _Socket.made[0].took() == _announced(0, "81.2.69.161")
        it.pass_ms(250)
        assert _Socket.made[0].took() == _announced(0, "81.2.69.161")
        it.pass_ms(2000)
        assert _Socket.made[0].took() == _announced(2, "81.2.69.161")


def test_the_same_address_after_a_pause_of_the_line_is_announced_in_the_same_epoch():
    with _Control() as it:
        it.settle()
        it.change(None)
        assert _Socket.made[0].sent == []
        assert it.ask(b"\0\0") == b"\0\x80\0\x03" b"\0\0\x01\x2d" b"\0\0\0\0"
        it.change(ADDRESS)
        assert _Socket.made[0].took() == _announced(302)
        it.change(None)
        assert _Socket.made[0].took() == _announced(303, None)  # the schedule goes on
        it.change("81.2.69.161")
        assert _Socket.made[0].took() == _announced(0, "81.2.69.161")


def test_the_first_address_is_announced_in_the_epoch_that_there_is():
    with _Control(None) as it:
        assert _Socket.made[0].took() == _announced(0, None)
        it.settle()
        it.change(ADDRESS)
        assert _Socket.made[0].took() == _announced(301)


def test_the_end_of_a_pause_is_another_epoch():
    with _Control(is_paused=True) as it:
        it.settle()
        it.gateway.is_paused = False
        it.pass_ms(1)
        assert _Socket.made[0].took() == _announced(0)
        it.settle()
        it.gateway.is_paused = True
        it.pass_ms(1)
        assert _Socket.made[0].took() == []


def test_ipv6_hosts_are_served_with_pcp_at_each_of_the_router_s_addresses():
    with _Control() as it:
        it.settle()
        it.lans[1].addresses6 = [(ip6_bytes(text), 64, True) for text in ("2001:db8:2::1", "fe80::1")]
        it.control.follow()
        link, site = _Socket.made[2:]
        assert [(one.name, one.address) for one in (link, site)] == [("lan2", "fe80::1"), ("lan2", "2001:db8:2::1")]
        assert "serving PCP on fe80::1 and 2001:db8:2::1 port 5351" in it.output.text()
        assert link.took() == [(_announced(300)[1][0], ("ff02::1", 5350))] and site.took() == []
        host = "2001:db8:2::7"
        for index in (2, 3):  # answered from the address that was asked
            assert it.ask(ANNOUNCE + ip6_bytes(host), (host, 40000), index)[:4] == b"\x02\x80\0\0"
        assert it.ask(b"\0\0", (host, 1), 2)[:4] == b"\x02\x80\0\x01"  # there is no NAT-PMP for IPv6
        it.lans[1].addresses6.pop(0)
        it.control.follow()
        assert link.is_closed and site.is_closed and _Socket.made[4].address == "fe80::1" and len(_Socket.made) == 5
        _Socket.errors = [errno.EADDRNOTAVAIL]
        it.lans[1].addresses6 = [(ip6_bytes("fe80::2"), 64, True)]
        it.control.follow()
        assert "cannot serve PCP on lan2" in it.output.text()
        it.pass_ms(5000)
        assert _Socket.made[-1].address == "fe80::2"
