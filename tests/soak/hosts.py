"""The hosts of the LAN: each operation of the plan, asked by the router tests' clients, and what its answer promises.

A host does one thing at a time. What it is promised goes into world.mappings and world.pinholes (promises.Promises),
and what it is answered is compared with them at once.
"""

import html
import re
import socket
import struct
import time

import plan
import test_ipv6_pcp
import test_ipv6_pinholes
import test_port_control
from promises import LATE, NEVER, Value
from test_daemon import GROUP, Client, fault, msearch

from qemu.lab import LAN_ROUTER, WAN_HOST, WAN_HOST2, WAN_HOST2_6, WAN_HOST_6

REMOTES, REMOTES_6 = ("", WAN_HOST, WAN_HOST2), ("", WAN_HOST_6, WAN_HOST2_6)
WEEK = 604800  # seconds: what lease 0 means in version 2
NUMBERS = {"TCP": 6, "UDP": 17}
_SECONDS = 12  # for an answer; with iptables a single one of ours may take ten
_GROUP_SECONDS = 1  # for answers to a search
_TARGETS = ("ssdp:all", "upnp:rootdevice", "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
            "urn:schemas-upnp-org:service:WANIPConnection:2", "urn:schemas-upnp-org:device:MediaServer:1")
_DOCUMENTS = ("/rootDesc.xml", "/igd2/rootDesc.xml", "/WANIPConn1.xml", "/nothing")
_ACTIONS = ("GetExternalIPAddress", "GetStatusInfo", "GetNATRSIPStatus", "GetConnectionTypeInfo")
_CONTROL = b"POST /upnp/control/WANIPConn1 HTTP/1.1\r\nHost: 192.168.1.1:5000\r\n"
_JUNK = (  # what comes before the random bytes, and behind them
    (b"", b""), (_CONTROL, b"\r\n\r\n"), (_CONTROL + b"Content-Length: 2000\r\n\r\n<s:Envelope>", b""),
    (b"GET /rootDesc.xml HTTP/1.1\r\nHost: 192.168.1.1:5000\r\nX: ", b""), (b"GET /" + b"a" * 5000, b"\r\n\r\n"),
    (b"SUBSCRIBE /upnp/event/WANIPConn1 HTTP/1.1\r\nHost: 192.168.1.1:5000\r\nCALLBACK: <", b">\r\n\r\n"))


class NotAsked(Exception):
    """Nobody took the request: nothing has changed."""


class Unanswered(Exception):
    """The request went out and no whole answer came: it may have been carried out."""


class Host(Client):
    """Host `number` of the soak `world`: its addresses, its operations (do_...), which return what was answered."""

    def __init__(self, world, number):  # not Client's: there is nothing to demonstrate
        self.world, self.number = world, number
        self.lab, self.space, self.router = world.lab, world.lab.lan, LAN_ROUTER
        self.host, self.host6 = "192.168.1.%d" % (20 + number), "2a00:11:0:1::%x" % (0x20 + number)
        self.nonce = struct.pack(">12s", b"soak %d" % number)

    def log(self):
        return ""  # what a failing client of the tests says more is not asked for here

    def http(self, request, source=None):
        """As Client's, but tells by NotAsked and Unanswered what can have happened."""
        try:
            link = self.space.call(socket.create_connection, (self.router, 5000), _SECONDS, (source or self.host, 0))
        except OSError:
            raise NotAsked from None
        with link:
            answer = b""
            try:
                link.sendall(request)
                while part := link.recv(65536):
                    answer += part
            except OSError:
                answer = b""
            head, end, body = answer.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            if not end or length and len(body) < int(length[1]):
                # Without this the kernel would send the request again and again, and have it carried out much later.
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("@ii", 1, 0))
                raise Unanswered
        return answer.decode()

    def do(self, step):
        """Do a Step's operation; return what was answered, in a word."""
        try:
            return getattr(self, "do_" + step.kind)(*step.words)
        except NotAsked:
            return "nobody there"
        except Unanswered:
            return "no answer"

    def port(self, dialect, offset):
        """Return the external port: of its own, or of all hosts'."""
        anywhere, own = offset
        return plan.AREA[dialect] + (self.number * plan.PORTS + own if anywhere is None else anywhere)

    def expect(self, look, *arguments):
        """look(*arguments) is to be "", and not what is wrong."""
        if look(*arguments):
            self.world.clock.measure()  # maybe the router has another time than we believe
            trouble = look(*arguments)
            if trouble:
                self.world.disagree(trouble)

    # --- SOAP

    def do_add(self, protocol, offset, remote, inner, lease, version):
        key = self.host, protocol, self.port(0, offset), REMOTES[remote]
        return self.add_one(key, plan.INNER["add"] + inner, lease, version)

    def add_one(self, key, internal_port, lease, version):
        sent = time.monotonic()
        lasting = lease or (NEVER if version == 1 else WEEK)
        try:
            answer = self.call("AddPortMapping", self.arguments(key, internal_port, lease), version=version)
        except Unanswered:
            self.world.mappings.unsure(key, [Value(internal_port, sent + lasting, time.monotonic() + lasting)],
                                       time.monotonic())
            raise
        now = time.monotonic()
        if answer[0] == 200:
            self.world.mappings.granted(key, Value(internal_port, sent + lasting, now + lasting), sent, now)
        elif word(answer) == "718":  # it belongs to another host
            for remote_host in REMOTES:
                self.expect(self.world.mappings.missing, key[:3] + (remote_host,), sent, now)
        return word(answer)

    def arguments(self, key, internal_port, lease):
        _, protocol, port, remote_host = key
        return (("NewRemoteHost", remote_host), ("NewExternalPort", port), ("NewProtocol", protocol),
                ("NewInternalPort", internal_port), ("NewInternalClient", self.host), ("NewEnabled", 1),
                ("NewPortMappingDescription", "soak: %d" % self.number), ("NewLeaseDuration", lease))

    def do_any(self, protocol, offset, remote, inner, lease, version):
        key, internal_port = (self.host, protocol, self.port(0, offset), ""), plan.INNER["any"] + inner
        kind, sent, lasting = (self.host, protocol, internal_port), time.monotonic(), lease or WEEK
        try:
            answer = self.call("AddAnyPortMapping", self.arguments(key, internal_port, lease), version=2)
        except Unanswered:
            now = time.monotonic()
            self.world.mappings.unsure(key, [Value(internal_port, sent + lasting, now + lasting)], now)
            self.world.mappings.unnamed(kind, now + lasting + LATE)
            raise
        now = time.monotonic()
        if answer[0] == 200:
            port = int(re.search(r"<NewReservedPort>(\d+)<", answer[1])[1])
            self.world.mappings.granted(key[:2] + (port, ""), Value(internal_port, sent + lasting, now + lasting), sent,
                                        now)
        return word(answer)

    def storm_keys(self, count):
        return [(self.host, "UDP", plan.STORM_PORT + self.number * 100 + one, "") for one in range(count)]

    def do_storm(self, count, lease):
        answers = [self.add_one(key, plan.INNER["storm"], lease, 1) for key in self.storm_keys(count)]
        return "%d granted" % answers.count("200")

    def chosen(self, protocol, offset, remote, number, is_by_name):
        """Return the key of one of its ports: by its number, or whichever it has."""
        keys = sorted(self.world.mappings.keys(self.host, time.monotonic()))
        if is_by_name or not keys:
            return self.host, protocol, self.port(0, offset), REMOTES[remote]
        return keys[number % len(keys)]

    def do_delete(self, *words):
        key = self.chosen(*words)
        _, protocol, port, remote_host = key
        sent = time.monotonic()
        try:
            answer = self.delete(port, protocol, self.host, remote_host)
        except Unanswered:
            self.world.mappings.unsure(key, [None], time.monotonic())
            raise
        now = time.monotonic()
        if answer[0] == 200:
            self.world.mappings.granted(key, None, sent, now)
        elif word(answer) in ("714", "606"):
            self.expect(self.world.mappings.missing, key, sent, now)
        return word(answer)

    def do_delete_range(self, number, lease, protocol, inner):
        first = self.port(0, (None, 0))
        return self.delete_range(first, first + plan.PORTS - 1, protocol)

    def delete_range(self, first, last, protocol):
        """Close all of its ports in a range."""
        mappings, sent = self.world.mappings, time.monotonic()
        keys = [key for key in mappings.keys(self.host, sent) if key[1] == protocol and first <= key[2] <= last]
        try:
            answer = self.call("DeletePortMappingRange", (("NewStartPort", first), ("NewEndPort", last),
                                                          ("NewProtocol", protocol), ("NewManage", 0)), version=2)
        except Unanswered:
            for key in keys:
                mappings.unsure(key, [None], time.monotonic())
            raise
        for key in keys:
            if answer[0] == 200:
                mappings.granted(key, None, sent, time.monotonic())
            elif word(answer) in ("730", "606"):
                self.expect(mappings.missing, key, sent, time.monotonic())
        return word(answer)

    def do_get(self, *words):
        key = self.chosen(*words)
        _, protocol, port, remote_host = key
        sent = time.monotonic()
        answer = self.call("GetSpecificPortMappingEntry", (
            ("NewRemoteHost", remote_host), ("NewExternalPort", port), ("NewProtocol", protocol)))
        if answer[0] == 200:
            self.compare(key, values(answer[1]), sent)
        elif word(answer) == "714":
            self.expect(self.world.mappings.missing, key, sent, time.monotonic())
        return word(answer)

    def compare(self, key, entry, sent):
        """The router lists `entry` {name: value} under a key."""
        now = time.monotonic()
        if entry["InternalClient"] != self.host:
            self.expect(self.world.mappings.missing, key, sent, now)
            return
        internal_port = int(entry["InternalPort"])
        self.expect(self.world.mappings.found, key, internal_port, left_of(entry), sent, now,
                                              (self.host, key[1], internal_port))

    def do_list_own(self, protocol, *_):
        sent = time.monotonic()
        answer = self.call("GetListOfPortMappings", (
            ("NewStartPort", 1), ("NewEndPort", 65535), ("NewProtocol", protocol), ("NewManage", 0),
            ("NewNumberOfPorts", 0)), version=2)
        if word(answer) not in ("200", "730"):
            return word(answer)
        seen = set()
        for entry in entries(answer[1]):
            key = self.host, protocol, int(entry["ExternalPort"]), entry["RemoteHost"]
            self.compare(key, entry, sent)
            seen.add(key)
        for key in self.world.mappings.keys(self.host, sent):
            if key[1] == protocol and key not in seen:
                self.expect(self.world.mappings.missing, key, sent, time.monotonic())
        return word(answer)

    def do_generic(self, protocol, offset, remote, number, is_by_name):
        sent = time.monotonic()
        answer = self.call("GetGenericPortMappingEntry", (("NewPortMappingIndex", number % 50),))
        if answer[0] == 200:
            entry = values(answer[1])
            if entry["InternalClient"] == self.host:
                key = self.host, entry["Protocol"], int(entry["ExternalPort"]), entry["RemoteHost"]
                self.compare(key, entry, sent)
        return word(answer)

    def do_read(self, number, *_):
        if number % 3:
            return word(self.call(_ACTIONS[number % len(_ACTIONS)], (), version=1 + number % 2))
        return self.get(_DOCUMENTS[number % len(_DOCUMENTS)]).split(" ", 2)[1]

    # --- NAT-PMP and PCP

    def do_natpmp(self, protocol, offset, inner, lease):
        return self.dynamic(protocol, plan.INNER["natpmp"] + inner, lease, lambda internal_port: natpmp_map(
            self, protocol, internal_port, self.port(1, offset), lease))

    def do_pcp(self, protocol, offset, inner, lease):
        return self.dynamic(protocol, plan.INNER["pcp"] + inner, lease, lambda internal_port: pcp_map(
            self, NUMBERS[protocol], internal_port, self.port(1, offset), lease))

    def dynamic(self, protocol, internal_port, lease, ask):
        """Have a port opened for an internal port, which is what names it."""
        mappings, kind = self.world.mappings, (self.host, protocol, internal_port)
        sent = time.monotonic()
        before = self.keys_to(protocol, internal_port)
        try:
            result, port, granted = ask(internal_port)
        except Unanswered:
            now, longest = time.monotonic(), max(lease, 120)  # PCP's shortest
            for key in before:
                mappings.unsure(key, [Value(internal_port, sent + lease, now + longest)], now)
            mappings.unnamed(kind, now + longest + LATE)
            raise
        if not result:
            now, key = time.monotonic(), (self.host, protocol, port, "")
            for other in before:
                if other != key:  # one internal port has one external port
                    self.expect(mappings.missing, other, sent, now)
            mappings.granted(key, Value(internal_port, sent + granted, now + granted), sent, now)
            mappings.named(kind)
        return "result %d" % result

    def keys_to(self, protocol, *internal_ports):
        """Return the keys under which it may have one of these internal ports; protocol None: either."""
        now = time.monotonic()
        return [key for key in self.world.mappings.keys(self.host, now, internal_ports) if protocol in (None, key[1])]

    def do_natpmp_delete(self, protocol, inner, is_all):
        internal_port = 0 if is_all else plan.INNER["natpmp"] + inner
        return self.dynamic_delete(protocol, inners("natpmp") if is_all else [internal_port], lambda: natpmp_map(
            self, protocol, internal_port, 0, 0))

    def do_pcp_delete(self, protocol, inner, is_all):
        if is_all:
            return self.dynamic_delete(None, inners("pcp"), lambda: pcp_map(self, 0, 0, 0, 0))
        internal_port = plan.INNER["pcp"] + inner
        return self.dynamic_delete(protocol, [internal_port], lambda: pcp_map(
            self, NUMBERS[protocol], internal_port, 0, 0))

    def dynamic_delete(self, protocol, internal_ports, ask):
        mappings, sent = self.world.mappings, time.monotonic()
        keys = self.keys_to(protocol, *internal_ports)
        try:
            result = ask()[0]
        except Unanswered:
            for key in keys:
                mappings.unsure(key, [None], time.monotonic())
            raise
        if not result:
            for key in keys:
                mappings.granted(key, None, sent, time.monotonic())
            for one in ("TCP", "UDP") if protocol is None else (protocol,):
                for internal_port in internal_ports:
                    mappings.named((self.host, one, internal_port))
        return "result %d" % result

    # --- pinholes

    def do_pinhole(self, protocol, inner, remote, remote_port, lease):
        port, remote_host = plan.INNER["pinhole"] + inner, REMOTES_6[remote]
        return self.pinhole((self.host6, protocol, port, remote_host, remote_port), lease, lambda: (
            test_ipv6_pinholes.add(self, lease, self.host, port=port, host=self.host6, protocol=protocol,
                                   remote_host=remote_host, remote_port=remote_port), lease))

    def do_pcp6(self, protocol, inner, remote, remote_port, lease):
        port = plan.INNER["pcp6"] + inner
        return self.pinhole((self.host6, protocol, port, "", 0), max(lease, 120), lambda: pcp6_map(
            self, protocol, port, lease))

    def pinhole(self, key, lease, ask):
        """Open or renew; ask() returns (number or None, seconds) or raises Refused."""
        pinholes, sent = self.world.pinholes, time.monotonic()
        before = pinholes.sure(key, sent)
        try:
            number, granted = ask()
        except Unanswered:
            now = time.monotonic()
            pinholes.unsure(key, [Value(None, sent + lease, now + lease)], now)
            raise
        except test_ipv6_pinholes.Refused as refusal:
            return str(refusal.args[0])
        now = time.monotonic()
        if before is not None and None not in (number, before.what) and number != before.what:
            # sure when it was asked for, and still: only then it must be the same one
            if pinholes.sure(key, now) is before:
                self.world.disagree("%s was pinhole %d, and is %d after a renewal" % (key, before.what, number))
        pinholes.granted(key, Value(number, sent + granted, now + granted), sent, now)
        return "200"

    def do_pinhole_renew(self, number, lease, *_):
        return self.known_pinhole(number, lambda unique_id: test_ipv6_pinholes.call(self, "UpdatePinhole", (
            ("UniqueID", unique_id), ("NewLeaseTime", lease)), self.host), lease)

    def do_pinhole_delete(self, number, *_):
        return self.known_pinhole(number, lambda unique_id: test_ipv6_pinholes.delete(self, unique_id, self.host), 0)

    def do_pinhole_packets(self, number, *_):
        return self.known_pinhole(number, lambda unique_id: test_ipv6_pinholes.call(self, "GetPinholePackets", (
            ("UniqueID", unique_id),), self.host))

    def known_pinhole(self, number, ask, lease=None):
        """Do something with a pinhole whose number it knows; `lease` is what it has then, 0: none, None: as before."""
        pinholes, sent = self.world.pinholes, time.monotonic()
        known = [(key, value) for key in sorted(pinholes.keys(self.host6, sent))
                 if (value := pinholes.latest(key, sent)) is not None and value.what]
        if not known:
            return "has none"
        key, value = known[number % len(known)]
        try:
            ask(value.what)
        except Unanswered:
            now = time.monotonic()
            if lease is not None:
                pinholes.unsure(key, [Value(value.what, sent + lease, now + lease) if lease else None], now)
            raise
        except test_ipv6_pinholes.Refused as refusal:
            if refusal.args[0] == 704:
                self.expect(pinholes.missing, key, sent, time.monotonic(), value.what)
            return str(refusal.args[0])
        now = time.monotonic()
        if lease is not None:
            pinholes.granted(key, Value(value.what, sent + lease, now + lease) if lease else None, sent, now)
        return "200"

    def do_pcp6_delete(self, protocol, inner):
        key = self.host6, protocol, plan.INNER["pcp6"] + inner, "", 0
        sent = time.monotonic()
        try:
            pcp6_map(self, protocol, key[2], 0)
        except Unanswered:
            self.world.pinholes.unsure(key, [None], time.monotonic())
            raise
        except test_ipv6_pinholes.Refused as refusal:
            return str(refusal.args[0])
        self.world.pinholes.granted(key, None, sent, time.monotonic())
        return "200"

    # --- events, searches, junk, packets

    def do_subscribe(self, number, *_):
        return self.world.events.subscribe(self, number)

    def do_renew(self, number, *_):
        return self.world.events.renew(self, number)

    def do_unsubscribe(self, number, *_):
        return self.world.events.unsubscribe(self, number)

    def do_search(self, number, *_):
        with self.datagrams(_GROUP_SECONDS) as link:
            try:
                link.sendto(msearch(_TARGETS[number % len(_TARGETS)]), (GROUP, (LAN_ROUTER, 1900))[number % 2])
                link.recv(1500)
            except OSError:
                return "no answer"
        return "answered"

    def datagrams(self, seconds):
        link = test_port_control.udp(self, self.host)
        link.settimeout(seconds)
        return link

    def do_junk(self, which, data):
        if which < len(_JUNK):
            begin, end = _JUNK[which]
            with self.space.call(socket.socket) as link:
                link.settimeout(1)
                try:
                    link.bind((self.host, 0))
                    link.connect((self.router, 5000))
                    link.sendall(begin + data + end)
                    return "answered" if link.recv(4096) else "closed"
                except OSError:
                    return "no answer"  # it waits for the rest
        with self.datagrams(0.1) as link:
            try:
                # no version that there is, or a request that is cut off: nothing that could be granted
                link.sendto((data, b"\x03" + data, b"\x02\x01" + data[:40])[which - len(_JUNK)],
                            (LAN_ROUTER, 1900 if which == len(_JUNK) else 5351))
                link.recv(1500)
            except OSError:
                return "no answer"
        return "answered"

    def do_probe(self, protocol, offset, remote, number, is_held):
        return self.world.probes.one_of(self, number, is_held)


def word(answer):
    """What a SOAP answer says: "200", a UPnP error code, or another HTTP status."""
    return str(fault(answer) if answer[0] == 500 else answer[0])


def values(body):
    """Return {name without New: value} of an answer."""
    return dict(re.findall(r"<New(\w+)>([^<]*)</New\1>", body))


def entries(body):
    """Yield the same for each entry of a listing."""
    for text in re.findall(r"<p:PortMappingEntry>(.*?)</p:PortMappingEntry>", html.unescape(body), re.S):
        entry = dict(re.findall(r"<p:New(\w+)>([^<]*)</p:New\1>", text))
        yield entry | {"LeaseDuration": entry["LeaseTime"]}


def left_of(entry):
    """Return what is left of an entry's lease."""
    return int(entry["LeaseDuration"]) or NEVER


def inners(dialect):
    """Return the internal ports that a dialect is asked for."""
    return list(range(plan.INNER[dialect], plan.INNER[dialect] + plan.INNERS[dialect]))


def _answered(function, *arguments, **named):
    """Call a client of the tests for NAT-PMP or PCP; Unanswered where it gives up."""
    try:
        return function(*arguments, **named)
    except OSError:
        raise Unanswered from None
    except AssertionError as error:
        if str(error).startswith("no answer"):
            raise Unanswered from None
        raise


def natpmp_map(host, protocol, internal_port, external_port, lease):
    """Return (result, external port, seconds)."""
    result, _, port, granted = _answered(test_port_control.natpmp, host, {"UDP": 1, "TCP": 2}[protocol], internal_port,
                                         external_port, lease, host.host)
    return result, port, granted


def pcp_map(host, number, internal_port, external_port, lease):
    """Return (result, external port, seconds)."""
    result, granted, port = _answered(test_port_control.pcp_map, host, internal_port, external_port, number, host.nonce,
                                      lifetime=lease, source=host.host)
    return result, port, granted


def pcp6_map(host, protocol, port, lease):
    """Return (None, seconds); Refused."""
    result, granted, _ = _answered(test_ipv6_pcp.pcp_map, host, port, host.nonce, protocol=NUMBERS[protocol],
                                   lifetime=lease, source=host.host6)
    if result:
        raise test_ipv6_pinholes.Refused("result %d" % result)
    return None, granted
