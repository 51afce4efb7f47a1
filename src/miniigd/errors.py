"""The one table of UPnP error codes, and the exceptions of the daemon."""

import errno

# UDA 1.0 3.2.2 and 3.3.2, WANIPConnection:1 2.4, WANIPConnection:2 2.5, Layer3Forwarding:1 2.4; the standards' texts.
TEXTS = {
    401: "Invalid Action",
    402: "Invalid Args",
    404: "Invalid Var",
    501: "Action Failed",
    601: "Argument Value Out of Range",
    606: "Action not authorized",
    703: "InactiveConnectionStateRequired",
    704: "ConnectionSetupFailed",
    713: "SpecifiedArrayIndexInvalid",
    714: "NoSuchEntryInArray",
    716: "WildCardNotPermittedInExtPort",
    718: "ConflictInMappingEntry",
    720: "InvalidDeviceUUID",
    721: "InvalidServiceID",
    728: "NoPortMapsAvailable",
    729: "ConflictWithOtherMechanisms",
    730: "PortMappingNotFound",
    731: "ReadOnly",
    732: "WildCardNotPermittedInIntPort",
    733: "InconsistentParameters",
}

# WANIPv6FirewallControl:1 2.5.8 uses some of the same codes for reasons of its own.
_TEXTS_OF_SERVICE = {
    "WANIPv6Firewall1": {
        701: "PinholeSpaceExhausted",
        702: "FirewallDisabled",
        703: "InboundPinholeNotAllowed",
        704: "NoSuchEntry",
        705: "ProtocolNotSupported",
        706: "InternalPortWildcardingNotAllowed",
        707: "ProtocolWildcardingNotAllowed",
        708: "WildCardNotPermittedInSrcIP",
        709: "NoPacketSent",
    },
}


def text_of(code, service_id):
    """Return the text of an error code that the service with that short id answers."""
    return _TEXTS_OF_SERVICE.get(service_id, TEXTS).get(code) or TEXTS[code]


# What version 1 says where version 2 has a code of its own: (action, "" for any; code of version 2) -> code.
_VERSION_1_CODES = {
    ("", 601): 402,
    ("AddPortMapping", 606): 718,
    ("AddPortMapping", 728): 501,
    ("AddPortMapping", 729): 718,
    ("AddPortMapping", 732): 402,
    ("DeletePortMapping", 606): 714,
}


def code_of_version(code, action_name, version):
    """Return the code with which an action of `version` (1 or 2) refuses for the reason that has `code`."""
    if version == 1:
        for key in ((action_name, code), ("", code)):
            if key in _VERSION_1_CODES:
                return _VERSION_1_CODES[key]
    return code


class UPnPError(Exception):
    """An action is refused: `code` is one of TEXTS, `reason` a few words for the router's own log."""

    def __init__(self, code, reason=""):
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class PCPError(Exception):
    """A request by NAT-PMP or PCP is refused: `code` is one of the result codes in pcp.py (RFC 6887 7.4).

    `reason` is for the log; `lifetime` the seconds for which it is so, None for what is usual with that code;
    `is_logged`: the log has it already.
    """

    def __init__(self, code, reason="", lifetime=None, is_logged=False):
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        self.lifetime = lifetime
        self.is_logged = is_logged


class FirewallError(Exception):
    """The firewall could not be changed.

    `text` says why and, where there is a remedy, what to do; `number` is the kernel's errno, 0 for none.
    """

    def __init__(self, text, number=0):
        super().__init__(text, number)
        self.text = text
        self.number = number

    @property
    def is_absence(self):
        """True when something that should be there is not: somebody else changed the firewall."""
        return self.number == errno.ENOENT


class ConfigError(Exception):
    """The configuration or the command line cannot be used; its first argument says what to change."""
