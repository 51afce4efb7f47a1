"""Who may have which mapping: pure functions that raise UPnPError 606 with the reason for the log.

UPnP IGD has no authentication: every program on the LAN may ask, and then anyone on the Internet may come in. So a
host opens ports to itself only, and none below 1024.
"""

from .compat import const
from .errors import UPnPError

LOWEST_PORT = const(1024)  # below it are the ports of services that nobody opens by accident


def check_add(caller, mapping):
    """Refuse a mapping to another host than `caller` (its address as text), or of a privileged port."""
    if mapping.internal_client != caller:
        raise UPnPError(606, "it asks for %s" % mapping.internal_client)
    if mapping.external_port < LOWEST_PORT or mapping.internal_port < LOWEST_PORT:
        raise UPnPError(606, "ports below %d stay closed" % LOWEST_PORT)


def check_owner(caller, mapping):
    """Refuse to let `caller` change a mapping of another host."""
    if mapping.internal_client != caller:
        raise UPnPError(606, "it belongs to %s" % mapping.internal_client)
