"""How often a source may ask: a few things at once, then so many a second. Knows no protocol; `now_ms` is an argument.

    sources = Sources(96, 24, "searches too often: not all of it is answered")
    if sources.allow("192.168.1.2", 1, now_ms): ...
"""

from . import log
from .compat import const

_MOST = const(64)  # sources remembered; the one not heard of for longest makes room


class Sources:
    """Each source may take `burst` at once and regains `per_second`; `complaint` is what the log says of one."""

    def __init__(self, burst, per_second, complaint):
        self._burst = burst
        self._per_second = per_second
        self._complaint = complaint
        self._sources = {}  # address -> _Source

    def __len__(self):
        return len(self._sources)

    def __contains__(self, address):
        return address in self._sources

    def allow(self, address, count, now_ms):
        """Let `address` take `count`; return False, and log it once until it was moderate again, when that is too many.
        """
        source = self._sources.get(address)
        if source is None:
            if len(self._sources) >= _MOST:
                oldest = min([(one.since_ms, name) for name, one in self._sources.items()])
                del self._sources[oldest[1]]
            source = self._sources[address] = _Source(now_ms, self._burst)
        regained = (now_ms - source.since_ms) * self._per_second // 1000
        if regained:
            source.left = min(self._burst, source.left + regained)
            source.since_ms = now_ms
        if source.left == self._burst:
            source.is_told = False
        if count > source.left:
            if not source.is_told:
                source.is_told = True
                log.warning("%s %s" % (address, self._complaint))
            return False
        source.left -= count
        return True


class _Source:
    def __init__(self, now_ms, left):
        self.since_ms = now_ms
        self.left = left
        self.is_told = False
