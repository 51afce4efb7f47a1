"""The device on one LAN interface: searches, announcements and documents, while the interface has an address."""

from . import description, log, ssdp
from .compat import const
from .control import Control
from .events import Events
from .net import HttpServer, MulticastSocket

_REPEAT_MS = const(250)  # UDP loses datagrams: announce twice (UDA 1.0 1.1.2)
_RETRY_MS = const(5000)  # when a socket could not be opened


class Lan:
    """Serves `gateway` as `device` (description.Device) on `interface`; `update` follows its address."""

    def __init__(self, loop, interface, port, device, gateway, notify_interval):
        self._loop = loop
        self._interface = interface
        self._port = port
        self._device = device
        self._gateway = gateway
        self._notify_ms = notify_interval * 1000
        self._max_age = max(ssdp.MIN_MAX_AGE, 2 * notify_interval)  # one announcement may get lost
        self._targets = device.targets()
        self._address = None  # the one that is served now
        self._http = None
        self._ssdp = None
        self._events = None
        self._timers = []

    def _location(self, version):
        return "http://%s:%d%s" % (self._address, self._port, description.description_path(version))

    def update(self):
        """Serve the interface's present address, if it has one."""
        address = self._interface.address if self._interface.is_up else None
        if address != self._address:
            self.close()
            if address is not None:
                self._open(address)

    def _open(self, address):
        self._address = address
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
            self._timers = [self._loop.call_later(_RETRY_MS, self.update)]
            return
        log.info("serving %s on %s port %d" % (self._interface.name, address, self._port))
        self._byebye()  # whoever remembers an earlier life of this device forgets it
        self._announce()
        self._timers = [self._loop.call_later(_REPEAT_MS, self._announce),
                        self._loop.call_later(self._notify_ms, self._announce_again)]

    def _search(self, datagram, peer):
        search = ssdp.parse(datagram)
        if search is not None:
            # At once, whatever MX allows: clients are known to give up after 250 ms.
            for target, usn, version in ssdp.matches(search, self._targets):
                self._ssdp.send(ssdp.answer(target, usn, self._location(version), self._max_age), peer)

    def _announce(self):
        for target, usn, version in self._targets:
            self._ssdp.send(ssdp.alive(target, usn, self._location(version), self._max_age))

    def _announce_again(self):
        self._announce()
        self._timers = [self._loop.call_later(self._notify_ms, self._announce_again)]

    def _byebye(self):
        for target, usn, _ in self._targets:
            self._ssdp.send(ssdp.byebye(target, usn))

    def look(self):
        """Called at the end of each turn of the loop: tell subscribers of changes."""
        if self._events is not None:
            self._events.look()

    def close(self):
        """Say goodbye and close the sockets."""
        for timer in self._timers:
            self._loop.cancel(timer)
        self._timers = []
        if self._ssdp is not None:
            self._byebye()
            self._ssdp.close()
            self._ssdp = None
        if self._events is not None:
            self._events.close()
            self._events = None
        if self._http is not None:
            self._http.close()
            self._http = None
        self._address = None
