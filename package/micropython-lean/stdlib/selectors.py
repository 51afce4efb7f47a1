"""The part of CPython's `selectors` that the daemon uses, over select.poll.

One difference: `select` takes whole seconds or None, because the runtime has no floating point; `select_ms` takes
milliseconds and is what an event loop wants.
"""

import select

EVENT_READ = 1
EVENT_WRITE = 2


class SelectorKey:
    """What was registered: `fileobj`, its descriptor `fd`, the `events` asked for and the caller's `data`."""

    def __init__(self, fileobj, fd, events, data):
        self.fileobj = fileobj
        self.fd = fd
        self.events = events
        self.data = data


def _poll_mask(events):
    if not events or events & ~(EVENT_READ | EVENT_WRITE):
        raise ValueError(events)
    return (select.POLLIN if events & EVENT_READ else 0) | (select.POLLOUT if events & EVENT_WRITE else 0)


class DefaultSelector:
    """Waits for readiness of files; see CPython's `selectors.BaseSelector` for the contract of each method."""

    def __init__(self):
        self._poll = select.poll()  # None: to be made anew
        self._keys = {}  # descriptor -> SelectorKey

    def register(self, fileobj, events, data=None):
        fd = _descriptor(fileobj)
        if fd in self._keys:
            raise KeyError(fd)
        key = SelectorKey(fileobj, fd, events, data)
        poll = self._made()
        self._keys[fd] = key
        try:
            poll.register(fd, _poll_mask(events))
        except MemoryError:
            del self._keys[fd]
            # MicroPython's own words: "the map entry remains unpopulated, and methods like poll() may crash".
            self._poll = None
            raise
        return key

    def _made(self):
        """Return the poll object, a new one where memory ran out in the old."""
        if self._poll is None:
            poll = select.poll()
            for key in self._keys.values():
                poll.register(key.fd, _poll_mask(key.events))
            self._poll = poll
        return self._poll

    def unregister(self, fileobj):
        key = self._keys.pop(_descriptor(fileobj))
        if self._poll is not None:
            self._poll.unregister(key.fd)
        return key

    def modify(self, fileobj, events, data=None):
        key = self._keys[_descriptor(fileobj)]
        if events != key.events:
            if self._poll is not None:
                self._poll.modify(key.fd, _poll_mask(events))
            key.events = events
        key.data = data
        return key

    def select(self, timeout=None):
        return self.select_ms(None if timeout is None else timeout * 1000)

    def select_ms(self, timeout_ms):
        """Like `select` with milliseconds: a list of (key, events); an error shows as all the events asked for."""
        ready = []
        for fd, mask in self._made().ipoll(-1 if timeout_ms is None else max(0, timeout_ms)):
            key = self._keys.get(fd)
            if key is not None:
                events = (mask & select.POLLIN and EVENT_READ) | (mask & select.POLLOUT and EVENT_WRITE)
                if mask & ~(select.POLLIN | select.POLLOUT):
                    events = EVENT_READ | EVENT_WRITE
                if events & key.events:
                    ready.append((key, events & key.events))
        return ready

    def get_map(self):
        return self._keys

    def close(self):
        self._keys = {}
        self._poll = None


def _descriptor(fileobj):
    return fileobj if isinstance(fileobj, int) else fileobj.fileno()
