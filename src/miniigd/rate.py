"""How often a host may ask: a few things at once, then so many a second. Knows no protocol; `now_ms` is an argument.

    sources = Sources(96, 24, "searches too often: not all of it is answered")
    if sources.allow("02:00:00:00:00:01", 1, now_ms, "192.168.1.2"): ...

Whoever nobody knows (neighbours.Hosts) shares one account with all others of that kind, and so does whom there is no
room for. All of them together have another one: it bounds the work, whatever is forged.
"""

from . import log
from .compat import const

_MOST = const(64)  # hosts with an account of their own. Who has everything back that he took needs none.
_EVERYBODY = const(4)  # hosts may use up what is theirs at the same time; a LAN where more do so is under attack
_OTHERS = "others"


class Sources:
    """Each host may take `burst` at once and regains `per_second`; `complaint` is what the log says of one."""

    def __init__(self, burst, per_second, complaint):
        self._complaint = complaint
        self._new = lambda times, now_ms: _Account(times * burst, times * per_second, now_ms)
        self._accounts = {}  # host -> _Account
        self._others = self._new(1, 0)
        self._all = self._new(_EVERYBODY, 0)

    def __len__(self):
        return len(self._accounts)

    def __contains__(self, host):
        return host in self._accounts

    def allow(self, host, count, now_ms, address=""):
        """Let `host` (None: nobody knows which) take `count`; return False when that is too many.

        The log names the `address`, and tells it once until the host was moderate again.
        """
        account = self._others if host is None else self._account(host, now_ms)
        everybody = self._all
        account.refill(now_ms)
        everybody.refill(now_ms)
        short = account if count > account.left else everybody if count > everybody.left else None
        if short is None:
            account.left -= count
            everybody.left -= count
            return True
        if not short.is_told:
            short.is_told = True
            # One who stops and begins again makes a line each time: it counts as what it is, an event.
            log.event("refused", _OTHERS if host is None or short is everybody else host,
                      "an answer: %s %s" % (address or host, self._complaint))
        return False

    def _account(self, host, now_ms):
        if host not in self._accounts:
            if len(self._accounts) >= _MOST:
                for other in list(self._accounts):
                    if self._accounts[other].refill(now_ms):
                        del self._accounts[other]
            if len(self._accounts) >= _MOST:
                return self._others
            self._accounts[host] = self._new(1, now_ms)
        return self._accounts[host]


class _Account:
    """What is left to take: `most` in the beginning."""

    def __init__(self, most, per_second, now_ms):
        self._most = most
        self._per_second = per_second
        self._since_ms = now_ms
        self.left = most
        self.is_told = False

    def refill(self, now_ms):
        """Take back what was regained; return True when all of it is there."""
        regained = (now_ms - self._since_ms) * self._per_second // 1000
        if regained:
            self.left = min(self._most, self.left + regained)
            self._since_ms = now_ms
        if self.left == self._most:
            self.is_told = False
            return True
        return False
