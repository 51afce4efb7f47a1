"""miniigd.soap: calls as real clients write them, each way to be refused, and the exact bytes of answers and faults."""

from helpers import damaged, raised
from miniigd import soap
from miniigd.errors import TEXTS, UPnPError
from miniigd.services import Action, Service, Variable, wan_ip, wan_ip2, wan_ipv6_firewall
from miniigd.xml import Document

SERVICE = wan_ip.SERVICE
ADD = SERVICE.find_action("AddPortMapping")
DELETE = SERVICE.find_action("DeletePortMapping")
GENERIC = SERVICE.find_action("GetGenericPortMappingEntry")

# The wire form that clients scan for, byte by byte: prefixes s and u, xmlns before encodingStyle.
HEAD = (b'<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        b's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>')
TAIL = b"</s:Body></s:Envelope>\r\n"

ACTION_HEADERS = (
    (b'"urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping"', "AddPortMapping"),
    (b"urn:schemas-upnp-org:service:WANIPConnection:2#GetExternalIPAddress", "GetExternalIPAddress"),
    (b' "urn:schemas-upnp-org:service:WANPPPConnection:1#a_1" ', "a_1"),
    (b"#X", "X"), (b"a#b#C", "C"), (b'"urn:x#Add', "Add"), (b"urn:x#" + b"n" * 64, "n" * 64),
)

NO_ACTION_HEADERS = (
    b"", b'"', b'""', b"#", b'"#"', b"AddPortMapping", b"urn:x#", b"urn:x#Add Port", b"urn:x#Add-Port", b"urn:x#Add\0",
    b"urn:x#Add/", b"urn:x#<a>", b"urn:x#\xc3\xa9", b"urn:x#\xff", b"urn:x#" + b"n" * 65, b"urn:x#" + b"n" * 4000,
)

ARGUMENTS = (
    b"<NewRemoteHost></NewRemoteHost><NewExternalPort>8000</NewExternalPort><NewProtocol>TCP</NewProtocol>"
    b"<NewInternalPort>8001</NewInternalPort><NewInternalClient>192.168.1.2</NewInternalClient>"
    b"<NewEnabled>1</NewEnabled><NewPortMappingDescription>web</NewPortMappingDescription>"
    b"<NewLeaseDuration>3600</NewLeaseDuration>")

READ = {
    b"NewRemoteHost": b"", b"NewExternalPort": b"8000", b"NewProtocol": b"TCP", b"NewInternalPort": b"8001",
    b"NewInternalClient": b"192.168.1.2", b"NewEnabled": b"1", b"NewPortMappingDescription": b"web",
    b"NewLeaseDuration": b"3600",
}

TYPED = ["", 8000, "TCP", 8001, "192.168.1.2", True, "web", 3600]

MINIUPNPC = (
    b'<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
    b's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
    b'<u:AddPortMapping xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1">' + ARGUMENTS +
    b"</u:AddPortMapping></s:Body></s:Envelope>\r\n")

# The same call in the shapes of other clients.
CALLS = (
    MINIUPNPC,
    # KTorrent, Windows: SOAP-ENV and m, attributes on the arguments
    b'<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"><SOAP-ENV:Body>'
    b'<m:AddPortMapping xmlns:m="urn:schemas-upnp-org:service:WANIPConnection:1">' +
    ARGUMENTS.replace(b"<NewProtocol>",
                      b'<NewProtocol xmlns:dt="urn:schemas-microsoft-com:datatypes" dt:dt="string">') +
    b"</m:AddPortMapping></SOAP-ENV:Body></SOAP-ENV:Envelope>",
    # no prefix at all; a blank in front of the namespace
    b'<Envelope xmlns=" http://schemas.xmlsoap.org/soap/envelope/"><Body><AddPortMapping xmlns="urn:x">' + ARGUMENTS +
    b"</AddPortMapping></Body></Envelope>",
    # blanks and line ends in front and everywhere between
    b"\r\n  " + MINIUPNPC.replace(b"><", b">\r\n\t <").replace(b">\r\n\t </NewRemoteHost", b"></NewRemoteHost"),
    b"\xef\xbb\xbf" + MINIUPNPC,
    b"<!-- hello -->" + MINIUPNPC[23:],
    # the empty argument closed at once
    MINIUPNPC.replace(b"<NewRemoteHost></NewRemoteHost>", b"<NewRemoteHost/>"),
    MINIUPNPC.replace(b"<NewRemoteHost></NewRemoteHost>", b"<NewRemoteHost />"),
    MINIUPNPC.replace(b"<NewRemoteHost></NewRemoteHost>", b'<NewRemoteHost xmlns:dt="urn:x" dt:dt="string"/>'),
    # a header in front of the body
    MINIUPNPC.replace(b"<s:Body>", b"<s:Header><a><b/></a></s:Header><s:Body>"),
    MINIUPNPC.replace(b"<s:Body>", b"<s:Header/><s:Body>"),
    # arguments in another order
    MINIUPNPC.replace(b"<NewEnabled>1</NewEnabled>", b"").replace(
        b"<NewRemoteHost>", b"<NewEnabled>1</NewEnabled><NewRemoteHost>"),
    # nothing behind the body is looked at
    MINIUPNPC[:-26],
)

REFUSED_CALLS = (
    b"", b" ", b"hello", b"<", b"<a/>", b"<s:Envelope>", b"<s:Envelope/>", b"<s:Envelope></s:Envelope>",
    b"<s:Envelope><s:Body>", b"<s:Envelope><s:Body/></s:Envelope>", b"<s:Envelope><s:Body></s:Body></s:Envelope>",
    b"<s:Envelope><s:Header/></s:Envelope>", b"<s:Envelope><x/></s:Envelope>",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + MINIUPNPC[23:], MINIUPNPC[:300], MINIUPNPC.replace(b"</NewProtocol>", b""),
    MINIUPNPC.replace(b"<NewProtocol>", b"<NewProtocol"), MINIUPNPC.replace(b"<NewProtocol>", b"<>"),
    MINIUPNPC.replace(b"<NewRemoteHost>", b"<NewRemoteHost>" + b"<" * 8000),
    b'{"NewProtocol": "TCP"}', b"\0" * 100,
)


def _parse(body, name):
    """Return the arguments of a call: the same whether a call that begins like this one was read before or not."""
    calls = soap.Calls(name)
    arguments = calls.read(body)
    assert calls.read(body) == arguments
    return arguments



def test_the_action_of_a_header():
    for header, name in ACTION_HEADERS:
        assert soap.parse_action(header) == name, header
    for header in NO_ACTION_HEADERS:
        assert soap.parse_action(header) is None, header
    for header in damaged(ACTION_HEADERS[0][0]):
        soap.parse_action(header)


def test_names_are_of_ascii_letters_digits_and_underscores():
    allowed = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
    for byte in range(256):
        assert soap.is_name(bytes([byte])) == (bytes([byte]) in allowed)


def test_the_call_in_every_shape():
    for body in CALLS:
        raw = _parse(body, "AddPortMapping")
        assert raw == READ, body
        assert soap.bind(SERVICE, ADD, raw) == TYPED


def test_a_call_without_arguments():
    for call in (b"<u:GetStatusInfo/>", b'<u:GetStatusInfo xmlns:u="urn:x" />', b"<u:GetStatusInfo></u:GetStatusInfo>",
                 b"<GetStatusInfo>\r\n</GetStatusInfo>"):
        body = b"<s:Envelope><s:Body>" + call + b"</s:Body></s:Envelope>"
        assert _parse(body, "GetStatusInfo") == {}, body


def test_what_is_no_call_is_402():
    for body in REFUSED_CALLS:
        error = raised(UPnPError, _parse, body, "AddPortMapping")
        assert error.code == 402, body
        assert error.reason


def test_another_action_in_the_body_is_401():
    assert raised(UPnPError, _parse, MINIUPNPC, "DeletePortMapping").code == 401
    assert raised(UPnPError, _parse, MINIUPNPC, "AddPortMappin").code == 401


def test_the_number_of_arguments_is_limited():
    for count in (0, 1, 12):
        body = MINIUPNPC.replace(ARGUMENTS, b"".join([b"<a%d>x</a%d>" % (n, n) for n in range(count)]))
        assert len(_parse(body, "AddPortMapping")) == count
    for count in (17, 200):
        body = MINIUPNPC.replace(ARGUMENTS, b"<a>x</a>" * count)
        assert raised(UPnPError, _parse, body, "AddPortMapping").code == 402


def test_only_upnp_error_escapes_from_damaged_calls():
    for body in damaged(MINIUPNPC):
        try:
            soap.bind(SERVICE, ADD, _parse(body, "AddPortMapping"))
        except UPnPError as error:
            assert error.code in TEXTS


def test_values_are_unescaped_and_may_hold_raw_markup():
    for sent, value in ((b"a &lt;b&gt; &amp; c", "a <b> & c"), (b"Tom & Jerry < 3", "Tom & Jerry < 3"),
                        (b"&amp;amp;", "&amp;"), (b"<b>x</b>", "<b>x</b>"), (b"a<b", "a<b"), (b"]]>", "]]>"),
                        (b"&unknown;", "&unknown;"), (b"caf\xc3\xa9", "caf\u00e9"), (b"&#233;", "\u00e9")):
        assert _bound(b"NewPortMappingDescription", sent)[6] == value, sent


def _bound(name, value):
    """Return what an AddPortMapping is bound to when the argument `name` is sent as `value`, None: not at all."""
    opening, closing = b"<" + name + b">", b"</" + name + b">"
    start, end = ARGUMENTS.find(opening), ARGUMENTS.find(closing)
    argument = b"" if value is None else opening + value + closing
    body = MINIUPNPC.replace(ARGUMENTS, ARGUMENTS[:start] + argument + ARGUMENTS[end + len(closing):])
    return _bind(body)


def _bind(body):
    """Return the values of an AddPortMapping: the same whoever called before."""
    try:
        values = soap.bind(SERVICE, ADD, _parse(body, "AddPortMapping"))
    except UPnPError as error:
        values = error
    for before in (None, MINIUPNPC, body):
        ADD.shape, calls = None, soap.Calls("AddPortMapping")
        for call in (before, body, body):
            try:
                found = TYPED if call is None else calls.bind(SERVICE, ADD, call)
            except UPnPError as error:
                found = error
            if call is body:
                assert found.args == values.args if isinstance(values, UPnPError) else found == values
    if isinstance(values, UPnPError):
        raise values
    return values


def test_calls_of_another_shape_than_the_one_before():
    whole = MINIUPNPC.replace(ARGUMENTS, b"%s")
    prefixed = ARGUMENTS.replace(b"<New", b"<p:New").replace(b"</New", b"</p:New")
    elements = [b"<New" + one for one in ARGUMENTS.split(b"<New")[1:]]
    backwards = b"".join(reversed(elements))
    calls, shapes = soap.Calls("AddPortMapping"), []
    ADD.shape = None
    for arguments in (ARGUMENTS, prefixed, backwards, b"\r\n".join(elements), ARGUMENTS + b"<NewOther>x</NewOther>",
                      b"<NewOther>x</NewOther>" + ARGUMENTS, ARGUMENTS):
        body = whole.replace(b"%s", arguments)
        for _ in range(2):
            assert calls.bind(SERVICE, ADD, body) == TYPED, arguments
        shapes.append(ADD.shape)
    assert shapes[0] != shapes[1] != shapes[2] != shapes[0] and None not in shapes
    # Twice the same, or one that is missing: never a value of a call before.
    assert calls.bind(SERVICE, ADD, whole.replace(b"%s", ARGUMENTS + elements[1].replace(b"8000", b"9"))) == (
        TYPED[:1] + [9] + TYPED[2:])
    for index, element in enumerate(elements):
        body = whole.replace(b"%s", ARGUMENTS.replace(element, b""))
        if b"RemoteHost" in element:
            assert calls.bind(SERVICE, ADD, body) == TYPED
        else:
            assert raised(UPnPError, calls.bind, SERVICE, ADD, body).code == 402
        body = whole.replace(b"%s", ARGUMENTS.replace(element, elements[index - 1]))
        if b"RemoteHost" not in element:
            assert raised(UPnPError, calls.bind, SERVICE, ADD, body).code == 402


def test_no_long_shape_is_remembered():
    ADD.shape, calls = None, soap.Calls("AddPortMapping")
    for prefix, is_kept in ((b"p" * 20, True), (b"p" * 90, False)):
        ADD.shape = None
        arguments = ARGUMENTS.replace(b"<New", b"<" + prefix + b":New").replace(b"</New", b"</" + prefix + b":New")
        for _ in range(3):
            assert calls.bind(SERVICE, ADD, MINIUPNPC.replace(ARGUMENTS, arguments)) == TYPED
            assert (ADD.shape is not None) == is_kept


def _refused(name, value):
    return raised(UPnPError, _bound, name, value).code


def test_any_remote_host():
    for value in (None, b"", b" ", b"*", b"0.0.0.0", b"undefined", b"\r\n"):
        assert _bound(b"NewRemoteHost", value) == TYPED, value


def test_a_remote_host():
    assert _bound(b"NewRemoteHost", b"11.0.0.1")[0] == "11.0.0.1"
    assert _bound(b"NewRemoteHost", b" 11.0.0.001 ")[0] == "11.0.0.1"
    for value in (b"example.org", b"11.0.0", b"11.0.0.256", b"::1", b"11.0.0.1/8", b"\xff", b"11.0.0.1;ls", b"**"):
        assert _refused(b"NewRemoteHost", value) == 402, value


def test_only_the_remote_host_may_be_missing():
    for name, _ in ADD.arguments_in:
        if name != "NewRemoteHost":
            error = raised(UPnPError, _bound, name.encode(), None)
            assert error.code == 402
            assert name in error.reason


def test_ports():
    for name, index in ((b"NewExternalPort", 1), (b"NewInternalPort", 3)):
        for value, number in ((b"1", 1), (b"65535", 65535), (b"0", 0), (b"", 0), (b" 80 ", 80), (b"00080", 80)):
            assert _bound(name, value)[index] == number
        # 70000 must not become 4464
        for value in (b"65536", b"70000", b"4294975296", b"99999999999999999999", b"-1", b"+80", b"8_0", b"0x50",
                      b"80.0", b"1e3", b"http", b"80 81", b"\xd9\xa3", b"\xff", b"8\x000"):
            assert _refused(name, value) == 402, value


def test_a_wildcard_port_is_0():
    assert _bound(b"NewExternalPort", b"*")[1] == 0
    assert _bound(b"NewExternalPort", b" * ")[1] == 0
    assert _refused(b"NewInternalPort", b"*") == 402


def test_protocols():
    for value, protocol in ((b"TCP", "TCP"), (b"UDP", "UDP"), (b"tcp", "TCP"), (b"udp", "UDP"), (b" Udp\r\n", "UDP")):
        assert _bound(b"NewProtocol", value)[2] == protocol
    for value in (b"SCTP", b"", b"TCP/UDP", b"6", b"TCPX", b"*", b"\xff", b"T\0CP"):
        assert _refused(b"NewProtocol", value) == 601, value


def test_internal_clients():
    for value, client in ((b"192.168.1.9", "192.168.1.9"), (b"", ""), (b"  ", ""), (b" 192.168.1.9 ", "192.168.1.9"),
                          (b"192.168.001.009", "192.168.1.9"), (b"255.255.255.255", "")):
        assert _bound(b"NewInternalClient", value)[4] == client
    # a name is not looked up
    for value in (b"myhost", b"localhost", b"192.168.1", b"192.168.1.300", b"fe80::1", b"$(reboot)", b"\xff\xff"):
        assert _refused(b"NewInternalClient", value) == 402, value


def test_booleans():
    for value in (b"1", b"true", b"True", b"TRUE", b"yes", b"Yes", b"", b" 1 "):
        assert _bound(b"NewEnabled", value)[5] is True, value
    for value in (b"0", b"false", b"False", b"no", b" 0"):
        assert _bound(b"NewEnabled", value)[5] is False, value
    for value in (b"2", b"-1", b"on", b"01", b"undefined", b"\xff"):
        assert _refused(b"NewEnabled", value) == 402, value


def test_leases():
    for value, seconds in ((b"0", 0), (b"", 0), (b"1", 1), (b"3600", 3600), (b"604801", 604801),
                           (b"2147483648", 2147483648), (b"4294967295", 4294967295)):
        assert _bound(b"NewLeaseDuration", value)[7] == seconds
    for value in (b"4294967296", b"9999999999", b"10000000000", b"-1", b"3600.0", b"infinite", b"1 2"):
        assert _refused(b"NewLeaseDuration", value) == 402, value


def test_an_index_may_be_empty():
    for value, index in ((b"", 0), (b"0", 0), (b"7", 7), (b"65535", 65535)):
        assert soap.bind(SERVICE, GENERIC, {b"NewPortMappingIndex": value}) == [index]
    for value in (b"65536", b"-1", b"x"):
        assert raised(UPnPError, soap.bind, SERVICE, GENERIC, {b"NewPortMappingIndex": value}).code == 402
    assert raised(UPnPError, soap.bind, SERVICE, GENERIC, {}).code == 402


def test_arguments_that_are_not_in_the_table_are_ignored():
    raw = {b"NewExternalPort": b"8000", b"NewProtocol": b"UDP", b"NewSurprise": b"\xff"}
    assert soap.bind(SERVICE, DELETE, raw) == ["", 8000, "UDP"]


def test_strings_of_other_services():
    service = Service("X:1", "X1", (Variable("Name", "string"),), ())
    action = Action("SetName", None, (("NewName", "Name"),))
    assert soap.bind(service, action, {b"NewName": b" caf\xc3\xa9 "}) == [" caf\u00e9 "]
    assert raised(UPnPError, soap.bind, service, action, {b"NewName": b"\xff"}).code == 402
    assert raised(UPnPError, soap.bind, service, action, {}).code == 402


def test_descriptions_have_no_control_characters():
    # one that ends a line could forge another in a file or the log
    assert _bound(b"NewPortMappingDescription", b"a\r\nb\0c\x7fd\te\x1b[0m")[6] == "a  b c d e [0m"
    assert _bound(b"NewPortMappingDescription", b"a&#10;b&#13;c")[6] == "a b c"
    assert _bound(b"NewPortMappingDescription", b"")[6] == ""


def test_descriptions_are_cut_between_characters():
    for sent, kept in ((b"x" * 63, "x" * 63), (b"x" * 64, "x" * 63), (b"x" * 5000, "x" * 63),
                       (b"x" * 62 + b"\xc3\xa9", "x" * 62), (b"x" * 61 + b"\xc3\xa9", "x" * 61 + "\u00e9"),
                       (b"x" * 61 + b"\xe2\x82\xac", "x" * 61), (b"x" * 60 + b"\xf0\x9f\x98\x80", "x" * 60),
                       (b"x" * 62 + b"\xf0\x9f\x98\x80", "x" * 62), (b"\xc3\xa9" * 40, "\u00e9" * 31)):
        description = _bound(b"NewPortMappingDescription", sent)[6]
        assert description == kept, sent
        assert len(description.encode()) <= 63


def test_descriptions_are_text_that_every_xml_reader_takes():
    # not UTF-8, or written with more bytes than needed, or no character at all
    for sent in (b"\xff\xfe", b"caf\xe9", b"\x80", b"\xc3", b"\xc0\x8a", b"\xe0\x80\x8a", b"\xf0\x80\x80\x8a",
                 b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xef\xbf\xbe", b"\xef\xbf\xbf",
                 b"\xff" * 63, b"\xff" * 200, b"x" * 60 + b"\xff\xff\xff", b"\xc0" + b"x" * 62):
        description = _bound(b"NewPortMappingDescription", b"a" + sent + b"z")[6]
        assert description[0] == "a"
        for character in description:
            code = ord(character)
            assert code >= 32 and code != 127 and not 0xD800 <= code < 0xE000 and code not in (0xFFFE, 0xFFFF), sent
            assert chr(code).encode() == character.encode(), sent
        assert len(description.encode()) <= 63


def test_an_answer_to_the_byte():
    action = SERVICE.find_action("GetExternalIPAddress")
    assert soap.response(SERVICE.type, action, ("81.2.69.160",)) == (
        HEAD + b'<u:GetExternalIPAddressResponse xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1">'
        b"<NewExternalIPAddress>81.2.69.160</NewExternalIPAddress></u:GetExternalIPAddressResponse>" + TAIL)
    assert soap.response(SERVICE.type, ADD, ()) == (
        HEAD + b'<u:AddPortMappingResponse xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1">'
        b"</u:AddPortMappingResponse>" + TAIL)


def test_the_answer_speaks_the_version_that_was_called():
    one, two = "urn:schemas-upnp-org:service:WANIPConnection:1", "urn:schemas-upnp-org:service:WANIPConnection:2"
    for header, service, expected in (
            (b'"%s#X"', SERVICE, one), (b"%s#X", SERVICE, one), (b'"%s#X"', wan_ip2.SERVICE, one)):
        assert soap.spoken_type(header % one.encode(), service) == expected
    assert soap.spoken_type(b'"%s#X"' % two.encode(), wan_ip2.SERVICE) == two
    for other in (two, "urn:schemas-upnp-org:service:WANIPConnection:0", "urn:x", "", one + "1", "\"<>&:1"):
        assert soap.spoken_type(b'"%s#X"' % other.encode(), SERVICE) == one
    assert soap.spoken_type(b"", wan_ip2.SERVICE) == two


def test_values_of_every_type_in_the_table_s_order():
    values = ("", 8000, "UDP", 8001, "192.168.1.2", True, "a <b> & \"c\" caf\u00e9", 4294967295)
    body = soap.response(SERVICE.type, GENERIC, values)
    assert body == (
        HEAD + b'<u:GetGenericPortMappingEntryResponse xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1">'
        b"<NewRemoteHost></NewRemoteHost><NewExternalPort>8000</NewExternalPort><NewProtocol>UDP</NewProtocol>"
        b"<NewInternalPort>8001</NewInternalPort><NewInternalClient>192.168.1.2</NewInternalClient>"
        b"<NewEnabled>1</NewEnabled><NewPortMappingDescription>a &lt;b&gt; &amp; &quot;c&quot; caf\xc3\xa9"
        b"</NewPortMappingDescription><NewLeaseDuration>4294967295</NewLeaseDuration>"
        b"</u:GetGenericPortMappingEntryResponse>" + TAIL)


def test_a_document_as_a_value_is_a_cdata_section():
    service = Service("X:1", "X1", (Variable("Listing", "string"),), ())
    action = Action("GetListing", None, (), (("NewListing", "Listing"),))
    assert soap.response(service.type, action, (Document("<a>b &amp; c]]&gt;</a>"),)) == (
        HEAD + b'<u:GetListingResponse xmlns:u="urn:schemas-upnp-org:service:X:1"><NewListing>'
        b"<![CDATA[<a>b &amp; c]]&gt;</a>]]></NewListing></u:GetListingResponse>" + TAIL)


def test_no_is_0_and_yes_is_1():
    body = soap.response(SERVICE.type, SERVICE.find_action("GetNATRSIPStatus"), (False, True))
    assert b"<NewRSIPAvailable>0</NewRSIPAvailable><NewNATEnabled>1</NewNATEnabled>" in body


def test_an_answer_can_be_read_back():
    values = ("", 8000, "UDP", 8001, "192.168.1.2", True, "]]> & <x>", 60)
    body = soap.response(SERVICE.type, GENERIC, values)
    raw = _parse(body, "GetGenericPortMappingEntryResponse")
    assert soap.bind(SERVICE, ADD, raw) == list(values)


def test_the_value_of_a_variable_to_the_byte():
    head = HEAD + b'<u:QueryStateVariableResponse xmlns:u="urn:schemas-upnp-org:control-1-0"><return>'
    tail = b"</return></u:QueryStateVariableResponse>" + TAIL
    for value, text in (("Connected", b"Connected"), ("", b""), (0, b"0"), (4294967295, b"4294967295"), (True, b"1"),
                        (False, b"0"), ("<a> & \"b\"", b"&lt;a&gt; &amp; &quot;b&quot;")):
        assert soap.query_response(value) == head + text + tail


def test_a_fault_to_the_byte():
    assert soap.fault(718) == (
        HEAD + b"<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>"
        b'<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>718</errorCode>'
        b"<errorDescription>ConflictInMappingEntry</errorDescription></UPnPError></detail></s:Fault>" + TAIL)


def test_every_code_has_a_fault():
    for code in TEXTS:
        body = soap.fault(code)
        assert b"<errorCode>%d</errorCode><errorDescription>" % code in body
        assert b"<errorDescription></errorDescription>" not in body


def test_ipv6_addresses_have_one_form():
    action = wan_ipv6_firewall.SERVICE.find_action("AddPinhole")
    raw = {b"RemoteHost": b"", b"RemotePort": b"0", b"InternalClient": b"2001:db8::2", b"InternalPort": b"8000",
           b"Protocol": b"6", b"LeaseTime": b"60"}

    def bound(**named):
        found = dict(raw)
        for name in named:
            found[name.encode()] = named[name]
        try:
            return soap.bind(wan_ipv6_firewall.SERVICE, action, found)
        except UPnPError as error:
            return error.code

    assert bound() == ["", 0, "2001:db8::2", 8000, 6, 60]
    for value, text in ((b"2001:DB8:0::2", "2001:db8::2"), (b" 2001:db8::2\n", "2001:db8::2"), (b"*", ""), (b"::", ""),
                        (b"", "")):
        assert bound(RemoteHost=value)[0] == bound(InternalClient=value)[2] == text
    for value in (b"host", b"192.168.1.2", b"2001:db8::2%lan", b"[2001:db8::2]", b"\xff", b"2001:db8::2/64"):
        assert bound(RemoteHost=value) == bound(InternalClient=value) == 402


def test_a_fault_has_the_text_of_its_service():
    assert b"<errorCode>704</errorCode><errorDescription>ConnectionSetupFailed<" in soap.fault(704)
    assert b"<errorCode>704</errorCode><errorDescription>NoSuchEntry<" in soap.fault(704, "WANIPv6Firewall1")
    assert b"<errorDescription>Invalid Args<" in soap.fault(402, "WANIPv6Firewall1")
