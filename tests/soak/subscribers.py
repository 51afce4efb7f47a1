"""The events of a soak: hosts subscribe, one server on the LAN takes what they are sent, for all of them.

What each subscriber was told last is its view of the router. Its messages are numbered (UDA 1.0 4.2.1); where one is
lost, because the network was away or the machine too busy, the next one has to tell everything anew.
"""

import re
import socket
import threading
import time
from collections import namedtuple

import test_subscriptions

from promises import EARLY, LATE, NEVER, Value

EVENTS = (test_subscriptions.EVENT, "/igd2" + test_subscriptions.EVENT)
_SECONDS = (60, 120, 300)
_WAIT = 3  # seconds for a message to come in whole

Message = namedtuple("Message", "sequence values")


class Events(test_subscriptions.Subscriber):
    """Subscriptions of the hosts of `world`; a host has at most two."""

    def __init__(self, world):  # not Subscriber's: one server for all hosts
        self.world = world
        self.server = world.lab.lan.call(socket.create_server, ("0.0.0.0", 0), backlog=64)
        self.port = self.server.getsockname()[1]
        self.notified = self.lost = 0
        self.lag = 0  # seconds that the router's clock has lost
        self._messages = {}  # SID -> the last Message, with all that its subscriber was told
        self._lock = threading.Lock()
        self._subscriptions = {}  # SID -> (host's number, Value: until when; what is the second it was made)
        self._gone = 0  # subscriptions made before this second may be gone
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.server.close()

    # --- what happens to the router

    def may_be_gone(self, now):
        """Something took place before `now` that may end subscriptions; NEVER: it goes on until this is called again."""
        with self._lock:
            self._gone = now if self._gone == NEVER else max(self._gone, now)

    # --- what hosts ask

    def ask(self, host, method, path, **headers):
        self_of_host = _Asking(host)
        return test_subscriptions.Subscriber.request(self_of_host, method, path, host.host, **headers)

    def subscribe(self, host, number):
        if len(self.of(host)) >= 2:
            return "has two"
        seconds, sent = _SECONDS[number % 3], time.monotonic()
        status, headers = self.ask(host, "SUBSCRIBE", EVENTS[number % 2], NT="upnp:event",
                                   TIMEOUT="Second-%d" % seconds,
                                   CALLBACK="<http://%s:%d/%d>" % (host.host, self.port, host.number))
        if status == 200:
            seconds = int(headers["TIMEOUT"].removeprefix("Second-"))
            with self._lock:
                self._subscriptions[headers["SID"]] = (host.number, EVENTS[number % 2], Value(
                    sent, sent + seconds, time.monotonic() + seconds))
        return str(status)

    def of(self, host):
        now = time.monotonic()
        with self._lock:
            return sorted(sid for sid, (number, _, value) in self._subscriptions.items()
                          if number == host.number and now <= value.high + LATE + self.lag)

    def renew(self, host, number):
        return self._again(host, number, "SUBSCRIBE", TIMEOUT="Second-%d" % _SECONDS[number % 3])

    def unsubscribe(self, host, number):
        return self._again(host, number, "UNSUBSCRIBE")

    def _again(self, host, number, method, **headers):
        sids = self.of(host)
        if not sids:
            return "has none"
        sid = sids[number % len(sids)]
        owner, path, value = self._subscriptions[sid]
        sent = time.monotonic()
        try:
            status, answer = self.ask(host, method, path, SID=sid, **headers)
        except Exception:
            if method == "UNSUBSCRIBE":
                self._set(sid, owner, path, Value(-1, sent, value.high))  # it may be gone
            else:
                self._set(sid, owner, path, Value(value.what, value.low, max(value.high, time.monotonic() + 300)))
            raise
        now = time.monotonic()
        if status == 412:
            if self._is_sure(value, sent, now):
                self.world.disagree("the subscription %s of %s is not known any more" % (sid, host.host))
            self._set(sid, None)
        elif status == 200 and method == "UNSUBSCRIBE":
            self._set(sid, None)
        elif status == 200:
            seconds = int(answer["TIMEOUT"].removeprefix("Second-"))
            self._set(sid, owner, path, Value(sent, sent + seconds, now + seconds))
        return str(status)

    def _set(self, sid, owner, *rest):
        with self._lock:
            if owner is None:
                self._subscriptions.pop(sid, None)
            else:
                self._subscriptions[sid] = (owner, *rest)

    def _is_sure(self, value, sent, now):
        """True where a subscription must be there: made or renewed since everything was well, and not at its end."""
        return value.what > self._gone and now < value.low - EARLY

    # --- what must be so

    def counts(self, now):
        """Return (how many subscriptions there are at least, at most)."""
        with self._lock:
            found = [value for _, _, value in self._subscriptions.values()]
        return (len([1 for value in found if self._is_sure(value, now, now)]),
                len([1 for value in found if now <= value.high + LATE + self.lag]))

    def check(self, expected, now):
        """Return what is wrong with what subscribers were told, `expected` being {variable: value}."""
        wrong = []
        with self._lock:
            subscriptions = list(self._subscriptions.items())
        for sid, (_, _, value) in subscriptions:
            if not self._is_sure(value, now, now):
                continue
            told = self._messages[sid].values if sid in self._messages else {}
            wrong += ["%s was told that %s is %s, it is %s" % (sid, name, told.get(name), text)
                      for name, text in expected.items() if told.get(name) != text]
        return wrong

    # --- what is sent to them

    def _serve(self):
        while True:
            try:
                link, peer = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._take, args=(link,), daemon=True).start()

    def _take(self, link):
        with link:
            link.settimeout(_WAIT)
            data = b""
            try:
                while b"</e:propertyset>" not in data:
                    part = link.recv(4096)
                    if not part:
                        return
                    data += part
                self._note(data.decode())
                link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            except OSError:
                return

    def _note(self, text):
        headers = dict(re.findall(r"^([A-Z]+): (.*)\r$", text, re.M))
        message = Message(int(headers["SEQ"]), dict(re.findall(r"<e:property><(\w+)>(.*?)</\1></e:property>", text)))
        with self._lock:
            self.notified += 1
            last = self._messages.get(headers["SID"], Message(-1, {}))
            expected, told = last.sequence + 1, last.values
            self._messages[headers["SID"]] = message._replace(values=told | message.values)
            self.lost += message.sequence - expected
        if message.sequence < expected or message.sequence > expected and told.keys() - message.values.keys():
            self.world.disagree("%s got message %d instead of %d, with %s" % (
                headers["SID"], message.sequence, expected, message.values))


class _Asking:
    """What Subscriber.request wants to know of a subscriber."""

    def __init__(self, host):
        self.client = host
