"""The WAN side as services show it: external address, link, traffic, how long it is connected."""

import socket
import struct

from . import log
from .addresses import ip4_bytes
from .compat import const, monotonic_ms
from .net import is_port_free

_STATISTICS = "/sys/class/net/%s/statistics/%s"
_SOCKETS = "/proc/net/%s%s"
_KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}
_LISTENING = {"TCP": "0A", "UDP": "07"}  # as the kernel writes the state of a socket that waits for anybody
_LISTENERS = const(4096)  # bytes of such a file that are read: the listening sockets come first

# Networks that the Internet does not route (IANA's special-purpose registry, RFC 1918, RFC 6598): (first bytes, bits).
_RESERVED = (
    (b"\x00", 8), (b"\x0a", 8), (b"\x64\x40", 10), (b"\x7f", 8), (b"\xa9\xfe", 16), (b"\xac\x10", 12),
    (b"\xc0\x00\x00", 24), (b"\xc0\x00\x02", 24), (b"\xc0\x1f\xc4", 24), (b"\xc0\x34\xc1", 24), (b"\xc0\x58\x63", 24),
    (b"\xc0\xa8", 16), (b"\xc0\xaf\x30", 24), (b"\xc6\x12", 15), (b"\xc6\x33\x64", 24), (b"\xcb\x00\x71", 24),
    (b"\xe0", 3),
)


def is_reserved(address):
    """True for a dotted quad that hosts on the Internet cannot reach: private, shared by a provider, or special."""
    raw = ip4_bytes(address)
    for network, bits in _RESERVED:
        whole = bits // 8
        if raw[:whole] == network[:whole]:
            rest = bits % 8
            if not rest or (raw[whole] ^ network[whole]) >> 8 - rest == 0:
                return True
    return False


class Wan:
    """A view of the WAN's Interface; `update` is called when the kernel reports a change.

    `external_ip` is what to report where it is not the interface's own address (behind another router that forwards
    everything), "" otherwise. Unless `allows_private`, ports are not opened behind an address that the Internet cannot
    reach: a client does better to learn of it. The uptime is that of the connection, or where
    `uses_system_uptime`, as miniupnpd has it, that of the router. IPv6 may come by another interface, `interface6`: a
    tunnel.
    """

    def __init__(self, interface, upstream_bit_rate, downstream_bit_rate, external_ip="", allows_private=False,
                 uses_system_uptime=False, interface6=None):
        self._interface = interface
        self._interface6 = interface6 or interface
        self._external_ip = external_ip
        self._allows_private = allows_private
        self._uses_system_uptime = uses_system_uptime
        self._since = 0
        self._own_address = None
        self.address = None  # dotted quad that clients are told, or None
        self.refusal = ""  # why no port can be opened
        self.upstream_bit_rate = upstream_bit_rate
        self.downstream_bit_rate = downstream_bit_rate

    @property
    def is_up(self):
        """True while the link is up."""
        return self._interface.is_up

    @property
    def is_connected(self):
        """True while the WAN has an address, whichever."""
        return self._own_address is not None

    @property
    def name(self):
        """The interface's name."""
        return self._interface.name

    @property
    def index(self):
        """The interface's index, 0 while it does not exist."""
        return self._interface.index

    @property
    def name6(self):
        """The name of the interface by which IPv6 comes."""
        return self._interface6.name

    @property
    def index6(self):
        """Its index, 0 while it does not exist."""
        return self._interface6.index

    def update(self, now):
        """Take over the interface's address, and log it when it changed. `now` in seconds."""
        own = self._interface.address
        if own == self._own_address:
            return
        self._own_address = own
        self._since = now
        self.refusal = ""
        self.address = own and (self._external_ip or own)
        text = "external address: %s" % (self.address or "none")
        if own is None or not is_reserved(self.address):
            log.info(text)
            return
        text += " is private or shared: the Internet cannot reach it; "
        if self._allows_private:
            log.warning(text + "ports are opened all the same (ext_allow_private_ipv4)")
            return
        log.warning(text + "no port is opened; if that is wrong, set ext_allow_private_ipv4 or external_ip")
        self.refusal = "the external address %s is private" % self.address
        self.address = None

    def uptime(self, now):
        """Return for how many seconds the WAN has had its address, or the router is up; 0 without an address."""
        if not self.is_connected:
            return 0
        return monotonic_ms() // 1000 if self._uses_system_uptime else now - self._since

    def has_service(self, protocol, port):
        """True when a program of the router itself listens on that port of the WAN: a mapping would cut it off."""
        if self._own_address is not None and is_port_free(_KINDS[protocol], self._own_address, port):
            return False  # that is quick to ask; what has the port need not serve the WAN
        mark = ":%04X" % port
        for version in ("", "6"):
            try:
                with open(_SOCKETS % (protocol.lower(), version)) as file:
                    text = file.read(_LISTENERS)
            except OSError:
                continue  # no IPv6
            if mark + " " in text:
                for line in text.split("\n"):
                    words = line.split()
                    if len(words) > 3 and words[1].endswith(mark) and words[3] == _LISTENING[protocol] and (
                            self._is_own(words[1][:-5])):
                        return True
        return False

    def _is_own(self, digits):
        """True for an address, as those files have it, that packets from the WAN can be for."""
        if not digits.strip("0"):
            return True
        own = self._own_address
        return own is not None and digits == "%08X" % struct.unpack("@I", ip4_bytes(own))[0]

    def counter(self, name):
        """Return one of the kernel's counters ("tx_bytes", "rx_packets", ...) of the interface, wrapped to a ui4."""
        try:
            with open(_STATISTICS % (self._interface.name, name)) as file:
                return int(file.read()) & 0xFFFFFFFF
        except (OSError, ValueError):
            return 0  # the interface is gone for the moment


def is_ppp(device):
    """True for the names that OpenWrt gives to devices of point-to-point links."""
    for prefix in ("ppp", "pptp", "l2tp", "3g-"):
        if device.startswith(prefix):
            return True
    return False
