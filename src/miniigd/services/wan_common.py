"""WANCommonInterfaceConfig:1: what kind of link the WAN is, and its traffic.

upnpc takes nothing for a gateway that lacks this service.
"""

from . import Action, Service, Variable


def get_common_link_properties(context, arguments):
    """Return (WANAccessType, Layer1UpstreamMaxBitRate, Layer1DownstreamMaxBitRate, PhysicalLinkStatus): 2.4.3."""
    wan = context.gateway.wan
    return ("Cable", wan.upstream_bit_rate, wan.downstream_bit_rate, "Up" if wan.is_up else "Down")


def get_total_bytes_sent(context, arguments):
    """Return (TotalBytesSent,): 2.4.4."""
    return (context.gateway.wan.counter("tx_bytes"),)


def get_total_bytes_received(context, arguments):
    """Return (TotalBytesReceived,): 2.4.5."""
    return (context.gateway.wan.counter("rx_bytes"),)


def get_total_packets_sent(context, arguments):
    """Return (TotalPacketsSent,): 2.4.6."""
    return (context.gateway.wan.counter("tx_packets"),)


def get_total_packets_received(context, arguments):
    """Return (TotalPacketsReceived,): 2.4.7."""
    return (context.gateway.wan.counter("rx_packets"),)


SERVICE = Service(
    "WANCommonInterfaceConfig:1", "WANCommonIFC1",
    (
        Variable("WANAccessType", "string", False, ("DSL", "POTS", "Cable", "Ethernet")),
        Variable("Layer1UpstreamMaxBitRate", "ui4"),
        Variable("Layer1DownstreamMaxBitRate", "ui4"),
        Variable("PhysicalLinkStatus", "string", True, ("Up", "Down", "Initializing", "Unavailable")),
        Variable("TotalBytesSent", "ui4"),
        Variable("TotalBytesReceived", "ui4"),
        Variable("TotalPacketsSent", "ui4"),
        Variable("TotalPacketsReceived", "ui4"),
    ),
    (
        Action("GetCommonLinkProperties", get_common_link_properties, (), (
            ("NewWANAccessType", "WANAccessType"),
            ("NewLayer1UpstreamMaxBitRate", "Layer1UpstreamMaxBitRate"),
            ("NewLayer1DownstreamMaxBitRate", "Layer1DownstreamMaxBitRate"),
            ("NewPhysicalLinkStatus", "PhysicalLinkStatus"))),
        Action("GetTotalBytesSent", get_total_bytes_sent, (), (("NewTotalBytesSent", "TotalBytesSent"),)),
        Action("GetTotalBytesReceived", get_total_bytes_received, (), (
            ("NewTotalBytesReceived", "TotalBytesReceived"),)),
        Action("GetTotalPacketsSent", get_total_packets_sent, (), (("NewTotalPacketsSent", "TotalPacketsSent"),)),
        Action("GetTotalPacketsReceived", get_total_packets_received, (), (
            ("NewTotalPacketsReceived", "TotalPacketsReceived"),)),
    ),
)
