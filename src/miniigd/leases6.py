"""The lines of the lease file of IPv6 pinholes: leases.LeaseFile with another form.

Eight fields, as miniupnpd writes them,

    TCP;2001:db8::2;8000;;0;4711;1798000000;what PCP keeps there

protocol, internal client and port, remote host ("" for any) and port (0 for any), unique id, the second at which the
lease ends on the clock that people read, description.
"""

from .addresses import ip6_bytes, ip6_text
from .leases import MAX_LINE, number
from .mapping import PROTOCOLS

CLOCK_PATH = "/var/run/miniigd.clock6"


class Lease:
    """A line of the file; `remaining` in seconds, negative when it has ended."""

    def __init__(self, protocol, internal_client, internal_port, remote_host, remote_port, unique_id, remaining,
                 description):
        self.protocol = protocol
        self.internal_client = internal_client
        self.internal_port = internal_port
        self.remote_host = remote_host
        self.remote_port = remote_port
        self.unique_id = unique_id
        self.remaining = remaining
        self.description = description


def line(pinhole, offset):
    """Return the line of a Pinhole, `offset` being the wall clock less the loop's."""
    return "%s;%s;%d;%s;%d;%d;%d;%s\n" % (
        pinhole.protocol, pinhole.internal_client, pinhole.internal_port, pinhole.remote_host, pinhole.remote_port,
        pinhole.unique_id, pinhole.expires + offset, pinhole.description)


def parse(data, wall):
    """Return the Lease of a line (bytes), or None; `wall` is the wall clock that the line's time means."""
    if len(data) > MAX_LINE:
        return None
    try:
        fields = data.rstrip(b"\r\n").decode().split(";", 7)
        protocol, client, internal_port, remote_host, remote_port, unique_id, end, description = fields
        ports = [number(text, 65535) for text in (internal_port, remote_port, unique_id)]
        end = number(end, 99999999999)
        client = ip6_text(ip6_bytes(client))
        remote_host = ip6_text(ip6_bytes(remote_host)) if remote_host not in ("", "*") else ""
    except ValueError:
        return None
    if protocol not in PROTOCOLS or not ports[0] or not ports[2]:
        return None
    return Lease(protocol, client, ports[0], remote_host, ports[1], ports[2], end - wall or -1, description)


FORM = (line, parse)
