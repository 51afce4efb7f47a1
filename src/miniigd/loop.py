"""The one loop: readiness of descriptors, timers, signals, and the guard around every handler.

Built on `selectors`. Knows nothing of UPnP. When nothing is due it sleeps in the kernel: no polling.

    loop.register(sock, EVENT_READ, on_readable)
    timer = loop.call_later(250, announce)      # milliseconds
    loop.run()                                  # until loop.stop()
"""

import gc
import selectors

from . import log
from .compat import const, monotonic_ms, read_signal, select_ms, signal_fd

EVENT_READ = selectors.EVENT_READ
EVENT_WRITE = selectors.EVENT_WRITE

QUIET = "quiet"  # a callback returns this when it changed nothing, so that there is nothing to do at the turn's end
_OUT_OF_MEMORY = "out of memory"
_SHORT_MS = const(1000)  # until what ran out of memory is tried again


class Timer:
    """A call that is due at `when_ms` on the loop's clock."""

    def __init__(self, when_ms, callback):
        self.when_ms = when_ms
        self.callback = callback


class Loop:
    """`now` and `now_ms` are the time at which the present turn began, in whole seconds and in milliseconds."""

    def __init__(self):
        self._selector = selectors.DefaultSelector()
        self._timers = []  # the one that is due last comes first
        self._is_running = False
        self._is_short = False  # the end of a turn ran out of memory
        self._on_signal = {}
        self.at_end_of_turn = None  # called when all that was ready and due is done, unless all of that was QUIET
        self._start_ms = monotonic_ms() - 1000  # so that 0 is always in the past
        self._tick()

    def _tick(self):
        self.now_ms = monotonic_ms() - self._start_ms
        self.now = self.now_ms // 1000

    def register(self, sock, events, callback):
        """Call `callback(events)` whenever `sock` (or a descriptor) is ready for one of `events`."""
        self._selector.register(sock, events, callback)

    def modify(self, sock, events, callback):
        """Change what `register` set."""
        self._selector.modify(sock, events, callback)

    def unregister(self, sock):
        """Forget `sock`; to be called before it is closed."""
        self._selector.unregister(sock)

    def call_later(self, delay_ms, callback):
        """Call `callback()` once, `delay_ms` from now; return its Timer."""
        timer = Timer(self.now_ms + delay_ms, callback)
        self._insert(timer)
        return timer

    def _insert(self, timer):
        timers = self._timers
        place = len(timers)
        while place and timers[place - 1].when_ms <= timer.when_ms:
            place -= 1
        timers.insert(place, timer)

    def cancel(self, timer):
        """Forget a timer; one that has fired, or None, is ignored."""
        timers = self._timers
        for place in range(len(timers)):
            if timers[place] is timer:
                del timers[place]
                return

    def on_signal(self, number, callback):
        """Call `callback()` in a turn of the loop when the process gets the signal `number`."""
        if not self._on_signal:
            self.register(signal_fd(), EVENT_READ, self._read_signals)
        self._on_signal[number] = callback

    def _read_signals(self, events):
        number = read_signal()
        while number:
            callback = self._on_signal.get(number)
            if callback is not None:
                callback()
            number = read_signal()

    def stop(self):
        """Let `run` return at the end of this turn."""
        self._is_running = False

    def run(self):
        """Serve until `stop`."""
        self._is_running = True
        guard, turn = self._guard, self._turn_when_due
        while self._is_running:
            guard(turn, ())  # memory may run out between two handlers, too

    def _turn_when_due(self):
        self.turn(self._wait_ms())

    def _wait_ms(self):
        if self._is_short:
            return _SHORT_MS
        if not self._timers:
            return None
        return max(0, self._timers[-1].when_ms - (monotonic_ms() - self._start_ms))

    def turn(self, timeout_ms):
        """Wait up to `timeout_ms` (None: for ever), then call what is ready, and one timer that is due."""
        ready = select_ms(self._selector, timeout_ms)
        self._tick()
        is_quiet = len(ready) > 0
        for key, events in ready:
            if self._selector.get_map().get(key.fd) is key:  # not unregistered by one before it
                is_quiet = self._guard(key.data, (events,)) is QUIET and is_quiet
        # One alone: where many are due at once, those who ask meanwhile are not kept waiting by all of them.
        if self._timers and self._timers[-1].when_ms <= self.now_ms:
            is_quiet = False
            timer = self._timers.pop()
            if self._guard(timer.callback, ()) is _OUT_OF_MEMORY:
                # What it is for is nobody's request: it comes again. There is room: it was in the list just now.
                timer.when_ms = self.now_ms + _SHORT_MS
                self._insert(timer)
        if self.at_end_of_turn is not None and (self._is_short or not is_quiet):
            self._is_short = True
            self._is_short = self._guard(self.at_end_of_turn, ()) is _OUT_OF_MEMORY

    def _guard(self, callback, arguments):
        """Nothing that one client does may end the daemon: log what nobody foresaw and go on.

        Return what it returned, or _OUT_OF_MEMORY.
        """
        try:
            return callback(*arguments)
        except MemoryError:
            gc.collect()
            try:
                log.event("dropped", "all", "a request: out of memory")  # who brings this about can do it all day
            except MemoryError:
                pass
            return _OUT_OF_MEMORY
        except Exception as error:
            log.exception("a handler", error)
        return None
