"""The services of the device and the tables they are declared by.

One table for each service: its state variables and its actions with their arguments in the standard's order. The
SCPD document, the reading of requests, the order of answers and the state variables that can be asked for all come
from it; there is no second list.

    action = wan_ip.SERVICE.find_action("GetExternalIPAddress")
    values = action.function(context, arguments)  # arguments and values in the table's order
"""


class Service:
    """A service: type and id as UPnP writes them, its state variables and its actions in order."""

    def __init__(self, service_type, service_id, variables, actions):
        self.type = "urn:schemas-upnp-org:service:" + service_type
        self.id = "urn:upnp-org:serviceId:" + service_id
        self.short_id = service_id
        self.variables = variables
        self.actions = actions

    def find_action(self, name):
        """Return the Action called `name`, or None."""
        for action in self.actions:
            if action.name == name:
                return action
        return None

    def find_variable(self, name):
        """Return the Variable called `name`, or None."""
        for variable in self.variables:
            if variable.name == name:
                return variable
        return None


class Variable:
    """A state variable (UDA 1.0 2.3): `data_type` is ui2, ui4, boolean or string.

    `allowed` are its values if it is an enum, `bounds` the (least, most) of a number that has such.
    `value(context)` returns what it is now, for QueryStateVariable and events; None for the variables that only
    stand for the type of an argument.
    """

    def __init__(self, name, data_type, value=None, is_evented=False, allowed=(), bounds=()):
        self.name = name
        self.data_type = data_type
        self.value = value
        self.is_evented = is_evented
        self.allowed = allowed
        self.bounds = bounds


class Action:
    """An action: function(context, arguments) and the (argument, state variable) pairs of what goes in and out."""

    def __init__(self, name, function, arguments_in=(), arguments_out=()):
        self.name = name
        self.function = function
        self.arguments_in = arguments_in
        self.arguments_out = arguments_out
        self.readers = None  # kept by soap.bind
        self.shape = None  # kept by soap.Calls: how the arguments were written last
        self.forms = {}  # kept by soap.response


class Context:
    """What an action may know of its call.

    The `gateway`, the `caller`'s address as text, `now` in seconds, and the `version` (1 or 2) of the device that was
    called: WANIPConnection:2 has other rules for leases and other error codes. Unless `shows_leases`, a mapping's
    lease is reported as without end.
    """

    def __init__(self, gateway, caller, now, version, shows_leases=True):
        self.gateway = gateway
        self.caller = caller
        self.now = now
        self.version = version
        self.shows_leases = shows_leases
