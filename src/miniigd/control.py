"""What is behind each path of the HTTP server: documents and control (UDA 1.0 sections 2 and 3).

Turns a request into the bytes of an answer. No sockets; the caller's address and `now` come with the request.
"""

from . import description, log, soap
from .errors import UPnPError
from .http import HTTPError, error_reply, reply
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
            if request.method in ("GET", "HEAD"):
                return reply(200, self._document(request.path), request=request)
            if request.method == "POST":
                return self._call(request, caller, now)
            self._refuse_method(request)
        except HTTPError as error:
            return error_reply(error, request)

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
                raise HTTPError(405, "Allow: POST\r\n")
        raise HTTPError(404)

    def _refuse_method(self, request):
        if request.method not in ("PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"):
            raise HTTPError(501)
        self._document(request.path)  # 404, or 405 of a control URL
        raise HTTPError(405, "Allow: GET, HEAD\r\n")

    def _call(self, request, caller, now):
        for service in description.services():
            if request.path == service.control_url:
                break
        else:
            self._document(request.path)
            raise HTTPError(405, "Allow: GET, HEAD\r\n")
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
            return reply(500, soap.fault(error.code), request=request)
        return reply(200, soap.response(service, action, values), request=request)
