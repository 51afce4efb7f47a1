"""miniigd.status: what people read, and a JSON document that is right for any description."""

from helpers import HOST, HOST6, Output, make_gateway, make_gateway6
from miniigd import VERSION, log, status

HOSTILE = "\"}],\\ \n\r\t\0\x1b[2J\x7f\u00e9\u2028\U0001f600/<&>'"


def _gateway(description="web", **named):
    gateway = make_gateway(**named)
    if not gateway.wan.refusal and gateway.wan.address:
        with Output(log):
            gateway.add(HOST, 100, "", 8000, "TCP", 9000, HOST, True, description, 600000)
            gateway.add(HOST, 100, "11.0.0.1", 65535, "UDP", 65535, HOST, True, "", 0)
            gateway.add(HOST, 100, "", 8001, "TCP", 9000, HOST, False, "off", 600)
    return gateway


def _text(gateway, counters=((12, 720), (3000000000, 4000000000), None), paused_for=None):
    return "".join(status.text(status.State(gateway, 110, 2, paused_for), counters))


def _json(gateway, counters=((12, 720), (3000000000, 4000000000), None), paused_for=None):
    return parsed("".join(status.json(status.State(gateway, 110, 2, paused_for), counters)))


def parsed(text):
    """Return the value of a JSON document; a small parser of its own, strict: the runtime has none."""
    value, rest = _value(text)
    assert rest.strip() == "", rest
    return value


def _value(text):
    text = text.lstrip(" \n")
    for word, value in (("true", True), ("false", False), ("null", None)):
        if text.startswith(word):
            return value, text[len(word):]
    if text[0] == '"':
        return _string(text[1:])
    if text[0] == "[":
        return _row(text[1:], "]", [], lambda found, item: found.append(item))
    if text[0] == "{":
        return _row(text[1:], "}", {}, None)
    digits = text[:len(text) - len(text.lstrip("0123456789"))]
    assert digits, text
    return int(digits), text[len(digits):]


def _row(text, end, found, add):
    text = text.lstrip(" \n")
    while text[0] != end:
        item, text = _value(text)
        if add is None:
            assert text[0] == ":" and item not in found
            found[item], text = _value(text[1:])
        else:
            add(found, item)
        text = text.lstrip(" \n")
        assert text[0] in ("," + end)
        if text[0] == ",":
            text = text[1:].lstrip(" \n")
            assert text[0] != end
    return found, text[1:]


def _string(text):
    found, index = [], 0
    while text[index] != '"':
        character = text[index]
        assert " " <= character <= "~"
        index += 1
        if character == "\\":
            character, index = text[index], index + 1
            if character == "u":
                character, index = chr(int(text[index:index + 4], 16)), index + 4
            else:
                assert character in '"\\'
        found.append(character)
    return "".join(found), text[index + 1:]


def test_durations():
    for seconds, expected in ((0, "0:00:00"), (598, "0:09:58"), (3599, "0:59:59"), (3600, "1:00:00"),
                              (86399, "23:59:59"), (86400, "1d 00:00:00"), (604752, "6d 23:59:12")):
        assert status.duration(seconds) == expected


def test_the_text():
    lines = _text(_gateway()).split("\n")
    assert lines[0] == "miniigd %s, running for 0:01:50, firewall: memory" % VERSION
    assert lines[1] == "WAN wan: external address 81.2.69.160, uptime 0:01:10"
    assert lines[2] == "3 mappings, 2 subscribers to events"
    assert [line.split() for line in lines[4:]] == [
        ["TCP", "8000", "192.168.1.2:9000", "any", "6d", "22:39:50", "12", "720", "web"],
        ["UDP", "65535", "192.168.1.2:65535", "11.0.0.1", "no", "end", "3000000000", "4000000000"],
        ["TCP", "8001", "192.168.1.2:9000", "any", "disabled", "-", "-", "off"], []]
    assert lines[3].split() == ["PROTO", "PORT", "INTERNAL", "CLIENT", "REMOTE", "HOST", "LEASE", "PACKETS", "BYTES",
                                "DESCRIPTION"]
    assert lines[3].find("DESCRIPTION") == lines[4].find("web") == lines[6].find("off")


def test_the_header_says_why_nothing_opens():
    for named, expected in (({"address": None}, "WAN wan: no ports can be opened: it is down\n"),
                            ({"address": "10.0.0.1"}, "opened: the external address 10.0.0.1 is private\n")):
        text = _text(_gateway(**named), ())
        assert expected in text and "0 mappings" in text and "PROTO" not in text
    gateway = _gateway(address=None)
    gateway.wan._interface.is_up = True
    assert "opened: it has no address\n" in _text(gateway, ())
    assert "PAUSED" not in _text(gateway, ())
    gateway.is_paused = True
    assert "PAUSED until 'miniigd resume': nothing opens\n" in _text(gateway, ())
    assert "PAUSED for another 0:01:01: nothing opens\n" in _text(gateway, (), 61)


def test_a_hostile_description_stays_in_its_line():
    text = _text(_gateway(HOSTILE))
    assert text.count("\n") == 7 and [c for c in text if c != "\n" and not " " <= c <= "~"] == []


def test_the_json():
    assert _json(_gateway()) == {
        "version": VERSION, "running_for": 110, "firewall": "memory",
        "wan": {"interface": "wan", "external_ip_address": "81.2.69.160", "uptime": 70, "refusal": None},
        "paused": False, "paused_for": None, "subscribers": 2, "port_mapping_number_of_entries": 3,
        "port_mappings": [
            {"remote_host": "", "external_port": 8000, "protocol": "TCP", "internal_port": 9000,
             "internal_client": HOST, "enabled": True, "description": "web", "lease_duration": 599990,
             "expires_in": 599990, "packets": 12, "bytes": 720},
            {"remote_host": "11.0.0.1", "external_port": 65535, "protocol": "UDP", "internal_port": 65535,
             "internal_client": HOST, "enabled": True, "description": "", "lease_duration": 0,
             "expires_in": 604790, "packets": 3000000000, "bytes": 4000000000},
            {"remote_host": "", "external_port": 8001, "protocol": "TCP", "internal_port": 9000,
             "internal_client": HOST, "enabled": False, "description": "off", "lease_duration": 590,
             "expires_in": 590, "packets": None, "bytes": None}],
        "pinhole_refusal": None, "pinholes": []}


def test_the_json_of_a_paused_router_without_an_address():
    gateway = _gateway(address=None)
    gateway.is_paused = True
    found = _json(gateway, (), 61)
    assert (found["paused"], found["paused_for"], found["port_mappings"]) == (True, 61, [])
    assert found["wan"] == {"interface": "wan", "external_ip_address": None, "uptime": 0, "refusal": "it is down"}


def test_any_description_is_right_in_json():
    found = _json(_gateway(HOSTILE))["port_mappings"][0]["description"]
    assert found == HOSTILE.replace("\U0001f600", chr(0xD83D) + chr(0xDE00))
    for text in ("", "\\", '"', "\\\"", chr(0xD83D), "a\\u0041"):
        assert parsed(status.quoted(text)) == text


def test_the_parser_of_these_tests_is_strict():
    for text in ('{"a":1,}', "[1 2]", '["a\nb"]', '{"a":1,"a":2}', '["\\x"]', "[1],"):
        try:
            parsed(text)
        except AssertionError:
            continue
        raise ValueError(text)


def _with_pinholes():
    gateway = make_gateway6()
    with Output(log):
        gateway.pinholes.add(HOST6, 100, "", 0, HOST6, 8000, "TCP", 70, "PCP MAP 0102")
        gateway.pinholes.add(HOST6, 100, "2001:db8:9::1", 0, HOST6, 8001, "UDP", 86400)
        gateway.pinholes.add(HOST6, 100, "2001:db8:9::1", 77, HOST6, 8002, "UDP", 5)
        gateway.pinholes.add(HOST6, 100, "", 77, HOST6, 8003, "UDP", 5)
    return status.State(gateway, 110, 0, None)


def test_pinholes_are_listed():
    text = "".join(status.text(_with_pinholes(), [], [(12, 720), None, (0, 0), (0, 0)]))
    lines = text.split("\n")
    assert lines[2] == "0 mappings, 0 subscribers to events" and lines[3] == "4 IPv6 pinholes"
    assert [line.split() for line in lines[5:-1]] == [
        ["TCP", "1", "[2001:db8::2]:8000", "any", "0:01:00", "12", "720"],
        ["UDP", "2", "[2001:db8::2]:8001", "2001:db8:9::1", "23:59:50", "-", "-"],
        ["UDP", "3", "[2001:db8::2]:8002", "[2001:db8:9::1]:77", "0:00:01", "0", "0"],
        ["UDP", "4", "[2001:db8::2]:8003", "any,", "port", "77", "0:00:01", "0", "0"]]
    assert "PCP" not in text  # what proves to be the host's own is not shown


def test_pinholes_are_in_the_json():
    state = _with_pinholes()
    found = parsed("".join(status.json(state, [], [(12, 720), None, None, None])))
    assert found["pinhole_refusal"] is None and len(found["pinholes"]) == 4
    assert found["pinholes"][0] == {
        "unique_id": 1, "remote_host": "", "remote_port": 0, "protocol": "TCP", "internal_client": HOST6,
        "internal_port": 8000, "lease_duration": 70, "expires_in": 60, "packets": 12, "bytes": 720}
    assert found["pinholes"][2]["remote_port"] == 77 and found["pinholes"][1]["packets"] is None
    state.gateway.firewall.pinhole_refusal = "no place"
    assert parsed("".join(status.json(state, [], [None] * 4)))["pinhole_refusal"] == "no place"


def test_no_nonce_is_shown():
    gateway = _gateway("PCP MAP 0123456789abcdef01234567")
    assert _json(gateway)["port_mappings"][0]["description"] == "PCP MAP"
    assert "  PCP MAP\n" in _text(gateway) and "0123456789abcdef" not in _text(gateway)
