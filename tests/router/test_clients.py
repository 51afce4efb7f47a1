"""The clients that people have, as Debian carries them, on the LAN host: each finds the router and opens a port.

What a client says it did is believed only when packets from the WAN prove it, and again when the port is closed.
"""

import hashlib
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

from qemu.lab import LAN_HOST, LAN_HOST2, LAN_ROUTER, WAN_ROUTER
from test_daemon import wait_for, wait_until_serving

PYTHON = "/usr/bin/python3"  # Debian's: it has the clients' modules
HERE = Path(__file__).resolve().parent / "clients"
DESCRIPTION = {1: "http://%s:5000/rootDesc.xml" % LAN_ROUTER, 2: "http://%s:5000/igd2/rootDesc.xml" % LAN_ROUTER}
SECONDS = 20  # the most that any step of a client takes; most take a few tenths
DEVICES = "InternetGatewayDevice", "WANDevice", "WANConnectionDevice"


class Program:
    """A client that runs on the LAN host and prints what it sees; ended with the `with` block."""

    def __init__(self, lab, argv, folder):
        # Whatever it writes goes below `folder`.
        environment = dict(os.environ, HOME=str(folder), XDG_CONFIG_HOME=str(folder), XDG_CACHE_HOME=str(folder),
                           TMPDIR=str(folder), GSETTINGS_BACKEND="memory", PYTHONWARNINGS="ignore", LC_ALL="C.UTF-8")
        self._child = lab.lan.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                    env=environment, cwd=folder)
        self._output = b""
        self._seen = 0  # of the output

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        self._child.stdin.close()
        self._child.stdout.close()

    def line(self, start):
        """Return the rest of the next line that begins with `start`; what comes before it is skipped."""
        limit = time.monotonic() + SECONDS
        while True:
            *lines, _ = self._output[self._seen:].split(b"\n")
            for line in lines:
                self._seen += len(line) + 1
                if line.startswith(start.encode()):
                    return line[len(start):].decode()
            left = limit - time.monotonic()
            data = b""
            if left > 0 and select.select([self._child.stdout], [], [], left)[0]:
                data = os.read(self._child.stdout.fileno(), 65536)
            assert data, "no line with %s in:\n%s" % (start, self._output.decode(errors="replace"))
            self._output += data.replace(b"\r", b"\n")

    def value(self, *words):
        """Return what follows `words` in the next line (a JSON list) that begins with them."""
        start = json.dumps(words)[:-1]
        return json.loads(start + self.line(start))[len(words):]

    def tell(self):
        """Send it a line: it may go on."""
        self._child.stdin.write(b"\n")
        self._child.stdin.flush()

    def end(self, number=None):
        """Wait for its end, after sending it signal `number` if there is one; return its status."""
        if number is not None:
            self._child.send_signal(number)
        try:
            return self._child.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError("it does not end:\n" + self._output.decode(errors="replace")) from None


@pytest.fixture
def start(client, tmp_path):
    """Start a program of the folder clients: start("binding.py", argument, ...)."""
    def start(name, *arguments):
        interpreter = "perl" if name.endswith(".pl") else PYTHON
        return Program(client.lab, [interpreter, HERE / name, *arguments], tmp_path)
    return start


def entry(client, port, protocol="TCP"):
    """Return the mapping of an external port as {argument: value}; {} when there is none."""
    status, body = client.call("GetSpecificPortMappingEntry", (
        ("NewRemoteHost", ""), ("NewExternalPort", port), ("NewProtocol", protocol)))
    assert status == 200 or "<errorCode>714</errorCode>" in body
    return dict(re.findall(r"<(New\w+)>(.*?)</\1>", body))


def upnpc(client, *words, version=1, search=False):
    """Return what upnpc prints; unless it has to `search` it is told where the description of that version is."""
    where = [] if search else ["-u", DESCRIPTION[version]]
    return client.lab.lan.run(["upnpc", "-m", "eth0", *where, *[str(word) for word in words]], SECONDS).stdout


# --- miniupnpc


def test_upnpc_finds_the_router_and_opens_a_port(client):
    output = upnpc(client, "-s", search=True)
    assert " desc: %s\n st: urn:schemas-upnp-org:device:InternetGatewayDevice:1\n" % DESCRIPTION[1] in output
    assert "Found valid IGD : http://192.168.1.1:5000/upnp/control/WANIPConn1\n" in output
    assert "\nStatus : Connected, " in output and "\nExternalIPAddress = 11.0.0.2\n" in output
    client.demo.expect_refused()
    output = upnpc(client, "-e", "b\u00fcro <&>", "-a", LAN_HOST, 8000, 8000, "TCP", 600, search=True)
    assert re.search(r"external 11\.0\.0\.2:8000 TCP is redirected to internal 192\.168\.1\.2:8000 "
                     r"\(duration=(600|59\d)\)\n", output)  # what is left when it asks
    client.demo.tcp_exchange()
    assert "UPNP_DeletePortMapping() returned : 0\n" in upnpc(client, "-d", 8000, "TCP", search=True)
    client.demo.expect_refused()


@pytest.mark.parametrize("version", [1, 2])
def test_upnpc_lists_what_it_opened_with_the_description_as_given(client, version):
    """upnpc writes the description into its XML as it is, and shows what it reads with the references left in."""
    upnpc(client, "-e", "b\u00fcro <&>", "-a", LAN_HOST, 8000, 8000, "TCP", 600, version=version)
    output = upnpc(client, "-e", "two", "-r", 8000, 8100, "UDP", 8000, 8101, "UDP", version=version)
    assert output.count("UDP is redirected to internal 192.168.1.2:8000") == 2
    assert client.demo.tcp_exchange(8000) and client.demo.udp_exchange(8100) and client.demo.udp_exchange(8101)
    listed = upnpc(client, "-l", version=version)
    assert re.search(r" 0 TCP  8000->192\.168\.1\.2:8000  'b\u00fcro &lt;&amp;&gt;' '' [1-9]", listed)
    for port in 8100, 8101:
        assert re.search(r" UDP  %d->192\.168\.1\.2:8000  'two' '' \d" % port, listed)
    assert entry(client, 8000)["NewPortMappingDescription"] == "b\u00fcro &lt;&amp;&gt;"
    for port, protocol in (8000, "TCP"), (8100, "UDP"), (8101, "UDP"):
        assert "returned : 0\n" in upnpc(client, "-d", port, protocol, version=version)
        client.demo.expect_refused(port)
    assert "returned 713 (SpecifiedArrayIndexInvalid)" in upnpc(client, "-l", version=version)


def test_upnpc_takes_any_port_lists_and_deletes_a_range(client):
    assert client.add(client=LAN_HOST2, source=LAN_HOST2)[0] == 200  # another host has 8000
    output = upnpc(client, "-n", LAN_HOST, 8000, 8000, "TCP", 600, version=2)
    port = int(re.search(r"external 11\.0\.0\.2:(\d+) TCP is redirected to internal 192\.168\.1\.2:8000", output)[1])
    assert port != 8000
    client.demo.tcp_exchange(port)
    assert re.search(r" TCP +%d->192\.168\.1\.2:8000" % port, upnpc(client, "-L", version=2))
    output = upnpc(client, "-N", port, port, "TCP", version=2)
    assert "UPNP_DeletePortMappingRange() returned : 0\n" in output
    client.demo.expect_refused(port)
    assert " TCP %d->" % port not in upnpc(client, "-L", version=2)
    assert client.delete(source=LAN_HOST2)[0] == 200


def test_what_version_2_added_is_an_invalid_action_for_upnpc_at_version_1(client):
    assert "failed with code 401 (Invalid Action)" in upnpc(client, "-n", LAN_HOST, 8000, 8000, "TCP", 600)
    assert "GetListOfPortMappings() returned 401 (Invalid Action)" in upnpc(client, "-L")
    assert "UPNP_DeletePortMappingRange() failed with code : 401" in upnpc(client, "-N", 8000, 8001, "TCP")
    # After a refused -n upnpc asks for the mapping that it did not get.
    assert entry(client, 8000) == {}


def test_the_python_binding_of_miniupnpc(client, start):
    with start("binding.py", "8001") as program:
        assert program.value("discover") == [1]
        assert program.value("selectigd") == ["http://192.168.1.1:5000/upnp/control/WANIPConn1"]
        assert program.value("externalipaddress") == [WAN_ROUTER]
        assert program.value("statusinfo")[0][0] == "Connected"
        assert program.value("addportmapping") == [True]
        kept = "b\u00fcro &lt;&amp;&gt;"  # it does not resolve references either
        address, port, description, is_enabled, lease = program.value("getspecificportmapping")[0]
        assert (address, port, description, is_enabled) == (LAN_HOST, 8000, kept, True) and 0 < lease <= 600
        [[found]] = program.value("getgenericportmapping")
        assert found[:6] == [8001, "TCP", [LAN_HOST, 8000], kept, "1", ""]
        client.demo.tcp_exchange(8001)
        program.tell()
        assert program.value("deleteportmapping") == [True]
        assert program.value("getspecificportmapping") == [None]
        assert program.end() == 0
    client.demo.expect_refused(8001)


# --- gssdp, gupnp, gupnp-igd


def resources():
    """Return the end of the USN of all that searches find."""
    found = {"upnp:rootdevice"}
    for version in 1, 2:
        found |= {"urn:schemas-upnp-org:device:%s:%d" % (name, version) for name in DEVICES}
        found.add("urn:schemas-upnp-org:service:WANIPConnection:%d" % version)
    return found | {"urn:schemas-upnp-org:service:%s:1" % name for name in
                    ("Layer3Forwarding", "WANCommonInterfaceConfig", "WANEthernetLinkConfig")}


def test_gssdp_finds_everything_and_sees_it_go_and_come(client, start):
    def next_resources(program, word):
        missing = resources()
        while missing:
            usn, *_ = program.value(word)
            missing.discard(usn.partition("::")[2])

    with start("browse.py", "ssdp:all") as program:
        next_resources(program, "available")
        client.lab.router.check("/etc/init.d/miniupnpd stop")
        next_resources(program, "unavailable")
        client.lab.router.check("/etc/init.d/miniupnpd start")
        next_resources(program, "available")
    wait_until_serving(client)


@pytest.mark.parametrize("target, path", [
    ("urn:schemas-upnp-org:device:InternetGatewayDevice:1", "/rootDesc.xml"),
    ("urn:schemas-upnp-org:device:InternetGatewayDevice:2", "/igd2/rootDesc.xml"),
    ("urn:schemas-upnp-org:service:WANIPConnection:1", "/rootDesc.xml"),
    ("urn:schemas-upnp-org:service:WANIPConnection:2", "/igd2/rootDesc.xml")])
def test_gssdp_is_led_to_the_version_it_looks_for(client, start, target, path):
    with start("browse.py", target) as program:
        usn = None
        while usn is None or not usn.endswith("::" + target):  # gssdp takes an announced :2 for a :1, too
            usn, locations = program.value("available")
        assert locations == ["http://192.168.1.1:5000" + path]


@pytest.mark.parametrize("version", [1, 2])
def test_gupnp_reads_every_document_hears_events_and_opens_a_port(client, start, version):
    device = "urn:schemas-upnp-org:device:InternetGatewayDevice:%d" % version
    names = ["Layer3Forwarding", "WANCommonInterfaceConfig", "WANEthernetLinkConfig", "WANIPConnection"]
    names += ["WANIPv6FirewallControl"] if version == 2 else []
    with start("control_point.py", LAN_HOST, device, "8002") as program:
        for name in DEVICES:
            assert program.value("device")[0] == "urn:schemas-upnp-org:device:%s:%d" % (name, version)
        services, events, others = {}, {}, []
        while len(services) < len(names) or ["called", "AddPortMapping"] not in others:
            word, *words = program.value()
            if word == "service":
                services[words[0].split(":")[-2]] = words[1:]
            elif word == "event":
                events[words[0]] = words[1]
            else:
                others.append([word, *words])
        assert others == [["called", "GetExternalIPAddress"], ["address", WAN_ROUTER], ["called", "AddPortMapping"]]
        assert sorted(services) == names
        # What is introspected is the whole of what the specification says, or gupnp has found a fault.
        actions, variables = services["WANIPConnection"]
        assert ("AddAnyPortMapping" in actions) == (version == 2) and "GetNATRSIPStatus" in actions
        assert "PortMappingLeaseDuration" in variables
        client.demo.tcp_exchange(8002)
        assert entry(client, 8002)["NewPortMappingDescription"] == "gupnp &lt;&amp;&gt; \u00fc"
        while events.get("PortMappingNumberOfEntries") != 1 or events.get("ExternalIPAddress") != WAN_ROUTER:
            variable, value = program.value("event")
            events[variable] = value
        program.tell()
        program.line('["called", "DeletePortMapping"]')
        client.demo.expect_refused(8002)
        while program.value("event") != ["PortMappingNumberOfEntries", 0]:
            pass


def test_gupnp_igd_keeps_its_port_open_by_renewal(client, start):
    lease = 4
    with start("simple_igd.py", LAN_HOST, "8003", str(lease)) as program:
        assert program.value("mapped") == ["TCP", WAN_ROUTER, 8003, LAN_HOST, 8000, "gupnp-igd \u00fc"]
        client.demo.tcp_exchange(8003)
        begin, seen = time.monotonic(), []
        while time.monotonic() < begin + lease + 1:  # longer than it was opened for
            seen.append(int(entry(client, 8003)["NewLeaseDuration"]))
            time.sleep(0.2)
        assert 1 <= min(seen) and max(seen) <= lease
        assert seen != sorted(seen, reverse=True)  # it was renewed before its end
        client.demo.tcp_exchange(8003)
        program.tell()
        limit = time.monotonic() + SECONDS
        while entry(client, 8003):
            assert time.monotonic() < limit
            time.sleep(0.1)
        client.demo.expect_refused(8003)
        program.tell()
        assert program.end() == 0


# --- Net::UPnP


def test_net_upnp(client, start):
    with start("gateway.pl", LAN_HOST, "8004") as program:
        assert program.line("address ") == WAN_ROUTER
        assert program.line("added ") == "1"
        assert program.line("count ") == "1"
        assert "NewExternalPort=8004 NewInternalClient=192.168.1.2 NewInternalPort=8000" in program.line("entry ")
        client.demo.tcp_exchange(8004)
        program.tell()
        assert program.line("deleted ") == "1"
        assert program.end() == 0
    client.demo.expect_refused(8004)


# --- BitTorrent


@pytest.fixture
def torrent(tmp_path):
    """A torrent of one small file that nobody has: (path, its hash)."""
    content = b"\0" * 16384
    info = b"d6:lengthi%de4:name4:file12:piece lengthi%de6:pieces20:%se" % (
        len(content), len(content), hashlib.sha1(content).digest())
    path = tmp_path / "file.torrent"
    path.write_bytes(b"d4:info%se" % info)
    return path, hashlib.sha1(info).digest()


def peer_exchange(client, port, info_hash):
    """Be a peer on the WAN: greet the client by BitTorrent over TCP, and by uTP's SYN over UDP."""
    with client.lab.wan.call(socket.create_connection, (WAN_ROUTER, port), 5) as link:
        link.sendall(b"\x13BitTorrent protocol" + bytes(8) + info_hash + b"-XX0000-abcdefghijkl")
        answer = b""
        while len(answer) < 48:
            part = link.recv(100)
            assert part, answer
            answer += part
        assert answer[:20] == b"\x13BitTorrent protocol" and answer[28:48] == info_hash
    with client.lab.wan.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(5)
        link.connect((WAN_ROUTER, port))
        link.send(struct.pack("!BBHIIIHH", 0x41, 0, 7777, 1, 0, 1 << 16, 1, 0))
        kind, _, connection = struct.unpack_from("!BBH", link.recv(100))
        assert (kind, connection) == (0x21, 7777)  # ST_STATE, version 1


def expect_given_back(client, port):
    """Check that nothing is mapped there any more, with somebody at the LAN host who would take what comes."""
    assert entry(client, port, "TCP") == entry(client, port, "UDP") == {}
    with client.lab.lan.call(socket.create_server, (LAN_HOST, port)), client.lab.lan.call(
            socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((LAN_HOST, port))
        client.demo.expect_refused(port)


def test_transmission_opens_its_port_and_gives_it_back(client, tmp_path, torrent):
    """It asks by NAT-PMP and by UPnP, and both are one mapping."""
    (tmp_path / "settings.json").write_text(json.dumps({
        "port-forwarding-enabled": True, "dht-enabled": False, "lpd-enabled": False, "pex-enabled": False,
        "rpc-enabled": False, "utp-enabled": True, "encryption": 0}))
    path, info_hash = torrent
    with Program(client.lab, ["transmission-cli", "-g", tmp_path, "-w", tmp_path, "-m", "-p", "51413", path],
                 tmp_path) as program:
        while 'State changed from "Not forwarded" to "Forwarded"' not in program.line("["):
            pass
        for protocol in "TCP", "UDP":
            found = entry(client, 51413, protocol)
            assert found["NewInternalClient"] == LAN_HOST and found["NewInternalPort"] == "51413"
            assert found["NewPortMappingDescription"] in ("Transmission at 51413", "NAT-PMP 51413 " + protocol.lower())
        assert "\n2 mappings" in client.lab.router.check("miniigd status")
        peer_exchange(client, 51413, info_hash)
        assert program.end(signal.SIGINT) == 0
    expect_given_back(client, 51413)


def test_libtorrent_opens_its_port_and_gives_it_back(client, start, tmp_path, torrent):
    path, info_hash = torrent
    with start("torrents.py", LAN_HOST, "51414", path, tmp_path, "upnp") as program:
        missing = {"TCP", "UDP"}
        while missing:
            [message] = program.value("portmap_alert")
            assert message.startswith("successfully mapped port using UPnP. local: 192.168.1.2 external port: ")
            missing.discard(message.rpartition(" ")[2].partition("/")[0])
        # It may be renewing just now: deleted first, then added.
        wait_for(client, lambda: entry(client, 51414).get("NewPortMappingDescription", "").startswith("libtorrent/"))
        peer_exchange(client, 51414, info_hash)
        program.tell()
        program.line('["ended"]')
        assert program.end() == 0
    expect_given_back(client, 51414)
