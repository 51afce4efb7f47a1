"""What is behind each path of the HTTP server: documents and control (UDA 1.0 sections 2 and 3).

Turns a request into the bytes of an answer. No sockets; the caller's address and `now` come with the request.
"""

from . import description, log, soap
from .errors import UPnPError
from .http import HTTPError, error_reply, reply_head
from .services import Context


class Control:
    """The HTTP side of the device on one LAN address."""

    def __init__(self, gateway, uuid, lan_address):
        self._gateway = gateway
        self._uuid = uuid
        self._lan_address = lan_address

    def respond(self, request, caller, now):
        """Return the whole answer (bytes) to `request` from the host `caller`."""
        try:
            self._check_host(request)
            if request.method == "POST":
                return self._call(request, caller, now)
            body = self._document(request.path)
            if request.method == "HEAD":
                return reply_head(200, len(body))
            if request.method != "GET":
                raise HTTPError(501)
            return reply_head(200, len(body)) + body
        except HTTPError as error:
            return error_reply(error.status)

    def _check_host(self, request):
        # A web page can make a browser post to a name that leads here (DNS rebinding); a UPnP client uses the
        # address that it was told.
        host = request.header(b"host")
        if host is not None and host.partition(b":")[0] != self._lan_address.encode():
            raise HTTPError(403)

    def _document(self, path):
        if path == description.DESCRIPTION_URL:
            return description.document(self._uuid, "http://%s/" % self._lan_address)
        for service in description.services():
            if path == service.scpd_url:
                return description.scpd(service)
            if path == service.control_url:
                raise HTTPError(405)
        raise HTTPError(404)

    def _call(self, request, caller, now):
        for service in description.services():
            if request.path == service.control_url:
                break
        else:
            raise HTTPError(404)
        name = soap.parse_action(request.header(b"soapaction") or b"")
        if name is None:
            raise HTTPError(400)  # also keeps simple cross-site posts of a browser out
        try:
            action = service.find_action(name)
            if action is None:
                raise UPnPError(401, name)
            arguments = soap.bind(service, action, soap.parse_call(request.body, name))
            values = action.function(Context(self._gateway, caller, now), arguments)
        except UPnPError as error:
            log.debug("%s for %s: %d %s" % (name, caller, error.code, error.reason))
            body = soap.fault(error.code)
            return reply_head(500, len(body)) + body
        body = soap.response(service, action, values)
        return reply_head(200, len(body)) + body
