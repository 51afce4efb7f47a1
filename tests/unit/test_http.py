"""miniigd.http: requests however their bytes arrive, every way to be refused, and the head of an answer."""

from helpers import damaged, raised
from miniigd import http
from miniigd.http import HTTPError, RequestReader, authority, split_authority

POST = (b"POST /upnp/control/WANIPConn1 HTTP/1.1\r\nHost: 192.168.1.1:5000\r\nUser-Agent: x\r\nContent-Length: 7\r\n"
        b"Content-Type: text/xml\r\nSOAPAction: \"urn:x#Y\"\r\nConnection: Close\r\n\r\n<a></a>")
GET = b"GET /rootDesc.xml HTTP/1.1\r\nHost: 192.168.1.1:5000\r\n\r\n"

# (bytes, method, path, body)
REQUESTS = (
    (POST, "POST", "/upnp/control/WANIPConn1", b"<a></a>"),
    (GET, "GET", "/rootDesc.xml", b""),
    (b"GET / HTTP/1.0\r\n\r\n", "GET", "/", b""),
    (b"GET / HTTP/1.0\n\n", "GET", "/", b""),
    (b"GET /a HTTP/1.1\nHost: b\n\n", "GET", "/a", b""),
    (b"HEAD /a HTTP/1.1\r\nhost:b\r\n\r\n", "HEAD", "/a", b""),
    (b"POST /a HTTP/1.1\r\ncontent-length:0\r\n\r\n", "POST", "/a", b""),
    (b"POST /a HTTP/1.1\r\nCONTENT-LENGTH:   3  \r\n\r\nabc", "POST", "/a", b"abc"),
    (b"POST /a HTTP/1.1\ncontent-length: 4\n\na\r\n\r", "POST", "/a", b"a\r\n\r"),
    (b"GET http://192.168.1.1:5000/a/b HTTP/1.1\r\n\r\n", "GET", "/a/b", b""),
    (b"GET HTTP://192.168.1.1 HTTP/1.1\r\n\r\n", "GET", "/", b""),
    (b"GET  /a   HTTP/1.1\r\n\r\n", "GET", "/a", b""),
    (b"GET /a HTTP/1.9\r\n\r\n", "GET", "/a", b""),
    (b"GET /a HTTP/1.1\r\nEmpty:\r\nColons: a:b:c\r\n\r\n", "GET", "/a", b""),
    (b"POST /a HTTP/1.1\r\nContent-Length: 8192\r\n\r\n" + b"x" * 8192, "POST", "/a", b"x" * 8192),
    (b"POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\n\n\n\n\n", "POST", "/a", b"\n\n\n\n"),
    (b"POST /a HTTP/1.1\nContent-Length: 8\n\nab\r\n\r\ncd", "POST", "/a", b"ab\r\n\r\ncd"),
    (b"GET http://a HTTP/1.1\r\n\r\n", "GET", "/", b""),
    (b"SUBSCRIBE /a HTTP/1.1\r\n\r\n", "SUBSCRIBE", "/a", b""),
)

# (bytes, status)
REFUSED = (
    (b"GET\r\n\r\n", 400), (b"GET /\r\n\r\n", 400), (b"GET / x\r\n\r\n", 400),
    (b"GET / a HTTP/1.1\r\n\r\n", 400), (b"GET / http/1.1\r\n\r\n", 400), (b"GET / HTTP/2.0\r\n\r\n", 505),
    (b"GET / HTTP/0.9\r\n\r\n", 505), (b"GET /\xff HTTP/1.1\r\n\r\n", 400), (b"\xff\xff / HTTP/1.1\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\n\r\n", 411), (b"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400), (b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: 1 2\r\n\r\n", 400), (b"POST / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: 8193\r\n\r\n", 413), (b"GET / HTTP/1.1\r\nContent-Length: 8193\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999999\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2001\r\n", 413),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n", 413),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabcdef", 400),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1" + b";" * 70, 400),
    (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nExpect: a miracle\r\n\r\n", 417),
    (b"GET /" + b"x" * 4097 + b" HTTP/1.1\r\n\r\n", 431), (b"x" * 4097, 431), (b"\0" * 5000, 431),
    (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 700 + b"\r\n", 431),
)


def _read(pieces):
    """Return the requests that come out while the pieces go in."""
    reader, found = RequestReader(), []
    for piece in pieces:
        reader.receive(piece)
        request = reader.next_request()
        while request is not None:
            found.append(request)
            request = reader.next_request()
    return found


def _bytes(data):
    return [data[index:index + 1] for index in range(len(data))]


def test_requests_whole_and_in_two():
    for data, method, path, body in REQUESTS:
        for cut in (0, 1, len(data) // 2, len(data) - 1, len(data) - len(body)):
            found = _read((data[:cut], data[cut:]))
            assert len(found) == 1, data
            assert (found[0].method, found[0].path, found[0].body) == (method, path, body)


def test_requests_byte_at_a_time():
    for data, method, path, body in REQUESTS[:10]:
        found = _read(_bytes(data))
        assert [(request.method, request.path, request.body) for request in found] == [(method, path, body)]


def test_headers_by_lower_case_name():
    request = _read((POST,))[0]
    for name, value in ((b"soapaction", b'"urn:x#Y"'), (b"host", b"192.168.1.1:5000"), (b"connection", b"Close"),
                        (b"expect", None), (b"hos", None), (b"ost", None), (b"type", None),
                        (b"post /a http/1.1", None)):
        assert request.header(name) == value, name
    request = _read((b"GET /?host:x HTTP/1.1\r\nSoapaction:\t a:b \r\nEMPTY:\r\nX-Host: c\r\nlast:d\r\n\r\n",))[0]
    for name, value in ((b"soapaction", b"a:b"), (b"empty", b""), (b"host", None), (b"x-host", b"c"), (b"last", b"d")):
        assert request.header(name) == value, name


def test_requests_one_behind_the_other():
    for pieces in ((POST + GET + POST,), (POST + GET, POST), _bytes(POST + GET + POST)):
        found = _read(pieces)
        assert [request.method for request in found] == ["POST", "GET", "POST"]
        assert [request.body for request in found] == [b"<a></a>", b"", b"<a></a>"]


def test_nothing_comes_out_before_the_last_byte():
    for data in (POST, GET):
        for end in range(len(data)):
            assert _read((data[:end],)) == []


def test_what_cannot_become_a_request():
    for data, status in REFUSED:
        assert raised(HTTPError, _read, (data,)).status == status, data[:60]
    for data, status in REFUSED[:15]:
        assert raised(HTTPError, _read, _bytes(data)).status == status, data


def test_a_head_has_a_limit():
    filler = b"GET / HTTP/1.1\r\nA: " + b"x" * (http.MAX_HEAD - 19)
    assert len(filler) == http.MAX_HEAD
    assert len(_read((filler + b"\r\n\r\n",))) == 1
    assert raised(HTTPError, _read, (filler + b"x\r\n\r\n",)).status == 431
    assert raised(HTTPError, _read, (filler, b"x")).status == 431


def test_only_http_error_escapes_from_damaged_requests():
    for data in damaged(POST):
        try:
            _read((data,))
            _read((data[:50], data[50:]))
        except HTTPError as error:
            assert error.status in (400, 411, 413, 501, 505), data


def test_a_client_that_waits_for_100_continue():
    head, body = b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n", b"ab"
    reader = RequestReader()
    assert not reader.wants_continue
    reader.receive(head)
    assert reader.next_request() is None
    assert reader.wants_continue
    reader.receive(body)
    assert reader.next_request().body == b"ab"
    assert not reader.wants_continue
    reader = RequestReader()
    reader.receive(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na")
    assert reader.next_request() is None
    assert not reader.wants_continue
    reader = RequestReader()
    reader.receive(head + body)  # it did not wait
    assert reader.next_request().body == b"ab"
    assert not reader.wants_continue
    assert http.CONTINUE == b"HTTP/1.1 100 Continue\r\n\r\n"


AUTHORITIES = (
    (b"192.168.1.1:5000", (b"192.168.1.1", b"5000")), (b"192.168.1.1", (b"192.168.1.1", None)),
    (b"router:", (b"router", b"")), (b"", (b"", None)), (b"[fe80::1]:5000", (b"fe80::1", b"5000")),
    (b"[fe80::1]", (b"fe80::1", None)), (b"[fe80::1]:", (b"fe80::1", b"")), (b"[fe80::1%25eth0]:80", (b"fe80::1", b"80")),
    (b"[fe80::1%eth0]", (b"fe80::1", None)), (b"[fe80::1]5000", (b"", None)), (b"[", (b"", None)),
    (b"[fe80::1", (b"fe80::1", None)), (b"fe80::1", (b"fe80", b":1")),
)


def test_the_two_parts_of_an_authority():
    for text, parts in AUTHORITIES:
        assert split_authority(text) == parts, text
    for address, text in (("192.168.1.1", "192.168.1.1:5000"), ("fe80::1", "[fe80::1]:5000")):
        assert authority(address, 5000) == text
        assert split_authority(text.encode()) == (address.encode(), b"5000")


def test_the_head_of_an_answer():
    lines = http.reply(200, b"x" * 123).split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert lines[-2:] == [b"", b"x" * 123]
    for line in (b'Content-Type: text/xml; charset="utf-8"', b"Connection: close", b"Content-Length: 123", b"EXT:",
                 b"Server: " + http.SERVER.encode()):
        assert line in lines, line
    assert b"Allow: POST" in http.reply(405, b"", "text/plain", "Allow: POST\r\n").split(b"\r\n")
    assert http.reply(405, b"", "text/plain", "Allow: POST\r\n").endswith(b"\r\n\r\n")


def test_an_answer_to_a_head_request_is_its_head():
    request = _read((b"HEAD / HTTP/1.1\r\n\r\n",))[0]
    assert http.reply(200, b"abc", request=request) == http.reply(200, b"abc")[:-3]
    error = HTTPError(404)
    head, _, body = http.error_reply(error).partition(b"\r\n\r\n")
    assert body and http.error_reply(error, request) == head + b"\r\n\r\n"


# (header lines, bytes behind the request, does the connection go on?)
PERSISTENCE = (
    (b"", b"", False), (b"Connection: keep-alive\r\n", b"", True), (b"connection:Keep-Alive, x\r\n", b"", True),
    (b"Connection: close\r\n", b"", False), (b"", b"GET", True), (b"Connection: Close\r\n", b"GET", False),
    (b"", b"\r\n", False),
    # the end of a document whose client counted characters for bytes: no request
    (b"", b"pe>", False), (b"", b">", False), (b"", b"\xc3\xa9", False), (b"Connection: keep-alive\r\n", b"e>", True),
)


def test_a_connection_goes_on_when_the_client_says_so():
    for lines, behind, is_persistent in PERSISTENCE:
        for version in (b"1.0", b"1.1"):
            request = _read((b"GET / HTTP/" + version + b"\r\n" + lines + b"\r\n" + behind,))[0]
            assert request.is_persistent == is_persistent, (lines, behind)
            line = b"Connection: keep-alive" if is_persistent else b"Connection: close"
            assert line in http.reply(200, request=request).split(b"\r\n")


CHUNKED = b"POST /a HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n"


def test_a_body_in_chunks():
    for body in (b"3\r\nabc\r\n0\r\n\r\n", b"1\r\na\r\n2;x=y\r\nbc\r\n0\r\nTrailer: 1\r\n\r\n", b"003\nabc\n0\n\n"):
        for pieces in ((CHUNKED + body,), _bytes(CHUNKED + body)):
            assert [request.body for request in _read(pieces)] == [b"abc"]
        assert [request.body for request in _read((CHUNKED + body + CHUNKED + body,))] == [b"abc", b"abc"]
        for end in range(len(body)):
            assert _read((CHUNKED + body[:end],)) == []


def test_line_ends_too_much_between_requests():
    assert [request.path for request in _read((b"\r\n" + GET + b"\r\n\r\n" + GET,))] == ["/rootDesc.xml"] * 2


def test_the_server_names_upnp_between_two_others():
    words = http.SERVER.split(" ")
    assert len(words) == 3
    assert words[1] == "UPnP/1.1"
    assert words[2].startswith("miniigd/")


def test_every_status_has_a_whole_answer():
    for status in (400, 403, 404, 405, 411, 412, 413, 417, 431, 500, 501, 503, 505):
        head, _, body = http.error_reply(HTTPError(status)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"Content-Length: %d" % len(body) in head
        assert body.startswith(b"%d " % status)


def _request(heads, data):
    reader = RequestReader(heads)
    reader.receive(data)
    return reader.next_request()


def test_a_head_that_comes_again_is_the_same_object():
    heads = http.Heads()
    first, other = _request(heads, POST), _request(heads, POST.replace(b"<a></a>", b"<b></b>"))
    assert first.head is other.head and (first.body, other.body) == (b"<a></a>", b"<b></b>")
    for data in (POST.replace(b"Length: 7", b"Length: 6")[:-1], POST.replace(b"urn:x", b"urn:z"), GET,
                 b"\r\n" + POST.replace(b"User-Agent: x\r\n", b"")):
        request = _request(heads, data)
        assert request.head is not first.head
        assert (request.method, request.path, request.body) == (lambda one: (one.method, one.path, one.body))(
            _read((data,))[0])
    # A head that is known is no request yet, and the body counts from where it really begins.
    assert _request(heads, POST[:-1]) is None
    reader = RequestReader(heads)
    for byte in _bytes(POST):
        assert reader.next_request() is None
        reader.receive(byte)
    assert reader.next_request().head is first.head
    reader = RequestReader(heads)
    reader.receive(POST + GET)
    assert [reader.next_request().method for _ in range(2)] == ["POST", "GET"]


def test_few_heads_are_remembered_and_no_long_ones():
    heads = http.Heads()
    gets = [b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(7)]
    first = [_request(heads, data).head for data in gets]
    assert [_request(heads, data).head for data in gets[1:]] == first[1:]
    assert _request(heads, gets[0]).head is not first[0]
    assert len(heads._heads) == 6
    long = b"GET / HTTP/1.1\r\nA: " + b"x" * 640 + b"\r\n\r\n"
    assert _request(heads, long).head is not _request(heads, long).head
    for data, _ in REFUSED:
        heads = http.Heads()
        raised(HTTPError, _request, heads, data)
        assert len(heads._heads) <= 1  # one whose body was refused
