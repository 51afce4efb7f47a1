"""WANPPPConnection:1: the same mappings under the name that PPPoE routers use, and the bit rates of the link."""

from . import Action, Service, Variable, wan_ip


def get_link_layer_max_bit_rates(context, arguments):
    """Return (UpstreamMaxBitRate, DownstreamMaxBitRate) in bit/s: 2.4.7."""
    wan = context.gateway.wan
    return (wan.upstream_bit_rate, wan.downstream_bit_rate)


SERVICE = Service(
    "WANPPPConnection:1", "WANPPPConn1",
    wan_ip.VARIABLES + (
        Variable("UpstreamMaxBitRate", "ui4", lambda context: context.gateway.wan.upstream_bit_rate),
        Variable("DownstreamMaxBitRate", "ui4", lambda context: context.gateway.wan.downstream_bit_rate),
    ),
    wan_ip.ACTIONS + (
        Action("GetLinkLayerMaxBitRates", get_link_layer_max_bit_rates, (), (
            ("NewUpstreamMaxBitRate", "UpstreamMaxBitRate"),
            ("NewDownstreamMaxBitRate", "DownstreamMaxBitRate"))),
    ),
)
