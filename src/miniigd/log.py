"""One line a message to standard error, where procd and syslog pick it up; never raises.

What hosts of the LAN make us say is an `event`, and a host that asks all day must not push everything else out of the
router's log, which is a few hundred lines in memory: of each kind of event a host gets so many lines at once, then one
every so often, all hosts together (one may have many addresses) have a bound too, and how many were left out is said. On
the level of debugging, and before there is a clock, nothing is.
"""

import sys

from .compat import const, print_exception

DEBUG, INFO, WARNING, ERROR = 0, 1, 2, 3
_NAMES = ("debug", "info", "warning", "error")

_BURST = const(20)  # lines
# kind of event -> seconds for each further line. Clients renew every half a minute and are refused as often.
_PAUSES = {"opened": 10, "closed": 10, "renewed": 600, "refused": 300, "dropped": 300}
_WARNINGS = ("refused", "dropped")
_BURST_OF_ALL = const(200)  # lines of all kinds and hosts together,
_PAUSE_OF_ALL = const(5)  # and seconds for each further one
_QUIET = const(60)  # seconds without anything left out, after which the number is said by itself
_MOST_BUCKETS = const(64)  # of those beyond, all hosts together have one of each kind

# Printable ASCII, the frequent characters first.
PRINTABLE = (b" eainortsl.1260d3458cpu97mhgfbPTCyw:->,()kvx_'\"ADEILMNORSUXBFGHJKQVWYZjqz/@#!$%&*+;<=?[\\]^`{|}~")

_threshold = [INFO]
_clock = [None]  # a function that returns seconds
_buckets = {}  # kind and host -> _Bucket
_all = [None]  # _Bucket
_has_left_out = [False]  # some bucket has


def set_level(level):
    """Leave out what is below `level` from now on."""
    _threshold[0] = level


def printable(text):
    """Return `text` with everything but printable ASCII replaced, so that a hostile text cannot forge a line."""
    if not text.encode().strip(PRINTABLE):  # nothing else is in it
        return text
    return "".join([c if " " <= c <= "~" else "?" for c in text])


def _write(level, text):
    if level >= _threshold[0]:
        try:
            sys.stderr.write("miniigd: %s: %s\n" % (_NAMES[level], printable(text)))
        except OSError:
            pass  # nobody reads the log any more; the router's work goes on


class _Bucket:
    """The lines that may be written about one kind of event of one host, or about all of them."""

    def __init__(self, pause, now, burst=_BURST):
        self._pause = pause
        self._burst = burst
        self._lines = burst
        self._since = now  # when the first of the lacking lines began to come back
        self.left_out = 0
        self.missed = now  # when a line was left out last

    def refill(self, now):
        """Take back the lines whose time has come; return True when all are there."""
        regained = (now - self._since) // self._pause
        self._lines = min(self._burst, self._lines + regained)
        self._since += regained * self._pause
        return self._lines == self._burst

    def takes(self, now):
        """Count a line; return False when it is one too many."""
        if self._lines == self._burst or self.refill(now):
            self._since = now
        if not self._lines:
            self.miss(now)
            return False
        self._lines -= 1
        return True

    def miss(self, now):
        """Count a line that is not written."""
        self.left_out += 1
        self.missed = now
        _has_left_out[0] = True


def _bucket(kind, host, now):
    key = kind + " " + host
    bucket = _buckets.get(key)
    if bucket is not None:
        return bucket
    if len(_buckets) >= _MOST_BUCKETS:
        for other in [other for other in _buckets if not _buckets[other].left_out and _buckets[other].refill(now)]:
            del _buckets[other]
        if len(_buckets) >= _MOST_BUCKETS:
            key = kind + " others"
    if key not in _buckets:
        _buckets[key] = _Bucket(_PAUSES[kind], now)
    return _buckets[key]


def set_clock(clock):
    """Count events from now on: `clock()` returns seconds. None: write them all."""
    _clock[0] = clock
    _buckets.clear()
    _all[0] = clock and _Bucket(_PAUSE_OF_ALL, clock(), _BURST_OF_ALL)


def event(kind, host, text):
    """Log "KIND TEXT", what was done for a `host` of the LAN: opened, renewed, closed, or a warning: refused, dropped."""
    level = WARNING if kind in _WARNINGS else INFO
    if level < _threshold[0]:
        return
    text = "%s %s" % (kind, text)
    if _clock[0] is not None and _threshold[0] > DEBUG:
        now = _clock[0]()
        bucket = _bucket(kind, host, now)
        if not bucket.takes(now):
            return
        if not _all[0].takes(now):
            bucket.miss(now)
            return
        if bucket.left_out:
            text += " (%d such lines about %s left out)" % (bucket.left_out, host)
            bucket.left_out = 0
    _write(level, text)


def tell_left_out():
    """Say how many events were left out, where that is over."""
    if not _has_left_out[0]:
        return
    _has_left_out[0] = False
    for key in _buckets:
        bucket = _buckets[key]
        if bucket.left_out and _clock[0]() - bucket.missed >= _QUIET:
            info("%s: %d such lines left out" % (key, bucket.left_out))
            bucket.left_out = 0
        _has_left_out[0] = _has_left_out[0] or bucket.left_out > 0


def debug(text):
    """Log what only a developer wants to see."""
    _write(DEBUG, text)


def info(text):
    """Log what happened as it should."""
    _write(INFO, text)


def warning(text):
    """Log what an administrator should look at."""
    _write(WARNING, text)


def error(text):
    """Log what stops a function of the router."""
    _write(ERROR, text)


def exception(what, caught):
    """Log an exception that nobody foresaw, with its traceback: it is a bug."""
    error("%s failed; please report this:" % what)
    try:
        print_exception(caught, sys.stderr)
    except OSError:
        pass
