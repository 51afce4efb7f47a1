"""miniigd.control: requests to answers, as bytes: documents, calls of real clients, and everything that is refused."""

from helpers import Output, damaged
from miniigd import log
from miniigd.control import Control
from miniigd.firewall.memory import MemoryFirewall
from miniigd.gateway import Gateway
from miniigd.http import HTTPError, RequestReader
from miniigd.interfaces import Interface
from miniigd.mapping import MappingTable
from miniigd.wan import Wan

UUID, LAN, HOST = "6d696e69-6967-8001-8000-000102030405", "192.168.1.1", "192.168.1.2"
URL = "/upnp/control/WANIPConn1"

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


def _control():
    interface = Interface("wan")
    interface.addresses = [("81.2.69.160", 22)]
    wan = Wan(interface, 0, 0)
    wan.update(0)
    gateway = Gateway(MappingTable(), MemoryFirewall(), wan)
    gateway.default_connection_service = "uuid:x"
    return Control(gateway, UUID, LAN), gateway


def _request(method, path, headers=(), body=b""):
    reader = RequestReader()
    reader.receive(b"%s %s HTTP/1.1\r\n" % (method.encode(), path.encode()))
    for name, value in headers:
        reader.receive(b"%s: %s\r\n" % (name, value))
    reader.receive(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    return reader.next_request()


def _respond(control, method, path, headers=(), body=b"", caller=HOST, now=100):
    """Return (status, header lines, body) of an answer; fails when its head is not in order."""
    with Output(log):
        data = control.respond(_request(method, path, headers, body), caller, now)
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
    for path, root in (("/rootDesc.xml", b"<root "), ("/WANIPConn1.xml", b"<scpd "), ("/WANCommonIFC1.xml", b"<scpd "),
                       ("/L3Forwarding1.xml", b"<scpd ")):
        status, lines, body = _respond(control, "GET", path)
        assert status == 200
        assert b'Content-Type: text/xml; charset="utf-8"' in lines
        assert b"EXT:" in lines
        assert root in body
        status, head_lines, nothing = _respond(control, "HEAD", path)
        assert (status, head_lines, nothing) == (200, lines, b"")


def test_the_description_names_this_router():
    body = _respond(_control()[0], "GET", "/rootDesc.xml")[2]
    assert b"<UDN>uuid:" + UUID.encode() in body
    assert b"<presentationURL>http://192.168.1.1/</presentationURL>" in body


def test_other_requests():
    control, _ = _control()
    for method, path, status in (
            ("GET", "/", 404), ("GET", "/etc/passwd", 404), ("GET", "/../rootDesc.xml", 404),
            ("GET", "/rootDesc.xml/", 404), ("GET", "/rootdesc.xml", 404), ("GET", URL, 405), ("HEAD", URL, 405),
            ("POST", "/", 404), ("POST", "/rootDesc.xml", 405), ("POST", URL, 400), ("PUT", "/rootDesc.xml", 405),
            ("DELETE", URL, 405), ("DELETE", "/x", 404), ("PROPFIND", "/rootDesc.xml", 501), ("get", "/rootDesc.xml", 501), ("OPTIONS", "*", 404)):
        assert _respond(control, method, path)[0] == status, (method, path)


def test_a_name_that_leads_here_is_refused():
    # a web page can make a browser post to it (DNS rebinding)
    control, _ = _control()
    for host in (b"192.168.1.1", b"192.168.1.1:5000", b"192.168.1.1:80"):
        assert _respond(control, "GET", "/rootDesc.xml", ((b"Host", host),))[0] == 200
    for host in (b"router.example", b"192.168.1.10", b"192.168.1.1.example", b"", b"[::1]:5000", b"\xff",
                 b"localhost:5000"):
        for method, path in (("GET", "/rootDesc.xml"), ("POST", URL)):
            assert _respond(control, method, path, ((b"HOST", host),))[0] == 403, host


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
        answer = control.respond(reader.next_request(), HOST, 100)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b'<u:AddPortMappingResponse xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1">'
                           b"</u:AddPortMappingResponse></s:Body></s:Envelope>\r\n")
    assert gateway.table.at(0).description == "Tom & Jerry"
    status, _, body = _call(control, b"GetGenericPortMappingEntry", b"<NewPortMappingIndex/>")
    assert status == 200
    assert b"<NewPortMappingDescription>Tom &amp; Jerry</NewPortMappingDescription>" in body
    arguments = b"<NewRemoteHost/><NewExternalPort>8000</NewExternalPort><NewProtocol>tcp</NewProtocol>"
    assert _fault(_call(control, b"DeletePortMapping", arguments, caller="192.168.1.3")) == 606
    assert _call(control, b"DeletePortMapping", arguments)[0] == 200
    assert _fault(_call(control, b"DeletePortMapping", arguments)) == 714


def test_every_action_without_arguments_answers():
    control, _ = _control()
    for path, name in ((URL, b"GetStatusInfo"), (URL, b"GetNATRSIPStatus"), (URL, b"GetConnectionTypeInfo"),
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


def test_a_description_cannot_break_the_list_of_another_client():
    for description in (b"]]></NewX><a>", b"</NewLeaseDuration>", b"\xff\xfe", b"\xc0\x8a", b"&lt;/s:Body&gt;",
                        b"&#60;", b"\0"):
        control, _ = _control()
        with Output(log):
            data = control.respond(_request("POST", URL, ((b"SOAPAction", b"urn:x#AddPortMapping"),),
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
                answer = control.respond(request, HOST, 100)
                assert answer.startswith(b"HTTP/1.1 ") and b"\r\n\r\n" in answer


def test_what_is_refused_is_in_the_detailed_log():
    control, _ = _control()
    log.set_level(log.DEBUG)
    with Output(log) as output:
        control.respond(_request("POST", URL, ((b"SOAPAction", b"urn:x#Nothing"),)), HOST, 100)
    log.set_level(log.INFO)
    assert "Nothing for 192.168.1.2: 401" in output.text()
