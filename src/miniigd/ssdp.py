"""SSDP on the wire (UDA 1.0 section 1): read searches, write their answers and the announcements.

Owns the message formats. No sockets, no clock, no timers.

    search = parse(datagram)                    # a Search, or None for traffic that is not ours
    for target, usn, version in matches(search, targets):
        send(answer(target, usn, location, max_age))
"""

from .compat import const
from .http import SERVER

GROUP = "239.255.255.250"
PORT = const(1900)
MIN_MAX_AGE = const(1800)  # seconds that an announcement stands at least (UDA 1.0 1.1.2)
MAX_DATAGRAM = const(1500)  # bytes; a longer search is no search


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


def matches(search, targets):
    """Return those of the (target, USN, ...) that answer the search: all for ssdp:all, else what is asked for."""
    if search.target == "ssdp:all":
        return targets
    return [entry for entry in targets if entry[0] == search.target]


def answer(target, usn, location, max_age):
    """Return the datagram that answers a search (UDA 1.0 1.2.3)."""
    return ("HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=%d\r\nEXT:\r\nLOCATION: %s\r\nSERVER: %s\r\nST: %s\r\n"
            "USN: %s\r\nContent-Length: 0\r\n\r\n" % (max_age, location, SERVER, target, usn)).encode()


def alive(target, usn, location, max_age):
    """Return the datagram that announces a device or service (UDA 1.0 1.1.2)."""
    return ("NOTIFY * HTTP/1.1\r\nHOST: %s:%d\r\nCACHE-CONTROL: max-age=%d\r\nLOCATION: %s\r\nNT: %s\r\n"
            "NTS: ssdp:alive\r\nSERVER: %s\r\nUSN: %s\r\n\r\n"
            % (GROUP, PORT, max_age, location, target, SERVER, usn)).encode()


def byebye(target, usn):
    """Return the datagram that takes an announcement back (UDA 1.0 1.1.3)."""
    return ("NOTIFY * HTTP/1.1\r\nHOST: %s:%d\r\nNT: %s\r\nNTS: ssdp:byebye\r\nUSN: %s\r\n\r\n"
            % (GROUP, PORT, target, usn)).encode()
