"""The SCPD documents of the services (UDA 1.0 2.3), all of them from the services' tables.

They never change, so the lean runtime carries them ready-made: package/runtime.py puts a module in the place of this
one that has the same function.
"""


def document(service):
    """Return the SCPD document (bytes) of a services.Service."""
    parts = ['<?xml version="1.0"?>\r\n<scpd xmlns="urn:schemas-upnp-org:service-1-0">'
             "<specVersion><major>1</major><minor>0</minor></specVersion><actionList>"]
    for action in service.actions:
        parts.append("<action><name>%s</name>" % action.name)
        if action.arguments_in or action.arguments_out:
            parts.append("<argumentList>")
            for direction, arguments in (("in", action.arguments_in), ("out", action.arguments_out)):
                for name, variable in arguments:
                    parts.append("<argument><name>%s</name><direction>%s</direction><relatedStateVariable>%s"
                                 "</relatedStateVariable></argument>" % (name, direction, variable))
            parts.append("</argumentList>")
        parts.append("</action>")
    parts.append("</actionList><serviceStateTable>")
    for variable in service.variables:
        parts.append('<stateVariable sendEvents="%s"><name>%s</name><dataType>%s</dataType>'
                     % ("yes" if variable.is_evented else "no", variable.name, variable.data_type))
        if variable.allowed:
            parts.append("<allowedValueList>")
            for value in variable.allowed:
                parts.append("<allowedValue>%s</allowedValue>" % value)
            parts.append("</allowedValueList>")
        if variable.bounds:
            parts.append("<allowedValueRange><minimum>%d</minimum><maximum>%d</maximum></allowedValueRange>"
                         % variable.bounds)
        parts.append("</stateVariable>")
    parts.append("</serviceStateTable></scpd>\r\n")
    return "".join(parts).encode()
