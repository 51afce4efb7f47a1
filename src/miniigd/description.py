"""The device's own papers: its descriptions, and what it answers to in a search.

Owns the device trees of InternetGatewayDevice:1 and :2 (section 2 of those documents). Both are offered at once, as two
root devices with their own UDNs and URLs, because some clients take only the one and some only the other; a client
that looks for version 1 never sees a 2. Everything else is made from the trees and from the services' tables.
"""

from . import VERSION
from .services import layer3, wan_common, wan_ethernet, wan_ip, wan_ip2, wan_ipv6_firewall
from .xml import escape

DESCRIPTION, SCPD, CONTROL, EVENT = "description", "scpd", "control", "event"  # what can be behind a path

_PREFIX = {1: "", 2: "/igd2"}
_DESCRIPTION_PATH = "/rootDesc.xml"
_ALIAS = "/igddesc.xml"  # where clients of one vendor's routers look
_CONTROL_PATH = "/upnp/control/"  # Linux-IGD's: some clients post there unasked
_EVENT_PATH = "/upnp/event/"
_TYPE = "urn:schemas-upnp-org:device:%s:%d"
_NAMES = ("InternetGatewayDevice", "WANDevice", "WANConnectionDevice")  # each device is inside of the one before it


class Device:
    """What this router is: its `uuid`, the `versions` (1, 2) of the device it offers, whether its WAN is a PPP link.

    `labels` are its friendlyName, modelNumber and serialNumber. `presentation_url` is where a person finds it, "" for
    nowhere, None for its LAN address.
    """

    def __init__(self, uuid, versions=(1, 2), is_ppp=False, labels=("miniigd", "1", "00000000"),
                 presentation_url=None):
        self._labels = tuple([escape(label) for label in labels])
        self._presentation_url = presentation_url
        self.uuid = uuid
        self.versions = versions
        self._trees = {version: _tree(version, is_ppp) for version in versions}
        self._udns = {}  # (version, index) -> text
        self._targets = ()
        self._documents = {}  # version -> (presentation_url, bytes)
        # Another number whenever the documents are others (UDA 1.1 2.1): all that they are made from is in it.
        number = 0
        ids = [service.short_id for tree in self._trees.values() for services in tree for service in services]
        for byte in ("%s %s %s %s %s %s %s" % (VERSION, uuid, versions, is_ppp, labels, presentation_url, sorted(ids))
                     ).encode():
            number = number * 31 + byte & 0xFFFFFF
        self.config_id = number

    def device_services(self, version):
        """Return a tuple of services for each device of the tree."""
        return self._trees[version]

    def find_service(self, version, short_id):
        """Return the service of that short id, or None."""
        for services in self._trees[version]:
            for service in services:
                if service.short_id == short_id:
                    return service
        return None

    def udn(self, version, index):
        """Return the UDN of a device of the tree: each has its own.

        The last group of a UUID made from the LAN interface is its MAC address, so the device's number goes into the
        third: devices and routers stay distinct.
        """
        udn = self._udns.get((version, index))
        if udn is None:
            number = int(self.uuid[14:18], 16) + index + len(_NAMES) * (version - 1)
            udn = "uuid:%s%04x%s" % (self.uuid[:14], number & 0xFFFF, self.uuid[18:])
            self._udns[(version, index)] = udn
        return udn

    def default_connection_service(self, version):
        """Return the value of Layer3Forwarding's DefaultConnectionService: UDN and service id (2.2.1 there)."""
        return "%s:WANConnectionDevice:%d,%s" % (self.udn(version, 2), version, wan_ip.SERVICE.id)

    def targets(self):
        """Return the (search target, USN, version) that the device answers to and announces (UDA 1.0 1.1.2).

        What both versions have is named once: who looks for a :1 is led to version 1.
        """
        if self._targets:
            return self._targets
        found, seen = [], []
        for version in self.versions:
            root = self.udn(version, 0)
            found.append(("upnp:rootdevice", root + "::upnp:rootdevice", version))
            for index, services in enumerate(self.device_services(version)):
                name = self.udn(version, index)
                found.append((name, name, version))
                types = [_TYPE % (_NAMES[index], version)] + [service.type for service in services]
                for one in types:
                    if one not in seen:
                        seen.append(one)
                        found.append((one, name + "::" + one, version))
        self._targets = found
        return found

    def find(self, path):
        """Return (what is behind the path, version, service or None), or None."""
        version = 1
        if path.startswith(_PREFIX[2] + "/"):
            version, path = 2, path[len(_PREFIX[2]):]
        if version not in self.versions:
            return None
        if path == _DESCRIPTION_PATH or path == _ALIAS:
            return DESCRIPTION, version, None
        if path.startswith(_CONTROL_PATH):
            kind, short_id = CONTROL, path[len(_CONTROL_PATH):]
        elif path.startswith(_EVENT_PATH):
            kind, short_id = EVENT, path[len(_EVENT_PATH):]
        else:
            kind, short_id = SCPD, path[1:-4] if path[:1] == "/" and path.endswith(".xml") else ""
        service = self.find_service(version, short_id)
        return None if service is None else (kind, version, service)

    def document(self, version, presentation_url):
        """Return the description (bytes) (UDA 1.0 2.1); `presentation_url` is used unless the device has its own.

        The last one of each version is kept: it takes longer to make than all the rest of an answer.
        """
        kept = self._documents.get(version)
        if kept is None or kept[0] != presentation_url:
            kept = self._documents[version] = (presentation_url, self._make_document(version, presentation_url))
        return kept[1]

    def _make_document(self, version, presentation_url):
        prefix = _PREFIX[version]
        name, number, serial = self._labels
        if self._presentation_url is not None:
            presentation_url = self._presentation_url
        # specVersion 1.0, whatever the device's version: some clients refuse any other.
        parts = ['<?xml version="1.0"?>\r\n<root xmlns="urn:schemas-upnp-org:device-1-0" configId="%d">'
                 "<specVersion><major>1</major><minor>0</minor></specVersion>" % self.config_id]
        for index, services in enumerate(self.device_services(version)):
            if index:
                parts.append("<deviceList>")
            parts.append("<device><deviceType>%s</deviceType><friendlyName>%s</friendlyName>"
                         "<manufacturer>OpenWrt</manufacturer><modelDescription>UPnP gateway</modelDescription>"
                         "<modelName>miniigd</modelName><modelNumber>%s</modelNumber>"
                         "<serialNumber>%s</serialNumber><UDN>%s</UDN><serviceList>"
                         % (_TYPE % (_NAMES[index], version), _NAMES[index] if index else name, number, serial,
                            self.udn(version, index)))
            for service in services:
                # serviceType before controlURL and no white space: small clients scan for it in this order.
                parts.append("<service><serviceType>%s</serviceType><serviceId>%s</serviceId>"
                             "<SCPDURL>%s/%s.xml</SCPDURL><controlURL>%s%s%s</controlURL>"
                             "<eventSubURL>%s%s%s</eventSubURL></service>"
                             % (service.type, service.id, prefix, service.short_id, prefix, _CONTROL_PATH,
                                service.short_id, prefix, _EVENT_PATH, service.short_id))
            parts.append("</serviceList>")
        parts.append("</device></deviceList>" * (len(_NAMES) - 1))
        if presentation_url:
            parts.append("<presentationURL>%s</presentationURL>" % escape(presentation_url))
        parts.append("</device></root>\r\n")
        return "".join(parts).encode()


def _tree(version, is_ppp):
    """Return the services of each device of a version's tree."""
    connection = [wan_ip.SERVICE if version == 1 else wan_ip2.SERVICE]
    if is_ppp:
        from .services import wan_ppp

        connection.append(wan_ppp.SERVICE)
    connection.append(wan_ethernet.SERVICE)
    if version == 2:
        connection.append(wan_ipv6_firewall.SERVICE)
    return ((layer3.SERVICE,), (wan_common.SERVICE,), tuple(connection))


def description_path(version):
    """Return the path of a version's description."""
    return _PREFIX[version] + _DESCRIPTION_PATH
