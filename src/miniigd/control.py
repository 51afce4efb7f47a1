"""What is behind each path of the HTTP server: documents and control (UDA 1.0 sections 2 and 3).

Turns a request into the bytes of an answer. No sockets; the caller's address and `now` come with the request.
"""

from . import log, scpd, soap
from .addresses import ip_bytes
from .compat import const
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
_MAX_KEPT_REPLY = const(640)  # bytes
_OTHER_METHODS = ("PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH")

# Who stops at a document that says :2 anywhere gets version 1 wherever it looks: Windows' own and the Xbox's clients.
# Windows' list of mappings also leaves out those whose lease has an end, so they are told of none.
_VERSION_1_AGENTS = (b"microsoft", b"fdssdp", b"xbox")


def _is_version_1_agent(head):
    agent = (head.header(b"user-agent") or b"").lower()
    for name in _VERSION_1_AGENTS:
        if name in agent:
            return True
    return False


class _Plan:
    """What the head of a request alone says about its answer.

    `kind` is what is behind its path, `version` and `service` whose. `host` is what its Host header names as bytes, None
    without one; `own` the same as text.
    """

    def __init__(self, kind, version, service, own, host):
        self.kind = kind
        self.version = version
        self.service = service
        self.own = own
        self.host = host
        self.is_version_1_agent = False
        self.name = self.action = self.calls = self.spoken_type = None  # of a call: see _plan_call
        self.is_quiet = True  # what is asked changes nothing
        self.document = None  # once it was asked for
        self.values = self.reply = None  # of the last call, and the answer with them, where it ends the connection


class Control:
    """The HTTP side of the `device` (description.Device) on one `interface`; `events` (Events) takes subscriptions.

    The heads of requests that differ are not shared with another Control: what one has found out is kept in them.
    """

    def __init__(self, gateway, device, events, interface):
        self._gateway = gateway
        self._device = device
        self._events = events
        self._interface = interface

    def respond(self, request, caller, now):
        """Return the pieces (bytes) of the answer to `request` from the host `caller`; sets request.is_quiet."""
        try:
            plan = request.head.plan
            if plan is None:
                plan = request.head.plan = self._plan(request.head)
            elif plan.host is not None and not self._interface.has_address(plan.host):
                raise HTTPError(403)
            request.is_quiet = plan.is_quiet
            if plan.kind == CONTROL:
                return (self._call(request, caller, now, plan),)
            if plan.kind == EVENT:
                return (self._events.respond(request, caller, plan.version, plan.service),)
            return reply_pieces(200, self._document(plan), request=request)
        except HTTPError as error:
            return (error_reply(error, request),)

    def _plan(self, head):
        """Return the _Plan for requests with this head; HTTPError."""
        own, host = self._own_host(head)
        found = self._device.find(head.path)
        if found is None:
            raise HTTPError(404)
        kind, version, service = found
        if kind == EVENT and head.method == "POST" and head.header(b"soapaction") is not None:
            kind = CONTROL  # KTorrent asks for the external address there
        if head.method not in _METHODS[kind]:
            self._refuse_method(head.method, kind)
        plan = _Plan(kind, version, service, own, host)
        plan.is_version_1_agent = _is_version_1_agent(head)
        if kind == CONTROL:
            self._plan_call(plan, head.header(b"soapaction") or b"")
        elif kind == EVENT:
            plan.is_quiet = False
        return plan

    def _plan_call(self, plan, header):
        plan.name = soap.parse_action(header)
        if plan.name is None:
            raise HTTPError(400)  # also keeps simple cross-site posts of a browser out
        plan.calls = soap.Calls(plan.name)
        plan.action = plan.service.find_action(plan.name)
        plan.spoken_type = soap.spoken_type(header, plan.service)
        plan.is_quiet = plan.name == soap.QUERY or plan.name.startswith("Get")

    def _own_host(self, head):
        """Return our address as the client has it in its Host header, as text and as bytes; HTTPError 403 for another's.

        Without that header it is the first one, and None. A web page can make a browser post to a name that leads here
        (DNS rebinding); a UPnP client uses the address that it was told.
        """
        header = head.header(b"host")
        if header is None:
            return self._interface.address or "".join(self._interface.served6[-1:]), None
        try:
            text = split_authority(header)[0].decode()
            host = ip_bytes(text)
            if self._interface.has_address(host):
                return text, host
        except ValueError:
            pass
        raise HTTPError(403)

    def _refuse_method(self, method, kind):
        for methods in _METHODS.values():
            if method in methods or method in _OTHER_METHODS:
                raise HTTPError(405, "Allow: %s\r\n" % ", ".join(_METHODS[kind]))
        raise HTTPError(501)

    def _document(self, plan):
        if plan.document is None:
            version = 1 if plan.is_version_1_agent else plan.version
            if plan.service is None:
                own = plan.own
                plan.document = self._device.document(version, ("http://[%s]/" if ":" in own else "http://%s/") % own)
            else:
                plan.document = scpd.document(self._device.find_service(version, plan.service.short_id))
        return plan.document

    def _call(self, request, caller, now, plan):
        context = Context(self._gateway, caller, now, plan.version, not plan.is_version_1_agent)
        name, action, service = plan.name, plan.action, plan.service
        try:
            if name == soap.QUERY:
                return reply(200, self._query(request, context, plan), request=request)
            if action is None:
                raise UPnPError(401, name)
            values = action.function(context, plan.calls.bind(service, action, request.body))
        except UPnPError as error:
            code = code_of_version(error.code, name, context.version)
            if error.code == 402:  # what is too long, too deep or too much is: nobody else says so
                log.event("refused", context.caller, "%s to %s: %s" % (name, context.caller, error.reason))
            else:
                log.debug("%s for %s: %d %s" % (name, context.caller, code, error.reason))
            return reply(500, soap.fault(code, service.short_id), request=request)
        if values == plan.values and not request.is_persistent:
            return plan.reply
        answer = reply(200, soap.response(plan.spoken_type, action, values), request=request)
        if not request.is_persistent and len(answer) <= _MAX_KEPT_REPLY:
            plan.values, plan.reply = values, answer
        return answer

    def _query(self, request, context, plan):
        """Answer QueryStateVariable (UDA 1.0 3.3); 404 for what is no variable or only an argument's type."""
        name = plan.calls.read(request.body).get(b"varName", b"").strip()
        variable = plan.service.find_variable(name.decode()) if soap.is_name(name) else None
        if variable is None or variable.value is None:
            raise UPnPError(404)
        return soap.query_response(variable.value(context))
