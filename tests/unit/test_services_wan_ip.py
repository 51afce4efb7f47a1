"""miniigd.services.wan_ip: every action of WANIPConnection:1 and every code it can refuse with."""

from helpers import HOST, OTHER, call, make_gateway
from miniigd.errors import FirewallError
from miniigd.services import wan_ip


def _call(gateway, name, arguments=(), caller=HOST, now=100, version=1):
    return call(wan_ip.SERVICE, gateway, name, arguments, caller, now, version)


def _add(gateway, port=8000, protocol="TCP", internal_port=8001, client=HOST, caller=HOST, remote_host="", enabled=True,
         description="web", lease=3600, now=100, version=1):
    return _call(gateway, "AddPortMapping",
                 (remote_host, port, protocol, internal_port, client, enabled, description, lease), caller, now,
                 version)


def test_the_status():
    assert _call(make_gateway(), "GetStatusInfo") == ("Connected", "ERROR_NONE", 60)
    assert _call(make_gateway(None), "GetStatusInfo") == ("Disconnected", "ERROR_NONE", 0)


def test_the_external_address():
    assert _call(make_gateway(), "GetExternalIPAddress") == ("81.2.69.160",)
    assert _call(make_gateway(None), "GetExternalIPAddress") == ("",)


def test_what_never_changes():
    assert _call(make_gateway(), "GetNATRSIPStatus") == (False, True)
    assert _call(make_gateway(), "GetConnectionTypeInfo") == ("IP_Routed", "IP_Routed")


def test_what_is_said_is_in_the_list_of_what_may_be_said():
    for name, value in (("ConnectionStatus", "Connected"), ("ConnectionStatus", "Disconnected"),
                        ("LastConnectionError", "ERROR_NONE"), ("PossibleConnectionTypes", "IP_Routed")):
        assert value in wan_ip.SERVICE.find_variable(name).allowed


def test_the_type_of_the_connection_cannot_be_changed():
    for version, code in ((1, 703), (2, 731)):
        assert _call(make_gateway(), "SetConnectionType", ("IP_Routed",), version=version) == ()
        for name in ("Unconfigured", "IP_Bridged"):
            assert _call(make_gateway(), "SetConnectionType", (name,), version=version) == code
        for name in ("", "ip_routed", "IP_Routed ", "DHCP_Spoofed", "x"):
            assert _call(make_gateway(), "SetConnectionType", (name,), version=version) == 402


def test_a_connection_is_there_or_not():
    for version in (1, 2):
        assert _call(make_gateway(), "RequestConnection", version=version) == ()
        assert _call(make_gateway(None), "RequestConnection", version=version) == 704
        gateway = make_gateway()
        _add(gateway)
        assert _call(gateway, "ForceTermination", version=version) == 606
        assert _call(make_gateway(None), "ForceTermination", version=version) == 606
        assert _call(gateway, "GetStatusInfo")[0] == "Connected" and len(gateway.table) == 1


def test_a_mapping_is_made_listed_and_deleted():
    gateway = make_gateway()
    assert _add(gateway) == ()
    details = (8001, HOST, True, "web", 3600)
    assert _call(gateway, "GetGenericPortMappingEntry", (0,)) == ("", 8000, "TCP") + details
    assert _call(gateway, "GetSpecificPortMappingEntry", ("", 8000, "TCP")) == details
    assert _call(gateway, "DeletePortMapping", ("", 8000, "TCP")) == ()
    assert _call(gateway, "GetGenericPortMappingEntry", (0,)) == 713
    assert _call(gateway, "GetSpecificPortMappingEntry", ("", 8000, "TCP")) == 714
    assert _call(gateway, "DeletePortMapping", ("", 8000, "TCP")) == 714


def test_what_is_left_of_the_lease_is_listed():
    gateway = make_gateway()
    _add(gateway)
    _add(gateway, 8001, lease=0)
    assert _call(gateway, "GetGenericPortMappingEntry", (0,), now=1100)[-1] == 2600
    assert _call(gateway, "GetSpecificPortMappingEntry", ("", 8000, "TCP"), now=3699)[-1] == 1
    assert _call(gateway, "GetGenericPortMappingEntry", (1,), now=1100)[-1] == 0


def test_a_lease_of_0_stays_0_in_version_1():
    gateway = make_gateway()
    assert _add(gateway, lease=0, version=1) == ()
    for version in (1, 2):
        for now in (100, 1000, 604699, 604700):
            assert _call(gateway, "GetGenericPortMappingEntry", (0,), now=now, version=version)[-1] == 0
            found = _call(gateway, "GetSpecificPortMappingEntry", ("", 8000, "TCP"), now=now, version=version)
            assert found[-1] == 0
    mapping = gateway.table.at(0)
    assert (mapping.lease_duration, mapping.expires) == (0, 604900)


def test_a_lease_of_0_is_a_week_in_version_2():
    gateway = make_gateway()
    assert _add(gateway, lease=0, version=2) == ()
    for version in (1, 2):
        for now, left in ((100, 604800), (1000, 603900), (604899, 1)):
            assert _call(gateway, "GetGenericPortMappingEntry", (0,), now=now, version=version)[-1] == left
            found = _call(gateway, "GetSpecificPortMappingEntry", ("", 8000, "TCP"), now=now, version=version)
            assert found[-1] == left
    mapping = gateway.table.at(0)
    assert (mapping.lease_duration, mapping.expires) == (604800, 604900)


def test_other_leases_are_the_same_in_both_versions():
    for version in (1, 2):
        for lease, kept in ((1, 1), (3600, 3600), (604800, 604800), (604801, 604800), (4294967295, 604800)):
            gateway = make_gateway()
            assert _add(gateway, lease=lease, version=version) == ()
            assert _call(gateway, "GetGenericPortMappingEntry", (0,), version=version)[-1] == kept


def test_everybody_may_list():
    gateway = make_gateway()
    _add(gateway)
    assert _call(gateway, "GetGenericPortMappingEntry", (0,), OTHER)[4] == HOST
    assert _call(gateway, "GetSpecificPortMappingEntry", ("", 8000, "TCP"), OTHER)[1] == HOST


def test_the_list_ends_with_713():
    gateway = make_gateway()
    for port in range(8000, 8005):
        _add(gateway, port)
    ports = [_call(gateway, "GetGenericPortMappingEntry", (index,))[1] for index in range(5)]
    assert ports == [8000, 8001, 8002, 8003, 8004]
    for index in (5, 6, 65535):
        assert _call(gateway, "GetGenericPortMappingEntry", (index,)) == 713


def test_a_renewal_keeps_its_place_and_takes_the_new_description():
    gateway = make_gateway()
    for port in (8000, 8001):
        _add(gateway, port)
    assert _add(gateway, 8000, description="new", now=200) == ()
    assert _call(gateway, "GetGenericPortMappingEntry", (0,), now=200) == (
        "", 8000, "TCP", 8001, HOST, True, "new", 3600)
    assert _call(gateway, "GetGenericPortMappingEntry", (2,)) == 713


def test_an_empty_client_is_the_caller():
    gateway = make_gateway()
    assert _add(gateway, client="") == ()
    assert gateway.table.at(0).internal_client == HOST


def test_wildcard_ports():
    gateway = make_gateway()
    assert _add(gateway, port=0) == 716
    assert _add(gateway, internal_port=0) == 732
    assert len(gateway.table) == 0


def test_606_for_others_and_for_privileged_ports():
    gateway = make_gateway()
    for named in ({"client": OTHER}, {"client": "192.168.1.1"}, {"client": "255.255.255.255"}, {"port": 1023},
                  {"internal_port": 1023}, {"port": 22, "internal_port": 22}):
        assert _add(gateway, **named) == 606
    assert len(gateway.table) == 0
    _add(gateway)
    assert _call(gateway, "DeletePortMapping", ("", 8000, "TCP"), OTHER) == 606
    assert len(gateway.table) == 1


def test_718_for_another_client():
    gateway = make_gateway()
    _add(gateway)
    assert _add(gateway, client=OTHER, caller=OTHER) == 718
    assert _add(gateway, client="", caller=OTHER) == 718
    assert _add(gateway, client=OTHER, caller=OTHER, protocol="UDP") == ()
    assert gateway.table.at(0).internal_client == HOST


def test_501_when_the_firewall_refuses():
    gateway = make_gateway()
    _add(gateway)
    gateway.firewall.failure = FirewallError("told to", 12)
    assert _add(gateway, 9000) == 501
    assert _call(gateway, "DeletePortMapping", ("", 8000, "TCP")) == 501
    assert len(gateway.table) == 1


def test_remote_hosts_are_told_apart_and_reported():
    gateway = make_gateway()
    _add(gateway, remote_host="11.0.0.1")
    _add(gateway)
    assert _call(gateway, "GetGenericPortMappingEntry", (0,))[0] == "11.0.0.1"
    assert _call(gateway, "GetGenericPortMappingEntry", (1,))[0] == ""
    assert _call(gateway, "GetSpecificPortMappingEntry", ("11.0.0.2", 8000, "TCP")) == 714
    assert _call(gateway, "DeletePortMapping", ("11.0.0.1", 8000, "TCP")) == ()
    assert _call(gateway, "GetSpecificPortMappingEntry", ("", 8000, "TCP"))[0] == 8001


def test_a_disabled_mapping_is_reported_as_such():
    gateway = make_gateway()
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
    gateway = make_gateway()
    assert _add(gateway, remote_host="81.2.69.160") == ()
    assert gateway.table.at(0).remote_host == ""
    assert len(_call(gateway, "GetSpecificPortMappingEntry", ("81.2.69.160", 8000, "TCP"))) == 5
    assert _call(gateway, "DeletePortMapping", ("81.2.69.160", 8000, "TCP")) == ()
    assert len(gateway.table) == 0


def test_no_nonce_of_pcp_is_shown():
    gateway = make_gateway()
    _add(gateway, description="PCP MAP 0123456789abcdef01234567")
    assert _call(gateway, "GetSpecificPortMappingEntry", ("", 8000, "TCP"))[3] == "PCP MAP"
    assert _call(gateway, "GetGenericPortMappingEntry", (0,))[6] == "PCP MAP"
