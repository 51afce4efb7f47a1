"""The one table of UPnP error codes, and the exception that carries one to the client."""

# UDA 1.0 3.2.2, WANIPConnection:1 2.4.x and WANIPConnection:2 2.5.x; the texts are the standards' own.
TEXTS = {
    401: "Invalid Action",
    402: "Invalid Args",
    501: "Action Failed",
    606: "Action not authorized",
    713: "SpecifiedArrayIndexInvalid",
    714: "NoSuchEntryInArray",
    715: "WildCardNotPermittedInSrcIP",
    716: "WildCardNotPermittedInExtPort",
    718: "ConflictInMappingEntry",
    728: "NoPortMapsAvailable",
}


class UPnPError(Exception):
    """An action is refused: `code` is one of TEXTS, `reason` a few words for the router's own log."""

    def __init__(self, code, reason=""):
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class FirewallError(Exception):
    """The firewall could not be changed; its first argument says why and, where there is a remedy, what to do."""


class ConfigError(Exception):
    """The configuration or the command line cannot be used; its first argument says what to change."""
