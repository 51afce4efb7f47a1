"""The client on the LAN: the same requests to every daemon, each in a TCP connection of its own.

Everything here runs inside the LAN's namespace (Namespace.call).
"""

import re
import socket
import struct

from qemu.lab import LAN_HOST, LAN_ROUTER

_TIMEOUT = 120  # seconds of the host: the slowest answer, at a large table, takes seconds
_SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"
_GROUP = "239.255.255.250"
_LEASE = 86400  # longer than any run
FIRST_PORT = 10000  # of the mappings


class Refused(Exception):
    """The daemon answered with something else than 200; the text is the answer."""


def exchange(port, request, source=LAN_HOST, timeout=_TIMEOUT):
    """Send `request` in a new connection from `source` to the router's `port`; return the whole answer.

    The answer ends where its Content-Length says, or the connection does.
    """
    with socket.create_connection((LAN_ROUTER, port), timeout, (source, 0)) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.sendall(request)
        answer = b""
        while True:
            head, end, body = answer.partition(b"\r\n\r\n")
            if end:
                length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
                if length and len(body) >= int(length[1]):
                    return answer
            part = link.recv(65536)
            if not part:
                return answer
            answer += part


def get(path, port):
    """A GET as miniupnpc sends it."""
    return ("GET %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: Close\r\nUser-Agent: Debian/11, UPnP/1.1, MiniUPnPc/2.2.1\r\n"
            "\r\n" % (path, LAN_ROUTER, port)).encode()


def call(path, port, action, arguments=()):
    """A call of an action as miniupnpc sends it: `arguments` are (name, value)."""
    body = ('<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
            's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><u:%s xmlns:u="%s">%s</u:%s></s:Body>'
            '</s:Envelope>\r\n' % (action, _SERVICE, "".join("<%s>%s</%s>" % (n, v, n) for n, v in arguments),
                                   action))
    return ("POST %s HTTP/1.1\r\nHost: %s:%d\r\nUser-Agent: Debian/11, UPnP/1.1, MiniUPnPc/2.2.1\r\nContent-Length: %d\r\n"
            "Content-Type: text/xml\r\nSOAPAction: \"%s#%s\"\r\nConnection: Close\r\nCache-Control: no-cache\r\n"
            "Pragma: no-cache\r\n\r\n%s" % (path, LAN_ROUTER, port, len(body), _SERVICE, action, body)).encode()


def add(path, port, external_port, client=LAN_HOST, lease=_LEASE):
    """AddPortMapping of one TCP port to the same port of `client`."""
    return call(path, port, "AddPortMapping", (
        ("NewRemoteHost", ""), ("NewExternalPort", external_port), ("NewProtocol", "TCP"),
        ("NewInternalPort", external_port), ("NewInternalClient", client), ("NewEnabled", 1),
        ("NewPortMappingDescription", "bench %d" % external_port), ("NewLeaseDuration", lease)))


def delete(path, port, external_port):
    """DeletePortMapping of what `add` opened."""
    return call(path, port, "DeletePortMapping", (
        ("NewRemoteHost", ""), ("NewExternalPort", external_port), ("NewProtocol", "TCP")))


def entry(path, port, index):
    """GetGenericPortMappingEntry."""
    return call(path, port, "GetGenericPortMappingEntry", (("NewPortMappingIndex", index),))


def check(answer):
    """Raise Refused unless it is an answer with status 200."""
    if not re.match(rb"HTTP/1\.[01] 200 ", answer):
        raise Refused(answer.decode(errors="replace")[-300:] or "an empty answer")


def search(is_multicast, mx):
    """Send an M-SEARCH for the device, from a new port, and wait for its first answer; return the answer."""
    request = ("M-SEARCH * HTTP/1.1\r\nHOST: %s:1900\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"
               'MAN: "ssdp:discover"\r\nMX: %d\r\n\r\n' % (_GROUP if is_multicast else LAN_ROUTER, mx)).encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LAN_HOST))
        sock.bind((LAN_HOST, 0))
        sock.sendto(request, (_GROUP if is_multicast else LAN_ROUTER, 1900))
        return sock.recv(2048)


def pcp_map(external_port, lease=_LEASE):
    """Ask by PCP (RFC 6887) for one UDP port; return the result code."""
    client = b"\0" * 10 + b"\xff\xff" + socket.inet_aton(LAN_HOST)
    request = struct.pack(">BBHI16s12sB3xHH16s", 2, 1, 0, lease, client, struct.pack(">12sx", b"benchbench")[:12], 17,
                          external_port, external_port, b"\0" * 10 + b"\xff\xff" + b"\0" * 4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.bind((LAN_HOST, 0))
        sock.sendto(request, (LAN_ROUTER, 5351))
        return sock.recv(1100)[3]
