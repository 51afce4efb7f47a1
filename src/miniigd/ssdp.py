"""SSDP on the wire (UDA 1.0 and 1.1 section 1): read searches, write their answers and the announcements.

Owns the message formats, and what one source may have answered. No sockets, no timers; `now_ms` is an argument.

    responder = Responder(device.targets(), {1: "http://192.168.1.1:5000/rootDesc.xml"}, 1800, Boot(1, 1), GROUP)
    for datagram in responder.answers(datagram, peer, now_ms): send(datagram, peer)
    for datagram in responder.notify(ALIVE): send(datagram, (GROUP, PORT))
"""

from .compat import const
from .http import SERVER, authority
from .rate import Sources

GROUP = "239.255.255.250"
GROUP_LINK = "ff02::c"  # UDA 1.1 annex A: for those who know our link-local address,
GROUP_SITE = "ff05::c"  # and for those who know another
PORT = const(1900)
MIN_MAX_AGE = const(1800)  # seconds that an announcement stands at least (UDA 1.0 1.1.2)
MAX_DATAGRAM = const(1500)  # bytes; a longer search is no search

# A search of 100 bytes can have 20 answers of 350: without a limit a forged sender's address would be flooded. A burst
# is four times everything we have, more than any client was seen to ask for at its start.
_BURST = const(96)  # answers to one source
_ANSWERS_PER_SECOND = const(24)  # that a source regains
# An answer waits a moment. sbbi upnplib sends from one socket and hears on another that shares the port: until it has
# closed the first one, the kernel gives the answer to that. And clients send a search two or three times at once, by
# multicast and unicast: what comes again while the answer waits needs no other. What comes later does: nat-upnp asks
# anew from the same port for each call, milliseconds after the one before. Both work with 3 ms.
ANSWER_MS = const(3)
_SEARCHES = const(32)  # remembered to find duplicates
_MOST_KEPT, _LONGEST_KEPT = const(8), const(256)  # datagrams that are not read and answers not made anew, and their bytes

_ROOT = "upnp:rootdevice"
_SIGNATURE = 'OPT: "http://schemas.upnp.org/upnp/1/0/"; ns=01\r\n01-NLS: %d\r\n'
ALIVE, UPDATE, BYEBYE = "alive", "update", "byebye"


class Boot:
    """Which life of the device this is: BOOTID.UPNP.ORG (31 bits), CONFIGID.UPNP.ORG (24 bits), UDA 1.1 1.2.2."""

    def __init__(self, boot_id, config_id):
        self.boot_id = boot_id & 0x7FFFFFFF
        self.config_id = config_id & 0xFFFFFF

    @property
    def next_boot_id(self):
        """The number of the next life."""
        return self.boot_id + 1 & 0x7FFFFFFF


class Search:
    """An M-SEARCH for `target`."""

    def __init__(self, target):
        self.target = target


def parse(datagram):
    """Return the Search in `datagram`, or None; never raises, anything can arrive on this port.

    Real clients leave out MX and MAN, write MAN without quotes, put no space or many behind a colon and forget the
    empty line at the end: none of that matters to the answer.
    """
    if len(datagram) > MAX_DATAGRAM or datagram[:9].upper() != b"M-SEARCH ":
        return None
    target = None
    for line in datagram.split(b"\n")[1:]:
        name, _, value = line.partition(b":")
        name = name.strip().upper()
        if name == b"ST":
            target = value.strip()
        elif name == b"MAN" and value.strip().strip(b'"') != b"ssdp:discover":
            return None
    if not target:
        return None
    try:
        return Search(target.decode())
    except ValueError:
        return None


def _keep(kept, key, value):
    if len(kept) >= _MOST_KEPT:
        kept.clear()
    kept[key] = value


class Responder:
    """What the device says on one network.

    `targets` are the (search target, USN, version) of description.Device; `locations` the URL of each version's
    description there; `max_age` in seconds; `boot` (Boot) is shared by all networks; `group` is where it announces.
    `find_host(address)` names the host behind an address, None where nobody knows (hosts.Hosts).
    """

    def __init__(self, targets, locations, max_age, boot, group=GROUP, find_host=None):
        self._group = group
        self._find_host = find_host or str
        self._targets = targets
        self._locations = locations
        self._max_age = max_age
        self._boot = boot
        self._searches = []  # (peer, target, ms) of late
        self._kept = {}  # datagram -> Search: programs send the same again and again
        self._prepared = {}  # target and boot id -> its answers, where there is one only
        self._sources = Sources(_BURST, _ANSWERS_PER_SECOND, "searches too often: not all of it is answered")

    def answers(self, datagram, peer, now_ms):
        """Return the datagrams that answer what came from `peer` (ip, port): one a target (UDA 1.0 1.2.3).

        They are to be sent ANSWER_MS later.
        """
        search = self._kept.get(datagram)
        if search is None:
            search = parse(datagram)
            if search is None:
                return []
            if len(datagram) <= _LONGEST_KEPT:
                _keep(self._kept, datagram, search)
        found = [entry for entry in self._targets if search.target in (entry[0], "ssdp:all")]
        if search.target == _ROOT:
            # Both devices are roots, but who is told of two takes them for two routers: he maps twice, or gives up.
            found = found[:1]
        if not found or self._is_duplicate(search, peer, now_ms) or not self._sources.allow(
                self._find_host(peer[0]), len(found), now_ms, peer[0]):
            return []
        key = (search.target, self._boot.boot_id)
        prepared = self._prepared.get(key)
        if prepared is None:
            prepared = [self._answer(target, usn, version) for target, usn, version in found]
            if len(prepared) == 1:
                _keep(self._prepared, key, prepared)
        return prepared

    def _is_duplicate(self, search, peer, now_ms):
        late = [one for one in self._searches if now_ms - one[2] < ANSWER_MS]
        for one in late:
            if one[0] == peer and one[1] == search.target:
                self._searches = late
                return True
        late.append((peer, search.target, now_ms))
        self._searches = late[-_SEARCHES:]
        return False

    def _answer(self, target, usn, version):
        boot = self._boot
        return ("HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=%d\r\nEXT:\r\nLOCATION: %s\r\nSERVER: %s\r\nST: %s\r\n"
                "USN: %s\r\n%sBOOTID.UPNP.ORG: %d\r\nCONFIGID.UPNP.ORG: %d\r\nContent-Length: 0\r\n\r\n"
                % (self._max_age, self._locations[version], SERVER, target, usn, self._signature(), boot.boot_id,
                   boot.config_id)).encode()

    def _signature(self):
        """Return the header lines that tell clients over IPv6 of another life (UDA 1.0 annex A), as BOOTID does."""
        return _SIGNATURE % self._boot.boot_id if ":" in self._group else ""

    def notify(self, kind):
        """Yield the datagrams that announce the device and its services (ALIVE, UDA 1.1 1.2.2).

        BYEBYE takes the announcements back (1.2.3), UPDATE says that the next life begins (1.2.4): the caller begins it
        then.
        """
        # The same for each of them, so made once.
        boot = self._boot
        before = "NOTIFY * HTTP/1.1\r\nHOST: %s\r\n" % authority(self._group.upper(), PORT)
        middle = "\r\nNTS: ssdp:%s\r\n" % kind
        if kind == ALIVE:
            before += "CACHE-CONTROL: max-age=%d\r\n" % self._max_age
            middle += "SERVER: %s\r\n" % SERVER
        after = "\r\n%sBOOTID.UPNP.ORG: %d\r\nCONFIGID.UPNP.ORG: %d\r\n%s\r\n" % (
            self._signature(), boot.boot_id, boot.config_id,
            "NEXTBOOTID.UPNP.ORG: %d\r\n" % boot.next_boot_id if kind == UPDATE else "")
        starts = {version: before + ("" if kind == BYEBYE else "LOCATION: %s\r\n" % location) + "NT: "
                  for version, location in self._locations.items()}
        for target, usn, version in self._targets:
            yield "".join((starts[version], target, middle, "USN: ", usn, after)).encode()
