"""miniigd.services: the table classes, and that every service's table is whole."""

from helpers import call, make_gateway
from miniigd import soap
from miniigd.services import (
    Action, Context, Service, Variable, layer3, wan_common, wan_ethernet, wan_ip, wan_ip2, wan_ppp)

SERVICES = (layer3.SERVICE, wan_common.SERVICE, wan_ip.SERVICE, wan_ip2.SERVICE, wan_ppp.SERVICE, wan_ethernet.SERVICE)


def test_a_service_has_a_type_and_ids():
    service = Service("WANIPConnection:1", "WANIPConn1", (), ())
    assert service.type == "urn:schemas-upnp-org:service:WANIPConnection:1"
    assert service.id == "urn:upnp-org:serviceId:WANIPConn1"
    assert service.short_id == "WANIPConn1"


def test_actions_and_variables_are_found_by_name():
    variable, action = Variable("Uptime", "ui4"), Action("GetUptime", None)
    service = Service("X:1", "X1", (variable,), (action,))
    assert service.find_action("GetUptime") is action
    for name in ("getuptime", "", "GetUptime2", "__init__"):
        assert service.find_action(name) is None
    assert service.find_variable("Uptime") is variable
    for name in ("uptime", "", "Uptime2", "GetUptime"):
        assert service.find_variable(name) is None
    assert (action.arguments_in, action.arguments_out) == ((), ())
    assert (variable.value, variable.is_evented, variable.allowed) == (None, False, ())


def test_a_context_holds_what_an_action_may_know():
    context = Context("gateway", "192.168.1.2", 100, 2)
    assert (context.gateway, context.caller, context.now, context.version) == ("gateway", "192.168.1.2", 100, 2)


def test_every_argument_has_a_variable_of_a_known_type():
    for service in SERVICES:
        names = [variable.name for variable in service.variables]
        assert len(set(names)) == len(names)
        for variable in service.variables:
            assert variable.data_type in ("ui2", "ui4", "boolean", "string")
            if variable.allowed:
                assert variable.data_type == "string"
        for action in service.actions:
            for name, variable in action.arguments_in + action.arguments_out:
                assert name.startswith("New")
                assert variable in names, (action.name, name)


def test_every_variable_is_used_or_evented():
    for service in SERVICES:
        used = [pair[1] for action in service.actions for pair in action.arguments_in + action.arguments_out]
        for variable in service.variables:
            assert variable.is_evented or variable.name in used, variable.name


def test_every_value_is_of_its_variable_s_type():
    most = {"ui2": 65535, "ui4": 4294967295}
    for address in ("81.2.69.160", None):
        gateway = make_gateway(address)
        gateway.default_connection_services = {1: "uuid:1,x", 2: "uuid:2,x"}
        for version in (1, 2):
            context = Context(gateway, "192.168.1.2", 100, version)
            for service in SERVICES:
                for variable in service.variables:
                    assert variable.value is not None or not variable.is_evented, variable.name
                    if variable.value is None:
                        continue
                    value = variable.value(context)
                    if variable.data_type == "boolean":
                        assert value is True or value is False, variable.name
                    elif variable.data_type == "string":
                        assert isinstance(value, str), variable.name
                        assert not variable.allowed or value in variable.allowed, variable.name
                    else:
                        assert isinstance(value, int) and 0 <= value <= most[variable.data_type], variable.name


def test_a_getter_says_what_the_variables_are():
    # an answer, an event and QueryStateVariable never disagree
    gateway = make_gateway()
    gateway.default_connection_services = {1: "uuid:1,x", 2: "uuid:2,x"}
    for version in (1, 2):
        context = Context(gateway, "192.168.1.2", 100, version)
        for service in SERVICES:
            for action in service.actions:
                if action.name.startswith("Get") and not action.arguments_in:
                    expected = [service.find_variable(name).value(context) for _, name in action.arguments_out]
                    assert list(call(service, gateway, action.name, version=version)) == expected, action.name


def test_names_are_fit_for_headers_urls_and_markup():
    for service in SERVICES:
        names = [action.name for action in service.actions] + [variable.name for variable in service.variables]
        for name in names + [service.short_id]:
            assert soap.is_name(name.encode())
        assert len(set([action.name for action in service.actions])) == len(service.actions)
        assert soap.QUERY not in names
        for action in service.actions:
            assert callable(action.function)
    assert len(set([service.type for service in SERVICES])) == len(SERVICES)
