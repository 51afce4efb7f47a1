"""miniigd.events: when messages go, to whom, and what becomes of those that do not arrive; without sockets."""

import errno

from helpers import HOST, OTHER, Clock, Files, Output, elements, make_gateway, make_request, raised, take_turns
from miniigd import compat, log
from miniigd import events as events_module
from miniigd.events import Events
from miniigd.http import HTTPError
from miniigd.interfaces import Interface
from miniigd.loop import Loop
from miniigd.services import layer3, wan_common, wan_ip, wan_ip2, wan_ipv6_firewall

FIRST = ["PossibleConnectionTypes", "ConnectionStatus", "ExternalIPAddress", "PortMappingNumberOfEntries"]
COUNT = "PortMappingNumberOfEntries"


class _Message:
    """Stands in for a Delivery: what was to be sent, and `done`, which ends it."""

    def __init__(self, host, port, data, done):
        self.host, self.port, self.done = host, port, done
        head, _, body = data.decode().partition("\r\n\r\n")
        lines = head.split("\r\n")
        self.path = lines[0].split(" ")[1]
        self.headers = dict([line.split(": ", 1) for line in lines[1:]])
        self.sequence = int(self.headers["SEQ"])
        self.values = [pair for pair in elements(body.encode()) if not pair[0].startswith("e:")]
        self.names = [name for name, _ in self.values]


class _Running:
    """Events on a loop that is turned by hand: `with _Running() as it: it.subscribe() ...`."""

    def __init__(self, address="81.2.69.160"):
        self._clock, self.output = Clock(), Output(log)
        self._sent = []
        self._address = address
        self.has_sockets = True

    def __enter__(self):
        self._clock.__enter__()
        self.output.__enter__()
        self._real, events_module.Delivery = events_module.Delivery, self._deliver
        self.loop, self.interface, self.gateway = Loop(), Interface("lan"), make_gateway(self._address)
        self.events = Events(self.loop, self.interface, self.gateway)
        self.loop.at_end_of_turn = self.events.look
        self._port = 2000
        return self

    def __exit__(self, kind, value, traceback):
        events_module.Delivery = self._real
        self.output.__exit__(None, None, None)
        self._clock.__exit__(None, None, None)
        assert "Error" not in self.output.text(), self.output.text()

    def _deliver(self, loop, interface, host, port, data, done):
        assert loop is self.loop and interface is self.interface
        if not self.has_sockets:
            raise OSError(errno.ENOBUFS, "of this test")
        self._sent.append(_Message(host, port, data, done))

    def turn(self, milliseconds=0):
        """Let time go by, in small steps; return the messages that were sent meanwhile."""
        take_turns(self.loop)
        while milliseconds > 0:
            step = min(milliseconds, 50)
            self._clock.ms += step
            milliseconds -= step
            take_turns(self.loop)
        return self.sent()

    def sent(self):
        """Return the messages that were sent since the last question."""
        sent, self._sent = self._sent, []
        return sent

    def ask(self, method, headers, caller=HOST, version=1, service=wan_ip.SERVICE):
        """Return the SID of the answer, or the status of the refusal."""
        try:
            answer = self.events.respond(make_request(method, "/e", headers), caller, version, service)
        except HTTPError as error:
            return error.status
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        return answer.partition(b"\r\nSID: ")[2].partition(b"\r\n")[0]

    def subscribe(self, caller=HOST, timeout=b"Second-1800", version=1, service=wan_ip.SERVICE):
        callback = b"<http://%s:8000/e>" % caller.encode()
        return self.ask("SUBSCRIBE", ((b"NT", b"upnp:event"), (b"CALLBACK", callback), (b"TIMEOUT", timeout)), caller,
                        version, service)

    def settled(self, caller=HOST):
        """Subscribe, take the first message, let things come to rest; return the SID."""
        sid = self.subscribe(caller)
        first = self.turn(150)
        assert len(first) == 1 and first[0].sequence == 0
        first[0].done(True)
        assert self.turn(2000) == []
        return sid

    def renew(self, sid):
        return self.ask("SUBSCRIBE", ((b"SID", sid),))

    def unsubscribe(self, sid):
        return self.ask("UNSUBSCRIBE", ((b"SID", sid),))

    def add(self):
        """Make one mapping more."""
        self._port += 1
        self.gateway.add(HOST, self.loop.now, "", self._port, "TCP", 8080, HOST, True, "", 3600)

    def change_address(self, address):
        self.gateway.wan._interface.addresses = [(address, 22)] if address else []
        self.gateway.wan.update(self.loop.now)


def test_the_first_message_goes_some_time_behind_the_answer():
    with _Running() as it:
        sid = it.subscribe()
        assert it.turn(149) == []
        messages = it.turn(1)
        assert len(messages) == 1
        message = messages[0]
        assert (message.host, message.port, message.path) == (HOST, 8000, "/e")
        assert (message.headers["SID"], message.sequence) == (sid.decode(), 0)
        assert message.names == FIRST
        assert message.values[1:] == [("ConnectionStatus", "Connected"), ("ExternalIPAddress", "81.2.69.160"),
                                      (COUNT, "0")]
        message.done(True)
        assert it.turn(60000) == []


def test_subscribers_are_counted():
    with _Running() as it:
        assert it.events.count_subscribers() == 0
        it.settled()
        it.settled(OTHER)
        assert it.events.count_subscribers() == 2
        it.turn(1800 * 1000)
        assert it.events.count_subscribers() == 0  # whose time is over is none


def test_the_first_message_tells_what_is_true_when_it_goes():
    with _Running() as it:
        it.subscribe()
        it.turn(100)
        it.add()
        it.change_address(None)
        messages = it.turn(50)
        assert messages[0].values[1:] == [("ConnectionStatus", "Disconnected"), ("ExternalIPAddress", ""),
                                          (COUNT, "1")]
        messages[0].done(True)
        assert it.turn(5000) == []


def test_several_changes_are_one_message():
    with _Running() as it:
        it.settled()
        it.add()
        assert it.turn(200) == []
        it.add()
        assert it.turn(200) == []
        it.change_address("81.2.69.161")
        it.add()
        assert it.turn(99) == []
        messages = it.turn(1)
        assert len(messages) == 1 and messages[0].sequence == 1
        assert messages[0].values == [("ExternalIPAddress", "81.2.69.161"), (COUNT, "3")]
        messages[0].done(True)
        it.add()
        assert it.turn(499) == []
        messages = it.turn(1)
        assert [(one.sequence, one.values) for one in messages] == [(2, [(COUNT, "4")])]
        messages[0].done(True)
        assert it.turn(60000) == []


def test_at_most_two_messages_in_a_second():
    with _Running() as it:
        it.settled()
        count = 0
        for _ in range(100):
            it.add()
            for message in it.turn(50):
                message.done(True)
                count += 1
        assert 9 <= count <= 10


def test_a_change_that_is_undone_is_no_message():
    with _Running() as it:
        it.settled()
        it.change_address("81.2.69.161")
        it.turn(100)
        it.change_address("81.2.69.160")
        assert it.turn(2000) == []


def test_a_lease_that_ends_is_told():
    with _Running() as it:
        it.add()
        it.settled()
        it.gateway.expire(it.loop.now + 4000)
        assert it.turn(500)[0].values == [(COUNT, "0")]


def test_a_new_address_is_told():
    with _Running(None) as it:
        it.settled()
        it.change_address("81.2.69.161")
        it.turn(500)[0].done(True)
        it.change_address(None)
        assert it.turn(500)[0].values == [("ConnectionStatus", "Disconnected"), ("ExternalIPAddress", "")]


def test_a_link_that_goes_down_is_told_to_those_whom_it_concerns():
    with _Running() as it:
        it.settled()
        it.subscribe(OTHER, service=wan_common.SERVICE)
        first = it.turn(150)[0]
        assert ("PhysicalLinkStatus", "Up") in first.values
        first.done(True)
        it.turn(1000)
        it.gateway.wan._interface.is_up = False
        assert [(one.host, one.values) for one in it.turn(500)] == [(OTHER, [("PhysicalLinkStatus", "Down")])]


def test_each_subscriber_hears_of_its_own_version():
    with _Running() as it:
        it.gateway.default_connection_services = {1: "one", 2: "two"}
        for version, value in ((1, "one"), (2, "two")):
            it.subscribe(version=version, service=layer3.SERVICE)
            assert it.turn(150)[0].values == [("DefaultConnectionService", value)]


def test_a_subscriber_of_version_2_is_told_of_every_change_of_the_table():
    with _Running() as it:
        it.subscribe(version=2, service=wan_ip2.SERVICE)
        first = it.turn(150)[0]
        assert "SystemUpdateID" in first.names
        first.done(True)
        it.turn(1000)
        it.add()
        message = it.turn(500)[0]
        assert message.names == [COUNT, "SystemUpdateID"] or message.names == ["SystemUpdateID", COUNT]
        message.done(True)
        it.turn(1000)
        it.gateway.add(HOST, it.loop.now, "", 2001, "TCP", 8081, HOST, True, "renewed", 3600)
        assert it.turn(500)[0].names == ["SystemUpdateID"]


def test_every_subscriber_is_told():
    with _Running() as it:
        sids = [it.settled(), it.settled(), it.settled(OTHER)]
        assert sids[0] != sids[1]
        it.add()
        messages = it.turn(500)
        assert [(one.headers["SID"].encode(), one.sequence) for one in messages] == [(sid, 1) for sid in sids]


def test_one_message_at_a_time():
    with _Running() as it:
        it.settled()
        it.add()
        first = it.turn(500)[0]
        it.add()
        assert it.turn(4000) == []
        it.add()
        assert it.turn(4000) == []
        first.done(True)
        messages = it.sent()  # at once: it has waited long enough
        assert [(one.sequence, one.values) for one in messages] == [(2, [(COUNT, "3")])]
        messages[0].done(True)
        assert it.turn(5000) == []


def test_a_slow_subscriber_does_not_hold_up_others():
    with _Running() as it:
        it.settled()
        it.settled(OTHER)
        it.add()
        for message in it.turn(500):
            if message.host == OTHER:
                message.done(True)
        it.add()
        messages = it.turn(500)
        assert [(one.host, one.sequence) for one in messages] == [(OTHER, 2)]


def test_changes_before_the_first_message_make_no_second_one():
    with _Running() as it:
        it.settled(OTHER)
        it.add()
        it.turn(400)
        it.subscribe()
        for message in it.turn(149):  # the others are told meanwhile
            assert message.host == OTHER
            message.done(True)
        messages = it.turn(1)
        assert [(one.host, one.sequence, len(one.values)) for one in messages] == [(HOST, 0, 4)]
        messages[0].done(True)
        assert it.turn(5000) == []


def test_a_message_that_fails_is_followed_by_everything():
    with _Running() as it:
        it.settled()
        it.add()
        it.turn(500)[0].done(False)
        it.add()
        assert it.turn(1999) == []
        messages = it.turn(1)
        assert [(one.sequence, one.names) for one in messages] == [(2, FIRST)]
        assert messages[0].values[3] == (COUNT, "2")
        messages[0].done(True)
        assert it.turn(10000) == []
        it.add()
        assert it.turn(500)[0].values == [(COUNT, "3")]


def test_a_subscriber_is_dropped_after_the_third_failure():
    with _Running() as it:
        sid = it.settled()
        other = it.settled(OTHER)
        it.add()
        messages = it.turn(500)
        messages[1].done(True)
        messages[0].done(False)
        for delay in (2000, 4000):
            assert it.turn(delay - 1) == []
            messages = it.turn(1)
            assert len(messages) == 1
            messages[0].done(False)
        assert "closed a subscription of %s: it takes no events any more" % HOST in it.output.text()
        assert it.renew(sid) == 412
        assert it.renew(other) == other
        it.add()
        assert [one.host for one in it.turn(60000)] == [OTHER]


def test_failures_in_a_row_count_only():
    with _Running() as it:
        sid = it.settled()
        for _ in range(4):
            it.add()
            it.turn(500)[0].done(False)
            it.turn(2000)[0].done(False)
            it.turn(4000)[0].done(True)
        assert "dropped" not in it.output.text()
        assert it.renew(sid) == sid


def test_a_first_message_that_fails_is_tried_again():
    with _Running() as it:
        it.subscribe()
        it.turn(150)[0].done(False)
        messages = it.turn(2000)
        assert [one.names for one in messages] == [FIRST]
        messages[0].done(True)
        assert it.turn(10000) == []


def test_a_message_for_which_there_is_no_socket_is_tried_again():
    with _Running() as it:
        sids = [it.settled(), it.settled(OTHER)]
        it.has_sockets = False
        it.add()
        assert it.turn(500) == []
        it.has_sockets = True
        messages = it.turn(2000)
        assert [(one.headers["SID"].encode(), one.names) for one in messages] == [(sid, FIRST) for sid in sids]


def test_who_unsubscribes_gets_nothing_more():
    with _Running() as it:
        sid = it.subscribe()
        assert it.unsubscribe(sid) == b""
        assert it.turn(5000) == []  # before the first message
        assert it.unsubscribe(sid) == 412
        sid = it.settled()
        it.add()
        it.turn(100)
        assert it.unsubscribe(sid) == b""
        assert it.turn(5000) == []


def test_who_unsubscribes_while_a_message_is_under_way():
    for result in (True, False):
        with _Running() as it:
            sid = it.settled()
            it.add()
            message = it.turn(500)[0]
            it.add()
            assert it.unsubscribe(sid) == b""
            message.done(result)
            assert it.turn(60000) == []
            assert "dropped" not in it.output.text()


def test_who_unsubscribes_before_the_retry():
    with _Running() as it:
        sid = it.settled()
        it.add()
        it.turn(500)[0].done(False)
        assert it.unsubscribe(sid) == b""
        assert it.turn(60000) == []


def test_who_unsubscribes_before_the_third_failure_is_not_dropped_once_more():
    with _Running() as it:
        sid = it.settled()
        it.add()
        it.turn(500)[0].done(False)
        it.turn(2000)[0].done(False)
        message = it.turn(4000)[0]
        assert it.unsubscribe(sid) == b""
        message.done(False)
        assert it.turn(60000) == []
        assert "dropped" not in it.output.text()


def test_who_does_not_renew_is_forgotten():
    with _Running() as it:
        sid = it.subscribe(timeout=b"Second-60")
        it.turn(150)[0].done(True)
        it.turn(50000)
        assert it.renew(sid) == sid
        it.turn(100000)
        it.add()
        messages = it.turn(500)
        assert len(messages) == 1
        messages[0].done(True)
        it.turn(1800000 - 100500)
        it.add()
        assert it.turn(5000) == []
        assert it.renew(sid) == 412 and it.unsubscribe(sid) == 412


def test_there_is_room_again_when_subscriptions_ended():
    with _Running() as it:
        while it.subscribe(timeout=b"Second-60") != 503:
            pass
        it.turn(59000)
        assert it.subscribe() == 503
        it.turn(1000)
        assert it.subscribe() != 503


def test_what_is_refused_leaves_nothing_behind():
    with _Running() as it:
        assert it.ask("SUBSCRIBE", ()) == 412
        assert it.ask("UNSUBSCRIBE", ()) == 412
        assert it.ask("SUBSCRIBE", ((b"SID", b"uuid:x"), (b"NT", b"upnp:event"))) == 400
        it.add()
        assert it.turn(5000) == []
        assert it.loop._timers == []


def test_without_subscribers_nothing_is_looked_at():
    with _Running() as it:
        it.add()
        it.turn(100)
        assert it.loop._timers == []
        sid = it.settled()
        it.unsubscribe(sid)
        it.add()
        it.turn(100)
        assert it.loop._timers == []


def test_close_ends_it():
    with _Running() as it:
        sids = [it.settled(), it.settled(OTHER)]
        it.add()
        messages = it.turn(500)
        messages[0].done(False)  # to be tried again
        it.subscribe()  # to get its first message
        it.add()
        it.turn()
        it.events.close()
        assert it.turn(10000) == []
        messages[1].done(True)  # was under way
        assert it.turn(10000) == []
        for sid in sids:
            assert it.renew(sid) == 412
        assert it.loop._timers == []
        it.events.close()
        sid = it.subscribe()  # nothing is left that would hinder another
        assert len(it.turn(150)) == 1


def test_close_leaves_no_timer_and_others_may_come_then():
    with _Running() as it:
        it.settled()
        it.add()
        it.turn()
        assert len(it.loop._timers) == 1
        it.events.close()
        assert it.loop._timers == []
        it.settled()
        it.add()
        assert len(it.turn(500)) == 1


def test_each_subscription_has_its_own_identifier():
    sids = [events_module._make_sid() for _ in range(50)]
    for sid in sids:
        assert sids.count(sid) == 1
        kind, _, uuid = sid.partition(":")
        assert kind == "uuid" and [len(part) for part in uuid.split("-")] == [8, 4, 4, 4, 12]
        assert uuid[14] == "4" and uuid[19] in "89ab"
        assert not uuid.strip("0123456789abcdef-")


def test_without_randomness_there_are_no_subscriptions():
    with Files(compat, None):
        assert raised(HTTPError, events_module._make_sid).status == 503
        with _Running() as it:
            assert it.subscribe() == 503
            assert it.turn(5000) == []


def test_subscriptions_are_in_the_detailed_log():
    log.set_level(log.DEBUG)
    with _Running() as it:
        it.subscribe()
        text = it.output.text()
    log.set_level(log.INFO)
    assert "192.168.1.2 subscribed to urn:upnp-org:serviceId:WANIPConn1" in text


def test_whether_pinholes_can_be_opened_is_told():
    with _Running() as it:
        it.subscribe(version=2, service=wan_ipv6_firewall.SERVICE)
        (message,) = it.turn(150)
        assert message.values == [("FirewallEnabled", "1"), ("InboundPinholeAllowed", "1")]
        message.done(True)
        it.turn(2000)
        it.gateway.is_paused = True
        (message,) = it.turn(500)
        assert message.values == [("InboundPinholeAllowed", "0")]
        message.done(True)
        it.gateway.is_paused = False
        it.gateway.firewall.pinhole_refusal = "no place"  # it stays as it was
        assert it.turn(5000) == []
        it.gateway.firewall.pinhole_refusal = ""
        (message,) = it.turn(500)
        assert message.values == [("InboundPinholeAllowed", "1")]
