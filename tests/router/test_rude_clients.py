"""Slow and rude clients on the router: whatever they do, a well-behaved one is answered within a second all the while."""

import contextlib
import re
import socket
import threading
import time

import pytest

from qemu.lab import LAN_HOST, LAN_HOST2, LAN_ROUTER
from test_daemon import CONTROL, SERVICE

HOSTS = ["192.168.1.%d" % number for number in range(100, 150)]  # one machine's, or fifty that an attacker plays
HEAD = "POST %s HTTP/1.1\r\nHost: %s:5000\r\nSOAPAction: \"%s#GetExternalIPAddress\"\r\n" % (
    CONTROL[1], LAN_ROUTER, SERVICE % 1)


@pytest.fixture(scope="module")
def hosts(client):
    """Fifty more addresses on the LAN."""
    for host in HOSTS:
        client.lab.lan.ip("address", "add", host + "/24", "dev", "eth0")
    yield HOSTS
    for host in HOSTS:
        client.lab.lan.ip("address", "del", host + "/24", "dev", "eth0")


class Neighbour(threading.Thread):
    """A well-behaved client that asks again and again: `with Neighbour(client) as neighbour: ...`."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self._client, self._is_ended = client, threading.Event()
        self.seconds, self.errors = [], []

    def run(self):
        while not self._is_ended.wait(0.1):
            begin = time.monotonic()
            try:
                status, _ = self._client.call("GetExternalIPAddress", (), LAN_HOST2)
                if status != 200:
                    self.errors.append(status)
            except OSError as error:
                self.errors.append(error)
            self.seconds.append(time.monotonic() - begin)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, value, traceback):
        self._is_ended.set()
        self.join()


@pytest.fixture(autouse=True)
def a_neighbour_is_served(client):
    """The same process, with about the memory that it had, and a neighbour who was answered within a second always."""
    pid, before = client.running(), memory(client)
    assert len(pid) == 1
    with Neighbour(client) as neighbour:
        yield
    assert neighbour.errors == [] and len(neighbour.seconds) > 5
    assert max(neighbour.seconds) < 1, sorted(neighbour.seconds)[-5:]
    assert client.running() == pid
    assert memory(client) - before < 300  # kB
    assert "please report" not in client.log()


def memory(client):
    """kB of the daemon that are in memory."""
    return int(re.search(r"VmRSS:\s+(\d+)", client.lab.router.check("cat /proc/$(pidof miniigd)/status"))[1])


def connect(client, source=LAN_HOST):
    link = client.lab.lan.call(socket.create_connection, (LAN_ROUTER, 5000), 5, (source, 0))
    link.settimeout(1)
    return link


def trickle(links, data, seconds):
    """Send a byte to each, again and again, as long as they take it."""
    limit = time.monotonic() + seconds
    position = 0
    while time.monotonic() < limit:
        for link in links:
            with contextlib.suppress(OSError):
                link.send(data[position % len(data):][:1])
        position += 1
        time.sleep(0.02)


def test_200_idle_connections(client, hosts):
    with contextlib.ExitStack() as stack:
        for number in range(200):
            stack.enter_context(connect(client, hosts[number % len(hosts)]))
        time.sleep(3)


def test_senders_of_a_byte_at_a_time(client, hosts):
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(connect(client, host)) for host in hosts[:30]]
        trickle(links, (HEAD + "X: " + "y" * 3000).encode(), 5)


def test_half_open_peers(client, hosts):
    """They go without a word: the lines that would tell are dropped on the way."""
    links = [connect(client, host) for host in hosts[:30]]
    for link in links:
        link.sendall(HEAD.encode())
    for host in hosts[:30]:
        client.lab.lan.ip("address", "del", host + "/24", "dev", "eth0")
    time.sleep(2)
    for host in hosts[:30]:
        client.lab.lan.ip("address", "add", host + "/24", "dev", "eth0")
    for link in links:
        link.close()


def test_12_mb_of_headers(client):
    with connect(client) as link, contextlib.suppress(OSError):
        link.sendall(HEAD.encode())
        for _ in range(12 << 10):
            link.sendall(b"X: " + b"y" * 1019 + b"\r\n")
    with connect(client) as link, contextlib.suppress(OSError):
        link.sendall(HEAD.encode() + b"Content-Length: 12582912\r\n\r\n")
        link.sendall(b"y" * (12 << 20))
