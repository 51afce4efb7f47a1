"""WANIPv6FirewallControl:1: pinholes for IPv6 hosts (section numbers are that document's).

The errors that say what a firewall allows, 703 for one, come from the gateway; 702 is never sent: there is no router here
whose firewall is off and whose pinholes can be made.
"""

from ..compat import const
from ..errors import UPnPError
from ..mapping import PROTOCOLS
from ..pinholes import MAX_LEASE
from . import Action, Service, Variable

_NUMBERS = {6: PROTOCOLS[0], 17: PROTOCOLS[1]}  # IANA's; 2.2.6
_ANY_PROTOCOL = const(65535)


def firewall_enabled(context):
    """Return the state variable FirewallEnabled: 2.2.1."""
    return True


def inbound_pinhole_allowed(context):
    """Return the state variable InboundPinholeAllowed: 2.2.2."""
    return not context.gateway.pinholes.refusal


def get_firewall_status(context, arguments):
    """Return (FirewallEnabled, InboundPinholeAllowed): 2.5.1."""
    return (firewall_enabled(context), inbound_pinhole_allowed(context))


def get_outbound_pinhole_timeout(context, arguments):
    """Return (OutboundPinholeTimeout,) in seconds, the same for all hosts: 2.5.2; 402, 501, 703, 705, 707."""
    context.gateway.pinholes.check_allowed()
    return (context.gateway.pinholes.outbound_timeout(_protocol(arguments[4])),)


def add_pinhole(context, arguments):
    """Return (UniqueID,) of the pinhole that is opened or renewed: 2.5.3; 402, 501, 606, 701, 703, 705 to 708."""
    remote_host, remote_port, internal_client, internal_port, number, lease = arguments
    pinholes = context.gateway.pinholes
    pinholes.check_allowed()
    _check_lease(lease)
    if internal_port == 0:
        raise UPnPError(706)
    if not internal_client:
        raise UPnPError(708)
    pinhole = pinholes.add(context.caller, context.now, remote_host, remote_port, internal_client, internal_port,
                           _protocol(number), lease)
    return (pinhole.unique_id,)


def _protocol(number):
    if number == _ANY_PROTOCOL:
        raise UPnPError(707)
    if number not in _NUMBERS:
        raise UPnPError(705)
    return _NUMBERS[number]


def _check_lease(seconds):
    if not 1 <= seconds <= MAX_LEASE:  # 2.2.7
        raise UPnPError(402, "the lease is not from 1 to %d seconds" % MAX_LEASE)


def update_pinhole(context, arguments):
    """Give a pinhole another lease: 2.5.4; 402, 501, 606, 703, 704."""
    _check_lease(arguments[1])
    context.gateway.pinholes.update(context.caller, context.now, arguments[0], arguments[1])
    return ()


def delete_pinhole(context, arguments):
    """Close a pinhole: 2.5.5; 402, 501, 606, 703, 704."""
    context.gateway.pinholes.delete(context.caller, context.now, arguments[0])
    return ()


def get_pinhole_packets(context, arguments):
    """Return (PinholePackets,): 2.5.6; 402, 501, 606, 703, 704."""
    return (_packets(context, arguments[0]),)


def check_pinhole_working(context, arguments):
    """Return (IsWorking,): 2.5.7; 402, 501, 606, 703, 704, and 709 while nothing has come in through it."""
    if not _packets(context, arguments[0]):
        raise UPnPError(709)
    return (True,)


def _packets(context, unique_id):
    pinholes = context.gateway.pinholes
    return pinholes.packets(pinholes.find(context.caller, unique_id))


_ENDS = (
    ("RemoteHost", "A_ARG_TYPE_IPv6Address"),
    ("RemotePort", "A_ARG_TYPE_Port"),
    ("InternalClient", "A_ARG_TYPE_IPv6Address"),
    ("InternalPort", "A_ARG_TYPE_Port"),
    ("Protocol", "A_ARG_TYPE_Protocol"),
)
_ID = (("UniqueID", "A_ARG_TYPE_UniqueID"),)

SERVICE = Service(
    "WANIPv6FirewallControl:1", "WANIPv6Firewall1",
    (
        Variable("FirewallEnabled", "boolean", firewall_enabled, True),
        Variable("InboundPinholeAllowed", "boolean", inbound_pinhole_allowed, True),
        Variable("A_ARG_TYPE_OutboundPinholeTimeout", "ui4"),
        Variable("A_ARG_TYPE_IPv6Address", "string"),
        Variable("A_ARG_TYPE_Port", "ui2"),
        Variable("A_ARG_TYPE_Protocol", "ui2"),
        Variable("A_ARG_TYPE_LeaseTime", "ui4", bounds=(1, MAX_LEASE)),
        Variable("A_ARG_TYPE_UniqueID", "ui2"),
        Variable("A_ARG_TYPE_PinholePackets", "ui4"),
        Variable("A_ARG_TYPE_Boolean", "boolean"),
    ),
    (
        Action("GetFirewallStatus", get_firewall_status, (), (
            ("FirewallEnabled", "FirewallEnabled"),
            ("InboundPinholeAllowed", "InboundPinholeAllowed"))),
        Action("GetOutboundPinholeTimeout", get_outbound_pinhole_timeout, _ENDS,
               (("OutboundPinholeTimeout", "A_ARG_TYPE_OutboundPinholeTimeout"),)),
        Action("AddPinhole", add_pinhole, _ENDS + (("LeaseTime", "A_ARG_TYPE_LeaseTime"),), _ID),
        Action("UpdatePinhole", update_pinhole, _ID + (("NewLeaseTime", "A_ARG_TYPE_LeaseTime"),)),
        Action("DeletePinhole", delete_pinhole, _ID),
        Action("GetPinholePackets", get_pinhole_packets, _ID, (("PinholePackets", "A_ARG_TYPE_PinholePackets"),)),
        Action("CheckPinholeWorking", check_pinhole_working, _ID, (("IsWorking", "A_ARG_TYPE_Boolean"),)),
    ),
)
