"""miniigd.gena: who may subscribe, for how long, and the messages to the byte."""

from helpers import HOST, OTHER, Output, damaged, elements, make_gateway, make_request, raised
from miniigd import log
from miniigd.description import Device
from miniigd.gena import MAX_SUBSCRIPTIONS, MAX_SUBSCRIPTIONS_PER_HOST, Subscriptions
from miniigd.http import HTTPError, RequestReader
from miniigd.services import Context, Service, Variable, wan_ip

SERVICE = Service("Test:1", "Test", (
    Variable("Quiet", "string", lambda values: values["Quiet"]),
    Variable("Name", "string", lambda values: values["Name"], True),
    Variable("A_ARG_TYPE_X", "string"),
    Variable("Count", "ui4", lambda values: values["Count"], True),
    Variable("IsUp", "boolean", lambda values: values["IsUp"], True)), ())
NT, CALLBACK = (b"NT", b"upnp:event"), (b"CALLBACK", b"<http://192.168.1.2:8000/e>")
NEW = (NT, CALLBACK)


def _values(name="a", count=0, is_up=True, quiet="-"):
    return {"Name": name, "Count": count, "IsUp": is_up, "Quiet": quiet}


def _subscriptions():
    sids = ["uuid:%d" % number for number in range(100)]
    return Subscriptions(lambda: sids.pop(0))


def _subscribe(subscriptions, headers=NEW, caller=HOST, now=1000):
    """Return (the answer's headers by name, the new Subscription or None)."""
    answer, subscription = subscriptions.subscribe(make_request("SUBSCRIBE", "/e", headers), caller, now, 1, SERVICE)
    return _headers(answer), subscription


def _headers(answer):
    head, _, body = answer.decode().partition("\r\n\r\n")
    lines = head.split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK" and body == ""
    headers = dict([line.split(": ", 1) for line in lines[1:] if ": " in line])
    assert headers["Content-Length"] == "0" and headers["Server"]
    return headers


def _refused(headers, caller=HOST):
    subscriptions = _subscriptions()
    _subscribe(subscriptions)  # uuid:0
    error = raised(HTTPError, _subscribe, subscriptions, headers, caller)
    assert len(subscriptions) == 1
    return error.status


def _sid(value):
    return ((b"SID", value),)


def _unsubscribe(subscriptions, headers):
    return _headers(subscriptions.unsubscribe(make_request("UNSUBSCRIBE", "/e", headers)))


def _message(data):
    """Return (request line, {header: value}, [(variable, text)]) of a NOTIFY."""
    head, mark, body = data.partition(b"\r\n\r\n")
    assert mark
    lines = head.decode().split("\r\n")
    headers = dict([line.split(": ", 1) for line in lines[1:]])
    assert len(headers) == len(lines) - 1 and headers["CONTENT-LENGTH"] == "%d" % len(body)
    found = elements(body)
    assert found[0] == ("e:propertyset", "")
    assert [name for name, _ in found[1::2]] == ["e:property"] * (len(found) // 2)
    return lines[0], headers, found[2::2]


def test_a_subscription():
    subscriptions = _subscriptions()
    headers, subscription = _subscribe(subscriptions, NEW + ((b"TIMEOUT", b"Second-300"),))
    assert (headers["SID"], headers["TIMEOUT"]) == ("uuid:0", "Second-300")
    assert (subscription.sid, subscription.version, subscription.service) == ("uuid:0", 1, SERVICE)
    assert (subscription.host, subscription.port, subscription.path) == (HOST, 8000, "/e")
    assert (subscription.expires, subscription.is_busy, subscription.failures) == (1300, False, 0)
    assert len(subscriptions) == 1 and subscription in subscriptions and list(subscriptions) == [subscription]
    headers, other = _subscribe(subscriptions)  # the same once more is another
    assert headers["SID"] == "uuid:1" and list(subscriptions) == [subscription, other]


def test_a_connection_that_is_kept_stays_open():
    subscriptions = _subscriptions()
    assert _subscribe(subscriptions)[0]["Connection"] == "close"
    headers, _ = _subscribe(subscriptions, NEW + ((b"Connection", b"keep-alive"),))
    assert headers["Connection"] == "keep-alive"
    headers = _unsubscribe(subscriptions, _sid(headers["SID"].encode()) + ((b"Connection", b"keep-alive"),))
    assert headers["Connection"] == "keep-alive"


def test_what_is_no_subscription():
    for headers, status in (
            ((), 412), ((NT,), 412), ((CALLBACK,), 412), (((b"NT", b"upnp:other"), CALLBACK), 412),
            (((b"NT", b""), CALLBACK), 412), ((NT, (b"CALLBACK", b"")), 412), (_sid(b"uuid:1"), 412),
            (_sid(b""), 412), (_sid(b"uuid:00"), 412), (_sid(b"UUID:0"), 412), (_sid(b"\xff"), 412),
            (_sid(b"uuid:0") + (NT,), 400), (_sid(b"uuid:0") + (CALLBACK,), 400), (_sid(b"uuid:0") + NEW, 400),
            (_sid(b"uuid:1") + NEW, 400), (_sid(b"") + NEW, 400)):
        assert _refused(headers) == status, headers


def test_what_ends_no_subscription():
    subscriptions = _subscriptions()
    _subscribe(subscriptions)
    for headers, status in (
            ((), 412), (_sid(b""), 412), (_sid(b"uuid:1"), 412), (_sid(b"uuid:0") + (NT,), 400), (NEW, 400),
            (_sid(b"uuid:0") + (CALLBACK,), 400)):
        assert raised(HTTPError, _unsubscribe, subscriptions, headers).status == status, headers
    assert len(subscriptions) == 1


def test_unsubscribe():
    subscriptions = _subscriptions()
    _, first = _subscribe(subscriptions)
    _, second = _subscribe(subscriptions)
    _unsubscribe(subscriptions, _sid(b"uuid:0"))
    assert list(subscriptions) == [second] and first not in subscriptions
    assert raised(HTTPError, _unsubscribe, subscriptions, _sid(b"uuid:0")).status == 412
    assert raised(HTTPError, _subscribe, subscriptions, _sid(b"uuid:0")).status == 412
    subscriptions.remove(first)  # not there
    subscriptions.remove(second)
    assert len(subscriptions) == 0


def test_timeouts():
    for value, seconds in (
            (b"Second-300", 300), (b"second-1800", 1800), (b"SECOND-61", 61), (b" Second-300 ", 300),
            (b"Second-60", 60), (b"Second-59", 60), (b"Second-1", 60), (b"Second-0", 60), (b"Second-1801", 1800),
            (b"Second-99999999", 1800), (b"Second-" + b"9" * 40, 1800), (b"Second-infinite", 1800),
            (b"infinite", 1800), (b"", 1800), (b"300", 1800), (b"Second-", 1800), (b"Second--300", 1800),
            (b"Second-+300", 1800), (b"Second-3_00", 1800), (b"Second-3e2", 1800), (b"Second-\xb2\xff", 1800),
            (b"Minute-5", 1800)):
        headers, subscription = _subscribe(_subscriptions(), NEW + ((b"TIMEOUT", value),))
        assert headers["TIMEOUT"] == "Second-%d" % seconds, value
        assert subscription.expires == 1000 + seconds
    assert _subscribe(_subscriptions())[0]["TIMEOUT"] == "Second-1800"


def test_renewal():
    subscriptions = _subscriptions()
    _, subscription = _subscribe(subscriptions)
    assert _message(subscription.message(_values()))[1]["SEQ"] == "0"
    headers, new = _subscribe(subscriptions, _sid(b"uuid:0") + ((b"TIMEOUT", b"Second-200"),), now=2000)
    assert (headers["SID"], headers["TIMEOUT"], new) == ("uuid:0", "Second-200", None)
    assert subscription.expires == 2200 and list(subscriptions) == [subscription]
    assert _message(subscription.message(_values("b")))[1]["SEQ"] == "1"  # a renewal begins nothing anew
    assert _subscribe(subscriptions, _sid(b"uuid:0"), now=2100)[0]["TIMEOUT"] == "Second-1800"
    assert subscription.expires == 3900


def test_what_is_not_renewed_ends():
    subscriptions = _subscriptions()
    _subscribe(subscriptions, NEW + ((b"TIMEOUT", b"Second-100"),))
    _, longer = _subscribe(subscriptions, NEW + ((b"TIMEOUT", b"Second-200"),))
    subscriptions.expire(1099)
    assert len(subscriptions) == 2
    subscriptions.expire(1100)
    assert list(subscriptions) == [longer]
    assert raised(HTTPError, _subscribe, subscriptions, _sid(b"uuid:0")).status == 412
    _subscribe(subscriptions, _sid(b"uuid:1"), now=1199)
    subscriptions.expire(2998)
    assert list(subscriptions) == [longer]
    subscriptions.expire(2999)
    assert len(subscriptions) == 0


def _fill(subscriptions, caller, count):
    for _ in range(count):
        _subscribe(subscriptions, (NT, (b"CALLBACK", b"<http://%s/>" % caller.encode())), caller)


def test_one_host_cannot_take_all_the_room():
    subscriptions = _subscriptions()
    _fill(subscriptions, HOST, MAX_SUBSCRIPTIONS_PER_HOST)
    assert raised(HTTPError, _fill, subscriptions, HOST, 1).status == 503
    _fill(subscriptions, OTHER, 1)
    assert _subscribe(subscriptions, _sid(b"uuid:0"))[1] is None  # a renewal needs no room
    _unsubscribe(subscriptions, _sid(b"uuid:3"))
    _fill(subscriptions, HOST, 1)
    assert raised(HTTPError, _fill, subscriptions, HOST, 1).status == 503
    subscriptions.expire(9999)
    _fill(subscriptions, HOST, 1)


def test_a_host_with_many_addresses_is_one_host():
    subscriptions = _subscriptions()

    def subscribe(number, owner):
        host = "2001:db8::%x" % number
        request = make_request("SUBSCRIBE", "/", (NT, (b"CALLBACK", b"<http://[%s]/>" % host.encode())))
        return subscriptions.subscribe(request, host, 0, 1, SERVICE, owner)[1]

    with Output(log) as output:
        for number in range(MAX_SUBSCRIPTIONS_PER_HOST):
            assert subscribe(number, "02:00:00:00:00:01").host == "2001:db8::%x" % number
        assert raised(HTTPError, subscribe, 99, "02:00:00:00:00:01").status == 503
        assert subscribe(99, "02:00:00:00:00:02")
    assert output.text() == "miniigd: warning: refused a subscription to 2001:db8::63: it has 8 already\n"


def test_there_is_room_for_so_many_in_all():
    subscriptions = _subscriptions()
    for host in range(MAX_SUBSCRIPTIONS // MAX_SUBSCRIPTIONS_PER_HOST):
        _fill(subscriptions, "192.168.1.%d" % (100 + host), MAX_SUBSCRIPTIONS_PER_HOST)
    assert len(subscriptions) == MAX_SUBSCRIPTIONS
    assert raised(HTTPError, _fill, subscriptions, HOST, 1).status == 503
    assert raised(HTTPError, _subscribe, subscriptions, (NT,)).status == 412
    _unsubscribe(subscriptions, _sid(b"uuid:0"))
    _fill(subscriptions, HOST, 1)
    assert raised(HTTPError, _fill, subscriptions, HOST, 1).status == 503


def test_callbacks():
    for value, port, path in (
            (b"<http://192.168.1.2:8000/e>", 8000, "/e"), (b"<http://192.168.1.2/>", 80, "/"),
            (b"<http://192.168.1.2>", 80, "/"), (b"<http://192.168.1.2:1>", 1, "/"),
            (b"<http://192.168.1.2:65535/a/b?c=d&e=f>", 65535, "/a/b?c=d&e=f"),
            (b"<HTTP://192.168.1.2:080/A%20b>", 80, "/A%20b"),
            (b" <http://192.168.1.2:81/e> ", 81, "/e"),
            (b"<http://192.168.1.2/http://evil/@x:1>", 80, "/http://evil/@x:1"),
            (b"<http://192.168.1.2/" + b"p" * 200 + b">", 80, "/" + "p" * 200),
            (b"<http://192.168.1.3/a><http://192.168.1.2:82/b><http://192.168.1.2:83/c>", 82, "/b"),
            (b"<https://192.168.1.2/a>, <http://192.168.1.2:84/b>", 84, "/b"),
            (b"<http://[fe80::1]:80/a> <http://192.168.1.2:85/b>", 85, "/b"),
            (b"<><http://192.168.1.2:0/a><http://192.168.1.2:86/b>", 86, "/b")):
        _, subscription = _subscribe(_subscriptions(), (NT, (b"CALLBACK", value)))
        assert (subscription.host, subscription.port, subscription.path) == (HOST, port, path), value


def test_messages_go_to_the_asking_host_and_nowhere_else():
    # CVE-2020-12695: or the router would send requests to whomever a host of the LAN names
    for value in (
            b"<http://192.168.1.3:8000/e>", b"<http://192.168.1.20/e>", b"<http://192.168.1./e>",
            b"<http://192.168.1.2.evil/e>", b"<http://192.168.1.2@evil/>", b"<http://192.168.1.2:80@evil/>",
            b"<http://192.168.1.2:@evil/>", b"<http://evil@192.168.1.2/>", b"<http://192.168.1.2?@evil/>",
            b"<http://192.168.1.2#@evil/>", b"<http://192.168.1.2\\@evil/>", b"<http://192.168.001.002/e>",
            b"<http://0xc0a80102/e>", b"<http://3232235778/e>", b"<http:///e>", b"<http://evil/192.168.1.2/>",
            b"<http://evil/http://192.168.1.2/>", b"<http://localhost/e>", b"<http://name/e>",
            b"<http://[::ffff:192.168.1.2]/e>", b"<http:// 192.168.1.2/e>", b"<http://192.168.1.2 /e>",
            b"<http://81.2.69.160/e>", b"<http://127.0.0.1/e>", b"<http://192.168.1.1:5000/e>"):
        assert _refused((NT, (b"CALLBACK", value))) == 412, value
    assert _refused(NEW, OTHER) == 412


def test_callbacks_over_ipv6():
    for url, caller, host, port in (
            (b"http://[fe80::2]:8000/e", "fe80::2", "fe80::2", 8000), (b"http://[fe80::2]/e", "fe80::2", "fe80::2", 80),
            (b"http://[FE80:0:0::0002]:8000/e", "fe80::2", "fe80::2", 8000),
            (b"http://[fe80::2%25wlan0]:8000/e", "fe80::2", "fe80::2", 8000)):
        _, subscription = _subscribe(_subscriptions(), (NT, (b"CALLBACK", b"<%s>" % url)), caller)
        assert (subscription.host, subscription.port, subscription.path) == (host, port, "/e")
        data = subscription.message(_values())
        assert _message(data)[1]["HOST"] == "[%s]:%d" % (host, port)
    for url in (b"http://[fe80::3]:8000/e", b"http://192.168.1.2:8000/e", b"http://fe80::2/e", b"http://[fe80::2]8000/e",
                b"http://[fe80::2]:/e", b"http://[fe80::2:8000/e", b"http://[]:80/e", b"http://[::ffff:c0a8:102]/e",
                b"http://[fe80::2x]/e", b"http://[\xff]/e"):
        assert _refused((NT, (b"CALLBACK", b"<%s>" % url)), "fe80::2") == 412, url
    assert _refused((NT, (b"CALLBACK", b"<http://[fe80::2]:8000/e>"))) == 412


def test_what_is_no_callback():
    for value in (
            b"", b"<", b"<>", b"http://192.168.1.2/e", b"<192.168.1.2/e>", b"</e>", b"<//192.168.1.2/e>",
            b"<https://192.168.1.2/e>", b"<ftp://192.168.1.2/e>", b"<http:/192.168.1.2/e>", b"<http;//192.168.1.2/e>",
            b"<http://192.168.1.2:/e>", b"<http://192.168.1.2:0/e>", b"<http://192.168.1.2:00000/e>",
            b"<http://192.168.1.2:65536/e>", b"<http://192.168.1.2:000080/e>", b"<http://192.168.1.2:-1/e>",
            b"<http://192.168.1.2:+80/e>", b"<http://192.168.1.2: 80/e>", b"<http://192.168.1.2:8_0/e>",
            b"<http://192.168.1.2:http/e>", b"<http://192.168.1.2:80:80/e>", b"<http://192.168.1.2:\xb2/e>",
            b"<http://192.168.1.2/" + b"p" * 201 + b">", b"<http://192.168.1.2/a b>", b"<http://192.168.1.2/a\rX: y>",
            b"<http://192.168.1.2/a\tb>", b"<http://192.168.1.2/\0>", b"<http://192.168.1.2/\x7f>",
            b"<http://192.168.1.2/\x1b[2J>", b"<http://192.168.1.2/\xc3\xa4>", b"<http://192.168.1.2/\xff>"):
        assert _refused((NT, (b"CALLBACK", value))) == 412, value


def test_a_message_to_the_byte():
    _, subscription = _subscribe(_subscriptions(), (NT, (b"CALLBACK", b"<http://192.168.1.2/a?b>")))
    subscription.message(_values())
    assert subscription.message(_values("x")) == (
        b'NOTIFY /a?b HTTP/1.1\r\nHOST: 192.168.1.2:80\r\nCONTENT-TYPE: text/xml; charset="utf-8"\r\n'
        b"CONTENT-LENGTH: 136\r\nNT: upnp:event\r\nNTS: upnp:propchange\r\nSID: uuid:0\r\nSEQ: 1\r\n"
        b'CONNECTION: close\r\n\r\n<?xml version="1.0"?>\r\n'
        b'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0"><e:property><Name>x</Name></e:property>'
        b"</e:propertyset>\r\n")


def test_the_first_message_tells_everything_the_next_ones_what_changed():
    _, subscription = _subscribe(_subscriptions())
    line, headers, variables = _message(subscription.message(_values()))
    assert line == "NOTIFY /e HTTP/1.1"
    assert (headers["HOST"], headers["SID"], headers["SEQ"]) == ("192.168.1.2:8000", "uuid:0", "0")
    assert (headers["NT"], headers["NTS"]) == ("upnp:event", "upnp:propchange")
    assert headers["CONTENT-TYPE"] == 'text/xml; charset="utf-8"'
    assert variables == [("Name", "a"), ("Count", "0"), ("IsUp", "1")]
    assert subscription.message(_values()) is None
    assert subscription.message(_values(quiet="!")) is None
    for sequence, values, expected in (
            ("1", _values(count=7), [("Count", "7")]), ("2", _values("", 7, False), [("Name", ""), ("IsUp", "0")]),
            ("3", _values(), [("Name", "a"), ("Count", "0"), ("IsUp", "1")])):
        _, headers, variables = _message(subscription.message(values))
        assert (headers["SEQ"], variables) == (sequence, expected)
        assert subscription.message(values) is None


def test_who_missed_a_message_is_told_everything_again():
    _, subscription = _subscribe(_subscriptions())
    subscription.message(_values())
    subscription.message(_values("b"))
    subscription.forget()
    _, headers, variables = _message(subscription.message(_values("b")))
    assert headers["SEQ"] == "2"  # 0 is the first message alone
    assert variables == [("Name", "b"), ("Count", "0"), ("IsUp", "1")]
    assert subscription.message(_values("b")) is None


def test_the_count_goes_on_with_1():
    _, subscription = _subscribe(_subscriptions())
    subscription._sequence = 4294967294
    sequences = [_message(subscription.message(_values(count=count)))[1]["SEQ"] for count in range(4)]
    assert sequences == ["4294967294", "4294967295", "1", "2"]


def test_values_are_escaped():
    _, subscription = _subscribe(_subscriptions())
    for value, text in (("a & b", "a &amp; b"), ("</Name><Count>9", "&lt;/Name&gt;&lt;Count&gt;9"), ("]]>", "]]&gt;"),
                        ("\xe4", "\xe4")):
        assert _message(subscription.message(_values(value)))[2][0] == ("Name", text)


def test_subscribers_know_what_they_were_told_each_for_itself():
    subscriptions = _subscriptions()
    first, second = _subscribe(subscriptions)[1], _subscribe(subscriptions)[1]
    first.message(_values())
    _, headers, variables = _message(second.message(_values("b")))
    assert (headers["SID"], headers["SEQ"], len(variables)) == ("uuid:1", "0", 3)
    assert _message(first.message(_values("b")))[2] == [("Name", "b")]


def test_every_service_tells_what_its_document_says():
    gateway, device = make_gateway(), Device("6d696e69-6967-8001-8000-000102030405", (1, 2), True)
    for version in (1, 2):
        gateway.default_connection_services = {version: "x"}
        for services in device.device_services(version):
            for service in services:
                subscriptions = _subscriptions()
                _, subscription = subscriptions.subscribe(make_request("SUBSCRIBE", "/e", NEW), HOST, 1000, version,
                                                          service)
                context = Context(gateway, HOST, 1000, version)
                _, headers, variables = _message(subscription.message(context))
                assert headers["SEQ"] == "0"
                assert [name for name, _ in variables] == [
                    variable.name for variable in service.variables if variable.is_evented]
                assert subscription.message(context) is None


def test_a_line_that_goes_down():
    _, subscription = _subscriptions().subscribe(make_request("SUBSCRIBE", "/e", NEW), HOST, 1000, 1, wan_ip.SERVICE)
    subscription.message(Context(make_gateway(), HOST, 1000, 1))
    down = Context(make_gateway(None), HOST, 1000, 1)
    assert _message(subscription.message(down))[2] == [("ConnectionStatus", "Disconnected"), ("ExternalIPAddress", "")]


def test_damaged_requests_raise_nothing_else():
    for data in (b"SUBSCRIBE /e HTTP/1.1\r\nNT: upnp:event\r\nTIMEOUT: Second-300\r\n"
                 b"CALLBACK: <http://192.168.1.2:8000/e>\r\n\r\n", b"SUBSCRIBE /e HTTP/1.1\r\nSID: uuid:0\r\n\r\n"):
        for one in damaged(data):
            reader, subscriptions = RequestReader(), _subscriptions()
            _subscribe(subscriptions)
            reader.receive(one)
            try:
                request = reader.next_request()
                if request is not None:
                    _, subscription = subscriptions.subscribe(request, HOST, 1000, 1, SERVICE)
                    if subscription is not None:
                        assert subscription.host == HOST and 0 < subscription.port < 65536
                        assert len(subscription.message(_values()).split(b"\r\n\r\n")) == 2
            except HTTPError as error:
                assert error.status in (400, 411, 412, 413, 417, 431, 501, 505)
