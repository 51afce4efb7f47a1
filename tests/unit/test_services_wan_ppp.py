"""miniigd.services.wan_ppp: the mappings of WANIPConnection under another name, and the bit rates."""

from helpers import HOST, OTHER, call, make_gateway
from miniigd.services import wan_ip, wan_ppp

SERVICE = wan_ppp.SERVICE


def test_the_bit_rates():
    assert call(SERVICE, make_gateway(), "GetLinkLayerMaxBitRates") == (50000000, 100000000)
    action = SERVICE.find_action("GetLinkLayerMaxBitRates")
    assert [name for name, _ in action.arguments_out] == ["NewUpstreamMaxBitRate", "NewDownstreamMaxBitRate"]


def test_the_mappings_are_those_of_the_ip_connection():
    gateway = make_gateway()
    arguments = ("", 8000, "TCP", 8001, HOST, True, "web", 3600)
    assert call(SERVICE, gateway, "AddPortMapping", arguments) == ()
    for service in (SERVICE, wan_ip.SERVICE):
        assert call(service, gateway, "GetGenericPortMappingEntry", (0,)) == arguments
        assert call(service, gateway, "DeletePortMapping", ("", 8000, "TCP"), OTHER) == 606
    assert call(wan_ip.SERVICE, gateway, "DeletePortMapping", ("", 8000, "TCP")) == ()
    assert call(SERVICE, gateway, "GetGenericPortMappingEntry", (0,)) == 713


def test_the_connection_is_the_same_too():
    assert call(SERVICE, make_gateway(), "GetStatusInfo") == ("Connected", "ERROR_NONE", 60)
    assert call(SERVICE, make_gateway(None), "GetStatusInfo") == ("Disconnected", "ERROR_NONE", 0)
    assert call(SERVICE, make_gateway(), "GetExternalIPAddress") == ("81.2.69.160",)
    assert call(SERVICE, make_gateway(), "GetNATRSIPStatus") == (False, True)


def test_every_required_action_is_there_and_none_of_version_2():
    for name in ("SetConnectionType", "GetConnectionTypeInfo", "RequestConnection", "ForceTermination", "GetStatusInfo",
                 "GetLinkLayerMaxBitRates", "GetNATRSIPStatus", "GetGenericPortMappingEntry",
                 "GetSpecificPortMappingEntry", "AddPortMapping", "DeletePortMapping", "GetExternalIPAddress"):
        assert SERVICE.find_action(name) is not None, name
    for name in ("AddAnyPortMapping", "DeletePortMappingRange", "GetListOfPortMappings"):
        assert SERVICE.find_action(name) is None
    assert SERVICE.find_variable("SystemUpdateID") is None


def test_the_service_is_called_as_the_standard_says():
    assert SERVICE.type == "urn:schemas-upnp-org:service:WANPPPConnection:1"
    assert SERVICE.id == "urn:upnp-org:serviceId:WANPPPConn1"
