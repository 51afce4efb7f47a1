"""HTTP as UPnP clients speak it: read requests from bytes, write the head of an answer.

Owns the message format of HTTP/1.0 and 1.1 and its limits. No sockets, no clock, no paths.

    reader = RequestReader()
    reader.receive(data)
    request = reader.next_request()   # a Request, or None until more came

Raises HTTPError; any other exception is a bug.
"""

from . import VERSION
from .compat import const

MAX_HEAD = const(4096)  # bytes of request line and headers; the longest seen from a client is below 700
MAX_BODY = const(8192)  # bytes; an AddPortMapping with long names is below 1,500
_MAX_CHUNK_LINE = const(64)  # bytes of a chunk's size and extensions
_MOST_HEADS, _MAX_KEPT_HEAD = const(6), const(640)  # that are kept, and bytes of the longest of them
SERVER = "OpenWrt/1 UPnP/1.1 miniigd/" + VERSION

_REASONS = {
    200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    411: "Length Required", 412: "Precondition Failed", 413: "Content Too Large", 417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable", 505: "HTTP Version Not Supported",
}


def authority(address, port):
    """Return the part of a URL that names the server at an `address` of either family."""
    return ("[%s]:%d" if ":" in address else "%s:%d") % (address, port)


def split_authority(text):
    """Return (host, port) in bytes of what a URL or Host header (bytes) names; port is None where it is left out.

    The brackets around an IPv6 address go, and with them its zone, which means something on the other host only.
    """
    if text[:1] == b"[":
        host, _, rest = text[1:].partition(b"]")
        if rest and rest[:1] != b":":
            return b"", None
        return host.partition(b"%")[0], rest[1:] if rest else None
    host, colon, port = text.partition(b":")
    return host, port if colon else None


class HTTPError(Exception):
    """The request cannot be served: `status` and `extra` header lines say how to answer before the connection ends."""

    def __init__(self, status, extra=""):
        super().__init__(status, extra)
        self.status = status
        self.extra = extra


class Head:
    """The head of a request: `method` and `path` as text; see `header`. `raw` is all of it, to the empty line.

    `length` is what it announces for the body, in bytes; None: it comes in chunks. HTTPError.
    """

    def __init__(self, raw):
        self.raw = raw
        self._lower = raw.lower()
        self.method, self.path = _request_line(raw.partition(b"\n")[0])
        self.length = _body_length(self)
        expect = self.header(b"expect")
        if expect is not None and expect.lower() != b"100-continue":
            raise HTTPError(417)
        self.expects_continue = expect is not None
        connection = (self.header(b"connection") or b"").lower()
        self._is_closing, self._is_kept = b"close" in connection, b"keep-alive" in connection
        self.plan = None  # what whoever answers has found out from it

    def header(self, name):
        """Return the value (bytes) of the first header of that lower-case name (bytes), or None.

        Looked up when asked for: clients send many headers, and few of them matter.
        """
        start = self._lower.find(b"\n" + name + b":")
        if start < 0:
            return None
        start += len(name) + 2
        return self.raw[start:self.raw.find(b"\n", start)].strip()

    def is_persistent(self, has_more):
        """True when the client means to go on: it says so, or it has sent more already.

        HTTP/1.1 would keep every connection that the client does not say to close; but some clients read until the end
        of the connection, and none is known to need it open without asking.
        """
        return not self._is_closing and (self._is_kept or has_more)


class Heads:
    """The last few heads that came: a client that asks again mostly sends the very same, which is not read anew."""

    def __init__(self):
        self._heads = []

    def find(self, buffer):
        """Return the Head (the same one each time) that `buffer` begins with, or None."""
        for head in self._heads:
            if buffer.startswith(head.raw):
                return head
        return None

    def keep(self, head):
        """Remember a Head, in the place of the oldest where there are enough."""
        if len(head.raw) <= _MAX_KEPT_HEAD:
            if len(self._heads) >= _MOST_HEADS:
                del self._heads[0]
            self._heads.append(head)


class Request:
    """A request: its `head` (Head) and `body` (bytes); `is_persistent`: the client goes on with this connection."""

    def __init__(self, head, body, is_persistent):
        self.head = head
        self.body = body
        self.is_persistent = is_persistent
        self.is_quiet = False  # told by whoever answers: it changed nothing

    @property
    def method(self):
        """The method (text)."""
        return self.head.method

    @property
    def path(self):
        """The path (text)."""
        return self.head.path

    def header(self, name):
        """Return Head.header."""
        return self.head.header(name)


class RequestReader:
    """Puts together the requests of one connection, however the bytes arrive; `heads` (Heads) may serve many of them."""

    def __init__(self, heads=None):
        self._heads = heads or Heads()
        self._buffer = b""  # a bytearray once something had to be waited for
        self._head = None  # of the request whose body is awaited
        self._body = b""  # the chunks of it so far
        self.wants_continue = False  # the client waits for "100 Continue" before it sends the body

    def receive(self, data):
        """Take what came from the connection: bytes, or a view of them."""
        if not self._buffer:
            self._buffer = bytes(data)
            return
        if isinstance(self._buffer, bytes):
            self._buffer = bytearray(self._buffer)
        self._buffer += data

    @property
    def has_more(self):
        """True while there is something that was not taken as a request yet."""
        return len(self._buffer) > 0

    def next_request(self):
        """Return the next complete Request, or None; HTTPError when it cannot become one."""
        head = self._head or self._read_head()
        if head is None:
            return None
        if head.length is None:
            if not self._read_chunks():
                return None
            body, self._body = self._body, b""
        elif len(self._buffer) < head.length:
            return None
        else:
            body = self._take(head.length)
        self._head = None
        self.wants_continue = False
        has_more = False
        if self._buffer:
            self._skip_empty_lines()
            # What follows is a request only if it begins like one: some clients count characters for bytes, and what
            # is left over then is the end of their document.
            has_more = bytes(self._buffer[:1]).isupper()
        return Request(head, body, head.is_persistent(has_more))

    def _take(self, length):
        """Return the first bytes of the buffer and remove them there."""
        data = self._buffer
        if length == len(data):
            self._buffer = b""
        else:
            data, self._buffer = data[:length], data[length:]
        return data if isinstance(data, bytes) else bytes(data)

    def _skip_empty_lines(self):
        # RFC 9112 2.2: clients are known to send a line end too much behind a body.
        count = 0
        while count < len(self._buffer) and self._buffer[count] in (10, 13):
            count += 1
        if count:
            self._take(count)

    def _read_head(self):
        """Return the Head of the next request, or None; HTTPError."""
        self._skip_empty_lines()
        head = self._heads.find(self._buffer)
        if head is None:
            behind = _head_end(self._buffer)
            if behind > MAX_HEAD + 4 or behind < 0 and len(self._buffer) > MAX_HEAD:  # 4: the empty line
                raise HTTPError(431)
            if behind < 0:
                return None
            head = Head(self._take(behind))
            self._heads.keep(head)
        else:
            self._buffer = self._buffer[len(head.raw):]
        if head.expects_continue:
            self.wants_continue = head.length is None or head.length > len(self._buffer)
        self._head = head
        return head

    def _read_chunks(self):
        """Move complete chunks to the body; True when the last one was there (RFC 9112 7.1)."""
        while True:
            end = self._buffer.find(b"\n")
            if end < 0:
                if len(self._buffer) > _MAX_CHUNK_LINE:
                    raise HTTPError(400)
                return False
            size = _chunk_size(self._buffer[:end])
            if len(self._body) + size > MAX_BODY:
                raise HTTPError(413)
            if size == 0:
                return self._read_trailer(end + 1)
            behind = self._buffer.find(b"\n", end + 1 + size)
            if behind < 0:
                if len(self._buffer) > end + 1 + size + 2:
                    raise HTTPError(400)
                return False
            self._take(end + 1)
            self._body += self._take(size)
            if self._take(behind - end - size).strip():
                raise HTTPError(400)

    def _read_trailer(self, start):
        """Remove the lines from `start` to an empty one; nothing in them matters here. True when it was there."""
        position = start
        while True:
            end = self._buffer.find(b"\n", position)
            if end < 0:
                if len(self._buffer) > MAX_HEAD:
                    raise HTTPError(431)
                return False
            is_empty = not self._buffer[position:end].strip()
            position = end + 1
            if is_empty:
                self._take(position)
                return True


def _chunk_size(line):
    digits = bytes(line).partition(b";")[0].strip()
    if not 0 < len(digits) <= 4 or digits.strip(b"0123456789abcdefABCDEF"):
        raise HTTPError(400 if len(digits) <= 4 else 413)
    return int(digits.decode(), 16)


def _head_end(buffer):
    """Return where the body starts, -1 if not yet: the empty line before it may end in CRLF or in a bare LF."""
    crlf = buffer.find(b"\r\n\r\n")
    lf = buffer.find(b"\n\n", 0, crlf) if crlf >= 0 else buffer.find(b"\n\n")
    return lf + 2 if lf >= 0 else crlf + 4 if crlf >= 0 else -1


def _request_line(line):
    words = line.split()
    if len(words) != 3 or not words[2].startswith(b"HTTP/"):
        raise HTTPError(400)
    if not words[2].startswith(b"HTTP/1."):
        raise HTTPError(505)
    target = words[1]
    if target[:7].lower() == b"http://":  # RFC 9112 3.2.2: servers take the absolute form too
        target = b"/" + target[7:].partition(b"/")[2]
    try:
        return words[0].decode(), target.decode()
    except ValueError:
        raise HTTPError(400)


def _body_length(head):
    """Return the length that the head announces for the body, None for chunks."""
    coding = head.header(b"transfer-encoding")
    if coding is not None:
        if coding.lower() != b"chunked":
            raise HTTPError(501)
        return None
    value = head.header(b"content-length")
    if value is None:
        if head.method == "POST":
            raise HTTPError(411)
        return 0
    if not value.isdigit():
        raise HTTPError(400)
    if len(value) > 8 or int(value) > MAX_BODY:
        raise HTTPError(413)
    return int(value)


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_XML = 'text/xml; charset="utf-8"'
_BEFORE = "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nConnection: %s\r\nContent-Length: "
_BEHIND = ("\r\nServer: %s\r\nEXT:\r\n" % SERVER).encode()
_HEAD_PIECES = const(5)
_befores = {}  # is it persistent? -> the beginning of nearly all answers


def reply(status, body=b"", content_type=_XML, extra="", request=None):
    """Return a whole answer (bytes): `reply_pieces` in one."""
    return b"".join(_pieces(status, body, content_type, extra, request))


def reply_pieces(status, body, content_type=_XML, extra="", request=None):
    """Return the pieces of a whole answer, in which `body` (bytes) is not copied.

    `extra` is further header lines, each with its CRLF. To a HEAD `request` the body is left out; the connection goes
    on if the `request` is persistent.
    """
    pieces = _pieces(status, body, content_type, extra, request)
    return (b"".join(pieces[:_HEAD_PIECES]),) + pieces[_HEAD_PIECES:]


def _pieces(status, body, content_type, extra, request):
    is_persistent = request is not None and request.is_persistent
    is_usual = status == 200 and content_type == _XML
    before = _befores.get(is_persistent) if is_usual else None
    if before is None:
        before = (_BEFORE % (status, _REASONS[status], content_type, "keep-alive" if is_persistent else "close")).encode()
        if is_usual:
            _befores[is_persistent] = before
    head = (before, str(len(body)).encode(), _BEHIND, extra.encode() if extra else b"", b"\r\n")
    return head if request is not None and request.head.method == "HEAD" else head + (body,)


def error_reply(error, request=None):
    """Return the whole answer (bytes) for an HTTPError."""
    text = ("%d %s\n" % (error.status, _REASONS[error.status])).encode()
    return reply(error.status, text, "text/plain", error.extra, request)
