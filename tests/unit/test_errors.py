"""miniigd.errors: the table of codes is fit for a fault, and the exceptions carry what their readers take."""

from miniigd.errors import TEXTS, ConfigError, FirewallError, UPnPError, code_of_version, text_of


def test_every_code_has_a_text_that_needs_no_escaping():
    # Clients refuse a fault with an empty description.
    for code in (401, 402, 404, 501, 606, 703, 704, 713, 601, 714, 716, 718, 720, 721, 728, 729, 730, 731, 732, 733):
        assert TEXTS[code]
        for character in TEXTS[code]:
            assert " " <= character <= "~" and character not in "<>&\"", TEXTS[code]


def test_version_1_has_not_all_the_codes_of_version_2():
    changed = {("AddPortMapping", 606): 718, ("AddPortMapping", 728): 501, ("DeletePortMapping", 606): 714,
               ("AddPortMapping", 729): 718, ("AddPortMapping", 732): 402}
    for name in ("AddPortMapping", "DeletePortMapping", "GetSpecificPortMappingEntry", "AddAnyPortMapping",
                 "DeletePortMappingRange", "ForceTermination", "QueryStateVariable", ""):
        for code in TEXTS:
            expected = 402 if code == 601 else changed.get((name, code), code)
            assert code_of_version(code, name, 1) == expected, (name, code)
            assert code_of_version(code, name, 1) in TEXTS
            assert code_of_version(code, name, 2) == code


def test_a_upnp_error_has_a_code_and_a_reason():
    error = UPnPError(718, "it belongs to 192.168.1.9")
    assert (error.code, error.reason, error.args) == (718, "it belongs to 192.168.1.9", error.args)
    assert error.args[0] == 718
    assert UPnPError(714).reason == ""


def test_the_first_argument_of_the_others_says_why():
    assert FirewallError("no table", 2).args == ("no table", 2)
    assert ConfigError("-L needs a value").args[0] == "-L needs a value"


def test_they_are_kinds_of_their_own():
    for kind in (UPnPError, FirewallError, ConfigError):
        assert issubclass(kind, Exception)
        for other in (UPnPError, FirewallError, ConfigError, OSError, ValueError):
            assert kind is other or not issubclass(kind, other)


def test_the_same_code_is_another_reason_in_another_service():
    for code in range(701, 710):
        text = text_of(code, "WANIPv6Firewall1")
        assert text and text != TEXTS.get(code)
    assert text_of(703, "WANIPConn1") == TEXTS[703] and text_of(606, "WANIPv6Firewall1") == TEXTS[606]
