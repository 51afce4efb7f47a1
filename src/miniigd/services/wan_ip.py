"""WANIPConnection:1: the external address and the port mappings (section numbers are that document's)."""

from ..errors import UPnPError
from . import Action, Service, Variable


def get_status_info(context, arguments):
    """Return (ConnectionStatus, LastConnectionError, Uptime): 2.4.10."""
    wan = context.gateway.wan
    return ("Connected" if wan.address else "Disconnected", "ERROR_NONE", wan.uptime(context.now))


def get_nat_rsip_status(context, arguments):
    """Return (RSIPAvailable, NATEnabled): 2.4.15. goupnp's users reject a gateway that does not say 0, 1."""
    return (False, True)


def get_connection_type_info(context, arguments):
    """Return (ConnectionType, PossibleConnectionTypes): 2.4.2."""
    return ("IP_Routed", "IP_Routed")


def get_external_ip_address(context, arguments):
    """Return (ExternalIPAddress,): 2.4.19; empty while there is none."""
    return (context.gateway.wan.address or "",)


def add_port_mapping(context, arguments):
    """Open a port or renew a mapping: 2.4.17; 402, 501, 606, 716, 718, 728."""
    (_, external_port, protocol, internal_port, internal_client, enabled, description, lease_duration) = arguments
    if external_port == 0:
        raise UPnPError(716)
    if internal_port == 0:
        raise UPnPError(402)
    context.gateway.add(context.caller, context.now, _remote_host(context, arguments), external_port, protocol,
                        internal_port, internal_client or context.caller, enabled, description, lease_duration)
    return ()


def delete_port_mapping(context, arguments):
    """Close a port: 2.4.18; 402, 501, 606, 714."""
    context.gateway.delete(context.caller, _remote_host(context, arguments), arguments[1], arguments[2])
    return ()


def get_generic_port_mapping_entry(context, arguments):
    """Return the mapping at an index: 2.4.13; 402, 713 behind the last."""
    mapping = context.gateway.table.at(arguments[0])
    return (mapping.remote_host, mapping.external_port, mapping.protocol) + _details(mapping, context.now)


def get_specific_port_mapping_entry(context, arguments):
    """Return the details of a mapping: 2.4.14; 402, 714."""
    mapping = context.gateway.table.find(_remote_host(context, arguments), arguments[1], arguments[2])
    if mapping is None:
        raise UPnPError(714)
    return _details(mapping, context.now)


def _remote_host(context, arguments):
    """Return the remote host of a call. Our own external address stands for any: upnp-port-forward sends that."""
    return "" if arguments[0] == context.gateway.wan.address else arguments[0]


def _details(mapping, now):
    return (mapping.internal_port, mapping.internal_client, mapping.enabled, mapping.description,
            mapping.remaining(now))


_IDENTITY = (
    ("NewRemoteHost", "RemoteHost"),
    ("NewExternalPort", "ExternalPort"),
    ("NewProtocol", "PortMappingProtocol"),
)
_DETAILS = (
    ("NewInternalPort", "InternalPort"),
    ("NewInternalClient", "InternalClient"),
    ("NewEnabled", "PortMappingEnabled"),
    ("NewPortMappingDescription", "PortMappingDescription"),
    ("NewLeaseDuration", "PortMappingLeaseDuration"),
)

SERVICE = Service(
    "WANIPConnection:1", "WANIPConn1",
    (
        Variable("ConnectionType", "string"),
        Variable("PossibleConnectionTypes", "string", True,
                 ("Unconfigured", "IP_Routed", "IP_Bridged")),
        Variable("ConnectionStatus", "string", True,
                 ("Unconfigured", "Connecting", "Connected", "PendingDisconnect", "Disconnecting", "Disconnected")),
        Variable("Uptime", "ui4"),
        Variable("LastConnectionError", "string", False, ("ERROR_NONE",)),
        Variable("RSIPAvailable", "boolean"),
        Variable("NATEnabled", "boolean"),
        Variable("ExternalIPAddress", "string", True),
        Variable("PortMappingNumberOfEntries", "ui2", True),
        Variable("PortMappingEnabled", "boolean"),
        Variable("PortMappingLeaseDuration", "ui4"),
        Variable("RemoteHost", "string"),
        Variable("ExternalPort", "ui2"),
        Variable("InternalPort", "ui2"),
        Variable("PortMappingProtocol", "string", False, ("TCP", "UDP")),
        Variable("InternalClient", "string"),
        Variable("PortMappingDescription", "string"),
    ),
    (
        Action("GetConnectionTypeInfo", get_connection_type_info, (), (
            ("NewConnectionType", "ConnectionType"),
            ("NewPossibleConnectionTypes", "PossibleConnectionTypes"))),
        Action("GetStatusInfo", get_status_info, (), (
            ("NewConnectionStatus", "ConnectionStatus"),
            ("NewLastConnectionError", "LastConnectionError"),
            ("NewUptime", "Uptime"))),
        Action("GetNATRSIPStatus", get_nat_rsip_status, (), (
            ("NewRSIPAvailable", "RSIPAvailable"),
            ("NewNATEnabled", "NATEnabled"))),
        Action("GetGenericPortMappingEntry", get_generic_port_mapping_entry,
               (("NewPortMappingIndex", "PortMappingNumberOfEntries"),), _IDENTITY + _DETAILS),
        Action("GetSpecificPortMappingEntry", get_specific_port_mapping_entry, _IDENTITY, _DETAILS),
        Action("AddPortMapping", add_port_mapping, _IDENTITY + _DETAILS),
        Action("DeletePortMapping", delete_port_mapping, _IDENTITY),
        Action("GetExternalIPAddress", get_external_ip_address, (), (
            ("NewExternalIPAddress", "ExternalIPAddress"),)),
    ),
)
