"""Carries a plan out: a few threads, each for some of the hosts, and one for the disturbances.

What a host does comes in the plan's order; what different hosts do at the same time does not, and no step waits for it.
Every step is one line of the log, with when it began, what was answered and how long that took.
"""

import queue
import threading
import time
import traceback

from package import kit

_WORKERS = 4
_AHEAD = 8  # steps that wait for a thread


class Load:
    """Does Steps for `world`; `tally` is {(kind, answer): count}."""

    def __init__(self, world, log):
        self.world, self._log = world, log
        self.tally = {}
        self.done = 0
        self.worst = (0, "")  # seconds for one answer, and of what; while nothing disturbed
        self.worst_disturbed = (0, "")
        self.stop = None  # kit.Stop: the router does not do what it is told
        self._begun = time.monotonic()
        self._deadline = 0
        self._lock = threading.Lock()
        self._queues = [queue.Queue(_AHEAD) for _ in range(_WORKERS + 1)]
        self._threads = [threading.Thread(target=self._work, args=(one,), daemon=True) for one in self._queues]
        for thread in self._threads:
            thread.start()

    def close(self):
        for one in self._queues:
            one.put(None)
        for thread in self._threads:
            thread.join()

    def run(self, steps, seconds, is_disturbed=True, progress=lambda: None):
        """Do what `steps` yield for so many seconds; then wait for what has begun."""
        self._deadline = time.monotonic() + seconds
        for step in steps:
            if step.kind == "look":
                self.rest(progress)
                if is_disturbed and not self.stop:
                    self._do(step, self.world.look)
            elif step.kind != "harm" or is_disturbed:
                self._put(step, progress)
            else:
                self.note(step, "left out")
            if time.monotonic() > self._deadline or self.stop:
                break
        self.rest(progress)

    def rest(self, progress=lambda: None):
        """Wait until nobody does anything."""
        while any(one.unfinished_tasks for one in self._queues):
            time.sleep(0.05)
            progress()

    def _put(self, step, progress):
        place = self._queues[-1 if step.kind == "harm" else step.host % _WORKERS]
        while time.monotonic() <= self._deadline and not self.stop:
            try:
                return place.put(step, timeout=0.5)
            except queue.Full:
                progress()
            finally:
                progress()

    def _work(self, place):
        while (step := place.get()) is not None:
            try:
                if time.monotonic() > self._deadline or self.stop:
                    self.note(step, "not done any more")
                elif step.kind == "harm":
                    self._do(step, lambda step=step: self.world.harm.do(*step.words))
                else:
                    self._do(step, lambda step=step: self.world.hosts[step.host].do(step))
                    time.sleep(step.pause)
            finally:
                place.task_done()

    def _do(self, step, function):
        begun, was_quiet = time.monotonic(), self.world.is_quiet(time.monotonic())
        self.world.write("%9.3f #%d %s begins" % (begun - self._begun, step.number, step.kind)
                         if step.kind in ("harm", "look") else "")
        try:
            answer = function()
        except kit.Stop as stop:
            self.stop = stop
            answer = "the router does not do what it is told"
            self.world.disagree(str(stop))
        except Exception as error:
            answer = type(error).__name__
            self.world.disagree("#%d %s of host %d: %r\n%s" % (
                step.number, step.kind, step.host, error, traceback.format_exc(limit=-3)))
        now = time.monotonic()
        self.note(step, answer, begun, now - begun)
        if step.kind in ("harm", "look", "storm", "probe", "search", "junk"):
            return
        with self._lock:
            worst = (now - begun, step.kind)
            if was_quiet and self.world.is_quiet(now):
                self.worst = max(self.worst, worst)
            else:
                self.worst_disturbed = max(self.worst_disturbed, worst)

    def note(self, step, answer, begun=None, took=0):
        """Write a step's line, and count it if it was done (`begun`)."""
        is_done = begun is not None
        begun = begun or time.monotonic()
        self.world.write("%9.3f #%d %s %s %s -> %s (%d ms)" % (
            begun - self._begun, step.number, step.kind, step.host, " ".join(map(_short, step.words)), answer,
            took * 1000))
        with self._lock:
            if is_done:
                self.done += 1
                self.tally[step.kind, answer] = self.tally.get((step.kind, answer), 0) + 1


def _short(value):
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= 40 else text[:40] + "..."
