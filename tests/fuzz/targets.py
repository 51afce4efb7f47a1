"""What is fuzzed: one function for each parser of bytes from elsewhere, in the subset that the runtime knows.

Each takes any bytes and raises nothing: it catches the parser's own error, and checks that what a refusal is answered
with can be made. Whatever else comes out is a bug. TARGETS names them; the corpus of each is corpus/NAME.txt.
"""

from helpers import HOST6, Files, Output, call, make_gateway, make_gateway6, make_request
from miniigd import (administration, commands, config, interfaces, leases, leases6, log, natpmp, neighbours, netlink,
                     pause, pcp, pcp_server, soap)
from miniigd.addresses import ip6_bytes, ip_bytes
from miniigd.control import Control
from miniigd.description import Device
from miniigd.dynamic import Dynamic
from miniigd.errors import ConfigError, UPnPError
from miniigd.events import Events
from miniigd.firewall import conntrack, iptables_chains, nft_messages
from miniigd.gena import Subscriptions
from miniigd.http import HTTPError, RequestReader, error_reply
from miniigd.loop import Loop
from miniigd.mapping import PortMapping
from miniigd.services import wan_ip, wan_ip2
from miniigd.ssdp import Boot, Responder

HOST, ROUTER = "192.168.1.2", "192.168.1.1"
_UUID = "6d696e69-6967-8001-8000-000102030405"
_DEVICE = Device(_UUID, (1, 2), True)
_FILE = "/tmp/miniigd-fuzz"
_ACTIONS = [(service, action) for service in (wan_ip.SERVICE, wan_ip2.SERVICE) for action in service.actions]
_quiet = Output(log)
_quiet.__enter__()


def http(data):
    """Requests of one connection; the first byte says in how large pieces they come."""
    size = data[0] % 64 + 1 if data else 1
    reader = RequestReader()
    for start in range(1, len(data), size):
        reader.receive(data[start:start + size])
        try:
            while reader.next_request() is not None:
                pass
        except HTTPError as error:
            assert error_reply(error).startswith(b"HTTP/1.1 %d " % error.status)
            return


def soap_call(data):
    """The body of a call; the first byte says of which action."""
    service, action = _ACTIONS[(data[0] if data else 0) % len(_ACTIONS)]
    calls = soap.Calls(action.name)
    try:
        raw = calls.read(data[1:])
        assert calls.read(data[1:]) == raw
        arguments = soap.bind(service, action, raw)
        assert calls.bind(service, action, data[1:]) == calls.bind(service, action, data[1:]) == arguments
    except UPnPError as error:
        soap.fault(error.code).decode()
        return
    result = call(service, make_gateway(), action.name, arguments, version=2)
    if not isinstance(result, int):
        soap.response(service.type, action, result).decode()


def control(data):
    """Whole requests, as they come in, to a device with one mapping."""
    gateway = make_gateway()
    gateway.default_connection_services = {
        version: _DEVICE.default_connection_service(version) for version in _DEVICE.versions}
    assert call(wan_ip.SERVICE, gateway, "AddPortMapping", (
        "", 8000, "TCP", 8000, HOST, True, "text", 600)) == ()
    loop = Loop()
    lan = interfaces.Interface("lo")
    lan.index, lan.is_up, lan.addresses = 1, True, [(ROUTER, 24)]
    device = Control(gateway, _DEVICE, Events(loop, lan, gateway), lan)
    reader = RequestReader()
    reader.receive(data)
    try:
        request = reader.next_request()
        while request is not None:
            answer = b"".join(device.respond(request, HOST, 100))
            assert answer.startswith(b"HTTP/1.1 ") and b"\r\n\r\n" in answer
            request = reader.next_request()
    except HTTPError:
        pass
    for timer in list(loop._timers):
        loop.cancel(timer)


def ssdp(data):
    """Datagrams, divided by zero bytes, from two hosts."""
    responder = Responder(_DEVICE.targets(), {1: "http://a/1", 2: "http://a/2"}, 1800, Boot(1, 2))
    for number, datagram in enumerate(data.split(b"\0")):
        for answer in responder.answers(datagram, ("192.168.1.%d" % (2 + number % 2), 1900), number):
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def gena(data):
    """Header lines of SUBSCRIBE and UNSUBSCRIBE, one request after the other where there is a zero byte."""
    subscriptions = Subscriptions(lambda: "uuid:1")
    for number, lines in enumerate(data.split(b"\0")):
        parts = [line.partition(b":") for line in lines.split(b"\n") if b"\r" not in line]
        try:
            request = make_request("SUBSCRIBE", "/e", [(name, value) for name, _, value in parts])
            if request is not None:
                subscriptions.subscribe(request, HOST, number, 1, wan_ip.SERVICE)
                subscriptions.unsubscribe(request)
        except HTTPError as error:
            assert 400 <= error.status < 600


def _requests(data):
    """Yield datagrams: each behind a byte that says how long it is, in units of four bytes; 0 is for the rest."""
    while data:
        length = data[0] * 4 or len(data)
        yield data[1:length + 1]
        data = data[length + 1:]


def nat_pmp(data):
    """NAT-PMP datagrams from one host."""
    server = natpmp.Server(Dynamic(make_gateway(), 40))
    for datagram in _requests(data):
        answer = server.answer(datagram, HOST, 100)
        assert answer is None or answer[0] == 0 and answer[1] & 128 and len(answer) in (8, 12, 16), answer


def _pcp(gateway, source, data):
    server = pcp_server.Server(Dynamic(gateway, 40), True)
    for datagram in _requests(data):
        # almost all of them name another client, which would be the end of it
        datagram = datagram[:8] + source + datagram[24:] if len(datagram) >= 24 else datagram
        answer = server.answer(datagram, source, 100)
        assert answer is None or (answer[0] == 2 and answer[1] & 128 and 24 <= len(answer) <= pcp.MOST
                                  and len(answer) % 4 == 0), answer


def pcp_over_ipv4(data):
    """PCP datagrams from one host."""
    _pcp(make_gateway(), pcp.ip4_mapped(HOST), data)


def pcp_over_ipv6(data):
    """PCP datagrams from one host."""
    _pcp(make_gateway6(), ip6_bytes(HOST6), data)


def configuration(data):
    """A file of /etc/config."""
    settings = config.Config()
    with Files(config, data):
        try:
            config.load(settings)
        except ConfigError as error:
            assert error.args[0]
    for problem in settings.problems:
        problem.encode()


def _write(data):
    with open(_FILE, "wb") as file:
        file.write(data)


def lease_file(data):
    """The lease file, taken over and written."""
    _write(data)
    file = leases.LeaseFile(_FILE, "/tmp/miniigd-fuzz.none")
    gateway = make_gateway()
    gateway.restore(file.read(), 100)
    for mapping in gateway.table:
        line = leases._line(mapping, 0)
        assert line.count("\n") == 1 and line.count(":") == 5, line


def pinhole_file(data):
    """The lease file of pinholes, taken over and written."""
    _write(data)
    file = leases.LeaseFile(_FILE, "/tmp/miniigd-fuzz.none", leases6.FORM)
    gateway = make_gateway6()
    gateway.pinholes.restore(file.read(), 100)
    for pinhole in gateway.pinholes.table:
        line = leases6.line(pinhole, 0)
        assert line.count("\n") == 1 and line.count(";") >= 7, line


def pause_file(data):
    """The file that says how long a pause lasts."""
    _write(data)
    present = pause.Pause(_FILE)
    present.read(100)
    assert present.is_on  # whatever is in it
    present.remaining(100)


def netlink_reports(data):
    """What the kernel says of interfaces, rules, set elements and connections."""
    watched = interfaces.Interfaces(["lan", "wan"])
    watched["lan"].index = 1
    watched.receive(data)
    interfaces.is_answered(data)
    for kind, _, start, end in netlink.messages(data):
        for _, begin, stop in netlink.attributes(data, start, end):
            assert start <= begin <= stop <= end
        if kind == netlink.ERROR and end - start >= 4:
            netlink.error_of(data, start)
    for raw in (ip_bytes(HOST), ip6_bytes(HOST6)):
        for address in neighbours.link_layer_addresses(data, raw, 1):
            assert address
    nft_messages.handles(data)
    for _ in nft_messages.elements(data):
        pass


class _Kernel:
    """A channel whose every answer is the input."""

    def __init__(self, data):
        self._data = data

    def converse(self, question, is_answered, take, is_short=False):
        take(self._data)
        is_answered(self._data)


def connections(data):
    """What the kernel says of the connections that are to be ended with a mapping."""
    flows = conntrack.Flows(_Kernel(data))
    mapping = PortMapping("", 8000, "TCP", 8000, HOST, True, "", 0, 700)
    flows.end([mapping])
    flows.begin(mapping)


def iptables_listing(data):
    """What `iptables -nvL` prints."""
    try:
        text = data.decode()
    except ValueError:
        return
    for rule in iptables_chains.parse_listing(text):
        rule.matches_all("wan")


def command(data):
    """A line of the control channel, and words of the command line."""
    try:
        words = data.decode().split()
    except ValueError:
        words = []
    try:
        commands.parse(words)
    except commands.UsageError as error:
        assert error.args[0]
    gateway = make_gateway()
    with Files(pause, None):
        desk = administration.Administration(gateway, pause.Pause(_FILE + ".paused"), lambda: None, lambda: 0)
        for piece in desk.respond(data, 100):
            assert isinstance(piece, (bytes, str))


TARGETS = {
    "http": http, "soap": soap_call, "control": control, "ssdp": ssdp, "gena": gena, "configuration": configuration,
    "nat_pmp": nat_pmp, "pcp": pcp_over_ipv4, "pcp6": pcp_over_ipv6, "pinhole_file": pinhole_file,
    "lease_file": lease_file, "pause_file": pause_file, "netlink": netlink_reports, "connections": connections,
    "iptables": iptables_listing, "command": command,
}
