"""SOAP as UPnP uses it (UDA 1.0 section 3): read a call, bind its arguments, write an answer or a fault.

Owns the wire form of actions and of the UPnP data types. No sockets, no clock, no knowledge of any service.

    name = parse_action(header)             # "AddPortMapping"
    calls = Calls(name)                     # of one client, best
    arguments = calls.bind(service, action, body)  # typed, in the table's order
    body = response(spoken_type(header, service), action, action.function(context, arguments))

Raises UPnPError; any other exception is a bug.
"""

from .addresses import ip4_bytes, ip6_bytes, ip6_text
from .compat import const
from .errors import UPnPError
from .errors import text_of as text_of_error
from .log import PRINTABLE
from .xml import Document, Reader, XMLError, escape, unescape

_MAX_ARGUMENTS = const(16)  # in a call; the longest list of the standard has 8
_MAX_DESCRIPTION = const(63)  # bytes; miniupnpc's buffer for it has 64
_MAX_DIGITS = const(10)  # of a ui4
_MAX_BEGINNING = const(640)  # bytes of a call that are remembered; also of its start tags

QUERY = "QueryStateVariable"  # not an action of any service: the protocol's own

_NAME_CHARACTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
_HEAD = ('<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
         's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>')
_TAIL = "</s:Body></s:Envelope>\r\n"


def parse_action(header):
    """Return the action's name in a SOAPAction header, quoted or not; None when there is none.

    The service's type before the # is not looked at: clients are known to send the wrong version there.
    """
    _, mark, name = header.strip(b'" \t').rpartition(b"#")
    return name.decode() if mark and is_name(name) else None


def spoken_type(header, service):
    """Return the service type that the answer is in: what the SOAPAction header names, if that is ours.

    Some clients call a service of version 2 as version 1, and look for that in the answer.
    """
    called = header.strip(b'" \t').partition(b"#")[0]
    own = service.type.encode()
    return called.decode() if called[:-1] == own[:-1] and b"1" <= called[-1:] <= own[-1:] else service.type


def is_name(name):
    """True for what can be the name of an action: ASCII letters, digits and _, not too many."""
    # What is left of the name when all of these are gone from its ends is what begins with another.
    return 0 < len(name) <= 64 and not name.strip(_NAME_CHARACTERS)


class Calls:
    """Reads calls of the action `name`. A client's calls begin alike: what was read once is not read again."""

    def __init__(self, name):
        self._name = name.encode()
        self._beginning = None  # the last call to the end of its action's start tag
        self._bare = None  # the last call without arguments

    def read(self, body):
        """Return the arguments of the call in `body`: names and values as bytes, escaped as they came.

        Takes any prefix, order and attributes, and raw < and & inside of values (clients send those unescaped).
        UPnPError 402 when it cannot be read, 401 when another action is called in it.
        """
        if body == self._bare:
            return {}
        try:
            if self._beginning is not None and body.startswith(self._beginning):
                reader = Reader(body[len(self._beginning):], True)
            else:
                reader = Reader(body)
                self._find(reader)
                place = reader.place
                self._beginning = body[:place] if place <= _MAX_BEGINNING and not reader.is_empty else None
            found = {} if reader.is_empty else reader.elements(_MAX_ARGUMENTS)
        except XMLError as error:
            raise UPnPError(402, error.args[0])
        if not found and len(body) <= _MAX_BEGINNING:
            self._bare = body
        return found

    def bind(self, service, action, body):
        """Return the typed values of the call in `body`, in the order of the action's table; UPnPError 401, 402, 601."""
        beginning = self._beginning
        if action.shape is not None and beginning is not None and body.startswith(beginning):
            values = _bind_alike(action.shape, body[len(beginning):])
            if values is not None:
                return values
        values = bind(service, action, self.read(body))
        if values and self._beginning is not None:
            action.shape = _shape(action.readers, body[len(self._beginning):]) or action.shape
        return values

    def _find(self, reader):
        """Go on to the start tag of the action."""
        if reader.open() != b"Envelope":
            raise XMLError("no Envelope")
        name = reader.open()
        if name == b"Header":
            reader.text()
            name = reader.open()
        if name != b"Body":
            raise XMLError("no Body")
        name = reader.open()
        if name is None:
            raise XMLError("empty Body")
        if name != self._name:
            raise UPnPError(401, "header and body name different actions")


def _shape(readers, elements):
    """Return how a client writes the arguments of an action, or None where that is not the plain way.

    That is (start tag, end tag, index in the action's table, reader) of each, the tags as they stand behind a <.
    """
    names = [name for name, _ in readers]
    pieces = elements.split(b"<", 2 * len(names) + 1)
    shape = []
    for position in range(1, min(2 * len(names), len(pieces) - 2), 2):
        tag = pieces[position].partition(b">")[0]
        name = tag[tag.find(b":") + 1:]
        if name not in names or pieces[position + 1] != b"/" + tag + b">":
            return None
        index = names.index(name)
        shape.append((tag + b">", b"/" + tag + b">", index, readers[index][1]))
    if len(set([one[2] for one in shape])) != len(names) or sum([len(one[0]) for one in shape]) > _MAX_BEGINNING:
        return None
    return shape


def _bind_alike(shape, elements):
    """Return the typed values of arguments that have this shape; None where they have not, or one is wrong."""
    pieces = elements.split(b"<", 2 * len(shape) + 1)
    if len(pieces) != 2 * len(shape) + 2 or not pieces[-1].startswith(b"/"):
        return None
    values = [None] * len(shape)
    position = 1
    try:
        for start, end, index, reader in shape:
            value = pieces[position]
            if not value.startswith(start) or pieces[position + 1] != end:
                return None
            value = value[len(start):]
            values[index] = reader(unescape(value) if b"&" in value else value)
            position += 2
    except UPnPError:
        return None
    return values


def bind(service, action, raw):
    """Return the typed values of `raw` in the order of the action's table; UPnPError 402 or 601."""
    if action.readers is None:
        action.readers = [_reader(service, name, variable) for name, variable in action.arguments_in]
    values = []
    for name, reader in action.readers:
        value = raw.get(name)
        if value is None and name not in _OPTIONAL:
            raise UPnPError(402, "%s is missing" % name.decode())
        if value and b"&" in value:
            value = unescape(value)
        values.append(reader(value or b""))
    return values


def _reader(service, name, variable):
    """Return (the argument's name as bytes, the function that reads its value)."""
    return name.encode(), _READERS.get(name) or _READ_TYPE[service.find_variable(variable).data_type]


# Left out by clients in the wild (KTorrent): read as if it were empty.
_OPTIONAL = (b"NewRemoteHost",)


def _read_ui2(value):
    return int(value) if value.isdigit() and len(value) < 5 else _read_number(value, 65535)


def _read_ui4(value):
    return _read_number(value, 4294967295)


def _read_number(value, largest):
    if not value.isdigit():
        value = value.strip()
        if not value:
            return 0  # some clients send an empty element for 0
    if len(value) > _MAX_DIGITS or not value.isdigit() or int(value) > largest:
        raise UPnPError(402, "a number is out of range")
    return int(value)


def _read_boolean(value):
    value = value.strip().lower()
    if value in (b"1", b"true", b"yes", b""):
        return True
    if value in (b"0", b"false", b"no"):
        return False
    raise UPnPError(402, "a boolean is neither 0 nor 1")


def _read_string(value):
    try:
        return value.decode()
    except ValueError:
        raise UPnPError(402, "a string is not UTF-8")


_READ_TYPE = {"ui2": _read_ui2, "ui4": _read_ui4, "boolean": _read_boolean, "string": _read_string}


def _read_remote_host(value):
    """Any host is "", and what clients send when they mean it; else a dotted quad."""
    value = value.strip()
    if value in (b"", b"*", b"0.0.0.0", b"undefined"):
        return ""
    return _read_ip4(value)


def _read_internal_client(value):
    """A dotted quad; empty stands for the caller. Names are not looked up: that would stall the router.

    So does the broadcast address, which games of the DirectPlay family send: nobody opens a port to all hosts.
    """
    value = value.strip()
    return _read_ip4(value) if value not in (b"", b"255.255.255.255") else ""


def _read_ip4(value):
    try:
        text = value.decode()
        parts = ip4_bytes(text)
    except ValueError:
        raise UPnPError(402, "not an IPv4 address")
    return "%d.%d.%d.%d" % (parts[0], parts[1], parts[2], parts[3])


def _read_host6(value):
    """An IPv6 address in its one form; "" for any."""
    value = value.strip()
    if value in (b"", b"*", b"::"):
        return ""
    try:
        return ip6_text(ip6_bytes(value.decode()))
    except ValueError:
        raise UPnPError(402, "not an IPv6 address")


def _read_external_port(value):
    """A number; the wildcard is 0 (WANIPConnection:2 2.3.18), some write it as *."""
    return 0 if value.strip() == b"*" else _read_ui2(value)


def _read_protocol(value):
    value = value.strip().upper()
    if value == b"TCP":
        return "TCP"
    if value == b"UDP":
        return "UDP"
    raise UPnPError(601, "the protocol is neither TCP nor UDP")


def _read_description(value):
    """Text without control characters, whole characters of at most 63 bytes; it may end up in files and rules."""
    value = value[:_MAX_DESCRIPTION]
    while value:
        try:
            text = value.decode()
            break
        except ValueError:
            if len(value) < _MAX_DESCRIPTION - 3:
                return "".join([chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in value])
            value = value[:-1]  # cut in the middle of a character
    else:
        return ""
    if not value.strip(PRINTABLE):  # nothing else is in it
        return text
    return "".join([c if _is_printed(c) else " " for c in text])


def _is_printed(character):
    """True for what XML allows and a terminal prints; MicroPython also decodes what is no character, or overlong."""
    code = ord(character)
    return (0x20 <= code < 0xD800 and code != 0x7F or 0xE000 <= code < 0xFFFE or 0x10000 <= code < 0x110000
            ) and chr(code) == character


_READERS = {
    "NewRemoteHost": _read_remote_host,
    "NewExternalPort": _read_external_port,
    "NewProtocol": _read_protocol,
    "NewInternalClient": _read_internal_client,
    "NewPortMappingDescription": _read_description,
    "RemoteHost": _read_host6,  # WANIPv6FirewallControl's have no New
    "InternalClient": _read_host6,
}


def response(service_type, action, values):
    """Return the body (bytes) that answers a call: `values` in the order of the action's table."""
    form = action.forms.get(service_type)
    if form is None:
        form = action.forms[service_type] = _form(service_type, action)
    if not values:
        return form[0]
    parts = [form[0]]
    for index, value in enumerate(values):
        parts.append(text_of(value).encode())
        parts.append(form[index + 1])
    return b"".join(parts)


def _form(service_type, action):
    """Return what is always the same in the answers of an action: the bytes before, between and behind its values."""
    form, text = [], _HEAD + "<u:" + action.name + 'Response xmlns:u="' + service_type + '">'
    for name, _ in action.arguments_out:
        form.append((text + "<" + name + ">").encode())
        text = "</" + name + ">"
    form.append((text + "</u:" + action.name + "Response>" + _TAIL).encode())
    return form


def text_of(value):
    """Return a value as it stands in an element."""
    if value is True or value is False:
        return "1" if value else "0"
    if isinstance(value, Document):
        return "<![CDATA[" + value.text + "]]>"
    return str(value) if isinstance(value, int) else escape(value)


def query_response(value):
    """Return the body (bytes) that answers QueryStateVariable (UDA 1.0 3.3.2)."""
    return "".join((
        _HEAD, '<u:QueryStateVariableResponse xmlns:u="urn:schemas-upnp-org:control-1-0"><return>', text_of(value),
        "</return></u:QueryStateVariableResponse>", _TAIL)).encode()


def fault(code, service_id=""):
    """Return the body (bytes) that refuses a call of a service with a UPnP error code (UDA 1.0 3.2.2)."""
    return "".join((
        _HEAD, "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>"
        '<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>', str(code), "</errorCode><errorDescription>",
        text_of_error(code, service_id), "</errorDescription></UPnPError></detail></s:Fault>", _TAIL)).encode()
