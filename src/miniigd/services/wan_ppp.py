"""WANPPPConnection:1: the same mappings under the name that PPPoE routers use, and the bit rates of the link."""

from . import Action, Service, Variable, wan_ip


# 2.2.2
_CONNECTION_TYPES = ("Unconfigured", "IP_Routed", "DHCP_Spoofed", "PPPoE_Bridged", "PPTP_Relay", "L2TP_Relay",
                     "PPPoE_Relay")


def get_link_layer_max_bit_rates(context, arguments):
    """Return (UpstreamMaxBitRate, DownstreamMaxBitRate) in bit/s: 2.4.7."""
    wan = context.gateway.wan
    return (wan.upstream_bit_rate, wan.downstream_bit_rate)


SERVICE = Service(
    "WANPPPConnection:1", "WANPPPConn1",
    wan_ip.replaced(wan_ip.VARIABLES, wan_ip.possible_connection_types(_CONNECTION_TYPES)) + (
        Variable("UpstreamMaxBitRate", "ui4", lambda context: context.gateway.wan.upstream_bit_rate),
        Variable("DownstreamMaxBitRate", "ui4", lambda context: context.gateway.wan.downstream_bit_rate),
    ),
    wan_ip.actions(_CONNECTION_TYPES) + (
        Action("GetLinkLayerMaxBitRates", get_link_layer_max_bit_rates, (), (
            ("NewUpstreamMaxBitRate", "UpstreamMaxBitRate"),
            ("NewDownstreamMaxBitRate", "DownstreamMaxBitRate"))),
    ),
)
