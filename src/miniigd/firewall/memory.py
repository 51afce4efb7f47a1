"""A firewall that opens nothing: for tests and for trying the daemon without privileges."""

from ..mapping import MAX_MAPPINGS


class MemoryFirewall:
    """Remembers what would be open: `open_mappings` in order, each with the seconds it was opened for."""

    name = "memory"
    is_polled = False
    most_mappings = MAX_MAPPINGS

    def __init__(self):
        self.open_mappings = []
        self.failure = None  # raised by the next changes when set

    def open(self, wan):
        """See miniigd.firewall."""

    def basis(self):
        """See miniigd.firewall."""

    def add(self, mapping, replaced, seconds, before=None):
        """See miniigd.firewall."""
        self._fail()
        for index, entry in enumerate(self.open_mappings):
            if entry[0] is replaced:
                self.open_mappings[index] = (mapping, seconds)
                return
            if entry[0] is before:
                self.open_mappings.insert(index, (mapping, seconds))
                return
        self.open_mappings.append((mapping, seconds))

    def remove(self, mappings):
        """See miniigd.firewall."""
        self._fail()
        self.open_mappings = [entry for entry in self.open_mappings if entry[0] not in mappings]

    def sync(self, mappings, now):
        """See miniigd.firewall."""
        self._fail()
        self.open_mappings = [(mapping, mapping.expires - now) for mapping in mappings]

    def close(self):
        """See miniigd.firewall."""
        self.open_mappings = []

    def is_intact(self, mappings):
        """See miniigd.firewall."""
        return [entry[0] for entry in self.open_mappings] == mappings

    def counters(self, mappings):
        """See miniigd.firewall."""
        return [(0, 0) for _ in mappings]

    def _fail(self):
        if self.failure is not None:
            raise self.failure
