"""What many clients demand together: one test for each area, on the transcripts where it shows."""

import ast
import re

from conversation import DEVICE, FOLDER, IGD, SCPD, WAN_IP, device_types, play, services

TALKS = sorted(path.stem for path in FOLDER.glob("*.txt"))


def answered():
    """Yield the name and every answered request of all transcripts."""
    for name in TALKS:
        for one in play(name).exchanges:
            if one.where.startswith("tcp") and one.answer:
                yield name, one


def successes():
    """Yield every answer to a call."""
    for _, one in answered():
        if one.request.startswith(b"POST ") and one.status == 200:
            yield one


def faults():
    """Yield every refusal of a call."""
    for _, one in answered():
        if one.request.startswith(b"POST ") and one.status == 500:
            yield one


def documents(kind):
    """Yield the GET exchanges of all transcripts whose document has that root."""
    for _, one in answered():
        if one.request.startswith(b"GET ") and one.status == 200 and one.root.tag == kind:
            yield one


def test_every_transcript_has_a_test_and_every_client_a_transcript():
    used = set()
    for path in FOLDER.parent.glob("test_*.py"):
        for function in ast.parse(path.read_text()).body:
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                names = {node.value for node in ast.walk(function) if isinstance(node, ast.Constant)} & set(TALKS)
                assert names or not path.name.startswith("test_clients"), function.name
                used |= names
    assert used == set(TALKS)


def test_searches_are_taken_as_clients_write_them():
    searches = [one for one in play("oddities").exchanges if one.where.startswith("udp")]
    # names in lower case, no MAN in quotes, MX too large, no line's end at the end, from port 1900
    assert searches[0].where.endswith(":1900") and searches[0].got
    # to the router itself, without MAN and MX, too many line ends
    assert searches[1].request.endswith(b"\r\n\r\n\r\n\r\n") and len(searches[1].got) == 1


def test_a_repeated_search_is_answered_once():
    talk = play("go-ethereum")
    assert len([one for one in talk.exchanges if b"WANConnectionDevice:1\r\n" in one.request]) == 3
    assert len(talk.search("urn:schemas-upnp-org:device:WANConnectionDevice:1")) == 1


def test_answers_to_searches_come_soon_and_are_complete():
    count = 0
    for name in TALKS:
        talk = play(name)
        for one in talk.exchanges:
            delay_ms = one.answered_at - one.at  # some wait for 250 ms and no longer
            assert not one.got or (0 < delay_ms < 50 if one.where.startswith("udp") else delay_ms == 0)
            for datagram in one.got if one.where.startswith("udp") else ():
                count += 1
                assert datagram.startswith(b"HTTP/1.1 200 OK\r\n") and b"\r\nEXT:\r\n" in datagram
                head = {line.partition(b":")[0].lower(): line.partition(b":")[2].strip()
                        for line in datagram.split(b"\r\n")[1:] if line}
                assert {b"cache-control", b"location", b"server", b"st", b"usn"} <= set(head)
                assert re.match(rb"http://192\.168\.1\.1:5000/", head[b"location"])
                target = re.search(rb"(?i)\r\nst: *(.*?)(\r|$)", one.request).group(1).strip()
                assert head[b"st"] == target or target == b"ssdp:all"
    assert count > 100


def test_search_targets():
    talk = play("oddities")
    found = {one.asked["st"]: one.got for one in talk.exchanges if one.where == "udp 192.168.1.2:50000"}
    unknown = {IGD % 3, WAN_IP % 3, "urn:schemas-upnp-org:service:WANPPPConnection:1"}
    assert {target for target, got in found.items() if not got} == unknown and len(found) == 13
    everything = {one["st"] for one in talk.search("ssdp:all")}
    assert {IGD % 1, IGD % 2, "upnp:rootdevice"} | (set(found) - unknown) <= everything


def test_two_descriptions_each_of_one_version():
    for version, path in (1, "/rootDesc.xml"), (2, "/igd2/rootDesc.xml"):
        root = play("syncthing-1.19.2").get(path).root
        assert {one[-2:] for one in device_types(root)} == {":%d" % version}
        assert {one[-2:] for one, _ in services(root) if "WANIPConnection" in one} == {":%d" % version}
    udns = [one.text for path in ("/rootDesc.xml", "/igd2/rootDesc.xml")
            for one in play("syncthing-1.19.2").get(path).root.iter(DEVICE + "UDN")]
    assert len(udns) == len(set(udns)) == 6


def test_descriptions():
    count = 0
    for one in documents(DEVICE + "root"):
        count += 1
        assert [part.text for part in one.root.find(DEVICE + "specVersion")] == ["1", "0"]
        assert one.root.find(DEVICE + "URLBase") is None and len(one.body) < 4096
        assert b"<root xmlns=" in one.body and b"<device>" in one.body  # no prefixes
        for _, texts in services(one.root):
            assert all(texts[name].startswith("/") for name in ("SCPDURL", "controlURL", "eventSubURL"))
        assert {texts["serviceId"].split(":")[-1] for _, texts in services(one.root)} >= {"WANIPConn1", "WANCommonIFC1"}
    assert count > 20


def test_scpds():
    count = 0
    for one in documents(SCPD + "scpd"):
        count += 1
        variables = [part.text for part in one.root.findall(".//%sstateVariable/%sname" % (SCPD, SCPD))]
        related = [part.text for part in one.root.iter(SCPD + "relatedStateVariable")]
        assert set(related) <= set(variables) and len(variables) == len(set(variables))
        names = [part.text for part in one.root.findall(".//%saction/%sname" % (SCPD, SCPD))]
        if one.request.startswith(b"GET /WANIPConn1.xml "):
            assert "AddPortMapping" in names and "AddAnyPortMapping" not in names
        elif one.request.startswith(b"GET /igd2/WANIPConn1.xml ") and b"icrosoft" not in one.request:
            assert "AddAnyPortMapping" in names or b"Xbox" in one.request
    assert count > 20


def test_http():
    for name, one in answered():
        if one.status == 200 or one.request.startswith(b"POST "):
            assert one.headers["server"] and "ext" in one.headers
            assert one.request.startswith(b"HEAD ") or one.body is not None  # compares its length
            asked = one.asked.get("connection", "").lower()
            if b" HTTP/1.0\r\n" in one.request or "close" in asked:
                assert one.headers["connection"] == "close" and one.is_closed, name
    odd = play("oddities")
    head, = odd.requests("HEAD http://192.168.1.1:5000/")
    assert head.status == 200 and int(head.headers["content-length"]) and head.answer.endswith(b"\r\n\r\n")
    chunked, = [one for one in odd.requests("POST ") if "transfer-encoding" in one.asked]
    assert chunked.values() == {"NewExternalIPAddress": "11.0.0.2"}


def test_calls_are_taken_as_clients_write_them():
    talk = play("oddities")
    adds = talk.calls("AddPortMapping")
    assert [one.values() for one in adds[:10]] == [{}] * 10
    assert b"<NewProtocol>tcp<" in adds[0].request and b"\r\n\r\n\r\n  <s:Envelope" in adds[5].request
    # the first entry: an index that is empty, no prefixes, a version that does not exist, another host that means any
    first = talk.call("GetGenericPortMappingEntry", 0).values()
    assert (first["NewRemoteHost"], first["NewExternalPort"], first["NewProtocol"]) == ("", "20000", "TCP")
    # the sixth: arguments in reverse order, an empty client and lease, and not enabled
    sixth = talk.call("GetGenericPortMappingEntry", 1).values()
    assert sixth["NewInternalClient"] == "192.168.1.2" and sixth["NewLeaseDuration"] == "0"
    assert sixth["NewEnabled"] == "0"
    assert talk.call("GetSpecificPortMappingEntry").values()["NewPortMappingDescription"] == "remote 8.8.8.8"
    assert b"<return>Connected</return>" in talk.call("QueryStateVariable").body


def test_responses_have_one_form():
    count = 0
    for one in successes():
        count += 1
        action = one.asked["soapaction"].strip('"').split("#")[1]
        assert one.body.startswith(
            b'<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
            b's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><u:%sResponse xmlns:u="'
            % action.encode())
        assert one.body.rstrip().endswith(b"</u:%sResponse></s:Body></s:Envelope>" % action.encode())
        assert b"> <" not in one.body and one.headers["content-type"] == 'text/xml; charset="utf-8"'
    assert count > 150


def test_a_response_is_in_the_namespace_that_was_called():
    seen = set()
    for one in successes():
        asked = one.asked["soapaction"].strip('"').split("#")[0]
        if asked[-2:] in (":1", ":2"):
            seen.add((one.request.startswith(b"POST /igd2/"), asked[-2:]))
            assert b'xmlns:u="%s"' % asked.encode() in one.body
    assert seen == {(False, ":1"), (True, ":2"), (True, ":1")}  # the last one is igd-next's


def test_faults_have_one_form():
    count = 0
    for one in faults():
        count += 1
        assert re.search(
            rb"<s:Body><s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail><UPnPError "
            rb'xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>%d</errorCode><errorDescription>[^<]+'
            rb"</errorDescription></UPnPError></detail></s:Fault></s:Body>" % one.code, one.body)
    assert count > 30


def test_codes():
    talk = play("oddities")
    adds = [one.code for one in talk.calls("AddPortMapping")[10:]]
    assert adds == [718, 716, 402, 402]  # another host's, no port, no protocol, no number
    assert talk.call("DeletePortMapping").code == 714
    assert talk.call("X_NoSuchAction").code == 401
    assert talk.call("GetGenericPortMappingEntry", 2).code == 713
    assert 725 not in [one.code for one in faults()]  # leases are always taken


def test_leases():
    talk = play("go-ethereum")
    assert talk.call("GetSpecificPortMappingEntry", 0).values()["NewLeaseDuration"] == "300"
    assert talk.call("GetSpecificPortMappingEntry", 1).code == 714
    # no end is shown as such, but there is one
    assert play("miniupnpc-2.2.4-python").call("GetSpecificPortMappingEntry").values()["NewLeaseDuration"] == "0"
    assert play("skype").call("GetGenericPortMappingEntry", 1).code == 713


def test_events():
    talk = play("gena")
    subscribe, renewal = talk.requests("SUBSCRIBE")
    assert subscribe.headers["timeout"] == "Second-1800" and renewal.headers["timeout"] == "Second-300"
    assert subscribe.headers["sid"] == renewal.headers["sid"]
    bodies = [one.got[0] for one in talk.events]
    assert [re.search(rb"SEQ: (\d)", one).group(1) for one in bodies] == [b"0", b"1", b"2"]
    for name in b"ExternalIPAddress", b"ConnectionStatus", b"PortMappingNumberOfEntries":
        assert b"<%s>" % name in bodies[0]
    counts = [re.search(rb"OfEntries>(\d)<", one).group(1) for one in bodies]
    assert counts == [b"0", b"2", b"0"]  # two new ones told at once, and the end of their leases
    assert talk.events[-1].at < talk.requests("UNSUBSCRIBE")[0].at  # nothing behind it
    assert play("oddities").requests("SUBSCRIBE")[0].status == 412  # a callback to somebody else
    assert b"<PhysicalLinkStatus>Up<" in b"".join(one.got[0] for one in play("windows-xp").events)


def test_the_first_event_comes_behind_the_answer():
    for name in "gupnp-igd-1.2.0", "async-upnp-client-0.49.0", "amule-2.3.3", "windows-xp", "gena":
        talk = play(name)
        assert 100 <= talk.events[0].at - talk.requests("SUBSCRIBE")[0].at <= 200, name


def test_announcements():
    sent = play("listener").multicast
    alive = [at for at, one in sent if b"NTS: ssdp:alive" in one and b"NT: %s\r\n" % (IGD % 1).encode() in one]
    assert alive[:2] == [0, 250] and len(alive) >= 3  # twice, and again
    assert alive[2] <= 1800000 // 2  # before more than half of its max-age is over
    for _, one in sent:
        assert one.startswith(b"NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n") and one.endswith(b"\r\n\r\n")
    assert all(b"max-age=1800" in one for _, one in sent if b"ssdp:alive" in one)
    assert [at for at, one in sent if b"ssdp:byebye" in one][0] == 0  # of an earlier life
