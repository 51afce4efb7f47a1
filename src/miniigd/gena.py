"""GENA, the events of UPnP (UDA 1.0 section 4): subscriptions and the messages that tell of changes.

Sans-IO: requests and `now` (seconds) in, answers and messages out. Who sends is events.py.

    subscriptions = Subscriptions(make_sid)
    answer, subscription = subscriptions.subscribe(request, caller, now, version, service)
    data = subscription.message(context)   # None when nothing changed
    answer = subscriptions.unsubscribe(request)

Raises HTTPError; any other exception is a bug.
"""

from . import log
from .addresses import ip6_bytes
from .compat import const
from .http import HTTPError, authority, reply, split_authority
from .soap import text_of

MAX_SUBSCRIPTIONS = const(32)  # in all: each costs about 400 bytes, and a connection for each change
MAX_SUBSCRIPTIONS_PER_HOST = const(8)  # Windows takes 3, Home Assistant 3
_SHORTEST, _LONGEST = const(60), const(1800)  # seconds of a subscription; UDA 1.0 4.1.1 asks for 1800 or more
_MAX_PATH = const(200)  # bytes of a callback's path; the longest met has 60


class Subscription:
    """One subscriber of one service: `sid`, where it listens (`host`, `port`, `path`), `expires` in seconds."""

    def __init__(self, sid, version, service, host, port, path, expires, owner):
        self.sid = sid
        self.owner = owner  # whose subscription it counts as: a host may have many addresses
        self.version = version
        self.service = service
        self.host = host
        self.port = port
        self.path = path
        self.expires = expires
        self.is_busy = False  # a message is under way: one at a time, so that they arrive in order
        self.failures = 0  # in a row
        self._sequence = 0
        self._sent = {}  # variable's name -> the value that the subscriber knows

    def message(self, context):
        """Return the NOTIFY (bytes) with the variables that changed, all of them the first time; None if none did.

        Called once for each message: the values count as known from then on.
        """
        parts = []
        for variable in self.service.variables:
            if variable.is_evented:
                value = text_of(variable.value(context))
                if self._sent.get(variable.name) != value:
                    self._sent[variable.name] = value
                    parts.append("<e:property><%s>%s</%s></e:property>" % (variable.name, value, variable.name))
        if not parts:
            return None
        body = ('<?xml version="1.0"?>\r\n<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">%s'
                "</e:propertyset>\r\n" % "".join(parts)).encode()
        head = ("NOTIFY %s HTTP/1.1\r\nHOST: %s\r\nCONTENT-TYPE: text/xml; charset=\"utf-8\"\r\n"
                "CONTENT-LENGTH: %d\r\nNT: upnp:event\r\nNTS: upnp:propchange\r\nSID: %s\r\nSEQ: %d\r\n"
                "CONNECTION: close\r\n\r\n" % (self.path, authority(self.host, self.port), len(body), self.sid, self._sequence))
        # 4.2.1: 0 is the first message alone, so the count goes on with 1 when it wraps
        self._sequence = self._sequence + 1 if self._sequence < 4294967295 else 1
        return head.encode() + body

    def forget(self):
        """A message was lost: the next one tells everything anew."""
        self._sent = {}


class Subscriptions:
    """All subscriptions of one device; `make_sid()` returns a new "uuid:..." each time."""

    def __init__(self, make_sid):
        self._make_sid = make_sid
        self._subscriptions = []

    def __len__(self):
        return len(self._subscriptions)

    def __iter__(self):
        return iter(list(self._subscriptions))

    def __contains__(self, subscription):
        return subscription in self._subscriptions

    def subscribe(self, request, caller, now, version, service, owner=""):
        """Answer SUBSCRIBE (4.1.1, 4.1.2): return (answer, the new Subscription, or None for a renewal).

        `owner` names the host behind the address `caller`, where that is known.
        """
        owner = owner or caller
        sid, kind, callback = request.header(b"sid"), request.header(b"nt"), request.header(b"callback")
        if sid is not None:
            subscription = self._find(sid, kind, callback)
            subscription.expires = now + _timeout(request)
            return _answer(request, subscription, now), None
        if kind != b"upnp:event":
            raise HTTPError(412)
        host, port, path = _callback(callback or b"", caller)
        count = len([1 for one in self._subscriptions if one.owner == owner])
        is_full = len(self._subscriptions) >= MAX_SUBSCRIPTIONS
        if is_full or count >= MAX_SUBSCRIPTIONS_PER_HOST:
            log.event("refused", caller, "a subscription to %s: %s" % (
                caller, "there are %d already" % MAX_SUBSCRIPTIONS if is_full else "it has %d already" % count))
            raise HTTPError(503)
        subscription = Subscription(self._make_sid(), version, service, host, port, path, now + _timeout(request), owner)
        self._subscriptions.append(subscription)
        return _answer(request, subscription, now), subscription

    def unsubscribe(self, request):
        """Answer UNSUBSCRIBE (4.1.3)."""
        subscription = self._find(request.header(b"sid"), request.header(b"nt"), request.header(b"callback"))
        self.remove(subscription)
        return reply(200, request=request)

    def remove(self, subscription):
        """Forget a subscription; one that is not there is ignored."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def expire(self, now):
        """Forget what was not renewed."""
        self._subscriptions = [one for one in self._subscriptions if one.expires > now]

    def _find(self, sid, kind, callback):
        if kind is not None or callback is not None:
            raise HTTPError(400)  # 4.1.2: incompatible header fields
        for subscription in self._subscriptions:
            if sid is not None and subscription.sid.encode() == sid:
                return subscription
        raise HTTPError(412)


def _answer(request, subscription, now):
    return reply(200, extra="SID: %s\r\nTIMEOUT: Second-%d\r\n" % (subscription.sid, subscription.expires - now),
                 request=request)


def _timeout(request):
    """Return for how many seconds a subscription is taken: as asked, within bounds; "infinite" is the longest."""
    digits = (request.header(b"timeout") or b"").lower().partition(b"second-")[2]
    if not digits.isdigit() or len(digits) > 8:
        return _LONGEST
    return min(max(int(digits), _SHORTEST), _LONGEST)


def _callback(header, caller):
    """Return (host, port, path) of the first callback that is allowed; HTTPError 412 when there is none.

    A callback leads to the asking host itself and nowhere else, or anybody on the LAN could have this router send
    requests to any server (CVE-2020-12695).
    """
    for piece in header.split(b"<")[1:]:
        url = piece.partition(b">")[0]
        if url[:7].lower() == b"http://":
            where, slash, path = url[7:].partition(b"/")
            host, port = split_authority(where)
            if _is_host(host, caller) and _is_path(path) and (port is None or _is_port(port)):
                return caller, 80 if port is None else int(port), "/" + path.decode()
    raise HTTPError(412)


def _is_host(host, caller):
    """True when `host` (bytes) is the address `caller`, which for IPv6 can be written in many ways."""
    if host == caller.encode():
        return True
    try:
        return ":" in caller and ip6_bytes(host.decode()) == ip6_bytes(caller)
    except ValueError:
        return False


def _is_port(digits):
    return digits.isdigit() and len(digits) <= 5 and 0 < int(digits) <= 65535


def _is_path(path):
    return len(path) <= _MAX_PATH and (not path or (min(path) > 0x20 and max(path) < 0x7F))
