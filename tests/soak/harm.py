"""What disturbs the router during a soak, and what each disturbance may take from clients, as the documentation has it.

    Harm(world).do("kill", 2, 0.5)    # returns when the router is as it was; what heals by itself may take longer
"""

import threading
import time

from promises import NEVER
from test_ipv6_pinholes import RELOAD

from qemu.lab import LAN_ROUTER

_NORMAL = 30  # seconds for a command on the router
_AGAIN = 40  # seconds for the daemon to answer again: procd waits five before it starts it
# Seconds before a SIGKILL in which a change may not be in the lease file yet: it is written every two to five seconds,
# by a daemon that may be busy.
UNSAVED = 10
SETTLED = 6  # seconds after a disturbance in which nothing is expected of packets: within five all is as it was
_KILL = "kill -9 $(pidof miniigd)"
_FULL = ("used=$(df -k /tmp | tail -n 1 | sed 's/  */ /g' | cut -d' ' -f3); mount -o remount,size=${used}k /tmp; "
         "cat /dev/zero >/tmp/fill 2>/dev/null; echo full 2>/dev/null >/tmp/more && echo has room; rm -f /tmp/more")
_ROOM = "rm -f /tmp/fill; mount -o remount,size=50% /tmp"
_FLUSH = {"debian": ("nft flush chain inet fw4 upnp_prerouting; nft flush set inet fw4 upnp_open",
                     "nft flush set inet fw4 upnp_open6"),
          None: ("iptables -t nat -F MINIUPNPD; iptables -F MINIUPNPD", "ip6tables -F MINIUPNPD")}
_RESTART = {"debian": "fw4 restart", "wrt": "fw3 restart"}
_YEAR, _DAY = 365 * 86400, 86400


class Harm:
    """Disturbs the router of `world`; `restarts` counts how often the daemon was started, `counts` what was done."""

    def __init__(self, world):
        self.world = world
        self.restarts = 0
        self.counts = {}
        self.pid = None  # the daemon's, while nobody ended it
        self.is_active = False
        self.ended = -SETTLED  # when the last one was over
        self.is_gentle = False  # neither kills nor restarts
        self._was_full = self._had_room = -SETTLED  # when there was no room for the lease files any more, and again
        self._lock = threading.Lock()

    def do(self, kind, seconds, fraction):
        """Do what is called `kind`; `seconds` and `fraction` (0 to 1) say how long or how much. Return how it went."""
        if self.is_gentle and kind in ("kill", "restart", "full_and_kill", "jump_and_kill"):
            return "left out"
        with self._lock:
            self.is_active = True
            try:
                getattr(self, "_" + kind)(seconds, fraction)
                self._wait_until_serving()
                self.world.clock.measure()
            finally:
                self.ended = time.monotonic()
                self.is_active = False
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return "done"

    def is_quiet(self, now):
        return not self.is_active and now - self.ended > SETTLED

    def _run(self, command, timeout=_NORMAL):
        return self.world.command(command, timeout).output

    def running(self):
        return self._run("pidof miniigd").split()

    def check_alive(self):
        """The daemon is the one that it was; say so where it ended by itself."""
        for _ in range(10):
            pids = self.running()
            if len(pids) < 2:
                break
            time.sleep(0.2)  # a child that is about to become iptables
        if self.pid is not None and pids != [self.pid]:
            self.world.disagree("the daemon ended by itself: its process was %s, is %s; %s" % (
                self.pid, " ".join(pids) or "none", self._run("logread | grep -v 'miniigd: info' | tail -n 5; "
                                                              "dmesg | grep -i -e oom -e 'out of memory' | tail -n 3")))
            self._has_restarted()
            self.world.mappings.lost(time.monotonic() - UNSAVED, time.monotonic())
            self.world.pinholes.lost(time.monotonic() - UNSAVED, time.monotonic())
        self.pid = pids[0] if len(pids) == 1 else None

    def _has_restarted(self):
        self.restarts += 1
        for promises in self.world.mappings, self.world.pinholes:
            promises.restarted()
        self.world.events.may_be_gone(time.monotonic())

    def _wait_until_serving(self):
        limit = time.monotonic() + _AGAIN
        while not self.world.answers():
            if time.monotonic() > limit:
                self.world.disagree("the daemon does not answer on %s: %s" % (LAN_ROUTER, self._run(
                    "pidof miniigd; logread | grep miniigd | tail -n 5; ip addr show dev eth0")))
                return
            time.sleep(0.3)
        self.check_alive()

    # --- the daemon

    def _kill(self, seconds, fraction, saved=None):
        """SIGKILL; `saved` is since when the lease file may not have been written."""
        self.check_alive()
        self.world.clock.measure()
        since = (time.monotonic() if saved is None else saved) - UNSAVED
        if self.world.clock.at > since:  # it could not write as soon as it should
            since -= self.world.clock.lag
        if self._had_room > since:  # nor then
            since = min(since, self._was_full - UNSAVED)
        before = self.pid
        self.pid = None
        self._run(_KILL)
        for promises in self.world.mappings, self.world.pinholes:
            promises.lost(since, time.monotonic())
        self._has_restarted()
        limit = time.monotonic() + _AGAIN
        while self.running() in ([], [before]) and time.monotonic() < limit:
            time.sleep(0.5)
        self.world.events.may_be_gone(time.monotonic())

    def _restart(self, seconds, fraction):
        """SIGTERM and a new start, by the init script: nothing is lost."""
        self.pid = None
        self._run("/etc/init.d/miniupnpd restart", 60)
        self._has_restarted()

    # --- the firewall

    def _reload(self, seconds, fraction):
        self._run(RELOAD[self.world.lab.model], 60)

    def _firewall_restart(self, seconds, fraction):
        self._run(_RESTART[self.world.lab.model], 60)

    def _flush(self, seconds, fraction):
        """Somebody takes our rules out."""
        commands = _FLUSH.get(self.world.lab.model, _FLUSH[None])
        self._run(commands[fraction < 0.3])

    # --- the links

    def _wan_flap(self, seconds, fraction):
        self._flap("wan", seconds)

    def _flap(self, name, seconds):
        self._run("ifdown " + name, 60)
        time.sleep(seconds)
        self._run("ifup " + name, 60)

    def _lan_flap(self, seconds, fraction):
        """The LAN's device is down and loses its addresses: a prefix that is gone closes its pinholes."""
        for one in self.world.pinholes, self.world.events:
            one.may_be_gone(NEVER)
        self._flap("lan", seconds)
        time.sleep(2)  # changes of IPv6 addresses settle for a second
        now = time.monotonic()
        self.world.pinholes.may_be_gone(now)
        self.world.events.may_be_gone(now + SETTLED)

    # --- the wall clock

    def _set_clock(self, seconds):
        self.world.lab.router.check("date -s @%d" % seconds)

    def real_time(self):
        self._set_clock(time.time())

    def _clock_forward(self, seconds, fraction):
        self._set_clock(time.time() + fraction * 2 * _YEAR)

    def _clock_back(self, seconds, fraction):
        self._set_clock(time.time() - fraction * 30 * _DAY)

    def _clock_1970(self, seconds, fraction):
        self._set_clock(100000 + fraction * _DAY)  # the kernel takes no time that is before its own start

    def _jump_and_kill(self, seconds, fraction):
        """The wall clock jumps while the daemon is away, or right before."""
        if fraction < 0.5:
            self._clock_forward(seconds, fraction * 2)
            self._kill(seconds, fraction)
        else:
            self._kill(seconds, fraction)
            self._clock_back(seconds, fraction)

    # --- the folder of the lease files

    def _full(self, seconds, fraction, then=None):
        since = self._was_full = time.monotonic()
        if "has room" in self._run(_FULL):
            self.world.disagree("/tmp cannot be filled")
        try:
            time.sleep(2 * seconds)
            if fraction < 0.5:
                self._clock_back(seconds, fraction * 2)
                time.sleep(2)
            if then is not None:
                then(since)
        finally:
            self._run(_ROOM)
            self._had_room = time.monotonic()

    def _full_and_kill(self, seconds, fraction):
        """What came since there was no room is lost by that, and nothing else."""
        self._full(seconds, fraction, lambda since: self._kill(seconds, fraction, since))
