"""nf_tables over netlink (linux/netfilter/nf_tables.h): mappings in firewall4's table `inet fw4`.

A mapping is one rule in the chain `upnp_prerouting`, in the form that luci-app-upnp reads,

    iif "wan" @nh,72,8 0x6 th dport 8000 dnat ip to 192.168.1.2:8000

and one element of the set `upnp_open` (or `upnp_open_from`, with a remote host), from which the chain `upnp_forward`
accepts. The element's timeout is what is left of the lease: the kernel itself closes the hole, whatever becomes of
this process. Chains and sets come from the package's snippet in /usr/share/nftables.d. Every change is one batch,
which the kernel takes whole or not at all; its messages are patched into a prebuilt template.
"""

import errno
import struct

from ..compat import const, ip4_bytes
from ..errors import FirewallError
from ..netlink import APPEND, CREATE, ECHO, ERROR, REPLACE, REQUEST, Message, attributes, error_of, messages

PROTOCOL = const(12)  # NETLINK_NETFILTER

_TABLE = b"fw4\0"
_CHAIN = b"upnp_prerouting\0"
_SET = b"upnp_open\0"
_SET_FROM = b"upnp_open_from\0"

_NFPROTO_INET, _NFPROTO_IPV4 = const(1), const(2)
_BATCH_BEGIN, _BATCH_END = const(0x10), const(0x11)
_NF_TABLES = const(10)  # subsystem
_GETCHAIN, _NEWRULE, _DELRULE = const(0xA04), const(0xA06), const(0xA08)
_GETSET, _NEWSETELEM, _DELSETELEM = const(0xA0A), const(0xA0C), const(0xA0E)

_RULE_TABLE, _RULE_CHAIN, _RULE_HANDLE, _RULE_EXPRESSIONS = const(1), const(2), const(3), const(4)
_ELEMENTS_TABLE, _ELEMENTS_SET, _ELEMENTS = const(1), const(2), const(3)
_ELEMENT_KEY, _ELEMENT_TIMEOUT = const(1), const(4)
_LIST_ELEMENT, _DATA_VALUE = const(1), const(1)

_REGISTER_1, _REGISTER_2 = const(1), const(2)
_META_IIF = const(4)
_BASE_NETWORK, _BASE_TRANSPORT = const(1), const(2)
_NAT_DNAT = const(1)

_IPPROTO = {"TCP": 6, "UDP": 17}
_SYNC_BATCH = const(24)  # mappings in one batch of a sync; the answers must fit a socket's default buffer
_LAST = const(2)  # sequence number of the message whose acknowledgement ends a transaction


class NftFirewall:
    """The back end; `channel` sends a batch and returns the kernel's datagrams (net.NetlinkChannel)."""

    def __init__(self, channel):
        self._channel = channel
        self._wan = None

    def open(self, wan):
        """Check that fw4 holds the chain and the sets; `wan` (a Wan) is asked for its index from now on."""
        self._wan = wan
        for message_type, name in ((_GETCHAIN, _CHAIN), (_GETSET, _SET), (_GETSET, _SET_FROM)):
            message = Message()
            message.begin(message_type, REQUEST, 0)
            message.acknowledge(_LAST)
            message.add(_family())
            # table and name have the same numbers for chains and sets, but for a chain's handle between them
            message.attribute(1, _TABLE)
            message.attribute(3 if message_type == _GETCHAIN else 2, name)
            message.end()
            self._transact(message.data, "%s is not in table inet fw4: run 'fw4 reload'" % name[:-1].decode())

    def add(self, mapping, replaced, seconds):
        """See miniigd.firewall."""
        batch = _begin()
        if replaced is not None and replaced.handle is not None:
            _delete_element(batch, replaced)
        if replaced is None or replaced.handle is None:
            self._add_rule(batch, mapping, None)
        elif not _is_same_rule(mapping, replaced):
            self._add_rule(batch, mapping, replaced.handle)
        _add_element(batch, mapping, seconds)
        handles = self._commit(batch)
        mapping.handle = handles[0] if handles else replaced.handle

    def remove(self, mapping):
        """See miniigd.firewall."""
        batch = _begin()
        _delete_rule(batch, mapping)
        _delete_element(batch, mapping)
        try:
            self._commit(batch)
        except FirewallError as error:
            if error.args[1] != errno.ENOENT:
                raise
            self._remove_rest(mapping)
        mapping.handle = None

    def _remove_rest(self, mapping):
        # The element is gone when its time was up, the rule when somebody else deleted it: then delete the other one.
        for delete in (_delete_rule, _delete_element):
            batch = _begin()
            delete(batch, mapping)
            try:
                self._commit(batch)
            except FirewallError as error:
                if error.args[1] != errno.ENOENT:
                    raise

    def sync(self, mappings, now):
        """See miniigd.firewall."""
        batch = _begin()
        self._flush(batch)
        pending = []
        for mapping in mappings:
            self._add_rule(batch, mapping, None)
            _add_element(batch, mapping, max(1, mapping.expires - now))
            pending.append(mapping)
            if len(pending) == _SYNC_BATCH:
                self._commit_all(batch, pending)
                batch, pending = _begin(), []
        self._commit_all(batch, pending)

    def close(self):
        """See miniigd.firewall."""
        batch = _begin()
        self._flush(batch)
        self._commit(batch)

    def _commit_all(self, batch, mappings):
        for mapping, handle in zip(mappings, self._commit(batch)):
            mapping.handle = handle

    def _flush(self, batch):
        batch.begin(_DELRULE, REQUEST, 0)
        batch.add(_family())
        batch.attribute(_RULE_TABLE, _TABLE)
        batch.attribute(_RULE_CHAIN, _CHAIN)
        batch.end()
        for name in (_SET, _SET_FROM):
            batch.begin(_DELSETELEM, REQUEST, 0)
            batch.add(_family())
            batch.attribute(_ELEMENTS_TABLE, _TABLE)
            batch.attribute(_ELEMENTS_SET, name)
            batch.end()

    def _add_rule(self, batch, mapping, handle):
        """Append the DNAT rule of `mapping`; with a `handle`, put it in that rule's place."""
        batch.begin(_NEWRULE, REQUEST | ECHO | (CREATE | APPEND if handle is None else REPLACE), 0)
        batch.add(_family())
        batch.attribute(_RULE_TABLE, _TABLE)
        batch.attribute(_RULE_CHAIN, _CHAIN)
        if handle is not None:
            batch.attribute(_RULE_HANDLE, handle)
        expressions = batch.nest(_RULE_EXPRESSIONS)
        _meta(batch, _META_IIF)
        _compare(batch, struct.pack("@I", self._wan.index))
        _payload(batch, _BASE_NETWORK, 9, 1)
        _compare(batch, bytes([_IPPROTO[mapping.protocol]]))
        _payload(batch, _BASE_TRANSPORT, 2, 2)
        _compare(batch, struct.pack(">H", mapping.external_port))
        if mapping.remote_host:
            _payload(batch, _BASE_NETWORK, 12, 4)
            _compare(batch, ip4_bytes(mapping.remote_host))
        _immediate(batch, _REGISTER_1, ip4_bytes(mapping.internal_client))
        _immediate(batch, _REGISTER_2, struct.pack(">H", mapping.internal_port))
        _dnat(batch)
        batch.unnest(expressions)
        batch.end()

    def _commit(self, batch):
        """Send the batch; return the handles (8 bytes each) of the rules it made."""
        # Only the last change is acknowledged: an earlier one's "done" would not mean that the batch was taken.
        batch.acknowledge(_LAST)
        batch.begin(_BATCH_END, REQUEST, 0)
        batch.add(_batch_family())
        batch.end()
        return self._transact(batch.data, "the kernel refused a change")

    def _transact(self, data, what):
        """Send messages, the last to be acknowledged as _LAST; return the handles of rules that the kernel reports."""
        handles = []
        failure = None
        for datagram in self._channel.transact(data, _is_answered):
            for message_type, _, start, end in messages(datagram):
                if message_type == ERROR:
                    failure = failure or error_of(datagram, start)
                elif message_type == _NEWRULE:
                    for kind, begin, stop in attributes(datagram, start + 4, end):
                        if kind == _RULE_HANDLE:
                            handles.append(bytes(datagram[begin:stop]))
        if failure:
            raise FirewallError("nftables: %s (errno %d)" % (what, failure), failure)
        return handles


def _is_answered(datagram):
    """True when `datagram` holds the acknowledgement, or refusal, of the last message."""
    for message_type, sequence, _, _ in messages(datagram):
        if message_type == ERROR and sequence == _LAST:
            return True
    return False


def _is_same_rule(mapping, other):
    return (mapping.internal_client == other.internal_client and mapping.internal_port == other.internal_port)


def _family():
    return struct.pack(">BBH", _NFPROTO_INET, 0, 0)


def _batch_family():
    return struct.pack(">BBH", 0, 0, _NF_TABLES)


def _begin():
    batch = Message()
    batch.begin(_BATCH_BEGIN, REQUEST, 0)
    batch.add(_batch_family())
    batch.end()
    return batch


def _delete_rule(batch, mapping):
    batch.begin(_DELRULE, REQUEST, 0)
    batch.add(_family())
    batch.attribute(_RULE_TABLE, _TABLE)
    batch.attribute(_RULE_CHAIN, _CHAIN)
    batch.attribute(_RULE_HANDLE, mapping.handle or bytes(8))
    batch.end()


def _add_element(batch, mapping, seconds):
    _element(batch, _NEWSETELEM, REQUEST | CREATE, mapping, struct.pack(">Q", seconds * 1000))


def _delete_element(batch, mapping):
    _element(batch, _DELSETELEM, REQUEST, mapping, None)


def _element(batch, message_type, flags, mapping, timeout):
    """Append a message about the set element of `mapping`: each part of its key takes whole 4 bytes."""
    key = struct.pack(">B3xH2x4sH2x", _IPPROTO[mapping.protocol], mapping.external_port,
                      ip4_bytes(mapping.internal_client), mapping.internal_port)
    name = _SET
    if mapping.remote_host:
        key, name = ip4_bytes(mapping.remote_host) + key, _SET_FROM
    batch.begin(message_type, flags, 0)
    batch.add(_family())
    batch.attribute(_ELEMENTS_TABLE, _TABLE)
    batch.attribute(_ELEMENTS_SET, name)
    elements = batch.nest(_ELEMENTS)
    element = batch.nest(_LIST_ELEMENT)
    outer = batch.nest(_ELEMENT_KEY)
    batch.attribute(_DATA_VALUE, key)
    batch.unnest(outer)
    if timeout is not None:
        batch.attribute(_ELEMENT_TIMEOUT, timeout)
    batch.unnest(element)
    batch.unnest(elements)
    batch.end()


def _expression(batch, name):
    """Start an expression of a rule; give what is returned to `_end_expression`."""
    element = batch.nest(_LIST_ELEMENT)
    batch.attribute(1, name)
    return element, batch.nest(2)


def _end_expression(batch, marks):
    batch.unnest(marks[1])
    batch.unnest(marks[0])


def _number(batch, attribute_type, value):
    batch.attribute(attribute_type, struct.pack(">I", value))


def _meta(batch, key):
    marks = _expression(batch, b"meta\0")
    _number(batch, 2, key)
    _number(batch, 1, _REGISTER_1)
    _end_expression(batch, marks)


def _payload(batch, base, offset, length):
    marks = _expression(batch, b"payload\0")
    _number(batch, 1, _REGISTER_1)
    _number(batch, 2, base)
    _number(batch, 3, offset)
    _number(batch, 4, length)
    _end_expression(batch, marks)


def _compare(batch, value):
    marks = _expression(batch, b"cmp\0")
    _number(batch, 1, _REGISTER_1)
    _number(batch, 2, 0)  # equal
    data = batch.nest(3)
    batch.attribute(_DATA_VALUE, value)
    batch.unnest(data)
    _end_expression(batch, marks)


def _immediate(batch, register, value):
    marks = _expression(batch, b"immediate\0")
    _number(batch, 1, register)
    data = batch.nest(2)
    batch.attribute(_DATA_VALUE, value)
    batch.unnest(data)
    _end_expression(batch, marks)


def _dnat(batch):
    marks = _expression(batch, b"nat\0")
    _number(batch, 1, _NAT_DNAT)
    _number(batch, 2, _NFPROTO_IPV4)
    _number(batch, 3, _REGISTER_1)
    _number(batch, 5, _REGISTER_2)
    _end_expression(batch, marks)
