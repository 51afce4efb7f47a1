"""WANCommonInterfaceConfig:1: what kind of link the WAN is, and its traffic.

upnpc takes nothing for a gateway that lacks this service.
"""

from . import Action, Service, Variable


def physical_link_status(context):
    """Return the state variable PhysicalLinkStatus: 2.2.5."""
    return "Up" if context.gateway.wan.is_up else "Down"


def get_common_link_properties(context, arguments):
    """Return (WANAccessType, Layer1UpstreamMaxBitRate, Layer1DownstreamMaxBitRate, PhysicalLinkStatus): 2.4.3."""
    return [variable.value(context) for variable in VARIABLES[:4]]


def _counter(name):
    """Return the reader of one of the WAN device's counters."""
    return lambda context: context.gateway.wan.counter(name)


def _total(variable):
    """Return the action that reports a counter: 2.4.4-2.4.7."""
    return Action("Get" + variable.name, lambda context, arguments: (variable.value(context),), (),
                  (("New" + variable.name, variable.name),))


VARIABLES = (
    Variable("WANAccessType", "string", lambda context: "Cable", False, ("DSL", "POTS", "Cable", "Ethernet")),
    Variable("Layer1UpstreamMaxBitRate", "ui4", lambda context: context.gateway.wan.upstream_bit_rate),
    Variable("Layer1DownstreamMaxBitRate", "ui4", lambda context: context.gateway.wan.downstream_bit_rate),
    Variable("PhysicalLinkStatus", "string", physical_link_status, True,
             ("Up", "Down", "Initializing", "Unavailable")),
    Variable("TotalBytesSent", "ui4", _counter("tx_bytes")),
    Variable("TotalBytesReceived", "ui4", _counter("rx_bytes")),
    Variable("TotalPacketsSent", "ui4", _counter("tx_packets")),
    Variable("TotalPacketsReceived", "ui4", _counter("rx_packets")),
)

SERVICE = Service(
    "WANCommonInterfaceConfig:1", "WANCommonIFC1", VARIABLES,
    (
        Action("GetCommonLinkProperties", get_common_link_properties, (), (
            ("NewWANAccessType", "WANAccessType"),
            ("NewLayer1UpstreamMaxBitRate", "Layer1UpstreamMaxBitRate"),
            ("NewLayer1DownstreamMaxBitRate", "Layer1DownstreamMaxBitRate"),
            ("NewPhysicalLinkStatus", "PhysicalLinkStatus"))),
    ) + tuple([_total(variable) for variable in VARIABLES[4:]]),
)
