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
SERVER = "OpenWrt/1 UPnP/1.0 miniigd/" + VERSION

_REASONS = {
    200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    411: "Length Required", 413: "Content Too Large", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable", 505: "HTTP Version Not Supported",
}


class HTTPError(Exception):
    """The request cannot be served: `status` says how to answer before the connection is closed."""

    def __init__(self, status):
        super().__init__(status)
        self.status = status


class Request:
    """A request: `method` and `path` as text, `body` as bytes; see `header`."""

    def __init__(self, method, path, head):
        self.method = method
        self.path = path
        self.body = b""
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
        self._length = 0  # of its body
        self.wants_continue = False  # the client waits for "100 Continue" before it sends the body

    def receive(self, data):
        """Take what came from the connection."""
        self._buffer += data

    def next_request(self):
        """Return the next complete Request, or None; HTTPError when it cannot become one."""
        if self._request is None and not self._read_head():
            return None
        if len(self._buffer) < self._length:
            return None
        request, self._request = self._request, None
        request.body = bytes(self._buffer[:self._length])
        self._buffer[:self._length] = b""
        self.wants_continue = False
        return request

    def _read_head(self):
        end, behind = _head_end(self._buffer)
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise HTTPError(431)
            return False
        if end > MAX_HEAD:
            raise HTTPError(431)
        head = bytes(self._buffer[:end])
        self._buffer[:behind] = b""
        method, path = _request_line(head.partition(b"\n")[0])
        request = Request(method, path, head)
        self._length = _body_length(request)
        self._request = request
        self.wants_continue = (self._length > len(self._buffer)
                               and (request.header(b"expect") or b"").lower() == b"100-continue")
        return True


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
    if request.header(b"transfer-encoding") is not None:
        raise HTTPError(501)
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


def reply_head(status, length, content_type='text/xml; charset="utf-8"', extra=""):
    """Return the head (bytes) of an answer with `length` bytes behind it; `extra` is further header lines."""
    return ("HTTP/1.1 %d %s\r\nContent-Type: %s\r\nConnection: close\r\nContent-Length: %d\r\nServer: %s\r\nEXT:\r\n"
            "%s\r\n" % (status, _REASONS[status], content_type, length, SERVER, extra)).encode()


def error_reply(status):
    """Return the whole answer (bytes) for an HTTP error."""
    text = ("%d %s\n" % (status, _REASONS[status])).encode()
    return reply_head(status, len(text), "text/plain") + text
