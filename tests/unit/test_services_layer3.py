"""miniigd.services.layer3: the default connection service."""

from helpers import call
from miniigd import description
from miniigd.services import layer3

DEVICE = description.Device("6d696e69-6967-8001-8000-000102030405")
UDNS = {1: "uuid:6d696e69-6967-8003-8000-000102030405:WANConnectionDevice:1",
        2: "uuid:6d696e69-6967-8006-8000-000102030405:WANConnectionDevice:2"}
SERVICE_ID = "urn:upnp-org:serviceId:WANIPConn1"


class _Gateway:
    default_connection_services = {
        1: DEVICE.default_connection_service(1), 2: DEVICE.default_connection_service(2)}


def test_the_default_connection_service_is_a_udn_and_a_service_id():
    for version in (1, 2):
        assert call(layer3.SERVICE, _Gateway, "GetDefaultConnectionService", version=version) == (
            "%s,%s" % (UDNS[version], SERVICE_ID),)
    action = layer3.SERVICE.find_action("GetDefaultConnectionService")
    assert [name for name, _ in action.arguments_out] == ["NewDefaultConnectionService"]


def _set(value, version):
    return call(layer3.SERVICE, _Gateway, "SetDefaultConnectionService", (value,), version=version)


def test_the_one_that_is_the_default_can_be_set():
    for version in (1, 2):
        assert _set("%s,%s" % (UDNS[version], SERVICE_ID), version) == ()


def test_no_other_can_be_set():
    for version, other in ((1, 2), (2, 1)):
        udn = UDNS[version]
        for value, code in (("", 402), (udn, 402), (SERVICE_ID, 402), (",", 720), ("," + SERVICE_ID, 720),
                            (UDNS[other] + "," + SERVICE_ID, 720), (udn[:-1] + "," + SERVICE_ID, 720),
                            ("uuid:x:WANConnectionDevice:1," + SERVICE_ID, 720), (udn + ",", 721),
                            (udn + ",urn:upnp-org:serviceId:WANPPPConn1", 721), (udn + "," + SERVICE_ID + ",", 721)):
            assert _set(value, version) == code, value
        assert call(layer3.SERVICE, _Gateway, "GetDefaultConnectionService", version=version) == (
            "%s,%s" % (udn, SERVICE_ID),)


def test_the_service_is_called_as_the_standard_says():
    assert layer3.SERVICE.type == "urn:schemas-upnp-org:service:Layer3Forwarding:1"
    assert layer3.SERVICE.id == "urn:upnp-org:serviceId:L3Forwarding1"
