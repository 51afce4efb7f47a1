"""A firewall that opens nothing: for tests and for trying the daemon without privileges."""

from ..mapping import MAX_MAPPINGS
from ..pinhole import MAX_PINHOLES


class MemoryFirewall:
    """Remembers what would be open: `open_mappings` and `open_pinholes`, each with the seconds it was opened for."""

    name = "memory"
    is_polled = False
    most_mappings = MAX_MAPPINGS
    most_pinholes = MAX_PINHOLES

    def __init__(self):
        self.open_mappings = []
        self.open_pinholes = []
        self.pinhole_refusal = ""
        self.packets = 0  # what every pinhole counts
        self.failure = None  # raised by the next changes when set

    def open(self, wan):
        """See miniigd.firewall."""

    def prepare(self):
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

    remove_ended = remove

    def add_pinhole(self, pinhole, seconds, is_renewed):
        """See miniigd.firewall."""
        self._fail()
        self.open_pinholes = [entry for entry in self.open_pinholes if entry[0] is not pinhole] + [(pinhole, seconds)]

    def remove_pinholes(self, pinholes):
        """See miniigd.firewall."""
        self._fail()
        self.open_pinholes = [entry for entry in self.open_pinholes if entry[0] not in pinholes]

    remove_ended_pinholes = remove_pinholes

    def sync(self, mappings, now, pinholes=()):
        """See miniigd.firewall."""
        self._fail()
        self.open_mappings = [(mapping, mapping.expires - now) for mapping in mappings]
        self.open_pinholes = [(pinhole, pinhole.expires - now) for pinhole in pinholes]

    def close(self):
        """See miniigd.firewall."""
        self.open_mappings = []
        self.open_pinholes = []

    def is_intact(self, mappings, pinholes=()):
        """See miniigd.firewall."""
        return [entry[0] for entry in self.open_mappings] == mappings and (
            set([entry[0].unique_id for entry in self.open_pinholes]) == set([one.unique_id for one in pinholes]))

    def counters(self, mappings):
        """See miniigd.firewall."""
        return [(0, 0) for _ in mappings]

    def pinhole_counters(self, pinholes):
        """See miniigd.firewall."""
        return [(self.packets, 60 * self.packets) for _ in pinholes]

    def _fail(self):
        if self.failure is not None:
            raise self.failure
