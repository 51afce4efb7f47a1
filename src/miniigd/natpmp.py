"""NAT-PMP (RFC 6886): read requests, write their answers and the announcement. Section numbers are its own.

Sans-IO: `caller` is the host that asks (dotted quad), `now` the loop's second.

    data = Server(dynamic).answer(datagram, caller, now)    # None: silence
"""

import struct

from . import pcp
from .addresses import ip4_bytes
from .compat import const
from .dynamic import log_refusal
from .errors import PCPError

PORT = const(5351)
CLIENT_PORT = const(5350)  # where clients hear announcements
GROUP = "224.0.0.1"
MAX_LIFETIME = const(86400)  # seconds; nobody is given more than he asked for (3.3), and no more than by PCP

_RESPONSE = const(0x80)
ADDRESS, MAP_UDP, MAP_TCP = const(0), const(1), const(2)  # opcodes
_MAP_SIZE = const(12)  # bytes of a request for a mapping

# Result codes (3.5)
SUCCESS = const(0)
UNSUPPORTED_VERSION = const(1)
NOT_AUTHORIZED = const(2)
NETWORK_FAILURE = const(3)
OUT_OF_RESOURCES = const(4)
UNSUPPORTED_OPCODE = const(5)

_RESULTS = {  # PCP's result codes -> those here; everything else is out of resources
    pcp.NOT_AUTHORIZED: NOT_AUTHORIZED,
    pcp.NETWORK_FAILURE: NETWORK_FAILURE,
}


class Server:
    """Answers for `dynamic` (dynamic.Dynamic)."""

    def __init__(self, dynamic):
        self._dynamic = dynamic

    def answer(self, datagram, caller, now):
        """Return the datagram that answers; None where nobody is to be answered. Never raises."""
        if len(datagram) < 2 or datagram[1] & _RESPONSE:
            return None
        version, opcode = datagram[0], datagram[1]
        epoch = self._dynamic.epoch(now)
        if version:  # where PCP is served it takes these
            return _head(opcode, UNSUPPORTED_VERSION, epoch)
        if opcode == ADDRESS:
            return self._address(epoch)
        if opcode > MAP_TCP:
            return _head(opcode, UNSUPPORTED_OPCODE, epoch)
        if len(datagram) < _MAP_SIZE:
            return None
        internal_port, asked, lifetime = struct.unpack_from(">HHI", datagram, 4)
        protocol = "UDP" if opcode == MAP_UDP else "TCP"
        result = external_port = granted = 0
        try:
            if not lifetime:
                self._dynamic.delete(now, caller, protocol, internal_port)  # 3.4; port 0: all of them
            elif not internal_port:
                raise PCPError(pcp.NOT_AUTHORIZED, "nobody gets every port")
            else:
                external_port, granted = self._dynamic.map(now, caller, caller, protocol, internal_port, asked,
                                                           min(lifetime, MAX_LIFETIME))
        except PCPError as refusal:
            log_refusal(caller, "NAT-PMP %s %d" % (protocol, internal_port), refusal)
            result = _RESULTS.get(refusal.code, OUT_OF_RESOURCES)
        return _head(opcode, result, epoch) + struct.pack(">HHI", internal_port, external_port, granted)

    def _address(self, epoch):
        try:
            return _head(ADDRESS, SUCCESS, epoch) + ip4_bytes(self._dynamic.external_address())
        except PCPError:
            return _head(ADDRESS, NETWORK_FAILURE, epoch) + bytes(4)

    def announcement(self, now):
        """Return the datagram that tells every client the address and the epoch (3.2.1); None without an address."""
        data = self._address(self._dynamic.epoch(now))
        return None if data[3] else data


def _head(opcode, result, epoch):
    return struct.pack(">BBHI", 0, _RESPONSE | opcode, result, epoch)
