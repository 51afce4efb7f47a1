"""miniigd.pinholes: what a gateway does for IPv6, with a firewall, a policy and a lease file that are stood in for."""

from helpers import HOST, HOST6, OTHER, OTHER6, ROUTER6, Files, Output, make_gateway, make_gateway6, raised
from miniigd import log, pinholes
from miniigd.addresses import ip6_bytes
from miniigd.errors import FirewallError, UPnPError
from miniigd.leases6 import Lease
from miniigd.pinhole import MAX_PINHOLES_PER_CLIENT
from miniigd.pinholes import Pinholes

REMOTE = "2001:db8:9::1"


class _Leases:
    """Stands in for the LeaseFile: remembers what it was told."""

    def __init__(self):
        self.calls = []

    def append(self, pinhole, now, now_ms):
        self.calls.append(("append", pinhole.internal_port, now, now_ms))

    def mark_changed(self):
        self.calls.append("changed")

    def took(self):
        calls, self.calls = self.calls, []
        return calls


class _Flows:
    """Stands in for conntrack.Flows: remembers what was told to end or begin."""

    def __init__(self):
        self.calls = []

    def end_pinholes(self, some):
        self.calls.append(("end", [pinhole.internal_port for pinhole in some]))

    def begin(self, mapping):
        pass

    def begin(self, pinhole):
        self.calls.append(("begin", pinhole.internal_port))

    def took(self):
        calls, self.calls = self.calls, []
        return calls


class _Router:
    def __init__(self, **named):
        self.gateway = make_gateway6(**named)
        self.leases, self.flows = _Leases(), _Flows()
        self.gateway.flows = self.flows
        self.pinholes, self.firewall = self.gateway.pinholes, self.gateway.firewall
        self.pinholes._leases = self.leases
        self.log = ""

    def call(self, function, *arguments):
        """Return what the function returns, or the code with which it refuses."""
        with Output(log) as output:
            try:
                found = function(*arguments)
            except UPnPError as error:
                found = error.code
        self.log = output.text()
        return found

    def add(self, port=8000, client=HOST6, caller=HOST6, lease=60, now=100, remote_host="", remote_port=0,
            protocol="TCP", description=""):
        return self.call(self.pinholes.add, caller, now, remote_host, remote_port, client, port, protocol, lease,
                         description)

    def open(self):
        """Return [(port, seconds)] of what the firewall has open; the same pinholes as the table's."""
        opened = self.firewall.open_pinholes
        assert sorted([entry[0].unique_id for entry in opened]) == sorted(
            [pinhole.unique_id for pinhole in self.pinholes.table])
        return sorted([(pinhole.internal_port, seconds) for pinhole, seconds in opened])


def test_a_pinhole_from_the_beginning_to_the_end():
    router = _Router()
    pinhole = router.add()
    assert (pinhole.unique_id, pinhole.lease_duration, pinhole.expires) == (1, 60, 160)
    assert router.open() == [(8000, 60)]
    assert router.log == "miniigd: info: opened pinhole TCP [2001:db8::2]:8000 for 60 s\n"
    assert router.leases.took() == [("append", 8000, 100, 100000)] and router.flows.took() == [("begin", 8000)]
    assert router.call(router.pinholes.find, HOST6, 1) is pinhole
    router.call(router.pinholes.delete, HOST6, 120, 1)
    assert router.log == "miniigd: info: closed pinhole TCP [2001:db8::2]:8000: deleted by 2001:db8::2\n"
    assert router.open() == [] and router.leases.took() == ["changed"] and router.flows.took() == [("end", [8000])]
    assert router.call(router.pinholes.find, HOST6, 1) == 704


def test_the_same_ends_again_are_another_lease():
    router = _Router()
    first = router.add()
    router.flows.took()
    again = router.add(lease=90, now=130, description="PCP MAP 01")
    assert again is first and (first.expires, first.description) == (220, "PCP MAP 01")
    assert router.open() == [(8000, 90)] and router.flows.took() == []
    assert router.log.startswith("miniigd: info: renewed pinhole") and router.leases.took()[-1] == "changed"
    for other in (router.add(remote_host=REMOTE), router.add(remote_port=77), router.add(protocol="UDP"),
                  router.add(8001)):
        assert other is not first
    assert len(router.pinholes.table) == 5


def test_a_lease_can_be_changed_and_is_not_longer_than_a_day():
    router = _Router()
    pinhole = router.add(lease=100000)
    assert (pinhole.lease_duration, pinhole.expires) == (86400, 86500)
    assert router.call(router.pinholes.update, HOST6, 200, 1, 30) is None
    assert (pinhole.lease_duration, pinhole.expires) == (30, 230) and router.open() == [(8000, 30)]
    router.call(router.pinholes.update, HOST6, 200, 1, 86401)
    assert pinhole.expires == 86600
    assert router.call(router.pinholes.update, HOST6, 200, 2, 30) == 704


def test_a_host_may_ask_by_any_of_its_addresses_for_any_of_them():
    router = _Router()
    for caller in (HOST6, HOST, "fe80::2", "2001:db8:0:5::2"):
        assert router.add(caller=caller).unique_id == 1
    assert "for 60 s by 2001:db8:0:5::2\n" in router.log
    for caller in (OTHER, OTHER6, "fe80::3"):
        assert router.add(caller=caller) == router.add(8001, caller=caller) == 606
        assert router.call(router.pinholes.update, caller, 100, 1, 60) == 606
        assert router.call(router.pinholes.delete, caller, 100, 1) == 606
        assert router.call(router.pinholes.find, caller, 1) == 606
        assert "is not known to be an address of" in router.log or router.log == ""
    assert router.open() == [(8000, 60)]


def test_where_everybody_may_ask_for_others_only_hosts_of_the_lan_are_opened():
    router = _Router(is_secure=False)
    assert router.add(client=OTHER6, caller=HOST).unique_id == 1
    assert router.call(router.pinholes.delete, HOST, 100, 1) is None
    for client in (ROUTER6, "2001:db8:1::2"):
        assert router.add(client=client) == 606


def test_what_is_never_opened():
    router = _Router()
    for client in (ROUTER6, "fe80::2", "ff02::1", "::1", "::", "::ffff:c0a8:102", "2001:db8:0:1::2", REMOTE):
        assert router.add(client=client, caller=client) == 606, client
        assert "refused pinhole TCP [%s]:8000" % client in router.log
    for port in (1, 22, 1023):
        assert router.add(port) == 606
    assert router.open() == []


def test_a_full_table_is_701():
    router = _Router()
    router.pinholes.table._most = 1
    router.add()
    assert router.add(8001) == 701
    assert router.add(lease=70).unique_id == 1  # a renewal needs no room
    assert router.open() == [(8000, 70)]


class _OneHost:
    """Stands in for Hosts: every address is the same host's, but for OTHER6."""

    def name(self, address, index):
        return OTHER6 if address == OTHER6 else "02:00:00:00:00:01"


def test_a_host_with_many_addresses_is_one_host():
    router = _Router()
    router.gateway.hosts = _OneHost()
    for number in range(MAX_PINHOLES_PER_CLIENT):
        host = "2001:db8::%x" % (256 + number)
        assert router.add(client=host, caller=host).owner == "02:00:00:00:00:01"
    assert router.add() == 701 and "02:00:00:00:00:01 has enough" in router.log
    assert router.add(client=OTHER6, caller=OTHER6).owner == OTHER6


def test_a_firewall_that_refuses_changes_nothing():
    router = _Router()
    pinhole = router.add()
    router.leases.took(), router.flows.took()
    router.firewall.failure = FirewallError("told to", 12)
    for function, arguments in ((router.add, (8001,)), (router.add, (8000, HOST6, HOST6, 99)),
                                (router.call, (router.pinholes.update, HOST6, 100, 1, 99)),
                                (router.call, (router.pinholes.delete, HOST6, 100, 1))):
        assert function(*arguments) == 501
    assert pinhole.expires == 160 and router.open() == [(8000, 60)]
    assert router.leases.took() == router.flows.took() == []


def test_what_somebody_took_out_of_the_firewall_is_put_back_first():
    router = _Router()
    router.add()
    real, failures = router.firewall.add_pinhole, [FirewallError("gone", 2)]

    def add_pinhole(pinhole, seconds, is_renewed):
        if failures:
            router.firewall.open_pinholes = []
            raise failures.pop()
        real(pinhole, seconds, is_renewed)

    router.firewall.add_pinhole = add_pinhole
    router.add(8001)
    assert router.open() == [(8000, 60), (8001, 60)] and "putting our rules back" in router.log


def test_where_there_can_be_none_it_is_703():
    router = _Router()
    router.add()
    router.firewall.pinhole_refusal = "no place"
    for function, arguments in ((router.pinholes.find, (HOST6, 1)), (router.pinholes.update, (HOST6, 100, 1, 60)),
                                (router.pinholes.delete, (HOST6, 100, 1))):
        assert router.call(function, *arguments) == 703
    assert router.add() == 703 and "to 2001:db8::2: no place" in router.log
    router.firewall.pinhole_refusal = ""
    router.gateway.is_paused = True
    assert router.add() == 703
    router.gateway.is_paused = False
    assert router.pinholes.refusal == ""
    assert "ipv6_disable" in Pinholes(router.gateway, None, False).refusal


def test_a_pause_closes_pinholes_too():
    for failure in (None, FirewallError("told to", 12)):
        router = _Router()
        router.add(), router.add(8001)
        router.firewall.failure = failure
        assert router.call(router.gateway.pause, 110) == (501 if failure else (0, 2))
        assert len(router.pinholes.table) == 0 and ("end", [8000, 8001]) in router.flows.took()
        router.firewall.failure = None
        assert router.call(router.gateway.close_all, 110, "x") == (0, 0)


def test_mappings_and_pinholes_are_one_projection():
    router = _Router()
    router.add()
    router.call(router.gateway.add, HOST, 100, "", 9000, "TCP", 9000, HOST, True, "", 600)
    assert router.gateway.is_intact() and router.gateway.next_expiry == 160 and router.gateway.has_open
    router.firewall.open_pinholes = []
    assert not router.gateway.is_intact()
    router.gateway.sync(110)
    assert router.open() == [(8000, 50)] and router.gateway.is_intact()


def test_leases_end():
    router = _Router()
    for index in range(20):
        router.add(8000 + index, lease=60)
    router.add(9000, lease=90)
    assert router.call(router.gateway.expire, 159) == 160
    assert len(router.open()) == 21
    assert router.call(router.gateway.expire, 160) == 160  # not too many at once
    assert len(router.open()) == 5 and ": its lease ended" in router.log
    assert router.call(router.gateway.expire, 160) == 190
    router.firewall.failure = FirewallError("told to", 12)
    assert router.call(router.gateway.expire, 190) is None
    assert len(router.pinholes.table) == 0 and "but told to" in router.log


def test_a_prefix_that_is_gone_takes_its_pinholes_along():
    router = _Router()
    router.add(), router.add(8001)
    router.call(router.pinholes.close_gone)
    assert len(router.open()) == 2
    router.gateway.policy._lans[0].addresses6 = [(ip6_bytes("2001:db8:1::1"), 64, True)]
    router.flows.took()
    router.call(router.pinholes.close_gone)
    assert router.open() == [] and router.log.count("its prefix is gone") == 2
    assert router.flows.took() == [("end", [8000, 8001])]


def _lease(port=8000, remaining=60, client=HOST6, unique_id=4711, remote_host=""):
    return Lease("TCP", client, port, remote_host, 0, unique_id, remaining, "PCP MAP 01")


def test_a_restart_takes_over_what_was_open():
    router = _Router()
    router.call(router.pinholes.restore, [
        _lease(), _lease(8001, -1, unique_id=2), _lease(8002, 90000, unique_id=3), _lease(80, unique_id=4),
        _lease(client=ROUTER6, unique_id=5), _lease(8003, unique_id=4711), _lease(unique_id=6)], 100)
    assert [(one.internal_port, one.unique_id, one.expires, one.description) for one in router.pinholes.table] == [
        (8000, 4711, 160, "PCP MAP 01"), (8002, 3, 86500, "PCP MAP 01")]
    assert router.log.count("not opened again") == 2 and router.leases.took() == ["changed"]
    assert router.flows.took() == [("end", [8001])]  # it ended while nobody ran
    router.gateway.sync(100)
    assert router.open() == [(8000, 60), (8002, 86400)]


def test_a_restart_within_a_pause_opens_nothing():
    router = _Router()
    router.gateway.is_paused = True
    router.call(router.pinholes.restore, [_lease()], 100)
    assert len(router.pinholes.table) == 0 and router.flows.took() == [("end", [8000])]


def test_a_firewall_that_has_no_place_any_more_is_no_pinholes():
    router = _Router()
    router.add()
    router.call(router.pinholes.forget_unsupported)
    assert len(router.pinholes.table) == 1
    router.firewall.pinhole_refusal = "no place"
    router.call(router.pinholes.forget_unsupported)
    assert len(router.pinholes.table) == 0 and "no place" in router.log


def test_packets():
    router = _Router()
    pinhole = router.add()
    for packets, expected in ((0, 0), (5, 5), (2 ** 32 + 1, 1)):
        router.firewall.packets = packets
        assert router.pinholes.packets(pinhole) == expected
    router.firewall.pinhole_counters = lambda some: raised_by(FirewallError("told to", 12))
    assert router.call(router.pinholes.packets, pinhole) == 501


def raised_by(error):
    raise error


def test_the_timeouts_are_the_kernel_s():
    router = _Router()
    with Files(pinholes, b"7440\n"):
        assert router.pinholes.outbound_timeout("TCP") == router.pinholes.outbound_timeout("UDP") == 7440
    for data in (None, b"", b"x"):
        with Files(pinholes, data):
            assert raised(UPnPError, router.pinholes.outbound_timeout, "UDP").code == 501


def test_without_a_lan_nothing_is_opened():
    gateway = make_gateway()
    with Output(log):
        assert raised(UPnPError, gateway.pinholes.add, HOST6, 100, "", 0, HOST6, 8000, "TCP", 60).code == 606


def test_ids_are_random():
    gateway = make_gateway()
    assert len(set([gateway.pinholes.table.new_id() for _ in range(20)])) > 10
