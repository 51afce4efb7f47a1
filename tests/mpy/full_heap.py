"""The daemon as it is, but for its firewall, on the loopback interface of a network of its own; its clients are here too.

"full-heap FIRST STEP [KIND...]": at each STEPth allocation of each kind of request in turn memory runs out, once. That may cost the request.
Afterwards the tables, the firewall and the lease files agree, nothing is left open, the same request works, and leases
and announcements end and come as they should. Prints "KIND: N places" for each, or what went wrong and where.

"growth N": N rounds of all kinds of requests, then 9 N more: prints the bytes in use after each.

Run by tests/test_runtime.py, which makes the network: lo is the LAN, wan0 the WAN.
"""

import errno
import gc
import select
import socket
import struct

import failing
import helpers

from miniigd import config, log
from miniigd import loop as loop_module
from miniigd.addresses import ip4_bytes, ip6_bytes
from miniigd.compat import AF_INET6, address
from miniigd.supervisor import Supervisor

ROUTER, HOST = "127.0.0.1", "127.0.0.2"
ROUTER6, HOST6 = "2001:db8::1", "2001:db8::2"
PORT = 5000
LEASES, LEASES6 = "/var/run/test.leases", "/var/run/test.leases6"
TURNS = 12
_SLACK = 256  # bytes: a list or two that is bounded grew once more; 16 bytes for each request would be 12 kB
_INVALID = 32  # POLLNVAL: no such descriptor
WEEK_MS = 8 * 86400 * 1000
CONNECTION = "urn:schemas-upnp-org:service:WANIPConnection:2"
PINHOLES = "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1"


class Daemon:
    def __init__(self, clock):
        settings = config.parse_arguments([
            "-L", "lo", "-W", "wan0", "-f", "memory", "-o", "upnp_lease_file=" + LEASES, "-o", "upnp_lease_file6=" + LEASES6])
        config.read_file(settings)
        self.clock = clock
        self.left = 0  # allocations until one fails
        self.supervisor = Supervisor(settings)
        self.loop = self.supervisor._loop
        self.guard, self.work = self.loop._guard, self.loop.turn
        self.gateway = self.supervisor._gateway
        self.firewall = self.gateway.firewall

    def start(self, play):
        """Call play(self) in the place of the loop's work."""
        self.loop.run = lambda: play(self)
        return self.supervisor.run()

    def turn(self, count=TURNS, wait_ms=0):
        """Turn the loop as its run does; what fails is in there."""
        guard, work, arguments = self.guard, self.work, (wait_ms,)
        for _ in range(count):
            failing.arm(self.left)
            guard(work, arguments)
            self.left = failing.disarm()

    def pass_ms(self, milliseconds):
        self.clock.ms += milliseconds
        self.turn(3)

    def ask(self, data, source=HOST, target=ROUTER):
        """Return the whole answer over TCP, b"" where there is none."""
        sock = socket.socket(AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.bind(address(source, 0))
            sock.connect(address(target, PORT))
            sock.setblocking(False)
            sock.send(data)
            found = b""
            for _ in range(TURNS):
                self.turn(1)
                try:
                    piece = sock.recv(65536)
                    while piece:
                        found += piece
                        piece = sock.recv(65536)
                    return found
                except OSError as error:
                    if error.errno != errno.EAGAIN:
                        return found
            return found
        finally:
            sock.close()
            self.turn(3)

    def datagram(self, data, port, source=HOST, target=ROUTER):
        """Return the datagrams that answer."""
        sock = socket.socket(AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.bind(address(source, 0))
            sock.setblocking(False)
            sock.sendto(data, address(target, port))
            self.turn(2)
            self.clock.ms += 100  # answers to searches wait
            self.turn(2)
            found = []
            try:
                while True:
                    found.append(sock.recv(2000))
            except OSError:
                return found
        finally:
            sock.close()

    def soap(self, action, arguments, service=CONNECTION, path="/igd2/upnp/control/WANIPConn1", source=HOST, target=ROUTER):
        body = "<s:Envelope><s:Body><u:%s>%s</u:%s></s:Body></s:Envelope>" % (
            action, "".join(["<%s>%s</%s>" % (name, value, name) for name, value in arguments]), action)
        host = "[%s]" % target if ":" in target else target
        return self.ask(("POST %s HTTP/1.1\r\nHost: %s:%d\r\nSOAPAction: \"%s#%s\"\r\nContent-Length: %d\r\n\r\n%s" % (
            path, host, PORT, service, action, len(body), body)).encode(), source, target)


# --- The kinds of requests: each returns True when it was answered as it should


def add(daemon, port=8000, description="test"):
    return b" 200 " in daemon.soap("AddPortMapping", (
        ("NewRemoteHost", ""), ("NewExternalPort", port), ("NewProtocol", "TCP"), ("NewInternalPort", port),
        ("NewInternalClient", HOST), ("NewEnabled", 1), ("NewPortMappingDescription", description),
        ("NewLeaseDuration", 600)))[:20]


def renew(daemon):
    return add(daemon, 8100, "again")


def delete(daemon):
    return b" 200 " in daemon.soap("DeletePortMapping", (
        ("NewRemoteHost", ""), ("NewExternalPort", 8100), ("NewProtocol", "TCP")))[:20]


def show(daemon):
    return b"8100" in daemon.soap("GetListOfPortMappings", (
        ("NewStartPort", 1), ("NewEndPort", 65535), ("NewProtocol", "TCP"), ("NewManage", 0), ("NewNumberOfPorts", 0)))


def subscribe(daemon):
    answer = daemon.ask(("SUBSCRIBE /upnp/event/WANIPConn1 HTTP/1.1\r\nHost: %s\r\nNT: upnp:event\r\nCALLBACK: "
                         "<http://%s:9/>\r\n\r\n" % (ROUTER, HOST)).encode())
    daemon.pass_ms(200)  # its first message
    return b"SID:" in answer


def document(daemon):
    answer = daemon.ask(("GET /igd2/rootDesc.xml HTTP/1.1\r\nHost: %s\r\n\r\n" % ROUTER).encode())
    return answer.endswith(b"</root>\r\n") or answer.endswith(b"</root>\n") or b"</root>" in answer


def nonsense(daemon):
    return b" 400 " in daemon.ask(b"nonsense\r\n\r\n")[:20]


def search(daemon):
    return len(daemon.datagram(b'M-SEARCH * HTTP/1.1\r\nMAN: "ssdp:discover"\r\nST: ssdp:all\r\n\r\n', 1900)) > 10


def natpmp(daemon):
    return [one[:4] for one in daemon.datagram(struct.pack(">BBHHHI", 0, 2, 0, 8200, 8200, 600), 5351)] == [b"\0\x82\0\0"]


def _pcp(source, internal_port):
    raw = ip6_bytes(source) if ":" in source else bytes(10) + b"\xff\xff" + ip4_bytes(source)
    return struct.pack(">BBHI", 2, 1, 0, 600) + raw + b"n" * 12 + struct.pack(">BBHHH", 6, 0, 0, internal_port, internal_port) + (
        bytes(16) if ":" in source else bytes(10) + b"\xff\xff" + bytes(4))


def pcp(daemon):
    return [one[:4] for one in daemon.datagram(_pcp(HOST, 8300), 5351)] == [b"\x02\x81\0\0"]


def pcp6(daemon):
    return [one[:4] for one in daemon.datagram(_pcp(HOST6, 8400), 5351, HOST6, ROUTER6)] == [b"\x02\x81\0\0"]


def pinhole(daemon):
    return b" 200 " in daemon.soap("AddPinhole", (
        ("RemoteHost", ""), ("RemotePort", 0), ("InternalClient", HOST6), ("InternalPort", 8500), ("Protocol", 6),
        ("LeaseTime", 600)), PINHOLES, "/igd2/upnp/control/WANIPv6Firewall1", HOST6, ROUTER6)[:20]


def reload(daemon):
    """What SIGHUP does: the interfaces are asked for anew, the firewall is made to agree."""
    daemon.loop.call_later(0, daemon.supervisor._refresh)
    daemon.turn(4)
    return daemon.supervisor._interfaces["lo"].is_up


def expire(daemon):
    """The lease of what was there ends."""
    daemon.pass_ms(700000)
    daemon.turn(6)
    return len(daemon.gateway.table) == 0


def announce(daemon):
    """The regular announcement: there is a next one."""
    daemon.pass_ms(900000)
    return None not in [lan._ssdp for lan in daemon.supervisor._lans._lans]


def write(daemon):
    """The lease files are written as a whole."""
    for leases, _ in daemon.supervisor._lease_files:
        leases.mark_changed()
    daemon.pass_ms(6000)
    return not daemon.supervisor._leases.is_pending


KINDS = (("add", add), ("renew", renew), ("delete", delete), ("show", show), ("subscribe", subscribe),
         ("document", document), ("nonsense", nonsense), ("search", search), ("natpmp", natpmp), ("pcp", pcp),
         ("pcp6", pcp6), ("pinhole", pinhole), ("write", write), ("reload", reload), ("announce", announce),
         ("expire", expire))


# --- What has to be true afterwards


def lines(path):
    try:
        with open(path) as file:
            return len(file.read().split("\n")) - 1
    except OSError:
        return 0


def count_descriptors():
    """How many of the first 200 are open."""
    poll = select.poll()
    for number in range(200):
        poll.register(number, 0)
    return 200 - len([1 for _, mask in poll.ipoll(0) if mask & _INVALID])


def check_agreement(daemon):
    gateway, firewall = daemon.gateway, daemon.firewall
    daemon.pass_ms(6000)
    daemon.turn(3)
    table, pinholes = list(gateway.table), list(gateway.pinholes.table)
    assert [entry[0] for entry in firewall.open_mappings] == table, "the firewall has other mappings"
    assert set([id(entry[0]) for entry in firewall.open_pinholes]) == set([id(one) for one in pinholes]), (
        "the firewall has other pinholes")
    said = lines(LEASES), lines(LEASES6)
    assert said == (len(table), len(pinholes)), "lease files: %r lines for %d and %d" % (said, len(table), len(pinholes))
    for mapping in table:
        assert gateway.table.find(mapping.remote_host, mapping.external_port, mapping.protocol) is mapping
    assert sum(gateway.table._counts.values()) == len(table) and len(gateway.table._ports) <= len(table), "indexes"
    for one in pinholes:
        assert gateway.pinholes.table.find(one.unique_id) is one
    assert len(gateway.pinholes.table._ids) == len(pinholes) and len(gateway.pinholes.table._ports) <= len(pinholes)


def clear(daemon):
    """Days later: whatever there was has ended; return what is left of the daemon then."""
    for _ in range(3):
        daemon.pass_ms(WEEK_MS // 3)
        daemon.turn(8)
    daemon.pass_ms(2000)
    assert not len(daemon.gateway.table) and not len(daemon.gateway.pinholes.table), "a lease does not end"
    check_agreement(daemon)
    lans = daemon.supervisor._lans._lans
    assert daemon.supervisor._lans.count_subscribers() == 0, "a subscription does not end"
    for lan in lans:
        assert lan._waiting == 0, "answers wait for ever"
        if lan._ssdp is not None:
            assert lan._timers and lan._timers[0] in daemon.loop._timers, "no announcement is to come"
            assert lan._http._connections == [], "a connection is left"
            for one in lan._events._subscriptions:
                assert not one.is_busy
    return count_descriptors(), len(daemon.loop._selector.get_map())


def prepare(daemon):
    daemon.pass_ms(20000)  # everybody may ask again
    assert add(daemon, 8100)
    daemon.pass_ms(6000)


def full_heap(daemon, first, step, only):
    """Fail at the allocation `first` and each `step` after it, of the kinds `only`, or of all."""
    failures = 0
    daemon.turn(20)
    base = clear(daemon)
    for name, kind in KINDS:
        if only and name not in only:
            continue
        places, number, lost, is_over = 0, first, 0, False
        while not is_over:
            places, number = places + 1, number + step
            try:
                prepare(daemon)
                daemon.left = number - step
                kind(daemon)
                daemon.turn(2)
                is_over, daemon.left = daemon.left > 0, 0
                check_agreement(daemon)
                if kind in (delete, expire, renew, show) and not daemon.gateway.table.find("", 8100, "TCP"):
                    assert add(daemon, 8100), "a mapping cannot be made again"
                daemon.pass_ms(20000)
                assert kind(daemon), "the same request fails"
                now = clear(daemon)
                if now[0] == base[0] + 1 and now[1] == base[1]:
                    lost += 1  # MicroPython's socket and accept lose it when there is no room for its object
                    base = now
                assert now == base, "descriptors, watched ones: %r, before %r" % (now, base)
            except Exception as error:
                daemon.left = 0
                failures += 1
                print("%s, allocation %d: %r" % (name, number - step, error))
                if failures > 10:
                    return failures
                try:
                    base = clear(daemon)
                except Exception:
                    print("it does not recover")
                    return failures
        print("%s: %d places, %d descriptors lost" % (name, places - 1, lost))
    return failures


def growth(daemon, rounds):
    daemon.turn(20)
    clear(daemon)
    daemon.gateway.pinholes.table._retired.extend([0] * 64)  # bounded, but not full before the second measurement
    found = []
    for count in (rounds, 9 * rounds):
        for _ in range(count):
            for name, kind in KINDS:
                prepare(daemon)
                assert kind(daemon), name
        clear(daemon)
        gc.collect()
        found.append(gc.mem_alloc())
    print("%d bytes after %d requests, %d bytes after %d" % (
        found[0], rounds * len(KINDS), found[1], 10 * rounds * len(KINDS)))
    return 0 if found[1] <= found[0] + _SLACK else 1


def main(arguments):
    results = []
    with helpers.Clock() as clock:
        daemon = Daemon(clock)
        log.set_level(log.ERROR)
        daemon.start(lambda started: results.append(
            growth(started, int(arguments[1])) if arguments[0] == "growth" else full_heap(
                started, int(arguments[1]), int(arguments[2]), arguments[3:])))
    print("%d failures" % results[0])
    return 1 if results[0] else 0
