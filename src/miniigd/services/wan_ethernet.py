"""WANEthernetLinkConfig:1: whether the WAN's cable is in."""

from . import Action, Service, Variable
from .wan_common import physical_link_status


def get_ethernet_link_status(context, arguments):
    """Return (EthernetLinkStatus,): 2.4.1."""
    return (physical_link_status(context),)


SERVICE = Service(
    "WANEthernetLinkConfig:1", "WANEthLinkC1",
    (
        Variable("EthernetLinkStatus", "string", physical_link_status, True, ("Up", "Down", "Unavailable")),
    ),
    (
        Action("GetEthernetLinkStatus", get_ethernet_link_status, (), (
            ("NewEthernetLinkStatus", "EthernetLinkStatus"),)),
    ),
)
