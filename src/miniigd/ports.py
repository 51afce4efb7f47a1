"""The one search for a free external port: AddAnyPortMapping's, NAT-PMP's and PCP's.

Goes through what the policy allows, from the port that was asked for upwards and then from the lowest.
"""

from .compat import const
from .errors import UPnPError
from .policy import LOWEST_PORT

_HIGHEST_PORT = const(65535)


def find(gateway, asked, protocol, client, internal_port, description, is_own=False):
    """Return the external port from `asked` on that `client` may have and nobody has; None where none is allowed.

    With `is_own` the asked port may also be one that the client has already. UPnPError 728 when every allowed port is
    taken.
    """
    is_any_allowed = False
    for port in _allowed(gateway.policy, asked, client, internal_port, description):
        owner = gateway.table.owner(port, protocol)
        if owner is None and not gateway.wan.has_service(protocol, port) or (
                is_own and owner == client and port == asked):
            return port
        is_any_allowed = True
    if is_any_allowed:
        raise UPnPError(728, "no port is free")
    return None


def _allowed(policy, asked, client, internal_port, description):
    """Yield the external ports that the client may have, from `asked` on; none where `asked` is a refused low one.

    Other ports below 1024 come last: services are there.
    """
    for start, end in ((asked, _HIGHEST_PORT), (LOWEST_PORT, asked - 1), (1, LOWEST_PORT - 1)):
        while start <= end:
            allowed = policy.allowed_range(start, client, internal_port, description)
            if asked < LOWEST_PORT and start == asked and (allowed is None or allowed[0] != asked):
                return
            if allowed is None:
                break
            for port in range(allowed[0], min(allowed[1], end) + 1):
                yield port
            start = allowed[1] + 1
