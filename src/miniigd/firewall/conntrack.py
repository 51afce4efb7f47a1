"""Ends the connections that came in through a mapping, when the mapping ends (ctnetlink, linux/nfnetlink_conntrack.h).

Rules decide about the first packet of a connection only; what is established goes on without them. So the kernel's
entries of a mapping's connections are deleted with it: the next packet that comes in is a stranger's. That alone would
not do: the next packet that the LAN host sends would make an entry of its own, under the same ports, and the other
side's packets would be answers to it. So an entry takes the place of the deleted one that gives what the LAN host still
sends another port outside. A TCP host there resets such a connection, and so both ends learn that it is over.

    flows = Flows(channel)   # netlink_channel.NetlinkChannel(PROTOCOL)
    flows.end(mappings)      # never raises
    flows.begin(mapping)     # its port is open again: what `end` left in the way goes
    flows.end_pinholes(pinholes)   # the same for IPv6; `begin` takes a pinhole as well
    flows.find("UDP", "192.168.1.2", 5060, "11.0.0.1", 5060)   # how the router translates it

Nothing is translated for IPv6, and most kernels could not. There the entry in the deleted one's place has answers come
from the address ::, from which nothing is ever forwarded: what the host sends still goes out, and what the other side
sends is a stranger's. So the other end learns by the firewall's rejection, and the host when nobody answers.
"""

import errno
import struct

from .. import log
from ..addresses import ip4_bytes, ip4_text, ip6_text, ip_bytes
from ..compat import const
from ..errors import FirewallError
from ..netlink import CREATE, DONE, DUMP, ERROR, REQUEST, Message, attributes, messages
from .nft_messages import IPPROTO

PROTOCOL = const(12)  # NETLINK_NETFILTER

_NEW, _GET, _DELETE = const(0x100), const(0x101), const(0x102)
_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _PROTOINFO, _NAT_SRC, _TIMEOUT, _ID, _FILTER = (
    const(1), const(2), const(3), const(4), const(6), const(7), const(12), const(25))
_FILTER_ORIGINAL_FLAGS, _FILTER_REPLY_FLAGS = const(1), const(2)
_TUPLE_IP, _TUPLE_PROTO = const(1), const(2)
_IP_SRC, _IP_DST, _IP6_SRC, _IP6_DST = const(1), const(2), const(3), const(4)
_PROTO_NUM, _SRC_PORT, _DST_PORT = const(1), const(2), const(3)
_PROTOINFO_TCP = const(1)
_TCP_STATE, _TCP_FLAGS_ORIGINAL, _TCP_FLAGS_REPLY = const(1), const(4), const(5)
_NAT_MINIP, _NAT_MAXIP, _NAT_PROTO = const(1), const(2), const(3)
_REPLIED = const(2 | 8)  # IPS_SEEN_REPLY | IPS_CONFIRMED
_TRANSLATED = const(0x20)  # IPS_DST_NAT: it came in through somebody's mapping
_ESTABLISHED = b"\x03"
_LIBERAL = b"\x08\x08"  # IP_CT_TCP_FLAG_BE_LIBERAL: nobody knows the connection's windows any more
# Seconds. A TCP host that keeps its connections alive asks after two hours at the latest, and learns then.
_ENDED_SECONDS = {b"\x06": 7500, b"\x11": 60}
_SIZES = {4: [4, 4, 1, 2, 2] * 2, 16: [16, 16, 1, 2, 2] * 2}  # of an address -> of the parts of two tuples
# By address, protocol and port of the tuple's source. Kernels leave out the IPv6 address that they are asked for and
# name the others (seen up to 6.18), so there the port has to do.
_BY_SOURCE = {4: 0x1 | 0x8 | 0x10, 16: 0x8 | 0x10}
_MOST_ENDED = const(256)  # remembered; of those beyond, a host cannot come back under its old port for a while
_LAST = const(2)  # sequence number of the message whose acknowledgement ends a transaction
_FAMILIES = {4: 2, 16: 10}  # length of an address -> AF_INET, AF_INET6
_NOBODY = bytes(16)
_ENOENT = const(2)  # a connection that ended by itself meanwhile is as good


class Flows:
    """The kernel's table of connections, over `channel`."""

    def __init__(self, channel):
        self._channel = channel
        self._is_lacking = False  # the kernel cannot do it
        self._ended = set()  # the inner ends (_inner) of connections that were ended

    def end(self, mappings):
        """End the connections of `mappings` (PortMapping)."""
        wanted = {}
        for mapping in mappings:
            wanted[struct.pack(">H", mapping.external_port) + _inner(mapping)] = mapping
        found = []
        question = _question(mappings[0] if len(mappings) == 1 else None, _TUPLE_REPLY, 4)
        if self._ask(question, lambda datagram: _collect(datagram, wanted, found), mappings[0]) and found:
            for one in found:
                if len(self._ended) < _MOST_ENDED:
                    self._ended.add(one[1] + one[6] + one[7])
            self._ask(_endings(found), lambda datagram: None, mappings[0])

    def begin(self, mapping):
        """The port of `mapping` (PortMapping or Pinhole) is open again: connections like those that were ended must be possible."""
        inner = _inner(mapping) if self._ended else None
        if inner in self._ended:
            self._ended.remove(inner)
            found = []
            if self._ask(_question(mapping, _TUPLE_ORIG, len(inner) - 3),
                         lambda datagram: _collect_outward(datagram, inner, found), mapping) and found:
                self._ask(_deletions(found), lambda datagram: None, mapping)

    def end_pinholes(self, pinholes):
        """End the connections that came in through `pinholes` (Pinhole)."""
        wanted = {}
        for pinhole in pinholes:
            wanted.setdefault(_inner(pinhole), []).append(pinhole)
        found = []
        question = _question(pinholes[0] if len(pinholes) == 1 else None, _TUPLE_REPLY, 16)
        if self._ask(question, lambda datagram: _collect_pinholes(datagram, wanted, found), pinholes[0]) and found:
            for one in found:
                if len(self._ended) < _MOST_ENDED:
                    self._ended.add(one[1] + one[4] + one[5])
            self._ask(_pinhole_endings(found), lambda datagram: None, pinholes[0])

    def find(self, protocol, host, port, remote_host, remote_port):
        """Return (external address, external port, seconds it is kept) of a connection of a LAN host, or None."""
        ends = (bytes([IPPROTO[protocol]]), ip4_bytes(host), struct.pack(">H", port), ip4_bytes(remote_host),
                struct.pack(">H", remote_port))
        message = Message()
        _begin(message, _GET, 0, _LAST, 4)
        _add_tuple(message, _TUPLE_ORIG, *ends)
        message.end()
        message.acknowledge(_LAST)
        found = []
        try:
            if not self._is_lacking:
                self._channel.converse(message.data, _is_end, lambda datagram: _collect_flow(datagram, ends[1], found))
        except FirewallError as error:
            log.warning("a connection is not found: %s" % error.text)
        return found[0] if found else None

    def _ask(self, question, take, mapping):
        """Send the question and take(datagram) its answers; return False when the kernel does not do it."""
        if self._is_lacking:
            return False
        try:
            self._channel.converse(question, _is_end, take)
            return True
        except FirewallError as error:
            text = "connections of %s live on" % mapping
            if error.number == errno.EINVAL:  # nobody in the kernel takes these messages
                self._is_lacking = True
                text = "connections live on when their mapping ends: load nf_conntrack_netlink"
            log.warning("%s (%s)" % (text, error.text))
            return False


def _address(mapping):
    """Return the bytes of the internal client of a PortMapping or Pinhole."""
    return ip_bytes(mapping.internal_client)


def _inner(mapping):
    """Return the inner end of connections through `mapping`, as in a tuple: protocol, address, port."""
    return bytes([IPPROTO[mapping.protocol]]) + _address(mapping) + struct.pack(">H", mapping.internal_port)


def _begin(message, kind, flags, sequence, size):
    """Begin a message about connections between addresses of `size` bytes."""
    message.begin(kind, REQUEST | flags, sequence)
    message.add(struct.pack(">BBH", _FAMILIES[size], 0, 0))


def _question(mapping, direction, size):
    """Return the message that asks for connections: all, or those of which a tuple's source is `mapping`'s inner end.

    Kernels before 5.8 do not know the filter and name all of them too; from 5.15 on those are left out whose
    destination was not translated, which are nearly all.
    """
    message = Message()
    _begin(message, _GET, DUMP, _LAST, size)
    if mapping is not None:
        _add_tuple(message, direction, bytes([IPPROTO[mapping.protocol]]), _address(mapping),
                   struct.pack(">H", mapping.internal_port))
        chosen = message.nest(_FILTER)
        message.attribute(_FILTER_REPLY_FLAGS if direction == _TUPLE_REPLY else _FILTER_ORIGINAL_FLAGS,
                          struct.pack("@I", _BY_SOURCE[size]))
        message.unnest(chosen)
    elif size == 4:
        message.attribute(_STATUS, struct.pack(">I", _TRANSLATED))
    message.end()
    return message.data


def _is_end(datagram):
    """True for the last datagram of an answer; FirewallError when the kernel refuses the question."""
    for kind, sequence, start, _ in messages(datagram):
        if kind == DONE:
            return True
        if kind == ERROR and sequence == _LAST:
            number = -struct.unpack_from("@i", datagram, start)[0]
            if number and number != _ENOENT:
                raise FirewallError("conntrack: the kernel refused (errno %s)" % number, number)
            return True
    return False


def _collect(datagram, wanted, found):
    """Append the connections in `datagram` that came through one of the mappings `wanted`: see `_connections`."""
    for identity, original, reply in _connections(datagram, 4, True):
        remote, router, protocol, remote_port, port = original
        host, _, _, host_port, _ = reply
        mapping = wanted.get(port + protocol + host + host_port)
        if mapping is not None and mapping.remote_host in ("", ip4_text(remote)):
            found.append((identity, protocol, remote, remote_port, router, port, host, host_port))


def _collect_pinholes(datagram, wanted, found):
    """Append the connections in `datagram` that came to an inner end of `wanted`: (id, the values of their tuples)."""
    for identity, original, _ in _connections(datagram, 16):
        remote, host, protocol, remote_port, host_port = original
        for pinhole in wanted.get(protocol + host + host_port, ()):
            if pinhole.remote_host in ("", ip6_text(remote)) and (
                    pinhole.remote_port in (0, remote_port[0] << 8 | remote_port[1])):
                found.append((identity, protocol, remote, remote_port, host, host_port))
                break


def _collect_outward(datagram, inner, found):
    """Append the connections in `datagram` that the host and port `inner` began: (id, the values of its tuple)."""
    for identity, original, _ in _connections(datagram, len(inner) - 3):
        host, remote, protocol, host_port, remote_port = original
        if protocol + host + host_port == inner:
            found.append((identity, protocol, host, host_port, remote, remote_port))


def _collect_flow(datagram, host, found):
    """Append (external address, external port, seconds) of the connections in `datagram`, which are those of `host`.

    Where the host began it, it is the reply that goes to the external address; else what the other end sent first.
    """
    for kind, _, start, end in messages(datagram):
        timeout = [struct.unpack_from(">I", datagram, begin)[0] for name, begin, stop in attributes(
            datagram, start + 4, end) if kind == _NEW and name == _TIMEOUT and stop - begin == 4]
        for _, original, reply in _connections(datagram, 4):
            _, address, _, _, port = reply if original[0] == host else original
            found.append((ip4_text(address), struct.unpack(">H", port)[0], timeout[0] if timeout else 0))


def _connections(datagram, size, is_translated=False):
    """Yield (id, original tuple, reply tuple) of each connection in `datagram` between addresses of `size` bytes.

    `is_translated`: only of those whose destination is; taking the tuples of thousands of others apart is slow.
    """
    for kind, _, start, end in messages(datagram):
        if kind != _NEW:
            continue
        original = reply = identity = None
        for name, begin, stop in attributes(datagram, start + 4, end):
            if name == _TUPLE_ORIG:
                original = (begin, stop)
            elif name == _TUPLE_REPLY:
                reply = (begin, stop)
            elif name == _STATUS and is_translated and not datagram[stop - 1] & _TRANSLATED:
                original = None
                break
            elif name == _ID:
                identity = bytes(datagram[begin:stop])
        if original is not None and reply is not None:
            original, reply = _tuple(datagram, original), _tuple(datagram, reply)
            if [len(part) for part in original + reply] == _SIZES[size]:  # ICMP has no ports
                yield identity, original, reply


def _tuple(datagram, place):
    """Return (source, destination, protocol, source port, destination port) of a tuple, each as bytes."""
    values = {}
    for outer, begin, stop in attributes(datagram, place[0], place[1]):
        for inner, first, last in attributes(datagram, begin, stop):
            values[(outer, inner)] = bytes(datagram[first:last])
    source = _IP_SRC if (_TUPLE_IP, _IP_SRC) in values else _IP6_SRC
    return [values.get(key, b"") for key in (
        (_TUPLE_IP, source), (_TUPLE_IP, source + 1), (_TUPLE_PROTO, _PROTO_NUM), (_TUPLE_PROTO, _SRC_PORT),
        (_TUPLE_PROTO, _DST_PORT))]


def _add_tuple(message, kind, protocol, source, source_port, destination=None, destination_port=None):
    """Append a tuple, each part as bytes; without a destination it is the filter's."""
    outer = message.nest(kind)
    addresses = message.nest(_TUPLE_IP)
    message.attribute(_IP_SRC if len(source) == 4 else _IP6_SRC, source)
    if destination is not None:
        message.attribute(_IP_DST if len(source) == 4 else _IP6_DST, destination)
    message.unnest(addresses)
    ports = message.nest(_TUPLE_PROTO)
    message.attribute(_PROTO_NUM, protocol)
    message.attribute(_SRC_PORT, source_port)
    if destination_port is not None:
        message.attribute(_DST_PORT, destination_port)
    message.unnest(ports)
    message.unnest(outer)


def _add_deletion(message, identity, protocol, source, source_port, destination, destination_port):
    _begin(message, _DELETE, 0, 0, len(source))
    _add_tuple(message, _TUPLE_ORIG, protocol, source, source_port, destination, destination_port)
    if identity:
        message.attribute(_ID, identity)
    message.end()


def _deletions(found):
    """Return the messages that delete the connections."""
    message = Message()
    for one in found:
        _add_deletion(message, *one)
    message.acknowledge(_LAST)
    return message.data


def _endings(found):
    """Return the messages that end the connections: each is deleted, and what its host still sends goes elsewhere."""
    message = Message()
    for identity, protocol, remote, remote_port, router, port, host, host_port in found:
        _add_deletion(message, identity, protocol, remote, remote_port, router, port)
        _begin_entry(message, protocol, (host, host_port, remote, remote_port), remote)
        _add_source(message, router, port)
        message.end()
    message.acknowledge(_LAST)
    return message.data


def _pinhole_endings(found):
    """Return the same for connections of pinholes: each is deleted, and nobody answers what its host still sends."""
    message = Message()
    for identity, protocol, remote, remote_port, host, host_port in found:
        _add_deletion(message, identity, protocol, remote, remote_port, host, host_port)
        _begin_entry(message, protocol, (host, host_port, remote, remote_port), _NOBODY)
        message.end()
    message.acknowledge(_LAST)
    return message.data


def _begin_entry(message, protocol, ends, answerer):
    """Begin the message that makes an entry for what goes between `ends`, which `answerer` answers to (an address)."""
    host, host_port, remote, remote_port = ends
    _begin(message, _NEW, CREATE, 0, len(host))
    _add_tuple(message, _TUPLE_ORIG, protocol, host, host_port, remote, remote_port)
    _add_tuple(message, _TUPLE_REPLY, protocol, answerer, remote_port, host, host_port)
    message.attribute(_STATUS, struct.pack(">I", _REPLIED))
    message.attribute(_TIMEOUT, struct.pack(">I", _ENDED_SECONDS[protocol]))
    if protocol == b"\x06":
        _add_state(message)


def _add_source(message, router, port):
    """Append the translation of the source: the router's address, and any port of a range in which `port` is not."""
    outer = message.nest(_NAT_SRC)
    message.attribute(_NAT_MINIP, router)
    message.attribute(_NAT_MAXIP, router)
    ports = message.nest(_NAT_PROTO)
    is_low = port < b"\x80"
    message.attribute(1, b"\xc0\0" if is_low else b"\x04\0")
    message.attribute(2, b"\xff\xff" if is_low else b"\x7f\xff")
    message.unnest(ports)
    message.unnest(outer)


def _add_state(message):
    """Append what the kernel is to know of a TCP connection: that it goes on, and nothing of its windows."""
    outer = message.nest(_PROTOINFO)
    inner = message.nest(_PROTOINFO_TCP)
    message.attribute(_TCP_STATE, _ESTABLISHED)
    message.attribute(_TCP_FLAGS_ORIGINAL, _LIBERAL)
    message.attribute(_TCP_FLAGS_REPLY, _LIBERAL)
    message.unnest(inner)
    message.unnest(outer)
