"""miniigd.services.wan_ip2: the actions on several mappings, and every code they can refuse with."""

from helpers import HOST, OTHER, call, elements, make_gateway
from miniigd.errors import FirewallError
from miniigd.mapping import MAX_MAPPINGS
from miniigd.policy import Policy
from miniigd.rules import Rule, parse_network
from miniigd.services import Context, wan_ip, wan_ip2
from miniigd.xml import Document, unescape

SERVICE = wan_ip2.SERVICE


def _call(gateway, name, arguments=(), caller=HOST, now=100):
    return call(SERVICE, gateway, name, arguments, caller, now, 2)


def _arguments(port, protocol="TCP", client=HOST, remote_host="", internal_port=8001, description="web", lease=3600,
               enabled=True):
    return (remote_host, port, protocol, internal_port, client, enabled, description, lease)


def _add(gateway, port, client=HOST, protocol="TCP", remote_host="", description="web", lease=3600):
    """Open the port for `client`, who asks for it."""
    assert _call(gateway, "AddPortMapping", _arguments(port, protocol, client, remote_host, 8001, description, lease),
                 client) == ()


def _add_any(gateway, port, caller=HOST, **named):
    named["client"] = named.get("client", caller)
    return _call(gateway, "AddAnyPortMapping", _arguments(port, **named), caller)


def _ports(gateway):
    return [mapping.external_port for mapping in gateway.table]


def _delete_range(gateway, start, end, protocol="TCP", manage=False, caller=HOST):
    return _call(gateway, "DeletePortMappingRange", (start, end, protocol, manage), caller)


def _document(values):
    assert len(values) == 1 and isinstance(values[0], Document)
    return values[0].text


def _list(gateway, start=0, end=65535, protocol="TCP", manage=False, most=0, caller=HOST, now=100):
    """Return the entries of a listing, each as {element: text}, or the code of the refusal."""
    values = _call(gateway, "GetListOfPortMappings", (start, end, protocol, manage, most), caller, now)
    if isinstance(values, int):
        return values
    found = elements(_document(values).encode())
    assert found[0] == ("p:PortMappingList", "")
    entries = []
    for name, text in found[1:]:
        if name == "p:PortMappingEntry":
            assert text == ""
            entries.append([])
        else:
            entries[-1].append((name, text))
    for entry in entries:
        assert [name for name, _ in entry] == [
            "p:NewRemoteHost", "p:NewExternalPort", "p:NewProtocol", "p:NewInternalPort", "p:NewInternalClient",
            "p:NewEnabled", "p:NewDescription", "p:NewLeaseTime"]
    return [dict(entry) for entry in entries]


def _listed(gateway, *arguments, **named):
    return [int(entry["p:NewExternalPort"]) for entry in _list(gateway, *arguments, **named)]


def test_a_port_that_is_free_is_given():
    for port in (1024, 8000, 65535):
        gateway = make_gateway()
        _add(gateway, 8000, OTHER, "UDP")
        assert _add_any(gateway, port) == (port,)
        mapping = gateway.table.find("", port, "TCP")
        assert (mapping.internal_client, mapping.internal_port, mapping.description) == (HOST, 8001, "web")
        assert (mapping.lease_duration, mapping.enabled) == (3600, True)
        assert [entry[0] for entry in gateway.firewall.open_mappings][1:] == [mapping]


def test_a_port_of_another_gives_the_next_that_is_free():
    gateway = make_gateway()
    for port in (8000, 8001, 8003):
        _add(gateway, port, OTHER)
    assert _add_any(gateway, 8000) == (8002,)
    assert _add_any(gateway, 8000) == (8004,)  # and not the caller's own 8002 once more
    assert _add_any(gateway, 8003) == (8005,)
    assert _ports(gateway) == [8000, 8001, 8003, 8002, 8004, 8005]
    for port in (8000, 8001, 8003):
        assert gateway.table.owner(port, "TCP") == OTHER


def test_a_port_of_another_remote_host_is_taken_too():
    gateway = make_gateway()
    _add(gateway, 8000, OTHER, remote_host="11.0.0.1")
    assert _add_any(gateway, 8000) == (8001,)
    assert _add_any(gateway, 8000, remote_host="11.0.0.2") == (8002,)
    assert _add_any(gateway, 8000, OTHER) == (8000,)


def test_one_s_own_port_is_renewed():
    gateway = make_gateway()
    _add(gateway, 8000)
    _add(gateway, 8001)
    assert _add_any(gateway, 8000, description="new", internal_port=9000) == (8000,)
    assert _ports(gateway) == [8000, 8001]
    assert (gateway.table.at(0).description, gateway.table.at(0).internal_port) == ("new", 9000)
    assert _add_any(gateway, 8000, client="") == (8000,)
    assert len(gateway.table) == 2
    assert _add_any(gateway, 8000, remote_host="11.0.0.1") == (8000,)
    assert _ports(gateway) == [8000, 8000, 8001]  # the one for one remote host in front


def test_any_port_is_one_that_is_free():
    gateway = make_gateway()
    assert [_add_any(gateway, 0) for _ in range(3)] == [(1024,), (1025,), (1026,)]
    assert _add_any(gateway, 0, OTHER) == (1027,)
    assert _add_any(gateway, 0, protocol="UDP") == (1024,)
    assert _call(gateway, "DeletePortMapping", ("", 1025, "TCP")) == ()
    assert _add_any(gateway, 0) == (1025,)


def test_behind_the_last_port_come_the_first():
    gateway = make_gateway()
    for port in (65534, 65535, 1024):
        _add(gateway, port, OTHER)
    assert _add_any(gateway, 65534) == (1025,)
    assert _add_any(gateway, 65535) == (1026,)
    gateway = make_gateway()
    _add(gateway, 65535, OTHER)
    assert _add_any(gateway, 65535) == (1024,)


def test_a_long_row_of_taken_ports():
    gateway = make_gateway()
    for port in range(65535 - 99, 65536):
        _add(gateway, port, OTHER)
    for port in range(1024, 1124):
        _add(gateway, port, OTHER)
    assert _add_any(gateway, 65535 - 99) == (1124,)


def test_606_for_others_and_for_privileged_ports():
    gateway = make_gateway()
    _add(gateway, 8000, OTHER)
    for port in (1, 80, 1023):
        assert _add_any(gateway, port) == 606
    for named in ({"internal_port": 1023}, {"client": "192.168.1.1"}, {"client": OTHER}):
        for port in (0, 8000, 9000):
            assert _add_any(gateway, port, **named) == 606
    assert _ports(gateway) == [8000]
    assert gateway.table.at(0).description == "web"


def _ruled(*rules):
    return make_gateway(policy=Policy(rules))


def test_any_port_is_one_that_the_rules_allow():
    gateway = _ruled(Rule(True, (20000, 20001)), Rule(True, (81, 81)), Rule(False, (1, 65535)))
    assert _add_any(gateway, 8000) == (20000,)
    assert _add_any(gateway, 0) == (20001,)
    assert _add_any(gateway, 20000) == (20000,)  # one's own
    assert _add_any(gateway, 20000, OTHER) == (81,)  # below 1024 only when nothing else is left
    assert _add_any(gateway, 20000, "192.168.1.4") == 728
    assert _add_any(gateway, 81, "192.168.1.4") == 728
    gateway = _ruled(Rule(True, (80, 80)), Rule(False, (1024, 4999)))
    assert _add_any(gateway, 80) == (80,)
    assert _add_any(gateway, 80, OTHER) == (5000,)
    assert _add_any(gateway, 79) == 606


def test_606_where_no_port_is_allowed():
    for rule in (Rule(False), Rule(False, internal=(8000, 9000)), Rule(False, network=parse_network(HOST))):
        gateway = _ruled(rule)
        asked = []
        real = gateway.table.owner
        gateway.table.owner = lambda port, protocol: asked.append(port) or real(port, protocol)
        for port in (0, 1, 8000, 65535):
            assert _add_any(gateway, port) == 606
        assert asked == []  # it does not try 64,512 ports
        assert len(gateway.table) == 0


def test_732_for_an_internal_port_of_0():
    gateway = make_gateway()
    assert _add_any(gateway, 8000, internal_port=0) == 732
    assert _add_any(gateway, 0, internal_port=0) == 732
    assert len(gateway.table) == 0


def test_501_when_the_firewall_refuses_any_port():
    gateway = make_gateway()
    gateway.firewall.failure = FirewallError("told to", 12)
    assert _add_any(gateway, 8000) == 501
    assert _add_any(gateway, 0) == 501
    assert len(gateway.table) == 0


def test_728_when_the_table_is_full():
    gateway = make_gateway()
    _add(gateway, 8000)
    gateway.table._mappings.extend([None] * (MAX_MAPPINGS - 1))
    assert _add_any(gateway, 9000) == 728
    assert _add_any(gateway, 0) == 728
    assert _call(gateway, "AddPortMapping", _arguments(9000)) == 728
    assert _add_any(gateway, 8000) == (8000,)  # a renewal needs no room


def test_a_lease_of_0_is_a_week():
    gateway = make_gateway()
    for port, lease, kept in ((8000, 0, 604800), (8001, 604801, 604800), (8002, 60, 60)):
        assert _add_any(gateway, port, lease=lease) == (port,)
        assert _call(gateway, "GetSpecificPortMappingEntry", ("", port, "TCP"))[-1] == kept
        assert gateway.table.find("", port, "TCP").expires == 100 + kept


def test_our_own_address_as_remote_host_stands_for_any():
    gateway = make_gateway()
    assert _add_any(gateway, 8000, remote_host="81.2.69.160") == (8000,)
    assert gateway.table.at(0).remote_host == ""


def test_a_range_is_deleted():
    gateway = make_gateway()
    for port in (7999, 8000, 8005, 8010, 8011):
        _add(gateway, port)
    _add(gateway, 8005, protocol="UDP")
    _add(gateway, 8005, remote_host="11.0.0.1")
    assert _delete_range(gateway, 8000, 8010) == ()
    assert [(mapping.external_port, mapping.protocol) for mapping in gateway.table] == [
        (7999, "TCP"), (8011, "TCP"), (8005, "UDP")]
    assert [entry[0] for entry in gateway.firewall.open_mappings] == list(gateway.table)
    assert _delete_range(gateway, 8005, 8005, "UDP") == ()
    assert _delete_range(gateway, 0, 65535) == ()
    assert len(gateway.table) == 0


def test_only_one_s_own_in_a_range_are_deleted():
    for manage in (False, True):
        gateway = make_gateway()
        for port, client in ((8000, OTHER), (8001, HOST), (8002, OTHER), (8003, HOST)):
            _add(gateway, port, client)
        assert _delete_range(gateway, 8000, 8002, manage=manage) == ()
        assert _ports(gateway) == [8000, 8002, 8003]
        # what is left in it is of others
        assert _delete_range(gateway, 8000, 8002, manage=manage) == 606
        assert _ports(gateway) == [8000, 8002, 8003]
        assert _delete_range(gateway, 8000, 8002, manage=manage, caller=OTHER) == ()
        assert _ports(gateway) == [8003]


def test_without_secure_mode_managing_deletes_those_of_others_too():
    for manage, left in ((False, [8000]), (True, [])):
        gateway = make_gateway(policy=Policy((), False))
        for port, client in ((8000, OTHER), (8001, HOST)):
            _add(gateway, port, client)
        assert _delete_range(gateway, 8000, 8002, manage=manage) == ()
        assert _ports(gateway) == left


def test_730_where_nothing_is_in_the_range():
    gateway = make_gateway()
    assert _delete_range(gateway, 0, 65535) == 730
    assert _list(gateway) == 730
    _add(gateway, 8000)
    _add(gateway, 9000, OTHER)
    for start, end, protocol in ((0, 7999, "TCP"), (8001, 8999, "TCP"), (9001, 65535, "TCP"), (0, 65535, "UDP"),
                                 (0, 0, "TCP"), (65535, 65535, "TCP")):
        assert _delete_range(gateway, start, end, protocol) == 730
        assert _list(gateway, start, end, protocol) == 730
    assert _ports(gateway) == [8000, 9000]


def test_733_for_a_range_that_ends_before_it_starts():
    gateway = make_gateway()
    _add(gateway, 8000)
    for start, end in ((8001, 8000), (65535, 0), (1, 0)):
        assert _delete_range(gateway, start, end) == 733
        assert _list(gateway, start, end) == 733
    assert _ports(gateway) == [8000]


def test_501_when_the_firewall_keeps_a_range():
    gateway = make_gateway()
    for port in (8000, 8001):
        _add(gateway, port)
    gateway.firewall.failure = FirewallError("told to", 12)
    assert _delete_range(gateway, 8000, 8001) == 501
    assert _ports(gateway) == [8000, 8001]


def test_a_listing_to_the_byte():
    gateway = make_gateway()
    _add(gateway, 8000)
    assert _document(_call(gateway, "GetListOfPortMappings", (0, 65535, "TCP", False, 0))) == (
        '<?xml version="1.0"?>\n<p:PortMappingList xmlns:p="urn:schemas-upnp-org:gw:WANIPConnection" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:schemaLocation="urn:schemas-upnp-org:gw:WANIPConnection '
        'http://www.upnp.org/schemas/gw/WANIPConnection-v2.xsd">'
        "<p:PortMappingEntry><p:NewRemoteHost></p:NewRemoteHost><p:NewExternalPort>8000</p:NewExternalPort>"
        "<p:NewProtocol>TCP</p:NewProtocol><p:NewInternalPort>8001</p:NewInternalPort>"
        "<p:NewInternalClient>192.168.1.2</p:NewInternalClient><p:NewEnabled>1</p:NewEnabled>"
        "<p:NewDescription>web</p:NewDescription><p:NewLeaseTime>3600</p:NewLeaseTime></p:PortMappingEntry>"
        "</p:PortMappingList>")


def test_a_listing_says_what_the_table_says():
    gateway = make_gateway()
    _add(gateway, 8000, OTHER, remote_host="11.0.0.1", lease=60)
    assert _call(gateway, "AddPortMapping", _arguments(8001, enabled=False, internal_port=9001, lease=0)) == ()
    assert _list(gateway, 0, 65535, "TCP", True, now=110) == [
        {"p:NewRemoteHost": "11.0.0.1", "p:NewExternalPort": "8000", "p:NewProtocol": "TCP",
         "p:NewInternalPort": "8001", "p:NewInternalClient": OTHER, "p:NewEnabled": "1", "p:NewDescription": "web",
         "p:NewLeaseTime": "50"},
        {"p:NewRemoteHost": "", "p:NewExternalPort": "8001", "p:NewProtocol": "TCP", "p:NewInternalPort": "9001",
         "p:NewInternalClient": HOST, "p:NewEnabled": "0", "p:NewDescription": "web", "p:NewLeaseTime": "604790"}]


def test_a_listing_is_of_the_range_and_the_protocol():
    gateway = make_gateway()
    for port in (9000, 8000, 8005, 8010, 65535):
        _add(gateway, port)
    _add(gateway, 8005, protocol="UDP")
    for start, end, protocol, ports in (
            (0, 65535, "TCP", [9000, 8000, 8005, 8010, 65535]), (8000, 8010, "TCP", [8000, 8005, 8010]),
            (8001, 8009, "TCP", [8005]), (8005, 8005, "TCP", [8005]), (65535, 65535, "TCP", [65535]),
            (0, 65535, "UDP", [8005])):
        for caller in (HOST, OTHER):
            assert _listed(gateway, start, end, protocol, True, caller=caller) == ports
        # without NewManage each sees its own
        assert _listed(gateway, start, end, protocol, False) == ports
        assert _call(gateway, "GetListOfPortMappings", (start, end, protocol, False, 0), OTHER) == 730
        assert len(gateway.table) == 6


def test_the_number_in_a_listing_is_limited():
    gateway = make_gateway()
    for port in range(8000, 8010):
        _add(gateway, port)
    for most, count in ((0, 10), (1, 1), (3, 3), (9, 9), (10, 10), (11, 10), (65535, 10)):
        assert _listed(gateway, most=most) == list(range(8000, 8000 + count))
    assert _listed(gateway, 8004, 8009, most=2) == [8004, 8005]


def test_no_listing_is_longer_than_the_memory_allows():
    assert wan_ip2._MOST_LISTED == 300
    wan_ip2._MOST_LISTED = 10
    gateway = make_gateway()
    for port in range(8000, 8015):
        _add(gateway, port)
    for most, count in ((0, 10), (10, 10), (11, 10), (65535, 10), (9, 9)):
        assert _listed(gateway, most=most) == list(range(8000, 8000 + count))
    # the others are found by another range
    assert _listed(gateway, 8010) == list(range(8010, 8015))
    wan_ip2._MOST_LISTED = 300


def test_a_description_cannot_break_a_listing():
    gateway = make_gateway()
    descriptions = ("</p:NewDescription>", "<p:PortMappingEntry>", "]]>", "<![CDATA[", "<!--", "&", "&lt;", "&amp;lt;",
                    "&#60;", "\"'", "%s%d", "caf\u00e9")
    for index, description in enumerate(descriptions):
        _add(gateway, 8000 + index, description=description)
    entries = _list(gateway)
    assert len(entries) == len(descriptions)
    for entry, description in zip(entries, descriptions):
        assert unescape(entry["p:NewDescription"].encode()).decode() == description
    listing = _document(_call(gateway, "GetListOfPortMappings", (0, 65535, "TCP", False, 0)))
    assert "]]>" not in listing and "<![CDATA[" not in listing


def test_changes_are_counted_for_system_update_id():
    gateway = make_gateway()
    variable = SERVICE.find_variable("SystemUpdateID")
    context = Context(gateway, HOST, 100, 2)
    assert variable.value(context) == 0
    for port in (8000, 8001, 8002):
        _add_any(gateway, port)
    assert variable.value(context) == 3
    _add(gateway, 8000)
    assert variable.value(context) == 4
    assert _add_any(gateway, 80) == 606 and _delete_range(gateway, 1, 0) == 733
    _list(gateway)
    assert variable.value(context) == 4
    assert _delete_range(gateway, 8000, 8001) == ()
    assert variable.value(context) == 6
    gateway.table.update_id = 4294967295
    _add(gateway, 8000)
    assert variable.value(context) == 0
    assert variable.is_evented


def test_the_arguments_are_in_the_standard_s_order():
    for name, names_in, names_out in (
            ("AddAnyPortMapping", [
                "NewRemoteHost", "NewExternalPort", "NewProtocol", "NewInternalPort", "NewInternalClient",
                "NewEnabled", "NewPortMappingDescription", "NewLeaseDuration"], ["NewReservedPort"]),
            ("DeletePortMappingRange", ["NewStartPort", "NewEndPort", "NewProtocol", "NewManage"], []),
            ("GetListOfPortMappings", [
                "NewStartPort", "NewEndPort", "NewProtocol", "NewManage", "NewNumberOfPorts"], ["NewPortListing"])):
        action = SERVICE.find_action(name)
        assert [argument for argument, _ in action.arguments_in] == names_in
        assert [argument for argument, _ in action.arguments_out] == names_out


def test_everything_of_version_1_is_there():
    for action in wan_ip.SERVICE.actions:
        assert SERVICE.find_action(action.name) is action
    for variable in wan_ip.SERVICE.variables:
        own = SERVICE.find_variable(variable.name)
        assert own is variable or (own.data_type, own.value, own.is_evented, variable.bounds) == (
            variable.data_type, variable.value, variable.is_evented, ())
    assert SERVICE.find_variable("PortMappingLeaseDuration").bounds == (0, 604800)
    assert SERVICE.find_variable("InternalPort").bounds == (1, 65535)
    assert SERVICE.type == "urn:schemas-upnp-org:service:WANIPConnection:2"
    assert SERVICE.id == "urn:upnp-org:serviceId:WANIPConn1"


def test_no_nonce_of_pcp_is_in_a_listing():
    gateway = make_gateway()
    _add(gateway, 8000, description="PCP MAP 0123456789abcdef01234567")
    (document,) = _call(gateway, "GetListOfPortMappings", (0, 65535, "TCP", False, 0))
    assert "<p:NewDescription>PCP MAP</p:NewDescription>" in document.text and "0123456789" not in document.text
