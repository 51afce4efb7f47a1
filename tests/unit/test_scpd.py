"""miniigd.scpd: well-formed documents that hold what the tables hold; on the lean runtime, those it carries ready-made."""

from helpers import elements, texts
from miniigd import scpd
from miniigd.services import layer3, wan_common, wan_ethernet, wan_ip, wan_ip2, wan_ipv6_firewall, wan_ppp

SERVICES = (layer3.SERVICE, wan_common.SERVICE, wan_ip.SERVICE, wan_ip2.SERVICE, wan_ppp.SERVICE, wan_ethernet.SERVICE,
            wan_ipv6_firewall.SERVICE)


def test_version_2_has_the_actions_of_version_2():
    data = scpd.document(wan_ip2.SERVICE)
    for name in (
            "AddAnyPortMapping", "DeletePortMappingRange", "GetListOfPortMappings", "AddPortMapping", "DeletePortMapping"):
        assert b"<action><name>%s</name>" % name.encode() in data


def test_every_scpd_is_its_service_s_table():
    for service in SERVICES:
        data = scpd.document(service)
        assert data.startswith(b'<?xml version="1.0"?>\r\n<scpd xmlns="urn:schemas-upnp-org:service-1-0">')
        found = elements(data)
        assert found[0] == ("scpd", "")
        names, expected = texts(found, "name"), []
        for action in service.actions:
            expected.append(action.name)
            expected.extend([name for name, _ in action.arguments_in + action.arguments_out])
        expected.extend([variable.name for variable in service.variables])
        assert names == expected
        directions, related = [], []
        for action in service.actions:
            directions += ["in"] * len(action.arguments_in) + ["out"] * len(action.arguments_out)
            related += [variable for _, variable in action.arguments_in + action.arguments_out]
        assert texts(found, "direction") == directions
        assert texts(found, "relatedStateVariable") == related
        assert texts(found, "dataType") == [variable.data_type for variable in service.variables]
        assert len(data) < 16384


def test_an_action_without_arguments_has_no_list_of_them():
    data = scpd.document(wan_ip.SERVICE)
    assert b"<action><name>RequestConnection</name></action><action><name>ForceTermination</name></action>" in data
    assert b"<argumentList></argumentList>" not in data


def test_evented_variables_are_marked():
    data = scpd.document(wan_ip.SERVICE)
    assert b'<stateVariable sendEvents="yes"><name>ExternalIPAddress</name>' in data
    assert b'<stateVariable sendEvents="no"><name>Uptime</name>' in data
    assert b"<allowedValueList><allowedValue>TCP</allowedValue><allowedValue>UDP</allowedValue></allowedValueList>" in (
        data)
    assert b'<stateVariable sendEvents="yes"><name>SystemUpdateID</name>' in scpd.document(wan_ip2.SERVICE)
