"""What several unit tests share.

Catch an exception, damage an input, see what is logged, set the clock, stand in for files, decode netlink, make a
gateway and call its actions, make a request, take an XML document apart.
"""

import errno
import io
import socket
import struct

from miniigd import log
from miniigd import loop as loop_module
from miniigd.addresses import ip6_bytes
from miniigd.compat import AF_INET6, IP_MULTICAST_IF, address
from miniigd.errors import UPnPError
from miniigd.firewall.memory import MemoryFirewall
from miniigd.gateway import Gateway
from miniigd.http import RequestReader
from miniigd.interfaces import Interface
from miniigd.mapping import MappingTable
from miniigd.netlink import attributes, messages
from miniigd.policy import Policy
from miniigd.services import Context
from miniigd.wan import Wan

HOST, OTHER = "192.168.1.2", "192.168.1.3"  # of the LAN
HOST6, OTHER6, ROUTER6 = "2001:db8::2", "2001:db8::3", "2001:db8::1"

# /etc/config/upnpd in both of its schemas
FIRST = """
config upnpd 'config'
\toption enabled '0'
\toption enable_natpmp '1'
\toption enable_upnp '1'
\toption secure_mode '1'
\toption log_output '0'
\toption download '1024'
\toption upload '512'
\toption internal_iface 'lan'
\toption port '5000'
\toption upnp_lease_file '/var/run/miniupnpd.leases'
\toption igdv1 '1'
\toption uuid ''

config perm_rule
\toption action 'allow'
\toption ext_ports '1024-65535'
\toption int_addr '0.0.0.0/0' # Does not override secure_mode
\toption int_ports '1024-65535'
\toption comment 'Allow high ports'

config perm_rule
\toption action 'deny'
\toption ext_ports '0-65535'
\toption int_addr '0.0.0.0/0'
\toption int_ports '0-65535'
\toption comment 'Default deny'
"""

SECOND = """
config upnpd 'settings'
\toption enabled '1'
\toption enable_protocols 'all'
\toption upnp_igd_compat 'igdv1'
\toption http_port '5001'
\toption download_kbps '50000'
\toption access_preset 'accept-high-ports'

config acl_entry
\toption action 'accept'
\toption int_addr '192.168.1.5'
\toption int_port '80'
\toption ext_port '80'
\toption descr_filter '^web'

config acl_entry
\toption action 'ignore'
\toption comment 'Low/system ports'
"""


def raised(kind, function, *arguments):
    """Call the function; return the exception of `kind` that it raises."""
    try:
        function(*arguments)
    except kind as error:
        return error
    raise AssertionError("nothing was raised")


def damaged(data):
    """Yield `data` (bytes) cut at every place, and with every byte changed to some that matter to parsers."""
    for position in range(len(data)):
        yield data[:position]
        for byte in b"\0\n <>&/:;\"\x80\xff":
            yield data[:position] + bytes([byte]) + data[position + 1:]


def received(loop, client, turns=200, ends_early=True):
    """Turn the loop and read from `client`, a socket that does not block; return (what came, is it closed?).

    Ends early where nothing more is there after something came; otherwise only when the other end closes.
    """
    data = b""
    for _ in range(turns):
        loop.turn(1 if ends_early else 0)
        try:
            piece = client.recv(65536)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                return data, True
            if data and ends_early:
                return data, False
            continue
        if not piece:
            return data, True
        data += piece
    return data, False


def lacks_multicast():
    """True under qemu's user mode: multicast sockets cannot be tested there, it does not know their options."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(0, IP_MULTICAST_IF, b"\x7f\0\0\1")
        return False
    except OSError:
        return True
    finally:
        sock.close()


def lacks_ipv6():
    """True where this machine, or what emulates it, has no IPv6 to try sockets with."""
    try:
        sock = socket.socket(AF_INET6, socket.SOCK_DGRAM)
    except OSError:
        return True
    try:
        sock.bind(address("::1", 0))
        return False
    except OSError:
        return True
    finally:
        sock.close()


class Output:
    """Stands in for `sys` in a module: `with Output(log) as output: ...`, then output.text() is what was written."""

    def __init__(self, module):
        self._module = module
        self.stdout = self.stderr = io.StringIO()

    def text(self):
        return self.stdout.getvalue()

    def __enter__(self):
        self._real = self._module.sys
        self._module.sys = self
        return self

    def __exit__(self, kind, value, traceback):
        self._module.sys = self._real


class Clock:
    """Stands in for the clock of loops that are made meanwhile: `with Clock() as clock: ... clock.ms += 250`."""

    def __init__(self):
        self.ms = 5000000

    def _monotonic_ms(self):
        return self.ms

    def __enter__(self):
        self._real = loop_module.monotonic_ms
        loop_module.monotonic_ms = self._monotonic_ms
        return self

    def __exit__(self, kind, value, traceback):
        loop_module.monotonic_ms = self._real


def turn(loop, count=5):
    """Turn a loop so many times, without waiting."""
    for _ in range(count):
        loop.turn(0)


def take_turns(loop):
    """Turn a loop until nothing is due any more: each turn calls one timer."""
    loop.turn(0)
    for _ in range(1000):
        if loop._wait_ms() != 0:
            return
        loop.turn(0)
    raise AssertionError("there is always something due")


class Files:
    """Stands in for `open` in a module: every file holds `data` (bytes), or cannot be opened when that is None."""

    def __init__(self, module, data):
        self._module = module
        self._data = data

    def __enter__(self):
        self._module.open = self._open
        return self

    def __exit__(self, kind, value, traceback):
        self._module.open = open

    def _open(self, path, mode="r"):
        if self._data is None:
            raise OSError(2, path)
        return _File(self._data)


class _File:
    def __init__(self, data):
        self._data = data

    def read(self, most=-1):
        data = self._data if most < 0 else self._data[:most]
        return data.decode()  # ValueError where the real one raises it

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        pass


def values(data):
    """Return the [(type, value)] of a row of netlink attributes."""
    return [(kind, bytes(data[start:end])) for kind, start, end in attributes(data, 0, len(data))]


def nft_messages(data):
    """Return the [(type, flags, sequence, family header, attributes by type)] of a row of nf_tables messages."""
    found = []
    for kind, sequence, start, end in messages(data):
        flags = struct.unpack_from("@H", data, start - 10)[0]
        found.append((kind, flags, sequence, bytes(data[start:start + 4]), dict(values(data[start + 4:end]))))
    return found


def nft_expressions(data):
    """Return the [(name, attributes by type)] of a rule's list of expressions."""
    return [(one[1], dict(values(one[2]))) for one in [dict(values(value)) for _, value in values(data)]]


class QuietWan(Wan):
    """The WAN of a router that serves nothing itself but `services`, (protocol, port), whatever this machine does."""

    services = ()

    def has_service(self, protocol, port):
        return (protocol, port) in self.services


LAN6_INDEX = 3


def make_lan6(address=ROUTER6):
    """Return the Interface of a LAN on which the router has that IPv6 address, in a prefix of 64 bits."""
    interface = Interface("lan")
    interface.index, interface.is_up, interface.addresses6 = LAN6_INDEX, True, [(ip6_bytes(address), 64, True)]
    return interface


class Neighbours:
    """Stands in for neighbours.Neighbours: HOST and HOST6 are one host, OTHER and OTHER6 another."""

    def is_same_host(self, raw, other, index):
        assert index == LAN6_INDEX
        return raw[-1] == other[-1]


def make_gateway6(**named):
    """Return a Gateway with a LAN that has a prefix; ids of pinholes are 1, 2, 3 ..."""
    lan = make_lan6()
    gateway = make_gateway(policy=Policy(lans=[lan], own=[lan], neighbours=Neighbours(), **named))
    gateway.pinholes.table._make_number = lambda: 1
    return gateway


def make_gateway(address="81.2.69.160", allows_private=False, policy=None):
    """Return a Gateway whose WAN has had that external address, or None, since the second 40."""
    interface = Interface("wan")
    wan = QuietWan(interface, 50000000, 100000000, "", allows_private)
    if address:
        interface.index, interface.is_up, interface.addresses = 4, True, [(address, 22)]
        with Output(log):
            wan.update(40)
    return Gateway(MappingTable(), MemoryFirewall(), wan, policy=policy)


def call(service, gateway, name, arguments=(), caller=HOST, now=100, version=1):
    """Return the values of an action, or the code with which it refuses."""
    action = service.find_action(name)
    assert len(arguments) == len(action.arguments_in)
    with Output(log):
        try:
            values = action.function(Context(gateway, caller, now, version), list(arguments))
        except UPnPError as error:
            return error.code
    assert len(values) == len(action.arguments_out)
    return values


def make_request(method, path, headers=(), body=b""):
    """Return the Request with that body (bytes) and those headers, (name, value) in bytes."""
    reader = RequestReader()
    reader.receive(b"%s %s HTTP/1.1\r\n" % (method.encode(), path.encode()))
    for name, value in headers:
        reader.receive(b"%s: %s\r\n" % (name, value))
    reader.receive(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    return reader.next_request()


def elements(data):
    """Return the [(name, text)] of the elements of a document (bytes), each text as it stands there.

    Fails when the document is not well formed, in the plain style of miniigd: no empty tags, no raw > in a text.
    """
    text = data.decode()
    assert text.startswith('<?xml version="1.0"?>')
    found, open_names = [], []
    for piece in text[text.find("?>") + 2:].strip().split("<")[1:]:
        tag, mark, rest = piece.partition(">")
        assert mark and ">" not in rest
        for reference in rest.split("&")[1:]:
            assert reference.partition(";")[0] in ("amp", "lt", "gt", "quot"), rest
        if tag.startswith("/"):
            assert open_names.pop() == tag[1:]
            assert not rest.strip()
        else:
            assert open_names or not found  # one root
            name = tag.split(" ")[0]
            open_names.append(name)
            found.append((name, rest))
    assert found and not open_names
    return found


def texts(found, name):
    """Return the texts of all `elements` of that name."""
    return [text for kind, text in found if kind == name]


def loopback(prefix=8, name="lo"):
    """Return the loopback interface, or one that is not there, with its IPv4 address."""
    interface = Interface(name)
    interface.index, interface.is_up, interface.addresses = 1, True, [("127.0.0.1", prefix)]
    return interface


def loopback6():
    """Return the loopback interface with its IPv6 address."""
    interface = Interface("lo")
    interface.index, interface.is_up, interface.addresses6 = 1, True, [(ip6_bytes("::1"), 128, True)]
    return interface


class Slow:
    """A socket of a slow network: takes a few bytes, then wants to be asked again."""

    def __init__(self, sock):
        self._sock = sock
        self._is_full = False

    def __getattr__(self, name):
        return getattr(self._sock, name)

    def send(self, data, flags=0):
        self._is_full = not self._is_full
        if not self._is_full:
            raise OSError(errno.EAGAIN, "of this test")
        return self._sock.send(bytes(data[:7]))
