"""The device on the LAN interfaces: searches, announcements and documents, while an interface has an address.

Over IPv4 and over IPv6 it is the same device, served by a Lan each.
"""

from . import description, log, ssdp
from .addresses import ip6_bytes
from .compat import const, random_bytes, wall_seconds
from .control import Control
from .datagram import MulticastSocket
from .events import Events
from .http import authority
from .interfaces import is_link_local
from .net import HttpServer

_REPEAT_MS = const(250)  # UDP loses datagrams: announce twice (UDA 1.0 1.1.2)
_AT_ONCE = const(4)  # announcements in one turn: there are dozens, and who asks meanwhile is not kept waiting by all
_MAX_WAITING = const(32)  # searches whose answers wait: each has up to 7 kB of them
_RETRY_MS = const(5000)  # when a socket could not be opened
_SETTLE_MS = const(1000)  # IPv6 addresses come and go together: one change for everybody, not one for each of them


class Lans:
    """The device on all its interfaces: `follow` them, and tell the networks of each other (UDA 1.1 1.2.4)."""

    def __init__(self, loop, interfaces, port, device, gateway, notify_interval):
        self._boot = ssdp.Boot(wall_seconds(), device.config_id)
        self._lans = [Lan(loop, interface, port, device, gateway, notify_interval, self._boot, is_ipv6)
                      for is_ipv6 in (False, True) for interface in interfaces]
        self._loop = loop
        self._settling = None  # Timer
        self._has_begun = False  # somebody may know the present boot id

    def follow(self):
        """Serve each interface's present address; where that is a change, everybody hears of it."""
        late = [lan for lan in self._lans if lan.is_ipv6] if self._has_begun else []
        if self._settling is None and [lan for lan in late if lan.is_stale]:
            self._settling = self._loop.call_later(_SETTLE_MS, self._settle)
        self._follow([lan for lan in self._lans if lan not in late])

    def _settle(self):
        self._settling = None
        self._follow(self._lans)

    def _follow(self, lans):
        stale = [lan for lan in lans if lan.is_stale]
        for lan in stale:
            lan.close()
        if not [lan for lan in stale if lan.has_address]:
            return
        others = [lan for lan in self._lans if lan not in stale]
        if self._has_begun:
            for lan in others:
                lan.tell_update()
            self._boot.boot_id = self._boot.next_boot_id
            for lan in others:
                lan.announce()
        self._has_begun = True
        for lan in stale:
            lan.open()

    def look(self):
        """Called at the end of each turn of the loop: tell subscribers of changes."""
        for lan in self._lans:
            lan.look()

    def count_subscribers(self):
        """Return how many subscribers to events there are."""
        return sum([lan.count_subscribers() for lan in self._lans])

    def close(self):
        """Say goodbye and close everything."""
        self._loop.cancel(self._settling)
        for lan in self._lans:
            lan.close()


class Lan:
    """Serves `gateway` as `device` (description.Device) on one `interface`, under its address of one family.

    Over IPv6 it has two: hosts that use their link-local address are told the router's own (UDA 1.1 annex A), others one
    that they can reach from anywhere on the site.
    """

    def __init__(self, loop, interface, port, device, gateway, notify_interval, boot, is_ipv6=False):
        self._loop = loop
        self._interface = interface
        self._port = port
        self._device = device
        self._gateway = gateway
        self._notify_ms = notify_interval * 1000
        self._max_age = max(ssdp.MIN_MAX_AGE, 2 * notify_interval)  # one announcement may get lost
        self._boot = boot
        self.is_ipv6 = is_ipv6
        self._served = None  # (index, addresses) that `open` saw
        self._responders = []  # (Responder, its group's address), one for each address, once somebody asks for them
        self._leaving = []  # (iterator of datagrams, group) that are announced bit by bit
        self._sending = None  # Timer
        self._http = None
        self._ssdp = None
        self._events = None
        self._timers = []
        self._waiting = 0  # answers to searches that are on their way

    @property
    def _present(self):
        interface = self._interface
        addresses = interface.served6 if self.is_ipv6 else [interface.address] if interface.address else []
        return (interface.index, addresses) if interface.is_up and addresses else None

    @property
    def has_address(self):
        """True when there is something to serve."""
        return self._present is not None

    @property
    def is_stale(self):
        """True when the interface is not what it was: its sockets are bound to the old one."""
        return self._served != self._present

    def open(self):
        """Serve the interface's present address, if it has one."""
        self._served = self._present
        if self._served is None:
            return
        addresses = self._served[1]
        where = "%s on %s port %d" % (self._interface.name, " and ".join(addresses), self._port)
        self._events = Events(self._loop, self._interface, self._gateway)
        control = Control(self._gateway, self._device, self._events, self._interface)
        groups = (ssdp.GROUP_LINK, ssdp.GROUP_SITE) if self.is_ipv6 else (ssdp.GROUP,)
        try:
            self._http = HttpServer(self._loop, self._interface, self._port,
                                    lambda request, peer: control.respond(request, peer, self._loop.now), self.is_ipv6)
            self._ssdp = MulticastSocket(self._loop, self._interface, groups, ssdp.PORT, self._search)
        except (OSError, MemoryError) as error:
            if isinstance(error, OSError):
                log.error("cannot serve %s (errno %s): is another UPnP daemon running?" % (where, error.errno))
            self.close()
            self._served = self._present  # tried
            self._timers = [self._loop.call_later(_RETRY_MS, self.open)]
            return
        log.info("serving %s" % where)
        # In a turn of its own: who waits for the daemon to start is answered before.
        self._timers = [self._loop.call_later(0, self._begin)]

    def _begin(self):
        self._notify_soon(ssdp.BYEBYE)  # whoever remembers an earlier life of this device forgets it
        self.announce()

    def _known_responders(self):
        if not self._responders:
            targets = self._device.targets()
            self._responders = [self._responder(targets, address) for address in self._served[1]]
        return self._responders

    def _responder(self, targets, address):
        """Return the Responder that tells of `address`, and the address of its group."""
        group = ssdp.GROUP
        if self.is_ipv6:
            group = ssdp.GROUP_LINK if is_link_local(ip6_bytes(address)) else ssdp.GROUP_SITE
        locations = {version: "http://%s%s" % (authority(address, self._port), description.description_path(version))
                     for version in self._device.versions}
        return ssdp.Responder(targets, locations, self._max_age, self._boot, group,
                              lambda peer: self._gateway.hosts.find(peer, self._interface.index)), (group, ssdp.PORT)

    def _responder_for(self, peer):
        """Return the Responder whose address a host with the address `peer` can reach best."""
        wanted = None
        if self.is_ipv6:
            wanted = ssdp.GROUP_LINK if is_link_local(ip6_bytes(peer)) else ssdp.GROUP_SITE
        responders = self._known_responders()
        for responder, group in responders:
            if group[0] == wanted:
                return responder
        return responders[0][0]

    def _search(self, datagram, peer):
        # Soon, whatever MX allows: clients are known to give up after 250 ms.
        answers = self._responder_for(peer[0]).answers(datagram, peer, self._loop.now_ms)
        if not answers:
            return
        if self._waiting < _MAX_WAITING:
            self._loop.call_later(ssdp.ANSWER_MS, lambda: self._answer_waiting(answers, peer))
            self._waiting += 1
        else:
            self._send(answers, peer)

    def _answer_waiting(self, answers, peer):
        if self._ssdp is not None:
            self._send(answers, peer)
        self._waiting -= 1

    def _send(self, datagrams, peer):
        for datagram in datagrams:
            self._ssdp.send(datagram, peer)

    def _notify(self, kind):
        for responder, group in self._known_responders():
            self._send(responder.notify(kind), group)

    def _notify_soon(self, kind):
        for responder, group in self._known_responders():
            self._leaving.append((responder.notify(kind), group))
        if self._sending is None:
            self._sending = self._loop.call_later(0, self._send_next)

    def _send_next(self):
        """Send the next few announcements."""
        self._sending = None
        count = 0
        while self._leaving and count < _AT_ONCE:
            datagrams, group = self._leaving[0]
            for datagram in datagrams:
                self._ssdp.send(datagram, group)
                count += 1
                if count == _AT_ONCE:
                    break
            else:
                self._leaving.pop(0)
        if self._leaving:
            self._sending = self._loop.call_later(0, self._send_next)

    def announce(self):
        """Announce the device, twice, and then regularly."""
        if self._ssdp is not None:
            self._notify_soon(ssdp.ALIVE)
            self._set_timers([self._loop.call_later(_REPEAT_MS, lambda: self._notify_soon(ssdp.ALIVE))])

    def _announce_again(self):
        self._set_timers()  # first: whatever fails, there is a next time
        self._ssdp.join()  # switches that saw nothing of us for a while forget that we want to hear searches
        self._notify_soon(ssdp.ALIVE)

    def _set_timers(self, timers=()):
        """Have the next announcement come before the present ones end, not at the same time as other devices'."""
        early = self._notify_ms * (1 + random_bytes(1)[0]) // 4096
        timers = [self._loop.call_later(self._notify_ms - early, self._announce_again)] + list(timers)
        self._cancel_timers()
        self._timers = timers

    def _cancel_timers(self):
        for timer in self._timers:
            self._loop.cancel(timer)
        self._timers = []

    def tell_update(self):
        """Say that another interface changes: the next boot id is coming."""
        if self._ssdp is not None:
            self._leaving = []  # of the present life; of the next one it is announced anew
            self._notify(ssdp.UPDATE)

    def look(self):
        """Called at the end of each turn of the loop: tell subscribers of changes."""
        if self._events is not None:
            self._events.look()

    def count_subscribers(self):
        """Return how many subscribers to events there are."""
        return 0 if self._events is None else self._events.count_subscribers()

    def close(self):
        """Say goodbye and close the sockets."""
        self._cancel_timers()
        self._loop.cancel(self._sending)
        self._sending, self._leaving = None, []
        if self._ssdp is not None:
            self._notify(ssdp.BYEBYE)
            self._ssdp.close()
            self._ssdp = None
        self._served, self._responders = None, []
        if self._events is not None:
            self._events.close()
            self._events = None
        if self._http is not None:
            self._http.close()
            self._http = None
