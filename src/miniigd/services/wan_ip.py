"""WANIPConnection:1, and what WANIPConnection:2 and WANPPPConnection:1 have in common with it.

Section numbers are those of WANIPConnection:1 unless they say v2.
"""

from .. import log
from ..errors import UPnPError
from ..gateway import MAX_LEASE
from . import Action, Service, Variable


def connection_status(context):
    """Return the state variable ConnectionStatus: 2.2.3."""
    return "Connected" if context.gateway.wan.is_connected else "Disconnected"


def external_ip_address(context):
    """Return the state variable ExternalIPAddress: 2.2.17; empty while there is none that is of use."""
    return context.gateway.wan.address or ""


def uptime(context):
    """Return the state variable Uptime in seconds: 2.2.4."""
    return context.gateway.wan.uptime(context.now)


def number_of_entries(context):
    """Return the state variable PortMappingNumberOfEntries: 2.2.18."""
    return len(context.gateway.table)


def set_connection_type(types):
    """Return the action that takes the type that the connection has, and refuses the others of `types`.

    2.4.1; 402, 703 (v2: 731). The LAN cannot change it.
    """
    def action(context, arguments):
        if arguments[0] != "IP_Routed":
            raise UPnPError(402 if arguments[0] not in types else 703 if context.version == 1 else 731)
        return ()

    return action


def get_connection_type_info(context, arguments):
    """Return (ConnectionType, PossibleConnectionTypes): 2.4.2."""
    return ("IP_Routed", "IP_Routed")


def request_connection(context, arguments):
    """Nothing to do on a line that is up: 2.4.3; 704 while it is down, which the LAN cannot change."""
    if not context.gateway.wan.is_connected:
        raise UPnPError(704)
    return ()


def force_termination(context, arguments):
    """Refuse: no host of the LAN cuts the line of all the others: 2.4.5; 606."""
    raise UPnPError(606, "the line is not theirs to cut")


def get_status_info(context, arguments):
    """Return (ConnectionStatus, LastConnectionError, Uptime): 2.4.10."""
    return (connection_status(context), "ERROR_NONE", uptime(context))


def get_nat_rsip_status(context, arguments):
    """Return (RSIPAvailable, NATEnabled): 2.4.15. goupnp's users reject a gateway that does not say 0, 1."""
    return (False, True)


def get_external_ip_address(context, arguments):
    """Return (ExternalIPAddress,): 2.4.19."""
    return (external_ip_address(context),)


def add_port_mapping(context, arguments):
    """Open a port or renew a mapping: 2.4.17; 402, 501, 606, 716, 718, 728, 729, 732 (see errors for version 1)."""
    if arguments[1] == 0:
        raise UPnPError(716)
    add_mapping(context, arguments, arguments[1])
    return ()


def add_mapping(context, arguments, external_port):
    """Open `external_port` with the other arguments of AddPortMapping; also AddAnyPortMapping's (v2 2.5.20)."""
    _, _, protocol, internal_port, _, enabled, description, lease_duration = arguments
    if internal_port == 0:
        raise UPnPError(732)
    client = internal_client(context, arguments)
    if context.version == 2:
        lease_duration = min(lease_duration or MAX_LEASE, MAX_LEASE)  # v2 2.3.16: zero stands for the longest
    context.gateway.add(context.caller, context.now, remote_host(context, arguments), external_port, protocol,
                        internal_port, client, enabled, description, lease_duration)


def internal_client(context, arguments):
    """Return the internal client of a call: where none is named the caller; 606 when that has no IPv4 address."""
    client = arguments[4] or context.caller
    if ":" in client:
        log.event("refused", client, "to open a port for %s: it asks over IPv6 and names no IPv4 address" % client)
        raise UPnPError(606, "no IPv4 address is named")
    return client


def delete_port_mapping(context, arguments):
    """Close a port: 2.4.18; 402, 501, 606, 714."""
    context.gateway.delete(context.caller, context.now, remote_host(context, arguments), arguments[1],
                           arguments[2])
    return ()


def get_generic_port_mapping_entry(context, arguments):
    """Return the mapping at an index: 2.4.13; 402, 713 behind the last."""
    mapping = context.gateway.table.at(arguments[0])
    return (mapping.remote_host, mapping.external_port, mapping.protocol) + _details(context, mapping)


def get_specific_port_mapping_entry(context, arguments):
    """Return the details of a mapping: 2.4.14; 402, 714."""
    mapping = context.gateway.table.find(remote_host(context, arguments), arguments[1], arguments[2])
    if mapping is None:
        raise UPnPError(714)
    return _details(context, mapping)


def remote_host(context, arguments):
    """Return the remote host of a call. Our own external address stands for any: upnp-port-forward sends that."""
    return "" if arguments[0] == context.gateway.wan.address else arguments[0]


def _details(context, mapping):
    """Return a mapping's values in the order of DETAILS."""
    return (mapping.internal_port, mapping.internal_client, mapping.enabled, mapping.shown_description,
            mapping.remaining(context.now) if context.shows_leases else 0)


IDENTITY = (
    ("NewRemoteHost", "RemoteHost"),
    ("NewExternalPort", "ExternalPort"),
    ("NewProtocol", "PortMappingProtocol"),
)
DETAILS = (
    ("NewInternalPort", "InternalPort"),
    ("NewInternalClient", "InternalClient"),
    ("NewEnabled", "PortMappingEnabled"),
    ("NewPortMappingDescription", "PortMappingDescription"),
    ("NewLeaseDuration", "PortMappingLeaseDuration"),
)
_CONNECTION_TYPES = ("Unconfigured", "IP_Routed", "IP_Bridged")


def replaced(variables, *others):
    """Return the variables with `others` in the places of those of the same names."""
    names = [other.name for other in others]
    return tuple([others[names.index(one.name)] if one.name in names else one for one in variables])


def possible_connection_types(types):
    """Return the state variable of that name: 2.2.2."""
    return Variable("PossibleConnectionTypes", "string", lambda context: "IP_Routed", True, types)


VARIABLES = (
    Variable("ConnectionType", "string", lambda context: "IP_Routed"),
    possible_connection_types(_CONNECTION_TYPES),
    Variable("ConnectionStatus", "string", connection_status, True,
             ("Unconfigured", "Connecting", "Connected", "PendingDisconnect", "Disconnecting", "Disconnected")),
    Variable("Uptime", "ui4", uptime),
    Variable("LastConnectionError", "string", lambda context: "ERROR_NONE", False, ("ERROR_NONE",)),
    Variable("RSIPAvailable", "boolean", lambda context: False),
    Variable("NATEnabled", "boolean", lambda context: True),
    Variable("ExternalIPAddress", "string", external_ip_address, True),
    Variable("PortMappingNumberOfEntries", "ui2", number_of_entries, True),
    Variable("PortMappingEnabled", "boolean"),
    Variable("PortMappingLeaseDuration", "ui4"),
    Variable("RemoteHost", "string"),
    Variable("ExternalPort", "ui2"),
    Variable("InternalPort", "ui2"),
    Variable("PortMappingProtocol", "string", None, False, ("TCP", "UDP")),
    Variable("InternalClient", "string"),
    Variable("PortMappingDescription", "string"),
)


def actions(types):
    """Return the actions of a connection that has one of `types`."""
    return (Action("SetConnectionType", set_connection_type(types), (("NewConnectionType", "ConnectionType"),)),
            ) + _ACTIONS


_ACTIONS = (
    Action("GetConnectionTypeInfo", get_connection_type_info, (), (
        ("NewConnectionType", "ConnectionType"),
        ("NewPossibleConnectionTypes", "PossibleConnectionTypes"))),
    Action("RequestConnection", request_connection),
    Action("ForceTermination", force_termination),
    Action("GetStatusInfo", get_status_info, (), (
        ("NewConnectionStatus", "ConnectionStatus"),
        ("NewLastConnectionError", "LastConnectionError"),
        ("NewUptime", "Uptime"))),
    Action("GetNATRSIPStatus", get_nat_rsip_status, (), (
        ("NewRSIPAvailable", "RSIPAvailable"),
        ("NewNATEnabled", "NATEnabled"))),
    Action("GetGenericPortMappingEntry", get_generic_port_mapping_entry,
           (("NewPortMappingIndex", "PortMappingNumberOfEntries"),), IDENTITY + DETAILS),
    Action("GetSpecificPortMappingEntry", get_specific_port_mapping_entry, IDENTITY, DETAILS),
    Action("AddPortMapping", add_port_mapping, IDENTITY + DETAILS),
    Action("DeletePortMapping", delete_port_mapping, IDENTITY),
    Action("GetExternalIPAddress", get_external_ip_address, (), (("NewExternalIPAddress", "ExternalIPAddress"),)),
)

ACTIONS = actions(_CONNECTION_TYPES)

SERVICE = Service("WANIPConnection:1", "WANIPConn1", VARIABLES, ACTIONS)
