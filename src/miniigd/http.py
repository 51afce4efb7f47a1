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


class Request:
    """A request: `method` and `path` as text, `body` as bytes; see `header`."""

    def __init__(self, method, path, head):
        self.method = method
        self.path = path
        self.body = b""
        self.is_persistent = False  # the client goes on with this connection
        self._head = head
        self._lower = head.lower()

    def header(self, name):
        """Return the value (bytes) of the first header of that lower-case name (bytes), or None.

        Looked up when asked for: clients send many headers, and few of them matter.
        """
        start = self._lower.find(b"\n" + name + b":")
        if start < 0:
            return None
        start += len(name) + 2
        end = self._head.find(b"\n", start)
        return (self._head[start:] if end < 0 else self._head[start:end]).strip()


class RequestReader:
    """Puts together the requests of one connection, however the bytes arrive."""

    def __init__(self):
        self._buffer = bytearray()
        self._request = None  # once its head is complete
        self._length = 0  # of its body; None: it comes in chunks
        self.wants_continue = False  # the client waits for "100 Continue" before it sends the body

    def receive(self, data):
        """Take what came from the connection."""
        self._buffer += data

    @property
    def has_more(self):
        """True while there is something that was not taken as a request yet."""
        return len(self._buffer) > 0

    def next_request(self):
        """Return the next complete Request, or None; HTTPError when it cannot become one."""
        if self._request is None and not self._read_head():
            return None
        if self._length is None:
            if not self._read_chunks():
                return None
        elif len(self._buffer) < self._length:
            return None
        else:
            self._request.body = self._take(self._length)
        request, self._request = self._request, None
        self.wants_continue = False
        self._skip_empty_lines()
        # What follows is a request only if it begins like one: some clients count characters for bytes, and what is
        # left over then is the end of their document.
        request.is_persistent = _is_persistent(request, bytes(self._buffer[:1]).isupper())
        return request

    def _take(self, length):
        """Return the first bytes of the buffer and remove them there."""
        data = bytes(self._buffer[:length])
        self._buffer[:length] = b""
        return data

    def _skip_empty_lines(self):
        # RFC 9112 2.2: clients are known to send a line end too much behind a body.
        while self._buffer[:1] in (b"\r", b"\n"):
            self._buffer[:1] = b""

    def _read_head(self):
        self._skip_empty_lines()
        end, behind = _head_end(self._buffer)
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise HTTPError(431)
            return False
        if end > MAX_HEAD:
            raise HTTPError(431)
        head = self._take(behind)[:end]
        method, path = _request_line(head.partition(b"\n")[0])
        request = Request(method, path, head)
        self._length = _body_length(request)
        expect = request.header(b"expect")
        if expect is not None:
            if expect.lower() != b"100-continue":
                raise HTTPError(417)
            self.wants_continue = self._length is None or self._length > len(self._buffer)
        self._request = request
        return True

    def _read_chunks(self):
        """Move complete chunks to the request's body; True when the last one was there (RFC 9112 7.1)."""
        while True:
            end = self._buffer.find(b"\n")
            if end < 0:
                if len(self._buffer) > _MAX_CHUNK_LINE:
                    raise HTTPError(400)
                return False
            size = _chunk_size(self._buffer[:end])
            if len(self._request.body) + size > MAX_BODY:
                raise HTTPError(413)
            if size == 0:
                return self._read_trailer(end + 1)
            behind = self._buffer.find(b"\n", end + 1 + size)
            if behind < 0:
                if len(self._buffer) > end + 1 + size + 2:
                    raise HTTPError(400)
                return False
            self._take(end + 1)
            self._request.body += self._take(size)
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


def _is_persistent(request, has_more):
    """True when the client means to go on: it says so, or it has sent more already.

    HTTP/1.1 would keep every connection that the client does not say to close; but some clients read until the end
    of the connection, and none is known to need it open without asking.
    """
    connection = (request.header(b"connection") or b"").lower()
    return b"close" not in connection and (has_more or b"keep-alive" in connection)


def _head_end(buffer):
    """Return (end of the head, start of the body): the empty line may end in CRLF or in a bare LF."""
    crlf, lf = buffer.find(b"\r\n\r\n"), buffer.find(b"\n\n")
    if crlf >= 0 and (lf < 0 or crlf < lf):
        return crlf, crlf + 4
    return lf, lf + 2


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


def _body_length(request):
    """Return the length that the head announces for the body, None for chunks."""
    coding = request.header(b"transfer-encoding")
    if coding is not None:
        if coding.lower() != b"chunked":
            raise HTTPError(501)
        return None
    value = request.header(b"content-length")
    if value is None:
        if request.method == "POST":
            raise HTTPError(411)
        return 0
    if not value.isdigit():
        raise HTTPError(400)
    if len(value) > 8 or int(value) > MAX_BODY:
        raise HTTPError(413)
    return int(value)


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def reply(status, body=b"", content_type='text/xml; charset="utf-8"', extra="", request=None):
    """Return a whole answer (bytes): `reply_pieces` in one."""
    return b"".join(reply_pieces(status, body, content_type, extra, request))


def reply_pieces(status, body, content_type='text/xml; charset="utf-8"', extra="", request=None):
    """Return the pieces of a whole answer, in which `body` (bytes) is not copied.

    `extra` is further header lines, each with its CRLF. To a HEAD `request` the body is left out; the connection goes
    on if the `request` is persistent.
    """
    is_persistent = request is not None and request.is_persistent
    head = ("HTTP/1.1 %d %s\r\nContent-Type: %s\r\nConnection: %s\r\nContent-Length: %d\r\nServer: %s\r\nEXT:\r\n"
            "%s\r\n" % (status, _REASONS[status], content_type, "keep-alive" if is_persistent else "close", len(body),
                       SERVER, extra)).encode()
    return (head,) if not body or request is not None and request.method == "HEAD" else (head, body)


def error_reply(error, request=None):
    """Return the whole answer (bytes) for an HTTPError."""
    text = ("%d %s\n" % (error.status, _REASONS[error.status])).encode()
    return reply(error.status, text, "text/plain", error.extra, request)
