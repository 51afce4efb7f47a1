"""miniigd.natpmp: RFC 6886's messages, byte by byte as its figures draw them, and every result code."""

import struct

from helpers import HOST, OTHER, Output, damaged, make_gateway
from miniigd import log, natpmp
from miniigd.dynamic import Dynamic
from miniigd.errors import FirewallError
from miniigd.policy import Policy
from miniigd.rules import Rule

NOW = 298  # the epoch began in second 40: 258 is 0x102
EPOCH = b"\0\0\x01\x02"
ADDRESS = b"\0\0"
# 3.3: version, opcode, reserved, internal port, suggested external port, lifetime
MAP_TCP = b"\0\x02\0\0" b"\x1f\x40\x1f\x41" b"\0\0\x0e\x10"
MAP_UDP = b"\0\x01\0\0" b"\x1f\x40\x1f\x41" b"\0\0\x0e\x10"
NONE = b"\x1f\x40\0\0\0\0\0\0"  # the end of an answer: the internal port, and nothing granted


def _server(**named):
    return natpmp.Server(Dynamic(make_gateway(**named), 40))


def _gateway(server):
    return server._dynamic.gateway


def _answer(server, datagram, caller=HOST, now=NOW):
    with Output(log):
        return server.answer(datagram, caller, now)


def _rows(server):
    return [(one.protocol, one.external_port, one.internal_client, one.internal_port, one.expires - NOW)
            for one in _gateway(server).table]


def test_the_external_address():
    assert _answer(_server(), ADDRESS) == b"\0\x80\0\0" + EPOCH + b"\x51\x02\x45\xa0"
    assert _answer(_server(), ADDRESS + bytes(20)) == b"\0\x80\0\0" + EPOCH + b"\x51\x02\x45\xa0"


def test_a_mapping():
    server = _server()
    assert _answer(server, MAP_TCP) == b"\0\x82\0\0" + EPOCH + b"\x1f\x40\x1f\x41" b"\0\0\x0e\x10"
    assert _answer(server, MAP_UDP) == b"\0\x81\0\0" + EPOCH + b"\x1f\x40\x1f\x41" b"\0\0\x0e\x10"
    assert _rows(server) == [("TCP", 8001, HOST, 8000, 3600), ("UDP", 8001, HOST, 8000, 3600)]
    # longer than it should be: nothing of what is behind it matters
    assert _answer(server, MAP_UDP + b"x") == b"\0\x81\0\0" + EPOCH + b"\x1f\x40\x1f\x41" b"\0\0\x0e\x10"


def test_a_port_that_is_taken_has_another_in_its_place():
    server = _server()
    _answer(server, MAP_TCP, OTHER)
    assert _answer(server, MAP_TCP) == b"\0\x82\0\0" + EPOCH + b"\x1f\x40\x1f\x42" b"\0\0\x0e\x10"


def test_lifetimes():
    for asked, granted in ((1, 1), (60, 60), (7200, 7200), (86400, 86400), (86401, 86400), (3600000, 86400),
                           (0xFFFFFFFF, 86400)):
        server = _server()
        answer = _answer(server, MAP_TCP[:8] + struct.pack(">I", asked))
        assert struct.unpack(">I", answer[12:])[0] == granted
        assert _rows(server)[0][4] == granted


def test_one_is_deleted():
    server = _server()
    _answer(server, MAP_TCP), _answer(server, MAP_UDP), _answer(server, MAP_TCP, OTHER)
    # the suggested external port means nothing
    for suggested in (b"\0\0", b"\x1f\x41"):
        assert _answer(server, b"\0\x02\0\0\x1f\x40" + suggested + bytes(4)) == b"\0\x82\0\0" + EPOCH + NONE
        assert _rows(server) == [("UDP", 8001, HOST, 8000, 3600), ("TCP", 8002, OTHER, 8000, 3600)]


def test_all_of_a_protocol_are_deleted():
    server = _server()
    for port in (b"\x1f\x40", b"\x1f\x44"):
        for head in (b"\0\x01", b"\0\x02"):
            _answer(server, head + b"\0\0" + port + port + b"\0\0\x0e\x10")
    assert _answer(server, b"\0\x01" + bytes(10)) == b"\0\x81\0\0" + EPOCH + bytes(8)
    assert [row[:2] for row in _rows(server)] == [("TCP", 8000), ("TCP", 8004)]
    assert _answer(server, b"\0\x02" + bytes(10)) == b"\0\x82\0\0" + EPOCH + bytes(8)
    assert _rows(server) == []


def _is_plain(server):
    pass


def _is_paused(server):
    _gateway(server).is_paused = True


def _has_no_address(server):
    _gateway(server).wan.address = None


def _is_full(server):
    _gateway(server).table._most = 0


def _fails(server):
    _gateway(server).firewall.failure = FirewallError("no")


def _fails_with_one(server):
    _answer(server, MAP_TCP)
    _fails(server)


def _is_closed(server):
    _gateway(server).policy = Policy([Rule(False)])


# (opcode, result, what the server is, the request, the end of the answer)
CASES = (
    (0, natpmp.SUCCESS, _is_plain, ADDRESS, b"\x51\x02\x45\xa0"),
    (0, natpmp.SUCCESS, _is_paused, ADDRESS, b"\x51\x02\x45\xa0"),
    (0, natpmp.UNSUPPORTED_VERSION, _is_plain, b"\x01\0", b""),
    (0, natpmp.NETWORK_FAILURE, _has_no_address, ADDRESS, bytes(4)),
    (1, natpmp.SUCCESS, _is_plain, MAP_UDP, MAP_UDP[4:]),
    (1, natpmp.UNSUPPORTED_VERSION, _is_plain, b"\x02" + MAP_UDP[1:], b""),
    (1, natpmp.NOT_AUTHORIZED, _is_closed, MAP_UDP, NONE),
    (1, natpmp.NOT_AUTHORIZED, _is_paused, MAP_UDP, NONE),
    (1, natpmp.NETWORK_FAILURE, _has_no_address, MAP_UDP, NONE),
    (1, natpmp.OUT_OF_RESOURCES, _is_full, MAP_UDP, NONE),
    (2, natpmp.SUCCESS, _is_plain, MAP_TCP, MAP_TCP[4:]),
    (2, natpmp.UNSUPPORTED_VERSION, _is_plain, b"\xff" + MAP_TCP[1:], b""),
    (2, natpmp.NOT_AUTHORIZED, _is_closed, MAP_TCP, NONE),
    (2, natpmp.NOT_AUTHORIZED, _is_paused, MAP_TCP, NONE),
    (2, natpmp.NOT_AUTHORIZED, _is_plain, b"\0\x02\0\0\0\x50" + MAP_TCP[6:], b"\0\x50\0\0\0\0\0\0"),
    (2, natpmp.NOT_AUTHORIZED, _is_plain, b"\0\x02\0\0\0\0" + MAP_TCP[6:], bytes(8)),  # every port
    (2, natpmp.NETWORK_FAILURE, _has_no_address, MAP_TCP, NONE),
    (2, natpmp.OUT_OF_RESOURCES, _is_full, MAP_TCP, NONE),
    (2, natpmp.OUT_OF_RESOURCES, _fails, MAP_TCP, NONE),
    (2, natpmp.OUT_OF_RESOURCES, _fails_with_one, MAP_TCP[:8] + bytes(4), NONE),
    (3, natpmp.UNSUPPORTED_OPCODE, _is_plain, b"\0\x03", b""),
    (3, natpmp.UNSUPPORTED_VERSION, _is_plain, b"\x01\x03", b""),
    (127, natpmp.UNSUPPORTED_OPCODE, _is_plain, b"\0\x7f" + bytes(60), b""),
)


def test_the_numbers_of_the_results():
    assert (natpmp.SUCCESS, natpmp.UNSUPPORTED_VERSION, natpmp.NOT_AUTHORIZED, natpmp.NETWORK_FAILURE,
            natpmp.OUT_OF_RESOURCES, natpmp.UNSUPPORTED_OPCODE) == (0, 1, 2, 3, 4, 5)


def test_every_result():
    for opcode, result, prepare, datagram, end in CASES:
        server = _server()
        prepare(server)
        assert _answer(server, datagram) == bytes([0, 128 | opcode, 0, result]) + EPOCH + end, datagram


def test_a_private_address_is_a_failure_of_the_network():
    assert _answer(_server(address="10.0.0.2"), ADDRESS) == b"\0\x80\0\x03" + EPOCH + bytes(4)
    assert _answer(_server(address="10.0.0.2"), MAP_TCP) == b"\0\x82\0\x03" + EPOCH + NONE
    assert _answer(_server(address="10.0.0.2", allows_private=True), ADDRESS)[8:] == b"\x0a\0\0\x02"


def test_what_is_met_with_silence():
    server = _server()
    for datagram in (b"", b"\0", b"\0\x80", b"\x01\xff", b"\0\x82\0\0" + bytes(12), MAP_TCP[:11], MAP_UDP[:2]):
        assert _answer(server, datagram) is None


def test_nothing_escapes():
    server = _server()
    for datagram in damaged(MAP_TCP):
        answer = _answer(server, datagram)
        assert answer is None or answer[0] == 0 and answer[1] & 128 and len(answer) in (8, 12, 16)


def test_the_announcement():
    server = _server()
    assert server.announcement(NOW) == b"\0\x80\0\0" + EPOCH + b"\x51\x02\x45\xa0"
    _has_no_address(server)
    assert server.announcement(NOW) is None


def test_a_refusal_is_in_the_log():
    server = _server()
    _is_paused(server)
    with Output(log) as output:
        server.answer(MAP_TCP, HOST, NOW)
    assert output.text() == "miniigd: warning: refused NAT-PMP TCP 8000 to 192.168.1.2: paused by the administrator\n"
