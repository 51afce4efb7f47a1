"""miniigd.description: well-formed documents that hold what clients look for, and the targets of searches."""

from miniigd import config, description
from miniigd.services import wan_ip

UUID = "6d696e69-6967-8001-8000-0001020304ff"


def _elements(data):
    """Return the [(name, text)] of a document's elements; fails when its tags do not match."""
    text = data.decode()
    assert text.startswith('<?xml version="1.0"?>\r\n<')
    found, open_names = [], []
    for piece in text[text.find("?>") + 4:].strip().split("<")[1:]:
        tag, mark, rest = piece.partition(">")
        assert mark and ">" not in rest
        if tag.startswith("/"):
            assert open_names.pop() == tag[1:]
            assert not rest.strip()
        else:
            name = tag.split(" ")[0]
            open_names.append(name)
            found.append((name, rest))
    assert not open_names
    return found


def _texts(elements, name):
    return [text for kind, text in elements if kind == name]


def test_the_description_is_well_formed_and_small():
    data = description.document(UUID, "http://192.168.1.1/")
    assert len(data) < 4096  # small clients have a buffer of 4 kB
    elements = _elements(data)
    assert elements[0] == ("root", "")
    assert _texts(elements, "major") + _texts(elements, "minor") == ["1", "0"]
    assert _texts(elements, "presentationURL") == ["http://192.168.1.1/"]
    assert "URLBase" not in [name for name, _ in elements]


def test_the_devices_are_those_of_version_1():
    elements = _elements(description.document(UUID, ""))
    assert _texts(elements, "deviceType") == [
        "urn:schemas-upnp-org:device:InternetGatewayDevice:1", "urn:schemas-upnp-org:device:WANDevice:1",
        "urn:schemas-upnp-org:device:WANConnectionDevice:1"]
    for name in ("friendlyName", "manufacturer", "modelName", "UDN"):
        texts = _texts(elements, name)
        assert len(texts) == 3 and all(texts), name


def test_every_service_has_its_five_elements_in_order():
    elements = _elements(description.document(UUID, ""))
    names = [name for name, _ in elements]
    starts = [index for index, name in enumerate(names) if name == "service"]
    assert len(starts) == len(description.services()) == 3
    for start in starts:
        assert names[start + 1:start + 6] == ["serviceType", "serviceId", "SCPDURL", "controlURL", "eventSubURL"]
        for _, text in elements[start + 3:start + 6]:
            assert text.startswith("/")
    assert _texts(elements, "serviceType") == [
        "urn:schemas-upnp-org:service:Layer3Forwarding:1", "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1",
        "urn:schemas-upnp-org:service:WANIPConnection:1"]


def test_there_is_no_white_space_between_the_tags():
    data = description.document(UUID, "http://192.168.1.1/")
    assert b"> " not in data and b"\n<" not in data[24:] and b"\n  " not in data


def test_a_presentation_url_is_escaped():
    assert b"<presentationURL>http://a/?b&amp;&lt;</presentationURL>" in description.document(UUID, "http://a/?b&<")


def test_each_device_has_its_own_udn():
    udns = [description.udn(UUID, index) for index in range(3)]
    assert udns == ["uuid:6d696e69-6967-8001-8000-0001020304ff", "uuid:6d696e69-6967-8002-8000-0001020304ff",
                    "uuid:6d696e69-6967-8003-8000-0001020304ff"]
    assert _texts(_elements(description.document(UUID, "")), "UDN") == udns


def test_a_udn_stays_a_uuid():
    for uuid in ("00000000-0000-ffff-0000-000000000000", "6D696E69-6967-FFFE-8000-0001020304FF"):
        udns = [description.udn(uuid, index) for index in range(3)]
        assert len(set(udns)) == 3
        for udn in udns:
            assert udn.startswith("uuid:") and config.is_uuid(udn[5:])


def test_the_targets_are_those_of_the_standard():
    root, device, connection = [description.udn(UUID, index) for index in range(3)]
    prefix = "urn:schemas-upnp-org:"
    assert description.targets(UUID) == [
        ("upnp:rootdevice", root + "::upnp:rootdevice"), (root, root),
        (prefix + "device:InternetGatewayDevice:1", root + "::" + prefix + "device:InternetGatewayDevice:1"),
        (prefix + "service:Layer3Forwarding:1", root + "::" + prefix + "service:Layer3Forwarding:1"), (device, device),
        (prefix + "device:WANDevice:1", device + "::" + prefix + "device:WANDevice:1"),
        (prefix + "service:WANCommonInterfaceConfig:1", device + "::" + prefix + "service:WANCommonInterfaceConfig:1"),
        (connection, connection),
        (prefix + "device:WANConnectionDevice:1", connection + "::" + prefix + "device:WANConnectionDevice:1"),
        (prefix + "service:WANIPConnection:1", connection + "::" + prefix + "service:WANIPConnection:1")]


def test_the_default_connection_service():
    udn, _, service = description.default_connection_service(UUID).partition(":WANConnectionDevice:1,")
    assert udn == description.udn(UUID, 2)
    assert service == wan_ip.SERVICE.id


def test_every_scpd_is_its_service_s_table():
    for service in description.services():
        elements = _elements(description.scpd(service))
        assert elements[0] == ("scpd", "")
        names, expected = _texts(elements, "name"), []
        for action in service.actions:
            expected.append(action.name)
            expected.extend([name for name, _ in action.arguments_in + action.arguments_out])
        expected.extend([variable.name for variable in service.variables])
        assert names == expected
        directions = []
        for action in service.actions:
            directions += ["in"] * len(action.arguments_in) + ["out"] * len(action.arguments_out)
        assert _texts(elements, "direction") == directions
        assert _texts(elements, "dataType") == [variable.data_type for variable in service.variables]
        assert len(description.scpd(service)) < 16384


def test_evented_variables_are_marked():
    data = description.scpd(wan_ip.SERVICE)
    assert b'<stateVariable sendEvents="yes"><name>ExternalIPAddress</name>' in data
    assert b'<stateVariable sendEvents="no"><name>Uptime</name>' in data
    assert b"<allowedValueList><allowedValue>TCP</allowedValue><allowedValue>UDP</allowedValue></allowedValueList>" in (
        data)
