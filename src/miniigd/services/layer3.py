"""Layer3Forwarding:1: which connection service is the default one. There is one."""

from . import Action, Service, Variable


def get_default_connection_service(context, arguments):
    """Return (DefaultConnectionService,): 2.2.1, the UDN of the connection device and the id of its service."""
    return (context.gateway.default_connection_service,)


SERVICE = Service(
    "Layer3Forwarding:1", "L3Forwarding1",
    (
        Variable("DefaultConnectionService", "string", True),
    ),
    (
        Action("GetDefaultConnectionService", get_default_connection_service, (), (
            ("NewDefaultConnectionService", "DefaultConnectionService"),)),
    ),
)
