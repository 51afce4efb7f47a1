"""Layer3Forwarding:1: which connection service is the default one. There is one in each generation of the device."""

from ..errors import UPnPError
from . import Action, Service, Variable


def default_connection_service(context):
    """Return the state variable DefaultConnectionService: 2.2.1, the UDN of the connection device and a service id."""
    return context.gateway.default_connection_services[context.version]


def get_default_connection_service(context, arguments):
    """Return (DefaultConnectionService,): 2.4.2."""
    return (default_connection_service(context),)


def set_default_connection_service(context, arguments):
    """Take the one that is the default already; refuse another: 2.4.1; 402, 720, 721."""
    device, comma, service_id = arguments[0].partition(",")
    own_device, _, own_service_id = default_connection_service(context).partition(",")
    if not comma:
        raise UPnPError(402)
    if device != own_device:
        raise UPnPError(720)
    if service_id != own_service_id:
        raise UPnPError(721)
    return ()


SERVICE = Service(
    "Layer3Forwarding:1", "L3Forwarding1",
    (
        Variable("DefaultConnectionService", "string", default_connection_service, True),
    ),
    (
        Action("SetDefaultConnectionService", set_default_connection_service, (
            ("NewDefaultConnectionService", "DefaultConnectionService"),)),
        Action("GetDefaultConnectionService", get_default_connection_service, (), (
            ("NewDefaultConnectionService", "DefaultConnectionService"),)),
    ),
)
