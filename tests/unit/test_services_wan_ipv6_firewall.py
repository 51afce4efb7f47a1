"""miniigd.services.wan_ipv6_firewall: actions from arguments to values, and what they refuse."""

from helpers import HOST, HOST6, OTHER, OTHER6, Files, call, make_gateway6
from miniigd import pinholes
from miniigd.errors import FirewallError
from miniigd.services.wan_ipv6_firewall import SERVICE

TCP, UDP = 6, 17


def _call(gateway, name, arguments=(), caller=HOST6):
    return call(SERVICE, gateway, name, arguments, caller, version=2)


def _ends(port=8000, client=HOST6, protocol=TCP, remote_host="", remote_port=0):
    return (remote_host, remote_port, client, port, protocol)


def _add(gateway, port=8000, client=HOST6, protocol=TCP, lease=60, caller=HOST6, **named):
    return _call(gateway, "AddPinhole", _ends(port, client, protocol, **named) + (lease,), caller)


def test_the_status_says_whether_pinholes_can_be_made():
    gateway = make_gateway6()
    assert _call(gateway, "GetFirewallStatus") == (True, True)
    gateway.firewall.pinhole_refusal = "no place"
    assert _call(gateway, "GetFirewallStatus") == (True, False)
    assert [variable.name for variable in SERVICE.variables if variable.is_evented] == [
        "FirewallEnabled", "InboundPinholeAllowed"]
    gateway.firewall.pinhole_refusal = ""
    gateway.is_paused = True
    assert _call(gateway, "GetFirewallStatus") == (True, False)


def test_a_pinhole_is_added_updated_and_deleted():
    gateway = make_gateway6()
    assert _add(gateway, remote_host="2001:db8:9::1", remote_port=77) == (1,)
    (pinhole,) = gateway.pinholes.table
    assert str(pinhole) == "TCP [2001:db8::2]:8000 from [2001:db8:9::1] port 77"
    assert _add(gateway, protocol=UDP, caller=HOST) == (2,)
    assert _add(gateway, protocol=UDP, lease=86400) == (2,)
    assert gateway.pinholes.table.find(2).expires == 86500
    assert _call(gateway, "UpdatePinhole", (2, 1)) == ()
    assert gateway.pinholes.table.find(2).expires == 101
    assert _call(gateway, "DeletePinhole", (2,)) == () and len(gateway.pinholes.table) == 1
    assert _call(gateway, "DeletePinhole", (2,)) == 704


def test_what_add_pinhole_refuses():
    gateway = make_gateway6()
    for code, named in ((402, {"lease": 0}), (402, {"lease": 86401}), (706, {"port": 0}), (708, {"client": ""}),
                        (707, {"protocol": 65535}), (705, {"protocol": 0}), (705, {"protocol": 1}),
                        (705, {"protocol": 256 + TCP}), (606, {"client": OTHER6}), (606, {"port": 1023}),
                        (606, {"caller": OTHER}), (606, {"client": "fe80::2", "caller": "fe80::2"})):
        assert _add(gateway, **named) == code, named
    assert len(gateway.pinholes.table) == 0


def test_the_others_refuse_what_is_not_there_or_another_s():
    gateway = make_gateway6()
    _add(gateway)
    for name, arguments in (("UpdatePinhole", (60,)), ("DeletePinhole", ()), ("GetPinholePackets", ()),
                            ("CheckPinholeWorking", ())):
        assert _call(gateway, name, (2,) + arguments) == 704
        assert _call(gateway, name, (1,) + arguments, OTHER6) == 606
    for lease in (0, 86401):
        assert _call(gateway, "UpdatePinhole", (1, lease)) == 402


def test_packets_are_counted():
    gateway = make_gateway6()
    _add(gateway)
    assert _call(gateway, "GetPinholePackets", (1,)) == (0,)
    assert _call(gateway, "CheckPinholeWorking", (1,)) == 709
    gateway.firewall.packets = 3
    assert _call(gateway, "GetPinholePackets", (1,)) == (3,)
    assert _call(gateway, "CheckPinholeWorking", (1,)) == (True,)


def test_the_outbound_timeout_is_the_kernel_s():
    gateway = make_gateway6()
    with Files(pinholes, b"30\n"):
        assert _call(gateway, "GetOutboundPinholeTimeout", _ends(0, "", UDP)) == (30,)
        for protocol, code in ((65535, 707), (1, 705)):
            assert _call(gateway, "GetOutboundPinholeTimeout", _ends(protocol=protocol)) == code
    with Files(pinholes, None):
        assert _call(gateway, "GetOutboundPinholeTimeout", _ends()) == 501


def test_without_a_place_in_the_firewall_everything_is_703():
    gateway = make_gateway6()
    _add(gateway)
    gateway.firewall.pinhole_refusal = "no place"
    for name, arguments in (("AddPinhole", _ends() + (60,)), ("GetOutboundPinholeTimeout", _ends()),
                            ("UpdatePinhole", (1, 60)), ("DeletePinhole", (1,)), ("GetPinholePackets", (1,)),
                            ("CheckPinholeWorking", (1,))):
        assert _call(gateway, name, arguments) == 703


def test_a_firewall_that_fails_is_501():
    gateway = make_gateway6()
    _add(gateway)
    gateway.firewall.failure = FirewallError("told to", 12)
    assert _add(gateway, 8001) == _call(gateway, "UpdatePinhole", (1, 60)) == 501
    assert _call(gateway, "DeletePinhole", (1,)) == 501
