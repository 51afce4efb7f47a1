"""miniigd.ssdp: which datagrams are searches, and the exact bytes that answer them."""

from miniigd import ssdp

TARGETS = [("upnp:rootdevice", "uuid:1::upnp:rootdevice", 1), ("urn:x:1", "uuid:1::urn:x:1", 1),
           ("upnp:rootdevice", "uuid:2::upnp:rootdevice", 2)]

# As sent by real clients: header order, case, spaces, quotes and the final empty line differ.
SEARCHES = (
    (b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nST: urn:x:1\r\nMAN: "ssdp:discover"\r\nMX: 2\r\n\r\n',
     "urn:x:1"),
    (b"M-SEARCH * HTTP/1.1\r\nST:upnp:rootdevice\r\nMX:3\r\nMAN:\"ssdp:discover\"\r\n\r\n\r\n", "upnp:rootdevice"),
    (b"M-SEARCH * HTTP/1.1\r\nMAN:ssdp:discover\r\nMX:10\r\nST:ssdp:all\r\n", "ssdp:all"),
    (b"m-search * HTTP/1.1\nst:   urn:x:1  \nMan: \"ssdp:discover\"", "urn:x:1"),
    (b"M-SEARCH * HTTP/1.1\r\nST: urn:x:1\r\n\r\n", "urn:x:1"),
)

NOT_SEARCHES = (
    b"", b"\0" * 100, b"M-SEARCH", b"M-SEARCH * HTTP/1.1\r\n\r\n", b"NOTIFY * HTTP/1.1\r\nNT: urn:x:1\r\n\r\n",
    b'M-SEARCH * HTTP/1.1\r\nST: urn:x:1\r\nMAN: "ssdp:other"\r\n\r\n', b"M-SEARCH * HTTP/1.1\r\nST: \xff\xfe\r\n\r\n",
    b"M-SEARCH * HTTP/1.1\r\nST: " + b"x" * 1500,
)


def test_searches_of_real_clients_are_read():
    for datagram, target in SEARCHES:
        assert ssdp.parse(datagram).target == target, datagram


def test_other_datagrams_are_none():
    for datagram in NOT_SEARCHES:
        assert ssdp.parse(datagram) is None, datagram


def test_parse_never_raises_on_flipped_and_cut_searches():
    for datagram, _ in SEARCHES:
        for position in range(len(datagram)):
            for byte in (0, 10, 58, 255):
                ssdp.parse(datagram[:position] + bytes([byte]) + datagram[position + 1:])
            ssdp.parse(datagram[:position])


def test_a_search_matches_its_target_only():
    assert ssdp.matches(ssdp.Search("urn:x:1"), TARGETS) == TARGETS[1:2]
    assert ssdp.matches(ssdp.Search("upnp:rootdevice"), TARGETS) == [TARGETS[0], TARGETS[2]]
    assert ssdp.matches(ssdp.Search("urn:x:2"), TARGETS) == []
    assert ssdp.matches(ssdp.Search("ssdp:all"), TARGETS) == TARGETS


def test_answer_has_every_header_that_clients_look_for():
    lines = ssdp.answer("urn:x:1", "uuid:1::urn:x:1", "http://192.168.1.1:5000/rootDesc.xml", 1800).split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert lines[-2:] == [b"", b""]
    for line in (b"CACHE-CONTROL: max-age=1800", b"EXT:", b"LOCATION: http://192.168.1.1:5000/rootDesc.xml",
                 b"ST: urn:x:1", b"USN: uuid:1::urn:x:1"):
        assert line in lines, line
    assert any([line.startswith(b"SERVER: ") and b" UPnP/1.0 " in line for line in lines])


def test_announcements():
    assert b"\r\nNTS: ssdp:alive\r\n" in ssdp.alive("urn:x:1", "uuid:1::urn:x:1", "http://a/", 1900)
    assert b"\r\nCACHE-CONTROL: max-age=1900\r\n" in ssdp.alive("urn:x:1", "uuid:1::urn:x:1", "http://a/", 1900)
    assert b"\r\nLOCATION: http://a/\r\n" in ssdp.alive("urn:x:1", "uuid:1::urn:x:1", "http://a/", 1900)
    assert ssdp.byebye("urn:x:1", "uuid:1::urn:x:1") == (
        b"NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nNT: urn:x:1\r\nNTS: ssdp:byebye\r\n"
        b"USN: uuid:1::urn:x:1\r\n\r\n")
