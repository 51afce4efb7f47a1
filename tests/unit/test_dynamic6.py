"""miniigd.dynamic6: what PCP opens for IPv6 hosts beside UPnP, for whom, how long, and what ends it."""

from helpers import HOST6, OTHER6, Output, make_gateway6, raised
from miniigd import log, pcp
from miniigd.dynamic import MOST_HOSTS
from miniigd.dynamic6 import Dynamic6
from miniigd.errors import FirewallError, PCPError

NONCE, NONCE_2 = "0102030405060708090a0b0c", "ff" * 12
REMOTE, REMOTE_2 = "2001:db8:9::1", "2001:db8:9::2"
ANY = ("", 0)


class _Table:
    """A Dynamic6 with its gateway; refusals are returned as their code."""

    def __init__(self):
        self.gateway = make_gateway6()
        self.dynamic = Dynamic6(self.gateway)
        self.text = ""

    def do(self, method, *arguments):
        with Output(log) as output:
            try:
                return getattr(self.dynamic, method)(*arguments)
            except PCPError as refusal:
                return refusal.code
            finally:
                self.text += output.text()

    def map(self, lifetime=3600, nonce=NONCE, client=HOST6, port=8000, now=100, filters=(), asked=0, is_exact=False):
        return self.do("map", now, client, "TCP", port, asked, lifetime, nonce, filters, is_exact)

    def delete(self, nonce=NONCE, client=HOST6, protocol="TCP", port=8000, now=100):
        return self.do("delete", now, client, protocol, port, nonce)

    def peer(self, lifetime=3600, nonce=NONCE, remote=REMOTE, port=8000, now=100):
        return self.do("peer", now, HOST6, "TCP", port, remote, 5060, lifetime, nonce)

    def add(self, lease, remote=ANY, port=8000, now=100):
        """As UPnP does."""
        with Output(log):
            return self.gateway.pinholes.add(HOST6, now, remote[0], remote[1], HOST6, port, "TCP", lease)

    def rows(self):
        return [(one.remote_host, one.remote_port, one.internal_client, one.internal_port, one.expires)
                for one in self.gateway.pinholes.table]

    def fail(self):
        def add(*arguments):
            raise FirewallError("of this test")

        self.gateway.firewall.add_pinhole = self.gateway.firewall.remove_pinholes = add


def test_a_pinhole_is_opened_renewed_and_deleted():
    table = _Table()
    assert table.map() == (8000, 3600)
    assert table.map(120, now=200, asked=9000) == (8000, 120)  # nothing is translated
    assert table.rows() == [("", 0, HOST6, 8000, 320)]
    assert table.delete() is None and table.rows() == []
    assert table.delete() is None  # what is not there is deleted too
    assert NONCE not in table.text and "PCP MAP" in table.text and table.text.count("deleted by " + HOST6) == 1


def test_all_of_a_host_are_deleted():
    table = _Table()
    for client in HOST6, OTHER6:
        for port in 8000, 8001:
            table.map(client=client, port=port)
    table.add(500, port=8002)
    table.delete(protocol=None, port=0)
    assert [row[2:4] for row in table.rows()] == [(OTHER6, 8000), (OTHER6, 8001), (HOST6, 8002)]


def test_who_has_another_nonce_changes_nothing():
    table = _Table()
    table.map()
    assert table.map(nonce=NONCE_2) == table.delete(nonce=NONCE_2) == pcp.NOT_AUTHORIZED
    assert table.rows() == [("", 0, HOST6, 8000, 3700)]
    table.peer()
    assert table.peer(nonce=NONCE_2) == table.peer(0, NONCE_2) == pcp.NOT_AUTHORIZED
    assert len(table.rows()) == 2


def test_filters_come_together_and_are_taken_away():
    table = _Table()
    table.map()
    assert table.map(filters=[(REMOTE, 0)]) == (8000, 3600)
    assert [row[:2] for row in table.rows()] == [(REMOTE, 0)]
    table.map(filters=[(REMOTE_2, 77)])
    assert [row[:2] for row in table.rows()] == [(REMOTE, 0), (REMOTE_2, 77)]
    table.map(120, now=200)  # a renewal keeps them
    assert [row[4] for row in table.rows()] == [320, 320]
    table.map(filters=[None])
    assert [row[:2] for row in table.rows()] == [ANY]
    too_many = [("2001:db8:9::%x" % number, 0) for number in range(1, MOST_HOSTS + 2)]
    assert table.map(filters=too_many) == pcp.EXCESSIVE_REMOTE_PEERS
    assert table.map(filters=too_many[1:]) == (8000, 3600) and len(table.rows()) == MOST_HOSTS


def test_what_upnp_made_stays_upnp_s_and_lasts_until_the_later_end():
    table = _Table()
    table.add(600)
    assert table.map(300) == (8000, 300) and table.rows()[0][4] == 700
    assert table.map(900) == (8000, 900) and table.rows()[0][4] == 1000
    assert table.delete() is None and len(table.rows()) == 1
    assert table.map(filters=[(REMOTE, 0)]) == pcp.EXCESSIVE_REMOTE_PEERS  # it is open to all


def test_a_peer():
    table = _Table()
    assert table.peer() == (8000, 3600)
    assert table.rows() == [(REMOTE, 5060, HOST6, 8000, 3700)]
    assert table.peer(120, now=200) == (8000, 120)
    assert table.peer(0, remote=REMOTE_2) == (8000, 0) and len(table.rows()) == 1
    table.add(500, (REMOTE_2, 5060))
    assert table.peer(0, remote=REMOTE_2) == (8000, 0) and len(table.rows()) == 2  # UPnP's
    assert table.peer(0) == (8000, 0) and [row[0] for row in table.rows()] == [REMOTE_2]


def test_refusals():
    table = _Table()
    assert table.map(asked=9000, is_exact=True) == pcp.CANNOT_PROVIDE_EXTERNAL
    assert table.map(asked=8000, is_exact=True) == (8000, 3600)
    assert table.map(port=80) == pcp.NOT_AUTHORIZED and "ports below 1024" in table.text
    assert table.map(client="2001:db8:1::2") == pcp.NOT_AUTHORIZED
    assert table.dynamic.external_address(HOST6) == HOST6
    table.gateway.is_paused = True
    assert table.map() == pcp.NOT_AUTHORIZED
    assert raised(PCPError, table.dynamic.external_address, HOST6).reason == "paused by the administrator"


def test_a_firewall_that_refuses():
    table = _Table()
    table.map()
    table.fail()
    assert table.map(port=8001) == table.delete() == pcp.NO_RESOURCES
    assert len(table.rows()) == 1


def test_all_filters_or_none():
    table = _Table()
    table.gateway.pinholes.table._most = 2
    assert table.map(filters=[("2001:db8:9::%d" % number, 0) for number in range(1, 4)]) == pcp.NO_RESOURCES
    assert table.rows() == []
