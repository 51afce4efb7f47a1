"""miniigd.dynamic: one mapping for one port of a client, whichever protocols ask; nonces, filters, peers, the epoch."""

from helpers import HOST, OTHER, Output, make_gateway, raised
from miniigd import dynamic as dynamic_module
from miniigd import log, mapping, pcp
from miniigd.dynamic import Dynamic
from miniigd.errors import FirewallError, PCPError
from miniigd.policy import Policy
from miniigd.rules import Rule

NONCE, NONCE_2 = "0102030405060708090a0b0c", "ffffffffffffffffffffffff"
REMOTE, REMOTE_2 = "11.0.0.1", "11.0.0.2"
NOW = 100


class _Flows:
    """Stands in for the kernel's connections: `flow` is what is found."""

    flow = None

    def __init__(self):
        self.asked = []

    def find(self, *ends):
        self.asked.append(ends)
        return self.flow

    def begin(self, one):
        pass

    def end(self, mappings):
        pass


def _make(**named):
    gateway = make_gateway(**named)
    gateway.flows = _Flows()
    return Dynamic(gateway, 40)


def _map(dynamic, internal_port=8000, asked=0, lifetime=3600, nonce=None, filters=(), is_exact=False, client=HOST,
         now=NOW, protocol="TCP"):
    """Return (port, lifetime), or the code of the refusal."""
    with Output(log):
        try:
            return dynamic.map(now, client, client, protocol, internal_port, asked, lifetime, nonce, filters, is_exact)
        except PCPError as error:
            return error.code


def _delete(dynamic, internal_port=8000, nonce=None, client=HOST, protocol="TCP"):
    with Output(log):
        try:
            return dynamic.delete(NOW, client, protocol, internal_port, nonce)
        except PCPError as error:
            return error.code


def _peer(dynamic, internal_port=8000, lifetime=3600, nonce=NONCE, now=NOW, client=HOST):
    with Output(log):
        try:
            return dynamic.peer(now, client, client, "UDP", internal_port, REMOTE, 5060, lifetime, nonce)
        except PCPError as error:
            return error.code


def _upnp(dynamic, external_port=9000, internal_port=8000, lease=600, client=HOST, remote_host="", now=NOW, name="game"):
    with Output(log):
        dynamic.gateway.add(client, now, remote_host, external_port, "TCP", internal_port, client, True, name, lease)


def _rows(dynamic, now=NOW):
    """Return [(remote host, external port, internal port, description, seconds left)]."""
    rows = [(one.remote_host, one.external_port, one.internal_port, one.description, one.expires - now)
            for one in dynamic.gateway.table]
    opened = [(one.remote_host, one.external_port) for one, _ in dynamic.gateway.firewall.open_mappings]
    assert opened == [row[:2] for row in rows]
    return rows


def test_the_epoch():
    dynamic = _make()
    assert dynamic.epoch(40) == 0 and dynamic.epoch(340) == 300
    dynamic.begin_epoch(340)
    assert dynamic.epoch(341) == 1


def test_what_is_asked_for_or_the_client_s_own_port_or_another():
    dynamic = _make()
    assert _map(dynamic, 8000, 9000) == (9000, 3600)
    assert _map(dynamic, 8001) == (8001, 3600)
    assert _map(dynamic, 8001, client=OTHER) == (8002, 3600)
    assert _map(dynamic, 8003, 9000, client=OTHER) == (9001, 3600)
    # another port of its own is not taken away for it
    assert _map(dynamic, 8004, 9000) == (9002, 3600)
    assert [row[3] for row in _rows(dynamic)] == ["NAT-PMP %d tcp" % port for port in (9000, 8001, 8002, 9001, 9002)]


def test_a_low_port_is_a_wish():
    assert _map(_make(), 8000, 80) == (1024, 3600)
    assert _map(_make(policy=Policy([Rule(True, (80, 80))])), 8000, 80) == (80, 3600)
    assert _map(_make(), 80, 8000) == pcp.NOT_AUTHORIZED
    assert _map(_make(policy=Policy([Rule(False)]))) == pcp.NOT_AUTHORIZED


def test_it_is_renewed_under_the_port_it_has():
    for nonce in (None, NONCE):
        dynamic = _make()
        assert _map(dynamic, 8000, 9000, nonce=nonce) == (9000, 3600)
        assert _map(dynamic, 8000, 9001, 600, nonce, now=NOW + 60) == (9000, 600)  # also for a shorter time
        (row,) = _rows(dynamic)
        assert row[1:3] == (9000, 8000) and row[4] == 660


def test_this_one_or_none():
    dynamic = _make()
    assert _map(dynamic, 8000, 9000, client=OTHER) == (9000, 3600)
    assert _map(dynamic, 8000, 9000, nonce=NONCE, is_exact=True) == pcp.CANNOT_PROVIDE_EXTERNAL
    assert _map(dynamic, 8000, 9001, nonce=NONCE, is_exact=True) == (9001, 3600)
    assert _map(dynamic, 8000, 9001, nonce=NONCE, is_exact=True) == (9001, 3600)
    assert _map(dynamic, 8000, 9002, nonce=NONCE, is_exact=True) == pcp.CANNOT_PROVIDE_EXTERNAL
    assert _map(dynamic, 8001, 9001, nonce=NONCE, is_exact=True) == pcp.CANNOT_PROVIDE_EXTERNAL
    assert _map(dynamic, 8002, 80, nonce=NONCE, is_exact=True) == pcp.NOT_AUTHORIZED
    dynamic.gateway.wan.services = (("TCP", 9003),)
    assert _map(dynamic, 8002, 9003, nonce=NONCE, is_exact=True) == pcp.CANNOT_PROVIDE_EXTERNAL
    for _ in range(2):
        assert _map(dynamic, 8002, 0, nonce=NONCE, is_exact=True) == (8002, 3600)


def test_another_nonce_is_refused_for_as_long_as_the_mapping_lasts():
    dynamic = _make()
    assert _map(dynamic, nonce=NONCE) == (8000, 3600)
    with Output(log):
        error = raised(PCPError, dynamic.map, 200, HOST, HOST, "TCP", 8000, 0, 60, NONCE_2)
    assert (error.code, error.lifetime) == (pcp.NOT_AUTHORIZED, 3500)
    assert _delete(dynamic, nonce=NONCE_2) == pcp.NOT_AUTHORIZED
    assert _map(dynamic, nonce=NONCE_2, client=OTHER) == (8001, 3600)  # another host's is another mapping
    assert _map(dynamic, nonce=NONCE_2, protocol="UDP") == (8000, 3600)
    assert len(_rows(dynamic)) == 3


def test_a_deletion_closes_what_the_same_protocol_made():
    dynamic = _make()
    _map(dynamic, 8000), _map(dynamic, 8001, nonce=NONCE), _map(dynamic, 8000, client=OTHER)
    _upnp(dynamic, 9000, 8002)
    for port in (8001, 8002, 8003):
        assert _delete(dynamic, port) is None
    assert _delete(dynamic, 8000, NONCE) is _delete(dynamic, 8002, NONCE) is None
    assert len(_rows(dynamic)) == 4
    assert _delete(dynamic, 8000) is _delete(dynamic, 8001, NONCE) is None
    assert [(row[1], row[2]) for row in _rows(dynamic)] == [(8002, 8000), (9000, 8002)]


def test_all_of_a_client_are_closed_at_once():
    dynamic = _make()
    for port in (8000, 8001):
        _map(dynamic, port), _map(dynamic, port, protocol="UDP"), _map(dynamic, port, client=OTHER)
        _map(dynamic, port + 100, nonce=NONCE)
    _map(dynamic, 8200, nonce=NONCE_2)
    assert _delete(dynamic, 0) is None  # of that protocol
    assert len(_rows(dynamic)) == 7
    assert _delete(dynamic, 0, protocol=None) is None
    assert _delete(dynamic, 0, NONCE, protocol=None) is None
    assert [row[3] for row in _rows(dynamic) if row[3].startswith("PCP")] == ["PCP MAP " + NONCE_2]
    assert _delete(dynamic, 0, NONCE, protocol=None) == pcp.NOT_AUTHORIZED


def test_upnp_s_port_is_shared_until_the_later_end():
    for nonce in (None, NONCE):
        dynamic = _make()
        _upnp(dynamic, 9000, 8000, 600)
        assert _map(dynamic, 8000, 8000, 300, nonce) == (9000, 300)
        assert _rows(dynamic) == [("", 9000, 8000, "game", 600)]
        assert _map(dynamic, 8000, 8000, 3600, nonce) == (9000, 3600)
        assert _rows(dynamic) == [("", 9000, 8000, "game", 3600)]
        # UPnP renews, and the promise holds
        _upnp(dynamic, 9000, 8000, 60, now=NOW + 100)
        assert _rows(dynamic) == [("", 9000, 8000, "game", 3600)]
        _upnp(dynamic, 9000, 8000, 60, now=NOW + 200)
        assert _rows(dynamic) == [("", 9000, 8000, "game", 3600)]
        # a deletion takes back the promise, not the port
        assert _delete(dynamic, 8000, nonce) is None
        _upnp(dynamic, 9000, 8000, 60)
        assert _rows(dynamic) == [("", 9000, 8000, "game", 60)]


def test_upnp_s_port_without_end_keeps_none():
    dynamic = _make()
    _upnp(dynamic, 9000, 8000, 0)
    assert _map(dynamic, 8000, 8000, 3600) == (9000, 3600)
    (one,) = dynamic.gateway.table
    assert (one.lease_duration, one.expires) == (0, NOW + 604800)
    late = NOW + 604000
    assert _map(dynamic, 8000, 8000, 3600, now=late) == (9000, 3600)
    (one,) = dynamic.gateway.table
    assert (one.lease_duration, one.expires) == (0, late + 604800)
    # never for longer than the configuration has it
    dynamic = _make()
    dynamic.gateway._max_lease = 1800
    _upnp(dynamic, 9000, 8000, 60)
    assert _map(dynamic, 8000, 8000, 3600) == (9000, 1800) and _map(dynamic, 8001, 8001, 3600) == (8001, 1800)
    _upnp(dynamic, 9000, 8000, 60)
    assert [row[4] for row in _rows(dynamic)] == [1800, 1800]


def test_upnp_shares_a_port_that_was_there():
    for nonce in (None, NONCE):
        dynamic = _make()
        _map(dynamic, 8000, 9000, 3600, nonce)
        _upnp(dynamic, 9000, 8000, 60)
        assert _rows(dynamic) == [("", 9000, 8000, "game", 3600)]
        assert _delete(dynamic, 8000, nonce) is None
        assert len(_rows(dynamic)) == 1


def test_nat_pmp_and_pcp_share_a_port():
    dynamic = _make()
    assert _map(dynamic, 8000, 9000, 3600) == (9000, 3600)
    assert _map(dynamic, 8000, 8000, 600, NONCE) == (9000, 600)
    assert _rows(dynamic) == [("", 9000, 8000, "PCP MAP " + NONCE, 3600)]
    assert _map(dynamic, 8000, 8000, 7200) == (9000, 7200)
    assert _rows(dynamic) == [("", 9000, 8000, "PCP MAP " + NONCE, 7200)]
    assert _delete(dynamic, 8000) is None  # who has the nonce keeps it
    assert len(_rows(dynamic)) == 1


def test_filters_are_mappings_for_remote_hosts():
    dynamic = _make()
    assert _map(dynamic, 8000, 9000, nonce=NONCE, filters=[REMOTE, REMOTE]) == (9000, 3600)
    assert [row[:2] for row in _rows(dynamic)] == [(REMOTE, 9000)]
    # another one is added, and a renewal without any leaves them
    assert _map(dynamic, 8000, 0, 600, NONCE, filters=[REMOTE_2]) == (9000, 600)
    assert _map(dynamic, 8000, 0, 700, NONCE) == (9000, 700)
    assert [(row[0], row[4]) for row in _rows(dynamic)] == [(REMOTE, 700), (REMOTE_2, 700)]
    # one that takes the others away
    assert _map(dynamic, 8000, 0, 800, NONCE, filters=[REMOTE, None, REMOTE_2]) == (9000, 800)
    assert [row[0] for row in _rows(dynamic)] == [REMOTE_2]
    assert _map(dynamic, 8000, 0, 800, NONCE, filters=[None]) == (9000, 800)
    assert [row[0] for row in _rows(dynamic)] == [""]
    assert _map(dynamic, 8000, 0, 800, NONCE, filters=[REMOTE]) == (9000, 800)
    assert [row[0] for row in _rows(dynamic)] == [REMOTE]
    assert _delete(dynamic, 8000, NONCE) is None and _rows(dynamic) == []


def test_filters_that_cannot_be():
    dynamic = _make()
    many = ["11.0.0.%d" % number for number in range(1, dynamic_module.MOST_HOSTS + 2)]
    assert _map(dynamic, nonce=NONCE, filters=many) == pcp.EXCESSIVE_REMOTE_PEERS
    assert _map(dynamic, nonce=NONCE, filters=many[1:]) == (8000, 3600)
    assert _map(dynamic, nonce=NONCE, filters=many[:1]) == pcp.EXCESSIVE_REMOTE_PEERS
    _upnp(dynamic, 9000, 8001)
    assert _map(dynamic, 8001, nonce=NONCE, filters=[REMOTE]) == pcp.EXCESSIVE_REMOTE_PEERS
    _map(dynamic, 8002)
    assert _map(dynamic, 8002, nonce=NONCE, filters=[REMOTE]) == pcp.EXCESSIVE_REMOTE_PEERS
    # a port for that host leads elsewhere already
    _upnp(dynamic, 9001, 8003, remote_host=REMOTE_2)
    _upnp(dynamic, 9001, 8004, remote_host=REMOTE)
    assert _map(dynamic, 8003, nonce=NONCE, filters=[REMOTE]) == pcp.CANNOT_PROVIDE_EXTERNAL


def test_all_filters_or_none():
    dynamic = _make()

    class _Failing:
        def __init__(self):
            self.count = 0
            self.add = dynamic.gateway.firewall.add

        def __call__(self, *arguments):
            self.count += 1
            if self.count == 2:
                raise FirewallError("it is full")
            self.add(*arguments)

    dynamic.gateway.firewall.add = _Failing()
    assert _map(dynamic, nonce=NONCE, filters=[REMOTE, REMOTE_2]) == pcp.NO_RESOURCES
    assert _rows(dynamic) == []


def test_nothing_opens_without_an_address_or_in_a_pause():
    assert _map(_make(address=None)) == _peer(_make(address=None)) == pcp.NETWORK_FAILURE
    for dynamic in (_make(address="192.168.7.2"), _make(address="100.64.0.1")):
        assert _map(dynamic) == pcp.NETWORK_FAILURE
        assert "is private" in raised(PCPError, dynamic.external_address).reason
    assert _map(_make(address="192.168.7.2", allows_private=True)) == (8000, 3600)
    dynamic = _make()
    dynamic.gateway.is_paused = True
    assert _map(dynamic) == _peer(dynamic) == pcp.NOT_AUTHORIZED
    assert _delete(dynamic) is None


def test_what_is_full():
    real = mapping.MAX_MAPPINGS_PER_CLIENT
    dynamic = _make()
    dynamic.gateway.table._most = 3
    _map(dynamic, 8000), _map(dynamic, 8001), _map(dynamic, 8002)
    assert _map(dynamic, 8003) == pcp.NO_RESOURCES
    dynamic.gateway.table._counts[HOST] = real
    dynamic.gateway.table._most = 4
    assert _map(dynamic, 8003) == pcp.USER_EX_QUOTA
    assert _map(dynamic, 8003, client=OTHER) == (8003, 3600)


def test_no_port_is_free():
    dynamic = _make(policy=Policy([Rule(True, (8000, 8000)), Rule(False)]))
    assert _map(dynamic, client=OTHER) == (8000, 3600)
    assert _map(dynamic) == pcp.NO_RESOURCES


def test_a_firewall_that_refuses():
    dynamic = _make()
    _map(dynamic, 8000)
    dynamic.gateway.firewall.failure = FirewallError("no")
    assert _map(dynamic, 8001) == _delete(dynamic, 8000) == _peer(dynamic) == pcp.NO_RESOURCES
    assert len(list(dynamic.gateway.table)) == 1


def test_a_connection_is_told_as_the_kernel_has_it():
    dynamic = _make()
    flows = dynamic.gateway.flows
    flows.flow = ("81.2.69.160", 1025, 170)
    assert _peer(dynamic) == (1025, 170)
    assert flows.asked == [("UDP", HOST, 8000, REMOTE, 5060)]
    assert _peer(dynamic, lifetime=0) == (1025, 170)
    assert _rows(dynamic) == []
    flows.flow = (HOST, 8000, 170)
    assert _peer(dynamic) == pcp.CANNOT_PROVIDE_EXTERNAL


def test_a_connection_to_come_gets_the_port_that_the_router_will_give_it():
    dynamic = _make()
    assert _peer(dynamic) == (8000, 3600)
    assert _rows(dynamic) == [(REMOTE, 8000, 8000, "PCP PEER " + NONCE, 3600)]
    assert _peer(dynamic, lifetime=600) == (8000, 600)
    assert _peer(dynamic, nonce=NONCE_2) == pcp.NOT_AUTHORIZED
    # when it has begun: the mapping lasts as long as it is asked for
    dynamic.gateway.flows.flow = ("81.2.69.160", 8000, 170)
    assert _peer(dynamic, lifetime=3600) == (8000, 3600)
    dynamic.gateway.flows.flow = ("81.2.69.160", 1025, 170)  # and where the kernel chose otherwise, that is so
    assert _peer(dynamic) == (1025, 170)
    assert len(_rows(dynamic)) == 1
    dynamic.gateway.flows.flow = None
    assert _peer(dynamic, lifetime=0) == (8000, 0)
    assert _rows(dynamic) == []
    assert _peer(dynamic, lifetime=0) == (8000, 0)


def test_a_mapping_that_is_switched_off_is_not_what_is_asked_for():
    dynamic = _make()
    with Output(log):
        dynamic.gateway.add(HOST, NOW, REMOTE, 8000, "UDP", 8000, HOST, False, "off", 6000)
    assert _peer(dynamic) == (8000, 3600)
    assert _rows(dynamic) == [(REMOTE, 8000, 8000, "PCP PEER " + NONCE, 3600)]


def test_a_connection_to_come_whose_port_is_another_s():
    dynamic = _make()
    _map(dynamic, 8000, client=OTHER, protocol="UDP")
    assert _peer(dynamic) == pcp.CANNOT_PROVIDE_EXTERNAL
    dynamic.gateway.wan.services = (("UDP", 8001),)
    assert _peer(dynamic, 8001) == pcp.CANNOT_PROVIDE_EXTERNAL
    assert _peer(dynamic, 500) == pcp.NOT_AUTHORIZED


def test_a_kernel_that_does_not_tell():
    dynamic = _make()
    dynamic.gateway.flows = None
    assert _peer(dynamic) == (8000, 3600)


def test_no_nonce_is_in_the_log():
    dynamic = _make()
    with Output(log) as output:
        dynamic.map(NOW, HOST, HOST, "TCP", 8000, 0, 60, NONCE)
        dynamic.map(NOW, HOST, HOST, "TCP", 8000, 0, 60, NONCE)
        dynamic.peer(NOW, HOST, HOST, "UDP", 8000, REMOTE, 5060, 60, NONCE)
        error = raised(PCPError, dynamic.map, NOW, HOST, HOST, "TCP", 8000, 0, 60, NONCE_2)
        dynamic_module.log_refusal(HOST, "PCP", error)
        dynamic.delete(NOW, HOST, "TCP", 8000, NONCE)
    text = output.text()
    assert "opened TCP 8000 -> 192.168.1.2:8000 for 60 s: PCP MAP\n" in text and ": PCP PEER\n" in text
    assert "refused PCP to 192.168.1.2: another nonce than the mapping's" in text
    assert NONCE not in text and NONCE_2 not in text
