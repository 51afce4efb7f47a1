"""Takes a transcript apart for the tests that look at its answers: who was answered what, in which order.

    talk = play("nat-upnp-1.1.1")
    talk.call("AddPortMapping").values()    # the response's arguments, as a strict XML parser reads them
    talk.call("DeletePortMapping", 1).code  # of the second such call's fault
    talk.search("upnp:rootdevice")          # the headers of each datagram that answers it
    talk.get("/rootDesc.xml").root          # the document as ElementTree reads it

Reads the files only: that they are what the daemon answers is test_replay's business.
"""

import functools
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import replay

FOLDER = Path(__file__).resolve().parent / "transcripts"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
ENVELOPE = "{http://schemas.xmlsoap.org/soap/envelope/}"
DEVICE = "{urn:schemas-upnp-org:device-1-0}"
SCPD = "{urn:schemas-upnp-org:service-1-0}"
IGD = "urn:schemas-upnp-org:device:InternetGatewayDevice:%d"
_LATE_MS = 100  # no answer to a search comes later
WAN_IP = "urn:schemas-upnp-org:service:WANIPConnection:%d"


def headers(head):
    """Return {name in lower case: value} of a message's head (bytes); no name may come twice."""
    lines = head.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    found = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines if line}
    assert len(found) == len([line for line in lines if line]), head
    return found


class Exchange:
    """What one peer sent until it was answered, and the answer: `sent` and `got` are the segments or datagrams."""

    def __init__(self, where, at):
        self.where = where
        self.at = self.answered_at = at  # milliseconds from the transcript's start to the end of the request
        self.sent, self.got = [], []
        self.is_closed = False  # by the daemon, behind the answer

    @property
    def request(self):
        return b"".join(self.sent)

    @property
    def answer(self):
        """The final answer, without a 100 before it."""
        return b"".join(self.got).removeprefix(CONTINUE)

    @property
    def status(self):
        return int(self.answer.split(b" ", 2)[1])

    @property
    def headers(self):
        return headers(self.answer)

    @property
    def asked(self):
        """The headers of the request."""
        return headers(self.request)

    @property
    def body(self):
        """The answer's body, which is exactly as long as its head says."""
        body = self.answer.partition(b"\r\n\r\n")[2]
        assert len(body) == int(self.headers["content-length"])
        return body

    @property
    def root(self):
        return ElementTree.fromstring(self.body)

    def values(self):
        """Return the response's arguments {name: text}; fails when it is a fault."""
        assert self.status == 200, self.answer
        inner = self.root.find(ENVELOPE + "Body")[0]
        assert inner.tag.endswith("Response")
        return {one.tag: one.text or "" for one in inner}

    @property
    def code(self):
        """The UPnP error code of a fault."""
        assert self.status == 500, self.answer
        fault = self.root.find(ENVELOPE + "Body")[0]
        assert fault.tag == ENVELOPE + "Fault" and fault.find("faultstring").text == "UPnPError"
        error = fault.find("detail")[0]
        assert error.tag == "{urn:schemas-upnp-org:control-1-0}UPnPError"
        assert error.find("{urn:schemas-upnp-org:control-1-0}errorDescription").text
        return int(error.find("{urn:schemas-upnp-org:control-1-0}errorCode").text)


class Talk:
    """All exchanges of a transcript in order, and the daemon's own messages: events and multicast."""

    def __init__(self, text):
        self.exchanges, self.events, self.multicast = [], [], []
        self.now = 0
        self._open = {}
        where, side, piece = None, None, b""
        for line in text.split("\n"):
            mark = line[:2]
            if mark in ("> ", "< ") and mark == side:
                piece += replay.unescape(line[2:].encode())
                continue
            if piece:
                self._add(where, side, piece)
                side, piece = (side if line == "-" else None), b""
            if mark in ("> ", "< "):
                side, piece = mark, replay.unescape(line[2:].encode())
            elif line == ".":
                if where in self._open:
                    self._open.pop(where).is_closed = True
            elif line.startswith("wait "):
                self.now += round(float(line[5:]) * 1000)
            elif line.split(" ")[0] in ("udp", "tcp", "event", "multicast"):
                where = line
        if piece:
            self._add(where, side, piece)

    def _add(self, where, side, data):
        if where == "multicast":
            self.multicast.append((self.now, data))
        elif where.startswith("event"):
            self.events.append(self._exchange(where, [data]))
        elif side == "< ":
            one = self._searcher(where, data) if where.startswith("udp") else self._open[where]
            one.got.append(data)
            one.answered_at = self.now
        else:
            # a segment goes on with its request, a datagram never does
            before = self._open.get(where)
            if before is None or where.startswith("udp") or b"".join(before.got) not in (b"", CONTINUE):
                before = self._open[where] = self._exchange(where, [])
                self.exchanges.append(before)
            before.sent.append(data)
            before.at = before.answered_at = self.now

    def _searcher(self, where, datagram):
        """Return the search that this datagram answers; several may wait for theirs."""
        for asked in headers(datagram)["st"], "ssdp:all":
            line = rb"(?i)\nst: *%s(\r|\n|$)" % re.escape(asked.encode())
            for one in self.exchanges:
                if one.where == where and self.now - one.at < _LATE_MS and datagram not in one.got and (
                        re.search(line, one.request)):
                    return one
        raise AssertionError("nobody asked for this: %s" % datagram)

    def _exchange(self, where, got):
        made = Exchange(where, self.now)
        made.got = got
        return made

    def requests(self, start):
        """Return the exchanges whose request begins with that (text)."""
        return [one for one in self.exchanges if one.where.startswith("tcp") and one.request.startswith(start.encode())]

    def get(self, path):
        """Return the first answer to a GET of that path."""
        found = self.requests("GET %s HTTP" % path)[0]
        assert found.status == 200
        return found

    def call(self, action, index=0):
        """Return the call of an action, counted from 0 in the transcript."""
        return self.calls(action)[index]

    def calls(self, action):
        """Return all calls of an action."""
        return [one for one in self.requests("POST ")
                if one.asked.get("soapaction", "").strip('"').endswith("#" + action)]

    def search(self, target):
        """Return the headers of each datagram that answers searches for the target, with "peer" among them."""
        found = []
        for one in self.exchanges:
            if one.where.startswith("udp") and b":" + target.encode() in one.request.replace(b": ", b":"):
                for datagram in one.got:
                    assert datagram.startswith(b"HTTP/1.1 200 OK\r\n") and datagram.endswith(b"\r\n\r\n")
                    found.append(headers(datagram) | {"peer": one.where})
        return found


@functools.lru_cache(maxsize=None)
def play(name):
    """Return the Talk of a transcript."""
    return Talk((FOLDER / (name + ".txt")).read_text())


def services(root):
    """Return [(serviceType, {element: text})] of a description."""
    found = []
    for one in root.iter(DEVICE + "service"):
        texts = {inner.tag.removeprefix(DEVICE): inner.text for inner in one}
        assert all(texts.get(name) for name in "serviceType serviceId SCPDURL controlURL eventSubURL".split())
        found.append((texts["serviceType"], texts))
    return found


def service(root, service_type):
    """Return the elements of one service of a description."""
    return dict(services(root))[service_type]


def device_types(root):
    """Return the types of all devices of a description."""
    return [one.text for one in root.iter(DEVICE + "deviceType")]


def has_mapped(talk, lease=None, action="AddPortMapping"):
    """Fail unless every such call was granted, with that lease asked."""
    calls = talk.calls(action)
    assert calls
    for one in calls:
        one.values()
        assert lease is None or re.search(b"<NewLeaseDuration[^>]*>%d<" % lease, one.request)
    return calls
