"""The services of the device and the tables they are declared by.

One table for each service: its state variables and its actions with their arguments in the standard's order. The
SCPD document, the reading of requests and the order of answers all come from it; there is no second list.

    action = wan_ip.SERVICE.find_action("GetExternalIPAddress")
    values = action.function(context, arguments)  # arguments and values in the table's order
"""


class Service:
    """A service: type and id as UPnP writes them, its state variables by name, its actions in order."""

    def __init__(self, service_type, service_id, variables, actions):
        self.type = "urn:schemas-upnp-org:service:" + service_type
        self.id = "urn:upnp-org:serviceId:" + service_id
        self.scpd_url = "/%s.xml" % service_id
        self.control_url = "/upnp/control/" + service_id  # Linux-IGD's path: some clients post there unasked
        self.event_url = "/upnp/event/" + service_id
        self.variables = variables
        self.actions = actions

    def find_action(self, name):
        """Return the Action called `name`, or None."""
        for action in self.actions:
            if action.name == name:
                return action
        return None

    def variable(self, name):
        """Return the Variable called `name`."""
        for variable in self.variables:
            if variable.name == name:
                return variable
        raise KeyError(name)


class Variable:
    """A state variable (UDA 1.0 2.3): `data_type` is ui2, ui4, boolean or string; `allowed` values if it is an enum."""

    def __init__(self, name, data_type, is_evented=False, allowed=()):
        self.name = name
        self.data_type = data_type
        self.is_evented = is_evented
        self.allowed = allowed


class Action:
    """An action: function(context, arguments) and the (argument, state variable) pairs of what goes in and out."""

    def __init__(self, name, function, arguments_in=(), arguments_out=()):
        self.name = name
        self.function = function
        self.arguments_in = arguments_in
        self.arguments_out = arguments_out
        self.readers = None  # kept by soap.bind


class Context:
    """What an action may know of its call: the gateway, the `caller`'s address as text, and `now` in seconds."""

    def __init__(self, gateway, caller, now):
        self.gateway = gateway
        self.caller = caller
        self.now = now
