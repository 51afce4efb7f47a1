"""The lease file: what is open, for luci-app-upnp to show, and for this daemon to open again after a restart.

One line for each open mapping, in the order of the table and so of the firewall's rules: LuCI deletes line N of this
file when a person deletes rule N. Six fields, as miniupnpd writes them,

    TCP:8000:192.168.1.2:8000:1798000000:what the client said

with the second at which the lease ends on the clock that people read, 0 for none. A remote host follows the
description, as " [from 11.0.0.1]". A colon in the description would be a field more for some readers: it is written
as its full-width form.

The wall clock jumps (a router without a battery begins in 1970), so a second file, on the tmpfs, keeps what it and the
clock that never jumps said together when the leases were written: what is left of a lease is right after a restart,
whatever happened to the wall clock in between.
"""

from . import log
from .addresses import ip4_bytes
from .compat import const, create, file_mark, monotonic_ms, rename, wall_seconds
from .mapping import PROTOCOLS

CLOCK_PATH = "/var/run/miniigd.clock"

# The file may lie in flash, and writing a long one takes time: so many writings at once, then one every so often. A
# person who clicks, or a program that opens its ports, sees the file and the rules agree at any time.
_BURST = const(10)
_PAUSE_MS = const(2000)
_COST = const(20)  # a long file is written so seldom that it takes at most this part (1/20) of the time,
_LONGEST_PAUSE_MS = const(5000)  # but not more seldom than that
_JUMP = const(2)  # seconds by which the clocks may differ without a jump
MAX_LINE = const(600)  # bytes
_FROM = " [from "


class Lease:
    """A line of the file; `remaining` in seconds, 0: without end."""

    def __init__(self, protocol, external_port, internal_client, internal_port, remaining, description, remote_host):
        self.protocol = protocol
        self.external_port = external_port
        self.internal_client = internal_client
        self.internal_port = internal_port
        self.remaining = remaining
        self.description = description
        self.remote_host = remote_host


class LeaseFile:
    """The file at `path`; `now` is the loop's clock, in seconds. Nothing here raises: a full disk stops no service.

    It is root's alone, because it holds what PCP clients keep secret, and it is replaced, not overwritten: what somebody
    planted in a folder for everybody is neither followed nor read.

    What a line says is `form`'s: line(mapping, offset) and parse(line, wall), as below; None: theirs.
    """

    def __init__(self, path, clock_path=CLOCK_PATH, form=None):
        self._line, self._parse = form or (_line, _parse)
        self._path = path
        self._clock_path = clock_path
        self._mark = None  # of the file as we left it
        self._offset = None  # wall clock less monotonic clock, when the file was written
        self.is_changed = False  # since the file was written
        self._left = _BURST  # writings that may follow at once
        self._written_ms = 0
        self._cost_ms = 0
        self._is_failing = False  # said in the log

    def read(self):
        """Return the leases of the file (list of Lease); those that have ended have a negative remainder.

        What is no lease is left out, and named in the log once. A file that is not our own (file_mark) has none.
        """
        self._mark = file_mark(self._path)
        found, strange = [], 0
        if self._mark is None:
            return found  # there is no file yet, or somebody else put it there
        wall = self._wall_of_writing()
        try:
            with open(self._path, "rb") as file:
                for line in file:
                    lease = self._parse(line, wall)
                    if lease is not None:
                        found.append(lease)
                    elif line.strip():
                        strange += 1
        except OSError:
            return found
        if strange:
            log.warning("%s: %d lines are no leases, they are left out" % (self._path, strange))
        return found

    def _wall_of_writing(self):
        """Return what the wall clock would say now, had it not jumped since the leases were written."""
        wall, seconds = wall_seconds(), monotonic_ms() // 1000
        try:
            with open(self._clock_path) as file:
                then_wall, then_seconds = [int(word) for word in file.read().split()]
        except (OSError, ValueError):
            then_seconds = None
        if then_seconds is not None and 0 <= then_seconds <= seconds:
            return then_wall + seconds - then_seconds
        # Another start of the router: at least as late as the file was written.
        mark = self._mark
        return wall if mark is None else max(wall, mark[2])

    def append(self, mapping, now, now_ms):
        """A mapping came behind all others: write it at once, so that no SIGKILL loses it, if that may be."""
        if self.is_changed and not self._left:
            return  # what waits for its turn is not put off by this: all of it is written then
        was_pending, self.is_changed = self.is_changed, True  # memory may run out at any of these
        if self._mark is None or self._mark != file_mark(self._path) or self._has_jumped() or not self._takes(now_ms):
            return
        try:
            with open(self._path, "a") as file:
                file.write(self._line(mapping, wall_seconds() - now))
        except OSError as error:
            self._fail(error)
            return
        mapping.is_recorded = True
        self._mark = file_mark(self._path)
        self.is_changed = was_pending

    def mark_changed(self):
        """Something else changed: the file is to be written anew."""
        self.is_changed = True

    @property
    def is_pending(self):
        """True when the file does not say what the table says."""
        return self.is_changed or self._offset is not None and self._has_jumped()

    def wait_ms(self, now_ms):
        """Return in how many milliseconds the file is to be written, None when it says what the table says."""
        if not self.is_pending:
            return None
        if self._left:
            return 0
        return max(0, self._written_ms + self._pause_ms - now_ms)

    def _takes(self, now_ms):
        """Count a writing; return False when it is one too many."""
        regained = (now_ms - self._written_ms) // self._pause_ms
        left = min(_BURST, self._left + regained)
        self._left = max(0, left - 1)
        if left:
            self._written_ms = now_ms
        return left > 0

    @property
    def _pause_ms(self):
        return max(_PAUSE_MS, min(_COST * self._cost_ms, _LONGEST_PAUSE_MS))

    def write(self, mappings, now, now_ms):
        """Write the file as a whole: the enabled ones of `mappings`."""
        begun_ms = monotonic_ms()
        self._takes(now_ms)
        offset = wall_seconds() - now
        temporary = self._path + ".new"
        self.is_changed = True  # memory may run out at any of these
        try:
            create(temporary)
            with open(temporary, "w") as file:
                for mapping in mappings:
                    if mapping.enabled:
                        file.write(self._line(mapping, offset))
            # Both files or none: lines of one time with the clocks of another would have their leases stretch or end.
            clocks = self._write_clocks() if self._has_jumped() else None
            if self.is_foreign():
                return  # somebody edited it meanwhile: that has to be read before it is replaced
            rename(temporary, self._path)
            if clocks is not None:
                rename(self._clock_path + ".new", self._clock_path)
                self._offset = clocks
            for mapping in mappings:
                mapping.is_recorded = mapping.enabled
        except OSError as error:
            self._fail(error)
            return
        self._is_failing = False
        self._mark = file_mark(self._path)
        self._cost_ms = monotonic_ms() - begun_ms
        self.is_changed = False

    def _has_jumped(self):
        return self._offset is None or abs(wall_seconds() - monotonic_ms() // 1000 - self._offset) > _JUMP

    def _write_clocks(self):
        """Write what the clocks say beside their file; return the wall clock less the other."""
        wall, seconds = wall_seconds(), monotonic_ms() // 1000
        create(self._clock_path + ".new")
        with open(self._clock_path + ".new", "w") as file:
            file.write("%d %d\n" % (wall, seconds))
        return wall - seconds

    def _fail(self, error):
        self.is_changed = True
        if not self._is_failing:
            self._is_failing = True
            log.error("%s cannot be written (errno %s): leases would not survive a restart; make room there"
                      % (self._path, error.errno))

    def is_foreign(self):
        """True when somebody else changed the file since we wrote or read it."""
        return self._mark is not None and file_mark(self._path) != self._mark


def _line(mapping, offset):
    """Return the line of a mapping, `offset` being the wall clock less the loop's."""
    description = mapping.description.replace(":", "\uff1a")
    if mapping.remote_host:
        description += "%s%s]" % (_FROM, mapping.remote_host)
    elif description.rstrip(" ").endswith("]"):
        description += " "  # so that it is not taken for a remote host
    return "%s:%d:%s:%d:%d:%s\n" % (
        mapping.protocol, mapping.external_port, mapping.internal_client, mapping.internal_port,
        mapping.expires + offset if mapping.lease_duration else 0, description)


def _parse(line, wall):
    """Return the Lease of a line (bytes), or None; `wall` is the wall clock that the line's time means."""
    if len(line) > MAX_LINE:
        return None
    try:
        fields = line.rstrip(b"\r\n").decode().split(":", 5)
    except ValueError:
        return None
    if len(fields) != 6:
        return None
    protocol, external_port, client, internal_port, ends, description = fields
    remote_host = ""
    if description.endswith("]") and _FROM in description:
        description, _, remote_host = description[:-1].rpartition(_FROM)
    try:
        ports = [number(text, 65535) for text in (external_port, internal_port)]
        end = number(ends, 99999999999)
        ip4_bytes(client)
        if remote_host:
            ip4_bytes(remote_host)
    except ValueError:
        return None
    if protocol not in PROTOCOLS or 0 in ports:
        return None
    description = description.replace("\uff1a", ":")
    if not remote_host and description.endswith(" ") and description.rstrip(" ").endswith("]"):
        description = description[:-1]
    remaining = (end - wall or -1) if end else 0
    return Lease(protocol, ports[0], client, ports[1], remaining, description, remote_host)


def number(text, largest):
    """Return the decimal number in a field; ValueError."""
    if not (text.encode().isdigit() and len(text) <= 11 and int(text) <= largest):
        raise ValueError(text)
    return int(text)
