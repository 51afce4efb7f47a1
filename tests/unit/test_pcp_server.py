"""miniigd.pcp_server: each opcode of PCP with every result that it can have, and what the answers say."""

import struct

from helpers import HOST, HOST6, OTHER, Output, damaged, make_gateway, make_gateway6
from miniigd import log, pcp
from miniigd.addresses import ip6_bytes
from miniigd.dynamic import MOST_HOSTS, Dynamic
from miniigd.errors import FirewallError
from miniigd.interfaces import Interface
from miniigd.pcp_server import Server
from miniigd.rules import Rule

NOW = 298  # the epoch began in second 40
EPOCH = 258
NONCE, NONCE_2 = b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c", b"\xff" * 12
REMOTE = "11.0.0.1"
RAW6, STRANGER6 = ip6_bytes(HOST6), ip6_bytes("2001:db8:9::1")
ANY = pcp.ip4_mapped("0.0.0.0")
EXTERNAL = pcp.ip4_mapped("81.2.69.160")
PREFER_FAILURE = b"\x02\0\0\0"


def _head(opcode, lifetime, client=HOST):
    return struct.pack(">BBHI", 2, opcode, 0, lifetime) + pcp.ip4_mapped(client)


def _map(lifetime=3600, nonce=NONCE, protocol=6, port=8000, asked=0, address=ANY, options=b"", client=HOST):
    return _head(1, lifetime, client) + nonce + struct.pack(">BBHHH", protocol, 0, 0, port, asked) + address + options


def _peer(lifetime=3600, nonce=NONCE, protocol=17, port=8000, remote_port=5060, remote=pcp.ip4_mapped(REMOTE),
          options=b""):
    return _head(2, lifetime) + nonce + struct.pack(">BBHHH", protocol, 0, 0, port, 0) + ANY + struct.pack(
        ">HH", remote_port, 0) + remote + options


def _filter(host=REMOTE, length=128, port=0):
    return struct.pack(">BBHBBH", 3, 0, 20, 0, length, port) + (host if len(host) == 16 else pcp.ip4_mapped(host))


def _third_party(host=OTHER):
    return b"\x01\0\0\x10" + (host if len(host) == 16 else pcp.ip4_mapped(host))


def _server(allows_third_party=False, **named):
    gateway = make_gateway(**named)
    lan = Interface("lan")
    lan.addresses = [("192.168.1.1", 24)]
    gateway.policy._lans = gateway.policy._own = [lan]
    return Server(Dynamic(gateway, 40), allows_third_party)


def _gateway(server):
    return server._dynamic.gateway


def _answer(server, datagram, source=HOST, now=NOW):
    with Output(log):
        return server.answer(datagram, source if len(source) == 16 else pcp.ip4_mapped(source), now)


def _result(server, datagram, source=HOST, now=NOW):
    """Return (result, lifetime, external port) of the answer."""
    answer = _answer(server, datagram, source, now)
    assert answer[:2] == bytes([2, 128 | datagram[1]]) and len(answer) % 4 == 0
    assert struct.unpack(">I", answer[8:12])[0] == now - 40
    return answer[3], struct.unpack(">I", answer[4:8])[0], struct.unpack(">H", answer[42:44])[0] if len(
        answer) > 44 else None


def _rows(server):
    return [(one.remote_host, one.protocol, one.external_port, one.internal_client, one.internal_port)
            for one in _gateway(server).table]


def test_an_announce_is_answered():
    for server in (_server(), _server(address=None)):
        answer = b"\x02\x80\0\0" + bytes(4) + struct.pack(">I", EPOCH) + bytes(12)
        assert _answer(server, _head(0, 0)) == answer == server.announcement(NOW)


def test_a_mapping():
    server = _server()
    request = _map(asked=9000, options=PREFER_FAILURE)
    assert _answer(server, request) == struct.pack(">BBHII", 2, 129, 0, 3600, EPOCH) + bytes(12) + request[
        24:44] + EXTERNAL + PREFER_FAILURE
    assert _rows(server) == [("", "TCP", 9000, HOST, 8000)]
    assert [one.description for one in _gateway(server).table] == ["PCP MAP 0102030405060708090a0b0c"]
    # under another suggestion it is the same
    assert _result(server, _map(7200, asked=9001), now=400) == (0, 7200, 9000)


def test_lifetimes():
    for asked, granted in ((1, 120), (119, 120), (120, 120), (7200, 7200), (86400, 86400), (86401, 86400),
                           (0xFFFFFFFF, 86400)):
        assert _result(_server(), _map(asked)) == (0, granted, 8000)
        assert _result(_server(), _peer(asked)) == (0, granted, 8000)


def test_one_is_deleted():
    server = _server()
    _answer(server, _map(protocol=17)), _answer(server, _map()), _answer(server, _map(client=OTHER), OTHER)
    for _ in range(2):  # what is not there is deleted too
        request = _map(0)
        answer = struct.pack(">BBHII", 2, 129, 0, 0, EPOCH) + bytes(12) + request[24:]
        assert _answer(server, request) == answer
        assert _rows(server) == [("", "UDP", 8000, HOST, 8000), ("", "TCP", 8001, OTHER, 8000)]


def test_all_are_deleted():
    server = _server()
    for protocol in (6, 17):
        for port in (8000, 8001):
            _answer(server, _map(protocol=protocol, port=port))
    assert _result(server, _map(0, protocol=6, port=0))[:2] == (0, 0)
    assert [row[1] for row in _rows(server)] == ["UDP", "UDP"]
    _answer(server, _map(client=OTHER), OTHER)
    assert _result(server, _map(0, protocol=0, port=8000))[:2] == (0, 0)  # the port means nothing then
    assert [row[3] for row in _rows(server)] == [OTHER]


def test_filters():
    server = _server()
    options = _filter() + _filter("11.0.0.2")
    assert _answer(server, _map(options=options))[60:] == options
    assert _rows(server) == [(host, "TCP", 8000, HOST, 8000) for host in (REMOTE, "11.0.0.2")]
    assert _result(server, _map(options=_filter("0.0.0.0", 0) + _filter("11.0.0.3"))) == (0, 3600, 8000)
    assert _rows(server) == [("11.0.0.3", "TCP", 8000, HOST, 8000)]
    assert _result(server, _map(options=_filter(bytes(16), 0))) == (0, 3600, 8000)
    assert _rows(server) == [("", "TCP", 8000, HOST, 8000)]


def test_a_third_party_where_that_is_allowed():
    server = _server(True)
    request = _map(options=_third_party())
    assert _result(server, request) == (0, 3600, 8000)
    assert _answer(server, request)[60:] == _third_party()
    assert _rows(server) == [("", "TCP", 8000, OTHER, 8000)]
    assert _result(server, _peer(options=_third_party())) == (0, 3600, 8000)
    assert _result(server, _map(0, options=_third_party()))[:2] == (0, 0)
    assert [row[0] for row in _rows(server)] == [REMOTE]
    # the log has who asked
    with Output(log) as output:
        server.answer(request, pcp.ip4_mapped(HOST), NOW)
    assert "opened TCP 8000 -> 192.168.1.3:8000 for 3600 s by 192.168.1.2: PCP MAP\n" in output.text()


def test_a_peer():
    server = _server()
    request = _peer()
    assert _answer(server, request) == struct.pack(">BBHII", 2, 130, 0, 3600, EPOCH) + bytes(12) + request[
        24:42] + struct.pack(">H", 8000) + EXTERNAL + request[60:]
    assert _rows(server) == [(REMOTE, "UDP", 8000, HOST, 8000)]
    assert _result(server, _peer(0)) == (0, 0, 8000)
    assert _rows(server) == []


def _is_plain(server):
    pass


def _has_one(server):
    assert _result(server, _map(nonce=NONCE_2))[0] == 0


def _has_peer(server):
    assert _result(server, _peer(nonce=NONCE_2))[0] == 0


def _is_another_s(server):
    for protocol in (6, 17):
        assert _result(server, _map(protocol=protocol, client=OTHER), OTHER)[0] == 0


def _is_paused(server):
    _gateway(server).is_paused = True


def _has_no_address(server):
    _gateway(server).wan.address = None


def _is_full(server):
    _gateway(server).table._most = 0


def _has_enough(server):
    _gateway(server).table._counts[HOST] = 1000


def _fails(server):
    _gateway(server).firewall.failure = FirewallError("no")


def _is_closed(server):
    _gateway(server).policy.rules = [Rule(False)]


def _allows_third_party(server):
    server._allows_third_party = True


LONG, SHORT = 1800, 30  # seconds, RFC 6887 7.4

# (opcode, result, lifetime, what the server is, the request)
CASES = (
    (0, pcp.SUCCESS, 0, _is_plain, _head(0, 0)),
    (0, pcp.UNSUPP_VERSION, LONG, _is_plain, b"\x01" + _head(0, 0)[1:]),
    (0, pcp.MALFORMED_REQUEST, LONG, _is_plain, _head(0, 0)[:20]),
    (0, pcp.UNSUPP_OPTION, LONG, _is_plain, _head(0, 0) + _filter()),
    (0, pcp.MALFORMED_OPTION, LONG, _is_plain, _head(0, 0) + b"\x80\0\0\x08"),
    (0, pcp.ADDRESS_MISMATCH, LONG, _is_plain, _head(0, 0, OTHER)),
    (1, pcp.SUCCESS, 3600, _is_plain, _map()),
    (1, pcp.UNSUPP_VERSION, LONG, _is_plain, b"\x01" + _map()[1:]),
    (1, pcp.NOT_AUTHORIZED, 3600, _has_one, _map()),
    (1, pcp.NOT_AUTHORIZED, 3600, _has_one, _map(0)),
    (1, pcp.NOT_AUTHORIZED, LONG, _is_closed, _map()),
    (1, pcp.NOT_AUTHORIZED, LONG, _is_paused, _map()),
    (1, pcp.NOT_AUTHORIZED, LONG, _is_plain, _map(port=80)),
    (1, pcp.NOT_AUTHORIZED, LONG, _is_plain, _map(port=0)),
    (1, pcp.NOT_AUTHORIZED, LONG, _allows_third_party, _map(options=_third_party("11.0.0.1"))),
    (1, pcp.NOT_AUTHORIZED, LONG, _allows_third_party, _map(options=_third_party("192.168.1.1"))),
    (1, pcp.NOT_AUTHORIZED, LONG, _allows_third_party, _map(options=_third_party(RAW6))),
    (1, pcp.MALFORMED_REQUEST, LONG, _is_plain, _map()[:56]),
    (1, pcp.MALFORMED_REQUEST, LONG, _allows_third_party, _map(options=_third_party(HOST))),
    (1, pcp.UNSUPP_OPTION, LONG, _is_plain, _map(options=b"\x04\0\0\0")),
    (1, pcp.UNSUPP_OPTION, LONG, _is_plain, _map(options=_third_party())),
    (1, pcp.MALFORMED_OPTION, LONG, _is_plain, _map(options=PREFER_FAILURE * 2)),
    (1, pcp.MALFORMED_OPTION, LONG, _is_plain, _map(options=_filter(length=95))),
    (1, pcp.MALFORMED_OPTION, LONG, _is_plain, _map(options=_filter(RAW6))),
    (1, pcp.NETWORK_FAILURE, SHORT, _has_no_address, _map()),
    (1, pcp.NO_RESOURCES, SHORT, _is_full, _map()),
    (1, pcp.NO_RESOURCES, SHORT, _fails, _map()),
    (1, pcp.UNSUPP_PROTOCOL, LONG, _is_plain, _map(protocol=132)),
    (1, pcp.UNSUPP_PROTOCOL, LONG, _is_plain, _map(protocol=0, port=0)),
    (1, pcp.UNSUPP_PROTOCOL, LONG, _is_plain, _map(0, protocol=132)),
    (1, pcp.USER_EX_QUOTA, SHORT, _has_enough, _map()),
    (1, pcp.CANNOT_PROVIDE_EXTERNAL, SHORT, _is_another_s, _map(asked=8000, options=PREFER_FAILURE)),
    (1, pcp.CANNOT_PROVIDE_EXTERNAL, SHORT, _is_plain,
     _map(asked=8000, address=pcp.ip4_mapped("81.2.69.161"), options=PREFER_FAILURE)),
    (1, pcp.ADDRESS_MISMATCH, LONG, _is_plain, _map(client=OTHER)),
    (1, pcp.EXCESSIVE_REMOTE_PEERS, LONG, _is_plain, _map(options=_filter(port=80))),
    (1, pcp.EXCESSIVE_REMOTE_PEERS, LONG, _is_plain, _map(options=_filter(length=120))),
    (1, pcp.EXCESSIVE_REMOTE_PEERS, LONG, _is_plain, _map(options=_filter(length=96))),
    (1, pcp.EXCESSIVE_REMOTE_PEERS, LONG, _is_plain, _map(options=b"".join(
        [_filter("11.0.0.%d" % number) for number in range(MOST_HOSTS + 1)]))),
    (2, pcp.SUCCESS, 3600, _is_plain, _peer()),
    (2, pcp.UNSUPP_VERSION, LONG, _is_plain, b"\x03" + _peer()[1:]),
    (2, pcp.NOT_AUTHORIZED, 3600, _has_peer, _peer()),
    (2, pcp.NOT_AUTHORIZED, LONG, _is_closed, _peer()),
    (2, pcp.NOT_AUTHORIZED, LONG, _is_paused, _peer()),
    (2, pcp.MALFORMED_REQUEST, LONG, _is_plain, _peer()[:76]),
    (2, pcp.MALFORMED_REQUEST, LONG, _is_plain, _peer(protocol=0)),
    (2, pcp.MALFORMED_REQUEST, LONG, _is_plain, _peer(port=0)),
    (2, pcp.MALFORMED_REQUEST, LONG, _is_plain, _peer(remote_port=0)),
    (2, pcp.MALFORMED_REQUEST, LONG, _is_plain, _peer(remote=ANY)),
    (2, pcp.UNSUPP_OPTION, LONG, _is_plain, _peer(options=PREFER_FAILURE)),
    (2, pcp.UNSUPP_OPTION, LONG, _is_plain, _peer(options=_third_party())),
    (2, pcp.MALFORMED_OPTION, LONG, _is_plain, _peer(options=b"\x01\0\0\x04abcd")),
    (2, pcp.NETWORK_FAILURE, SHORT, _has_no_address, _peer()),
    (2, pcp.NO_RESOURCES, SHORT, _is_full, _peer()),
    (2, pcp.UNSUPP_PROTOCOL, LONG, _is_plain, _peer(protocol=132)),
    (2, pcp.USER_EX_QUOTA, SHORT, _has_enough, _peer()),
    (2, pcp.CANNOT_PROVIDE_EXTERNAL, SHORT, _is_another_s, _peer()),
    (2, pcp.CANNOT_PROVIDE_EXTERNAL, SHORT, _is_plain, _peer(remote=RAW6)),
    (2, pcp.ADDRESS_MISMATCH, LONG, _is_plain, _peer()[:8] + pcp.ip4_mapped(OTHER) + _peer()[24:]),
    (3, pcp.UNSUPP_OPCODE, LONG, _is_plain, b"\x02\x03" + _map()[2:]),
    (127, pcp.UNSUPP_OPCODE, LONG, _is_plain, b"\x02\x7f" + _map()[2:]),
)


def test_every_result():
    for opcode, result, lifetime, prepare, datagram in CASES:
        server = _server()
        prepare(server)
        before = len(_gateway(server).table)
        assert datagram[1] == opcode
        found = _result(server, datagram)
        assert found[:2] == (result, lifetime), (opcode, result, datagram)
        assert len(_gateway(server).table) == before + (result == 0 and opcode > 0)
        if result and result != pcp.UNSUPP_VERSION:  # all of the request is there
            assert _answer(server, datagram)[24:24 + len(datagram) - 24] == datagram[24:]


def _server6():
    return Server(Dynamic(make_gateway6(), 40), True)


def _from6(datagram, client=RAW6):
    """Return the request as an IPv6 host sends it."""
    return datagram[:8] + client + datagram[24:]


def _pinholes(server):
    return [(one.remote_host, one.remote_port, one.protocol, one.internal_client, one.internal_port)
            for one in _gateway(server).pinholes.table]


def test_an_ipv6_host_has_its_own_address_and_port():
    server = _server6()
    request = _from6(_map(asked=9000, address=bytes(16), options=_filter(STRANGER6, port=77)))
    assert _answer(server, request, RAW6) == struct.pack(">BBHII", 2, 129, 0, 3600, EPOCH) + bytes(12) + request[
        24:42] + struct.pack(">H", 8000) + RAW6 + request[60:]
    assert _pinholes(server) == [("2001:db8:9::1", 77, "TCP", HOST6, 8000)] and _rows(server) == []
    answer = _answer(server, _from6(_peer(remote=STRANGER6)), RAW6)
    assert answer[3] == 0 and answer[42:60] == struct.pack(">H", 8000) + RAW6
    assert _pinholes(server)[1:] == [("2001:db8:9::1", 5060, "UDP", HOST6, 8000)]
    assert _result(server, _from6(_map(0)), RAW6)[:2] == (0, 0)
    assert _result(server, _from6(_peer(0, remote=STRANGER6)), RAW6)[:2] == (0, 0)
    assert _pinholes(server) == []


def test_what_ipv6_hosts_are_refused():
    for datagram, result in (
            (_map(port=80), pcp.NOT_AUTHORIZED), (_map(protocol=132), pcp.UNSUPP_PROTOCOL),
            (_map(port=0), pcp.NOT_AUTHORIZED), (_map(asked=9000, options=PREFER_FAILURE), pcp.CANNOT_PROVIDE_EXTERNAL),
            (_map(address=STRANGER6, options=PREFER_FAILURE), pcp.CANNOT_PROVIDE_EXTERNAL),
            (_map(options=_filter()), pcp.MALFORMED_OPTION),
            (_map(options=_filter(STRANGER6, 64)), pcp.EXCESSIVE_REMOTE_PEERS),
            (_peer(), pcp.CANNOT_PROVIDE_EXTERNAL), (_peer(port=80, remote=STRANGER6), pcp.NOT_AUTHORIZED),
            (_map(options=_third_party()), pcp.NOT_AUTHORIZED),
            (_map(options=_third_party(STRANGER6)), pcp.NOT_AUTHORIZED)):
        server = _server6()
        assert _result(server, _from6(datagram), RAW6)[0] == result, datagram
        assert _pinholes(server) == _rows(server) == []
    link_local = ip6_bytes("fe80::2")  # nobody on the Internet reaches that
    assert _result(_server6(), _from6(_map(), link_local), link_local)[0] == pcp.NOT_AUTHORIZED
    assert _result(_server6(), _from6(_map(), STRANGER6), RAW6)[0] == pcp.ADDRESS_MISMATCH


def test_what_is_met_with_silence():
    for datagram in (b"", b"\x02", b"\x02\x80" + bytes(22), b"\x02\x81" + _map()[2:]):
        assert _answer(_server(), datagram) is None


def test_nothing_escapes():
    for source, request in ((HOST, _map(options=_filter() + PREFER_FAILURE)), (HOST, _peer(options=_third_party())),
                            (RAW6, _from6(_map(options=_filter(STRANGER6)))), (RAW6, _from6(_peer(remote=STRANGER6)))):
        server = _server(True) if source == HOST else _server6()
        for datagram in damaged(request):
            answer = _answer(server, datagram, source)
            assert answer is None or answer[0] == 2 and answer[1] & 128 and len(answer) >= 24


def test_a_refusal_is_in_the_log():
    with Output(log) as output:
        _server().answer(_map(options=_third_party()), pcp.ip4_mapped(HOST), NOW)
    assert output.text() == "miniigd: warning: refused PCP to 192.168.1.2: hosts open ports to themselves only\n"
