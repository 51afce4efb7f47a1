"""miniigd.services.wan_ip: every action of WANIPConnection:1 and every code it can refuse with."""

from helpers import Output
from miniigd import log
from miniigd.errors import FirewallError, UPnPError
from miniigd.firewall.memory import MemoryFirewall
from miniigd.gateway import Gateway
from miniigd.interfaces import Interface
from miniigd.mapping import MappingTable
from miniigd.services import Context, wan_ip
from miniigd.wan import Wan

HOST, OTHER = "192.168.1.2", "192.168.1.3"


def _gateway(address="81.2.69.160"):
    interface = Interface("wan")
    wan = Wan(interface, 0, 0)
    if address:
        interface.index, interface.is_up, interface.addresses = 4, True, [(address, 22)]
        wan.update(40)
    return Gateway(MappingTable(), MemoryFirewall(), wan)


def _call(gateway, name, arguments=(), caller=HOST, now=100):
    """Return the values of an action, or the code with which it refuses."""
    action = wan_ip.SERVICE.find_action(name)
    assert len(arguments) == len(action.arguments_in)
    with Output(log):
        try:
            values = action.function(Context(gateway, caller, now), list(arguments))
        except UPnPError as error:
            return error.code
    assert len(values) == len(action.arguments_out)
    return values


def _add(gateway, port=8000, protocol="TCP", internal_port=8001, client=HOST, caller=HOST, remote_host="", enabled=True,
         description="web", lease=3600, now=100):
    return _call(gateway, "AddPortMapping",
                 (remote_host, port, protocol, internal_port, client, enabled, description, lease), caller, now)


def test_the_status():
    assert _call(_gateway(), "GetStatusInfo") == ("Connected", "ERROR_NONE", 60)
    assert _call(_gateway(None), "GetStatusInfo") == ("Disconnected", "ERROR_NONE", 0)


def test_the_external_address():
    assert _call(_gateway(), "GetExternalIPAddress") == ("81.2.69.160",)
    assert _call(_gateway(None), "GetExternalIPAddress") == ("",)


def test_what_never_changes():
    assert _call(_gateway(), "GetNATRSIPStatus") == (False, True)
    assert _call(_gateway(), "GetConnectionTypeInfo") == ("IP_Routed", "IP_Routed")


def test_what_is_said_is_in_the_list_of_what_may_be_said():
    for name, value in (("ConnectionStatus", "Connected"), ("ConnectionStatus", "Disconnected"),
                        ("LastConnectionError", "ERROR_NONE"), ("PossibleConnectionTypes", "IP_Routed")):
        assert value in wan_ip.SERVICE.variable(name).allowed


def test_a_mapping_is_made_listed_and_deleted():
    gateway = _gateway()
    assert _add(gateway) == ()
    details = (8001, HOST, True, "web", 3600)
    assert _call(gateway, "GetGenericPortMappingEntry", (0,)) == ("", 8000, "TCP") + details
    assert _call(gateway, "GetSpecificPortMappingEntry", ("", 8000, "TCP")) == details
    assert _call(gateway, "DeletePortMapping", ("", 8000, "TCP")) == ()
    assert _call(gateway, "GetGenericPortMappingEntry", (0,)) == 713
    assert _call(gateway, "GetSpecificPortMappingEntry", ("", 8000, "TCP")) == 714
    assert _call(gateway, "DeletePortMapping", ("", 8000, "TCP")) == 714


def test_what_is_left_of_the_lease_is_listed():
    gateway = _gateway()
    _add(gateway)
    _add(gateway, 8001, lease=0)
    assert _call(gateway, "GetGenericPortMappingEntry", (0,), now=1100)[-1] == 2600
    assert _call(gateway, "GetSpecificPortMappingEntry", ("", 8000, "TCP"), now=3699)[-1] == 1
    assert _call(gateway, "GetGenericPortMappingEntry", (1,), now=1100)[-1] == 0


def test_everybody_may_list():
    gateway = _gateway()
    _add(gateway)
    assert _call(gateway, "GetGenericPortMappingEntry", (0,), OTHER)[4] == HOST
    assert _call(gateway, "GetSpecificPortMappingEntry", ("", 8000, "TCP"), OTHER)[1] == HOST


def test_the_list_ends_with_713():
    gateway = _gateway()
    for port in range(8000, 8005):
        _add(gateway, port)
    ports = [_call(gateway, "GetGenericPortMappingEntry", (index,))[1] for index in range(5)]
    assert ports == [8000, 8001, 8002, 8003, 8004]
    for index in (5, 6, 65535):
        assert _call(gateway, "GetGenericPortMappingEntry", (index,)) == 713


def test_a_renewal_keeps_its_place_and_takes_the_new_description():
    gateway = _gateway()
    for port in (8000, 8001):
        _add(gateway, port)
    assert _add(gateway, 8000, description="new", now=200) == ()
    assert _call(gateway, "GetGenericPortMappingEntry", (0,), now=200) == (
        "", 8000, "TCP", 8001, HOST, True, "new", 3600)
    assert _call(gateway, "GetGenericPortMappingEntry", (2,)) == 713


def test_an_empty_client_is_the_caller():
    gateway = _gateway()
    assert _add(gateway, client="") == ()
    assert gateway.table.at(0).internal_client == HOST


def test_wildcard_ports():
    gateway = _gateway()
    assert _add(gateway, port=0) == 716
    assert _add(gateway, internal_port=0) == 402
    assert len(gateway.table) == 0


def test_606_for_others_and_for_privileged_ports():
    gateway = _gateway()
    for named in ({"client": OTHER}, {"client": "192.168.1.1"}, {"client": "255.255.255.255"}, {"port": 1023},
                  {"internal_port": 1023}, {"port": 22, "internal_port": 22}):
        assert _add(gateway, **named) == 606
    assert len(gateway.table) == 0
    _add(gateway)
    assert _call(gateway, "DeletePortMapping", ("", 8000, "TCP"), OTHER) == 606
    assert len(gateway.table) == 1


def test_718_for_another_client():
    gateway = _gateway()
    _add(gateway)
    assert _add(gateway, client=OTHER, caller=OTHER) == 718
    assert _add(gateway, client="", caller=OTHER) == 718
    assert _add(gateway, client=OTHER, caller=OTHER, protocol="UDP") == ()
    assert gateway.table.at(0).internal_client == HOST


def test_501_when_the_firewall_refuses():
    gateway = _gateway()
    _add(gateway)
    gateway.firewall.failure = FirewallError("told to", 12)
    assert _add(gateway, 9000) == 501
    assert _call(gateway, "DeletePortMapping", ("", 8000, "TCP")) == 501
    assert len(gateway.table) == 1


def test_remote_hosts_are_told_apart_and_reported():
    gateway = _gateway()
    _add(gateway, remote_host="11.0.0.1")
    _add(gateway)
    assert _call(gateway, "GetGenericPortMappingEntry", (0,))[0] == "11.0.0.1"
    assert _call(gateway, "GetGenericPortMappingEntry", (1,))[0] == ""
    assert _call(gateway, "GetSpecificPortMappingEntry", ("11.0.0.2", 8000, "TCP")) == 714
    assert _call(gateway, "DeletePortMapping", ("11.0.0.1", 8000, "TCP")) == ()
    assert _call(gateway, "GetSpecificPortMappingEntry", ("", 8000, "TCP"))[0] == 8001


def test_a_disabled_mapping_is_reported_as_such():
    gateway = _gateway()
    assert _add(gateway, enabled=False) == ()
    assert _call(gateway, "GetGenericPortMappingEntry", (0,))[5] is False
    assert gateway.firewall.open_mappings == []


def test_the_arguments_are_in_the_standard_s_order():
    action = wan_ip.SERVICE.find_action("AddPortMapping")
    assert [name for name, _ in action.arguments_in] == [
        "NewRemoteHost", "NewExternalPort", "NewProtocol", "NewInternalPort", "NewInternalClient", "NewEnabled",
        "NewPortMappingDescription", "NewLeaseDuration"]
    action = wan_ip.SERVICE.find_action("GetGenericPortMappingEntry")
    assert [name for name, _ in action.arguments_in] == ["NewPortMappingIndex"]
    assert [name for name, _ in action.arguments_out] == [
        "NewRemoteHost", "NewExternalPort", "NewProtocol", "NewInternalPort", "NewInternalClient", "NewEnabled",
        "NewPortMappingDescription", "NewLeaseDuration"]


def test_no_action_of_version_2_is_offered():
    # Windows stops after a SCPD that lists them.
    for name in ("AddAnyPortMapping", "DeletePortMappingRange", "GetListOfPortMappings"):
        assert wan_ip.SERVICE.find_action(name) is None
    assert wan_ip.SERVICE.type == "urn:schemas-upnp-org:service:WANIPConnection:1"
    assert wan_ip.SERVICE.id == "urn:upnp-org:serviceId:WANIPConn1"


def test_our_own_address_as_remote_host_stands_for_any():
    gateway = _gateway()
    assert _add(gateway, remote_host="81.2.69.160") == ()
    assert gateway.table.at(0).remote_host == ""
    assert len(_call(gateway, "GetSpecificPortMappingEntry", ("81.2.69.160", 8000, "TCP"))) == 5
    assert _call(gateway, "DeletePortMapping", ("81.2.69.160", 8000, "TCP")) == ()
    assert len(gateway.table) == 0
