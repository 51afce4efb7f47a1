"""miniigd.pcp: RFC 6887's messages, byte by byte as its figures draw them, and what is wrong with others."""

from helpers import damaged, raised
from miniigd import pcp
from miniigd.errors import PCPError

CLIENT = b"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\xa8\x01\x02"  # ::ffff:192.168.1.2
IPV6 = b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"  # 2001:db8::2
ANY = b"\0\0\0\0\0\0\0\0\0\0\xff\xff\0\0\0\0"
EXTERNAL = b"\0\0\0\0\0\0\0\0\0\0\xff\xff\x51\x02\x45\xa0"  # ::ffff:81.2.69.160
REMOTE = b"\0\0\0\0\0\0\0\0\0\0\xff\xff\x0b\0\0\x01"  # ::ffff:11.0.0.1
NONCE = b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c"

# Figure 2: version, R and opcode, reserved, requested lifetime, client's address
ANNOUNCE = b"\x02\x00\0\0" b"\0\0\0\0" + CLIENT
MAP_HEADER = b"\x02\x01\0\0" b"\0\0\x0e\x10" + CLIENT
PEER_HEADER = b"\x02\x02\0\0" b"\0\0\x0e\x10" + CLIENT
# Figure 9: nonce, protocol, reserved, internal port, suggested external port and address
MAP_BODY = NONCE + b"\x06\0\0\0" b"\x1f\x40\x1f\x41" + ANY
# Figure 11: the same, then the remote peer's port, reserved, its address
PEER_BODY = NONCE + b"\x11\0\0\0" b"\x1f\x40\x1f\x41" + ANY + b"\x13\xc4\0\0" + REMOTE
MAP = MAP_HEADER + MAP_BODY
PEER = PEER_HEADER + PEER_BODY
# Figures 13, 14, 15: code, reserved, length, data
THIRD_PARTY = b"\x01\0\0\x10" + IPV6
PREFER_FAILURE = b"\x02\0\0\0"
FILTER = b"\x03\0\0\x14" b"\0\x80\0\0" + REMOTE
OPTIONAL = b"\x80\0\0\x05" b"abcde\0\0\0"


def _code(datagram):
    return raised(PCPError, pcp.parse, datagram).code


def test_an_announce():
    request = pcp.parse(ANNOUNCE)
    assert (request.opcode, request.lifetime, request.client) == (pcp.ANNOUNCE, 0, CLIENT)
    assert request.nonce is request.protocol is request.remote_port is None and request.options == b""


def test_a_map():
    request = pcp.parse(MAP)
    assert (request.opcode, request.lifetime, request.client) == (pcp.MAP, 3600, CLIENT)
    assert (request.nonce, request.nonce_text) == (NONCE, "0102030405060708090a0b0c")
    assert (request.protocol, request.internal_port, request.external_port) == (6, 8000, 8001)
    assert request.external_address == ANY and request.remote_port is request.third_party is None
    assert not request.prefers_failure and request.filters == []


def test_a_peer():
    request = pcp.parse(PEER)
    assert (request.opcode, request.protocol, request.internal_port, request.external_port) == (2, 17, 8000, 8001)
    assert (request.remote_port, request.remote_address) == (5060, REMOTE)
    assert (request.nonce, request.external_address) == (NONCE, ANY)


def test_the_options():
    request = pcp.parse(MAP + FILTER + THIRD_PARTY + OPTIONAL + PREFER_FAILURE + FILTER.replace(b"\x80", b"\0"))
    assert request.third_party == IPV6 and request.prefers_failure
    assert request.filters == [(128, 0, REMOTE), (0, 0, REMOTE)]
    # what may be ignored and is, is not in the answer
    assert request.options == FILTER + THIRD_PARTY + PREFER_FAILURE + FILTER.replace(b"\x80", b"\0")
    assert pcp.parse(PEER + THIRD_PARTY).third_party == IPV6
    assert pcp.parse(MAP + b"\x03\0\0\x14" b"\0\x78\x13\xc4" + REMOTE).filters == [(120, 5060, REMOTE)]


def test_an_answer():
    # Figure 3: version, R and opcode, reserved, result; lifetime; epoch; reserved
    head = b"\x02\x80\0\0" b"\0\0\0\0" b"\0\0\x01\x02" b"\0\0\0\0\0\0\0\0\0\0\0\0"
    assert pcp.answer(pcp.parse(ANNOUNCE), 0, 258) == head == pcp.announcement(258)
    head = b"\x02\x81\0\0" b"\0\0\x1c\x20" b"\0\0\x01\x02" b"\0\0\0\0\0\0\0\0\0\0\0\0"
    body = NONCE + b"\x06\0\0\0" b"\x1f\x40\x20\x00" + EXTERNAL
    assert pcp.answer(pcp.parse(MAP), 7200, 258, 8192, EXTERNAL) == head + body
    assert pcp.answer(pcp.parse(MAP + FILTER + OPTIONAL), 7200, 258, 8192, EXTERNAL) == head + body + FILTER
    # without an address: as it was suggested
    assert pcp.answer(pcp.parse(MAP), 7200, 258, 8192) == head + body[:-16] + ANY
    head = b"\x02\x82\0\0" b"\0\0\x1c\x20" b"\0\0\x01\x02" b"\0\0\0\0\0\0\0\0\0\0\0\0"
    body = NONCE + b"\x11\0\0\0" b"\x1f\x40\x20\x00" + EXTERNAL + b"\x13\xc4\0\0" + REMOTE
    assert pcp.answer(pcp.parse(PEER), 7200, 258, 8192, EXTERNAL) == head + body
    assert pcp.answer(pcp.parse(PEER), 7200, 258, 8001) == head + PEER_BODY


def test_what_is_met_with_silence():
    for datagram in (b"", b"\x02", b"\x01", b"\x02\x80" + bytes(22), b"\x02\x81" + MAP[2:], b"\x01\xff"):
        assert pcp.parse(datagram) is None


def test_another_version_is_told_ours():
    for datagram in (b"\x01" + MAP[1:], b"\x03" + ANNOUNCE[1:], b"\xff\0", b"\x01\x01\0", b"\x01" + bytes(1499)):
        error = raised(PCPError, pcp.parse, datagram)
        assert error.code == pcp.UNSUPP_VERSION
        answer = pcp.refusal(datagram, error, 258)
        assert len(answer) == 24 and answer[:4] == bytes([2, 0x80 | datagram[1], 0, 1])
        assert answer[4:12] == b"\0\0\x07\x08" b"\0\0\x01\x02"
        assert answer[12:] == datagram[12:24] + bytes(24 - max(12, min(24, len(datagram))))


def test_the_length_of_a_message():
    for datagram in (MAP[:2], MAP[:23], MAP[:24], MAP[:56], MAP[:59], MAP + b"\0", MAP + b"\0\0\0", PEER[:60],
                     PEER[:76], ANNOUNCE[:20], MAP + bytes(1044), b"\x02\x7f", b"\x02\x03\0\0\0"):
        assert _code(datagram) == pcp.MALFORMED_REQUEST
    longest = MAP + b"\x80\0\x04\x0c" + bytes(1036)  # 1100 bytes
    assert len(longest) == pcp.MOST and pcp.parse(longest).filters == []


def test_opcodes_that_there_are_not():
    for opcode in (3, 4, 127):
        assert _code(b"\x02" + bytes([opcode]) + MAP[2:]) == pcp.UNSUPP_OPCODE


def test_options_that_there_are_not():
    for datagram in (MAP + b"\x04\0\0\0", MAP + b"\0\0\0\0", MAP + b"\x7f\0\0\0", MAP + FILTER + b"\x05\0\0\x01abcd",
                     PEER + PREFER_FAILURE, PEER + FILTER, ANNOUNCE + FILTER, ANNOUNCE + THIRD_PARTY):
        assert _code(datagram) == pcp.UNSUPP_OPTION
    assert pcp.parse(ANNOUNCE + OPTIONAL).options == b""


def test_options_that_are_wrong():
    for datagram in (MAP + b"\x02\0\0\x04abcd", MAP + b"\x01\0\0\x0f" + IPV6, MAP + b"\x03\0\0\x10" + FILTER[4:20],
                     MAP + PREFER_FAILURE * 2, MAP + THIRD_PARTY * 2,  # once is enough
                     MAP + FILTER[:20], MAP + b"\x80\0\0\x01", MAP + b"\x80\0\xff\xff",  # it ends before its end
                     MAP + b"\x03\0\0\x14" b"\0\x81\0\0" + REMOTE):
        assert _code(datagram) == pcp.MALFORMED_OPTION


def test_a_refusal_is_the_request_with_the_result():
    # Parsed, or not parsed: then the reserved bytes are the last ones of the client's address.
    for code, lifetime, rest in (
            (pcp.NOT_AUTHORIZED, 1800, bytes(12)), (pcp.NETWORK_FAILURE, 30, bytes(12)),
            (pcp.NO_RESOURCES, 30, bytes(12)), (pcp.UNSUPP_PROTOCOL, 1800, bytes(12)),
            (pcp.USER_EX_QUOTA, 30, bytes(12)), (pcp.CANNOT_PROVIDE_EXTERNAL, 30, bytes(12)),
            (pcp.ADDRESS_MISMATCH, 1800, bytes(12)), (pcp.EXCESSIVE_REMOTE_PEERS, 1800, bytes(12)),
            (pcp.MALFORMED_REQUEST, 1800, CLIENT[4:]), (pcp.UNSUPP_OPCODE, 1800, CLIENT[4:]),
            (pcp.UNSUPP_OPTION, 1800, CLIENT[4:]), (pcp.MALFORMED_OPTION, 1800, CLIENT[4:])):
        answer = pcp.refusal(MAP + OPTIONAL, PCPError(code), 258)
        assert answer[:4] == bytes([2, 0x81, 0, code])
        assert answer[4:12] == bytes([0, 0, lifetime >> 8, lifetime & 255]) + b"\0\0\x01\x02"
        assert answer[12:24] == rest and answer[24:] == MAP_BODY + OPTIONAL
    answer = pcp.refusal(MAP, PCPError(pcp.NOT_AUTHORIZED, "", 258), 0)
    assert answer[4:8] == b"\0\0\x01\x02"


def test_a_refusal_has_a_right_length():
    error = PCPError(pcp.MALFORMED_REQUEST)
    for length in range(2, 1500):
        answer = pcp.refusal((MAP + bytes(1500))[:length], error, 0)
        assert len(answer) == min(1100, max(24, length + 3 & ~3))


def test_nothing_else_escapes():
    codes = set()
    for datagram in damaged(MAP + FILTER + OPTIONAL + THIRD_PARTY + PREFER_FAILURE):
        try:
            request = pcp.parse(datagram)
        except PCPError as error:
            codes.add(error.code)
            assert pcp.refusal(datagram, error, 0)[3] == error.code
        else:
            assert request is None or pcp.answer(request, 1, 2, 3, EXTERNAL)[:2] == b"\x02" + bytes([datagram[1] | 128])
    assert codes == {pcp.UNSUPP_VERSION, pcp.MALFORMED_REQUEST, pcp.UNSUPP_OPCODE, pcp.UNSUPP_OPTION,
                     pcp.MALFORMED_OPTION}


def test_the_numbers_of_the_results():
    assert (pcp.SUCCESS, pcp.UNSUPP_VERSION, pcp.NOT_AUTHORIZED, pcp.MALFORMED_REQUEST, pcp.UNSUPP_OPCODE,
            pcp.UNSUPP_OPTION, pcp.MALFORMED_OPTION, pcp.NETWORK_FAILURE, pcp.NO_RESOURCES, pcp.UNSUPP_PROTOCOL,
            pcp.USER_EX_QUOTA, pcp.CANNOT_PROVIDE_EXTERNAL, pcp.ADDRESS_MISMATCH,
            pcp.EXCESSIVE_REMOTE_PEERS) == tuple(range(14))


def test_addresses():
    assert pcp.ip4_mapped("192.168.1.2") == CLIENT and pcp.ip4_of(CLIENT) == "192.168.1.2"
    assert pcp.ip4_of(IPV6) is pcp.ip4_of(bytes(16)) is None
    assert pcp.is_wildcard(ANY) and pcp.is_wildcard(bytes(16)) and not pcp.is_wildcard(CLIENT)
