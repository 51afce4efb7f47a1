"""miniigd.services.wan_ethernet: the link's status."""

from helpers import call, make_gateway
from miniigd.services import wan_ethernet


def test_the_link_s_status():
    for version in (1, 2):
        assert call(wan_ethernet.SERVICE, make_gateway(), "GetEthernetLinkStatus", version=version) == ("Up",)
        assert call(wan_ethernet.SERVICE, make_gateway(None), "GetEthernetLinkStatus", version=version) == ("Down",)


def test_what_is_said_is_in_the_list_of_what_may_be_said():
    for value in ("Up", "Down"):
        assert value in wan_ethernet.SERVICE.find_variable("EthernetLinkStatus").allowed


def test_the_service_is_called_as_the_standard_says():
    assert wan_ethernet.SERVICE.type == "urn:schemas-upnp-org:service:WANEthernetLinkConfig:1"
    assert wan_ethernet.SERVICE.id == "urn:upnp-org:serviceId:WANEthLinkC1"
    assert [action.name for action in wan_ethernet.SERVICE.actions] == ["GetEthernetLinkStatus"]
    assert wan_ethernet.SERVICE.find_variable("EthernetLinkStatus").is_evented
