"""Each client that was recorded gets what it demands: one test a client, named after it.

What a client demands was read in its source or seen when it failed; the tests here look at the answers in its
transcript the way the client does.
"""

import re

from conversation import DEVICE, IGD, SCPD, WAN_IP, device_types, has_mapped, play, service, services

PPP = "urn:schemas-upnp-org:service:WANPPPConnection:1"
WAN_COMMON = "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1"


def is_pure_version_1(root):
    """True for a description in which nothing is of version 2."""
    return device_types(root)[0] == IGD % 1 and not [one for one in root.itertext() if one.endswith(":2")]


def leads_to_version_1(answers):
    """Fail unless there are answers and each leads to the description of version 1."""
    assert answers and {one["location"] for one in answers} == {"http://192.168.1.1:5000/rootDesc.xml"}


def test_miniupnpc():
    for name in "miniupnpc-2.2.4", "miniupnpc-2.2.4-python", "miniupnpc-2.3.3", "transmission-3.00", "i2pd-2.45.1":
        talk = play(name)
        assert talk.call("GetStatusInfo").values()["NewConnectionStatus"] == "Connected", name
        assert talk.call("GetExternalIPAddress").values()["NewExternalIPAddress"] == "11.0.0.2"
        has_mapped(talk)
    root = play("miniupnpc-2.2.4").get("/rootDesc.xml").root
    assert WAN_COMMON in dict(services(root)) and WAN_IP % 1 in dict(services(root))  # else "not an IGD"


def test_miniupnpc_sends_descriptions_that_are_not_escaped():
    talk = play("miniupnpc-2.2.4")
    assert b">a & b <c> \xc3\xa9<" in talk.call("AddPortMapping").request
    assert talk.call("GetGenericPortMappingEntry").values()["NewPortMappingDescription"] == "a & b <c> \xe9"


def test_miniupnpc_gets_long_descriptions_cut_between_characters():
    for name in "miniupnpc-2.2.4-python", "miniupnpc-2.3.3":
        talk = play(name)
        asked = re.search(b"Description>(.*)</NewPortMappingD", talk.call("AddPortMapping").request).group(1)
        told = talk.call("GetGenericPortMappingEntry").values()["NewPortMappingDescription"]
        assert len(asked) > 63 >= len(told.encode()) and asked.decode().startswith(told)


def test_miniupnpc_version_2():
    talk = play("miniupnpc-2.2.4-igd2")
    assert talk.call("AddAnyPortMapping").values() == {"NewReservedPort": "18080"}
    assert talk.call("GetListOfPortMappings", 0).code == 730  # no TCP ones
    assert b"<![CDATA[" in talk.call("GetListOfPortMappings", 1).body  # it does not read an escaped document
    listing = talk.call("GetListOfPortMappings", 1).values()["NewPortListing"]
    assert "<p:NewDescription>any</p:NewDescription>" in listing


def test_minissdpd():
    talk = play("minissdpd-1.6.0")
    answers = talk.search("ssdp:all")
    assert {"upnp:rootdevice", IGD % 1, IGD % 2, WAN_IP % 1, WAN_IP % 2} <= {one["st"] for one in answers}
    assert [one for one in answers if one["st"].startswith("uuid:")]
    assert all(one["cache-control"].startswith("max-age=") for one in answers)
    assert [one for _, one in talk.multicast if one.startswith(b"NOTIFY * HTTP/1.1\r\n") and b"ssdp:alive" in one]


def test_gssdp():
    answers = play("gssdp-1.6.2").search(WAN_IP % 1)
    leads_to_version_1(answers)
    assert {one["st"] for one in answers} == {WAN_IP % 1}


def test_gupnp():
    talk = play("gupnp-1.6.3")
    scpd = talk.get("/WANIPConn1.xml").root  # it introspects: each variable that an argument names must be there
    variables = {one.findtext(SCPD + "name") for one in scpd.iter(SCPD + "stateVariable")}
    related = {one.text for one in scpd.iter(SCPD + "relatedStateVariable")}
    assert related and related <= variables
    has_mapped(talk, 100)
    assert talk.call("GetStatusInfo").values()["NewConnectionStatus"] == "Connected"
    assert b"<ExternalIPAddress>11.0.0.2</ExternalIPAddress>" in talk.events[0].got[0]


def test_gupnp_igd():
    talk = play("gupnp-igd-1.2.0")
    leads_to_version_1(talk.search(WAN_IP % 1))
    assert not talk.search(PPP)
    has_mapped(talk, 60)
    subscribe, first = talk.requests("SUBSCRIBE")[0], talk.events[0]
    assert 100 <= first.at - subscribe.at <= 200  # it loses one that comes together with the answer
    assert b"<ExternalIPAddress>11.0.0.2</ExternalIPAddress>" in first.got[0]


def test_libupnp():
    talk = play("amule-2.3.3")
    answer = talk.requests("SUBSCRIBE")[0]
    assert answer.headers["sid"].startswith("uuid:") and answer.headers["timeout"].startswith("Second-")
    assert [re.search(rb"\r\nSEQ: (\d+)", one.got[0]).group(1) for one in talk.events] == [b"0", b"1"]


def test_amule():
    talk = play("amule-2.3.3")
    assert IGD % 1 in device_types(talk.get("/rootDesc.xml").root)
    assert len(has_mapped(talk, 0)) == 4
    assert talk.call("AddPortMapping").request.count(b"<?xml") == 0
    assert [one.values() for one in talk.calls("DeletePortMapping")] == [{}] * 4
    queries = [one for one in talk.calls("QueryStateVariable") if one.status == 200]
    assert b"<return>11.0.0.2</return>" in b"".join(one.body for one in queries)


def test_libpurple():
    talk = play("libpurple-2.14")
    leads_to_version_1(talk.search(WAN_IP % 1))
    assert WAN_IP % 1 in dict(services(talk.get("/rootDesc.xml").root))
    assert talk.call("GetExternalIPAddress").values() == {"NewExternalIPAddress": "11.0.0.2"}
    assert all(one.is_closed and one.body for one in has_mapped(talk, 0))  # it reads to the end


def test_net_upnp():
    talk = play("net-upnp-perl-1.4.6")
    assert all(one.headers["connection"] == "close" and one.is_closed for one in talk.requests("POST "))
    # as its regular expressions have it
    blocks = re.findall(rb"<service>(.*?)</service>", talk.get("/rootDesc.xml").body, re.S)
    assert (WAN_IP % 1).encode() in [re.search(rb"<serviceType>(.*)</serviceType>", one).group(1) for one in blocks]
    assert b"<return>1</return>" in talk.call("QueryStateVariable").body
    has_mapped(talk)
    assert talk.call("DeletePortMapping").values() == {}


def test_weupnp():
    talk = play("weupnp-0.1.4")
    assert talk.call("GetStatusInfo").values()["NewConnectionStatus"] == "Connected"
    assert talk.call("GetPortMappingNumberOfEntries").code == 401  # there is no such action
    assert talk.call("GetSpecificPortMappingEntry").code == 714
    has_mapped(talk)


def test_sbbi_upnplib():
    talk = play("sbbi-upnplib-1.0.4")
    version = talk.get("/rootDesc.xml").root.find(DEVICE + "specVersion")
    assert [one.text for one in version] == ["1", "0"]  # "Unsupported device version (1.1)"
    answer = talk.search(IGD % 1)[0]
    assert answer["server"] and "::" in answer["usn"] and "max-age" in answer["cache-control"]
    search = talk.exchanges[0]
    assert search.answered_at - search.at == 3  # what comes at once is given to a socket that it is about to close
    assert talk.call("GetGenericPortMappingEntry").code == 713
    has_mapped(talk)


def test_goupnp():
    talk = play("goupnp-2017")
    for version in 1, 2:
        st = "urn:schemas-upnp-org:device:WANConnectionDevice:%d" % version
        assert {one["st"] for one in talk.search(st)} == {st}
    assert [one.values()["NewNATEnabled"] for one in talk.calls("GetNATRSIPStatus")] == ["1", "1"]
    assert talk.call("AddAnyPortMapping").values() == {"NewReservedPort": "30303"}
    assert "&lt;v2> &amp;" in talk.call("AddAnyPortMapping").request.decode().replace("&gt;", ">")
    assert all(one.body for one in talk.requests("POST "))  # an empty fault is an error of its own


def test_go_upnp():
    talk = play("go-upnp-2017")
    leads_to_version_1(talk.search(WAN_IP % 1))
    assert len(has_mapped(talk, 0)) == 2


def test_async_upnp_client():
    talk = play("async-upnp-client-0.49.0")
    for action in "GetTotalBytesReceived", "GetTotalBytesSent", "GetTotalPacketsReceived", "GetTotalPacketsSent":
        assert [int(one) >= 0 for one in talk.call(action).values().values()] == [True]
    assert b"<NewRemoteHost>0.0.0.0</NewRemoteHost>" in has_mapped(talk, 3600)[0].request
    assert talk.call("GetGenericPortMappingEntry").values()["NewRemoteHost"] == ""  # a wildcard
    assert talk.call("GetSpecificPortMappingEntry").values()["NewEnabled"] == "1"
    assert len(talk.requests("SUBSCRIBE")) == 3 and len(talk.events) == 4  # the last one tells of the mapping
    assert b"<PortMappingNumberOfEntries>1</PortMappingNumberOfEntries>" in talk.events[-1].got[0]


def test_upnpclient():
    talk = play("upnpclient-1.0.3")
    locations = {one["location"] for one in talk.search("ssdp:all") + talk.search("upnp:rootdevice")}
    assert len(talk.requests("GET ")) == 5 * len(locations)  # every description and every SCPD, all answered
    assert all(one.status == 200 for one in talk.requests("GET "))
    assert b"<UPnPError xmlns=" in talk.call("GetSpecificPortMappingEntry").body
    assert talk.call("GetSpecificPortMappingEntry").code == 714
    has_mapped(talk, 100)


def test_upnp_port_forward():
    talk = play("upnp-port-forward-0.1.2")
    assert service(talk.get("/rootDesc.xml").root, WAN_IP % 1)["serviceId"].endswith("WANIPConn1")
    calls = has_mapped(talk, 1800)
    assert len(calls) == 2 and b"<NewRemoteHost>11.0.0.2</NewRemoteHost>" in calls[0].request


def test_upnpy():
    talk = play("upnpy-1.1.8")
    assert len(talk.search("upnp:rootdevice")) == 1  # of two it would say that it cannot choose
    refusal = talk.call("DeletePortMapping", 1)
    assert refusal.code == 714 and b"<errorCode>714<" in refusal.body
    has_mapped(talk, 0)


def test_aioupnp():
    talk = play("aioupnp-0.0.18")
    answers = talk.search("upnp:rootdevice") + talk.search(IGD % 1)
    assert answers
    for one in answers:
        assert {"cache-control", "location", "server", "st", "usn"} <= set(one)
        assert re.match(r"http://192\.168\.1\.1:\d+/", one["location"])
    opening = b'Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle='
    for one in talk.requests("POST "):
        assert opening in one.body and one.is_closed  # `body` compares the length
    assert talk.call("AddPortMapping").request.endswith(b"</s:Envelope>\r\n")
    has_mapped(talk, 0)


def test_pyupnp_async():
    talk = play("pyupnp-async-0.1.1")
    answer = talk.search(IGD % 1)[0]
    assert answer["usn"] and answer["server"]
    assert b"<s:Body><u:GetExternalIPAddressResponse " in talk.call("GetExternalIPAddress").body
    assert b"<s:Body><s:Fault>" in talk.call("DeletePortMapping", 1).body
    has_mapped(talk, 100)


def test_upnpme():
    call, = has_mapped(play("upnpme-0.1"), 0)
    assert call.request.startswith(b"POST /upnp/control/WANIPConn1 ") and b"\r\n\r\n\n        <?xml" in call.request


def test_nicotine():
    talk = play("nicotine-plus-3.3.11")
    assert {one["location"] for one in talk.search(WAN_IP % 2)} == {"http://192.168.1.1:5000/igd2/rootDesc.xml"}
    url = service(talk.get("/igd2/rootDesc.xml").root, WAN_IP % 2)["controlURL"]
    call, = has_mapped(talk, 43200)
    assert url.startswith("/") and call.request.startswith(b"POST %s " % url.encode())


def test_simpletr64():
    assert {one["location"] for one in play("simpletr64-1.0.6").search("ssdp:all")} >= {
        "http://192.168.1.1:5000/rootDesc.xml"}


def test_netdisco():
    talk = play("netdisco-3.0.0")
    assert {one["st"] for one in talk.search("ssdp:all")} >= {"upnp:rootdevice", IGD % 1, WAN_IP % 1}


def test_nat_upnp():
    talk = play("nat-upnp-1.1.1")
    answers = talk.search(IGD % 1)
    leads_to_version_1(answers)
    assert answers[0]["st"] == IGD % 1
    root = talk.get("/rootDesc.xml").root
    assert is_pure_version_1(root)  # "Service not found" otherwise
    assert service(root, WAN_IP % 1)["SCPDURL"]
    has_mapped(talk, 120)
    # it searches anew for each thing that it does, from the same port and without a pause
    assert len({one["peer"] for one in answers}) == 1 and len(answers) == 4


def test_nat_api():
    for name in "nat-api-0.3.1", "motrix-nat-api-0.3.4":
        talk = play(name)
        leads_to_version_1(talk.search(IGD % 1))
        has_mapped(talk, 1800)
        assert talk.call("DeletePortMapping").values() == {}


def test_silentbot1_nat_api():
    talk = play("silentbot1-nat-api-0.4.9")
    listing = talk.call("GetGenericPortMappingEntry")
    assert b"<NewPortMappingIndex></NewPortMappingIndex>" in listing.request  # it means 0
    assert listing.values()["NewExternalPort"] == "4000"
    assert talk.call("GetGenericPortMappingEntry", 1).code == 713
    assert b"<s:Body>" in listing.body


def test_achingbrain_nat_port_mapper():
    talk = play("achingbrain-nat-port-mapper-4.0.5")
    assert {one["st"] for one in talk.search(IGD % 2)} == {IGD % 2}
    found = talk.get("/igd2/rootDesc.xml")
    assert device_types(found.root)[0] == IGD % 2 and "/xml" in found.headers["content-type"]
    assert WAN_IP % 2 in dict(services(found.root)) and WAN_IP % 1 not in dict(services(found.root))
    assert talk.call("AddAnyPortMapping").values() == {"NewReservedPort": "4001"}
    assert b"<NewLeaseDuration>3600<" in talk.call("AddAnyPortMapping").request
    assert re.search(rb"<NewProtocol>\s*</NewProtocol>", talk.call("DeletePortMapping").request)  # it names none
    assert talk.call("DeletePortMapping").code == 601  # so its mappings stay until their lease ends


def test_runonflux_nat_upnp():
    talk = play("runonflux-nat-upnp-1.0.2")
    leads_to_version_1(talk.search(IGD % 1))
    has_mapped(talk, 100)
    assert talk.call("GetGenericPortMappingEntry").values()["NewExternalPort"] == "12345"


def test_nat_upnp_rejetto():
    talk = play("nat-upnp-rejetto-2.1.2")
    assert b"<NewRemoteHost>undefined</NewRemoteHost>" in has_mapped(talk, 100)[0].request
    assert talk.call("GetGenericPortMappingEntry").values()["NewRemoteHost"] == ""


def test_bupnp():
    talk = play("bupnp-0.2.6")
    search = talk.exchanges[0]
    assert not search.request.endswith(b"\r\n\r\n") and b"MAN: ssdp:discover" in search.request
    assert IGD % 1 in {one["st"] for one in talk.search("ssdp:all")}
    assert b"<NewEnabled>True</NewEnabled>" in has_mapped(talk, 0)[0].request


def test_tr_o64():
    talk = play("tr-o64")
    assert WAN_IP % 1 in dict(services(talk.get("/igddesc.xml").root))
    assert b'xmlns:s=" http://' in talk.call("GetExternalIPAddress").request
    assert talk.call("GetExternalIPAddress").values() == {"NewExternalIPAddress": "11.0.0.2"}


def test_transmission():
    talk = play("transmission-3.00")
    assert [re.search(b"Protocol>(...)<", one.request).group(1) for one in has_mapped(talk, 0)] == [b"TCP", b"UDP"]
    assert [one.values() for one in talk.calls("DeletePortMapping")] == [{}, {}]


def test_libtorrent():
    talk = play("libtorrent-2.0.8")
    assert talk.exchanges[0].request.endswith(b"\r\n\r\n\r\n")
    assert talk.search("upnp:rootdevice")
    url = service(talk.get("/rootDesc.xml").root, WAN_IP % 1)["controlURL"]
    assert talk.get("/rootDesc.xml").root.find(DEVICE + "URLBase") is None and url.startswith("/")
    assert {one.headers["content-type"] for one in talk.requests("")} == {'text/xml; charset="utf-8"'}
    has_mapped(talk, 3600)


def test_libtorrent_takes_another_port_when_its_own_is_taken():
    talk = play("libtorrent-conflict")
    assert talk.call("AddPortMapping", 1).code == 718
    assert talk.call("AddPortMapping", 2).values() == {}


def test_syncthing():
    talk = play("syncthing-1.19.2")
    for version in 1, 2:
        assert {one["st"] for one in talk.search(IGD % version)} == {IGD % version}
        root = talk.get("/igd2/rootDesc.xml" if version == 2 else "/rootDesc.xml").root
        assert device_types(root) == ["urn:schemas-upnp-org:device:%s:%d" % (name, version) for name in (
            "InternetGatewayDevice", "WANDevice", "WANConnectionDevice")]
        assert service(root, WAN_IP % version)["controlURL"].startswith("/")
    has_mapped(talk, 3600)


def test_i2pd():
    assert len(has_mapped(play("i2pd-2.45.1"), 0)) == 2


def test_litecoin():
    call, = has_mapped(play("miniupnpc-2.2.4-python"), 0)
    assert len(re.search(b"Description>(.*)</NewPortMappingD", call.request).group(1).decode()) >= 66


def test_ktorrent():
    talk = play("ktorrent-22.12.3")
    leads_to_version_1(talk.search(IGD % 1))
    address = talk.call("GetExternalIPAddress")
    assert address.request.startswith(b"POST /upnp/event/") and address.values() == {"NewExternalIPAddress": "11.0.0.2"}
    talk = play("ktorrent-forwarding")
    call, = has_mapped(talk, 0)
    assert b"NewRemoteHost" not in call.request and b'SOAPAction: urn' in call.request
    assert talk.call("DeletePortMapping").values() == {}
    assert call.headers["connection"] == "keep-alive"


def test_biglybt():
    talk = play("biglybt-3.2.0")
    assert talk.call("GetGenericPortMappingEntry").code == 713
    assert len(has_mapped(talk, 0)) >= 2
    scpd = talk.get("/WANIPConn1.xml").root
    assert {"AddPortMapping", "DeletePortMapping", "GetGenericPortMappingEntry"} <= {
        one.text for one in scpd.iter(SCPD + "name")}
