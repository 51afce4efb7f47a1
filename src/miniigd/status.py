"""What `miniigd status` shows, as text for people and as JSON for programs; both come in small pieces.

The JSON's keys are UPnP's words in snake_case. It is plain ASCII, whatever a client called its mapping.
"""

from . import VERSION
from .log import printable


class State:
    """What is shown: the gateway, and what it does not know itself. `paused_for` in seconds, None: without end."""

    def __init__(self, gateway, now, subscribers, paused_for):
        self.gateway = gateway
        self.now = now
        self.subscribers = subscribers
        self.paused_for = paused_for
        # What is shown is what there was when it was asked for, however slowly it is read.
        self.mappings = list(gateway.table)
        self.pinholes = list(gateway.pinholes.table)


def duration(seconds):
    """Return a time as people write it: "6d 23:59:12", "0:09:58"."""
    days, hours, rest = seconds // 86400, seconds // 3600 % 24, (seconds // 60 % 60, seconds % 60)
    return ("%dd %02d" % (days, hours) if days else "%d" % hours) + ":%02d:%02d" % rest


def text(state, counters, pinhole_counters=()):
    """Yield the text (str).

    `counters` are (packets, bytes) of each mapping, None where nobody knows; `pinhole_counters` those of each pinhole.
    """
    gateway, now = state.gateway, state.now
    wan = gateway.wan
    yield "miniigd %s, running for %s, firewall: %s\n" % (VERSION, duration(now), gateway.firewall.name)
    if wan.address:
        yield "WAN %s: external address %s, uptime %s\n" % (wan.name, wan.address, duration(wan.uptime(now)))
    else:
        yield "WAN %s: no ports can be opened: %s\n" % (wan.name, wan_trouble(wan))
    if gateway.is_paused:
        yield "PAUSED %s: nothing opens\n" % (
            "until 'miniigd resume'" if state.paused_for is None else "for another " + duration(state.paused_for))
    yield "%d mappings, %d subscribers to events\n" % (len(state.mappings), state.subscribers)
    if state.mappings:
        yield _LINE % ("PROTO", "PORT", "INTERNAL CLIENT", "REMOTE HOST", "LEASE", "PACKETS", "BYTES", "DESCRIPTION")
    for index, mapping in enumerate(state.mappings):
        counts = counters[index] or ("-", "-")
        yield _LINE % (
            mapping.protocol, mapping.external_port, "%s:%d" % (mapping.internal_client, mapping.internal_port),
            mapping.remote_host or "any", _lease(mapping, now), counts[0], counts[1], printable(mapping.shown_description))
    if state.pinholes:
        yield "%d IPv6 pinholes\n" % len(state.pinholes)
        yield _PINHOLE % ("PROTO", "ID", "INTERNAL CLIENT", "REMOTE HOST", "LEASE", "PACKETS", "BYTES")
    for index, pinhole in enumerate(state.pinholes):
        counts = pinhole_counters[index] or ("-", "-")
        yield _PINHOLE % (
            pinhole.protocol, pinhole.unique_id, "[%s]:%d" % (pinhole.internal_client, pinhole.internal_port),
            _remote(pinhole), duration(pinhole.remaining(now)), counts[0], counts[1])


def _remote(pinhole):
    """Return the remote end of a pinhole; what PCP keeps as its description is a secret of the host's."""
    if not pinhole.remote_port:
        return pinhole.remote_host or "any"
    return "[%s]:%d" % (pinhole.remote_host, pinhole.remote_port) if pinhole.remote_host else (
        "any, port %d" % pinhole.remote_port)


_PINHOLE = "%-5s %5s  %-47s  %-39s  %12s  %9s  %12s\n"
_LINE = "%-5s %5s  %-21s  %-15s  %12s  %9s  %12s  %s\n"


def _lease(mapping, now):
    if not mapping.enabled:
        return "disabled"
    return duration(mapping.remaining(now)) if mapping.lease_duration else "no end"


def wan_trouble(wan):
    """Return why no port can be opened, in words."""
    return wan.refusal or ("it has no address" if wan.is_up else "it is down")


def json(state, counters, pinhole_counters=()):
    """Yield the same as one JSON document (str)."""
    gateway, now = state.gateway, state.now
    wan = gateway.wan
    yield '{"version":"%s","running_for":%d,"firewall":"%s",\n' % (VERSION, now, gateway.firewall.name)
    yield '"wan":{"interface":%s,"external_ip_address":%s,"uptime":%d,"refusal":%s},\n' % (
        quoted(wan.name), quoted(wan.address) if wan.address else "null", wan.uptime(now),
        "null" if wan.address else quoted(wan_trouble(wan)))
    yield '"paused":%s,"paused_for":%s,"subscribers":%d,\n' % (
        _boolean(gateway.is_paused), "null" if state.paused_for is None else "%d" % state.paused_for,
        state.subscribers)
    yield '"port_mapping_number_of_entries":%d,"port_mappings":[' % len(state.mappings)
    for index, mapping in enumerate(state.mappings):
        counts = counters[index] or ("null", "null")
        yield '%s\n{"remote_host":"%s","external_port":%d,"protocol":"%s","internal_port":%d,"internal_client":"%s",' % (
            "," if index else "", mapping.remote_host, mapping.external_port, mapping.protocol, mapping.internal_port,
            mapping.internal_client)
        yield '"enabled":%s,"description":%s,"lease_duration":%d,"expires_in":%d,"packets":%s,"bytes":%s}' % (
            _boolean(mapping.enabled), quoted(mapping.shown_description), mapping.remaining(now),
            max(0, mapping.expires - now), counts[0], counts[1])
    yield '\n],\n"pinhole_refusal":%s,"pinholes":[' % (
        quoted(gateway.pinholes.refusal) if gateway.pinholes.refusal else "null")
    for index, pinhole in enumerate(state.pinholes):
        counts = pinhole_counters[index] or ("null", "null")
        yield '%s\n{"unique_id":%d,"remote_host":"%s","remote_port":%d,"protocol":"%s","internal_client":"%s",' % (
            "," if index else "", pinhole.unique_id, pinhole.remote_host, pinhole.remote_port, pinhole.protocol,
            pinhole.internal_client)
        yield '"internal_port":%d,"lease_duration":%d,"expires_in":%d,"packets":%s,"bytes":%s}' % (
            pinhole.internal_port, pinhole.lease_duration, max(0, pinhole.expires - now), counts[0], counts[1])
    yield "\n]}\n"


def _boolean(value):
    return "true" if value else "false"


def quoted(text):
    """Return `text` as a JSON string of ASCII characters (RFC 8259 section 7)."""
    return '"%s"' % "".join([_escaped(character) for character in text])


def _escaped(character):
    code = ord(character)
    if character in '"\\':
        return "\\" + character
    if 0x20 <= code <= 0x7E:
        return character
    if code > 0xFFFF:  # two UTF-16 surrogates
        code -= 0x10000
        return "\\u%04x\\u%04x" % (0xD800 | code >> 10, 0xDC00 | code & 0x3FF)
    return "\\u%04x" % code
