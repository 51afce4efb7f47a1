"""The demonstration: the package on the router, a client on the LAN, a host on the WAN, and real packets between them.

Every step checks what it shows; `make run` prints them, the router tests run the same ones.

    with Lab("debian") as lab:
        for step in Demonstration(lab, package).steps:
            step()
"""

import contextlib
import re
import socket
import threading

from package import kit
from qemu.lab import LAN_HOST, LAN_ROUTER, WAN_ROUTER

PORT = 8000  # on the router and on the LAN host
LEASE = 600  # seconds
DESCRIPTION_URL = "http://%s:5000/rootDesc.xml" % LAN_ROUTER
_TIMEOUT = 5  # seconds for one exchange


class Demonstration:
    """The steps, in order; each is a method whose docstring says what it shows and which raises kit.Stop otherwise."""

    def __init__(self, lab, package):
        self.lab, self.package = lab, package
        self._servers = []  # threads
        self._is_ended = threading.Event()
        self.steps = (self.install, self.discover, self.refused_before, self.open_ports, self.exchange, self.list,
                      self.delete, self.refused_after)

    def show(self):
        """Run every step and print what was seen."""
        try:
            for number, step in enumerate(self.steps, 1):
                with kit.step("%d/%d %s" % (number, len(self.steps), step.__doc__)):
                    for line in step():
                        print("    " + line, flush=True)
        finally:
            self.close()

    def close(self):
        """End the LAN host's servers."""
        self._is_ended.set()
        for thread in self._servers:
            thread.join()
        self._servers = []

    def install(self):
        """The router installs the package and its owner switches it on"""
        router = self.lab.router
        lines = router.check("opkg install %s" % self.lab.serve(self.package), timeout=60).strip().splitlines()
        router.check("sed -i \"s/option enabled .*/option enabled '1'/\" /etc/config/upnpd")
        router.check("/etc/init.d/miniupnpd restart")
        for _ in range(50):
            if "serving" in router.run("logread | grep 'miniigd: info'").output:
                break
            router.check("sleep 0.2")
        lines += router.check("ps w | grep '[/]usr/sbin/miniigd'").strip().splitlines()
        return lines

    def discover(self):
        """A program on the LAN finds the gateway and asks for the external address"""
        output = self.upnpc("-s", search=True)
        lines = _expect(output, r"Found valid IGD : .*", r"Status : Connected.*",
                        r"ExternalIPAddress = %s" % re.escape(WAN_ROUTER))
        self._serve_lan_host()
        return lines

    def refused_before(self):
        """A host on the WAN cannot reach the LAN yet"""
        return [self.expect_refused()]

    def open_ports(self):
        """The program asks for a port, TCP and UDP"""
        lines = []
        for protocol in "TCP", "UDP":
            lines += _expect(self.upnpc("-a", LAN_HOST, PORT, PORT, protocol, LEASE),
                             r"external %s:%d %s is redirected to internal %s:%d.*"
                             % (re.escape(WAN_ROUTER), PORT, protocol, re.escape(LAN_HOST), PORT))
        target = (PORT, re.escape(LAN_HOST), PORT)
        if self.has_nft():
            patterns = [r'iif "eth1" @nh,72,8 %s th dport %d dnat ip to %s:%d' % (number, *target)
                        for number in ("0x6", "0x11")]
        else:
            patterns = [r"-A MINIUPNPD -p %s -m %s --dport %d -j DNAT --to-destination %s:%d" % (name, name, *target)
                        for name in ("tcp", "udp")]
        return lines + _expect(self.rules(), *patterns)

    def exchange(self):
        """The host on the WAN talks to the program through that port"""
        return [self.tcp_exchange(), self.udp_exchange()]

    def list(self):
        """The mappings are listed"""
        return _expect(self.upnpc("-l"), *[r"\d+ %s +%d->%s:%d .*" % (protocol, PORT, re.escape(LAN_HOST), PORT)
                                           for protocol in ("TCP", "UDP")])

    def delete(self):
        """The program gives the port back"""
        for protocol in "TCP", "UDP":
            _expect(self.upnpc("-d", PORT, protocol), r"UPNP_DeletePortMapping\(\) returned : 0")
        rules = self.rules()
        if "port %d " % PORT in rules or ". %d ." % PORT in rules:
            raise kit.Stop("the firewall still holds port %d:\n%s" % (PORT, rules))
        return ["TCP and UDP %d deleted, nothing of them left in the firewall" % PORT]

    def refused_after(self):
        """The same connection from the WAN is refused now"""
        return [self.expect_refused()]

    def has_nft(self):
        """Whether the router's firewall is firewall4, on nftables; iptables otherwise."""
        return self.lab.router.run("command -v nft").status == 0

    def rules(self):
        """What the router's firewall holds, as its own program prints it."""
        return self.lab.router.check("nft list table inet fw4" if self.has_nft() else "iptables-save | grep MINIUPNPD")

    def upnpc(self, *words, search=False):
        """Run upnpc on the LAN host; with `search` it looks for the gateway by itself. Returns what it printed."""
        where = ["-m", "eth0"] + ([] if search else ["-u", DESCRIPTION_URL])
        return self.lab.lan.run(["upnpc", *where, *[str(word) for word in words]], timeout=30).stdout

    def _serve_lan_host(self):
        """Start the program's servers on the LAN host: they answer in capitals."""
        tcp = self.lab.lan.call(socket.create_server, (LAN_HOST, PORT))
        udp = self.lab.lan.call(_udp_socket, (LAN_HOST, PORT))
        for answer, server in (_answer_tcp, tcp), (_answer_udp, udp):
            thread = threading.Thread(target=self._serve, args=(server, answer), daemon=True)
            thread.start()
            self._servers.append(thread)

    def _serve(self, server, answer):
        server.settimeout(0.2)  # how often to look whether it is over
        with server:
            while not self._is_ended.is_set():
                with contextlib.suppress(TimeoutError):
                    answer(server)

    def tcp_exchange(self, port=PORT):
        """One TCP exchange from the WAN host through the router; returns a line about it."""
        try:
            with self.lab.wan.call(socket.create_connection, (WAN_ROUTER, port), _TIMEOUT) as link:
                link.sendall(b"tcp from the wan")
                answer, source = link.recv(100), link.getsockname()[0]
        except OSError as error:
            raise kit.Stop("TCP port %d does not answer: %s" % (port, error)) from None
        return _said("TCP", source, port, answer, b"TCP FROM THE WAN")

    def udp_exchange(self, port=PORT):
        """One UDP exchange from the WAN host through the router; returns a line about it."""
        with self.lab.wan.call(_udp_socket, ("", 0)) as link:
            link.connect((WAN_ROUTER, port))
            link.settimeout(1)
            for left in reversed(range(_TIMEOUT)):
                # Again and again: a router sends only so many refusals a second (Linux: one, and six at once).
                try:
                    link.send(b"udp from the wan")
                    answer = link.recv(100)
                    break
                except OSError as error:
                    if not left or not isinstance(error, TimeoutError):
                        raise kit.Stop("UDP port %d does not answer: %s" % (port, error)) from None
            return _said("UDP", link.getsockname()[0], port, answer, b"UDP FROM THE WAN")

    def expect_refused(self, port=PORT):
        """Check that TCP and UDP from the WAN host are refused; returns a line about it."""
        for exchange in self.tcp_exchange, self.udp_exchange:
            try:
                line = exchange(port)
            except kit.Stop as stop:
                if "refused" not in str(stop):
                    raise
            else:
                raise kit.Stop("port %d is open: %s" % (port, line))
        return "TCP and UDP %s:%d refused" % (WAN_ROUTER, port)


def _said(protocol, source, port, answer, expected):
    if answer != expected:
        raise kit.Stop("%s port %d answered %r" % (protocol, port, answer))
    return "%s %s -> %s:%d -> %s:%d and back: %s" % (protocol, source, WAN_ROUTER, port, LAN_HOST, PORT,
                                                     answer.decode())


def _expect(output, *patterns):
    """Return the lines that match `patterns`, one for each; Stop when one is missing."""
    lines = []
    for pattern in patterns:
        match = re.search(pattern, output)
        if match is None:
            raise kit.Stop("expected %s in:\n%s" % (pattern, output))
        lines.append(match[0].strip())
    return lines


def _udp_socket(address):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(_TIMEOUT)
    sock.bind(address)
    return sock


def _answer_tcp(server):
    link, _ = server.accept()
    with link:
        link.settimeout(_TIMEOUT)
        link.sendall(link.recv(100).upper())


def _answer_udp(server):
    data, peer = server.recvfrom(100)
    server.sendto(data.upper(), peer)
