"""The one loop: readiness of descriptors, timers, signals, and the guard around every handler.

Built on `selectors`. Knows nothing of UPnP. When nothing is due it sleeps in the kernel: no polling.

    loop.register(sock, EVENT_READ, on_readable)
    timer = loop.call_later(250, announce)      # milliseconds
    loop.run()                                  # until loop.stop()
"""

import gc
import selectors

from . import log
from .compat import monotonic_ms, read_signal, select_ms, signal_fd

EVENT_READ = selectors.EVENT_READ
EVENT_WRITE = selectors.EVENT_WRITE


class Timer:
    """A call that is due at `when_ms` on the loop's clock."""

    def __init__(self, when_ms, callback):
        self.when_ms = when_ms
        self.callback = callback


class Loop:
    """`now` and `now_ms` are the time at which the present turn began, in whole seconds and in milliseconds."""

    def __init__(self):
        self._selector = selectors.DefaultSelector()
        self._timers = []  # few: kept unsorted
        self._is_running = False
        self._on_signal = {}
        self.at_end_of_turn = None  # called when everything that was ready and due is done
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
        self._timers.append(timer)
        return timer

    def cancel(self, timer):
        """Forget a timer; one that has fired, or None, is ignored."""
        if timer in self._timers:
            self._timers.remove(timer)

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
        while self._is_running:
            self.turn(self._wait_ms())

    def _first(self):
        """Return the Timer that is due before the others, or None."""
        first = None
        for timer in self._timers:
            if first is None or timer.when_ms < first.when_ms:
                first = timer
        return first

    def _wait_ms(self):
        first = self._first()
        return None if first is None else max(0, first.when_ms - (monotonic_ms() - self._start_ms))

    def turn(self, timeout_ms):
        """Wait up to `timeout_ms` (None: for ever), then call what is ready, and one timer that is due."""
        ready = select_ms(self._selector, timeout_ms)
        self._tick()
        for key, events in ready:
            if self._selector.get_map().get(key.fd) is key:  # not unregistered by one before it
                self._guard(key.data, (events,))
        # One alone: where many are due at once, those who ask meanwhile are not kept waiting by all of them.
        timer = self._first()
        if timer is not None and timer.when_ms <= self.now_ms:
            self._timers.remove(timer)
            self._guard(timer.callback, ())
        if self.at_end_of_turn is not None:
            self._guard(self.at_end_of_turn, ())

    def _guard(self, callback, arguments):
        """Nothing that one client does may end the daemon: log what nobody foresaw and go on."""
        try:
            callback(*arguments)
        except MemoryError:
            gc.collect()
            log.error("out of memory: a request was dropped")
        except Exception as error:
            log.exception("a handler", error)
