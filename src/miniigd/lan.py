"""The device on the LAN interfaces: searches, announcements and documents, while an interface has an address."""

from . import description, log, ssdp
from .compat import const, random_bytes, wall_seconds
from .control import Control
from .events import Events
from .net import HttpServer, MulticastSocket

_REPEAT_MS = const(250)  # UDP loses datagrams: announce twice (UDA 1.0 1.1.2)
_MAX_WAITING = const(32)  # searches whose answers wait: each has up to 7 kB of them
_RETRY_MS = const(5000)  # when a socket could not be opened


class Lans:
    """The device on all its interfaces: `follow` them, and tell the networks of each other (UDA 1.1 1.2.4)."""

    def __init__(self, loop, interfaces, port, device, gateway, notify_interval):
        self._boot = ssdp.Boot(wall_seconds(), device.config_id)
        self._lans = [Lan(loop, interface, port, device, gateway, notify_interval, self._boot)
                      for interface in interfaces]
        self._has_begun = False  # somebody may know the present boot id

    def follow(self):
        """Serve each interface's present address; where that is a change, everybody hears of it."""
        stale = [lan for lan in self._lans if lan.is_stale]
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
        for lan in self._lans:
            lan.close()


class Lan:
    """Serves `gateway` as `device` (description.Device) on one `interface`, under its address."""

    def __init__(self, loop, interface, port, device, gateway, notify_interval, boot):
        self._loop = loop
        self._interface = interface
        self._port = port
        self._device = device
        self._gateway = gateway
        self._notify_ms = notify_interval * 1000
        self._max_age = max(ssdp.MIN_MAX_AGE, 2 * notify_interval)  # one announcement may get lost
        self._boot = boot
        self._served = None  # (index, address) that `open` saw
        self._responder = None
        self._http = None
        self._ssdp = None
        self._events = None
        self._timers = []
        self._waiting = 0  # answers to searches that are on their way

    @property
    def _present(self):
        interface = self._interface
        return (interface.index, interface.address) if interface.is_up and interface.address else None

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
        address = self._served[1]
        self._responder = ssdp.Responder(self._device.targets(), {
            version: "http://%s:%d%s" % (address, self._port, description.description_path(version))
            for version in self._device.versions}, self._max_age, self._boot)
        self._events = Events(self._loop, self._interface, self._gateway)
        control = Control(self._gateway, self._device, self._events, address)
        try:
            self._http = HttpServer(self._loop, self._interface, self._port,
                                    lambda request, peer: control.respond(request, peer, self._loop.now))
            self._ssdp = MulticastSocket(self._loop, self._interface, ssdp.GROUP, ssdp.PORT, self._search)
        except OSError as error:
            log.error("cannot serve %s on %s port %d (errno %d): is another UPnP daemon running?"
                      % (self._interface.name, address, self._port, error.errno))
            self.close()
            self._served = self._present  # tried
            self._timers = [self._loop.call_later(_RETRY_MS, self.open)]
            return
        log.info("serving %s on %s port %d" % (self._interface.name, address, self._port))
        self._send(self._responder.byebye())  # whoever remembers an earlier life of this device forgets it
        self.announce()

    def _search(self, datagram, peer):
        # Soon, whatever MX allows: clients are known to give up after 250 ms.
        answers = self._responder.answers(datagram, peer, self._loop.now_ms)
        if not answers:
            return
        if self._waiting < _MAX_WAITING:
            self._waiting += 1
            self._loop.call_later(ssdp.ANSWER_MS, lambda: self._answer_waiting(answers, peer))
        else:
            self._send(answers, peer)

    def _answer_waiting(self, answers, peer):
        self._waiting -= 1
        if self._ssdp is not None:
            self._send(answers, peer)

    def _send(self, datagrams, peer=None):
        for datagram in datagrams:
            self._ssdp.send(datagram, peer)

    def announce(self):
        """Announce the device, twice, and then regularly."""
        if self._ssdp is not None:
            self._send(self._responder.alive())
            self._set_timers([self._loop.call_later(_REPEAT_MS, lambda: self._send(self._responder.alive()))])

    def _announce_again(self):
        self._ssdp.join()  # switches that saw nothing of us for a while forget that we want to hear searches
        self._send(self._responder.alive())
        self._set_timers()

    def _set_timers(self, timers=()):
        """Have the next announcement come before the present ones end, not at the same time as other devices'."""
        self._cancel_timers()
        early = self._notify_ms * (1 + random_bytes(1)[0]) // 4096
        self._timers = [self._loop.call_later(self._notify_ms - early, self._announce_again)] + list(timers)

    def _cancel_timers(self):
        for timer in self._timers:
            self._loop.cancel(timer)
        self._timers = []

    def tell_update(self):
        """Say that another interface changes: the next boot id is coming."""
        if self._ssdp is not None:
            self._send(self._responder.update())

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
        self._served = None
        if self._ssdp is not None:
            self._send(self._responder.byebye())
            self._ssdp.close()
            self._ssdp = None
        if self._events is not None:
            self._events.close()
            self._events = None
        if self._http is not None:
            self._http.close()
            self._http = None
