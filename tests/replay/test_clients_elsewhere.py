"""Each client that cannot run here gets what it demands: one test a client, named after it.

Their transcripts were written from their sources and from reports of their traffic.
"""

import re

from conversation import CONTINUE, DEVICE, IGD, SCPD, WAN_IP, device_types, has_mapped, play, service, services

VERSION_2_ACTIONS = {"DeletePortMappingRange", "AddAnyPortMapping", "GetListOfPortMappings"}


def actions(scpd):
    """Return the names of an SCPD's actions."""
    return {one.findtext(SCPD + "name") for one in scpd.iter(SCPD + "action")}


def argument_names(scpd, action, direction):
    """Return the names of an action's arguments in the SCPD's order."""
    one, = [one for one in scpd.iter(SCPD + "action") if one.findtext(SCPD + "name") == action]
    return [argument.findtext(SCPD + "name") for argument in one.iter(SCPD + "argument")
            if argument.findtext(SCPD + "direction") == direction]


def test_tailscale():
    talk = play("tailscale")
    answers = talk.search("ssdp:all")
    assert {one.at for one in talk.exchanges[:3]} == {0}  # it waits for 250 ms and no longer
    gateways = sorted((one for one in answers if ":InternetGatewayDevice:" in one["st"]), key=lambda one: one["usn"])
    assert [re.match(r"http://192\.168\.1\.1:5000(/.*)", one["location"]).group(1) for one in gateways] == [
        "/rootDesc.xml", "/igd2/rootDesc.xml"]  # it takes the one whose USN is greater: version 2
    assert talk.call("GetStatusInfo").values()["NewConnectionStatus"] == "Connected"
    assert talk.call("GetExternalIPAddress").values()["NewExternalIPAddress"] == "11.0.0.2"
    assert [one.values() for one in talk.calls("AddAnyPortMapping")] == [{"NewReservedPort": "41641"}] * 2  # renewed
    assert talk.call("DeletePortMapping", 2).code == 714
    has_mapped(talk, 0)  # what it tries where leases are refused


def test_go_ethereum():
    talk = play("go-ethereum")
    assert talk.search("urn:schemas-upnp-org:device:WANConnectionDevice:1")
    assert talk.call("GetNATRSIPStatus").values()["NewNATEnabled"] == "1"
    assert talk.call("DeletePortMapping").code == 714  # it deletes before it maps
    has_mapped(talk, 600)
    assert talk.call("GetSpecificPortMappingEntry", 0).values()["NewLeaseDuration"] == "300"  # renewed, half is over
    assert talk.call("GetSpecificPortMappingEntry", 1).code == 714  # it has ended


def test_go_libp2p():
    talk = play("go-libp2p")
    assert {one["location"] for one in talk.search("urn:schemas-upnp-org:device:WANConnectionDevice:2")} == {
        "http://192.168.1.1:5000/igd2/rootDesc.xml"}
    assert talk.call("GetNATRSIPStatus").values()["NewNATEnabled"] == "1"
    assert len(has_mapped(talk, 60)) == 2


def test_igd_next():
    talk = play("igd-next")
    scpd = talk.get("/WANIPConn1.xml").root
    sent = re.findall(rb"<(New\w+)>", talk.call("AddPortMapping").request)
    assert argument_names(scpd, "AddPortMapping", "in") == [one.decode() for one in sent]
    assert talk.call("AddPortMapping", 0).values() == {}
    assert talk.call("AddPortMapping", 1).code == 718  # for another host: it tries another port, or gives up
    assert talk.call("GetGenericPortMappingEntry", 1).code == 713
    any_port = talk.call("AddAnyPortMapping")
    assert b"WANIPConnection:1#AddAny" in any_port.request and b"POST /igd2/" in any_port.request
    assert any_port.values() == {"NewReservedPort": "9001"}


def test_open_nat_and_mono_nat():
    talk = play("open-nat")
    searched = {one.asked["st"] for one in talk.exchanges if one.where.startswith("udp")}
    assert {one["st"] for st in searched for one in talk.search(st)} == {WAN_IP % 1, WAN_IP % 2}
    assert re.match(r"http://192\.168\.1\.1:", talk.search(WAN_IP % 1)[0]["location"])
    for one in talk.requests("POST "):
        assert one.got[0] == CONTINUE and len(one.sent) == 2  # or it would wait for 350 ms
    assert talk.call("GetGenericPortMappingEntry", 1).code == 713
    assert talk.call("DeletePortMapping", 1).code == 714
    has_mapped(talk, 0)


def test_windows_xp():
    talk = play("windows-xp")
    assert talk.search(IGD % 1) and talk.search("upnp:rootdevice")
    root = talk.get("/rootDesc.xml").root
    assert device_types(root)[0] == IGD % 1 and root.findtext("%sdevice/%spresentationURL" % (DEVICE, DEVICE))
    assert root.find(DEVICE + "device").find(DEVICE + "serviceList") is not None  # else it shows nothing
    assert root.find(DEVICE + "device").find(DEVICE + "deviceList") is not None
    for one in services(root)[:3]:
        assert talk.get(one[1]["SCPDURL"]).root.tag == SCPD + "scpd"
    first = [one for one in talk.events if b"\r\nSEQ: 0\r\n" in one.got[0]]
    assert len(talk.requests("SUBSCRIBE")) == 4 and len(first) == 3  # the fourth is a renewal
    assert {one.headers["timeout"] for one in talk.requests("SUBSCRIBE")} == {"Second-300"}
    assert ":WANConnectionDevice:1," in talk.call("GetDefaultConnectionService").values()["NewDefaultConnectionService"]
    assert talk.call("GetCommonLinkProperties").values()["NewPhysicalLinkStatus"] == "Up"
    assert talk.call("GetTotalBytesReceived").values() == {"NewTotalBytesReceived": "0"}
    assert talk.call("GetStatusInfo").values()["NewConnectionStatus"] == "Connected"
    assert b'dt:dt="ui2">6112</NewExternalPort>' in has_mapped(talk)[0].request
    assert talk.call("GetGenericPortMappingEntry").values()["NewInternalClient"] == "192.168.1.2"
    assert talk.call("DeletePortMapping").values() == {}
    assert [one.status for one in talk.requests("UNSUBSCRIBE")] == [200, 200, 200]


def test_windows_since_7():
    talk = play("windows-10")
    for path in "/rootDesc.xml", "/igd2/rootDesc.xml":  # wherever it looks, it sees version 1 and nothing else
        found = talk.get(path).root
        assert device_types(found)[0] == IGD % 1 and WAN_IP % 1 in dict(services(found))
        assert not [one for one in found.itertext() if one.endswith(":2")]
    for path in "/WANIPConn1.xml", "/igd2/WANIPConn1.xml":
        assert "AddPortMapping" in actions(talk.get(path).root)
        assert not VERSION_2_ACTIONS & actions(talk.get(path).root)
    assert b"\r\nSEQ: 0\r\n" in talk.events[0].got[0]
    has_mapped(talk, 3600)
    shown = talk.call("GetSpecificPortMappingEntry").values()
    assert shown["NewInternalPort"] == "3074"
    assert shown["NewLeaseDuration"] == "0"  # Windows 11 lists nothing that has an end
    assert talk.call("GetGenericPortMappingEntry", 1).code == 713  # Teredo's renewals do not pile up


def test_xbox():
    talk = play("xbox")
    assert {one["location"] for one in talk.search(IGD % 1)} == {"http://192.168.1.1:5000/rootDesc.xml"}
    assert not VERSION_2_ACTIONS & actions(talk.get("/igd2/WANIPConn1.xml").root)
    assert talk.call("AddPortMapping", 0).values() == {}
    assert talk.call("AddPortMapping", 1).code == 718  # the second console's; it takes another port then
    assert talk.call("AddPortMapping", 2).values() == {}
    assert talk.call("AddPortMapping", 3).values() == {}  # the first one's renewal
    owners = [talk.call("GetGenericPortMappingEntry", index).values() for index in (0, 1)]
    assert [(one["NewExternalPort"], one["NewInternalClient"]) for one in owners] == [
        ("3074", "192.168.1.2"), ("54321", "192.168.1.3")]
    assert talk.call("GetGenericPortMappingEntry", 2).code == 713


def test_playstation():
    talk = play("playstation")
    assert device_types(talk.get("/rootDesc.xml").root)[0] == IGD % 1
    granted = [one.status for one in talk.calls("AddPortMapping")]
    assert granted == [200, 200, 500, 200] and talk.call("AddPortMapping", 2).code == 718
    assert talk.call("GetSpecificPortMappingEntry").values()["NewInternalPort"] == "9308"


def test_directplay():
    talk = play("directplay")
    assert b">255.255.255.255</NewInternalClient>" in has_mapped(talk)[0].request
    assert talk.call("GetSpecificPortMappingEntry").values()["NewInternalClient"] == "192.168.1.2"
    assert talk.call("DeletePortMapping").values() == {}


def test_rainbow_six_siege():
    talk = play("rainbow-six-siege")
    assert b"<NewInternalClient></NewInternalClient>" in has_mapped(talk)[0].request
    assert talk.call("GetSpecificPortMappingEntry").values()["NewInternalClient"] == "192.168.1.2"


def test_utorrent():
    talk = play("utorrent")
    assert talk.search("upnp:rootdevice")
    assert talk.get("/rootDesc.xml").is_closed  # HTTP/1.0
    assert len(has_mapped(talk, 0)) == 2
    # its second way, through Windows, finds what the first one made
    assert talk.call("GetSpecificPortMappingEntry").values()["NewPortMappingDescription"] == "uTorrent (TCP)"
    assert [one.values() for one in talk.calls("DeletePortMapping")] == [{}, {}]


def test_skype():
    talk = play("skype")
    assert len(has_mapped(talk, 0)) == 8
    assert talk.call("GetGenericPortMappingEntry", 0).values()["NewPortMappingDescription"] == (
        "Skype TCP at 192.168.1.2:23399 (2103)")
    assert talk.call("GetGenericPortMappingEntry", 1).code == 713  # a week later what it forgot is gone


def test_plex():
    talk = play("plex")
    assert talk.call("AddPortMapping", 0).code == 718  # asked for another host
    assert talk.call("AddPortMapping", 1).values() == {}
    assert talk.call("GetSpecificPortMappingEntry").values()["NewInternalPort"] == "32400"


def test_tinyupnp_and_retroarch():
    talk = play("tinyupnp")
    assert len(talk.search(IGD % 1)) == 1
    body = talk.get("/rootDesc.xml").body
    # a scanner, not a parser: the control URL behind the service's type, no blanks in the tags
    behind = body[body.index(b"<serviceType>" + (WAN_IP % 1).encode() + b"</serviceType>"):]
    assert re.search(b"<controlURL>([^<]*)</controlURL>", behind).group(1) == (
        service(talk.get("/rootDesc.xml").root, WAN_IP % 1)["controlURL"].encode())
    has_mapped(talk, 7200)
