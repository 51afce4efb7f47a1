"""Events on the router: a real subscriber on the LAN gets the first message, changes, and what it asked for only."""

import re
import socket
import time

import pytest

from qemu.lab import LAN_HOST, LAN_HOST2, LAN_ROUTER

EVENT = "/upnp/event/WANIPConn1"


class Subscriber:
    """Listens on the LAN host and takes NOTIFY messages."""

    def __init__(self, client):
        self.client = client
        self.server = client.lab.lan.call(socket.create_server, (LAN_HOST, 0))
        self.server.settimeout(5)
        self.port = self.server.getsockname()[1]

    def request(self, method, path=EVENT, source=LAN_HOST, **headers):
        """Send SUBSCRIBE or UNSUBSCRIBE; return (status, the answer's headers)."""
        lines = "".join("%s: %s\r\n" % item for item in headers.items())
        answer = self.client.http(("%s %s HTTP/1.1\r\nHost: %s:5000\r\n%s\r\n"
                                   % (method, path, LAN_ROUTER, lines)).encode(), source)
        return int(answer.split()[1]), dict(re.findall(r"^([A-Z]+): (.*)\r$", answer, re.M))

    def subscribe(self, **headers):
        return self.request("SUBSCRIBE", NT="upnp:event", CALLBACK="<http://%s:%d/e>" % (LAN_HOST, self.port),
                            TIMEOUT="Second-300", **headers)

    def next(self):
        """Return (headers, {variable: value}) of the next message."""
        link, peer = self.server.accept()
        assert peer[0] == LAN_ROUTER
        with link:
            link.settimeout(5)
            data = b""
            while b"</e:propertyset>" not in data:
                data += link.recv(4096)
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        text = data.decode()
        assert text.startswith("NOTIFY /e HTTP/1.1\r\n")
        return (dict(re.findall(r"^([A-Z]+): (.*)\r$", text, re.M)),
                dict(re.findall(r"<e:property><(\w+)>(.*?)</\1></e:property>", text)))

    def nothing(self, seconds):
        self.server.settimeout(seconds)
        with pytest.raises(TimeoutError):
            self.server.accept()
        self.server.settimeout(5)


@pytest.fixture
def subscriber(client):
    subscriber = Subscriber(client)
    with subscriber.server:
        yield subscriber


def test_a_subscriber_is_told_everything_and_then_every_change(client, subscriber):
    status, headers = subscriber.subscribe()
    assert status == 200 and headers["SID"].startswith("uuid:") and headers["TIMEOUT"] == "Second-300"
    sid = headers["SID"]
    headers, values = subscriber.next()
    assert (headers["SID"], headers["SEQ"], headers["NT"], headers["NTS"]) == (sid, "0", "upnp:event",
                                                                              "upnp:propchange")
    assert values == {"PossibleConnectionTypes": "IP_Routed", "ConnectionStatus": "Connected",
                      "ExternalIPAddress": "11.0.0.2", "PortMappingNumberOfEntries": "0"}
    assert client.add()[0] == 200
    assert client.add(port=8001)[0] == 200  # soon after: one message tells of both
    headers, values = subscriber.next()
    assert headers["SEQ"] == "1" and values == {"PortMappingNumberOfEntries": "2"}
    client.lab.router.check("ip addr flush dev eth1; ip addr add 11.0.0.9/24 dev eth1")
    seen = {}
    while seen.get("ExternalIPAddress") != "11.0.0.9":
        seen.update(subscriber.next()[1])
    client.lab.router.check("ifup wan")
    while seen["ExternalIPAddress"] != "11.0.0.2":
        seen.update(subscriber.next()[1])
    assert subscriber.request("SUBSCRIBE", SID=sid)[1]["SID"] == sid
    assert subscriber.request("UNSUBSCRIBE", SID=sid)[0] == 200
    assert subscriber.request("UNSUBSCRIBE", SID=sid)[0] == 412
    assert client.delete()[0] == 200 and client.delete(port=8001)[0] == 200
    subscriber.nothing(1.5)


def test_what_is_no_subscription_is_refused(client, subscriber):
    callback = "<http://%s:%d/e>" % (LAN_HOST, subscriber.port)
    for status, headers in (
            (412, {"CALLBACK": callback}), (412, {"NT": "upnp:event"}), (412, {"NT": "other", "CALLBACK": callback}),
            (412, {"NT": "upnp:event", "CALLBACK": "<http://%s:80/e>" % LAN_HOST2}),  # only the asking host itself
            (412, {"NT": "upnp:event", "CALLBACK": "<https://%s/e>" % LAN_HOST}),
            (412, {"SID": "uuid:none"}), (400, {"SID": "uuid:none", "NT": "upnp:event"})):
        assert subscriber.request("SUBSCRIBE", **headers)[0] == status, headers
    assert subscriber.request("SUBSCRIBE", "/upnp/event/None")[0] == 404
    assert subscriber.request("GET")[0] == 405
    subscriber.nothing(0.5)


def test_a_subscriber_that_is_gone_is_dropped_and_harms_nobody(client, subscriber):
    assert subscriber.subscribe()[0] == 200
    subscriber.server.close()
    limit = time.monotonic() + 20
    while "it takes no events any more" not in client.log():
        assert client.get("/rootDesc.xml").startswith("HTTP/1.1 200")
        assert time.monotonic() < limit
        time.sleep(0.5)
