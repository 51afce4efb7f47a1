"""Slow and rude clients, and a well-behaved one that is served beside them: for tests and for measuring.

Whom they attack is a Target, so that the same can be done to any daemon. All are hosts of the emulated LAN; each attack
ends by itself within some seconds.

    with fifty_hosts(lan), Neighbour(lan, target) as neighbour:
        ATTACKS["200 idle connections"](lan, target)
    max(neighbour.seconds), neighbour.errors
"""

import contextlib
import socket
import threading
import time

from qemu.lab import LAN_HOST, LAN_HOST2, LAN_ROUTER

HOSTS = ["192.168.1.%d" % number for number in range(100, 150)]  # one machine's, or fifty that an attacker plays
_SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"


class Target:
    """A daemon on the router: its HTTP `port`, and the paths of its connection service."""

    def __init__(self, port=5000, scpd="/igd2/WANIPConn1.xml", control="/upnp/control/WANIPConn1",
                 event="/upnp/event/WANIPConn1"):
        self.port, self.scpd, self.control, self.event = port, scpd, control, event

    def head(self, method, path, *lines):
        """Return the beginning of a request (bytes), without the line that ends its head."""
        return "\r\n".join(("%s %s HTTP/1.1" % (method, path), "Host: %s:%d" % (LAN_ROUTER, self.port), *lines,
                            "")).encode()

    def call(self):
        """Return a whole GetExternalIPAddress."""
        body = ('<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
                's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
                '<u:GetExternalIPAddress xmlns:u="%s"/></s:Body></s:Envelope>' % _SERVICE)
        return self.head("POST", self.control, 'SOAPAction: "%s#GetExternalIPAddress"' % _SERVICE,
                         "Content-Length: %d" % len(body), "Connection: close") + b"\r\n" + body.encode()

    def connect(self, lan, source=LAN_HOST, timeout=1):
        """Return a connection of a host of the LAN."""
        link = lan.call(socket.create_connection, (LAN_ROUTER, self.port), 5, (source, 0))
        link.settimeout(timeout)
        return link


class Neighbour(threading.Thread):
    """A well-behaved client that asks ten times a second: how many `seconds` each answer took, and what went wrong."""

    def __init__(self, lan, target):
        super().__init__(daemon=True)
        self._lan, self._target, self._is_ended = lan, target, threading.Event()
        self.seconds, self.errors = [], []

    def run(self):
        while not self._is_ended.wait(0.1):
            begin = time.monotonic()
            try:
                self._ask()
            except OSError as error:
                self.errors.append(str(error))
            self.seconds.append(time.monotonic() - begin)

    def _ask(self):
        with self._lan.call(socket.create_connection, (LAN_ROUTER, self._target.port), 20, (LAN_HOST2, 0)) as link:
            link.sendall(self._target.call())
            answer = piece = link.recv(4096)
            while piece:
                piece = link.recv(4096)
                answer += piece
        if not answer.startswith(b"HTTP/1.1 200 ") or b"<NewExternalIPAddress>" not in answer:
            self.errors.append(answer[:60])

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, value, traceback):
        self._is_ended.set()
        self.join()


@contextlib.contextmanager
def fifty_hosts(lan):
    """Fifty more addresses on the LAN, HOSTS."""
    for host in HOSTS:
        lan.ip("address", "add", host + "/24", "dev", "eth0")
    yield
    for host in HOSTS:
        lan.ip("address", "del", host + "/24", "dev", "eth0")


@contextlib.contextmanager
def _links(lan, target, count):
    with contextlib.ExitStack() as stack:
        links = []
        for number in range(count):
            with contextlib.suppress(OSError):
                links.append(stack.enter_context(target.connect(lan, HOSTS[number % len(HOSTS)])))
        yield links


def idle_connections(lan, target):
    """200 connections that say nothing."""
    with _links(lan, target, 200):
        time.sleep(3)


def a_byte_at_a_time(lan, target):
    """Thirty requests that come byte by byte, again and again."""
    data = target.head("POST", target.control, "X: " + "y" * 3000)
    with _links(lan, target, 30) as links:
        limit, position = time.monotonic() + 5, 0
        while time.monotonic() < limit:
            for link in links:
                with contextlib.suppress(OSError):
                    link.send(data[position % len(data):][:1])
            position += 1
            time.sleep(0.02)


def readers_that_never_read(lan, target):
    """Thirty hosts ask for the longest document as often as fits a connection, and take nothing."""
    request = target.head("GET", target.scpd, "Connection: keep-alive") + b"\r\n"
    with _links(lan, target, 30) as links:
        for link in links:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            with contextlib.suppress(OSError):
                link.sendall(request * 40)
        time.sleep(3)


def half_open_peers(lan, target):
    """Thirty hosts that go without a word in the middle of a request."""
    with _links(lan, target, 30) as links:
        for link in links:
            with contextlib.suppress(OSError):
                link.sendall(target.head("POST", target.control))
        for host in HOSTS:
            lan.ip("address", "del", host + "/24", "dev", "eth0")
        time.sleep(3)
        for host in HOSTS:
            lan.ip("address", "add", host + "/24", "dev", "eth0")


def headers_of_12_mb(lan, target):
    """Headers, and a body, of 12 MB."""
    for before, line in ((b"", b"X: " + b"y" * 1019 + b"\r\n"), (b"Content-Length: 12582912\r\n\r\n", b"y" * 1024)):
        with target.connect(lan) as link, contextlib.suppress(OSError):
            link.sendall(target.head("POST", target.control) + before)
            for _ in range(12 << 10):
                link.sendall(line)


def pipelined_calls(lan, target):
    """Thirty hosts that send a hundred calls without waiting for an answer."""
    call = target.call().replace(b"Connection: close", b"Connection: keep-alive")
    with _links(lan, target, 30) as links:
        for link in links:
            with contextlib.suppress(OSError):
                link.sendall(call * 100)
        time.sleep(5)


def a_flood_of_subscribe(lan, target):
    """Fifty hosts subscribe as fast as they can, with callbacks that take a connection and nothing more."""
    limit = time.monotonic() + 5
    with contextlib.ExitStack() as stack:
        for host in HOSTS:
            listener = stack.enter_context(lan.call(socket.create_server, (host, 8000)))
            listener.setblocking(False)
        count = 0
        while time.monotonic() < limit:
            host = HOSTS[count % len(HOSTS)]
            count += 1
            with contextlib.suppress(OSError), target.connect(lan, host) as link:
                link.sendall(target.head("SUBSCRIBE", target.event, "NT: upnp:event", "TIMEOUT: Second-1800",
                                         "CALLBACK: <http://%s:8000/>" % host) + b"\r\n")
                link.recv(500)
        time.sleep(1)


ATTACKS = {"200 idle connections": idle_connections, "a byte at a time": a_byte_at_a_time,
           "readers that never read": readers_that_never_read, "half-open peers": half_open_peers,
           "12 MB of headers": headers_of_12_mb, "pipelined calls": pipelined_calls,
           "a flood of SUBSCRIBE": a_flood_of_subscribe}
