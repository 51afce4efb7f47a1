"""miniigd.control: requests to answers, as bytes: documents, calls of real clients, and everything that is refused."""

from helpers import (HOST, HOST6, OTHER, OTHER6, Files, Output, damaged, elements, make_gateway, make_gateway6,
                     make_request, texts)
from miniigd import pinholes as pinholes_module
from miniigd import log
from miniigd.addresses import ip6_bytes
from miniigd.control import Control
from miniigd.description import Device
from miniigd.errors import FirewallError
from miniigd.http import Heads, HTTPError, RequestReader
from miniigd.interfaces import Interface
from miniigd.mapping import MAX_MAPPINGS
from miniigd.pinhole import MAX_PINHOLES
from miniigd.xml import unescape

UUID, LAN = "6d696e69-6967-8001-8000-000102030405", "192.168.1.1"
URL, URL_2 = "/upnp/control/WANIPConn1", "/igd2/upnp/control/WANIPConn1"
URLS = {1: URL, 2: URL_2}
URL_PINHOLES = "/igd2/upnp/control/WANIPv6Firewall1"

ADD = (
    b'<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
    b's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
    b'<u:AddPortMapping xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1"><NewRemoteHost></NewRemoteHost>'
    b"<NewExternalPort>8000</NewExternalPort><NewProtocol>TCP</NewProtocol><NewInternalPort>8000</NewInternalPort>"
    b"<NewInternalClient>192.168.1.2</NewInternalClient><NewEnabled>1</NewEnabled>"
    b"<NewPortMappingDescription>Tom & Jerry</NewPortMappingDescription><NewLeaseDuration>0</NewLeaseDuration>"
    b"</u:AddPortMapping></s:Body></s:Envelope>\r\n")

POST = (b"POST /upnp/control/WANIPConn1 HTTP/1.1\r\nHost: 192.168.1.1:5000\r\nContent-Length: %d\r\n"
        b'SOAPAction: "urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping"\r\n\r\n' % len(ADD)) + ADD

GET = b"GET /rootDesc.xml HTTP/1.1\r\nHost: 192.168.1.1:5000\r\n\r\n"


class _Events:
    """Stands in for Events: remembers what it was asked; answers with `answer`, or raises that HTTPError."""

    def __init__(self):
        self.requests = []
        self.answer = b"HTTP/1.1 200 OK\r\n\r\n"

    def respond(self, request, caller, version, service):
        self.requests.append((request.method, request.path, caller, version, service.type))
        if isinstance(self.answer, HTTPError):
            raise self.answer
        return self.answer


def _interface():
    interface = Interface("lan")
    interface.addresses = [(LAN, 24)]
    return interface


def _control(versions=(1, 2), is_ppp=False, address="81.2.69.160"):
    gateway = make_gateway(address)
    device = Device(UUID, versions, is_ppp)
    gateway.default_connection_services = {
        version: device.default_connection_service(version) for version in versions}
    return Control(gateway, device, _Events(), _interface()), gateway


def _answer(control, request, caller, now):
    return b"".join(control.respond(request, caller, now))


def _respond(control, method, path, headers=(), body=b"", caller=HOST, now=100):
    """Return (status, header lines, body) of an answer; fails when its head is not in order."""
    with Output(log):
        data = _answer(control, make_request(method, path, headers, body), caller, now)
    head, mark, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert mark and lines[0].startswith(b"HTTP/1.1 ")
    assert b"Connection: close" in lines
    if method != "HEAD":
        assert b"Content-Length: %d" % len(body) in lines
    return int(lines[0][9:12]), lines, body


def _call(control, name, arguments=b"", path=URL, caller=HOST, now=100):
    body = b"<s:Envelope><s:Body><u:%s>%s</u:%s></s:Body></s:Envelope>" % (name, arguments, name)
    return _respond(control, "POST", path, ((b"SOAPAction", b'"urn:x#%s"' % name),), body, caller, now)


def test_documents():
    control, _ = _control()
    for path, root in (
            ("/rootDesc.xml", b"<root "), ("/WANIPConn1.xml", b"<scpd "), ("/WANCommonIFC1.xml", b"<scpd "),
            ("/L3Forwarding1.xml", b"<scpd "), ("/WANEthLinkC1.xml", b"<scpd "), ("/igd2/rootDesc.xml", b"<root "),
            ("/igd2/WANIPConn1.xml", b"<scpd "), ("/igd2/WANCommonIFC1.xml", b"<scpd "),
            ("/igd2/L3Forwarding1.xml", b"<scpd "), ("/igd2/WANEthLinkC1.xml", b"<scpd ")):
        status, lines, body = _respond(control, "GET", path)
        assert status == 200
        assert b'Content-Type: text/xml; charset="utf-8"' in lines
        assert b"EXT:" in lines
        assert root in body
        status, head_lines, nothing = _respond(control, "HEAD", path)
        assert (status, head_lines, nothing) == (200, lines, b"")


def test_the_description_names_this_router():
    for path, uuid in (("/rootDesc.xml", UUID), ("/igd2/rootDesc.xml", "6d696e69-6967-8004-8000-000102030405")):
        body = _respond(_control()[0], "GET", path)[2]
        assert b"<UDN>uuid:" + uuid.encode() in body
        assert b"<presentationURL>http://192.168.1.1/</presentationURL>" in body


def test_what_is_not_offered_is_not_there():
    control, gateway = _control((1,))
    for method, path in (("GET", "/igd2/rootDesc.xml"), ("GET", "/igd2/WANIPConn1.xml"), ("POST", URL_2),
                         ("GET", "/WANPPPConn1.xml"), ("POST", "/upnp/control/WANPPPConn1")):
        assert _respond(control, method, path)[0] == 404, path
    control, gateway = _control(is_ppp=True)
    for path in ("/upnp/control/WANPPPConn1", "/igd2/upnp/control/WANPPPConn1"):
        body = _call(control, b"GetLinkLayerMaxBitRates", path=path)[2]
        assert b"<NewUpstreamMaxBitRate>50000000</NewUpstreamMaxBitRate>" in body
        assert b'xmlns:u="urn:schemas-upnp-org:service:WANPPPConnection:1"' in body


PATHS = ("/rootDesc.xml", "/WANIPConn1.xml", "/WANCommonIFC1.xml", "/L3Forwarding1.xml", "/WANEthLinkC1.xml",
         "/WANPPPConn1.xml")


def test_windows_and_the_xbox_see_version_1_wherever_they_look():
    control, _ = _control(is_ppp=True)
    for agent in (b"Microsoft-Windows/10.0 UPnP/1.0", b"Microsoft-Windows/6.1 UPnP/1.0 Windows-Media-Player/12.0",
                  b"FDSSDP", b"fdssdp", b"Xbox/2.0.17559.0 UPnP/1.0 Xbox/2.0.17559.0", b"MICROSOFT-WINDOWS",
                  b"Mozilla/4.0 (compatible; UPnP/1.0; Windows NT/5.1) Microsoft-Windows", b" XBOX "):
        for path in PATHS:
            expected = _respond(control, "GET", path)
            assert b":2" not in expected[2]
            for name in (b"User-Agent", b"USER-AGENT"):
                assert _respond(control, "GET", "/igd2" + path, ((name, agent),)) == expected
                assert _respond(control, "GET", path, ((name, agent),)) == expected
                assert _respond(control, "HEAD", "/igd2" + path, ((name, agent),))[:2] == expected[:2]


def test_windows_is_told_of_leases_without_end():
    """Its list of mappings leaves out those whose lease has one."""
    control, _ = _control()
    _call(control, b"AddPortMapping", _mapping(b"8000"))
    for agent, lease in ((b"Microsoft-Windows/10.0 UPnP/1.0", b"0"), (b"Xbox/2.0 UPnP/1.0", b"0"),
                         (b"Linux UPnP/1.1 MiniUPnPc", b"3600")):
        for name, arguments in ((b"GetSpecificPortMappingEntry", _identity(b"8000")),
                                (b"GetGenericPortMappingEntry", _index(b"0"))):
            answer = _answer(control, make_request(
                "POST", URL, ((b"SOAPAction", b"urn:x#" + name), (b"User-Agent", agent)),
                b"<s:Envelope><s:Body><u:%s>%s</u:%s></s:Body></s:Envelope>" % (name, arguments, name)), HOST, 100)
            assert b"<NewLeaseDuration>%s</NewLeaseDuration>" % lease in answer, (agent, name)


def test_a_version_1_call_of_the_version_2_service_is_answered_as_such():
    """rust-igd always names version 1, also for the actions of version 2."""
    control, _ = _control()
    for version in (b"1", b"2"):
        answer = _answer(control, make_request(
            "POST", URL_2, ((b"SOAPAction", b'"%s%s#AddAnyPortMapping"' % (IP.encode(), version)),),
            b"<s:Envelope><s:Body><u:AddAnyPortMapping>%s</u:AddAnyPortMapping></s:Body></s:Envelope>"
            % _mapping(b"8000")), HOST, 100)
        assert b'<u:AddAnyPortMappingResponse xmlns:u="%s%s">' % (IP.encode(), version) in answer


def test_where_one_vendor_s_clients_look():
    control, _ = _control()
    assert _respond(control, "GET", "/igddesc.xml") == _respond(control, "GET", "/rootDesc.xml")


def test_others_see_version_2_where_it_is():
    control, _ = _control(is_ppp=True)
    for agent in (b"", b"Linux/5.4 UPnP/1.1 MiniUPnPc/2.2.4", b"WindowsXP", b"Windows/10", b"micro soft", b"FD SSDP"):
        for path in PATHS:
            answer = _respond(control, "GET", "/igd2" + path, ((b"User-Agent", agent),))
            assert answer == _respond(control, "GET", "/igd2" + path)
        for path, text in (("rootDesc", b"InternetGatewayDevice:2"), ("WANIPConn1", b"AddAnyPortMapping")):
            assert text in _respond(control, "GET", "/igd2/%s.xml" % path, ((b"User-Agent", agent),))[2]


def test_other_requests():
    control, _ = _control()
    for method, path, status in (
            ("GET", "/", 404), ("GET", "/etc/passwd", 404), ("GET", "/../rootDesc.xml", 404),
            ("GET", "/rootDesc.xml/", 404), ("GET", "/rootdesc.xml", 404), ("GET", URL, 405), ("HEAD", URL, 405),
            ("POST", "/", 404), ("POST", "/rootDesc.xml", 405), ("POST", URL, 400), ("PUT", "/rootDesc.xml", 405),
            ("DELETE", URL, 405), ("DELETE", "/x", 404), ("PROPFIND", "/rootDesc.xml", 501),
            ("get", "/rootDesc.xml", 501), ("OPTIONS", "*", 404), ("GET", URL_2, 405), ("POST", URL_2, 400),
            ("POST", "/igd2/rootDesc.xml", 405), ("POST", "/igd2/", 404), ("PROPFIND", URL_2, 501),
            ("PROPFIND", "/x", 404), ("SUBSCRIBE", "/x", 404), ("SUBSCRIBE", "/rootDesc.xml", 405),
            ("SUBSCRIBE", URL, 405), ("GET", "/upnp/event/WANIPConn1", 405), ("POST", "/upnp/event/WANIPConn1", 405)):
        assert _respond(control, method, path)[0] == status, (method, path)


EVENT = "/upnp/event/WANIPConn1"
IP, COMMON = "urn:schemas-upnp-org:service:WANIPConnection:", "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1"


def test_subscriptions_are_taken_by_the_events_of_that_version_and_service():
    control, _ = _control()
    for path, version, service in ((EVENT, 1, IP + "1"), ("/igd2" + EVENT, 2, IP + "2"),
                                   ("/upnp/event/WANCommonIFC1", 1, COMMON),
                                   ("/igd2/upnp/event/WANCommonIFC1", 2, COMMON)):
        for method in ("SUBSCRIBE", "UNSUBSCRIBE"):
            answer = _answer(control, make_request(method, path, ((b"Host", b"192.168.1.1:5000"),)), OTHER, 100)
            assert answer == control._events.answer
            assert control._events.requests.pop() == (method, path, OTHER, version, service)
    assert control._events.requests == []


def test_what_the_events_refuse_is_an_answer_with_that_status():
    control, _ = _control()
    for status in (400, 412, 503):
        control._events.answer = HTTPError(status)
        for method in ("SUBSCRIBE", "UNSUBSCRIBE"):
            assert _respond(control, method, EVENT)[0] == status
    assert len(control._events.requests) == 6


def test_only_subscriptions_of_what_there_is_reach_the_events():
    control, _ = _control((1,))
    for method in ("SUBSCRIBE", "UNSUBSCRIBE"):
        for path, status in (("/upnp/event/", 404), ("/upnp/event/None", 404), (EVENT + "/", 404), ("/x", 404),
                             ("/igd2" + EVENT, 404), ("/rootDesc.xml", 405), ("/WANIPConn1.xml", 405), (URL, 405)):
            assert _respond(control, method, path)[0] == status, path
        assert _respond(control, method, EVENT, ((b"Host", b"router.example"),))[0] == 403
    for method, status in (("GET", 405), ("HEAD", 405), ("POST", 405), ("PUT", 405), ("NOTIFY", 501)):
        assert _respond(control, method, EVENT)[0] == status, method
    assert control._events.requests == []


def test_a_call_to_the_event_path_is_answered():
    """KTorrent takes that path for the control path."""
    control, _ = _control()
    answer = _answer(control, make_request(
        "POST", EVENT, ((b"SOAPAction", b"urn:x#GetExternalIPAddress"),),
        b"<s:Envelope><s:Body><u:GetExternalIPAddress/></s:Body></s:Envelope>"), HOST, 100)
    assert b"<NewExternalIPAddress>81.2.69.160<" in answer


def test_a_wrong_method_is_told_which_are_right():
    control, _ = _control()
    subscriptions = b"Allow: SUBSCRIBE, UNSUBSCRIBE"
    for path, allowed, wrong in (
            ("/rootDesc.xml", b"Allow: GET, HEAD", "SUBSCRIBE"), (URL, b"Allow: POST", "SUBSCRIBE"),
            ("/igd2/WANIPConn1.xml", b"Allow: GET, HEAD", "UNSUBSCRIBE"), (URL_2, b"Allow: POST", "GET"),
            (EVENT, subscriptions, "GET"), ("/igd2" + EVENT, subscriptions, "POST")):
        for method in ("PUT", "DELETE", "OPTIONS", wrong):
            status, lines, _ = _respond(control, method, path)
            assert status == 405 and allowed in lines, (method, path)


def test_a_name_that_leads_here_is_refused():
    # a web page can make a browser post to it (DNS rebinding)
    control, _ = _control()
    for host in (b"192.168.1.1", b"192.168.1.1:5000", b"192.168.1.1:80"):
        assert _respond(control, "GET", "/rootDesc.xml", ((b"Host", host),))[0] == 200
    for host in (b"router.example", b"192.168.1.10", b"192.168.1.1.example", b"", b"[::1]:5000", b"\xff",
                 b"localhost:5000"):
        for method, path in (("GET", "/rootDesc.xml"), ("POST", URL)):
            assert _respond(control, method, path, ((b"HOST", host),))[0] == 403, host


def test_over_ipv6_each_address_of_the_interface_is_its_name():
    control, _ = _control()
    control._interface.addresses = []
    control._interface.addresses6 = [(ip6_bytes("fe80::1"), 64, True), (ip6_bytes("2a00:11:0:1::1"), 64, True)]
    for host, own in ((b"[fe80::1]:5000", b"fe80::1"), (b"[fe80::1%25eth0]:5000", b"fe80::1"),
                      (b"[2a00:11:0:1::1]", b"2a00:11:0:1::1"), (b"[2A00:11:0:1:0::1]:5000", b"2A00:11:0:1:0::1")):
        status, _, body = _respond(control, "GET", "/rootDesc.xml", ((b"Host", host),), caller="fe80::2")
        assert status == 200 and b"<presentationURL>http://[%s]/</presentationURL>" % own in body
    for host in (b"fe80::1", b"fe80::1:5000", b"[fe80::2]:5000", b"[fe80::1]x", b"192.168.1.1:5000", b"[", b"[]",
                 b"router.example:5000", b"[router.example]:5000", b"\xff:1"):
        assert _respond(control, "GET", "/rootDesc.xml", ((b"Host", host),), caller="fe80::2")[0] == 403, host
    body = _respond(control, "GET", "/rootDesc.xml", caller="fe80::2")[2]  # HTTP/1.0 needs no Host header
    assert b"<presentationURL>http://[2a00:11:0:1::1]/</presentationURL>" in body


def test_over_ipv6_everything_can_be_read_and_no_port_is_opened():
    """Nothing proves which IPv4 address is the caller's own."""
    control, gateway = _control()
    identity = b"<NewRemoteHost></NewRemoteHost><NewExternalPort>8000</NewExternalPort><NewProtocol>TCP</NewProtocol>"
    details = (b"<NewInternalPort>8000</NewInternalPort><NewInternalClient>%s</NewInternalClient>"
               b"<NewEnabled>1</NewEnabled><NewPortMappingDescription></NewPortMappingDescription>"
               b"<NewLeaseDuration>0</NewLeaseDuration>")
    add, nobody = identity + details % HOST.encode(), identity + details % b""
    assert _call(control, b"AddPortMapping", add)[0] == 200
    assert b"<NewExternalIPAddress>81.2.69.160<" in _call(control, b"GetExternalIPAddress", caller="fe80::2")[2]
    assert b"<NewInternalClient>192.168.1.2<" in _call(
        control, b"GetGenericPortMappingEntry", b"<NewPortMappingIndex>0</NewPortMappingIndex>", caller="fe80::2")[2]
    for name, arguments, path, code in (
            (b"AddPortMapping", add, URL, b"718"), (b"AddPortMapping", add, URL_2, b"606"),
            (b"AddPortMapping", nobody, URL, b"718"), (b"AddPortMapping", nobody, URL_2, b"606"),
            (b"AddAnyPortMapping", add, URL_2, b"606"), (b"AddAnyPortMapping", nobody, URL_2, b"606"),
            (b"DeletePortMapping", identity, URL, b"714"), (b"DeletePortMapping", identity, URL_2, b"606")):
        for _ in range(2):
            status, _, body = _call(control, name, arguments, path, "fe80::2")
            assert status == 500 and b"<errorCode>%s<" % code in body, (name, path, body)
    assert len(gateway.table) == 1
    with Output(log) as output:
        for arguments in add, nobody:
            _answer(control, make_request("POST", URL, ((b"SOAPAction", b'"urn:x#AddPortMapping"'),),
                                         b"<s:Envelope><s:Body><u:AddPortMapping>%s</u:AddPortMapping></s:Body>"
                                         b"</s:Envelope>" % arguments), "fe80::3", 100)
    assert "fe80::3: it asks over IPv6 for 192.168.1.2" in output.text()
    assert "fe80::3: it asks over IPv6 and names no IPv4 address" in output.text()


def test_a_call_without_a_soap_action_header_is_refused():
    # a browser cannot send that header across sites
    control, gateway = _control()
    assert _respond(control, "POST", URL, (), ADD)[0] == 400
    for value in (b"", b'""', b"AddPortMapping", b"#"):
        assert _respond(control, "POST", URL, ((b"SOAPAction", value),), ADD)[0] == 400
    assert len(gateway.table) == 0


def test_a_call_to_the_byte():
    status, lines, body = _call(_control()[0], b"GetExternalIPAddress")
    assert status == 200
    assert b'Content-Type: text/xml; charset="utf-8"' in lines
    assert body == (
        b'<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        b's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
        b'<u:GetExternalIPAddressResponse xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1">'
        b"<NewExternalIPAddress>81.2.69.160</NewExternalIPAddress></u:GetExternalIPAddressResponse></s:Body>"
        b"</s:Envelope>\r\n")


def test_a_fault_is_a_500_with_a_body():
    status, lines, body = _call(_control()[0], b"GetGenericPortMappingEntry",
                                b"<NewPortMappingIndex>0</NewPortMappingIndex>")
    assert status == 500
    assert lines[0] == b"HTTP/1.1 500 Internal Server Error"
    assert b"<errorCode>713</errorCode><errorDescription>SpecifiedArrayIndexInvalid</errorDescription>" in body


def _fault(answer):
    assert answer[0] == 500
    return int(answer[2].partition(b"<errorCode>")[2].partition(b"<")[0])


def test_the_codes_of_calls_that_go_nowhere():
    control, _ = _control()
    assert _fault(_call(control, b"NoSuchAction")) == 401
    assert _fault(_call(control, b"GetStatusInfo", path="/upnp/control/WANCommonIFC1")) == 401
    assert _fault(_call(control, b"AddPortMapping")) == 402
    assert _fault(_respond(control, "POST", URL, ((b"Soapaction", b"urn:x#AddPortMapping"),), b"")) == 402
    assert _fault(_respond(control, "POST", URL, ((b"SOAPACTION", b"urn:x#GetStatusInfo"),), ADD)) == 401


def test_a_mapping_from_the_first_to_the_last_byte():
    control, gateway = _control()
    reader = RequestReader()
    reader.receive(POST)
    with Output(log):
        answer = _answer(control, reader.next_request(), HOST, 100)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b'<u:AddPortMappingResponse xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1">'
                           b"</u:AddPortMappingResponse></s:Body></s:Envelope>\r\n")
    assert gateway.table.at(0).description == "Tom & Jerry"
    status, _, body = _call(control, b"GetGenericPortMappingEntry", b"<NewPortMappingIndex/>")
    assert status == 200
    assert b"<NewPortMappingDescription>Tom &amp; Jerry</NewPortMappingDescription>" in body
    arguments = b"<NewRemoteHost/><NewExternalPort>8000</NewExternalPort><NewProtocol>tcp</NewProtocol>"
    assert _fault(_call(control, b"DeletePortMapping", arguments, caller=OTHER)) == 714
    assert _fault(_call(control, b"DeletePortMapping", arguments, URL_2, OTHER)) == 606
    assert _call(control, b"DeletePortMapping", arguments)[0] == 200
    assert _fault(_call(control, b"DeletePortMapping", arguments)) == 714


def test_every_action_without_arguments_answers():
    control, _ = _control()
    for path, name in ((URL, b"GetStatusInfo"), (URL, b"GetNATRSIPStatus"), (URL, b"GetConnectionTypeInfo"),
                       (URL_2, b"GetStatusInfo"), (URL_2, b"GetNATRSIPStatus"), (URL_2, b"RequestConnection"),
                       ("/upnp/control/WANEthLinkC1", b"GetEthernetLinkStatus"),
                       ("/upnp/control/WANCommonIFC1", b"GetCommonLinkProperties"),
                       ("/upnp/control/WANCommonIFC1", b"GetTotalBytesSent"),
                       ("/upnp/control/WANCommonIFC1", b"GetTotalPacketsReceived"),
                       ("/upnp/control/L3Forwarding1", b"GetDefaultConnectionService")):
        status, _, body = _call(control, name, path=path)
        assert status == 200, name
        assert b"<u:%sResponse " % name in body


def test_the_version_in_the_header_does_not_matter():
    control, _ = _control()
    body = b"<s:Envelope><s:Body><u:GetStatusInfo/></s:Body></s:Envelope>"
    for header in (b"urn:schemas-upnp-org:service:WANIPConnection:2#GetStatusInfo",
                   b'"urn:x:WANPPPConnection:1#GetStatusInfo"'):
        assert _respond(control, "POST", URL, ((b"SOAPAction", header),), body)[0] == 200


def test_an_answer_of_version_2_names_version_2():
    body = _call(_control()[0], b"GetExternalIPAddress", path=URL_2)[2]
    assert b'<u:GetExternalIPAddressResponse xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:2">' in body


def test_the_default_connection_service_of_each_version():
    for prefix, end in (("", b"-8003-8000-000102030405:WANConnectionDevice:1"),
                        ("/igd2", b"-8006-8000-000102030405:WANConnectionDevice:2")):
        body = _call(_control()[0], b"GetDefaultConnectionService", path=prefix + "/upnp/control/L3Forwarding1")[2]
        assert end + b",urn:upnp-org:serviceId:WANIPConn1</NewDefaultConnectionService>" in body


def _identity(port, protocol=b"TCP"):
    return (b"<NewRemoteHost/><NewExternalPort>%s</NewExternalPort><NewProtocol>%s</NewProtocol>" % (port, protocol))


def _mapping(port, client=b"", internal_port=b"8001", lease=b"3600", description=b"web", protocol=b"TCP"):
    return _identity(port, protocol) + (
        b"<NewInternalPort>%s</NewInternalPort><NewInternalClient>%s</NewInternalClient><NewEnabled>1</NewEnabled>"
        b"<NewPortMappingDescription>%s</NewPortMappingDescription><NewLeaseDuration>%s</NewLeaseDuration>"
        % (internal_port, client, description, lease))


def _range(start, end, protocol=b"TCP", number=None):
    return (b"<NewStartPort>%s</NewStartPort><NewEndPort>%s</NewEndPort><NewProtocol>%s</NewProtocol>"
            b"<NewManage>0</NewManage>" % (start, end, protocol)) + (
                b"" if number is None else b"<NewNumberOfPorts>%s</NewNumberOfPorts>" % number)


def _index(number):
    return b"<NewPortMappingIndex>%s</NewPortMappingIndex>" % number


def _type(name):
    return b"<NewConnectionType>%s</NewConnectionType>" % name


# What is there: TCP 8000 of HOST, TCP 9000 of OTHER. (action, arguments, code of version 1, code of version 2)
REFUSALS = (
    (b"AddPortMapping", b"", 402, 402),
    (b"AddPortMapping", _mapping(b"70000"), 402, 402),
    (b"AddPortMapping", _mapping(b"8002", internal_port=b"0"), 402, 732),
    (b"AddPortMapping", _mapping(b"8888"), 718, 729),
    (b"AddPortMapping", _mapping(b"8002", client=b"printer"), 402, 402),
    (b"AddPortMapping", _mapping(b"8002", client=b"192.168.1.3"), 718, 606),
    (b"AddPortMapping", _mapping(b"1023"), 718, 606),
    (b"AddPortMapping", _mapping(b"8002", internal_port=b"22"), 718, 606),
    (b"AddPortMapping", _mapping(b"8002", protocol=b"SCTP"), 402, 601),
    (b"AddPortMapping", _mapping(b"0"), 716, 716),
    (b"AddPortMapping", _mapping(b"*"), 716, 716),
    (b"AddPortMapping", _mapping(b"9000"), 718, 718),
    (b"DeletePortMapping", b"", 402, 402),
    (b"DeletePortMapping", _identity(b"8000", b""), 402, 601),
    (b"DeletePortMapping", _identity(b"9000"), 714, 606),
    (b"DeletePortMapping", _identity(b"8001"), 714, 714),
    (b"DeletePortMapping", _identity(b"8000", b"UDP"), 714, 714),
    (b"GetGenericPortMappingEntry", b"", 402, 402),
    (b"GetGenericPortMappingEntry", _index(b"-1"), 402, 402),
    (b"GetGenericPortMappingEntry", _index(b"2"), 713, 713),
    (b"GetSpecificPortMappingEntry", b"", 402, 402),
    (b"GetSpecificPortMappingEntry", _identity(b"8000", b"SCTP"), 402, 601),
    (b"GetSpecificPortMappingEntry", _identity(b"8001"), 714, 714),
    (b"SetConnectionType", b"", 402, 402),
    (b"SetConnectionType", _type(b"Token-Ring"), 402, 402),
    (b"SetConnectionType", _type(b"IP_Bridged"), 703, 731),
    (b"ForceTermination", b"", 606, 606),
    (b"RequestTermination", b"", 401, 401),
    (b"AddAnyPortMapping", b"", 401, 402),
    (b"AddAnyPortMapping", _mapping(b"8002", internal_port=b"0"), 401, 732),
    (b"AddAnyPortMapping", _mapping(b"8002", client=b"192.168.1.3"), 401, 606),
    (b"AddAnyPortMapping", _mapping(b"1023"), 401, 606),
    (b"AddAnyPortMapping", _mapping(b"8002", protocol=b""), 401, 601),
    (b"DeletePortMappingRange", b"", 401, 402),
    (b"DeletePortMappingRange", _range(b"9000", b"9000"), 401, 606),
    (b"DeletePortMappingRange", _range(b"8000", b"8000", b"TCP,UDP"), 401, 601),
    (b"DeletePortMappingRange", _range(b"8001", b"8999"), 401, 730),
    (b"DeletePortMappingRange", _range(b"0", b"65535", b"UDP"), 401, 730),
    (b"DeletePortMappingRange", _range(b"8001", b"8000"), 401, 733),
    (b"GetListOfPortMappings", b"", 401, 402),
    (b"GetListOfPortMappings", _range(b"0", b"65535"), 401, 402),
    (b"GetListOfPortMappings", _range(b"0", b"65535", b"", b"0"), 401, 601),
    (b"GetListOfPortMappings", _range(b"8001", b"8999", b"TCP", b"0"), 401, 730),
    (b"GetListOfPortMappings", _range(b"8001", b"8000", b"TCP", b"0"), 401, 733),
)


def _with_two_mappings(**named):
    control, gateway = _control(**named)
    assert _call(control, b"AddPortMapping", _mapping(b"8000"))[0] == 200
    assert _call(control, b"AddPortMapping", _mapping(b"9000"), caller=OTHER)[0] == 200
    return control, gateway


def test_every_code_of_each_version():
    control, gateway = _with_two_mappings()
    gateway.wan.services = (("TCP", 8888),)
    before = list(gateway.table)
    for name, arguments, code_1, code_2 in REFUSALS:
        assert _fault(_call(control, name, arguments)) == code_1, (name, arguments)
        assert _fault(_call(control, name, arguments, URL_2)) == code_2, (name, arguments)
        assert list(gateway.table) == before


def test_the_codes_of_a_firewall_that_refuses():
    control, gateway = _with_two_mappings()
    gateway.firewall.failure = FirewallError("told to", 12)
    for name, arguments, versions in (
            (b"AddPortMapping", _mapping(b"8002"), (1, 2)), (b"AddPortMapping", _mapping(b"8000"), (1, 2)),
            (b"DeletePortMapping", _identity(b"8000"), (1, 2)), (b"AddAnyPortMapping", _mapping(b"8002"), (2,)),
            (b"DeletePortMappingRange", _range(b"8000", b"8000"), (2,))):
        for version in versions:
            assert _fault(_call(control, name, arguments, URLS[version])) == 501, name
    assert len(gateway.table) == 2


def test_the_codes_of_a_full_table():
    control, gateway = _with_two_mappings()
    gateway.table._mappings.extend([None] * (MAX_MAPPINGS - 2))
    assert _fault(_call(control, b"AddPortMapping", _mapping(b"8002"))) == 501
    assert _fault(_call(control, b"AddPortMapping", _mapping(b"8002"), URL_2)) == 728
    assert _fault(_call(control, b"AddAnyPortMapping", _mapping(b"9000"), URL_2)) == 728
    for url in (URL, URL_2):
        assert _call(control, b"AddPortMapping", _mapping(b"8000"), url)[0] == 200


def _ends(port=b"8000", client=HOST6.encode(), protocol=b"6", remote_host=b"", remote_port=b"0"):
    return (b"<RemoteHost>%s</RemoteHost><RemotePort>%s</RemotePort><InternalClient>%s</InternalClient>"
            b"<InternalPort>%s</InternalPort><Protocol>%s</Protocol>" % (
                remote_host, remote_port, client, port, protocol))


def _pinhole(lease=b"60", **named):
    return _ends(**named) + b"<LeaseTime>%s</LeaseTime>" % lease


def _id(number, lease=None):
    return b"<UniqueID>%s</UniqueID>" % number + (
        b"" if lease is None else b"<NewLeaseTime>%s</NewLeaseTime>" % lease)


# What is there: pinhole 1, TCP 8000 of HOST6, and 2, TCP 8000 of OTHER6. (action, arguments, code)
PINHOLE_REFUSALS = (
    (b"AddPinhole", b"", 402),
    (b"AddPinhole", _ends(), 402),
    (b"AddPinhole", _pinhole(lease=b"0"), 402),
    (b"AddPinhole", _pinhole(lease=b"86401"), 402),
    (b"AddPinhole", _pinhole(port=b"65536"), 402),
    (b"AddPinhole", _pinhole(protocol=b"TCP"), 402),
    (b"AddPinhole", _pinhole(client=b"printer"), 402),
    (b"AddPinhole", _pinhole(client=b"192.168.1.2"), 402),
    (b"AddPinhole", _pinhole(client=b"fe80::2%eth0"), 402),
    (b"AddPinhole", _pinhole(remote_host=b"example.com"), 402),
    (b"AddPinhole", _pinhole(client=OTHER6.encode()), 606),
    (b"AddPinhole", _pinhole(client=b"2001:db8::1"), 606),
    (b"AddPinhole", _pinhole(client=b"fe80::2"), 606),
    (b"AddPinhole", _pinhole(client=b"2001:db8:0:1::2"), 606),
    (b"AddPinhole", _pinhole(port=b"1023"), 606),
    (b"AddPinhole", _pinhole(protocol=b"1"), 705),
    (b"AddPinhole", _pinhole(protocol=b"58"), 705),
    (b"AddPinhole", _pinhole(port=b"0"), 706),
    (b"AddPinhole", _pinhole(protocol=b"65535"), 707),
    (b"AddPinhole", _pinhole(client=b""), 708),
    (b"AddPinhole", _pinhole(client=b"*"), 708),
    (b"AddPinhole", _pinhole(client=b"::"), 708),
    (b"UpdatePinhole", b"", 402),
    (b"UpdatePinhole", _id(b"1", b"0"), 402),
    (b"UpdatePinhole", _id(b"1", b"86401"), 402),
    (b"UpdatePinhole", _id(b"2", b"60"), 606),
    (b"UpdatePinhole", _id(b"3", b"60"), 704),
    (b"DeletePinhole", b"", 402),
    (b"DeletePinhole", _id(b"65536"), 402),
    (b"DeletePinhole", _id(b"2"), 606),
    (b"DeletePinhole", _id(b"3"), 704),
    (b"DeletePinhole", _id(b"0"), 704),
    (b"GetPinholePackets", b"", 402),
    (b"GetPinholePackets", _id(b"2"), 606),
    (b"GetPinholePackets", _id(b"3"), 704),
    (b"CheckPinholeWorking", b"", 402),
    (b"CheckPinholeWorking", _id(b"1"), 709),
    (b"CheckPinholeWorking", _id(b"2"), 606),
    (b"CheckPinholeWorking", _id(b"3"), 704),
    (b"GetOutboundPinholeTimeout", b"", 402),
    (b"GetOutboundPinholeTimeout", _ends(protocol=b"1"), 705),
    (b"GetOutboundPinholeTimeout", _ends(protocol=b"65535"), 707),
)
PINHOLE_TEXTS = {402: b"Invalid Args", 501: b"Action Failed", 606: b"Action not authorized",
                 701: b"PinholeSpaceExhausted", 703: b"InboundPinholeNotAllowed", 704: b"NoSuchEntry",
                 705: b"ProtocolNotSupported", 706: b"InternalPortWildcardingNotAllowed",
                 707: b"ProtocolWildcardingNotAllowed", 708: b"WildCardNotPermittedInSrcIP", 709: b"NoPacketSent"}


def _with_two_pinholes():
    gateway = make_gateway6()
    control = Control(gateway, Device(UUID), _Events(), _interface())
    for client, caller in ((HOST6, HOST), (OTHER6, OTHER)):
        assert _call(control, b"AddPinhole", _pinhole(client=client.encode()), URL_PINHOLES, caller)[0] == 200
    return control, gateway


def _pinhole_fault(control, name, arguments):
    answer = _call(control, name, arguments, URL_PINHOLES)
    code = _fault(answer)
    assert b"<errorDescription>%s</errorDescription>" % PINHOLE_TEXTS[code] in answer[2]
    return code


def test_every_code_of_pinholes():
    control, gateway = _with_two_pinholes()
    for name, arguments, code in PINHOLE_REFUSALS:
        assert _pinhole_fault(control, name, arguments) == code, (name, arguments)
    assert [(one.unique_id, one.expires) for one in gateway.pinholes.table] == [(1, 160), (2, 160)]


def test_the_codes_of_pinholes_where_there_can_be_none():
    control, gateway = _with_two_pinholes()
    gateway.firewall.pinhole_refusal = "no place"
    for name, arguments in ((b"AddPinhole", _pinhole()), (b"UpdatePinhole", _id(b"1", b"60")),
                            (b"DeletePinhole", _id(b"1")), (b"GetPinholePackets", _id(b"1")),
                            (b"CheckPinholeWorking", _id(b"1")), (b"GetOutboundPinholeTimeout", _ends())):
        assert _pinhole_fault(control, name, arguments) == 703, name
    body = _call(control, b"GetFirewallStatus", path=URL_PINHOLES)[2]
    assert b"<FirewallEnabled>1</FirewallEnabled><InboundPinholeAllowed>0</InboundPinholeAllowed>" in body
    assert b"<return>0</return>" in _query(control, b"InboundPinholeAllowed", URL_PINHOLES)[2]


def test_the_codes_of_pinholes_in_a_firewall_that_refuses():
    control, gateway = _with_two_pinholes()
    gateway.firewall.failure = FirewallError("told to", 12)

    def fail(some):
        raise gateway.firewall.failure

    gateway.firewall.pinhole_counters = fail
    for name, arguments in ((b"AddPinhole", _pinhole()), (b"AddPinhole", _pinhole(port=b"8001")),
                            (b"UpdatePinhole", _id(b"1", b"60")), (b"DeletePinhole", _id(b"1")),
                            (b"GetPinholePackets", _id(b"1")), (b"CheckPinholeWorking", _id(b"1"))):
        assert _pinhole_fault(control, name, arguments) == 501, name
    with Files(pinholes_module, None):
        assert _pinhole_fault(control, b"GetOutboundPinholeTimeout", _ends()) == 501
    assert len(gateway.pinholes.table) == 2


def test_the_code_of_a_full_table_of_pinholes():
    control, gateway = _with_two_pinholes()
    gateway.pinholes.table._pinholes.extend([gateway.pinholes.table.find(1)] * (MAX_PINHOLES - 2))
    assert _pinhole_fault(control, b"AddPinhole", _pinhole(port=b"8001")) == 701
    assert _call(control, b"AddPinhole", _pinhole(), URL_PINHOLES)[0] == 200


def test_a_pinhole_from_the_first_to_the_last_byte():
    control, gateway = _with_two_pinholes()
    arguments = _pinhole(client=b" 2001:DB8:0::2 ", remote_host=b"2001:DB8:9::1", remote_port=b"77", protocol=b"17")
    body = _call(control, b"AddPinhole", arguments, URL_PINHOLES)[2]
    assert b'<u:AddPinholeResponse xmlns:u="urn:schemas-upnp-org:service:WANIPv6FirewallControl:1"><UniqueID>3<' in body
    assert str(gateway.pinholes.table.find(3)) == "UDP [2001:db8::2]:8000 from [2001:db8:9::1] port 77"
    gateway.firewall.packets = 5
    assert b"<PinholePackets>5<" in _call(control, b"GetPinholePackets", _id(b"3"), URL_PINHOLES)[2]
    assert b"<IsWorking>1<" in _call(control, b"CheckPinholeWorking", _id(b"3"), URL_PINHOLES)[2]
    assert _call(control, b"UpdatePinhole", _id(b"3", b"600"), URL_PINHOLES)[0] == 200
    assert gateway.pinholes.table.find(3).expires == 700
    assert _call(control, b"DeletePinhole", _id(b"3"), URL_PINHOLES)[0] == 200
    assert gateway.pinholes.table.find(3) is None
    assert _respond(control, "POST", "/upnp/control/WANIPv6Firewall1")[0] == 404  # version 1 has none


def test_the_codes_of_a_line_that_is_down():
    control, _ = _control(address=None)
    for url in (URL, URL_2):
        assert _fault(_call(control, b"RequestConnection", path=url)) == 704
        assert _fault(_call(control, b"ForceTermination", path=url)) == 606


def test_the_codes_of_the_default_connection_service():
    control, gateway = _control()
    for version, path in ((1, "/upnp/control/L3Forwarding1"), (2, "/igd2/upnp/control/L3Forwarding1")):
        udn, _, service = gateway.default_connection_services[version].partition(",")
        for value, code in ((udn, 402), ("uuid:x," + service, 720), (udn + ",x", 721)):
            arguments = b"<NewDefaultConnectionService>%s</NewDefaultConnectionService>" % value.encode()
            assert _fault(_call(control, b"SetDefaultConnectionService", arguments, path)) == code
        assert _fault(_call(control, b"SetDefaultConnectionService", path=path)) == 402
        arguments = b"<NewDefaultConnectionService>%s,%s</NewDefaultConnectionService>" % (
            udn.encode(), service.encode())
        assert _call(control, b"SetDefaultConnectionService", arguments, path)[0] == 200


def test_actions_without_any_arguments_are_402():
    device = Device(UUID, is_ppp=True)
    control, _ = _control(is_ppp=True)
    for version in (1, 2):
        for services in device.device_services(version):
            for service in services:
                path = ("", "/igd2")[version - 1] + "/upnp/control/" + service.short_id
                for action in service.actions:
                    if action.arguments_in:
                        assert _fault(_call(control, action.name.encode(), path=path)) == 402, action.name


def test_a_port_is_found_for_who_asks():
    control, gateway = _with_two_mappings()
    for port, given in ((b"9000", b"9001"), (b"8000", b"8000"), (b"0", b"1024"), (b"65535", b"65535")):
        status, _, body = _call(control, b"AddAnyPortMapping", _mapping(port), URL_2)
        assert status == 200
        assert body.endswith(
            b'<u:AddAnyPortMappingResponse xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:2"><NewReservedPort>'
            + given + b"</NewReservedPort></u:AddAnyPortMappingResponse></s:Body></s:Envelope>\r\n")
    assert [mapping.external_port for mapping in gateway.table] == [8000, 9000, 9001, 1024, 65535]


def test_the_lease_of_a_mapping_without_end():
    for url, leases in ((URL, (b"0", b"0")), (URL_2, (b"604800", b"604700"))):
        control, gateway = _control()
        assert _call(control, b"AddPortMapping", _mapping(b"8000", lease=b"0"), url)[0] == 200
        for now, lease in zip((100, 200), leases):
            for name, arguments in ((b"GetGenericPortMappingEntry", _index(b"0")),
                                    (b"GetSpecificPortMappingEntry", _identity(b"8000"))):
                body = _call(control, name, arguments, url, now=now)[2]
                assert b"<NewLeaseDuration>%s</NewLeaseDuration>" % lease in body
        assert gateway.table.at(0).expires == 604900


def _query(control, name, path=URL):
    argument = b"" if name is None else b"<u:varName>%s</u:varName>" % name
    body = (b'<s:Envelope><s:Body><u:QueryStateVariable xmlns:u="urn:schemas-upnp-org:control-1-0">' + argument
            + b"</u:QueryStateVariable></s:Body></s:Envelope>")
    header = b'"urn:schemas-upnp-org:control-1-0#QueryStateVariable"'
    return _respond(control, "POST", path, ((b"SOAPAction", header),), body)


def test_state_variables_can_be_asked_for():
    control, _ = _with_two_mappings(is_ppp=True)
    for prefix in ("", "/igd2"):
        for path, name, value in (
                ("WANIPConn1", b"ConnectionStatus", b"Connected"), ("WANIPConn1", b"Uptime", b"60"),
                ("WANIPConn1", b"PortMappingNumberOfEntries", b"2"), ("WANIPConn1", b"NATEnabled", b"1"),
                ("WANIPConn1", b"ExternalIPAddress", b"81.2.69.160"), ("WANIPConn1", b" RSIPAvailable\r\n", b"0"),
                ("WANPPPConn1", b"ExternalIPAddress", b"81.2.69.160"),
                ("WANPPPConn1", b"UpstreamMaxBitRate", b"50000000"),
                ("WANCommonIFC1", b"PhysicalLinkStatus", b"Up"), ("WANEthLinkC1", b"EthernetLinkStatus", b"Up"),
                ("WANCommonIFC1", b"TotalBytesSent", b"0")):
            status, _, body = _query(control, name, prefix + "/upnp/control/" + path)
            assert status == 200, name
            assert body.endswith(
                b'<s:Body><u:QueryStateVariableResponse xmlns:u="urn:schemas-upnp-org:control-1-0"><return>' + value
                + b"</return></u:QueryStateVariableResponse></s:Body></s:Envelope>\r\n"), name
    body = _query(_control(address=None)[0], b"ExternalIPAddress")[2]
    assert b"<return></return>" in body
    assert b"<return>Disconnected</return>" in _query(_control(address=None)[0], b"ConnectionStatus")[2]


def test_the_count_of_changes_can_be_asked_for_in_version_2():
    control, gateway = _with_two_mappings()
    assert b"<return>2</return>" in _query(control, b"SystemUpdateID", URL_2)[2]
    _call(control, b"DeletePortMapping", _identity(b"8000"))
    assert b"<return>3</return>" in _query(control, b"SystemUpdateID", URL_2)[2]
    assert _fault(_query(control, b"SystemUpdateID")) == 404


def test_what_is_no_state_variable_is_404():
    control, _ = _control()
    for url in (URL, URL_2):
        for name in (b"Nothing", b"", None, b"connectionstatus", b"ConnectionStatus2", b"EthernetLinkStatus", b"\xff",
                     b"SystemUpdateId", b"GetStatusInfo",
                     # these are types of arguments only
                     b"RemoteHost", b"ExternalPort", b"InternalPort", b"PortMappingProtocol", b"InternalClient",
                     b"PortMappingDescription", b"PortMappingEnabled", b"PortMappingLeaseDuration",
                     b"A_ARG_TYPE_Manage", b"A_ARG_TYPE_PortListing"):
            assert _fault(_query(control, name, url)) == 404, name


def test_a_question_that_cannot_be_read():
    control, _ = _control()
    header = ((b"SOAPAction", b'"urn:schemas-upnp-org:control-1-0#QueryStateVariable"'),)
    assert _fault(_respond(control, "POST", URL, header, b"")) == 402
    assert _fault(_respond(control, "POST", URL, header, ADD)) == 401
    assert _fault(_call(control, b"AddPortMapping", b"<u:varName>Uptime</u:varName>")) == 402


def _listing(control, number=b"0"):
    """Return the elements of the document in the answer to GetListOfPortMappings; it stands there as CDATA."""
    status, _, body = _call(control, b"GetListOfPortMappings", _range(b"0", b"65535", b"TCP", number), URL_2)
    assert status == 200
    before, mark, rest = body.partition(b"<![CDATA[")
    document, end, behind = rest.partition(b"]]>")  # for every XML reader it ends at the first
    assert mark and end
    assert elements(before + behind) == [
        ("s:Envelope", ""), ("s:Body", ""), ("u:GetListOfPortMappingsResponse", ""), ("NewPortListing", "")]
    assert before.endswith(b"<NewPortListing>") and behind.startswith(b"</NewPortListing>")
    return elements(document)


def test_a_description_cannot_break_a_listing_of_others():
    control, gateway = _control()
    descriptions = (b"]]></NewPortListing><a>", b"</p:NewDescription></p:PortMappingEntry></p:PortMappingList>",
                    b"&lt;/p:NewDescription&gt;&lt;p:PortMappingEntry&gt;", b"&amp;lt;/NewPortListing&amp;gt;",
                    b"</NewPortListing></u:GetListOfPortMappingsResponse></s:Body>", b"<![CDATA[", b"<!--", b"<?xml ?>",
                    b"\xff\xfe", b"\xc0\x8a", b"&#60;&#0;&#x26;", b"\0", b"\"'", b"&" * 63, b"caf\xc3\xa9 %s %d", b"")
    for index, description in enumerate(descriptions):
        arguments = _mapping(b"%d" % (8000 + index), description=description)
        assert _call(control, b"AddPortMapping", arguments, URL_2)[0] == 200
    inner = _listing(control)
    assert inner[0] == ("p:PortMappingList", "")
    assert [name for name, _ in inner[1:]] == len(descriptions) * [
        "p:PortMappingEntry", "p:NewRemoteHost", "p:NewExternalPort", "p:NewProtocol", "p:NewInternalPort",
        "p:NewInternalClient", "p:NewEnabled", "p:NewDescription", "p:NewLeaseTime"]
    found = [unescape(text.encode()).decode() for text in texts(inner, "p:NewDescription")]
    assert found == [mapping.description for mapping in gateway.table]
    assert found[0] == "]]></NewPortListing><a>" and found[1].startswith("</p:NewDescription></p:PortMappingEntry>")
    assert texts(inner, "p:NewExternalPort") == ["%d" % (8000 + index) for index in range(len(descriptions))]
    assert len(texts(_listing(control, b"3"), "p:PortMappingEntry")) == 3


def test_what_is_too_much_is_402_and_a_line_in_the_log():
    for arguments in (b"<a>1</a>" * 17, b"<a>" * 100):
        control, _ = _control()
        body = b"<s:Envelope><s:Body><u:GetStatusInfo>%s</u:GetStatusInfo></s:Body></s:Envelope>" % arguments
        request = make_request("POST", URL, ((b"SOAPAction", b'"urn:x#GetStatusInfo"'),), body)
        with Output(log) as output:
            assert b"<errorCode>402<" in _answer(control, request, HOST, 100)
        assert output.text().startswith("miniigd: warning: refused GetStatusInfo to %s: " % HOST)


def test_a_long_listing_is_answered():
    control, gateway = _control()
    for port in range(2000, 2100):
        with Output(log):
            gateway.add(HOST, 100, "", port, "TCP", 65535, HOST, True, '"' * 63, 3600)
    inner = _listing(control)
    assert texts(inner, "p:NewExternalPort") == ["%d" % port for port in range(2000, 2100)]
    assert texts(inner, "p:NewDescription") == ["&quot;" * 63] * 100


def test_a_description_cannot_break_the_list_of_another_client():
    for description in (b"]]></NewX><a>", b"</NewLeaseDuration>", b"\xff\xfe", b"\xc0\x8a", b"&lt;/s:Body&gt;",
                        b"&#60;", b"\0"):
        control, _ = _control()
        with Output(log):
            data = _answer(control, make_request("POST", URL, ((b"SOAPAction", b"urn:x#AddPortMapping"),),
                                            ADD.replace(b"Tom & Jerry", description)), HOST, 100)
        assert data.startswith(b"HTTP/1.1 200 ")
        body = _call(control, b"GetGenericPortMappingEntry", b"<NewPortMappingIndex>0</NewPortMappingIndex>")[2]
        body.decode()
        value = body.partition(b"<NewPortMappingDescription>")[2].partition(b"</NewPortMappingDescription>")[0]
        assert b"<" not in value and b">" not in value and b"\0" not in value
        assert body.endswith(b"<NewLeaseDuration>0</NewLeaseDuration></u:GetGenericPortMappingEntryResponse></s:Body>"
                             b"</s:Envelope>\r\n")


def test_damaged_requests_always_get_an_answer():
    control, _ = _control()
    with Output(log):
        for data in damaged(POST):
            reader = RequestReader()
            reader.receive(data)
            try:
                request = reader.next_request()
            except HTTPError:
                continue
            if request is not None:
                answer = _answer(control, request, HOST, 100)
                assert answer.startswith(b"HTTP/1.1 ") and b"\r\n\r\n" in answer


def test_what_is_refused_is_in_the_detailed_log():
    control, _ = _control()
    log.set_level(log.DEBUG)
    with Output(log) as output:
        _answer(control, make_request("POST", URL, ((b"SOAPAction", b"urn:x#Nothing"),)), HOST, 100)
    log.set_level(log.INFO)
    assert "Nothing for 192.168.1.2: 401" in output.text()


def _again(control, data, caller=HOST, heads=None):
    """Return the answer to a request whose head may be known."""
    reader = RequestReader(heads)
    reader.receive(data)
    with Output(log):
        request = reader.next_request()
        return _answer(control, request, caller, 100), request


class _Like:
    """Equal to a request with the same head."""

    def __init__(self, request):
        self._head = request.head

    def __eq__(self, other):
        return other.head is self._head


def _get_address(extra=b""):
    body = b"<s:Envelope><s:Body><u:GetExternalIPAddress></u:GetExternalIPAddress></s:Body></s:Envelope>"
    return (b'POST %s HTTP/1.1\r\nHost: %s:5000\r\nSOAPAction: "urn:schemas-upnp-org:service:WANIPConnection:1'
            b'#GetExternalIPAddress"\r\n%sContent-Length: %d\r\n\r\n' % (
                URL.encode(), LAN.encode(), extra, len(body))) + body


def test_what_is_remembered_of_a_head_is_never_what_has_changed():
    heads = Heads()
    control, gateway = _control()
    first, request = _again(control, _get_address(), heads=heads)
    assert b">81.2.69.160<" in first and request.is_quiet
    assert _again(control, _get_address(), heads=heads) == (first, _Like(request))
    gateway.wan._interface.addresses = [("81.2.69.161", 22)]
    with Output(log):
        gateway.wan.update(200)
    assert b">81.2.69.161<" in _again(control, _get_address(), heads=heads)[0]
    # Whether the connection goes on is not in the head alone.
    kept = _again(control, _get_address(b"Connection: keep-alive\r\n"), heads=heads)[0]
    assert b"Connection: keep-alive\r\n" in kept and b">81.2.69.161<" in kept
    more = _again(control, _get_address() + GET, heads=heads)[0]
    assert b"Connection: keep-alive\r\n" in more
    assert b"Connection: close\r\n" in _again(control, _get_address(), heads=heads)[0]
    # The address that the client asked at is ours no more.
    control._interface.addresses = [("192.168.2.1", 24)]
    assert _again(control, _get_address(), heads=heads)[0].startswith(b"HTTP/1.1 403 ")
    control._interface.addresses = [(LAN, 24)]
    assert _again(control, _get_address(), heads=heads)[0].startswith(b"HTTP/1.1 200 ")


def test_a_call_that_changes_something_is_not_quiet_and_acts_each_time():
    heads = Heads()
    control, gateway = _control()
    for client, count in ((HOST, 1), (HOST, 1), (OTHER, 1)):
        gateway.policy.secure_mode = True
        answer, request = _again(control, POST, client, heads)
        assert answer.startswith(b"HTTP/1.1 200 " if client == HOST else b"HTTP/1.1 500 ")
        assert len(gateway.table) == count and not request.is_quiet
    with Output(log):
        gateway.delete(HOST, 100, "", 8000, "TCP")
    assert _again(control, POST, HOST, heads)[0].startswith(b"HTTP/1.1 200 ") and len(gateway.table) == 1


def test_documents_of_one_head_are_the_same_and_others_are_not():
    heads = Heads()
    control, _ = _control()
    get = b"GET /rootDesc.xml HTTP/1.1\r\nHost: 192.168.1.1:5000\r\n%s\r\n"
    first = _again(control, get % b"", heads=heads)[0]
    assert first == _again(control, get % b"", heads=heads)[0]
    assert _again(control, (get % b"").replace(b"GET", b"HEAD"), heads=heads)[0] == first[:first.find(b"<?xml")]
    second = get.replace(b"/root", b"/igd2/root")
    agent = b"User-Agent: Microsoft-Windows/10.0 UPnP/1.0\r\n"
    assert b":InternetGatewayDevice:2<" in _again(control, second % b"", heads=heads)[0]
    assert b":InternetGatewayDevice:1<" in _again(control, second % agent, heads=heads)[0]
