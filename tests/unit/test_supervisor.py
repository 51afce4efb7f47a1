"""miniigd.supervisor: the command line's end, and how the parts are wired; kernel and sockets are stood in for."""

import errno
import struct

from helpers import HOST6, ROUTER6, Clock, Files, Output, raised, take_turns
from miniigd import VERSION, capabilities, config, leases6, log, netlink, port_server, rules
from miniigd import loop as loop_module
from miniigd import supervisor as supervisor_module
from miniigd.addresses import ip_bytes
from miniigd.compat import SIGHUP, SIGTERM, file_mark, remove
from miniigd.errors import FirewallError, UPnPError
from miniigd.interfaces import GROUPS, GROUPS_IPV4
from miniigd.pause import Pause
from miniigd.services import wan_ppp
from miniigd.supervisor import Supervisor, main

NEWLINK, DELLINK, NEWADDR, DELADDR = 16, 17, 20, 21
LAN_INDEX, WAN_INDEX = 3, 4
PAUSE_PATH = "/tmp/miniigd-test-supervisor.paused"

USAGE_ERRORS = ([], ["-L", "lan"], ["-W", "wan"], ["--help"], ["-h"], ["-L"], ["--version", "x"],
                ["-L", "x", "-W", "x"],
                ["-L", "lan", "-W", "wan", "-f", "pf"])


def test_the_version():
    with Output(supervisor_module) as output:
        assert main(["--version"]) == 0
    assert output.text() == "miniigd %s\n" % VERSION


def test_a_wrong_command_line_is_status_2_with_a_clear_line():
    for arguments in USAGE_ERRORS:
        with Output(supervisor_module) as output:
            assert main(arguments) == 2
        lines = output.text().split("\n")
        assert lines[0].startswith("miniigd: ") and len(lines[0]) > 12
        assert lines[1].startswith("usage: miniigd ")


def test_a_wrong_file_is_status_2_with_its_line():
    with Output(supervisor_module) as output, Files(config, b"config upnpd 'config'\nnonsense\n"):
        assert main(["-L", "lan", "-W", "wan", "-c", "/etc/test"]) == 2
    assert output.text().startswith("miniigd: /etc/test: line 2 ")


def _link(kind, index, name, mac=b"\x02\0\0\0\0\1"):
    message = netlink.Message()
    message.begin(kind, 0, 0)
    message.add(struct.pack("@BBHiII", 0, 0, 1, index, 0x41, 0))
    message.attribute(3, name.encode() + b"\0")
    message.attribute(1, mac)
    message.end()
    return bytes(message.data)


def _address(kind, index, text, length):
    message = netlink.Message()
    message.begin(kind, 0, 0)
    message.add(struct.pack("@BBBBI", 10 if ":" in text else 2, length, 0, 0, index))
    message.attribute(2, ip_bytes(text))
    message.end()
    return bytes(message.data)


class _Firewall:
    """Stands in for the back end: remembers what was done; `failures` are raised one by one."""

    name = "test"
    most_mappings = 7
    most_pinholes = 3
    pinhole_refusal = ""

    def __init__(self):
        self.calls = []
        self.failures = []
        self.is_harmed = self.is_polled = False

    def prepare(self):
        pass

    def _call(self, *call):
        self.calls.append(call)
        failure = self.failures.pop(0) if self.failures else None
        if failure:
            raise failure

    def open(self, wan):
        self.wan = wan
        self._call("open")

    def basis(self):
        return self.wan.index

    def add(self, mapping, replaced, seconds, before=None):
        self._call("add", mapping.external_port)

    def remove(self, mappings):
        self._call("remove", *[mapping.external_port for mapping in mappings])

    remove_ended = remove

    def sync(self, mappings, now, pinholes=()):
        self.synced_pinholes = [pinhole.internal_port for pinhole in pinholes]
        self._call("sync", [mapping.external_port for mapping in mappings])

    def close(self):
        self._call("close")

    def counters(self, mappings):
        return [(0, 0)] * len(mappings)

    pinhole_counters = counters

    def add_pinhole(self, pinhole, seconds, is_renewed):
        self._call("add_pinhole", pinhole.internal_port)

    def remove_pinholes(self, pinholes):
        self._call("remove_pinholes", *[pinhole.internal_port for pinhole in pinholes])

    remove_ended_pinholes = remove_pinholes

    def is_intact(self, mappings, pinholes=()):
        self._call("is_intact", [mapping.external_port for mapping in mappings])
        return not self.is_harmed

    def took(self):
        """Return the calls since the last question."""
        calls, self.calls = self.calls, []
        return calls


class _Lans:
    """Stands in for the Lans."""

    made = []

    def __init__(self, loop, interfaces, port, device, gateway, notify_interval):
        self.interfaces, self.port, self.device = interfaces, port, device
        self.updates = self.looks = 0
        self.is_closed = False
        _Lans.made.append(self)

    def follow(self):
        self.updates += 1

    def count_subscribers(self):
        return 7

    def look(self):
        self.looks += 1

    def close(self):
        self.is_closed = True


class _Control:
    """Stands in for PortServer."""

    def __init__(self, loop, interfaces, gateway, allows_third_party):
        self.interfaces, self.gateway, self.allows_third_party = interfaces, gateway, allows_third_party
        self.updates = self.looks = 0
        self.is_closed = False

    def follow(self):
        self.updates += 1

    def look(self):
        self.looks += 1

    def close(self):
        self.is_closed = True


class _Commands:
    """Stands in for the control channel."""

    def __init__(self, loop, respond):
        self.respond = respond
        self.is_open = False

    def open(self):
        self.is_open = True

    def close(self):
        self.is_open = False


class _Kernel:
    """The kernel as rtnetlink shows it: `links` by name, `addresses`; channels to it are made by `channel`."""

    def __init__(self):
        self.links = {"lan": LAN_INDEX, "wan": WAN_INDEX}
        self.addresses = [(LAN_INDEX, "192.168.1.1", 24), (WAN_INDEX, "81.2.69.160", 22)]
        self.report = None
        self.open_channels = 0

    def channel(self, protocol, groups=0, is_brief=False):
        assert protocol == 0 and groups in (0, GROUPS, GROUPS_IPV4)
        self.open_channels += 1
        return _Channel(self)

    def answer(self, message):
        kind, _, start, end = netlink.messages(message)[0]
        if kind == 22:
            return [_address(NEWADDR, index, text, length) for index, text, length in self.addresses] + [
                struct.pack("@IHHII", 20, 3, 0, 0, 0) + bytes(4)]
        for kind, begin, stop in netlink.attributes(message, start + 16, end):
            if kind == 3:
                name = bytes(message[begin:stop - 1]).decode()
        if name in self.links:
            return [_link(NEWLINK, self.links[name], name)]
        return [struct.pack("@IHHIIi", 36, 2, 0, 0, 0, -errno.ENODEV) + bytes(16)]


class _Channel:
    def __init__(self, kernel):
        self._kernel = kernel

    def transact(self, message, is_answered):
        answers = self._kernel.answer(message)
        assert [is_answered(answer) for answer in answers] == [False] * (len(answers) - 1) + [True]
        return answers

    def converse(self, message, is_answered, take, is_short=False):
        raise FirewallError("no neighbour is known", errno.ENOENT)

    def listen(self, loop, receive):
        self._kernel.report = receive

    def close(self):
        self._kernel.open_channels -= 1


class _Started:
    """A running supervisor on a kernel that is stood in for: `with _Started() as it: it.turn() ...`."""

    def __init__(self, uuid="", failures=(), wan="wan", watch=None, **settings):
        self.watch = watch
        self._settings = config.Config()
        self._settings.lan_devices, self._settings.wan_device, self._settings.uuid = ["lan", "lan2"], wan, uuid
        self._settings.lease_path = self._settings.lease_path6 = ""
        for name in settings:
            setattr(self._settings, name, settings[name])
        self.kernel, self.firewall = _Kernel(), _Firewall()
        self.kernel.links = {"lan": LAN_INDEX, wan: WAN_INDEX}
        self.firewall.failures = list(failures)
        self.clock, self.output = Clock(), Output(log)
        self.signals = {}
        self.dropped = []
        self.status = None

    def __enter__(self):
        module = supervisor_module
        self._real = (module.Channel, module.Pause, module.NetlinkChannel, module.Lans, module._make_firewall,
                      loop_module.Loop.on_signal, loop_module.Loop.run, port_server.PortServer, capabilities.drop)
        capabilities.drop = lambda *settings: self.dropped.append(settings + (self.supervisor._channel.is_open,))
        port_server.PortServer = _Control
        module.NetlinkChannel, module.Lans = self.kernel.channel, _Lans
        module.Channel, module.Pause = _Commands, lambda: Pause(PAUSE_PATH)
        module._make_firewall = lambda settings, lans: (self.firewall, None, self.watch)
        loop_module.Loop.on_signal = lambda loop, number, callback: self._on_signal(loop, number, callback)
        loop_module.Loop.run = lambda loop: None
        _Lans.made = []
        self.clock.__enter__()
        self.output.__enter__()
        self.supervisor = Supervisor(self._settings)
        self.gateway = self.supervisor._gateway
        self.lans = _Lans.made
        return self

    def _on_signal(self, loop, number, callback):
        self.loop = loop
        self.signals[number] = callback

    def __exit__(self, kind, value, traceback):
        module = supervisor_module
        self.output.__exit__(None, None, None)
        self.clock.__exit__(None, None, None)
        (module.Channel, module.Pause, module.NetlinkChannel, module.Lans, module._make_firewall,
         loop_module.Loop.on_signal, loop_module.Loop.run, port_server.PortServer, capabilities.drop) = self._real

    def run(self, script):
        """Run the daemon; in the place of its loop, `script(self)`."""
        loop_module.Loop.run = lambda loop: script(self)
        _Lans.made = self.lans = []
        self.status = self.supervisor.run()

    def turn(self, seconds=0):
        self.clock.ms += seconds * 1000
        take_turns(self.loop)

    def add(self, port, lease=60, client="192.168.1.2"):
        self.gateway.wan.has_service = lambda protocol, port: False  # whatever this machine serves
        self.gateway.add("192.168.1.2", self.loop.now, "", port, "TCP", port, client, True, "", lease)


def test_start_and_stop():
    def script(it):
        assert it.firewall.took()[0] == ("open",)
        lans = it.lans[0]
        assert [interface.name for interface in lans.interfaces] == ["lan", "lan2"]
        assert (lans.port, lans.device.uuid) == (5000, "6d696e69-6967-8001-8000-020000000001")
        assert lans.device.versions == (1, 2)
        assert lans.updates == 1
        assert it.gateway.wan.address == "81.2.69.160"
        assert len(it.gateway.default_connection_services) == 2
        for version, udn in ((1, "6d696e69-6967-8003-8000-020000000001"),
                             (2, "6d696e69-6967-8006-8000-020000000001")):
            assert it.gateway.default_connection_services[version].startswith("uuid:%s:" % udn)
        assert sorted(it.signals) == sorted(set(it.signals)) and SIGTERM in it.signals and SIGHUP in it.signals

    with _Started() as it:
        it.run(script)
        assert it.status == 0
        assert it.firewall.took()[-1] == ("close",)
        assert it.lans[0].is_closed
        assert it.kernel.open_channels == 1  # the one that listens
        text = it.output.text()
    assert "miniigd %s started" % VERSION in text
    assert "external address: 81.2.69.160" in text
    assert text.endswith("stopped\n")


def test_privileges_are_dropped_behind_the_set_up_and_before_anybody_is_served():
    for name, runs_programs, port in ("nftables", False, 5000), ("iptables", True, 80):
        with _Started(port=port) as it:
            it.firewall.name = name
            it.run(lambda it: it.dropped.append("served"))
            assert it.dropped == [(runs_programs, port, True), "served"]


def test_the_settings_of_the_wan_and_of_leases_are_used():
    with _Started() as it:
        it.run(lambda it: None)
        assert (it.gateway.wan.address, it.gateway.wan.refusal, it.gateway._max_lease) == ("81.2.69.160", "", 604800)
    settings = {"external_ip": "9.9.9.9", "max_lease_duration": 3600}
    with _Started(**settings) as it:
        it.run(lambda it: None)
        assert (it.gateway.wan.address, it.gateway._max_lease) == ("9.9.9.9", 3600)
    with _Started(external_ip="10.0.0.1") as it:
        it.run(lambda it: None)
        assert it.gateway.wan.refusal
    with _Started(external_ip="10.0.0.1", allows_private_address=1) as it:
        it.run(lambda it: None)
        assert (it.gateway.wan.address, it.gateway.wan.refusal) == ("10.0.0.1", "")


def test_the_table_holds_as_much_as_the_firewall():
    def script(it):
        for port in range(8000, 8007):
            it.add(port)
        assert raised(UPnPError, it.add, 8007).code == 728

    with _Started() as it:
        it.run(script)
        assert len(it.gateway.table) == 7


def test_a_uuid_of_the_configuration_is_used():
    with _Started("00000000-0000-4000-8000-000000000001") as it:
        it.run(lambda it: None)
        assert it.lans[0].device.uuid == "00000000-0000-4000-8000-000000000001"


def test_version_1_alone_where_the_configuration_says_so():
    with _Started(is_igdv1_only=1) as it:
        it.run(lambda it: None)
        assert it.lans[0].device.versions == (1,)
        assert list(it.gateway.default_connection_services) == [1]


def test_the_words_of_the_configuration_reach_the_description():
    with _Started(friendly_name="a", model_number="b", serial_number="c", presentation_url="") as it:
        it.run(lambda it: None)
        document = it.lans[0].device.document(1, "http://192.168.1.1/")
        for text in (b"<friendlyName>a<", b"<modelNumber>b<", b"<serialNumber>c<"):
            assert text in document
        assert b"presentationURL" not in document


def test_the_rules_and_the_secure_mode_reach_the_gateway():
    with _Started(rules=[rules.Rule(False, (8000, 8000), name="perm_rule 1")]) as it:
        it.run(lambda it: it.add(8001))
        assert [mapping.external_port for mapping in it.gateway.table] == [8001]
        assert raised(UPnPError, it.add, 8000).reason == "perm_rule 1 denies it"
        assert raised(UPnPError, it.add, 8002, 60, "192.168.1.9").code == 606
    with _Started(secure_mode=0) as it:
        it.run(lambda it: it.add(8002, client="192.168.1.9"))
        assert len(it.gateway.table) == 1
        for client in ("192.168.1.1", "81.2.69.160", "81.2.69.161", "192.168.1.255"):
            assert raised(UPnPError, it.add, 8003, 60, client).code == 606


def test_the_uptime_is_the_router_s_or_the_connection_s():
    for setting, is_long in ((1, True), (0, False)):
        with _Started(uses_system_uptime=setting) as it:
            it.run(lambda it: None)
            assert (it.gateway.wan.uptime(0) > 0) == is_long


def test_nothing_is_served_while_all_is_switched_off():
    for settings in ({"protocols": 0}, {"enable_upnp": 0, "enable_natpmp": 0}):
        with _Started(**settings) as it:
            it.run(lambda it: None)
            assert it.lans[0].interfaces == [] and it.supervisor._port_server is None
            assert "switched off (enable_upnp, enable_protocols): nothing is served\n" in it.output.text()


def test_nat_pmp_and_pcp_are_served_without_upnp_and_the_other_way_round():
    for settings in ({"protocols": 2}, {"enable_upnp": 0}):
        with _Started(**settings) as it:
            it.run(lambda it: it.turn())
            control = it.supervisor._port_server
            assert it.lans[0].interfaces == [] and [one.name for one in control.interfaces] == ["lan", "lan2"]
            assert "UPnP is switched off (enable_upnp, enable_protocols)\n" in it.output.text()
    for settings in ({"protocols": 1}, {"enable_natpmp": 0}):
        with _Started(**settings) as it:
            it.run(lambda it: None)
            assert len(it.lans[0].interfaces) == 2 and it.supervisor._port_server is None
            assert "switched off" not in it.output.text()


def test_nat_pmp_and_pcp_follow_the_interfaces_and_every_turn():
    def script(it):
        assert it.supervisor._port_server is None  # the device is served before
        it.turn()
        control = it.supervisor._port_server
        assert control.gateway is it.gateway and not control.allows_third_party
        assert (control.updates, control.looks) == (1, 1)
        it.turn()
        assert (control.updates, control.looks) == (1, 2)
        it.kernel.report(_address(NEWADDR, LAN_INDEX, "192.168.2.1", 24))
        assert control.updates == 2 and not control.is_closed

    with _Started() as it:
        it.run(script)
        assert it.supervisor._port_server.is_closed
    with _Started(allows_third_party=1) as it:
        it.run(lambda it: it.turn())
        assert it.supervisor._port_server.allows_third_party


def test_the_log_s_level_is_the_file_s_or_the_command_line_s():
    for value, arguments, level in ((b"0", [], log.INFO), (b"1", [], log.DEBUG), (b"0", ["-v"], log.DEBUG),
                                    (b"debug", [], log.DEBUG), (b"info", [], log.INFO)):
        real = supervisor_module.Supervisor
        supervisor_module.Supervisor = _refusing_supervisor
        try:
            with Output(log) as output, Files(config, b"config upnpd 'config'\noption log_output %s\n" % value):
                assert main(["-L", "lan", "-W", "wan"] + arguments) == 1
                log.debug("detail")
        finally:
            supervisor_module.Supervisor = real
            log.set_level(log.INFO)
        assert ("detail" in output.text()) == (level == log.DEBUG), value


def _refusing_supervisor(settings):
    raise FirewallError("of this test")


def test_a_ppp_link_is_offered_as_such():
    for name, is_ppp in (("pppoe-wan", True), ("ppp0", True), ("wan", False), ("eth0.2", False)):
        with _Started(wan=name) as it:
            it.run(lambda it: None)
            assert it.gateway.wan.address == "81.2.69.160"
            services = it.lans[0].device.device_services(1)[2]
            assert (wan_ppp.SERVICE in services) == is_ppp, name


def test_the_lans_may_tell_of_changes_at_the_end_of_each_turn():
    def script(it):
        assert it.lans[0].looks == 0
        for count in (1, 2, 3):
            it.turn()
            assert it.lans[0].looks == count

    with _Started() as it:
        it.run(script)
        assert "Error" not in it.output.text()


def test_what_an_end_left_in_the_firewall_is_taken_out_once_for_all_that_end():
    def script(it):
        it.turn()
        it.gateway.table._most = 30
        for port in range(8000, 8020):  # more than end in one turn
            it.add(port, 30)
        it.add(9000, 60)
        it.turn()
        it.firewall.took()
        it.firewall.failures = [FirewallError("told to", errno.ENOENT)]
        it.turn(30)
        while len(it.gateway.table) > 1:
            it.turn()
        it.turn()
        assert [call[0] for call in it.firewall.took()] == ["remove", "remove", "open", "sync"]
        it.turn()
        assert it.firewall.took() == []

    with _Started() as it:
        it.run(script)


def test_leases_end_by_a_timer():
    def script(it):
        it.turn()
        it.firewall.took()
        it.add(8000, 60)
        it.add(8001, 30)
        it.turn()
        it.turn(29)
        assert it.firewall.took() == [("add", 8000), ("add", 8001)]
        it.turn(1)
        assert it.firewall.took() == [("remove", 8001)]
        it.add(8000, 90)  # renewed after 30 s
        it.turn(30)
        assert it.firewall.took() == [("add", 8000)]
        it.turn(59)
        assert it.firewall.took() == []
        it.turn(1)
        assert it.firewall.took() == [("remove", 8000)]
        assert len(it.gateway.table) == 0
        it.turn(10 ** 6)
        assert it.firewall.took() == []

    with _Started() as it:
        it.run(script)


def _remove_pause():
    try:
        remove(PAUSE_PATH)
    except OSError:
        pass


def test_commands_are_taken_while_it_runs():
    def script(it):
        assert it.supervisor._channel.is_open
        answer = "".join(it.supervisor._channel.respond(b"status", it.loop.now))
        assert answer.startswith("0\nminiigd ") and "7 subscribers" in answer

    with _Started() as it:
        it.run(script)
        assert not it.supervisor._channel.is_open


def test_a_pause_outlasts_the_daemon_and_ends_by_a_timer():
    _remove_pause()

    def command(it, line):
        return "".join(it.supervisor._channel.respond(line, it.loop.now))

    def pauses(it):
        it.add(8000)
        it.firewall.took()
        assert command(it, b"pause 5").startswith("0\npaused for 5 minutes, closed 1 mapping")
        it.turn()
        assert it.firewall.took() == [("sync", [])] and len(it.gateway.table) == 0
        assert raised(UPnPError, it.add, 8000).code == 501
        assert it.firewall.took() == []

    def is_paused(it):
        assert it.gateway.is_paused and "paused: nothing opens" in it.output.text()
        it.turn()
        it.turn(240)
        assert raised(UPnPError, it.add, 8000).reason == "paused by the administrator"
        it.turn(61)
        assert "resumed: the pause is over" in it.output.text() and file_mark(PAUSE_PATH) is None
        it.add(8000)
        assert not [timer for timer in (it.supervisor._resume,) if timer]

    with _Started() as it:
        it.run(pauses)
    assert file_mark(PAUSE_PATH) is not None
    with _Started() as it:
        it.run(is_paused)
        assert it.firewall.took()[0] == ("open",)


def test_a_pause_whose_firewall_fails_is_followed_later():
    _remove_pause()

    def script(it):
        it.add(8000)
        it.firewall.took()
        it.firewall.failures = [FirewallError("told to", 12)] * 2
        assert "".join(it.supervisor._channel.respond(b"pause", it.loop.now)).startswith("1\npaused until")
        assert it.firewall.took() == [("sync", []), ("open",)] and len(it.gateway.table) == 0
        it.turn(5)
        assert it.firewall.took() == [("open",), ("sync", [])]

    with _Started() as it:
        it.run(script)
    _remove_pause()


def test_what_hosts_do_is_counted_in_the_log_while_it_runs():
    def script(it):
        for _ in range(100):
            it.add(8000)
        assert it.output.text().count("renewed") == 20
        it.turn(59)
        assert "left out" not in it.output.text()
        it.turn(1)
        assert "renewed 192.168.1.2: 79 such lines left out" in it.output.text()

    with _Started() as it:
        it.run(script)
        assert log._clock == [None]


def test_the_address_of_the_wan_changes():
    def script(it):
        it.add(8000)
        it.firewall.took()
        it.kernel.report(_address(DELADDR, WAN_INDEX, "81.2.69.160", 22))
        assert it.gateway.wan.address is None
        it.kernel.report(_address(NEWADDR, WAN_INDEX, "81.2.69.161", 22))
        assert it.gateway.wan.address == "81.2.69.161"
        assert it.lans[0].updates == 3
        assert it.firewall.took() == []  # the rules name the interface, not its address
        it.kernel.report(_address(NEWADDR, 99, "10.0.0.1", 8))
        assert it.lans[0].updates == 3

    with _Started() as it:
        it.run(script)
        assert "external address: none" in it.output.text()


def test_a_wan_that_is_made_again_gets_its_mappings():
    def script(it):
        it.add(8000)
        it.firewall.took()
        it.kernel.report(_link(DELLINK, WAN_INDEX, "wan"))
        assert it.firewall.took() == []
        assert it.gateway.wan.address is None
        it.kernel.report(_link(NEWLINK, 12, "wan"))
        assert it.firewall.took() == [("open",), ("sync", [8000])]
        it.kernel.report(_address(NEWADDR, 12, "81.2.69.162", 32))
        assert it.gateway.wan.address == "81.2.69.162"
        assert it.firewall.took() == []

    with _Started() as it:
        it.run(script)


def test_after_lost_reports_the_state_is_asked_for():
    def script(it):
        it.kernel.addresses = [(LAN_INDEX, "192.168.1.1", 24), (12, "81.2.69.163", 22)]
        it.kernel.links["wan"] = 12
        it.kernel.report(None)
        assert it.gateway.wan.address == "81.2.69.163"
        assert it.gateway.wan.index == 12

    with _Started() as it:
        it.run(script)


def test_what_went_while_reports_were_lost_is_gone():
    def script(it):
        it.kernel.addresses = [(LAN_INDEX, "192.168.1.1", 24)]
        it.kernel.report(None)
        assert it.gateway.wan.address is None
        del it.kernel.links["wan"]
        it.kernel.report(None)
        assert it.gateway.wan.index == 0

    with _Started() as it:
        it.run(script)


def test_sighup_looks_again_and_loses_nothing():
    def script(it):
        it.add(8000)
        it.firewall.took()
        it.kernel.addresses.append((LAN_INDEX, "10.0.0.1", 8))
        it.signals[SIGHUP]()
        assert it.firewall.took() == [("open",), ("sync", [8000])]
        assert len(it.lans[0].interfaces[0].addresses) == 2
        assert it.lans[0].updates == 2

    with _Started() as it:
        it.run(script)


def test_a_firewall_that_is_not_ready_is_tried_again():
    def script(it):
        it.turn()
        assert it.gateway.wan.address == "81.2.69.160" and it.lans[0].updates == 1
        it.firewall.took()
        it.turn(4)
        assert it.firewall.took() == []
        it.turn(1)
        assert it.firewall.took() == [("open",)]
        it.turn(5)
        assert it.firewall.took() == [("open",), ("sync", [])]
        it.turn(100)
        assert it.firewall.took() == []

    refusal = FirewallError("run 'fw4 reload'", errno.ENOENT)
    with _Started("", [refusal, refusal, refusal]) as it:
        it.run(script)
        assert "run 'fw4 reload'" in it.output.text()


class _Watch:
    """Stands in for the channel that hears of changes."""

    def watch(self, loop, pause_ms, notice):
        self.notice = notice


def test_what_somebody_else_changed_is_put_back():
    def script(it):
        it.add(8000)
        it.firewall.took()
        it.watch.notice()
        assert it.firewall.took() == [("is_intact", [8000])]
        it.firewall.is_harmed = True
        it.watch.notice()
        assert it.firewall.took() == [("is_intact", [8000]), ("open",), ("sync", [8000])]
        it.firewall.failures = [FirewallError("told to", errno.EPERM)]
        it.watch.notice()
        assert it.firewall.took() == [("is_intact", [8000]), ("open",), ("sync", [8000])]

    with _Started(watch=_Watch()) as it:
        it.run(script)
        assert it.output.text().count("putting our rules back") == 2 and "told to" in it.output.text()


def test_a_firewall_that_tells_nobody_is_looked_at_while_something_is_open():
    def script(it):
        it.firewall.is_polled = True
        it.turn(100)
        assert "is_intact" not in [call[0] for call in it.firewall.took()]
        it.add(8000, 30)
        it.turn()
        it.firewall.took()
        it.turn(3)
        assert it.firewall.took() == []
        for _ in range(3):
            it.turn(4)
            assert it.firewall.took() == [("is_intact", [8000])]
        it.firewall.is_harmed = True
        it.turn(4)
        assert it.firewall.took() == [("is_intact", [8000]), ("open",), ("sync", [8000])]
        it.firewall.is_harmed = False
        it.turn(30)  # the lease ends
        it.turn(4)
        it.firewall.took()
        it.turn(100)
        assert it.firewall.took() == []

    with _Started() as it:
        it.run(script)


def test_a_trouble_that_lasts_is_said_once():
    refusal = FirewallError("run 'fw4 reload'", errno.ENOENT)
    with _Started("", [refusal] * 10) as it:
        it.run(lambda it: [it.turn(5) for _ in range(12)])
        assert it.output.text().count("run 'fw4 reload'") == 1


def test_several_sighups_make_one_retry():
    def script(it):
        it.firewall.failures = [FirewallError("not yet", errno.ENOENT)] * 3
        for _ in range(3):
            it.signals[SIGHUP]()
        it.firewall.took()
        it.turn(5)
        assert it.firewall.took() == [("open",), ("sync", [])]

    with _Started() as it:
        it.run(script)


def test_a_firewall_that_fails_at_the_end_does_not_stop_the_stop():
    def script(it):
        it.firewall.failures = [FirewallError("gone", errno.ENOENT)]

    with _Started() as it:
        it.run(script)
        assert it.status == 0
        assert "gone" in it.output.text()


def _without_netlink(protocol, groups=0, is_brief=False):
    raise FirewallError("netlink: of this test", errno.EPERM)


def test_a_kernel_without_netlink_is_status_1():
    real, supervisor_module.NetlinkChannel = supervisor_module.NetlinkChannel, _without_netlink
    with Output(log) as output, Files(config, b""):
        assert main(["-L", "lan", "-W", "wan", "-f", "memory"]) == 1
        assert main(["-L", "lan", "-W", "wan"]) == 1
    supervisor_module.NetlinkChannel = real
    assert output.text().count("cannot start: netlink: of this test") == 2


def _settings(firewall):
    return config.parse_arguments(["-L", "lan", "-W", "wan", "-f", firewall])


class _Module:
    """Stands in for what _make_firewall uses: NetlinkChannel and run_program, which ends with `status`."""

    def __init__(self, channel, status=0):
        self.asked = []
        self._channel, self._status = channel, status

    def _run_program(self, argv, data):
        self.asked.append((argv, data))
        return self._status, b""

    def __enter__(self):
        self._real = supervisor_module.NetlinkChannel, supervisor_module.run_program
        supervisor_module.NetlinkChannel, supervisor_module.run_program = self._channel, self._run_program
        return self

    def __exit__(self, kind, value, traceback):
        supervisor_module.NetlinkChannel, supervisor_module.run_program = self._real


class _Socket:
    """Stands in for a NetlinkChannel that is not used."""

    def __init__(self, protocol, groups=0):
        self.groups = groups

    def ignore(self, other):
        self.ignored = other


def _made(settings):
    return [type(part).__name__ for part in supervisor_module._make_firewall(settings, [])]


def test_only_the_back_end_that_is_asked_for_is_made():
    with _Module(_without_netlink):
        assert _made(_settings("memory")) == ["MemoryFirewall", "NoneType", "NoneType"]
        raised(FirewallError, supervisor_module._make_firewall, _settings("nft"), [])
        with Output(log) as output:  # an old kernel
            assert _made(_settings("iptables")) == ["IptablesFirewall", "NoneType", "NoneType"]
    assert "connections live on when their mapping ends (netlink: of this test)" in output.text()
    with _Module(_Socket) as module:
        assert _made(_settings("nft")) == ["NftFirewall", "Flows", "_Socket"]
        firewall, _, watch = supervisor_module._make_firewall(_settings("nft"), [])
        assert watch.groups == 0x40 and watch.ignored is firewall._channel
        assert _made(_settings("iptables")) == ["IptablesFirewall", "Flows", "NoneType"]
        assert supervisor_module._make_firewall(_settings("iptables"), [])[0]._program._zone == "wan"
        settings = _settings("iptables")
        settings.set_option("config", "external_zone", "modem")
        assert supervisor_module._make_firewall(settings, [])[0]._program._zone == "modem"
        assert module.asked == []


def test_the_router_s_own_firewall_decides_unless_it_is_told():
    # (/sbin/fw4, status of iptables-restore, what is made, how often the program is tried)
    for file, status, expected, count in ((b"", 0, "NftFirewall", 0), (None, 127, "NftFirewall", 1),
                                          (None, 0, "IptablesFirewall", 1), (None, 2, "IptablesFirewall", 1)):
        with Files(supervisor_module, file), _Module(_Socket, status) as module:
            assert _made(_settings("auto"))[0] == expected
            assert module.asked == [(["iptables-restore", "--noflush"], b"")] * count


class _LeaseFile6:
    """Stands in for the lease file of pinholes: `leases` is what it holds; remembers what is written."""

    leases = ()
    made = []

    def __init__(self, path, clock_path=None, form=None):
        self.path, self.clock_path, self.form = path, clock_path, form
        self.written = []
        self.is_pending = self.is_changed = False
        _LeaseFile6.made.append(self)

    def read(self):
        return list(self.leases)

    def append(self, pinhole, now, now_ms):
        self.is_pending = self.is_changed = True

    def mark_changed(self):
        self.is_pending = self.is_changed = True

    def wait_ms(self, now_ms):
        return 0 if self.is_pending else None

    def write(self, pinholes, now, now_ms):
        self.is_pending = self.is_changed = False
        self.written.append([pinhole.internal_port for pinhole in pinholes])


class _StartedWithPinholes(_Started):
    """The LAN has the router's address ROUTER6, and the file of pinholes holds `leases`."""

    def __init__(self, leases=(), **settings):
        _Started.__init__(self, lease_path6="/var/run/test.leases6", **settings)
        self.kernel.addresses.append((LAN_INDEX, ROUTER6, 64))
        _LeaseFile6.leases, _LeaseFile6.made = leases, []

    def __enter__(self):
        self._real_file, supervisor_module.LeaseFile = supervisor_module.LeaseFile, _LeaseFile6
        return _Started.__enter__(self)

    def __exit__(self, kind, value, traceback):
        _Started.__exit__(self, kind, value, traceback)
        supervisor_module.LeaseFile = self._real_file

    def add_pinhole(self, port=8000, lease=60):
        return self.gateway.pinholes.add(HOST6, self.loop.now, "", 0, HOST6, port, "TCP", lease)

    @property
    def file(self):
        return _LeaseFile6.made[-1]


def _lease6(port=8000, remaining=60):
    return leases6.Lease("TCP", HOST6, port, "", 0, 4711, remaining, "")


def test_pinholes_are_opened_again_after_a_restart():
    def script(it):
        assert (it.file.path, it.file.clock_path, it.file.form) == (
            "/var/run/test.leases6", leases6.CLOCK_PATH, leases6.FORM)
        assert it.firewall.synced_pinholes == [8000]
        assert it.gateway.pinholes.table.find(4711).expires == it.loop.now + 60
        it.turn()
        assert it.file.written == [[8000]]
        it.turn(60)
        assert it.firewall.took()[-1] == ("remove_pinholes", 8000)
        assert it.file.written[-1] == [] and len(it.gateway.pinholes.table) == 0

    with _StartedWithPinholes([_lease6()]) as it:
        it.run(script)


def test_the_file_of_pinholes_follows_the_table_to_the_end():
    def script(it):
        it.turn()
        it.add_pinhole()
        it.turn()
        assert it.file.written[-1] == [8000]
        it.add_pinhole(8001)

    with _StartedWithPinholes() as it:
        it.run(script)
        assert it.file.written[-1] == [8000, 8001]


def test_where_the_configuration_wants_no_ipv6_there_are_no_pinholes():
    with _StartedWithPinholes([_lease6()], is_ipv6_disabled=1) as it:
        it.run(lambda it: None)
        assert "ipv6_disable" in it.gateway.pinholes.refusal and len(it.gateway.pinholes.table) == 0


def test_pinholes_of_a_firewall_without_a_place_are_forgotten():
    with _StartedWithPinholes([_lease6()]) as it:
        it.firewall.pinhole_refusal = "no place"
        it.run(lambda it: it.turn())
        assert len(it.gateway.pinholes.table) == 0 and it.firewall.synced_pinholes == []


def test_a_prefix_that_goes_closes_its_pinholes():
    def script(it):
        it.turn()
        it.add_pinhole()
        it.firewall.took()
        it.kernel.report(_address(NEWADDR, LAN_INDEX, "2001:db8:5::1", 64))
        assert it.firewall.took() == []
        it.kernel.report(_address(DELADDR, LAN_INDEX, ROUTER6, 64))
        assert it.firewall.took() == [("remove_pinholes", 8000)]
        assert "its prefix is gone" in it.output.text()
        assert raised(UPnPError, it.add_pinhole).code == 606

    with _StartedWithPinholes() as it:
        it.run(script)


def test_a_polled_firewall_is_looked_at_while_a_pinhole_is_open():
    def script(it):
        it.firewall.is_polled = True
        it.turn()
        it.add_pinhole()
        it.turn()
        it.firewall.took()
        it.turn(4)
        assert it.firewall.took() == [("is_intact", [])]

    with _StartedWithPinholes() as it:
        it.run(script)
