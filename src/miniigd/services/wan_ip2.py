"""WANIPConnection:2: version 1 and the actions on several mappings (section numbers are that document's)."""

from .. import ports
from ..errors import UPnPError
from ..gateway import MAX_LEASE
from ..policy import LOWEST_PORT
from ..xml import Document, escape
from . import Action, Service, Variable, wan_ip

_MOST_LISTED = 300  # mappings in one listing: each takes about 450 bytes of an answer that must fit the heap

# 2.3.25: the schema's own names
_LIST_HEAD = ('<?xml version="1.0"?>\n<p:PortMappingList xmlns:p="urn:schemas-upnp-org:gw:WANIPConnection" '
              'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
              'xsi:schemaLocation="urn:schemas-upnp-org:gw:WANIPConnection '
              'http://www.upnp.org/schemas/gw/WANIPConnection-v2.xsd">')
_LIST_TAIL = "</p:PortMappingList>"
_LIST_ENTRY = ("<p:PortMappingEntry><p:NewRemoteHost>%s</p:NewRemoteHost><p:NewExternalPort>%d</p:NewExternalPort>"
               "<p:NewProtocol>%s</p:NewProtocol><p:NewInternalPort>%d</p:NewInternalPort>"
               "<p:NewInternalClient>%s</p:NewInternalClient><p:NewEnabled>%d</p:NewEnabled>"
               "<p:NewDescription>%s</p:NewDescription><p:NewLeaseTime>%d</p:NewLeaseTime></p:PortMappingEntry>")


def add_any_port_mapping(context, arguments):
    """Return (NewReservedPort,): the port that was asked for, or the next that is free; the wildcard 0 asks for any.

    2.5.17; 402, 501, 606 where no port is allowed, 728, 732.
    """
    asked, protocol, client = arguments[1] or LOWEST_PORT, arguments[2], wan_ip.internal_client(context, arguments)
    if arguments[3] == 0:
        raise UPnPError(732)
    port = ports.find(context.gateway, asked, protocol, client, arguments[3], arguments[6], arguments[1] != 0)
    if port is None:
        wan_ip.add_mapping(context, arguments, asked)  # refuses, and says why
        raise UPnPError(606, "no port is allowed")
    wan_ip.add_mapping(context, arguments, port)
    return (port,)


def delete_port_mapping_range(context, arguments):
    """Close the caller's ports in a range: 2.5.19; 402, 501, 606, 730, 733.

    NewManage asks for other hosts' ports too; nobody is authorised for that (2.5.19.2), so it changes nothing, unless
    the configuration lets hosts open ports to others.
    """
    found = _in_range(context, arguments)
    if not found:
        raise UPnPError(730)
    is_managing = arguments[3] and not context.gateway.policy.is_secure
    own = [mapping for mapping in found if is_managing or mapping.internal_client == context.caller]
    if not own:
        raise UPnPError(606, "the ports belong to others")
    context.gateway.delete_all(context.caller, context.now, own)
    return ()


def get_list_of_port_mappings(context, arguments):
    """Return (NewPortListing,): 2.5.21; 402, 730, 733. NewNumberOfPorts 0 stands for all."""
    most = min(arguments[4] or _MOST_LISTED, _MOST_LISTED)
    is_managing = arguments[3]  # else the caller's own are meant
    found = [mapping for mapping in _in_range(context, arguments)
             if is_managing or mapping.internal_client == context.caller][:most]
    if not found:
        raise UPnPError(730)
    parts = [_LIST_HEAD]
    for mapping in found:
        parts.append(_LIST_ENTRY % (
            mapping.remote_host, mapping.external_port, mapping.protocol, mapping.internal_port,
            mapping.internal_client, mapping.enabled, escape(mapping.shown_description), mapping.remaining(context.now)))
    parts.append(_LIST_TAIL)
    return (Document("".join(parts)),)


def _in_range(context, arguments):
    start, end, protocol = arguments[0], arguments[1], arguments[2]
    if start > end:
        raise UPnPError(733)
    return [mapping for mapping in context.gateway.table
            if start <= mapping.external_port <= end and mapping.protocol == protocol]


_RANGE = (
    ("NewStartPort", "ExternalPort"),
    ("NewEndPort", "ExternalPort"),
    ("NewProtocol", "PortMappingProtocol"),
    ("NewManage", "A_ARG_TYPE_Manage"),
)

SERVICE = Service(
    "WANIPConnection:2", "WANIPConn1",
    wan_ip.replaced(
        wan_ip.VARIABLES, Variable("PortMappingLeaseDuration", "ui4", bounds=(0, MAX_LEASE)),
        Variable("InternalPort", "ui2", bounds=(1, 65535))) + (
        Variable("SystemUpdateID", "ui4", lambda context: context.gateway.table.update_id, True),  # 2.3.23
        Variable("A_ARG_TYPE_Manage", "boolean"),
        Variable("A_ARG_TYPE_PortListing", "string"),
    ),
    wan_ip.ACTIONS + (
        Action("DeletePortMappingRange", delete_port_mapping_range, _RANGE),
        Action("AddAnyPortMapping", add_any_port_mapping, wan_ip.IDENTITY + wan_ip.DETAILS,
               (("NewReservedPort", "ExternalPort"),)),
        Action("GetListOfPortMappings", get_list_of_port_mappings,
               _RANGE + (("NewNumberOfPorts", "PortMappingNumberOfEntries"),),
               (("NewPortListing", "A_ARG_TYPE_PortListing"),)),
    ),
)
