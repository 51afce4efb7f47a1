"""miniigd.services.layer3: the default connection service."""

from miniigd import description
from miniigd.services import Context, layer3


class _Gateway:
    default_connection_service = description.default_connection_service("6d696e69-6967-8001-8000-000102030405")


def test_the_default_connection_service_is_a_udn_and_a_service_id():
    action = layer3.SERVICE.find_action("GetDefaultConnectionService")
    assert action.function(Context(_Gateway, "192.168.1.2", 100), []) == (
        "uuid:6d696e69-6967-8003-8000-000102030405:WANConnectionDevice:1,urn:upnp-org:serviceId:WANIPConn1",)
    assert [name for name, _ in action.arguments_out] == ["NewDefaultConnectionService"]


def test_the_service_is_called_as_the_standard_says():
    assert layer3.SERVICE.type == "urn:schemas-upnp-org:service:Layer3Forwarding:1"
    assert layer3.SERVICE.id == "urn:upnp-org:serviceId:L3Forwarding1"
