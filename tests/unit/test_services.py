"""miniigd.services: the table classes, and that every service's table is whole."""

from helpers import raised
from miniigd import description, soap
from miniigd.services import Action, Context, Service, Variable


def test_a_service_names_its_urls():
    service = Service("WANIPConnection:1", "WANIPConn1", (), ())
    assert service.type == "urn:schemas-upnp-org:service:WANIPConnection:1"
    assert service.id == "urn:upnp-org:serviceId:WANIPConn1"
    assert (service.scpd_url, service.control_url, service.event_url) == (
        "/WANIPConn1.xml", "/upnp/control/WANIPConn1", "/upnp/event/WANIPConn1")


def test_actions_and_variables_are_found_by_name():
    variable, action = Variable("Uptime", "ui4"), Action("GetUptime", None)
    service = Service("X:1", "X1", (variable,), (action,))
    assert service.find_action("GetUptime") is action
    for name in ("getuptime", "", "GetUptime2", "__init__"):
        assert service.find_action(name) is None
    assert service.variable("Uptime") is variable
    raised(KeyError, service.variable, "uptime")
    assert (action.arguments_in, action.arguments_out) == ((), ())
    assert (variable.is_evented, variable.allowed) == (False, ())


def test_a_context_holds_what_an_action_may_know():
    context = Context("gateway", "192.168.1.2", 100)
    assert (context.gateway, context.caller, context.now) == ("gateway", "192.168.1.2", 100)


def test_every_argument_has_a_variable_of_a_known_type():
    for service in description.services():
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
    for service in description.services():
        used = [pair[1] for action in service.actions for pair in action.arguments_in + action.arguments_out]
        for variable in service.variables:
            assert variable.is_evented or variable.name in used, variable.name


def test_names_are_fit_for_headers_urls_and_markup():
    urls = []
    for service in description.services():
        urls.extend((service.scpd_url, service.control_url, service.event_url))
        names = [action.name for action in service.actions] + [variable.name for variable in service.variables]
        for name in names:
            assert soap.is_name(name.encode())
        assert len(set([action.name for action in service.actions])) == len(service.actions)
        for action in service.actions:
            assert callable(action.function)
    assert len(set(urls)) == len(urls)
    for url in urls:
        assert url.startswith("/")
