"""The WAN side as services show it: external address, link, traffic, how long it is connected."""

_STATISTICS = "/sys/class/net/%s/statistics/%s"


class Wan:
    """A view of the WAN's Interface; `update` is called when the kernel reports a change."""

    def __init__(self, interface, upstream_bit_rate, downstream_bit_rate):
        self._interface = interface
        self._since = 0
        self.address = None  # dotted quad, or None while not connected
        self.upstream_bit_rate = upstream_bit_rate
        self.downstream_bit_rate = downstream_bit_rate

    @property
    def is_up(self):
        """True while the link is up."""
        return self._interface.is_up

    @property
    def name(self):
        """The interface's name."""
        return self._interface.name

    @property
    def index(self):
        """The interface's index, 0 while it does not exist."""
        return self._interface.index

    def update(self, now):
        """Take over the interface's address; return True when it changed. `now` in seconds."""
        if self._interface.address == self.address:
            return False
        self.address = self._interface.address
        self._since = now
        return True

    def uptime(self, now):
        """Return for how many seconds the WAN has had its address; 0 without one."""
        return now - self._since if self.address else 0

    def counter(self, name):
        """Return one of the kernel's counters ("tx_bytes", "rx_packets", ...) of the interface, wrapped to a ui4."""
        try:
            with open(_STATISTICS % (self._interface.name, name)) as file:
                return int(file.read()) & 0xFFFFFFFF
        except (OSError, ValueError):
            return 0  # the interface is gone for the moment
