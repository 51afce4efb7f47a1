"""From the WAN nothing is had from the daemon, whatever is sent: raw frames, forged sources, both versions of IP.

An answer is whatever comes to a port that we sent from, on either side of the router, and is no reset: refusing is the
kernel's. The same frames on the LAN are answered: that is what shows that they are in order.
"""

import socket
import struct
import time

import pytest

from qemu.lab import (LAN_HOST, LAN_HOST2, LAN_HOST2_6, LAN_ROUTER, LAN_ROUTER_6, WAN_HOST, WAN_HOST_6, WAN_ROUTER,
                      WAN_ROUTER_6)
from test_daemon import CONTROL, SERVICE, fault, msearch, wait_until_serving

LAN_MAC, WAN_MAC = bytes.fromhex("525400000101"), bytes.fromhex("525400000201")  # the router's
LAN_LINK, WAN_LINK = "fe80::5054:ff:fe00:101", "fe80::5054:ff:fe00:201"
OUR_PORT = 47000  # what is sent comes from here
PORTS = 1900, 5350, 5351, 5000
TCP, UDP = 6, 17
SYN, RST, PSH, ACK = 2, 4, 8, 16
AHEAD = 300  # frames that the network card may be behind: its queue holds 1,000

SOURCES = WAN_HOST, LAN_HOST2, LAN_ROUTER, "127.0.0.1"
TARGETS = WAN_ROUTER, LAN_ROUTER, "239.255.255.250", "224.0.0.1", "255.255.255.255", "127.0.0.1"
SOURCES_6 = WAN_HOST_6, "fe80::1", LAN_HOST2_6, LAN_ROUTER_6, "::1"
TARGETS_6 = WAN_ROUTER_6, LAN_ROUTER_6, WAN_LINK, LAN_LINK, "ff02::c", "ff05::c", "ff02::1", "::1"
STOP_AND_START = {"debian": ("fw4 flush", "fw4 start"), "wrt": ("fw3 stop", "fw3 start"),
                  "bare": ("/etc/init.d/S45firewall stop", "/etc/init.d/S45firewall start")}


# --- Frames


def raw(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def total(data):
    """The sum of the words of `data` (RFC 1071), not yet folded."""
    data += b"\0" * (len(data) & 1)
    return sum(struct.unpack(">%dH" % (len(data) // 2), data))


def folded(number):
    while number >> 16:
        number = (number & 0xFFFF) + (number >> 16)
    return ~number & 0xFFFF


def ethernet_target(address, mac):
    """The MAC address for an IP destination: the router's, or the one that stands for a group."""
    packed = raw(address)
    if len(packed) == 16 and packed[0] == 0xFF:
        return b"\x33\x33" + packed[12:]
    if len(packed) == 4 and 224 <= packed[0] < 240:
        return b"\x01\0\x5e" + bytes([packed[1] & 0x7F]) + packed[2:]
    return b"\xff" * 6 if address == "255.255.255.255" else mac


def frame(mac, source, target, protocol, segment):
    """An Ethernet frame; `segment` is the TCP or UDP one, with 0 for a checksum."""
    ours, theirs = raw(source), raw(target)
    place = 16 if protocol == TCP else 6
    number = folded(total(ours) + total(theirs) + protocol + len(segment) + total(segment))
    segment = segment[:place] + struct.pack(">H", number or 0xFFFF) + segment[place + 2:]
    if len(ours) == 16:
        head = struct.pack(">IHBB", 6 << 28, len(segment), protocol, 64) + ours + theirs
        kind = b"\x86\xdd"
    else:
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, protocol, 0) + ours + theirs
        head = head[:10] + struct.pack(">H", folded(total(head))) + head[12:]
        kind = b"\x08\0"
    return ethernet_target(target, mac) + b"\2\0\0\0\0\1" + kind + head + segment


def datagram(port, data, source_port=OUR_PORT):
    return struct.pack(">HHHH", source_port, port, 8 + len(data), 0) + data


def segment(port, flags, data=b"", source_port=OUR_PORT):
    return struct.pack(">HHIIBBHHH", source_port, port, 1000, 2000 if flags & ACK else 0, 5 << 4, flags, 1000, 0,
                       0) + data


def parsed(data):
    """(protocol, source, target, target's port, TCP's flags) of a frame, None for what is neither TCP nor UDP."""
    if data[12:14] == b"\x08\0" and len(data) >= 42 and data[14] == 0x45:
        protocol, source, target, start = data[23], data[26:30], data[30:34], 34
    elif data[12:14] == b"\x86\xdd" and len(data) >= 62:
        protocol, source, target, start = data[20], data[22:38], data[38:54], 54
    else:
        return None
    if protocol not in (TCP, UDP):
        return None
    family = socket.AF_INET if len(source) == 4 else socket.AF_INET6
    return (protocol, socket.inet_ntop(family, source), socket.inet_ntop(family, target),
            int.from_bytes(data[start + 2:start + 4], "big"), data[start + 13] if protocol == TCP else 0)


# --- One side of the router


def _opened():
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sender.bind(("eth0", 0))
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sniffer.setsockopt(263, 23, 1)  # SOL_PACKET, PACKET_IGNORE_OUTGOING
    sniffer.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    sniffer.bind(("eth0", 3))  # ETH_P_ALL
    sniffer.setblocking(False)
    return sender, sniffer


def _figures(path="/proc/thread-self/net/dev"):
    """{interface: (packets received, packets sent)}"""
    with open(path) as file:
        lines = [line.replace(":", " ").split() for line in file.read().splitlines()[2:]]
    return {words[0]: (int(words[2]), int(words[10])) for words in lines}


class Side:
    """The router's network of a namespace: sends frames there, hears what the router sends to OUR_PORT."""

    def __init__(self, space):
        self._space = space
        self._sender, self._sniffer = space.call(_opened)
        self.sent = 0
        self.answers = []  # of `parsed`

    def _taken(self):
        """How many frames the router's network card has taken from this side."""
        return self._space.call(_figures)["eth0"][1]

    def send(self, frames, other=None):
        """Send frames, no faster than the router takes them; `other`: a Side that listens meanwhile."""
        begun, count = self._taken(), 0
        limit = time.monotonic() + 120
        for one in frames:
            self._sender.send(one)
            count += 1
            if count % 100 == 0:
                while count - (self._taken() - begun) > AHEAD:
                    assert time.monotonic() < limit, "the router takes no more frames"
                    self.listen()
                    time.sleep(0.002)
                for side in filter(None, (self, other)):
                    side.listen()
        while self._taken() - begun < count:
            assert time.monotonic() < limit, "frames were lost on the way"
            time.sleep(0.01)
        self.sent += count

    def listen(self, seconds=0):
        """Hear what has come, and what comes in so many seconds."""
        limit = time.monotonic() + seconds
        while True:
            try:
                found = parsed(self._sniffer.recv(2048))
            except BlockingIOError:
                if time.monotonic() >= limit:
                    return
                time.sleep(0.02)
                continue
            if found and found[3] == OUR_PORT and not found[4] & RST:
                self.answers.append(found)

    def close(self):
        """Check that nothing was missed, and end."""
        missed = struct.unpack("@II", self._sniffer.getsockopt(263, 6, 8))[1]  # PACKET_STATISTICS
        self._sender.close()
        self._sniffer.close()
        assert missed == 0


@pytest.fixture
def sides(client):
    """(LAN, WAN): what every test leaves behind is checked, the process, the table, and that hosts are served."""
    before = client.running()
    sides = Side(client.lab.lan), Side(client.lab.wan)
    yield sides
    for side in sides:
        side.close()
    assert client.running() == before != []
    for source in LAN_HOST, LAN_HOST2:
        assert fault(client.call("GetGenericPortMappingEntry", (("NewPortMappingIndex", 0),), source)) == 713
    assert client.lab.router.check("cat /var/run/miniupnpd.leases /var/run/miniupnpd.leases6 2>/dev/null; true") == ""
    assert "please report" not in client.log()


@pytest.fixture(params=["with the firewall", "without a firewall"])
def firewall(request, client):
    """The router as it is, and with nothing but the daemon's own checks: no rules, no filter of forged sources."""
    if request.param == "with the firewall":
        yield
        return
    router = client.lab.router
    stop, start = STOP_AND_START[client.lab.model]
    filters = "for file in /proc/sys/net/ipv4/conf/*/rp_filter; do %s; done"
    before = router.check(filters % "cat $file").split()
    try:
        router.check(stop)
        router.check(filters % "echo 0 >$file")
        yield
    finally:
        router.check("set -- %s; %s" % (" ".join(before), filters % "echo $1 >$file; shift"))
        router.check("%s; /etc/init.d/miniupnpd restart" % start)
        wait_until_serving(client)


# --- What is sent


def mapped(address):
    packed = raw(address)
    return packed if len(packed) == 16 else bytes(10) + b"\xff\xff" + packed


def requests(source, host):
    """One of everything that the daemon answers, for a client with the address `source` on the router `host`."""
    name = "[%s]" % host if ":" in host else host
    client = LAN_HOST2 if ":" in source else source
    body = ('<s:Envelope><s:Body><u:AddPortMapping xmlns:u="%s"><NewRemoteHost></NewRemoteHost><NewExternalPort>8000'
            "</NewExternalPort><NewProtocol>TCP</NewProtocol><NewInternalPort>8000</NewInternalPort><NewInternalClient>"
            "%s</NewInternalClient><NewEnabled>1</NewEnabled><NewPortMappingDescription>x</NewPortMappingDescription>"
            "<NewLeaseDuration>600</NewLeaseDuration></u:AddPortMapping></s:Body></s:Envelope>" % (SERVICE % 1, client))
    soap = ("POST %s HTTP/1.1\r\nHost: %s:5000\r\nSOAPAction: \"%s#AddPortMapping\"\r\nContent-Length: %d\r\n\r\n%s"
            % (CONTROL[1], name, SERVICE % 1, len(body), body)).encode()
    gena = ("SUBSCRIBE /upnp/event/WANIPConn1 HTTP/1.1\r\nHost: %s:5000\r\nNT: upnp:event\r\nCALLBACK: <http://%s:%d/>"
            "\r\n\r\n" % (name, "[%s]" % source if ":" in source else source, OUR_PORT)).encode()
    get = ("GET /rootDesc.xml HTTP/1.1\r\nHost: %s:5000\r\n\r\n" % name).encode()
    pcp = struct.pack(">BBHI", 2, 1, 0, 600) + mapped(source) + b"n" * 12 + struct.pack(">B3xHH", 6, 8000, 8000) + bytes(16)
    ssdp = [msearch(target) for target in ("ssdp:all", "upnp:rootdevice", SERVICE % 1)]
    natpmp = [b"\0\0", struct.pack(">BBHHHI", 0, 2, 0, 8000, 8000, 600), b"\0\1\0\0" + struct.pack(">HHI", 8000, 8000, 600)]
    return {"ssdp": ssdp, "nat-pmp": natpmp, "pcp": [pcp, pcp[:1] + b"\0" + pcp[2:24]], "http": [soap, gena, get]}


def everything(mac, sources, targets):
    """Frames of every protocol to every port, from every source to every target."""
    for source in sources:
        for target in targets:
            asked = requests(source, LAN_ROUTER_6 if ":" in target else LAN_ROUTER)
            for port in PORTS:
                for data in sum(asked.values(), []):
                    yield frame(mac, source, target, UDP, datagram(port, data))
                yield frame(mac, source, target, TCP, segment(port, SYN))
                for data in asked["http"]:
                    for flags in SYN, ACK | PSH:
                        yield frame(mac, source, target, TCP, segment(port, flags, data))


def sweep(mac, source, target):
    """A SYN to each of the 65,535 ports."""
    model = frame(mac, source, target, TCP, segment(0, SYN))
    start = len(model) - 20
    number = ~struct.unpack(">H", model[start + 16:start + 18])[0] & 0xFFFF
    for port in range(1, 65536):
        yield (model[:start + 2] + struct.pack(">H", port) + model[start + 4:start + 16]
               + struct.pack(">H", folded(number + port)) + model[start + 18:])


# --- The tests


def test_the_same_frames_are_answered_on_the_lan(client, sides):
    """Or the others would prove nothing: SSDP, NAT-PMP and PCP answer, and the port of HTTP accepts."""
    lan, _ = sides
    for source, target, group in (LAN_HOST2, LAN_ROUTER, "239.255.255.250"), (LAN_HOST2_6, LAN_ROUTER_6, "ff05::c"):
        asked = requests(source, target)
        for where, port, data in ((target, 1900, asked["ssdp"][1]), (group, 1900, asked["ssdp"][2]),
                                  (target, 5351, asked["nat-pmp"][0]), (target, 5351, asked["pcp"][1])):
            lan.answers.clear()
            lan.send([frame(LAN_MAC, source, where, UDP, datagram(port, data))])
            lan.listen(0.7)
            assert [one[0] for one in lan.answers] == [UDP], (where, data)
        lan.answers.clear()
        lan.send([frame(LAN_MAC, source, target, TCP, segment(5000, SYN))])
        lan.listen(0.7)
        assert lan.answers[0][0::4] == (TCP, SYN | ACK)
        lan.answers.clear()


def test_every_protocol_from_every_source_to_every_address(client, firewall, sides):
    lan, wan = sides
    wan.send(everything(WAN_MAC, SOURCES, TARGETS), lan)
    wan.send(everything(WAN_MAC, SOURCES_6, TARGETS_6), lan)
    for side in sides:
        side.listen(1)
        assert side.answers == []
    print("%d frames from the WAN, no answer" % wan.sent)
    assert wan.sent == 18 * len(PORTS) * (len(SOURCES) * len(TARGETS) + len(SOURCES_6) * len(TARGETS_6))


@pytest.mark.parametrize("source, target", [(WAN_HOST, WAN_ROUTER), (LAN_HOST2, LAN_ROUTER), (WAN_HOST_6, WAN_ROUTER_6)])
def test_no_tcp_port_of_65535_accepts(client, firewall, sides, source, target):
    """The routers serve nothing else there, so without a firewall this is about the daemon alone."""
    lan, wan = sides
    received = "cat /sys/class/net/eth1/statistics/rx_packets"
    before = int(client.lab.router.check(received))
    wan.send(sweep(WAN_MAC, source, target), lan)
    for side in sides:
        side.listen(1)
    assert int(client.lab.router.check(received)) - before >= 65535  # every one was there
    print("65535 ports of %s, %d accept" % (target, len(wan.answers)))
    assert lan.answers == []
    assert [one for one in wan.answers if one[0] == TCP] == []
