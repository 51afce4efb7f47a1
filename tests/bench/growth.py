"""How cost grows: with the mappings held, with the hosts that hold them, with the requests in flight."""

import select
import socket
import time

from qemu.lab import LAN_ROUTER

import client
import rows
from daemons import PORT

HOSTS = (1, 4, 16, 64)
IN_FLIGHT = (1, 4, 8, 16, 32, 64, 100)
_PER_HOST_STEP = 64  # mappings opened for one figure
_SECONDS = 60  # of the host, for all answers


def addresses(count):
    """The LAN addresses of so many hosts; `add_hosts` gives them to the LAN's namespace."""
    return ["192.168.1.%d" % (100 + number) for number in range(count)]


def add_hosts(lab):
    """Give the LAN's namespace the addresses of all the hosts."""
    for address in addresses(max(HOSTS)):
        lab.lan.ip("address", "add", address + "/24", "dev", "eth0")


def with_hosts(run, count):
    """Open the same number of ports, in turn from so many hosts; return the Figures of opening them. They are closed."""
    hosts, daemon = addresses(count), run.daemon
    turns = [(client.FIRST_PORT + number, hosts[number % count]) for number in range(_PER_HOST_STEP)]
    figures = rows.measure_from(run, [(client.add(daemon.control, PORT, port, host), host) for port, host in turns])
    rows.measure_from(run, [(client.delete(daemon.control, PORT, port), host) for port, host in turns])
    return figures


class _Asker:
    """One of the requests in flight."""

    def __init__(self, host):
        self.sock = socket.socket()
        self.sock.bind((host, 0))
        self.sock.setblocking(False)
        self.sock.connect_ex((LAN_ROUTER, PORT))
        self.answer, self.is_asked, self.is_over = b"", False, False

    def turn(self, request, events):
        try:
            if not self.is_asked and events & select.POLLOUT:
                self.sock.send(request)
                self.is_asked = True
            elif events & (select.POLLIN | select.POLLERR | select.POLLHUP):
                part = self.sock.recv(65536)
                self.answer += part
                self.is_over = not part or b"</s:Envelope>" in self.answer
        except OSError:
            self.is_over = True


def _ask_all(count, request, hosts):
    """Have `count` requests answered at once; return how many were."""
    askers = {}
    poll = select.poll()
    for number in range(count):
        one = _Asker(hosts[number % len(hosts)])
        askers[one.sock.fileno()] = one
        poll.register(one.sock, select.POLLOUT)
    waiting, limit = set(askers), time.monotonic() + _SECONDS
    while waiting and time.monotonic() < limit:
        for fd, events in poll.poll(1000):
            one = askers[fd]
            one.turn(request, events)
            if one.is_over:
                poll.unregister(fd)
                waiting.discard(fd)
            elif one.is_asked:
                poll.modify(fd, select.POLLIN)
    answered = sum(one.answer.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")) for one in askers.values())
    for one in askers.values():
        one.sock.close()
    return answered


def in_flight(run, count):
    """Return what so many GetExternalIPAddress at once cost: a dict. They come from 64 hosts in turn."""
    run.bench.dump.skip()
    cpu = run.cpu_ms()
    request = client.call(run.daemon.control, PORT, "GetExternalIPAddress")
    answered = run.bench.inside(_ask_all, count, request, addresses(max(HOSTS)))
    cpu = run.cpu_ms() - cpu
    exchanges = [one for one in run.bench.dump.tcp(PORT) if one.is_complete]
    waits = [(one.answered - one.start) / 1000 for one in exchanges] or [0]
    return {"count": count, "answered": answered, "cpu_each": round(cpu / max(answered, 1), 3),
            "wait_median": round(rows.percentile(waits, 50), 2), "wait_longest": round(max(waits), 2)}
