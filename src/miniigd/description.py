"""The device's own papers: the description document, its SCPD documents, and what it answers to in a search.

Owns the device tree of InternetGatewayDevice:1 (section 2 of that document); everything else is made from it and from
the services' tables.
"""

from .services import layer3, wan_common, wan_ip
from .xml import escape

DESCRIPTION_URL = "/rootDesc.xml"
_DEVICE = "urn:schemas-upnp-org:device:"

# (device type, friendly name, its services), each device inside of the one before it.
DEVICES = (
    (_DEVICE + "InternetGatewayDevice:1", "miniigd", (layer3.SERVICE,)),
    (_DEVICE + "WANDevice:1", "WANDevice", (wan_common.SERVICE,)),
    (_DEVICE + "WANConnectionDevice:1", "WANConnectionDevice", (wan_ip.SERVICE,)),
)


def services():
    """Return every service of every device."""
    return [service for device in DEVICES for service in device[2]]


def udn(uuid, index):
    """Return the UDN of the device at `index` in DEVICES: each has its own, made from the router's `uuid`.

    The last group of a UUID made from the LAN interface is its MAC address, so the device's number goes into the
    third: devices and routers stay distinct.
    """
    return "uuid:%s%04x%s" % (uuid[:14], (int(uuid[14:18], 16) + index) & 0xFFFF, uuid[18:])


def default_connection_service(uuid):
    """Return the value of Layer3Forwarding's DefaultConnectionService: UDN and service id (2.2.1 there)."""
    return "%s:WANConnectionDevice:1,%s" % (udn(uuid, 2), wan_ip.SERVICE.id)


def targets(uuid):
    """Return the (search target, USN) pairs that the device answers to and announces (UDA 1.0 1.1.2)."""
    pairs = [("upnp:rootdevice", udn(uuid, 0) + "::upnp:rootdevice")]
    for index, (device_type, _, device_services) in enumerate(DEVICES):
        name = udn(uuid, index)
        pairs.append((name, name))
        pairs.append((device_type, name + "::" + device_type))
        for service in device_services:
            pairs.append((service.type, name + "::" + service.type))
    return pairs


def document(uuid, presentation_url):
    """Return the device description (bytes) (UDA 1.0 2.1); `presentation_url` is where a person finds the router."""
    parts = ['<?xml version="1.0"?>\r\n<root xmlns="urn:schemas-upnp-org:device-1-0">'
             "<specVersion><major>1</major><minor>0</minor></specVersion>"]
    for index, (device_type, name, device_services) in enumerate(DEVICES):
        if index:
            parts.append("<deviceList>")
        parts.append("<device><deviceType>%s</deviceType><friendlyName>%s</friendlyName>"
                     "<manufacturer>OpenWrt</manufacturer><modelDescription>UPnP gateway</modelDescription>"
                     "<modelName>miniigd</modelName><modelNumber>1</modelNumber><serialNumber>00000000</serialNumber>"
                     "<UDN>%s</UDN><serviceList>" % (device_type, name, udn(uuid, index)))
        for service in device_services:
            # serviceType before controlURL and no white space: small clients scan for it in this order.
            parts.append("<service><serviceType>%s</serviceType><serviceId>%s</serviceId><SCPDURL>%s</SCPDURL>"
                         "<controlURL>%s</controlURL><eventSubURL>%s</eventSubURL></service>"
                         % (service.type, service.id, service.scpd_url, service.control_url, service.event_url))
        parts.append("</serviceList>")
    parts.append("</device></deviceList>" * (len(DEVICES) - 1))
    parts.append("<presentationURL>%s</presentationURL></device></root>\r\n" % escape(presentation_url))
    return "".join(parts).encode()


def scpd(service):
    """Return the service's SCPD document (bytes), all of it from the service's table (UDA 1.0 2.3)."""
    parts = ['<?xml version="1.0"?>\r\n<scpd xmlns="urn:schemas-upnp-org:service-1-0">'
             "<specVersion><major>1</major><minor>0</minor></specVersion><actionList>"]
    for action in service.actions:
        parts.append("<action><name>%s</name><argumentList>" % action.name)
        for direction, arguments in (("in", action.arguments_in), ("out", action.arguments_out)):
            for name, variable in arguments:
                parts.append("<argument><name>%s</name><direction>%s</direction><relatedStateVariable>%s"
                             "</relatedStateVariable></argument>" % (name, direction, variable))
        parts.append("</argumentList></action>")
    parts.append("</actionList><serviceStateTable>")
    for variable in service.variables:
        parts.append('<stateVariable sendEvents="%s"><name>%s</name><dataType>%s</dataType>'
                     % ("yes" if variable.is_evented else "no", variable.name, variable.data_type))
        if variable.allowed:
            parts.append("<allowedValueList>")
            for value in variable.allowed:
                parts.append("<allowedValue>%s</allowedValue>" % value)
            parts.append("</allowedValueList>")
        parts.append("</stateVariable>")
    parts.append("</serviceStateTable></scpd>\r\n")
    return "".join(parts).encode()
