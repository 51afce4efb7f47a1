"""The pause: whether the router's owner keeps every port closed, and until when; remembered in a file.

A pause has to outlast a restart of the daemon and of the router, so the file lies beside the configuration, in flash:
it is written when a pause begins and removed when it ends. Whatever is in it, as long as it is there nothing opens; one
line in it says when that is over:

    BOOT SECOND_OF_THE_BOOT SECOND_OF_THE_WALL_CLOCK SECONDS

Within the same boot the clock that never jumps counts. After another one only the wall clock knows how long the router
was off; where that is wrong (a router without a battery begins in 1970) the pause ends after so many SECONDS at the
latest, and as soon as the clock was set.
"""

import errno

from . import log
from .compat import const, create, monotonic_ms, remove, rename, wall_seconds

PATH = "/etc/miniigd/paused"  # in a folder of its own: a jail has to let it be replaced
_BOOT = "/proc/sys/kernel/random/boot_id"
_LOOK_MS = const(60000)  # between two looks at the wall clock, which jumps; only while a pause is to end by itself


class Pause:
    """`now` is the loop's clock, in seconds. Nothing here raises."""

    def __init__(self, path=PATH):
        self._path = path
        self.is_on = False
        self._ends = None  # the second at which it ends by itself
        self._wall_end = None  # what the wall clock says then, where it has to be asked

    def read(self, now):
        """Learn from the file whether there is a pause."""
        try:
            with open(self._path) as file:
                words = file.read(200).split()
        except OSError as error:
            if error.errno != errno.ENOENT:
                log.error("%s cannot be read (errno %s): paused" % (self._path, error.errno))
                self.is_on = True
            return
        except ValueError:
            words = []
        self.is_on = True
        try:
            boot, second, wall, seconds = words
            second, wall, seconds = int(second), int(wall), int(seconds)
        except (ValueError, OverflowError):
            return  # without end
        if boot == _boot_id() != "-":
            seconds = min(seconds, second - monotonic_ms() // 1000)
        else:
            self._wall_end = wall
        self._ends = now + seconds

    def begin(self, seconds, now):
        """Pause for so many seconds, 0: until `end`; return False when a restart would not know of it."""
        self.is_on = True
        self._ends, self._wall_end = now + seconds if seconds else None, None
        line = ""
        if seconds:
            line = "%s %d %d %d" % (_boot_id(), monotonic_ms() // 1000 + seconds, wall_seconds() + seconds, seconds)
        try:
            create(self._path + ".new")
            with open(self._path + ".new", "w") as file:
                file.write(line + "\n")
            rename(self._path + ".new", self._path)
        except OSError as error:
            log.error("%s cannot be written (errno %s): the pause would not survive a restart"
                      % (self._path, error.errno))
            return False
        return True

    def end(self):
        """Pause no longer; return False when a restart would pause again."""
        self.is_on = False
        self._ends = self._wall_end = None
        try:
            remove(self._path)
        except OSError as error:
            if error.errno != errno.ENOENT:
                log.error("%s cannot be removed (errno %s): a restart would pause again" % (self._path, error.errno))
                return False
        return True

    def is_over(self, now):
        """True when the pause should end by itself."""
        return self._ends is not None and self.remaining(now) <= 0

    def remaining(self, now):
        """Return how many seconds of the pause are left; None without end."""
        if self._ends is None:
            return None
        left = self._ends - now
        return left if self._wall_end is None else min(left, self._wall_end - wall_seconds())

    def wait_ms(self, now_ms):
        """Return in how many milliseconds to ask `is_over`; None: never."""
        if self._ends is None:
            return None
        return max(0, min(self._ends * 1000 - now_ms, _LOOK_MS))


def _boot_id():
    """Return what tells this start of the router from every other."""
    try:
        with open(_BOOT) as file:
            return file.read().strip() or "-"
    except OSError:
        return "-"
