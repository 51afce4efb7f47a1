"""miniigd.policy: a host opens unprivileged ports, to itself only."""

from helpers import raised
from miniigd import policy
from miniigd.errors import UPnPError
from miniigd.mapping import PortMapping


def _mapping(client, external_port=8000, internal_port=8000):
    return PortMapping("", external_port, "TCP", internal_port, client, True, "", 0, 100)


def test_a_host_may_open_a_port_to_itself():
    for port in (1024, 8000, 65535):
        policy.check_add("192.168.1.2", _mapping("192.168.1.2", port, port))


def test_nobody_opens_a_port_to_another_host():
    for client in ("192.168.1.3", "192.168.1.20", "192.168.1.1", "127.0.0.1", "8.8.8.8", "255.255.255.255", ""):
        error = raised(UPnPError, policy.check_add, "192.168.1.2", _mapping(client))
        assert error.code == 606
        assert client in error.reason


def test_privileged_ports_stay_closed_on_both_sides():
    for external_port, internal_port in ((1023, 8000), (8000, 1023), (22, 22), (0, 8000), (8000, 0)):
        mapping = _mapping("192.168.1.2", external_port, internal_port)
        assert raised(UPnPError, policy.check_add, "192.168.1.2", mapping).code == 606


def test_only_the_owner_changes_a_mapping():
    policy.check_owner("192.168.1.2", _mapping("192.168.1.2"))
    for caller in ("192.168.1.3", "192.168.1.1", "192.168.1.22", ""):
        error = raised(UPnPError, policy.check_owner, caller, _mapping("192.168.1.2"))
        assert error.code == 606
        assert "192.168.1.2" in error.reason
