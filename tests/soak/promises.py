"""What the hosts of the LAN were promised and have not ended: the clients' own view, for mappings and for pinholes.

Knows no protocol, no socket and no clock: times are arguments, in seconds of any clock that never jumps. A key is
(host, ...), whatever tells one promise from another; what was promised under it is a Value.

An answer says what is so from then on. Not everything is answered, and not every answer outlasts what happens next, so
a key may have several possible states, of which one must be found:

    promises.granted(key, Value(20001, now + 600), sent, now)    # an answer: this and nothing else
    promises.unsure(key, [None], now)                            # no answer to a deletion: it may be gone, or not
    promises.lost(since, now)                                    # a SIGKILL: what changed after `since` may be undone
    trouble = promises.found(key, 20001, 598, sent, now)         # "" where that can be, else what is wrong

What the daemon's documentation promises is what counts: a SIGKILL loses at most what changed between two writings
of the lease file, or since the file's folder was full (docs/decisions.md), and no jump of the wall clock
changes a lease.
"""

import math
import threading

EARLY = 4  # seconds by which a lease's end may be another: whole seconds in two programs, and a turn of a loop
LATE = 15  # and for which something is still there at its end: 16 are closed in a turn, on a router that is busy
_ROUNDING = 3  # seconds that each restart may add to both: the lease file has whole seconds of another clock
_LATE_ANSWERS = 15  # seconds until which a request whose answer was not awaited may still be carried out
_MEMORY = 180  # seconds for which former states are kept; no time without lease file is longer

NEVER = math.inf


class Value:
    """What is promised: `what` (an internal port, a pinhole's number; None: any) until about the second `end`.

    It ends between `low` and `high`, as far as the client can know.
    """

    def __init__(self, what, low, high=None):
        self.what = what
        self.low = low
        self.high = low if high is None else high
        self.restarts = 0  # how many restarts of the daemon there had been
        self.lag = 0  # seconds that the router's clock had lost

    def __repr__(self):
        return "%s until %s" % (self.what, "ever" if self.high == NEVER else "%.0f" % self.high)


class _Entry:
    def __init__(self):
        self.possible = [None]  # Values, and None for: nothing
        self.past = []  # (until when, the states that were possible)
        self.unsettled = -NEVER  # until then an answer says nothing about what is to come


class Promises:
    """All promises of one kind. May be used by several threads."""

    def __init__(self):
        self._entries = {}
        self._loose = {}  # key -> until when something may be there that nobody was told the name of
        self._restarts = 0
        self._lag = 0
        self._lost_until = -NEVER
        self._lock = threading.RLock()

    # --- what clients learn

    def granted(self, key, value, sent, now):
        """An answer to a request that was `sent` then: the key has this value (None: nothing)."""
        with self._lock:
            self._date(value)
            entry = self._entries.setdefault(key, _Entry())
            entry.past = [one for one in entry.past if one[0] >= now - _MEMORY] + [(now, entry.possible)]
            if sent <= self._lost_until or now < entry.unsettled:
                entry.possible = entry.possible + [value]
            else:
                entry.possible = [value]

    def unsure(self, key, values, now):
        """A request was not answered: the key may also have one of these values (None: nothing)."""
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            for value in values:
                self._date(value)
            entry.past.append((now, entry.possible))
            entry.possible = entry.possible + values
            entry.unsettled = now + _LATE_ANSWERS

    def _date(self, value):
        if value is not None:
            value.restarts, value.lag = self._restarts, self._lag

    def unnamed(self, kind, until):
        """A request was not answered that may have made something of a `kind`: see found."""
        with self._lock:
            self._loose[kind] = max(until, self._loose.get(kind, until))

    def named(self, kind):
        """Nothing of that kind is there any more under a name that is not known."""
        with self._lock:
            self._loose.pop(kind, None)

    # --- what happens to the router

    def restarted(self):
        """The daemon was started anew: leases were written and read once more."""
        with self._lock:
            self._restarts += 1

    def slowed(self, seconds):
        """The router's clock lost so many seconds: its leases last longer than ours."""
        with self._lock:
            self._lag += seconds

    def lost(self, since, now):
        """The daemon was killed before `now`: what changed after `since` may be as it was."""
        with self._lock:
            self._lost_until = max(self._lost_until, now)
            for entry in self._entries.values():
                for until, states in entry.past:
                    if until >= since:
                        entry.possible = entry.possible + [one for one in states if one not in entry.possible]

    def may_be_gone(self, now):
        """Something took place before `now` that may end every promise; NEVER: it goes on until this is called again.
        """
        with self._lock:
            self._lost_until = now if self._lost_until == NEVER else max(self._lost_until, now)
            for entry in self._entries.values():
                if None not in entry.possible:
                    entry.possible = entry.possible + [None]

    # --- what must be so

    def _states(self, key, now):
        """Return (the Values that may be there, whether nothing may be there)."""
        entry = self._entries.get(key)
        if entry is None:
            return [], True
        values, may_be_absent = [], False
        for value in entry.possible:
            if value is None:
                may_be_absent = True
                continue
            low, high = self._ends(value)
            may_be_absent = may_be_absent or now >= low
            if now <= high + LATE:
                values.append(value)
        return values, may_be_absent

    def sure(self, key, now):
        """Return the Value that must be there, or None where that cannot be said."""
        with self._lock:
            values, may_be_absent = self._states(key, now)
            return values[0] if len(values) == 1 and not may_be_absent else None

    def latest(self, key, now):
        """Return what was promised last of what may be there, or None."""
        with self._lock:
            return (self._states(key, now)[0] or [None])[-1]

    def keys(self, host, now, whats=None):
        """Return the keys of a host under which something may be there; `whats`: one of these."""
        with self._lock:
            return [key for key in self._entries if key[0] == host and [
                value for value in self._states(key, now)[0] if whats is None or value.what in whats]]

    def found(self, key, what, remaining, sent, now, kind=None):
        """It was asked for when `sent`, and is there: return "" or what is wrong with that.

        `remaining` is what is left of its lease, in seconds, NEVER if it has no end. `kind` is what unnamed() knows it
        by.
        """
        with self._lock:
            values, _ = self._states(key, now)
            fitting = [value for value in values if value.what in (None, what)
                       and self._fits(value, remaining, sent, now)]
            if fitting:
                self._learn(key, fitting, sent, now)
                return ""
            if kind is not None and self._loose.get(kind, -NEVER) + self._lag >= now:
                return ""
            return "%s is there, %s for %s s; %s" % (
                _text(key), what, "ever" if remaining == NEVER else remaining,
                "promised was %s" % self._possible(key, now) if key in self._entries else "nobody was promised that")

    def _fits(self, value, remaining, sent, now):
        if NEVER in (remaining, value.high):
            return remaining == value.high
        low, high = self._ends(value)
        # what is about to be closed is listed with a second that is left
        return sent + remaining <= max(high, now + 2) and now + remaining >= low

    def _ends(self, value):
        more = EARLY + _ROUNDING * (self._restarts - value.restarts)
        return value.low - more, value.high + more + self._lag - value.lag

    def missing(self, key, sent, now, what=None):
        """It was asked for when `sent`, and is not there: return "" or what is wrong with that.

        Where `what` is given, only that is not there.
        """
        with self._lock:
            values, may_be_absent = self._states(key, now)
            if may_be_absent or what is not None and [value for value in values if value.what != what]:
                if values and what is None:
                    self._learn(key, [None], sent, now)
                return ""
            return "%s is not there; promised was %s" % (_text(key), self._possible(key, now))

    def _learn(self, key, states, sent, now):
        """Of what was possible only these states are left, if that cannot change without an answer any more."""
        entry = self._entries[key]
        if sent > self._lost_until and now >= entry.unsettled and len(entry.possible) > len(states):
            entry.past.append((now, entry.possible))
            entry.possible = states

    def check(self, seen, sent, now, kind_of=lambda key, what: None):
        """Compare with all that is there, `seen` {key: (what, remaining)}; return what is wrong, a line each.

        `kind_of(key, what)` is what unnamed() knows it by.
        """
        with self._lock:
            wrong = [self.found(key, *value, sent, now, kind_of(key, value[0])) for key, value in seen.items()]
            wrong += [self.missing(key, sent, now) for key in list(self._entries) if key not in seen]
            return [one for one in wrong if one]

    def _possible(self, key, now):
        return " or ".join("nothing" if value is None else "%s until %s" % (
            value.what, "ever" if value.high == NEVER else "%+.0f s" % (value.high - now))
            for value in self._entries[key].possible)


def _text(key):
    return " ".join(str(word) for word in key if word != "")
