"""miniigd.firewall.nft: which batches go to the kernel, and what becomes of its answers and refusals."""

import errno
import struct

from helpers import Output, nft_messages, raised, values
from miniigd import log
from miniigd.errors import FirewallError
from miniigd.firewall import nft_fw4, nft_pinholes, nft_table
from miniigd.firewall.nft import NftFirewall
from miniigd.mapping import PortMapping
from miniigd.netlink import Message
from miniigd.pinhole import Pinhole

ERROR, BEGIN, END = 2, 0x10, 0x11
NEWTABLE, DELTABLE = 0xA00, 0xA02
GETTABLE, GETCHAIN, NEWRULE, DELRULE, GETSET = 0xA01, 0xA04, 0xA06, 0xA08, 0xA0A
NEWSETELEM, GETSETELEM, DELSETELEM = 0xA0C, 0xA0D, 0xA0E
GETRULE = 0xA07
ACK, ECHO = 0x4, 0x8


NAME = {GETTABLE: 1, GETCHAIN: 3, GETSET: 2}  # the attribute that says what is asked for


class _Wan:
    def __init__(self):
        self.index, self.index6 = 4, 6
        self.name = "wan"


class _Kernel:
    """Stands in for the channel: takes what is sent, answers as the kernel does; `failures` are met one by one."""

    def __init__(self, names=(b"fw4\0", b"upnp_prerouting\0", b"upnp_open\0", b"upnp_open_from\0", b"upnp_open6\0")):
        self.names = names
        self.sent = []  # decoded, one list for each transaction
        self.failures = []  # an errno for each transaction to come, 0: it is taken
        self._handle = 41

    def transact(self, data, is_answered, is_short=False):
        found = nft_messages(bytes(data))
        self.sent.append(found)
        failure = self.failures.pop(0) if self.failures else 0
        answers = []
        for kind, flags, sequence, _, attributes in found:
            if kind == GETSETELEM and not failure:
                answers.append(_elements([(b"", 5, 300)]))
            if kind in NAME and attributes[NAME[kind]] not in self.names:
                failure = errno.ENOENT
            if kind == NEWRULE and flags & ECHO and not failure:
                self._handle += 1
                answers.append(_rule(self._handle))
            if flags & ACK:
                answers.append(struct.pack("@IHHIIi", 36, ERROR, 0, sequence, 0, -failure) + bytes(16))
        assert [is_answered(answer) for answer in answers] == [False] * (len(answers) - 1) + [True]
        return answers

    def converse(self, data, is_answered, take, is_short=False):
        """Answer a question for everything: `rules` (handles) or `elements` ({set: [(key, packets, bytes)]})."""
        ((kind, _, _, _, attributes),) = nft_messages(bytes(data))
        failure = self.failures.pop(0) if self.failures else 0
        if failure:
            answers = [struct.pack("@IHHIIi", 36, ERROR, 0, 0, 0, -failure) + bytes(16)]
        elif kind == GETRULE:
            answers = [_rule(handle) for handle in self.rules] + [_DONE]
        else:
            assert kind == GETSETELEM
            answers = [_elements(some) for some in self.elements[attributes[2]]] + [_DONE]
        for answer in answers:
            take(answer)
            if is_answered(answer):
                return
        raise AssertionError("no end")

    def kinds(self):
        """Return the types of the messages of the last transaction."""
        return [one[0] for one in self.sent[-1]]


def _rule(handle):
    value = struct.pack("@HH4s", 8, 1, b"fw4\0") + struct.pack("@HH", 12, 3) + struct.pack(">Q", handle)
    return struct.pack("@IHHII", 20 + len(value), NEWRULE, 0, 0, 0) + b"\1\0\0\0" + value


_DONE = struct.pack("@IHHIIi", 20, 3, 0, 0, 0, 0)


def _elements(some):
    """Return a datagram with elements, (key, packets, bytes) each; None: the kernel does not count."""
    message = Message()
    message.begin(NEWSETELEM, 0, 0)
    message.add(b"\1\0\0\0")
    message.attribute(1, b"fw4\0")
    outer = message.nest(3)
    for key, packets, octets in some:
        one = message.nest(1)
        value = message.nest(1)
        message.attribute(1, key)
        message.unnest(value)
        message.attribute(4, bytes(8))
        if packets is not None:
            expression = message.nest(7)
            message.attribute(1, b"counter\0")
            inner = message.nest(2)
            message.attribute(1, struct.pack(">Q", octets))
            message.attribute(2, struct.pack(">Q", packets))
            message.unnest(inner)
            message.unnest(expression)
        message.unnest(one)
    message.unnest(outer)
    message.end()
    return bytes(message.data)


def _opened(names=None):
    kernel = _Kernel() if names is None else _Kernel(names)
    firewall = NftFirewall(kernel)
    with Output(log):
        firewall.open(_Wan())
    return firewall, kernel


def _mapping(port=8000, protocol="TCP", remote_host="", client="192.168.1.2", internal_port=None):
    return PortMapping(remote_host, port, protocol, internal_port or port, client, True, "", 60, 160)


def test_firewall4_s_table_is_used_where_it_is():
    firewall, kernel = _opened()
    assert [sent[0][0] for sent in kernel.sent] == [GETCHAIN, GETSET, GETSET, GETSET, BEGIN]
    # what may be left of a time without firewall4 goes
    assert [(one[0], one[4].get(1)) for one in kernel.sent[-1]][1:-1] == [
        (NEWTABLE, b"miniigd\0"), (DELTABLE, b"miniigd\0"), (NEWTABLE, b"miniigd_hairpin\0"),
        (DELTABLE, b"miniigd_hairpin\0")]
    firewall.add(_mapping(), None, 60)
    assert kernel.sent[-1][1][4][1] == b"fw4\0"


def test_a_table_of_our_own_where_there_is_no_firewall4():
    firewall, kernel = _opened(())
    mapping = _mapping()
    firewall.sync([], 100)
    firewall.add(mapping, None, 60)
    assert kernel.kinds() == [BEGIN, NEWSETELEM, END]
    assert kernel.sent[-1][1][4][1] == b"miniigd\0"
    assert mapping.handle is not None
    firewall.add(_mapping(), mapping, 60)
    assert kernel.kinds() == [BEGIN, DELSETELEM, NEWSETELEM, END]
    firewall.remove([mapping])
    assert kernel.kinds() == [BEGIN, DELSETELEM, END]
    assert mapping.handle is None


def test_without_our_snippets_the_remedy_is_named():
    for names in ((b"fw4\0",), (b"fw4\0", b"upnp_open\0", b"upnp_open_from\0"), (b"fw4\0", b"upnp_prerouting\0"),
                  _Kernel().names[:-1]):
        firewall = NftFirewall(_Kernel(names))
        error = raised(FirewallError, firewall.open, _Wan())
        assert "fw4 reload" in error.args[0]
        assert "upnp_" in error.args[0] or "set" in error.args[0]


def test_before_it_could_be_opened_every_change_is_refused():
    kernel = _Kernel((b"fw4\0",))
    firewall = NftFirewall(kernel)
    raised(FirewallError, firewall.open, _Wan())
    count = len(kernel.sent)
    raised(FirewallError, firewall.add, _mapping(), None, 60)
    raised(FirewallError, firewall.remove, [_mapping()])
    raised(FirewallError, firewall.sync, [], 100)
    firewall.close()
    assert len(kernel.sent) == count


def test_other_refusals_of_the_first_question_are_not_taken_for_an_absence():
    kernel = _Kernel()
    kernel.failures = [errno.EPERM]
    assert raised(FirewallError, NftFirewall(kernel).open, _Wan()).args[1] == errno.EPERM


def test_a_mapping_is_opened_in_one_batch_and_its_handle_kept():
    firewall, kernel = _opened()
    mapping = _mapping()
    firewall.add(mapping, None, 60)
    assert kernel.kinds() == [BEGIN, NEWRULE, NEWSETELEM, END]
    assert mapping.handle == struct.pack(">Q", 42)
    # the last change is acknowledged, nothing else
    assert [one[1] & ACK for one in kernel.sent[-1]] == [0, 0, ACK, 0]


def _key(one):
    return values(dict(values(values(one[4][3])[0][1]))[1])[0][1]


def _timeout(one):
    return struct.unpack(">Q", dict(values(values(one[4][3])[0][1]))[4])[0]


def test_batches_differ_in_the_mapping_only():
    firewall, kernel = _opened()
    for protocol, number in (("TCP", 6), ("UDP", 17), ("TCP", 6), ("UDP", 17)):
        for port, client, internal_port, seconds in (
                (8000, "192.168.1.2", 8000, 60), (1024, "10.0.0.255", 65535, 604800), (65535, "172.16.255.1", 1024, 1)):
            firewall.add(_mapping(port, protocol, "", client, internal_port), None, seconds)
            raw = bytes([int(part) for part in client.split(".")])
            key = struct.pack(">B3xH2x4sH2x", number, port, raw, internal_port)
            assert _key(kernel.sent[-1][2]) == key
            assert _timeout(kernel.sent[-1][2]) == (seconds + 2) * 1000
            rule = kernel.sent[-1][1][4][4]
            for part in (bytes([number]), struct.pack(">H", port), raw, struct.pack(">H", internal_port)):
                assert part in rule
            mapping = _mapping(port, protocol, "", client, internal_port)
            mapping.handle = struct.pack(">Q", port)
            firewall.remove([mapping])
            assert kernel.sent[-1][1][4][3] == struct.pack(">Q", port)
            assert _key(kernel.sent[-1][2]) == key


def test_a_mapping_with_a_remote_host():
    firewall, kernel = _opened()
    mapping = _mapping(remote_host="11.0.0.1")
    firewall.add(mapping, None, 60)
    assert kernel.kinds() == [BEGIN, NEWRULE, NEWSETELEM, END]
    assert kernel.sent[-1][2][4][2] == b"upnp_open_from\0"
    assert mapping.handle == struct.pack(">Q", 42)
    firewall.remove([mapping])
    assert kernel.kinds() == [BEGIN, DELRULE, DELSETELEM, END]
    assert _key(kernel.sent[-1][2])[:4] == b"\x0b\0\0\1"


def test_a_renewal_replaces_element_and_rule_in_one_batch():
    firewall, kernel = _opened()
    first, second, third = _mapping(), _mapping(), _mapping(internal_port=9000)
    firewall.add(first, None, 60)
    for renewed, replaced, number in ((second, first, 43), (third, second, 44)):
        firewall.add(renewed, replaced, 90)
        assert kernel.kinds() == [BEGIN, DELSETELEM, NEWRULE, NEWSETELEM, END]
        assert kernel.sent[-1][2][4][3] == replaced.handle
        assert renewed.handle == struct.pack(">Q", number)
        assert _timeout(kernel.sent[-1][3]) == 92000


def test_one_that_was_disabled_before_is_opened():
    firewall, kernel = _opened()
    mapping = _mapping()
    firewall.add(mapping, _mapping(), 60)
    assert kernel.kinds() == [BEGIN, NEWRULE, NEWSETELEM, END]
    assert mapping.handle == struct.pack(">Q", 42)


def test_a_refusal_of_the_kernel_is_a_firewall_error():
    firewall, kernel = _opened()
    mapping, replaced = _mapping(), _mapping()
    kernel.failures = [errno.ENOMEM]
    assert raised(FirewallError, firewall.add, mapping, None, 60).args[1] == errno.ENOMEM
    assert mapping.handle is None
    firewall.add(replaced, None, 60)
    handle = replaced.handle
    for function, arguments in ((firewall.add, (mapping, replaced, 60)), (firewall.remove, ([replaced],)),
                                (firewall.sync, ([replaced], 100)), (firewall.close, ())):
        kernel.failures = [errno.EBUSY]
        assert raised(FirewallError, function, *arguments).args[1] == errno.EBUSY
        assert replaced.handle == handle and mapping.handle is None


def test_rule_and_element_go_together_or_not_at_all():
    firewall, kernel = _opened()
    for remote_host in ("", "11.0.0.1"):
        mapping = _mapping(remote_host=remote_host)
        firewall.add(mapping, None, 60)
        handle = mapping.handle
        kernel.sent = []
        kernel.failures = [errno.ENOENT]  # somebody else was here
        assert raised(FirewallError, firewall.remove, [mapping]).is_absence
        assert [[one[0] for one in sent][1:-1] for sent in kernel.sent] == [[DELRULE, DELSETELEM]]
        assert mapping.handle == handle
        firewall.remove([mapping])
        assert mapping.handle is None
    kernel.failures = [errno.EPERM]
    assert not raised(FirewallError, firewall.remove, [mapping]).is_absence


def test_sync_is_one_batch_with_a_flush_in_front():
    firewall, kernel = _opened()
    mappings = [_mapping(8000), _mapping(8001, "UDP"), _mapping(8002, remote_host="11.0.0.1")]
    firewall.sync(mappings, 100)
    assert kernel.kinds() == [BEGIN, DELRULE] + [DELSETELEM] * 7 + [NEWRULE, NEWSETELEM] * 3 + [END]
    assert [mapping.handle for mapping in mappings] == [struct.pack(">Q", handle) for handle in (42, 43, 44)]
    assert [_timeout(one) for one in kernel.sent[-1] if one[0] == NEWSETELEM] == [62000] * 3


def test_sync_gives_a_lease_that_has_just_ended_a_second():
    firewall, kernel = _opened()
    firewall.sync([_mapping()], 1000)
    assert _timeout(kernel.sent[-1][-2]) == 3000


def test_sync_of_many_goes_in_pieces_with_one_flush():
    firewall, kernel = _opened()
    for count in (23, 24, 25, 100):
        kernel.sent = []
        mappings = [_mapping(2000 + index) for index in range(count)]
        firewall.sync(mappings, 100)
        kinds = [one[0] for sent in kernel.sent for one in sent]
        assert kinds.count(NEWRULE) == kinds.count(NEWSETELEM) == count
        assert kinds.count(DELRULE) == 1
        assert len(set([mapping.handle for mapping in mappings])) == count


def test_what_was_prepared_is_the_same_and_asks_the_kernel_nothing():
    changes = []
    for is_prepared in (True, False):
        firewall, kernel = _opened()
        if is_prepared:
            kernel.sent = []
            firewall.prepare()
            assert kernel.sent == []
            kept = list(firewall._templates.values())
        for protocol in ("TCP", "UDP"):
            mapping = _mapping(8000, protocol)
            firewall.add(mapping, None, 60)
            changes.append((is_prepared, kernel.sent[-1]))
            firewall.remove([mapping])
            changes.append((is_prepared, kernel.sent[-1]))
        if is_prepared:
            assert len(kept) == 4 and set(kept) == set(firewall._templates.values())
    assert [one for is_prepared, one in changes if is_prepared] == [one for is_prepared, one in changes if not is_prepared]
    NftFirewall(_Kernel()).prepare()  # it was not opened: there is nothing to do


def test_after_a_sync_the_wan_s_new_index_is_used():
    kernel = _Kernel()
    firewall, wan = NftFirewall(kernel), _Wan()
    with Output(log):
        firewall.open(wan)
    firewall.add(_mapping(), None, 60)
    assert struct.pack("@I", 4) in kernel.sent[-1][1][4][4]
    wan.index = 0x1234
    firewall.sync([], 100)
    firewall.add(_mapping(), None, 60)
    assert struct.pack("@I", 0x1234) in kernel.sent[-1][1][4][4]


def test_close_empties_chain_and_sets():
    firewall, kernel = _opened()
    firewall.close()
    assert kernel.kinds() == [BEGIN, DELRULE] + [DELSETELEM] * 7 + [END]
    assert 3 not in kernel.sent[-1][1][4]


def test_several_mappings_close_in_one_batch_each_64():
    firewall, kernel = _opened()
    mappings = [_mapping(9000 + index) for index in range(70)] + [_mapping(8000, remote_host="11.0.0.1")]
    for mapping in mappings:
        firewall.add(mapping, None, 60)
    kernel.sent = []
    firewall.remove(mappings)
    assert [len(sent) for sent in kernel.sent] == [2 + 2 * 64, 2 + 2 * 7]
    assert [one[0] for one in kernel.sent[1]][:4] == [BEGIN, DELRULE, DELSETELEM, DELRULE]
    assert [mapping.handle for mapping in mappings] == [None] * 71
    kernel.failures = [errno.ENOENT]
    for mapping in mappings[:2]:
        mapping.handle = b"12345678"
    raised(FirewallError, firewall.remove, mappings[:2])
    assert [mapping.handle for mapping in mappings[:2]] == [b"12345678"] * 2


def test_what_the_kernel_ended_first_is_taken_out_with_its_rule():
    """An element is gone, and the batch fails; then each is made anew, so that it can be deleted, in one batch more."""
    for names, kinds in ((None, [NEWSETELEM, DELRULE, DELSETELEM]), ((), [NEWSETELEM, DELSETELEM])):
        firewall, kernel = _opened(names)
        mappings = [_mapping(8000), _mapping(8001, remote_host="11.0.0.1")]
        for mapping in mappings:
            firewall.add(mapping, None, 60)
        kernel.sent = []
        firewall.remove_ended(mappings)  # all are there: nothing is made
        assert len(kernel.sent) == 1 and NEWSETELEM not in kernel.kinds()
        kernel.failures = [errno.ENOENT]
        handle = mappings[0].handle = b"12345678"
        firewall.remove_ended(mappings)
        assert kernel.kinds() == [BEGIN] + kinds + kinds + [END]
        if names is None:
            assert kernel.sent[-1][2][4][3] == handle
        assert _key(kernel.sent[-1][1]) == _key(kernel.sent[-1][len(kinds)])
        assert [mapping.handle for mapping in mappings] == [None, None]
        kernel.failures = [errno.EPERM]
        assert raised(FirewallError, firewall.remove_ended, mappings).args[1] == errno.EPERM
        kernel.failures = [errno.ENOENT] * 2  # the rule is gone too
        assert raised(FirewallError, firewall.remove_ended, mappings).is_absence


def test_pinholes_that_the_kernel_ended_first_are_no_failure():
    firewall, kernel = _opened()
    pinholes = [_pinhole(8000), _pinhole(8001)]
    firewall.remove_ended_pinholes(pinholes)
    assert kernel.kinds() == [BEGIN, DELSETELEM, DELSETELEM, END]
    kernel.failures = [errno.ENOENT]
    firewall.remove_ended_pinholes(pinholes)
    assert kernel.kinds() == [BEGIN] + [NEWSETELEM, NEWSETELEM, DELSETELEM] * 2 + [END]
    kernel.failures = [errno.EPERM]
    assert raised(FirewallError, firewall.remove_ended_pinholes, pinholes).args[1] == errno.EPERM


def _held(names=None):
    """Return (firewall, kernel, mappings): three are open, and the kernel holds just them."""
    firewall, kernel = _opened(names)
    mappings = [_mapping(8000), _mapping(8001, "UDP"), _mapping(8002, remote_host="11.0.0.1")]
    with Output(log):
        firewall.sync(mappings, 100)
    layout = nft_fw4 if names is None else nft_table
    kernel.rules = [struct.unpack(">Q", mapping.handle)[0] for mapping in mappings] if names is None else [1, 2]
    kernel.elements = {name: [] for name in layout.SETS + nft_pinholes.SETS + (nft_pinholes.WAN_SET,)}
    for number, mapping in enumerate(mappings):
        key, name = layout.key_of(mapping)
        kernel.elements[name].append([(key, number + 1, 1000 * (number + 1))])  # a datagram each
    return firewall, kernel, mappings


def test_what_is_as_we_left_it_is_intact():
    for names in (None, ()):
        firewall, _, mappings = _held(names)
        assert firewall.is_intact(mappings)
        assert not firewall.is_intact(mappings[:2]) and not firewall.is_intact(mappings + [_mapping(9000)])


def test_what_somebody_else_changed_is_not():
    for names in (None, ()):
        for harm in (lambda kernel: kernel.rules.pop(), lambda kernel: kernel.rules.append(99),
                     lambda kernel: [some.pop() for some in kernel.elements.values() if len(some) == 1],
                     lambda kernel: [some.pop() for some in kernel.elements.values() if len(some) == 2],
                     lambda kernel: kernel.failures.extend([errno.ENOENT] * 2)):
            firewall, kernel, mappings = _held(names)
            harm(kernel)
            assert not firewall.is_intact(mappings)
    firewall, kernel, mappings = _held()
    kernel.rules = kernel.rules[::-1]
    assert not firewall.is_intact(mappings)  # the order counts
    kernel.failures = [errno.EPERM]
    assert raised(FirewallError, firewall.is_intact, mappings).args[1] == errno.EPERM
    assert not NftFirewall(kernel).is_intact([])


def test_counters_are_each_mapping_s_own():
    for names in (None, ()):
        firewall, kernel, mappings = _held(names)
        assert firewall.counters(mappings) == [(1, 1000), (2, 2000), (3, 3000)]
        assert firewall.counters(mappings[2:] + [_mapping(9000)]) == [(3, 3000), (0, 0)]
        for entries in kernel.elements.values():
            entries[:] = [[(key, None, None) for key, _, _ in some] for some in entries]
        assert firewall.counters(mappings) == [(0, 0)] * 3


def test_a_firewall4_that_came_back_is_no_longer_where_our_own_table_is_right():
    firewall, kernel, mappings = _held(())
    kernel.names = (b"fw4\0",)
    assert not firewall.is_intact(mappings)


class _Lan:
    addresses = [("192.168.1.1", 24)]


def test_where_neighbours_may_use_the_external_address_each_mapping_is_in_one_map_more():
    kernel = _Kernel()
    firewall, wan = NftFirewall(kernel, [_Lan, _Lan]), _Wan()
    wan.address = "81.2.69.160"
    with Output(log):
        firewall.open(wan)
    assert firewall.basis() == (4, 6, "81.2.69.160", [("192.168.1.1", 24)] * 2)
    mapping, narrow = _mapping(), _mapping(8001, remote_host="11.0.0.1")
    firewall.sync([mapping], 100)
    assert b"miniigd_hairpin\0" in [one[4].get(1) for one in kernel.sent[-1]]
    for change, kinds in ((lambda: firewall.add(_mapping(9000), None, 60), [NEWRULE, NEWSETELEM, NEWSETELEM]),
                          (lambda: firewall.add(_mapping(), mapping, 60),
                           [DELSETELEM, NEWRULE, NEWSETELEM, DELSETELEM, NEWSETELEM]),
                          (lambda: firewall.remove([mapping]), [DELRULE, DELSETELEM, DELSETELEM]),
                          (lambda: firewall.add(narrow, None, 60), [NEWRULE, NEWSETELEM]),
                          (lambda: firewall.remove([narrow]), [DELRULE, DELSETELEM])):
        change()
        assert kernel.kinds() == [BEGIN] + kinds + [END]
    firewall.close()
    assert (DELTABLE, b"miniigd_hairpin\0") in [(one[0], one[4].get(1)) for one in kernel.sent[-1]]


def test_a_firewall4_that_is_being_restarted_is_waited_for():
    firewall, kernel = _opened()
    kernel.names = ()
    error = raised(FirewallError, firewall.open, _Wan())
    assert error.is_absence and "run 'fw4 start'" in error.text
    kernel.names = _Kernel().names
    firewall.open(_Wan())
    firewall.add(_mapping(), None, 60)
    assert kernel.sent[-1][1][4][1] == b"fw4\0"


def _pinhole(port=8000, remote_host="", remote_port=0, expires=160):
    return Pinhole(7, remote_host, remote_port, "TCP", "2001:db8::2", port, 60, expires)


def test_a_pinhole_is_opened_and_closed_in_one_batch():
    firewall, kernel = _opened()
    pinhole = _pinhole()
    assert firewall.pinhole_refusal == ""
    firewall.add_pinhole(pinhole, 60, False)
    assert kernel.kinds() == [BEGIN, NEWSETELEM, NEWSETELEM, END]
    assert [one[4].get(2) for one in kernel.sent[-1]][1:3] == [b"upnp_wan6\0", b"upnp_open6\0"]
    assert _key(kernel.sent[-1][1]) == struct.pack("@I", 6) and _timeout(kernel.sent[-1][2]) == 62000
    firewall.remove_pinholes([pinhole])
    assert kernel.kinds() == [BEGIN, DELSETELEM, END]
    kernel.failures = [errno.ENOENT]
    assert raised(FirewallError, firewall.remove_pinholes, [pinhole]).is_absence
    kernel.sent = []
    firewall.remove_pinholes([_pinhole(2000 + index) for index in range(100)])
    assert [len(sent) for sent in kernel.sent] == [66, 38]


def test_a_renewal_keeps_what_was_counted():
    firewall, kernel = _opened()
    pinhole = _pinhole()
    firewall.add_pinhole(pinhole, 60, False)
    assert firewall.pinhole_counters([pinhole, pinhole]) == [(5, 300)] * 2
    firewall.add_pinhole(pinhole, 90, True)
    assert kernel.kinds() == [BEGIN, NEWSETELEM, DELSETELEM, NEWSETELEM, END]
    assert firewall.pinhole_counters([pinhole]) == [(10, 600)]
    kernel.failures = [0, errno.ENOENT]
    assert raised(FirewallError, firewall.add_pinhole, pinhole, 90, True).is_absence
    assert pinhole.counted == (5, 300)


def test_a_sync_holds_the_pinholes_too():
    firewall, kernel = _opened()
    firewall.sync([_mapping()], 100, [_pinhole(), _pinhole(8001, "2001:db8:9::1", expires=90), _pinhole(8002, "", 77)])
    flushed = [one[4][2] for one in kernel.sent[-2] if one[0] == DELSETELEM]
    assert set(nft_pinholes.SETS + (nft_pinholes.WAN_SET,)) <= set(flushed)
    assert [(one[4][2], _timeout(one)) for one in [one for one in kernel.sent[-1] if one[0] == NEWSETELEM][1::2]] == [
        (b"upnp_open6\0", 62000), (b"upnp_open6_from\0", 3000), (b"upnp_open6_port\0", 62000)]


def test_pinholes_that_somebody_took_away_are_missed():
    pinholes = [_pinhole(), _pinhole(8001, "2001:db8:9::1")]
    for harm in (None, lambda elements: elements[b"upnp_open6\0"].pop(),
                 lambda elements: elements[b"upnp_wan6\0"].pop(),
                 lambda elements: elements[b"upnp_open6_port\0"].append([(b"x", 0, 0)])):
        firewall, kernel, mappings = _held()
        assert firewall.is_intact(mappings) and not firewall.is_intact(mappings, pinholes)
        for pinhole in pinholes:
            key, name = nft_pinholes.key_of(pinhole)
            kernel.elements[name].append([(key, 0, 0)])
        kernel.elements[b"upnp_wan6\0"].append([(b"", 0, 0)])
        if harm is not None:
            harm(kernel.elements)
        assert firewall.is_intact(mappings, pinholes) == (harm is None)
        assert not firewall.is_intact(mappings)


def test_without_firewall4_there_are_no_pinholes():
    firewall, kernel = _opened(())
    assert "firewall4" in firewall.pinhole_refusal
    firewall.sync([], 100, [_pinhole()])
    assert b"upnp_open6\0" not in [one[4].get(2) for sent in kernel.sent for one in sent if one[0] == NEWSETELEM]
