"""The router's clock beside ours: an emulated machine stands still now and then, on a busy host for half a minute.

Its leases are of its own time, so clients who look at another clock see them end later.
"""

import threading
import time

_QUICK = 1  # seconds that a look may take to be worth something
_TRIES = 5
_LEAST = 0.5  # seconds that count


class RouterClock:
    """Looks at the clock of the router of `world`; `lag` is how many seconds it has lost since the beginning."""

    def __init__(self, world):
        self._world = world
        self._lock = threading.Lock()
        self.lag = 0
        self.at = 0  # when that was found out last
        self._base = self._look()[0]

    def _look(self):
        """Return our clock less the router's: (at least, at most)."""
        for _ in range(_TRIES):
            before = time.monotonic()
            uptime = float(self._world.command("cat /proc/uptime").output.split()[0])
            after = time.monotonic()
            if after - before < _QUICK:
                break
        return before - uptime, after - uptime

    def measure(self):
        """Tell the world what the router's clock has lost since the last time; return that, 0 in most cases."""
        with self._lock:
            lost = self._look()[1] - self._base - self.lag
            if lost < _LEAST:
                return 0
            self.lag += lost
            self.at = time.monotonic()
            self._world.slowed(lost)
            return lost
