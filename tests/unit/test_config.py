"""miniigd.config: the UCI file as LuCI and people write it, the command line, and what is said when either is wrong."""

from helpers import Files, Output, raised
from miniigd import config, log
from miniigd.errors import ConfigError

SHIPPED = """
config upnpd 'config'
\toption enabled '0'
\toption enable_natpmp '1'
\toption download '1024'
\toption upload '512'
\toption internal_iface 'lan'
\toption port '5000'
\toption upnp_lease_file '/var/run/miniupnpd.leases'
\toption igdv1 '1'
\toption uuid ''

config perm_rule
\toption action 'allow'
\toption ext_ports '1024-65535'
\toption int_addr '0.0.0.0/0' # Does not override secure_mode
\toption comment 'Allow high ports'
"""

# (text, options)
FILES = (
    ("", []), ("\n\n", []), ("# nothing\n   # here", []), ("config upnpd 'config'", []),
    ("config upnpd config\noption port 5000", [("port", "5000")]),
    ("config 'upnpd' \"config\"\n\toption\tport\t'5000'\r\n", [("port", "5000")]),
    ("config upnpd 'config'\noption port ''", [("port", "")]),
    ("config upnpd 'config'\noption a 'b c'\noption d \"e'f\"", [("a", "b c"), ("d", "e'f")]),
    ("config upnpd 'config'\noption a 'b' # c\noption d e#f", [("a", "b"), ("d", "e#f")]),
    ("config upnpd 'config'\noption a '#b'", [("a", "#b")]),
    ("config upnpd 'config'\nlist a b\noption c d\n", [("c", "d")]),
    ("package upnpd\nconfig upnpd 'config'\noption a b", [("a", "b")]),
    ("config perm_rule\noption a b\nconfig upnpd 'config'\noption c d\nconfig perm_rule 'x'\noption e f",
     [("perm_rule", ""), ("c", "d"), ("perm_rule", "x")]),
    ("config upnpd 'other'\noption a b\nconfig upnpd\noption c d\nconfig other 'config'\noption e f", []),
    ("option a b\nconfig upnpd 'config'\noption c d", [("c", "d")]),
    ("config upnpd 'config'\noption a 1\noption a 2", [("a", "1"), ("a", "2")]),
    # uci writes an apostrophe like this
    ("config perm_rule\noption comment 'don'\\''t'\nconfig upnpd 'config'\noption a 'b'\\''c'",
     [("perm_rule", ""), ("a", "b'c")]),
    ("config upnpd 'config'\noption a b\\ c\noption d \"e\\\"f\\\\\"\noption g 'h\\'",
     [("a", "b c"), ("d", "e\"f\\"), ("g", "h\\")]),
)

# (text, what the message says)
BROKEN_FILES = (
    ("hello", "line 1"), ("config upnpd 'config'\noption port", "line 2"), ("\n\nconfig", "line 3"),
    ("config upnpd 'config'\noption port 5 6", "option port 5 6"), ("config upnpd 'config", "line 1"),
    ("config a b c", "line 1"), ("option a \"b", "quote"), ("<html>", "<html>"), ("PK\x03\x04", "line 1"),
    ("config upnpd 'config'\n\nfoo bar", "line 3"),
)

# (arguments, what the message says)
BROKEN_ARGUMENTS = (
    ([], "-L"), (["-L", "lan"], "-W"), (["-W", "wan"], "-L"), (["-L"], "-L needs a value"), (["-W"], "-W needs"),
    (["-L", "lan", "-W"], "-W needs a value"), (["-x"], "-x"), (["--help"], "--help"), (["lan"], "lan"),
    ([""], "option"),
    (["-L", "lan", "-W", "wan", "-f", "pf"], "auto nft iptables memory"),
    (["-L", "lan", "-W", "wan", "-c"], "-c needs"),
    (["-L", "lan", "-W", "lan"], "lan cannot be"), (["-L", "a", "-L", "lan", "-W", "lan"], "lan cannot be"),
    (["-L", "lan", "-W", "wan", "extra"], "extra"),
)


def test_the_shipped_file():
    options = config.parse_uci(SHIPPED)
    assert options[0] == ("enabled", "0")
    assert ("download", "1024") in options and ("uuid", "") in options
    assert options[9:] == [("perm_rule", "")]


def test_files():
    for text, options in FILES:
        assert config.parse_uci(text) == options, text


def test_broken_files_are_refused_with_the_line():
    for text, message in BROKEN_FILES:
        assert message in raised(ConfigError, config.parse_uci, text).args[0], text


def test_only_config_error_escapes_from_damaged_files():
    for position in range(len(SHIPPED)):
        for character in "\0\n '\"#\\\u00e9x":
            try:
                config.parse_uci(SHIPPED[:position])
                config.parse_uci(SHIPPED[:position] + character + SHIPPED[position + 1:])
            except ConfigError as error:
                assert error.args[0].startswith("line ")


def test_defaults():
    settings = config.Config()
    assert settings.path == "/etc/config/upnpd"
    assert (settings.port, settings.notify_interval, settings.uuid, settings.firewall) == (5000, 900, "", "auto")
    assert settings.wan_zone == "wan"
    assert (settings.upstream_bit_rate, settings.downstream_bit_rate) == (100000000, 100000000)
    assert not settings.is_verbose
    assert settings.is_igdv1_only == 0
    assert (settings.allows_private_address, settings.external_ip, settings.max_lease_duration) == (0, "", 604800)


def test_options_are_taken_over():
    settings = config.Config()
    with Output(log) as output:
        for name, value in (("port", "5431"), ("notify_interval", "60"), ("upload", "512"), ("download", "1024"),
                            ("uuid", "6D696e69-6967-8001-8000-0123456789AB"), ("external_ip", "81.2.69.160"),
                            ("ext_allow_private_ipv4", "1"), ("max_lease_duration", "3600"), ("unknown", "\x00"),
                            ("enabled", "1")):
            settings.set_option(name, value)
    assert output.text() == ""
    assert (settings.port, settings.notify_interval) == (5431, 60)
    assert (settings.upstream_bit_rate, settings.downstream_bit_rate) == (512 * 8192, 1024 * 8192)
    assert settings.uuid == "6D696e69-6967-8001-8000-0123456789AB"
    assert (settings.allows_private_address, settings.external_ip, settings.max_lease_duration) == (
        1, "81.2.69.160", 3600)


def test_a_wrong_address_is_named():
    for value in ("router.example", "81.2.69", "81.2.69.160/24", "::1", "81.2.69.256"):
        settings = config.Config()
        with Output(log) as output:
            settings.set_option("external_ip", value)
        assert "option external_ip is '%s', not an IPv4 address; using the WAN device's" % value in output.text()
        assert settings.external_ip == ""


def test_the_least_and_the_most_are_allowed():
    for name, value in (("port", 1), ("port", 65535), ("notify_interval", 60), ("notify_interval", 86400)):
        settings = config.Config()
        settings.set_option(name, str(value))
        assert getattr(settings, name) == value


def test_a_wrong_number_is_named_and_the_default_kept():
    for name, values in (("port", ("", "0", "65536", "-1", "http", "5000 ", "5_0", "\u0665", "99999999999999999999")),
                         ("notify_interval", ("59", "86401", "1.5")), ("upload", ("4000001", "-1")),
                         ("download", ("fast",)), ("igdv1", ("2", "-1", "", "yes")),
                         ("ext_allow_private_ipv4", ("2", "yes")), ("max_lease_duration", ("119", "31536001", "0"))):
        for value in values:
            settings = config.Config()
            with Output(log) as output:
                settings.set_option(name, value)
            assert "option %s is " % name in output.text(), value
            assert (settings.port, settings.notify_interval) == (5000, 900)
            assert (settings.upstream_kbyte, settings.downstream_kbyte, settings.is_igdv1_only) == (0, 0, 0)
            assert (settings.allows_private_address, settings.max_lease_duration) == (0, 604800)


def test_a_wrong_uuid_is_named():
    for value in ("x", "6d696e69-6967-8001-8000-0123456789a", "6d696e6916967-8001-8000-0123456789ab", "-" * 36):
        settings = config.Config()
        with Output(log) as output:
            settings.set_option("uuid", value)
        assert "not a UUID" in output.text()
        assert settings.uuid == ""
    settings = config.Config()
    with Output(log) as output:
        settings.set_option("uuid", "nocli")  # the init script of miniupnpd knows this one
        settings.set_option("uuid", "")
    assert output.text() == ""
    assert settings.uuid == ""


def test_the_bit_rate_fits_a_ui4():
    settings = config.Config()
    settings.set_option("upload", "4000000")
    assert settings.upstream_bit_rate == 4294967295
    settings.set_option("upload", "524287")
    assert settings.upstream_bit_rate == 524287 * 8192


def test_uuids():
    for text in ("00000000-0000-0000-0000-000000000000", "6d696e69-6967-8001-8000-FFFFFFFFFFFF"):
        assert config.is_uuid(text)
    for text in ("", "0", "00000000-0000-0000-0000-00000000000g", "00000000-0000-0000-0000-0000000000000",
                 "000000000-000-0000-0000-000000000000", "00000000_0000_0000_0000_000000000000", "-" * 36, "0" * 36,
                 "\u0660" * 8 + "-0000-0000-0000-000000000000"):
        assert not config.is_uuid(text)


def test_the_uuid_of_a_mac_address():
    assert config.uuid_of_mac(b"\x00\x01\x02\xfd\xfe\xff") == "6d696e69-6967-8001-8000-000102fdfeff"
    assert config.is_uuid(config.uuid_of_mac(bytes(6)))


def test_command_lines():
    settings = config.parse_arguments(["-L", "br-lan", "-W", "wan"])
    assert (settings.lan_devices, settings.wan_device, settings.firewall) == (["br-lan"], "wan", "auto")
    assert (settings.path, settings.is_verbose) == ("/etc/config/upnpd", False)
    settings = config.parse_arguments(["-v", "-f", "memory", "-W", "w", "-L", "a", "-c", "/tmp/x", "-L", "b"])
    assert (settings.lan_devices, settings.wan_device, settings.firewall) == (["a", "b"], "w", "memory")
    assert (settings.path, settings.is_verbose) == ("/tmp/x", True)


def test_the_firewall_of_the_command_line_comes_before_the_file_s():
    for name in ("auto", "nft", "iptables", "memory"):
        settings = config.parse_arguments(["-L", "lan", "-W", "wan"])
        settings.set_option("firewall", name)
        assert settings.firewall == name
        settings = config.parse_arguments(["-L", "lan", "-W", "wan", "-f", name])
        settings.set_option("firewall", "nft")
        assert settings.firewall == name
    settings = config.Config()
    settings.set_option("firewall", "")
    assert settings.firewall == "auto"
    with Output(log) as output:
        settings.set_option("firewall", "pf")
    assert settings.firewall == "auto" and "one of auto nft iptables memory" in output.text()


def test_the_zone_is_a_name():
    settings = config.Config()
    with Output(log) as output:
        for name in ("modem", "WAN_2", "a" * 11):
            settings.set_option("external_zone", name)
            assert settings.wan_zone == name
        for name in ("wan -j ACCEPT", "a" * 12, "w\u00e4n", "wan\n", "wan-2"):
            settings.set_option("external_zone", name)
            assert settings.wan_zone == "a" * 11, name
    assert output.text().count("using wan") == 5


def test_broken_command_lines():
    for arguments, message in BROKEN_ARGUMENTS:
        assert message in raised(ConfigError, config.parse_arguments, arguments).args[0], arguments


def test_the_usage_names_every_option():
    for option in ("-L", "-W", "-c", "-f", "-v", "--version", "/etc/config/upnpd"):
        assert option in config.USAGE


def _read_file(data):
    settings = config.Config()
    settings.path = "/etc/test"
    with Output(log) as output, Files(config, data):
        config.read_file(settings)
    return settings, output.text()


def test_a_file_is_read():
    settings, text = _read_file(SHIPPED.replace("5000", "5001").partition("config perm_rule")[0].encode())
    assert settings.port == 5001
    assert settings.is_igdv1_only == 1
    assert text == ""


def test_rules_that_are_not_read_are_named_once():
    settings, text = _read_file((SHIPPED + SHIPPED[SHIPPED.find("config perm_rule"):]).encode())
    assert settings.port == 5000
    assert text.count("\n") == 1 and "/etc/test: perm_rule sections are not read yet" in text


def test_a_file_that_does_not_exist_leaves_the_defaults():
    settings, text = _read_file(None)
    assert settings.port == 5000
    assert "/etc/test cannot be read" in text


def test_a_broken_file_is_named():
    assert raised(ConfigError, _read_file, b"hello\n").args[0].startswith("/etc/test: line 1 ")


def test_a_file_that_is_no_text():
    for data in (b"config upnpd 'config'\noption a 'caf\xe9'\n", b"\xff" * 100, b"\x7fELF\x01\xff\xfe"):
        assert raised(ConfigError, _read_file, data).args[0].startswith("/etc/test ")
