"""miniigd.gateway: policy, table and firewall in this order; a refusal of any of them leaves everything as it was."""

from helpers import Output, QuietWan, make_gateway, raised
from miniigd import log
from miniigd.errors import FirewallError, UPnPError
from miniigd.firewall.memory import MemoryFirewall
from miniigd.gateway import MAX_LEASE, Gateway
from miniigd.interfaces import Interface
from miniigd.leases import Lease
from miniigd.mapping import MappingTable
from miniigd.policy import Policy
from miniigd.rules import Rule

HOST, OTHER = "192.168.1.2", "192.168.1.3"


def _gateway():
    return Gateway(MappingTable(), MemoryFirewall(), QuietWan(Interface("wan"), 0, 0))


def _add(gateway, caller=HOST, now=100, remote_host="", external_port=8000, protocol="TCP", internal_port=8000,
         client=HOST, enabled=True, description="web", lease=60):
    with Output(log) as output:
        gateway.add(caller, now, remote_host, external_port, protocol, internal_port, client, enabled, description,
                    lease)
    return output.text()


def _code(function, *arguments, **named):
    with Output(log):
        try:
            function(*arguments, **named)
        except UPnPError as error:
            return error.code
    return None


def _state(gateway):
    return list(gateway.table), list(gateway.firewall.open_mappings)


def test_a_port_is_opened():
    gateway = _gateway()
    text = _add(gateway)
    mapping = gateway.table.find("", 8000, "TCP")
    assert (mapping.internal_client, mapping.internal_port) == (HOST, 8000)
    assert (mapping.enabled, mapping.description) == (True, "web")
    assert (mapping.lease_duration, mapping.expires) == (60, 160)
    assert gateway.firewall.open_mappings == [(mapping, 60)]
    assert text == "miniigd: info: opened TCP 8000 -> 192.168.1.2:8000 for 60 s: web\n"


def test_a_renewal_keeps_the_place_and_restarts_the_lease():
    gateway = _gateway()
    for port in (8000, 8001, 8002):
        _add(gateway, external_port=port)
    assert "renewed" in _add(gateway, now=130, external_port=8001, internal_port=9000, lease=90, description="new")
    assert [mapping.external_port for mapping in gateway.table] == [8000, 8001, 8002]
    mapping = gateway.table.at(1)
    assert (mapping.internal_port, mapping.expires, mapping.description) == (9000, 220, "new")
    assert gateway.firewall.open_mappings[1] == (mapping, 90)
    assert len(gateway.firewall.open_mappings) == 3


def test_a_lease_without_end_is_closed_after_a_week():
    assert MAX_LEASE == 7 * 24 * 3600
    gateway = _gateway()
    _add(gateway, lease=0)
    mapping = gateway.table.at(0)
    assert (mapping.lease_duration, mapping.expires, mapping.remaining(200)) == (0, 100 + MAX_LEASE, 0)
    assert gateway.firewall.open_mappings == [(mapping, MAX_LEASE)]


def test_a_lease_is_capped():
    for lease in (MAX_LEASE, MAX_LEASE + 1, 3600000, 4294967295):
        gateway = _gateway()
        _add(gateway, lease=lease)
        mapping = gateway.table.at(0)
        assert (mapping.lease_duration, mapping.expires) == (MAX_LEASE, 100 + MAX_LEASE)
        assert mapping.remaining(100) == MAX_LEASE


def test_the_longest_lease_can_be_set():
    for most in (120, MAX_LEASE, 31536000):
        gateway = Gateway(MappingTable(), MemoryFirewall(), QuietWan(Interface("wan"), 0, 0), most)
        for lease, remaining in ((0, 0), (60, 60), (most + 1, most), (4294967295, most)):
            _add(gateway, lease=lease)
            mapping = gateway.table.at(0)
            assert mapping.remaining(100) == remaining
            assert mapping.expires == 100 + (remaining or most)
            assert gateway.firewall.open_mappings == [(mapping, remaining or most)]


def test_no_port_is_opened_behind_a_private_address():
    gateway = make_gateway("10.1.2.3")
    assert _code(_add, gateway) == 501
    assert _state(gateway) == ([], [])
    gateway.wan._interface.addresses = [("81.2.69.160", 22)]
    with Output(log):
        gateway.wan.update(50)
    _add(gateway)  # by itself, as soon as the address is another
    assert len(gateway.table) == 1
    _add(make_gateway("10.1.2.3", True))  # where the configuration allows it


def test_a_port_of_the_router_s_own_is_not_mapped():
    gateway = _gateway()
    _add(gateway, external_port=8001)
    gateway.wan.services = (("TCP", 8000), ("TCP", 8001))
    assert _code(_add, gateway) == 729
    _add(gateway, protocol="UDP")
    assert _code(_add, gateway, external_port=8001) is None  # a renewal


def test_each_refusal_leaves_everything_as_it_was():
    gateway = _gateway()
    _add(gateway)
    before = _state(gateway)
    for code, named in (
            (606, {"client": OTHER}), (606, {"caller": OTHER}), (606, {"external_port": 80}),
            (606, {"internal_port": 1023}), (606, {"client": "8.8.8.8"}),
            (718, {"caller": OTHER, "client": OTHER}),
            (718, {"caller": OTHER, "client": OTHER, "remote_host": "11.0.0.1"}),
            # who may not have it at all is told so before he learns whose it is
            (606, {"caller": OTHER, "client": OTHER, "internal_port": 22})):
        assert _code(_add, gateway, **named) == code, named
        assert _state(gateway) == before


def test_a_refusal_is_logged_with_who_asked_and_why():
    gateway = _gateway()
    with Output(log) as output:
        raised(UPnPError, gateway.add, HOST, 100, "", 80, "TCP", 80, HOST, True, "", 60)
    assert "refused TCP 80 -> 192.168.1.2:80 to 192.168.1.2: ports below 1024" in output.text()


def test_501_leaves_the_table_untouched():
    gateway = _gateway()
    _add(gateway)
    _add(gateway, external_port=8001)
    before = _state(gateway)
    gateway.firewall.failure = FirewallError("told to", 12)
    assert _code(_add, gateway, external_port=9000) == 501
    assert _code(_add, gateway, lease=600) == 501
    assert _code(_add, gateway, enabled=False) == 501
    assert _code(gateway.delete, HOST, 100, "", 8000, "TCP") == 501
    assert _state(gateway) == before
    assert gateway.table.at(0).expires == 160
    with Output(log) as output:
        raised(UPnPError, gateway.add, HOST, 100, "", 9000, "TCP", 9000, HOST, True, "", 60)
        raised(UPnPError, gateway.delete, HOST, 100, "", 8000, "TCP")
    assert output.text().count("told to") == 2
    gateway.firewall.failure = None
    assert _code(_add, gateway, external_port=9000) is None
    assert len(gateway.table) == 3


def test_a_disabled_mapping_is_in_the_table_only():
    gateway = _gateway()
    _add(gateway, enabled=False)
    assert len(gateway.table) == 1 and gateway.firewall.open_mappings == []
    _add(gateway, enabled=False, lease=90)
    assert len(gateway.table) == 1 and gateway.firewall.open_mappings == []
    _add(gateway)
    assert gateway.firewall.open_mappings == [(gateway.table.at(0), 60)]
    _add(gateway, enabled=False)
    assert gateway.firewall.open_mappings == []
    assert _code(gateway.delete, HOST, 100, "", 8000, "TCP") is None
    assert len(gateway.table) == 0


def test_a_port_is_closed_by_its_owner_only():
    gateway = _gateway()
    _add(gateway)
    before = _state(gateway)
    assert _code(gateway.delete, OTHER, 100, "", 8000, "TCP") == 606
    assert _code(gateway.delete, HOST, 100, "", 8000, "UDP") == 714
    assert _code(gateway.delete, HOST, 100, "", 8001, "TCP") == 714
    assert _code(gateway.delete, HOST, 100, "11.0.0.1", 8000, "TCP") == 714
    assert _state(gateway) == before
    assert _code(gateway.delete, HOST, 100, "", 8000, "TCP") is None
    assert _state(gateway) == ([], [])
    assert _code(gateway.delete, HOST, 100, "", 8000, "TCP") == 714


def test_several_ports_are_closed_together_or_not_at_all():
    gateway = _gateway()
    for port in (8000, 8001, 8002):
        _add(gateway, external_port=port)
    _add(gateway, external_port=9000, caller=OTHER, client=OTHER)
    before = _state(gateway)
    mappings = list(gateway.table)
    assert _code(gateway.delete_all, HOST, 100, mappings) == 606
    assert _state(gateway) == before
    gateway.firewall.failure = FirewallError("told to", 12)
    assert _code(gateway.delete_all, HOST, 100, mappings[:3]) == 501
    gateway.firewall.failure = None
    assert _state(gateway) == before
    assert _code(gateway.delete_all, HOST, 100, mappings[:3]) is None
    assert list(gateway.table) == mappings[3:]


def test_what_is_closed_can_be_opened_by_another():
    gateway = _gateway()
    _add(gateway)
    assert _code(_add, gateway, caller=OTHER, client=OTHER) == 718
    _code(gateway.delete, HOST, 100, "", 8000, "TCP")
    assert _code(_add, gateway, caller=OTHER, client=OTHER) is None


def test_leases_end():
    gateway = _gateway()
    for port, lease in ((8000, 60), (8001, 30), (8002, 90)):
        _add(gateway, external_port=port, lease=lease)
    with Output(log) as output:
        assert gateway.expire(129) == 130
        assert gateway.expire(130) == 160
        assert [mapping.external_port for mapping in gateway.table] == [8000, 8002]
        assert [entry[0].external_port for entry in gateway.firewall.open_mappings] == [8000, 8002]
        assert gateway.expire(10 ** 6) is None
    assert _state(gateway) == ([], [])
    assert output.text().count("its lease ended") == 3


def test_a_lease_ends_even_if_the_firewall_fails():
    gateway = _gateway()
    _add(gateway)
    gateway.firewall.failure = FirewallError("told to", 12)
    with Output(log) as output:
        assert gateway.expire(160) is None
    assert len(gateway.table) == 0
    assert "told to" in output.text()
    assert gateway.is_stale


def test_what_the_kernel_ended_first_is_no_trouble_and_nothing_is_put_back_for_it():
    gateway = _gateway()
    for port in (8000, 8001):
        _add(gateway, external_port=port, lease=60 if port == 8000 else 600)
    synced = []
    gateway.firewall.sync = lambda *arguments: synced.append(arguments)
    gateway.firewall.remove_ended = lambda mappings: None
    with Output(log) as output:
        gateway.expire(170)
    assert "but" not in output.text() and not gateway.is_stale

    def fail(mappings):
        raise FirewallError("it is not there", 2)

    _add(gateway, lease=60, now=100)
    gateway.firewall.remove_ended = fail  # somebody else took the rule away
    with Output(log) as output:
        gateway.expire(170)
    assert gateway.is_stale and not synced and "but" not in output.text()
    assert [mapping.external_port for mapping in gateway.table] == [8001]


def test_sync_gives_the_firewall_what_is_enabled():
    gateway = _gateway()
    _add(gateway)
    _add(gateway, external_port=8001, enabled=False)
    _add(gateway, external_port=8002)
    gateway.firewall.open_mappings = []
    gateway.sync(110)
    assert [(entry[0].external_port, entry[1]) for entry in gateway.firewall.open_mappings] == [(8000, 50), (8002, 50)]
    gateway.firewall.failure = FirewallError("told to", 12)
    raised(FirewallError, gateway.sync, 110)


class _Leases:
    """Stands in for the lease file: remembers what it is told."""

    def __init__(self):
        self.calls = []

    def append(self, mapping, now, now_ms):
        self.calls.append(mapping.external_port)
        mapping.is_recorded = True

    def mark_changed(self):
        self.calls.append("changed")

    def took(self):
        calls, self.calls = self.calls, []
        return calls


def _with_leases():
    leases = _Leases()
    return Gateway(MappingTable(), MemoryFirewall(), QuietWan(Interface("wan"), 0, 0), MAX_LEASE, leases), leases


def test_the_lease_file_hears_of_every_change():
    gateway, leases = _with_leases()
    _add(gateway)
    assert leases.took() == [8000]
    _add(gateway)  # renewed
    assert leases.took() == ["changed"]
    _add(gateway, remote_host="11.0.0.1")  # in front of the other
    assert leases.took() == ["changed"]
    _add(gateway, external_port=8001, enabled=False)
    assert leases.took() == ["changed"]
    assert _code(_add, gateway, external_port=80) == 606
    assert _code(gateway.delete, OTHER, 100, "", 8000, "TCP") == 606
    assert leases.took() == []
    _code(gateway.delete, HOST, 100, "", 8000, "TCP")
    assert leases.took() == ["changed"]
    with Output(log):
        gateway.expire(100 + MAX_LEASE)
    assert leases.took() == ["changed"]


def _lease(port=8000, remaining=60, client=HOST, remote_host="", protocol="TCP"):
    return Lease(protocol, port, client, port, remaining, "web", remote_host)


def test_the_owner_closes_what_he_wants():
    gateway, leases = _with_leases()
    for port in (8000, 8001, 8002):
        _add(gateway, external_port=port)
    mappings = list(gateway.table)
    leases.took()
    with Output(log) as output:
        gateway.close(mappings[:1], 100, "by the administrator")
    assert output.text() == "miniigd: info: closed TCP 8000 -> 192.168.1.2:8000: by the administrator\n"
    assert list(gateway.table) == mappings[1:] and leases.took() == ["changed"]
    before = _state(gateway)
    gateway.firewall.failure = FirewallError("told to", 12)
    assert _code(gateway.close, mappings[1:2], 100, "x") == _code(gateway.close_all, 100, "x") == 501
    assert _state(gateway) == before and leases.took() == []
    gateway.firewall.failure = None
    with Output(log) as output:
        assert gateway.close_all(100, "by the administrator") == (2, 0)
        assert gateway.close_all(100, "by the administrator") == (0, 0)
    assert output.text().count(": by the administrator") == 2
    assert _state(gateway) == ([], []) and leases.took() == ["changed"]


def test_while_it_is_paused_nothing_opens():
    gateway, leases = _with_leases()
    _add(gateway)
    update_id = gateway.table.update_id
    with Output(log) as output:
        assert gateway.pause(100) == (1, 0)
    assert "closed TCP 8000 -> 192.168.1.2:8000: paused by the administrator" in output.text()
    assert _state(gateway) == ([], []) and gateway.table.update_id != update_id
    leases.took()
    with Output(log) as output:
        error = raised(UPnPError, gateway.add, HOST, 100, "", 8000, "TCP", 8000, HOST, True, "", 60)
    assert (error.code, error.reason) == (501, "paused by the administrator")
    assert "refused TCP 8000 -> 192.168.1.2:8000 to 192.168.1.2: paused by the administrator" in output.text()
    assert _code(_add, gateway, external_port=80) == 606  # who may not have it at all learns that
    gateway.restore([_lease()], 100)  # after a SIGKILL, before the lease file was written
    assert _state(gateway) == ([], []) and leases.took() == ["changed"]
    gateway.is_paused = False
    _add(gateway)
    assert len(gateway.table) == 1


def test_a_pause_that_the_firewall_refuses_empties_the_table():
    gateway, leases = _with_leases()
    _add(gateway)
    gateway.firewall.failure = FirewallError("told to", 12)
    assert _code(gateway.pause, 100) == 501
    assert gateway.is_paused and len(gateway.table) == 0 and leases.took()[-1] == "changed"
    gateway.firewall.failure = None
    gateway.sync(100)
    assert _state(gateway) == ([], [])


def test_every_line_of_the_log_names_host_and_port():
    gateway = _gateway()
    lines = [_add(gateway), _add(gateway), _add(gateway, remote_host="11.0.0.1", description="x\ny")]
    with Output(log) as output:
        raised(UPnPError, gateway.delete, OTHER, 100, "", 8000, "TCP")
        raised(UPnPError, gateway.delete, HOST, 100, "", 9999, "UDP")
        gateway.delete(HOST, 100, "11.0.0.1", 8000, "TCP")
        gateway.expire(160)
    assert "".join(lines) + output.text() == (
        "miniigd: info: opened TCP 8000 -> 192.168.1.2:8000 for 60 s: web\n"
        "miniigd: info: renewed TCP 8000 -> 192.168.1.2:8000 for 60 s: web\n"
        "miniigd: info: opened TCP 8000 -> 192.168.1.2:8000 from 11.0.0.1 for 60 s: x?y\n"
        "miniigd: warning: refused to close TCP 8000 -> 192.168.1.2:8000 for 192.168.1.3: it belongs to 192.168.1.2\n"
        "miniigd: warning: refused to close UDP 9999 for 192.168.1.2: it is not mapped\n"
        "miniigd: info: closed TCP 8000 -> 192.168.1.2:8000 from 11.0.0.1: deleted by 192.168.1.2\n"
        "miniigd: info: closed TCP 8000 -> 192.168.1.2:8000: its lease ended\n")


def test_who_asks_for_another_host_is_in_the_log():
    gateway = _gateway()
    gateway.policy.check_add = lambda caller, mapping: None
    assert "opened TCP 8000 -> 192.168.1.2:8000 for 60 s by 192.168.1.3: web\n" in _add(gateway, caller=OTHER)


def test_what_was_open_before_a_restart_is_open_again():
    gateway, leases = _with_leases()
    with Output(log) as output:
        gateway.restore([_lease(9000, 60, OTHER), _lease(8000, 30), _lease(8000, 60), _lease(8001, 0),
                         _lease(8002, 4294967295), _lease(8003, -1), _lease(80, 60), _lease(8000, 50, HOST, "11.0.0.1"),
                         _lease(9000, 70)], 100)
        gateway.sync(100)
    assert [(mapping.external_port, mapping.remote_host, mapping.remaining(100), mapping.expires)
            for mapping in gateway.table] == [
        (8000, "11.0.0.1", 50, 150), (8000, "", 60, 160), (8001, "", 0, 100 + MAX_LEASE),
        (8002, "", MAX_LEASE, 100 + MAX_LEASE), (9000, "", 70, 170)]
    assert [entry[0].external_port for entry in gateway.firewall.open_mappings] == [8000, 8000, 8001, 8002, 9000]
    assert gateway.table.at(4).internal_client == HOST  # the later line of a port counts
    text = output.text()
    assert "not opened again: TCP 80 -> " in text and text.count("not opened again") == 1
    assert leases.took() == ["changed"]  # what was left out is not in the file any more
    assert gateway.table.next_expiry == 150


def test_what_a_rule_denies_now_is_not_opened_again():
    gateway, _ = _with_leases()
    gateway.policy = Policy([Rule(False, (8000, 8000), name="perm_rule 1"), Rule(True, (80, 80))])
    with Output(log) as output:
        gateway.restore([_lease(8000), _lease(8001), _lease(80)], 100)
    assert [mapping.external_port for mapping in gateway.table] == [8001, 80]
    assert "not opened again: TCP 8000 -> 192.168.1.2:8000: perm_rule 1 denies it" in output.text()


def test_without_secure_mode_hosts_change_each_other_s_mappings():
    lan = Interface("lan")
    lan.addresses = [("192.168.1.1", 24)]
    gateway = _gateway()
    gateway.policy = Policy((), False, [lan], [lan])
    _add(gateway, client=OTHER)
    assert gateway.table.at(0).internal_client == OTHER
    assert _code(_add, gateway, client="192.168.1.1") == 606
    assert _code(_add, gateway) == 718
    assert _code(gateway.delete, HOST, 100, "", 8000, "TCP") is None


def test_what_somebody_takes_out_of_the_file_is_closed():
    gateway, leases = _with_leases()
    for port in (8000, 8001):
        _add(gateway, external_port=port)
    _add(gateway, external_port=8002, enabled=False)
    mapping = gateway.table.at(1)
    with Output(log) as output:
        gateway.keep_only([_lease(8001)], 100)
    assert [one.external_port for one in gateway.table] == [8001, 8002] and gateway.table.at(0) is mapping
    assert "closed TCP 8000 -> 192.168.1.2:8000: taken out of the lease file" in output.text()
    gateway.table.at(0).is_recorded = False  # it came after the file was read
    with Output(log):
        gateway.keep_only([], 100)
    assert len(gateway.table) == 2
    gateway.table.at(0).is_recorded = True
    gateway.firewall.failure = FirewallError("told to", 12)
    with Output(log) as output:
        gateway.keep_only([], 100)
    assert len(gateway.table) == 2 and "told to" in output.text()


def test_what_is_taken_out_is_closed_although_it_was_renewed_meanwhile():
    gateway, leases = _with_leases()
    _add(gateway)
    _add(gateway, external_port=8001)
    _add(gateway)  # its line is still the old one
    with Output(log):
        gateway.keep_only([_lease(8001)], 100)
    assert [one.external_port for one in gateway.table] == [8001]


def test_a_promise_of_nat_pmp_or_pcp_outlasts_a_renewal_by_upnp():
    gateway = _gateway()
    _add(gateway, description="NAT-PMP 8000 tcp", lease=600)
    text = _add(gateway, now=130, lease=60)
    mapping = gateway.table.find("", 8000, "TCP")
    assert (mapping.description, mapping.expires, mapping.lease_duration) == ("web", 700, 60)
    assert gateway.firewall.open_mappings == [(mapping, 570)] and "for 570 s" in text
    _add(gateway, now=140, lease=60)
    assert gateway.table.find("", 8000, "TCP").expires == 700
    _add(gateway, now=690, lease=60)
    assert gateway.table.find("", 8000, "TCP").expires == 750
    # their own renewals are what they say
    _add(gateway, now=700, description="NAT-PMP 8000 tcp", lease=10)
    assert gateway.table.find("", 8000, "TCP").expires == 710


def test_a_third_party_that_is_allowed_is_asked_for_by_name():
    gateway = _gateway()
    assert _code(gateway.add, OTHER, 100, "", 8000, "TCP", 8000, HOST, True, "x", 60) == 606
    with Output(log) as output:
        gateway.add(OTHER, 100, "", 8000, "TCP", 8000, HOST, True, "x", 60, True)
        assert _code(gateway.add, OTHER, 100, "", 80, "TCP", 8000, HOST, True, "x", 60, True) == 606  # the rules hold
    assert "opened TCP 8000 -> 192.168.1.2:8000 for 60 s by 192.168.1.3: x\n" in output.text()


def test_a_connection_is_looked_for_where_the_kernel_tells():
    gateway = _gateway()
    assert gateway.find_flow("UDP", HOST, 8000, "11.0.0.1", 5060) is None

    class _Flows:
        def find(self, *ends):
            return ends

    gateway.flows = _Flows()
    assert gateway.find_flow("UDP", HOST, 8000, "11.0.0.1", 5060) == ("UDP", HOST, 8000, "11.0.0.1", 5060)
