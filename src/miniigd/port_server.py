"""NAT-PMP and PCP on the LAN interfaces: both are served on one port, their first byte tells them apart.

Over IPv6 there is PCP alone.

Announces a new epoch or address on all of them (RFC 6886 3.2.1, RFC 6887 14.1.1).
"""

from errno import ENOMEM

from . import log, natpmp, pcp, pcp_server
from .addresses import ip6_bytes
from .compat import const
from .datagram import DatagramSocket
from .dynamic import Dynamic
from .rate import Sources

_ANNOUNCEMENTS = const(10)  # of each change, and the first pause between them; each further one is twice as long
_FIRST_PAUSE_MS = const(250)
_GROUP_6 = "ff02::1"  # RFC 6887 14.1: every node on the link
_RETRY_MS = const(5000)  # when a socket could not be opened

# A program has some ports, and asks for each up to nine times, in two protocols. Each may be a change of the firewall,
# which takes a small router up to a fifth of a second: nobody may keep it busy with that alone.
_BURST = const(64)  # requests of one source
_REQUESTS_PER_SECOND = const(8)  # that a source regains


class PortServer:
    """Serves `gateway` on `interfaces` (list of Interface): `follow` them; `allows_third_party` as in pcp_server."""

    def __init__(self, loop, interfaces, gateway, allows_third_party=False):
        self._loop = loop
        self._gateway = gateway
        self._dynamic = Dynamic(gateway, loop.now)
        self._natpmp = natpmp.Server(self._dynamic)
        self._pcp = pcp_server.Server(self._dynamic, allows_third_party)
        self._sources = Sources(_BURST, _REQUESTS_PER_SECOND, "asks for ports too often: not all of it is answered")
        self._places = [_Place(loop, interface, is_ipv6, self._receive)
                        for interface in interfaces for is_ipv6 in (False, True)]
        self._retry = None  # Timer
        self._timer = None  # of the next announcement
        self._address = None  # of the WAN, as it was announced last
        self._seen = (None, gateway.is_paused)  # what `look` saw last

    def follow(self):
        """Serve each interface's present address."""
        self.look()  # nobody is told of the WAN's new address in the old epoch
        self._loop.cancel(self._retry)
        stale = [place for place in self._places if place.is_stale]
        opened = [place for place in stale if place.open()]
        if [place for place in self._places if place.is_failing]:
            self._retry = self._loop.call_later(_RETRY_MS, self.follow)
        if opened:
            self._announce()

    def look(self):
        """Called at the end of each turn of the loop: tell clients of another address, and of the end of a pause."""
        seen = (self._gateway.wan.address, self._gateway.is_paused)
        if seen == self._seen:
            return
        before, was_paused = self._seen
        address, is_paused = self._seen = seen
        is_other = address is not None and self._address not in (None, address)
        if is_other or was_paused and not is_paused:
            # What they have is an address that is gone, or nothing (RFC 6887 8.5).
            self._dynamic.begin_epoch(self._loop.now)
        elif address in (None, before):
            return
        self._announce()

    def _announce(self):
        """Tell everybody, several times: UDP loses datagrams."""
        self._loop.cancel(self._timer)
        self._seen = (self._gateway.wan.address, self._gateway.is_paused)
        self._address = self._seen[0] or self._address
        self._tell(_FIRST_PAUSE_MS, _ANNOUNCEMENTS)

    def _tell(self, pause_ms, left):
        now = self._loop.now
        natpmp_datagram, pcp_datagram = self._natpmp.announcement(now), self._pcp.announcement(now)
        for place in self._places:
            if natpmp_datagram is not None and not place.is_ipv6:
                place.tell(natpmp_datagram)
            place.tell(pcp_datagram)
        self._timer = self._loop.call_later(
            pause_ms, lambda: self._tell(2 * pause_ms, left - 1)) if left > 1 else None

    def _receive(self, sock, datagram, peer, index):
        host = peer[0]
        if not datagram or not self._sources.allow(self._gateway.hosts.find(host, index), 1, self._loop.now_ms, host):
            return
        if ":" in host:
            answer = self._pcp.answer(datagram, ip6_bytes(host), self._loop.now)
        elif datagram[0] == 0:
            answer = self._natpmp.answer(datagram, host, self._loop.now)
        else:
            answer = self._pcp.answer(datagram, pcp.ip4_mapped(host), self._loop.now)
        if answer is not None:
            sock.send(answer, peer)

    def close(self):
        """Close the sockets."""
        self._loop.cancel(self._timer)
        self._loop.cancel(self._retry)
        for place in self._places:
            place.close()


class _Place:
    """One interface, over one version of IP: a socket for each address of ours there, as long as there is any."""

    def __init__(self, loop, interface, is_ipv6, receive):
        self._loop = loop
        self._interface = interface
        self.is_ipv6 = is_ipv6
        self._receive = receive
        self._served = ()  # its index and addresses
        self._sockets = []
        self.is_failing = False

    @property
    def _present(self):
        interface = self._interface
        addresses = interface.served6 if self.is_ipv6 else [interface.address] if interface.address else []
        return [interface.index] + addresses if interface.is_up and addresses else ()

    @property
    def is_stale(self):
        """True when the sockets are not what the interface is."""
        return self._served != self._present or self.is_failing

    def open(self):
        """Serve the present addresses; return True if that can be done."""
        self.close()
        self._served = self._present
        what = "PCP" if self.is_ipv6 else "NAT-PMP and PCP"
        for address in self._served[1:]:
            try:
                self._sockets.append(self._make_socket(address))
            except (OSError, MemoryError) as error:
                number = error.errno if isinstance(error, OSError) else ENOMEM
                log.error("cannot serve %s on %s port %d (errno %s): does another program serve it?"
                          % (what, self._interface.name, natpmp.PORT, number))
                self.is_failing = True
                return False
        if self._sockets:
            log.info("serving %s on %s port %d" % (what, " and ".join(self._served[1:]), natpmp.PORT))
        return len(self._sockets) > 0

    def _make_socket(self, address):
        made = DatagramSocket(self._loop, self._interface, address, natpmp.PORT,
                              lambda datagram, peer: self._receive(made, datagram, peer, self._interface.index))
        return made

    def tell(self, datagram):
        """Send to every client: from the first address, which of IPv6 is the link-local one."""
        for sock in self._sockets[:1]:
            sock.send(datagram, (_GROUP_6 if self.is_ipv6 else natpmp.GROUP, natpmp.CLIENT_PORT))

    def close(self):
        """Close the sockets."""
        self.is_failing = False
        self._served = ()
        for sock in self._sockets:
            sock.close()
        self._sockets = []
