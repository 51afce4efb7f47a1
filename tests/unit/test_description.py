"""miniigd.description: well-formed documents that hold what clients look for, and the targets of searches."""

from helpers import elements, texts
from miniigd import config, description, scpd
from miniigd.description import CONTROL, DESCRIPTION, EVENT, SCPD, Device
from miniigd.services import layer3, wan_common, wan_ethernet, wan_ip, wan_ip2, wan_ipv6_firewall, wan_ppp

UUID = "6d696e69-6967-8001-8000-0001020304ff"
DEVICE = Device(UUID)
PPP_DEVICE = Device(UUID, is_ppp=True)
VERSION_1_DEVICE = Device(UUID, (1,), True)

# (device, version, its services in the order of the description)
TREES = (
    (DEVICE, 1, (layer3.SERVICE, wan_common.SERVICE, wan_ip.SERVICE, wan_ethernet.SERVICE)),
    (DEVICE, 2, (layer3.SERVICE, wan_common.SERVICE, wan_ip2.SERVICE, wan_ethernet.SERVICE, wan_ipv6_firewall.SERVICE)),
    (PPP_DEVICE, 1, (layer3.SERVICE, wan_common.SERVICE, wan_ip.SERVICE, wan_ppp.SERVICE, wan_ethernet.SERVICE)),
    (PPP_DEVICE, 2, (layer3.SERVICE, wan_common.SERVICE, wan_ip2.SERVICE, wan_ppp.SERVICE, wan_ethernet.SERVICE,
                     wan_ipv6_firewall.SERVICE)),
    (VERSION_1_DEVICE, 1, (layer3.SERVICE, wan_common.SERVICE, wan_ip.SERVICE, wan_ppp.SERVICE, wan_ethernet.SERVICE)),
)
VERSION_2_ACTIONS = ("AddAnyPortMapping", "DeletePortMappingRange", "GetListOfPortMappings")


def test_the_descriptions_are_well_formed_and_small():
    for device, version, _ in TREES:
        data = device.document(version, "http://192.168.1.1/")
        assert data.startswith(b'<?xml version="1.0"?>\r\n<root xmlns="urn:schemas-upnp-org:device-1-0" configId="%d">'
                               % device.config_id)
        assert len(data) < 4096  # small clients have a buffer of 4 kB
        found = elements(data)
        assert found[0] == ("root", "")
        assert texts(found, "major") + texts(found, "minor") == ["1", "0"]
        assert texts(found, "presentationURL") == ["http://192.168.1.1/"]
        assert "URLBase" not in [name for name, _ in found]


def test_the_devices_are_all_of_the_version():
    for device, version, _ in TREES:
        found = elements(device.document(version, ""))
        assert texts(found, "deviceType") == [
            "urn:schemas-upnp-org:device:InternetGatewayDevice:%d" % version,
            "urn:schemas-upnp-org:device:WANDevice:%d" % version,
            "urn:schemas-upnp-org:device:WANConnectionDevice:%d" % version]
        for name in ("friendlyName", "manufacturer", "modelName", "UDN"):
            values = texts(found, name)
            assert len(values) == 3 and all(values), name


def test_every_service_has_its_five_elements_in_order():
    for device, version, services in TREES:
        found = elements(device.document(version, ""))
        names = [name for name, _ in found]
        starts = [index for index, name in enumerate(names) if name == "service"]
        assert len(starts) == len(services)
        prefix = {1: "", 2: "/igd2"}[version]
        for start, service in zip(starts, services):
            assert found[start + 1:start + 6] == [
                ("serviceType", service.type), ("serviceId", service.id),
                ("SCPDURL", "%s/%s.xml" % (prefix, service.short_id)),
                ("controlURL", "%s/upnp/control/%s" % (prefix, service.short_id)),
                ("eventSubURL", "%s/upnp/event/%s" % (prefix, service.short_id))]


def test_the_service_types_of_both_versions():
    prefix = "urn:schemas-upnp-org:service:"
    for version in (1, 2):
        assert texts(elements(DEVICE.document(version, "")), "serviceType") == [
            prefix + "Layer3Forwarding:1", prefix + "WANCommonInterfaceConfig:1",
            prefix + "WANIPConnection:%d" % version, prefix + "WANEthernetLinkConfig:1"] + (
                [prefix + "WANIPv6FirewallControl:1"] if version == 2 else [])


def test_a_ppp_connection_is_offered_on_a_ppp_link_only():
    for device, version, services in TREES:
        is_offered = b"WANPPPConn" in device.document(version, "")
        assert is_offered == (wan_ppp.SERVICE in services) == (device is not DEVICE)
        assert is_offered == (device.find("/WANPPPConn1.xml") is not None)
        assert is_offered == (wan_ppp.SERVICE.type in [target for target, _, _ in device.targets()])


def test_nothing_of_version_2_is_in_version_1():
    # Windows and the Xbox stop reading at the first that they see.
    for device, version, services in TREES:
        if version == 1:
            documents = [device.document(1, "http://192.168.1.1/")] + [scpd.document(one) for one in services]
            for data in documents:
                assert b":2" not in data and b"igd2" not in data
                for name in VERSION_2_ACTIONS:
                    assert name.encode() not in data


def test_a_description_is_made_once_for_each_address():
    device = Device(UUID)
    for version in (1, 2):
        one, other = device.document(version, "http://192.168.1.1/"), device.document(version, "http://192.168.2.1/")
        assert b"http://192.168.1.1/" in one and b"http://192.168.2.1/" in other
        assert device.document(version, "http://192.168.2.1/") is other
        assert device.document(version, "http://192.168.1.1/") == one
    assert device.document(1, "http://192.168.1.1/") != device.document(2, "http://192.168.1.1/")


def test_there_is_no_white_space_between_the_tags():
    for device, version, _ in TREES:
        data = device.document(version, "http://192.168.1.1/")
        assert b"> " not in data and b"\n<" not in data[24:] and b"\n  " not in data


def test_a_presentation_url_is_escaped():
    for version in (1, 2):
        assert b"<presentationURL>http://a/?b&amp;&lt;</presentationURL>" in DEVICE.document(version, "http://a/?b&<")


def test_the_configuration_s_words_are_in_the_description():
    device = Device(UUID, (1, 2), False, ("Tom & <J>", "2\"", "<3>"), "http://a/?b&<")
    for version in (1, 2):
        found = elements(device.document(version, "http://192.168.1.1/"))
        assert texts(found, "friendlyName") == ["Tom &amp; &lt;J&gt;", "WANDevice", "WANConnectionDevice"]
        assert texts(found, "modelNumber") == ["2&quot;"] * 3
        assert texts(found, "serialNumber") == ["&lt;3&gt;"] * 3
        assert texts(found, "presentationURL") == ["http://a/?b&amp;&lt;"]
    found = elements(DEVICE.document(1, "http://192.168.1.1/"))
    assert texts(found, "friendlyName")[0] == "miniigd" and texts(found, "serialNumber") == ["00000000"] * 3


def test_an_empty_presentation_url_leaves_the_element_out():
    for version in (1, 2):
        assert b"presentationURL" not in Device(UUID, presentation_url="").document(version, "http://192.168.1.1/")


def test_other_words_are_another_configuration():
    labels = ("miniigd", "1", "00000000")
    ids = [Device(UUID, labels=labels).config_id]
    for index in range(3):
        ids.append(Device(UUID, labels=labels[:index] + ("x",) + labels[index + 1:]).config_id)
    for url in ("", "http://a/", "http://b/"):
        ids.append(Device(UUID, presentation_url=url).config_id)
    assert len(set(ids)) == 7 and ids[0] == DEVICE.config_id


def test_the_longest_words_leave_the_description_small():
    device = Device(UUID, is_ppp=True, labels=("x" * 63,) * 3, presentation_url="http://" + "x" * 248)
    assert len(device.document(2, "")) < 4608


def _udns(device):
    return [device.udn(version, index) for version in (1, 2) for index in range(3)]


def test_each_device_has_its_own_udn():
    udns = _udns(DEVICE)
    assert udns == ["uuid:6d696e69-6967-8001-8000-0001020304ff", "uuid:6d696e69-6967-8002-8000-0001020304ff",
                    "uuid:6d696e69-6967-8003-8000-0001020304ff", "uuid:6d696e69-6967-8004-8000-0001020304ff",
                    "uuid:6d696e69-6967-8005-8000-0001020304ff", "uuid:6d696e69-6967-8006-8000-0001020304ff"]
    assert texts(elements(DEVICE.document(1, "")), "UDN") == udns[:3]
    assert texts(elements(DEVICE.document(2, "")), "UDN") == udns[3:]


def test_a_udn_stays_a_uuid():
    for uuid in ("00000000-0000-ffff-0000-000000000000", "6D696E69-6967-FFFE-8000-0001020304FF"):
        udns = _udns(Device(uuid))
        assert len(set(udns)) == 6
        for udn in udns:
            assert udn.startswith("uuid:") and config.is_uuid(udn[5:])


def test_the_targets_are_those_of_the_standard():
    root, device, connection, root_2, device_2, connection_2 = _udns(DEVICE)
    prefix = "urn:schemas-upnp-org:"
    expected = [("upnp:rootdevice", root + "::upnp:rootdevice", 1), (root, root, 1)]
    for kind in ("device:InternetGatewayDevice:1", "service:Layer3Forwarding:1"):
        expected.append((prefix + kind, root + "::" + prefix + kind, 1))
    expected.append((device, device, 1))
    for kind in ("device:WANDevice:1", "service:WANCommonInterfaceConfig:1"):
        expected.append((prefix + kind, device + "::" + prefix + kind, 1))
    expected.append((connection, connection, 1))
    for kind in ("device:WANConnectionDevice:1", "service:WANIPConnection:1", "service:WANEthernetLinkConfig:1"):
        expected.append((prefix + kind, connection + "::" + prefix + kind, 1))
    assert len(expected) == 11
    assert Device(UUID, (1,)).targets() == expected
    # of version 2, only what version 1 has not
    expected.extend([("upnp:rootdevice", root_2 + "::upnp:rootdevice", 2), (root_2, root_2, 2)])
    kind = prefix + "device:InternetGatewayDevice:2"
    expected.extend([(kind, root_2 + "::" + kind, 2), (device_2, device_2, 2)])
    kind = prefix + "device:WANDevice:2"
    expected.extend([(kind, device_2 + "::" + kind, 2), (connection_2, connection_2, 2)])
    for kind in ("device:WANConnectionDevice:2", "service:WANIPConnection:2"):
        expected.append((prefix + kind, connection_2 + "::" + prefix + kind, 2))
    kind = prefix + "service:WANIPv6FirewallControl:1"
    expected.append((kind, connection_2 + "::" + kind, 2))
    assert len(expected) == 20
    assert DEVICE.targets() == expected
    kind = prefix + "service:WANPPPConnection:1"
    expected.insert(10, (kind, connection + "::" + kind, 1))
    assert PPP_DEVICE.targets() == expected


def test_a_search_is_led_to_the_version_it_names():
    targets = PPP_DEVICE.targets()
    for name, versions in (
            ("device:InternetGatewayDevice", (1, 2)), ("device:WANDevice", (1, 2)),
            ("device:WANConnectionDevice", (1, 2)), ("service:WANIPConnection", (1, 2)),
            ("service:WANPPPConnection", (1,)), ("service:WANCommonInterfaceConfig", (1,)),
            ("service:Layer3Forwarding", (1,)), ("service:WANEthernetLinkConfig", (1,))):
        for version in (0, 1, 2, 3):
            target = "urn:schemas-upnp-org:%s:%d" % (name, version)
            found = [one[2] for one in targets if one[0] == target]
            assert found == ([version] if version in versions else []), target


def test_every_usn_is_there_once_and_names_a_device_of_its_version():
    for device in (DEVICE, PPP_DEVICE, VERSION_1_DEVICE):
        targets = device.targets()
        assert len(set([usn for _, usn, _ in targets])) == len(targets)
        for target, usn, version in targets:
            assert version in device.versions
            udn = usn.partition("::")[0]
            assert udn in texts(elements(device.document(version, "")), "UDN")
            assert usn == (udn if target == udn else udn + "::" + target)


def test_version_1_alone_when_told_so():
    device = Device(UUID, (1,))
    for target, _, version in device.targets():
        assert version == 1 and not target.endswith(":2")
    for path in ("/igd2/rootDesc.xml", "/igd2/WANIPConn1.xml", "/igd2/upnp/control/WANIPConn1",
                 "/igd2/upnp/event/WANIPConn1"):
        assert DEVICE.find(path) is not None
        assert device.find(path) is None
    for path in ("/rootDesc.xml", "/WANIPConn1.xml", "/upnp/control/WANIPConn1", "/upnp/event/WANIPConn1"):
        assert device.find(path) == DEVICE.find(path)


def test_every_url_leads_to_its_service():
    for device, version, services in TREES:
        assert device.find(description.description_path(version)) == (DESCRIPTION, version, None)
        found = elements(device.document(version, ""))
        for kind, name in ((SCPD, "SCPDURL"), (CONTROL, "controlURL"), (EVENT, "eventSubURL")):
            urls = texts(found, name)
            assert len(set(urls)) == len(services)
            assert [device.find(url) for url in urls] == [(kind, version, service) for service in services]


def test_no_url_is_in_both_versions():
    urls = []
    for version in (1, 2):
        found = elements(PPP_DEVICE.document(version, ""))
        urls.append(description.description_path(version))
        for name in ("SCPDURL", "controlURL", "eventSubURL"):
            urls.extend(texts(found, name))
    assert len(urls) == len(set(urls)) == 2 * (1 + 3 * 5) + 3
    for url in urls:
        assert url.startswith("/")


def test_the_paths_of_the_descriptions():
    assert description.description_path(1) == "/rootDesc.xml"
    assert description.description_path(2) == "/igd2/rootDesc.xml"


def test_nothing_is_behind_other_paths():
    for path in ("", "/", "*", "/igd2", "/igd2/", "/igd1/rootDesc.xml", "/igd3/rootDesc.xml", "/igd2rootDesc.xml",
                 "/igd2//rootDesc.xml", "//rootDesc.xml", "/igd2/igd2/rootDesc.xml", "rootDesc.xml", "/rootDesc.xml/",
                 "/rootDesc.xml?a", "/rootdesc.xml", ".xml", "/.xml", "xWANIPConn1.xml", "/WANIPConn1",
                 "WANIPConn1.xml", "/WANIPConn2.xml", "/WANPPPConn1.xml", "/upnp/control/", "/upnp/control/WANIPConn1/",
                 "/upnp/control/WANIPConn1.xml", "/upnp/event/", "/upnp/WANIPConn1", "/upnp/control/WANPPPConn1",
                 "/IGD2/rootDesc.xml", "/igd2/upnp/control/", "/WANIPConn1.xml\0", "/../WANIPConn1.xml"):
        assert DEVICE.find(path) is None, path


def test_the_default_connection_service():
    for device in (DEVICE, PPP_DEVICE):
        for version in (1, 2):
            value = device.default_connection_service(version)
            udn, _, service = value.partition(":WANConnectionDevice:%d," % version)
            assert udn == device.udn(version, 2)
            assert service == "urn:upnp-org:serviceId:WANIPConn1"
            found = elements(device.document(version, ""))
            assert udn in texts(found, "UDN") and service in texts(found, "serviceId")
