"""miniigd.ssdp: which datagrams are searches, and the exact bytes that answer them."""

from helpers import Output
from miniigd import log, ssdp
from miniigd.http import SERVER

TARGETS = [("upnp:rootdevice", "uuid:1::upnp:rootdevice", 1), ("urn:x:1", "uuid:1::urn:x:1", 1),
           ("upnp:rootdevice", "uuid:2::upnp:rootdevice", 2)]
LOCATIONS = {1: "http://192.168.1.1:5000/rootDesc.xml", 2: "http://192.168.1.1:5000/igd2/rootDesc.xml"}
PEER = ("192.168.1.2", 40000)

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


def _responder(targets=TARGETS, boot_id=7):
    return ssdp.Responder(targets, LOCATIONS, 1800, ssdp.Boot(boot_id, 9))


def _search(target):
    return b"M-SEARCH * HTTP/1.1\r\nST: %s\r\n\r\n" % target.encode()


def _value(datagram, name):
    """The value of a header, which must be there once."""
    found = [line.partition(b":")[2].strip() for line in datagram.split(b"\r\n")
             if line.partition(b":")[0] == name.encode()]
    assert len(found) == 1, (name, datagram)
    return found[0].decode()


def test_a_search_is_answered_with_its_target_only():
    for target, versions in (("urn:x:1", [1]), ("upnp:rootdevice", [1]), ("urn:x:2", []), ("urn:x", []),
                             ("ssdp:all", [1, 1, 2])):
        answers = _responder().answers(_search(target), PEER, 0)
        assert [_value(one, "LOCATION") for one in answers] == [LOCATIONS[version] for version in versions]
        if target != "ssdp:all":
            assert [_value(one, "ST") for one in answers] == [target] * len(answers)
    for datagram in NOT_SEARCHES:
        assert _responder().answers(datagram, PEER, 0) == []


def test_an_answer_to_the_byte():
    assert _responder().answers(_search("urn:x:1"), PEER, 0) == [
        b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nEXT:\r\n"
        b"LOCATION: http://192.168.1.1:5000/rootDesc.xml\r\nSERVER: " + SERVER.encode() + b"\r\nST: urn:x:1\r\n"
        b"USN: uuid:1::urn:x:1\r\nBOOTID.UPNP.ORG: 7\r\nCONFIGID.UPNP.ORG: 9\r\nContent-Length: 0\r\n\r\n"]


def test_a_search_is_answered_once_until_its_answer_leaves():
    responder = _responder()
    for now_ms, peer, target, count in (
            (0, PEER, "urn:x:1", 1), (0, PEER, "urn:x:1", 0), (2, PEER, "urn:x:1", 0),
            (2, PEER, "upnp:rootdevice", 1),  # another target
            (2, ("192.168.1.2", 40001), "urn:x:1", 1), (2, ("192.168.1.3", 40000), "urn:x:1", 1),
            (3, PEER, "urn:x:1", 1),  # the answer has left: it asks again
            (5, PEER, "urn:x:1", 0), (6, PEER, "urn:x:1", 1)):
        assert len(responder.answers(_search(target), peer, now_ms)) == count, (now_ms, peer, target)


def test_a_source_gets_so_many_answers_and_regains_them():
    responder = _responder()
    with Output(log) as output:
        sent = sum([len(responder.answers(_search("urn:x:1"), (PEER[0], port), 1000)) for port in range(200)])
        assert sent == 96
        # everybody else is served as before
        assert len(responder.answers(_search("urn:x:1"), ("192.168.1.3", 1), 1000)) == 1
        sent = sum([len(responder.answers(_search("urn:x:1"), (PEER[0], port), 2000)) for port in range(200, 400)])
        assert sent == 24
        sent = sum([len(responder.answers(_search("urn:x:1"), (PEER[0], port), 3600000)) for port in range(200)])
        assert sent == 96
    # once for each time that it began
    assert output.text().count("192.168.1.2 searches too often") == 2 == output.text().count("\n")


def test_all_or_nothing_of_a_search_is_answered():
    responder = _responder([("urn:x:%d" % index, "uuid:%d" % index, 1) for index in range(50)])
    with Output(log):
        assert [len(responder.answers(_search("ssdp:all"), (PEER[0], port), 0)) for port in range(3)] == [50, 0, 0]


def test_the_memory_of_sources_and_searches_is_bounded():
    responder = _responder()
    answered = 0
    with Output(log):
        for index in range(1000):
            peer = ("10.0.%d.%d" % (index >> 8, index & 255), 1900)
            answered += len(responder.answers(_search("urn:x:1"), peer, index))
            assert len(responder._sources) <= 64 and len(responder._searches) <= 32
    assert 4 * (96 + 20) <= answered <= 4 * (96 + 24)  # of all hosts together, in a second


def test_forged_sources_take_nothing_from_a_host_that_is_known():
    """One host asks from 200 addresses that nobody has, for ever."""
    responder = ssdp.Responder(TARGETS, LOCATIONS, 1800, ssdp.Boot(7, 9), find_host={PEER[0]: "02:00:00:00:00:01"}.get)
    forged = served = 0
    with Output(log) as output:
        for now_ms in range(1000, 61000, 5):
            forged += len(responder.answers(_search("urn:x:1"), ("192.168.1.%d" % (20 + now_ms // 5 % 200), 1), now_ms))
            if now_ms % 3000 == 0:
                served += len(responder.answers(_search("urn:x:1"), PEER, now_ms))
    assert served == 20 and 60 * 22 <= forged <= 96 + 60 * 24
    assert output.text().count("\n") == 1 and "searches too often" in output.text()


def test_announcements_have_what_the_standard_asks_for():
    responder = _responder()
    for notified, kind in ((ssdp.ALIVE, "ssdp:alive"), (ssdp.BYEBYE, "ssdp:byebye"), (ssdp.UPDATE, "ssdp:update")):
        datagrams = list(responder.notify(notified))
        assert len(datagrams) == len(TARGETS)
        for (target, usn, version), one in zip(TARGETS, datagrams):
            assert one.startswith(b"NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n")
            assert one.endswith(b"\r\n\r\n")
            assert (_value(one, "NT"), _value(one, "USN"), _value(one, "NTS")) == (target, usn, kind)
            assert (_value(one, "BOOTID.UPNP.ORG"), _value(one, "CONFIGID.UPNP.ORG")) == ("7", "9")
            assert (b"\r\nLOCATION: %s\r\n" % LOCATIONS[version].encode() in one) == (kind != "ssdp:byebye")
            assert (b"\r\nCACHE-CONTROL: max-age=1800\r\n" in one) == (kind == "ssdp:alive")
            assert (b"\r\nSERVER: " in one) == (kind == "ssdp:alive")
            assert (b"\r\nNEXTBOOTID.UPNP.ORG: 8\r\n" in one) == (kind == "ssdp:update")


def test_announcements_over_ipv6_name_their_group_and_the_life_as_uda_1_0_has_it():
    for group, host in ((ssdp.GROUP_LINK, b"[FF02::C]:1900"), (ssdp.GROUP_SITE, b"[FF05::C]:1900")):
        responder = ssdp.Responder(TARGETS, {1: "http://[fe80::1]:5000/a", 2: "http://[fe80::1]:5000/b"}, 1800,
                                   ssdp.Boot(7, 9), group)
        found = list(responder.notify(ssdp.ALIVE)) + list(responder.notify(ssdp.BYEBYE))
        for one in found:
            assert one.startswith(b"NOTIFY * HTTP/1.1\r\nHOST: " + host + b"\r\n")
        found += responder.answers(_search("upnp:rootdevice"), ("fe80::2", 1900), 0)
        assert len(found) == 2 * len(TARGETS) + 1
        for one in found:
            assert (_value(one, "01-NLS"), _value(one, "BOOTID.UPNP.ORG")) == ("7", "7")
            assert _value(one, "OPT") == '"http://schemas.upnp.org/upnp/1/0/"; ns=01'
        assert _value(found[-1], "LOCATION") == "http://[fe80::1]:5000/a"


def test_the_numbers_of_a_life_have_31_and_24_bits():
    boot = ssdp.Boot(1798000000, 0x1234567)
    assert (boot.boot_id, boot.next_boot_id, boot.config_id) == (1798000000, 1798000001, 0x234567)
    boot = ssdp.Boot(0xFFFFFFFF, 0)
    assert (boot.boot_id, boot.next_boot_id) == (0x7FFFFFFF, 0)


def test_what_is_prepared_says_what_is_true_and_is_bounded():
    responder = _responder()
    target = TARGETS[1][0]
    search = b"M-SEARCH * HTTP/1.1\r\nST: %s\r\n\r\n"
    now, said = 10000, []
    for boot_id in (7, 7, 8, 7):
        responder._boot.boot_id = boot_id
        (answer,) = responder.answers(search % target.encode(), PEER, now)
        assert b"BOOTID.UPNP.ORG: %d\r\n" % boot_id in answer
        said.append(answer)
        now += 1000
    assert said[0] == said[1] == said[3] != said[2]
    for number in range(40):
        responder.answers(search % target.encode() + b"X: %d\r\n\r\n" % number, PEER, now)
        responder.answers(search % (b"x%d" % number), PEER, now)
        responder._boot.boot_id = number
        responder.answers(search % target.encode(), PEER, now)
        now += 1000
    assert len(responder._kept) <= 8 and len(responder._prepared) <= 8
    long = search % target.encode() + b"X: " + b"y" * 250 + b"\r\n\r\n"
    assert len(responder.answers(long, PEER, now)) == 1 and long not in responder._kept
