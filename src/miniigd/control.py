"""What is behind each path of the HTTP server: documents and control (UDA 1.0 sections 2 and 3).

Turns a request into the bytes of an answer. No sockets; the caller's address and `now` come with the request.
"""

from . import log, scpd, soap
from .addresses import ip_bytes
from .description import CONTROL, DESCRIPTION, EVENT, SCPD
from .errors import UPnPError, code_of_version
from .http import HTTPError, error_reply, reply, reply_pieces, split_authority
from .services import Context

_METHODS = {
    DESCRIPTION: ("GET", "HEAD"),
    SCPD: ("GET", "HEAD"),
    CONTROL: ("POST",),
    EVENT: ("SUBSCRIBE", "UNSUBSCRIBE"),
}
_OTHER_METHODS = ("PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH")

# Who stops at a document that says :2 anywhere gets version 1 wherever it looks: Windows' own and the Xbox's clients.
# Windows' list of mappings also leaves out those whose lease has an end, so they are told of none.
_VERSION_1_AGENTS = (b"microsoft", b"fdssdp", b"xbox")


def _is_version_1_agent(request):
    agent = (request.header(b"user-agent") or b"").lower()
    for name in _VERSION_1_AGENTS:
        if name in agent:
            return True
    return False


class Control:
    """The HTTP side of the `device` (description.Device) on one `interface`; `events` (Events) takes subscriptions."""

    def __init__(self, gateway, device, events, interface):
        self._gateway = gateway
        self._device = device
        self._events = events
        self._interface = interface

    def respond(self, request, caller, now):
        """Return the pieces (bytes) of the answer to `request` from the host `caller`."""
        try:
            own = self._own_host(request)
            found = self._device.find(request.path)
            if found is None:
                raise HTTPError(404)
            kind, version, service = found
            if kind == EVENT and request.method == "POST" and request.header(b"soapaction") is not None:
                kind = CONTROL  # KTorrent asks for the external address there
            if request.method not in _METHODS[kind]:
                self._refuse_method(request.method, kind)
            if kind == CONTROL:
                context = Context(self._gateway, caller, now, version, not _is_version_1_agent(request))
                return (self._call(request, context, service),)
            if kind == EVENT:
                return (self._events.respond(request, caller, version, service),)
            return reply_pieces(200, self._document(request, version, service, own), request=request)
        except HTTPError as error:
            return (error_reply(error, request),)

    def _own_host(self, request):
        """Return our address as the client has it in its Host header, else the first; HTTPError 403 for another's.

        A web page can make a browser post to a name that leads here (DNS rebinding); a UPnP client uses the address
        that it was told.
        """
        header = request.header(b"host")
        if header is None:
            return self._interface.address or "".join(self._interface.served6[-1:])
        try:
            host = split_authority(header)[0].decode()
            if self._interface.has_address(ip_bytes(host)):
                return host
        except ValueError:
            pass
        raise HTTPError(403)

    def _refuse_method(self, method, kind):
        for methods in _METHODS.values():
            if method in methods or method in _OTHER_METHODS:
                raise HTTPError(405, "Allow: %s\r\n" % ", ".join(_METHODS[kind]))
        raise HTTPError(501)

    def _document(self, request, version, service, own):
        if _is_version_1_agent(request):
            version = 1
        if service is None:
            return self._device.document(version, ("http://[%s]/" if ":" in own else "http://%s/") % own)
        return scpd.document(self._device.find_service(version, service.short_id))

    def _call(self, request, context, service):
        header = request.header(b"soapaction") or b""
        name = soap.parse_action(header)
        if name is None:
            raise HTTPError(400)  # also keeps simple cross-site posts of a browser out
        try:
            if name == soap.QUERY:
                return reply(200, self._query(request, context, service), request=request)
            action = service.find_action(name)
            if action is None:
                raise UPnPError(401, name)
            arguments = soap.bind(service, action, soap.parse_call(request.body, name))
            values = action.function(context, arguments)
        except UPnPError as error:
            code = code_of_version(error.code, name, context.version)
            if error.code == 402:  # what is too long, too deep or too much is: nobody else says so
                log.event("refused", context.caller, "%s to %s: %s" % (name, context.caller, error.reason))
            else:
                log.debug("%s for %s: %d %s" % (name, context.caller, code, error.reason))
            return reply(500, soap.fault(code, service.short_id), request=request)
        return reply(200, soap.response(soap.spoken_type(header, service), action, values), request=request)

    def _query(self, request, context, service):
        """Answer QueryStateVariable (UDA 1.0 3.3); 404 for what is no variable or only an argument's type."""
        name = soap.parse_call(request.body, soap.QUERY).get(b"varName", b"").strip()
        variable = service.find_variable(name.decode()) if soap.is_name(name) else None
        if variable is None or variable.value is None:
            raise UPnPError(404)
        return soap.query_response(variable.value(context))
