"""miniigd.lan: a device on the loopback interface: announced, found, read, called; it follows its address."""

import errno
import socket

from helpers import Clock, Output, QuietWan, lacks_ipv6, lacks_multicast, take_turns
from miniigd import description, http, log, ssdp
from miniigd.addresses import ip4_bytes, ip6_bytes
from miniigd.compat import AF_INET6, IP_ADD_MEMBERSHIP, IP_MULTICAST_IF, address
from miniigd.firewall.memory import MemoryFirewall
from miniigd.gateway import Gateway
from miniigd.interfaces import Interface
from miniigd.lan import Lans
from miniigd.loop import Loop
from miniigd.mapping import MappingTable

UUID = "6d696e69-6967-8001-8000-000102030405"
PORT, CLIENT_PORT, EVENT_PORT = 17561, 17562, 17563
DEVICE = description.Device(UUID)
LOCATIONS = {1: b"LOCATION: http://127.0.0.1:%d/rootDesc.xml" % PORT,
             2: b"LOCATION: http://127.0.0.1:%d/igd2/rootDesc.xml" % PORT}


def _interface(address="127.0.0.1"):
    interface = Interface("lo")
    interface.index, interface.is_up, interface.addresses = 1, True, [(address, 8)]
    return interface


def _lan(interface, loop, port=PORT, device=DEVICE):
    return _lans([interface], loop, port, device)


def _lans(interfaces, loop, port=PORT, device=DEVICE):
    gateway = Gateway(MappingTable(), MemoryFirewall(), QuietWan(Interface("wan"), 0, 0))
    return Lans(loop, interfaces, port, device, gateway, 900)


def _udp(port, source="127.0.0.1"):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(address(source, port))
    sock.setsockopt(0, IP_MULTICAST_IF, ip4_bytes("127.0.0.1"))
    sock.setblocking(False)
    return sock


def _member():
    """Return a socket that hears the announcements."""
    sock = _udp(ssdp.PORT, "0.0.0.0")
    sock.setsockopt(0, IP_ADD_MEMBERSHIP, ip4_bytes(ssdp.GROUP) + ip4_bytes("127.0.0.1"))
    return sock


def _heard(sock, loop):
    """Return the datagrams of ours that arrived meanwhile."""
    for _ in range(300):  # a datagram a turn, and it hears its own announcements too
        loop.turn(0)
    found = []
    while True:
        try:
            data = sock.recv(2000)
        except OSError as error:
            assert error.errno == errno.EAGAIN
            return found
        if UUID[19:].encode() in data:
            found.append(data)


def _kinds(datagrams):
    """Return "b" for each goodbye, "a" for each announcement and "u" for each update."""
    kinds = {b"ssdp:byebye": "b", b"ssdp:alive": "a", b"ssdp:update": "u"}
    return "".join([kinds[one.partition(b"\r\nNTS: ")[2].partition(b"\r\n")[0]] for one in datagrams])


def test_it_is_announced_twice_then_regularly_and_says_goodbye():
    if lacks_multicast():
        return
    count = len(DEVICE.targets())
    with Clock() as clock, Output(log) as output:
        loop, member = Loop(), _member()
        lan = _lan(_interface(), loop)
        lan.follow()
        first = _heard(member, loop)
        assert _kinds(first) == "b" * count + "a" * count
        for target, usn, version in DEVICE.targets():
            found = [one for one in first if b"\r\nNT: %s\r\n" % target.encode() in one
                     and b"\r\nUSN: %s\r\n" % usn.encode() in one]
            assert _kinds(found) == "ba"
            assert LOCATIONS[version] in found[1].split(b"\r\n")
        clock.ms += 250
        assert _kinds(_heard(member, loop)) == "a" * count
        clock.ms += 250
        assert _heard(member, loop) == []
        for _ in range(3):
            clock.ms += 840000  # some time before the announcements would be half over
            assert _heard(member, loop) == []
            clock.ms += 60000
            assert _kinds(_heard(member, loop)) == "a" * count
        lan.close()
        assert _kinds(_heard(member, loop)) == "b" * count
        clock.ms += 10000000
        assert _heard(member, loop) == []
        member.close()
    assert "serving lo on 127.0.0.1 port %d" % PORT in output.text()


def test_searches_are_answered_soon():
    if lacks_multicast():
        return
    with Clock() as clock, Output(log):
        loop, client = Loop(), _udp(CLIENT_PORT)
        lan = _lan(_interface(), loop)
        lan.follow()
        for target, versions in (
                ("upnp:rootdevice", (1,)), ("urn:schemas-upnp-org:device:InternetGatewayDevice:1", (1,)),
                ("urn:schemas-upnp-org:device:InternetGatewayDevice:2", (2,)),
                ("urn:schemas-upnp-org:service:WANIPConnection:1", (1,)),
                ("urn:schemas-upnp-org:service:WANIPConnection:2", (2,)),
                ("urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1", (1,)),
                ("urn:schemas-upnp-org:device:InternetGatewayDevice:3", ()), ("uuid:" + UUID, (1,)),
                ("uuid:6d696e69-6967-8004-8000-000102030405", (2,))):
            client.sendto(b"M-SEARCH * HTTP/1.1\r\nST: %s\r\nMAN: \"ssdp:discover\"\r\nMX: 5\r\n\r\n" % target.encode(),
                          address(ssdp.GROUP, ssdp.PORT))
            assert _heard(client, loop) == []
            clock.ms += ssdp.ANSWER_MS
            answers = _heard(client, loop)
            assert len(answers) == len(versions), target
            for answer, version in zip(answers, versions):
                lines = answer.split(b"\r\n")
                assert lines[0] == b"HTTP/1.1 200 OK"
                assert LOCATIONS[version] in lines and b"ST: " + target.encode() in lines
        client.sendto(b"M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\n\r\n", address(ssdp.GROUP, ssdp.PORT))
        _heard(client, loop)
        clock.ms += ssdp.ANSWER_MS
        assert len(_heard(client, loop)) == len(DEVICE.targets())
        for datagram in (b"M-SEARCH * HTTP/1.1\r\nST: urn:x:1\r\n\r\n", b"\0" * 1000, b"",
                         b"NOTIFY * HTTP/1.1\r\n\r\n"):
            client.sendto(datagram, address(ssdp.GROUP, ssdp.PORT))
            _heard(client, loop)
            clock.ms += ssdp.ANSWER_MS
            assert _heard(client, loop) == []
        for port in range(33):  # of so many searches at once the last is answered at once
            sock = _udp(CLIENT_PORT + 100 + port)
            sock.sendto(b"M-SEARCH * HTTP/1.1\r\nST: upnp:rootdevice\r\n\r\n", address(ssdp.GROUP, ssdp.PORT))
            assert len(_heard(sock, loop)) == (0 if port < 32 else 1), port
            sock.close()
        client.sendto(b"M-SEARCH * HTTP/1.1\r\nST: upnp:rootdevice\r\n\r\n", address(ssdp.GROUP, ssdp.PORT))
        _heard(client, loop)
        lan.close()  # before the answers left
        clock.ms += ssdp.ANSWER_MS
        assert _heard(client, loop) == []
        client.close()


def _get(loop, path, port=PORT):
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.connect(address("127.0.0.1", port))
    client.send(b"GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (path, port))
    client.setblocking(False)
    data = b""
    for _ in range(200):
        loop.turn(1)
        try:
            piece = client.recv(65536)
        except OSError as error:
            assert error.errno == errno.EAGAIN
            continue
        if not piece:
            break
        data += piece
    client.close()
    loop.turn(0)
    return data


def test_the_location_leads_to_the_description():
    if lacks_multicast():
        return
    with Output(log):
        loop = Loop()
        lan = _lan(_interface(), loop)
        lan.follow()
        for version, location in LOCATIONS.items():
            document = DEVICE.document(version, "http://127.0.0.1/")
            assert _get(loop, b"/" + location.split(b"/", 3)[3]) == http.reply(200, document)
        assert _get(loop, b"/nothing").startswith(b"HTTP/1.1 404 ")
        lan.close()


def _ask(loop, head):
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.connect(address("127.0.0.1", PORT))
    client.send(head + b"Host: 127.0.0.1:%d\r\n\r\n" % PORT)
    data = _all_of(client, loop)
    loop.turn(0)
    return data


def _all_of(sock, loop):
    """Return what comes until the other side closes; close the socket."""
    sock.setblocking(False)
    data = b""
    for _ in range(200):
        loop.turn(1)
        try:
            piece = sock.recv(65536)
        except OSError as error:
            assert error.errno == errno.EAGAIN
            if b"</e:propertyset>" in data:
                sock.send(b"HTTP/1.1 200 OK\r\n\r\n")
            continue
        if not piece:
            break
        data += piece
    sock.close()
    return data


def _subscribe(loop, path=b"/upnp/event/WANIPConn1"):
    """Return the SID of a new subscription."""
    answer = _ask(loop, b"SUBSCRIBE %s HTTP/1.1\r\nNT: upnp:event\r\nCALLBACK: <http://127.0.0.1:%d/e>\r\n"
                  % (path, EVENT_PORT))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    return answer.partition(b"\r\nSID: ")[2].partition(b"\r\n")[0]


def _next_message(listener, loop):
    for _ in range(200):
        loop.turn(1)
        try:
            return _all_of(listener.accept()[0], loop)
        except OSError as error:
            assert error.errno == errno.EAGAIN
    raise AssertionError("no message")


def test_subscribers_are_told_of_changes():
    if lacks_multicast():
        return
    with Clock() as clock, Output(log):
        loop, interface, listener = Loop(), _interface(), socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address("127.0.0.1", EVENT_PORT))
        listener.listen(4)
        listener.setblocking(False)
        lan = _lan(interface, loop)
        lan.look()  # not open yet
        lan.follow()
        loop.at_end_of_turn = lan.look
        sid = _subscribe(loop)
        clock.ms += 150
        message = _next_message(listener, loop)
        assert message.startswith(b"NOTIFY /e HTTP/1.1\r\nHOST: 127.0.0.1:%d\r\n" % EVENT_PORT)
        assert b"\r\nSID: %s\r\nSEQ: 0\r\n" % sid in message
        assert b"<ExternalIPAddress></ExternalIPAddress>" in message
        wan = lan._lans[0]._gateway.wan
        wan._interface.addresses = [("81.2.69.160", 22)]
        wan.update(loop.now)
        loop.turn(0)
        clock.ms += 500
        message = _next_message(listener, loop)
        assert b"\r\nSID: %s\r\nSEQ: 1\r\n" % sid in message
        assert b"<ExternalIPAddress>81.2.69.160</ExternalIPAddress>" in message
        assert b"PossibleConnectionTypes" not in message
        _subscribe(loop, b"/igd2/upnp/event/WANCommonIFC1")
        interface.is_up = False
        lan.follow()  # who subscribed on an address that is gone has to do it again
        interface.is_up = True
        lan.follow()
        clock.ms += 10000
        loop.turn(0)
        assert _ask(loop, b"SUBSCRIBE /upnp/event/WANIPConn1 HTTP/1.1\r\nSID: %s\r\n" % sid).startswith(
            b"HTTP/1.1 412 ")
        try:
            listener.accept()
            raise AssertionError("a message came")
        except OSError as error:
            assert error.errno == errno.EAGAIN
        lan.close()
        lan.look()
        listener.close()


def test_it_follows_the_address():
    if lacks_multicast():
        return
    with Output(log) as output:
        loop, interface, member = Loop(), Interface("lo"), _member()
        lan = _lan(interface, loop)
        lan.follow()
        assert _heard(member, loop) == []
        interface.index, interface.addresses = 1, [("127.0.0.1", 8)]
        lan.follow()  # the link is down
        assert _heard(member, loop) == []
        interface.is_up = True
        lan.follow()
        assert len(_heard(member, loop)) == 2 * len(DEVICE.targets())
        lan.follow()
        assert _heard(member, loop) == []
        interface.addresses = [("127.0.0.3", 8)]
        lan.follow()
        heard = _heard(member, loop)
        assert b"LOCATION: http://127.0.0.3:%d/igd2/rootDesc.xml" % PORT in heard[-1].split(b"\r\n")
        interface.clear()
        lan.follow()
        assert _kinds(_heard(member, loop)) == "b" * len(DEVICE.targets())
        lan.close()
        assert _heard(member, loop) == []
        member.close()
    assert output.text().count("serving lo on ") == 2


def _served6(interface, *addresses):
    interface.addresses6 = [(ip6_bytes(one), 128 if one == "::1" else 64, True) for one in addresses]


def test_the_same_device_over_ipv6():
    """Found by unicast (the loopback interface has no groups), read, and the address followed."""
    if lacks_multicast() or lacks_ipv6():
        return
    with Clock() as clock, Output(log) as output:
        loop, interface = Loop(), _interface(None)
        interface.addresses = []
        lans = _lan(interface, loop)
        lans.follow()
        assert output.text() == ""
        _served6(interface, "::1")
        lans.follow()  # at the start there is nobody whom several changes would disturb
        assert "serving lo on ::1 port %d\n" % PORT in output.text()
        client = socket.socket(AF_INET6, socket.SOCK_DGRAM)
        client.setblocking(False)
        client.sendto(b"M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\n\r\n", address("::1", ssdp.PORT))
        assert _heard(client, loop) == []
        clock.ms += ssdp.ANSWER_MS
        answers = _heard(client, loop)
        assert len(answers) == len(DEVICE.targets())
        for answer in answers:
            assert b"\r\nLOCATION: http://[::1]:%d/" % PORT in answer and b"\r\n01-NLS: " in answer
        stream = socket.socket(AF_INET6, socket.SOCK_STREAM)
        stream.connect(address("::1", PORT))
        stream.send(b"GET /rootDesc.xml HTTP/1.1\r\nHost: [::1]:%d\r\n\r\n" % PORT)
        assert _all_of(stream, loop).endswith(DEVICE.document(1, "http://[::1]/"))
        for addresses in (("::1", "fd00::2"), ("::1", "fd00::1")):
            _served6(interface, *addresses)
            lans.follow()
            clock.ms += 499
            take_turns(loop)
        assert "fd00::1" not in output.text()  # more may come
        clock.ms += 2
        take_turns(loop)
        assert "serving lo on fd00::1 port %d\n" % PORT in output.text() and "fd00::2" not in output.text()
        interface.addresses6 = []
        lans.follow()
        clock.ms += 1000
        take_turns(loop)
        stream = socket.socket(AF_INET6, socket.SOCK_STREAM)
        try:
            stream.connect(address("::1", PORT))
            raise AssertionError("it is served on an interface without an address")
        except OSError as error:
            assert error.errno == errno.ECONNREFUSED
        lans.close()
        stream.close()
        client.close()


def test_each_host_is_told_an_address_of_the_kind_that_it_has():
    with Output(log):
        loop, interface = Loop(), _interface(None)
        lan = _lan(interface, loop)._lans[1]
        for addresses, expected in (
                (("fe80::1", "2a00:11:0:1::1"), (("ff02::c", "[fe80::1]"), ("ff05::c", "[2a00:11:0:1::1]"))),
                (("2a00:11:0:1::1", "fe80::1", "fd00::1"), (("ff02::c", "[fe80::1]"), ("ff05::c", "[fd00::1]"))),
                (("fe80::1",), (("ff02::c", "[fe80::1]"),)), (("fd00::1",), (("ff05::c", "[fd00::1]"),))):
            _served6(interface, *addresses)
            lan._responders = [lan._responder(DEVICE.targets(), one) for one in interface.served6]
            found = [(group, responder._locations[1]) for responder, group in lan._responders]
            assert found == [((group, 1900), "http://%s:%d/rootDesc.xml" % (host, PORT)) for group, host in expected]
            for peer, index in (("fe80::2", 0), ("2a00:11:0:1::2", -1), ("fd00::2", -1)):
                assert lan._responder_for(peer) is lan._responders[index][0]


def _boot_ids(datagrams):
    return set([one.partition(b"\r\nBOOTID.UPNP.ORG: ")[2].partition(b"\r\n")[0] for one in datagrams])


def test_the_networks_are_told_of_each_other():
    """UDA 1.1 1.2.4: a change of one network is a new life of the device, and the others hear that it is coming."""
    if lacks_multicast():
        return
    count = len(DEVICE.targets())
    with Clock() as clock, Output(log):
        loop, member, first, second = Loop(), _member(), _interface(), _interface("127.0.0.2")
        second.is_up = False
        lans = _lans([first, second], loop)
        lans.follow()
        heard = _heard(member, loop)
        assert _kinds(heard) == "b" * count + "a" * count
        (boot_id,) = _boot_ids(heard)
        clock.ms += 250
        assert _boot_ids(_heard(member, loop)) == set([boot_id])
        second.is_up = True
        lans.follow()
        heard = _heard(member, loop)
        first_ones = [one for one in heard[count:] if b"\r\nLOCATION: http://127.0.0.1:" in one]
        others = [one for one in heard[count:] if one not in first_ones]  # in turns: a few of each
        assert _kinds(heard[:count]) == "u" * count
        assert (_kinds(first_ones), _kinds(others)) == ("a" * count, "b" * count + "a" * count)
        assert _boot_ids(heard[:count]) == set([boot_id])
        next_id = b"%d" % (int(boot_id.decode()) + 1)
        for one in heard[:count]:
            assert b"\r\nNEXTBOOTID.UPNP.ORG: %s\r\n" % next_id in one and b"http://127.0.0.1:" in one
        assert _boot_ids(heard[count:]) == set([next_id])
        for one in others[count:]:
            assert b"\r\nLOCATION: http://127.0.0.2:" in one
        clock.ms += 250
        assert _kinds(_heard(member, loop)) == "a" * 2 * count
        second.clear()  # gone: nobody's life changes
        lans.follow()
        assert _kinds(_heard(member, loop)) == "b" * count
        lans.follow()
        assert _heard(member, loop) == []
        lans.close()
        assert _boot_ids(_heard(member, loop)) == set([next_id])
        member.close()


def test_an_interface_that_was_made_again_is_served_anew():
    """It may have its old address before anybody looked: the sockets are bound to what is gone."""
    if lacks_multicast():
        return
    with Output(log) as output:
        loop, interface = Loop(), _interface()
        lans = _lan(interface, loop)
        lans.follow()
        interface.index = 7
        lans.follow()
        lans.follow()
        lans.close()
    assert output.text().count("serving lo on ") == 2


def test_what_cannot_be_served_is_tried_again():
    if lacks_multicast():
        return
    with Clock() as clock, Output(log) as output:
        loop = Loop()
        taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address("127.0.0.1", PORT))
        taken.listen(1)
        lan = _lan(_interface(), loop)
        lan.follow()
        assert "is another UPnP daemon running?" in output.text()
        assert "serving lo on" not in output.text()
        clock.ms += 4999
        loop.turn(0)
        taken.close()
        assert "serving lo on" not in output.text()
        clock.ms += 1
        loop.turn(0)
        assert "serving lo on 127.0.0.1" in output.text()
        lan.close()
        clock.ms += 100000
        loop.turn(0)
    assert output.text().count("serving lo on ") == 1


def test_an_interface_that_goes_while_it_waits_is_left_alone():
    with Clock() as clock, Output(log) as output:
        loop, interface = Loop(), _interface()
        interface.name = "gone0"
        lan = _lan(interface, loop)
        lan.follow()
        interface.clear()
        lan.follow()
        clock.ms += 5000
        loop.turn(0)
        lan.close()
    assert output.text().count("\n") == 1


def test_subscribers_are_counted_on_all_networks():
    lans = _lans([_interface(), _interface(), _interface(None)], Loop())
    assert lans.count_subscribers() == 0

    class _Events:
        def count_subscribers(self):
            return 3

    for lan in lans._lans[:2]:
        lan._events = _Events()
    assert lans.count_subscribers() == 6
