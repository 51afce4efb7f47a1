"""miniigd.config: the options of both schemas, the command line, and what is said when either is wrong."""

from helpers import FIRST, SECOND, Files, Output, raised
from miniigd import config, log, rules
from miniigd.errors import ConfigError

# (option, value, attribute, what it is then)
RIGHT = (
    ("enabled", "1", "enabled", 1), ("enabled", "yes", "enabled", 1), ("enable_upnp", "0", "serves_upnp", False),
    ("ipv6_disable", "1", "is_ipv6_disabled", 1),
    ("enable_upnp", "off", "serves_upnp", False), ("enable_natpmp", "0", "enable_natpmp", 0),
    ("enable_pcp_pmp", "0", "enable_natpmp", 0), ("enable_protocols", "upnp-igd", "serves_upnp", True),
    ("enable_protocols", "all", "serves_upnp", True), ("enable_protocols", "pcp+nat-pmp", "serves_upnp", False),
    ("secure_mode", "0", "secure_mode", 0), ("allow_third_party_mapping", "0", "secure_mode", 1),
    ("allow_third_party_mapping", "1", "secure_mode", 0), ("allow_third_party_mapping", "upnp-igd", "secure_mode", 0),
    ("allow_third_party_mapping", "pcp", "secure_mode", 1), ("igdv1", "1", "is_igdv1_only", 1),
    ("allow_third_party_mapping", "pcp", "allows_third_party", 1),
    ("allow_third_party_mapping", "1", "allows_third_party", 1),
    ("allow_third_party_mapping", "upnp-igd", "allows_third_party", 0),
    ("pcp_allow_thirdparty", "1", "allows_third_party", 1),
    ("enable_protocols", "upnp-igd", "serves_pcp", False), ("enable_protocols", "all", "serves_pcp", True),
    ("enable_protocols", "pcp+nat-pmp", "serves_pcp", True), ("enable_pcp_pmp", "0", "serves_pcp", False),
    ("enable_natpmp", "1", "serves_pcp", True),
    ("upnp_igd_compat", "igdv1", "is_igdv1_only", 1), ("upnp_igd_compat", "igdv2", "is_igdv1_only", 0),
    ("ext_allow_private_ipv4", "1", "allows_private_address", 1),
    ("allow_cgnat", "allow-private-ext-ipv4", "allows_private_address", 1),
    ("allow_cgnat", "0", "allows_private_address", 0), ("external_ip", "81.2.69.160", "external_ip", "81.2.69.160"),
    ("port", "1", "port", 1), ("http_port", "65535", "port", 65535), ("notify_interval", "60", "notify_interval", 60),
    ("notify_interval", "86400", "notify_interval", 86400),
    ("max_lease_duration", "3600", "max_lease_duration", 3600),
    ("upnp_lease_file", "/etc/leases", "lease_path", "/etc/leases"), ("lease_file", "", "lease_path", ""),
    ("upnp_lease_file6", "/etc/leases6", "lease_path6", "/etc/leases6"), ("lease_file6", "", "lease_path6", ""),
    ("ipv6_disable", "1", "is_ipv6_disabled", 1), ("ipv6_disable", "no", "is_ipv6_disabled", 0),
    ("firewall", "nft", "firewall", "nft"), ("firewall", "auto", "firewall", "auto"),
    ("uuid", "6D696e69-6967-8001-8000-0123456789AB", "uuid", "6D696e69-6967-8001-8000-0123456789AB"),
    ("uuid", "nocli", "uuid", ""), ("friendly_name", "Caf\u00e9 <1>", "friendly_name", "Caf\u00e9 <1>"),
    ("friendly_name", "x" * 63, "friendly_name", "x" * 63), ("model_number", "2", "model_number", "2"),
    ("serial_number", "A1", "serial_number", "A1"), ("presentation_url", "", "presentation_url", ""),
    ("presentation_url", "https://192.168.1.1/x?y", "presentation_url", "https://192.168.1.1/x?y"),
    ("upload", "512", "upstream_bit_rate", 512 * 8192), ("download", "1024", "downstream_bit_rate", 1024 * 8192),
    ("upload_kbps", "4000", "upstream_bit_rate", 4000000), ("download_kbps", "1", "downstream_bit_rate", 1000),
    ("upload", "524287", "upstream_bit_rate", 524287 * 8192), ("upload", "4000000", "upstream_bit_rate", 4294967295),
    ("download_kbps", "4294967", "downstream_bit_rate", 4294967000),
    ("system_uptime", "0", "uses_system_uptime", 0), ("log_output", "0", "log_level", log.INFO),
    ("log_output", "1", "log_level", log.DEBUG), ("log_output", "default", "log_level", log.INFO),
    ("log_output", "info", "log_level", log.INFO), ("log_output", "debug", "log_level", log.DEBUG),
    ("log_output", "warning", "log_level", log.WARNING), ("log_output", "error", "log_level", log.ERROR),
    ("external_zone", "WAN_2", "wan_zone", "WAN_2"), ("external_zone", "a" * 11, "wan_zone", "a" * 11),
    ("internal_iface", "lan guest", "internal_iface", "lan guest"), ("external_iface", "wan", "external_iface", "wan"),
    ("external_iface6", "wan6", "external_iface6", "wan6"), ("check_acl", "0", "check_acl", 0),
    ("ignore_acl", "1", "check_acl", 0), ("accept_ports", "80 90-95", "accept_ports", "80 90-95"),
    ("access_preset", "accept-web-ports", "access_preset", "80 443"), ("access_preset", "none", "access_preset", ""),
    ("reject_ports", "1-10", "reject_ports", "1-10"),
)

# option -> (wrong values, attribute, what it is then, words of the message)
WRONG = {
    "enabled": (("2", "ja", "-1"), "enabled", 0, ("0 or 1", "using 0")),
    "enable_upnp": (("x",), "enable_upnp", 1, ("0 or 1", "using 1")),
    "enable_protocols": (("upnp",), "protocols", 3, ("upnp-igd", "using all")),
    "secure_mode": (("maybe", "00"), "secure_mode", 1, ("0 or 1", "using 1")),
    "allow_third_party_mapping": (("2",), "secure_mode", 1, ("upnp-igd pcp", "using 0")),
    "igdv1": (("2",), "is_igdv1_only", 0, ("using 0",)),
    "ext_allow_private_ipv4": (("2",), "allows_private_address", 0, ("using 0",)),
    "allow_cgnat": (("always",), "allows_private_address", 0, ("allow-filtered", "using 0")),
    "external_ip": (("router.example", "81.2.69", "81.2.69.160/24", "::1", "81.2.69.256"), "external_ip", "",
                    ("an IPv4 address", "the WAN device's")),
    "port": (("0", "65536", "-1", "http", "5000 ", "5_0", "\u0665", "9" * 20), "port", 5000, ("from 1 to 65535", "5000")),
    "notify_interval": (("59", "86401", "1.5"), "notify_interval", 900, ("from 60 to 86400", "using 900")),
    "max_lease_duration": (("119", "31536001", "0"), "max_lease_duration", 604800, ("using 604800",)),
    "upload": (("4000001", "-1"), "upstream_kbyte", 0, ("from 0 to 4000000",)),
    "download_kbps": (("fast", "4294968"), "downstream_kbit", 0, ("from 0 to 4294967",)),
    "upnp_lease_file": (("leases", "/tmp/"), "lease_path", "/var/run/miniupnpd.leases", ("path", "/var/run/")),
    "firewall": (("pf",), "firewall", "auto", ("auto nft iptables memory", "using auto")),
    "uuid": (("x", "6d696e69-6967-8001-8000-0123456789a", "6d696e6916967-8001-8000-0123456789ab", "-" * 36), "uuid", "",
             ("a UUID", "made from the LAN device's address")),
    "friendly_name": (("x" * 64, "a\nb", "\ufffe"), "friendly_name", "miniigd", ("63 characters", "using miniigd")),
    "presentation_url": (("router", "http://", "http://a b/", "javascript:1", "http://" + "a" * 250),
                         "presentation_url", None, ("http://192.168.1.1/", "LAN address")),
    "external_zone": (("wan -j ACCEPT", "a" * 12, "w\u00e4n", "wan\n", "wan-2"), "wan_zone", "wan", ("using wan",)),
    "log_output": (("2", "loud"), "log_level", log.INFO, ("default info debug", "using default")),
    "access_preset": (("all",), "access_preset", "", ("accept-high-ports", "using none")),
    "accept_ports": (("80,443",), "accept_ports", "", ("80 8000-8010", "using (nothing)")),
    "reject_ports": (("smb",), "reject_ports", "21 23 135 137-139 445 3389", ("using 21 23",)),
}

# (arguments, what the message says)
BROKEN_ARGUMENTS = (
    ([], "-L"), (["-L", "lan"], "-W"), (["-W", "wan"], "-L"), (["-L"], "-L needs a value"), (["-W"], "-W needs"),
    (["-L", "lan", "-W"], "-W needs a value"), (["-x"], "-x"), (["--help"], "--help"), (["lan"], "lan"),
    ([""], "option"),
    (["-L", "lan", "-W", "wan", "-f", "pf"], "auto nft iptables memory"),
    (["-L", "lan", "-W", "wan", "-c"], "-c needs"),
    (["-L", "lan", "-W", "wan", "-6", "lan"], "lan cannot be"), (["-L", "lan", "-W", "wan", "-6"], "-6 needs"),
    (["-L", "lan", "-W", "lan"], "lan cannot be"), (["-L", "a", "-L", "lan", "-W", "lan"], "lan cannot be"),
    (["-L", "lan", "-W", "wan", "extra"], "extra"),
)


def test_defaults():
    settings = config.Config()
    assert settings.path == "/etc/config/upnpd"
    assert (settings.port, settings.notify_interval, settings.uuid, settings.firewall) == (5000, 900, "", "auto")
    assert settings.wan_zone == "wan"
    assert (settings.upstream_bit_rate, settings.downstream_bit_rate) == (100000000, 100000000)
    assert not settings.is_verbose and settings.serves_upnp and settings.secure_mode
    assert settings.is_igdv1_only == 0 and settings.enabled == 0
    assert (settings.allows_private_address, settings.external_ip, settings.max_lease_duration) == (0, "", 604800)
    assert (settings.rules, settings.problems, settings.unknown) == ([], [], [])
    assert settings.log_level == log.INFO


def test_right_values_are_taken_over():
    for name, value, attribute, expected in RIGHT:
        settings = config.Config()
        settings.set_option("config", name, value)
        assert getattr(settings, attribute) == expected, (name, value)
        assert settings.problems == settings.unknown == []


def test_every_option_that_the_documents_name_is_known():
    settings = config.Config()
    for name in ("enabled external_iface external_iface6 external_zone external_ip ext_allow_private_ipv4 use_stun "
                 "stun_host stun_port internal_iface ipv6_disable port enable_upnp enable_natpmp secure_mode "
                 "system_uptime notify_interval uuid serial_number model_number presentation_url upload download "
                 "upnp_lease_file upnp_lease_file6 igdv1 clean_ruleset_threshold clean_ruleset_interval log_output "
                 "config_file enable_protocols upnp_igd_compat access_preset accept_ports reject_ports check_acl "
                 "allow_cgnat allow_third_party_mapping lease_file download_kbps upload_kbps friendly_name http_port "
                 "force_forwarding max_lease_duration firewall").split():
        settings.set_option("config", name, "")
        assert settings.unknown == settings.problems == [], name


def test_what_is_empty_is_not_set():
    for row in config.OPTIONS:
        settings = config.Config()
        for name in row[1]:
            settings.set_option("config", name, "")
        if row[0] not in ("lease_path", "lease_path6", "presentation_url"):
            assert getattr(settings, row[0]) == row[3] and settings.named == []


def test_wrong_values_are_named_and_the_default_kept():
    for name, (values, attribute, kept, words) in WRONG.items():
        for value in values:
            settings = config.Config()
            settings.set_option("config", name, value)
            (line,) = settings.problems
            assert line.startswith("section config, option %s: '%s' is not " % (name, value)), line
            for word in words:
                assert word in line, line
            assert getattr(settings, attribute) == kept


def test_a_wrong_value_undoes_a_right_one_before_it():
    settings = config.Config()
    settings.set_option("config", "secure_mode", "0")
    settings.set_option("config", "secure_mode", "perhaps")
    assert settings.secure_mode == 1


def test_what_is_not_supported_is_named():
    for name, values, quiet, word in (("use_stun", ("1", "yes", "allow-filtered"), ("0", "no", ""), "external_ip"),
                                      ("config_file", ("/etc/miniupnpd.conf",), ("",), "UCI")):
        settings = config.Config()
        for value in quiet:
            settings.set_option("config", name, value)
        assert settings.problems == []
        for value in values:
            settings.set_option("config", name, value)
            assert "option %s: '%s' is not supported" % (name, value) in settings.problems[-1]
            assert word in settings.problems[-1]


def test_unknown_options_are_collected():
    settings = config.Config()
    for name in ("colour", "ports", "Port"):
        settings.set_option("config", name, "1")
    assert settings.unknown == ["config.colour", "config.ports", "config.Port"] and settings.problems == []


def test_each_default_is_a_right_value():
    for row in config.OPTIONS:
        text = config.shown(row, row[3])
        if row[3] not in ("", None):
            settings = config.Config()
            settings.set_option("config", row[1][0], text)
            assert getattr(settings, row[0]) == row[3] and not settings.problems, row
        assert text


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
    assert settings.wan_device6 is None
    assert config.parse_arguments(["-L", "a", "-W", "w", "-6", "6in4-wan6"]).wan_device6 == "6in4-wan6"
    assert config.parse_arguments(["-L", "a", "-L", "b", "-L", "a", "-W", "w"]).lan_devices == ["a", "b"]


def test_options_of_the_command_line_count_whatever_the_file_says():
    settings = config.parse_arguments(["-L", "a", "-W", "w", "-c", "/etc/test", "-o", "port=1780", "-o", "uuid=x",
                                       "-o", "colour", "-o", "notify_interval=60"])
    with Output(log) as output, Files(config, FIRST.encode()):
        config.read_file(settings)
    assert (settings.port, settings.notify_interval, settings.uuid) == (1780, 60, "")
    text = output.text()
    assert "section (command line), option uuid: 'x' is not" in text
    assert "not known are ignored: (command line).colour" in text


def test_the_firewall_of_the_command_line_comes_before_the_file_s():
    for name in ("auto", "nft", "iptables", "memory"):
        settings = config.parse_arguments(["-L", "lan", "-W", "wan"])
        settings.set_option("config", "firewall", name)
        assert settings.firewall == name
        settings = config.parse_arguments(["-L", "lan", "-W", "wan", "-f", name])
        settings.set_option("config", "firewall", "nft")
        assert settings.firewall == name


def test_broken_command_lines():
    for arguments, message in BROKEN_ARGUMENTS:
        assert message in raised(ConfigError, config.parse_arguments, arguments).args[0], arguments


def test_the_usage_names_every_option():
    for option in ("-L", "-W", "-6", "-c", "-f", "-o", "-v", "--version", "check", "/etc/config/upnpd"):
        assert option in config.USAGE


def _read_file(data):
    settings = config.Config()
    settings.path = "/etc/test"
    with Output(log) as output, Files(config, data):
        config.read_file(settings)
    return settings, output.text()


def _rules(settings):
    return [rules.text_of(rule) for rule in settings.rules]


def test_a_file_of_the_first_schema_is_read():
    settings, text = _read_file(FIRST.replace("5000", "5001").encode())
    assert text == ""
    assert (settings.port, settings.is_igdv1_only, settings.upstream_bit_rate) == (5001, 1, 512 * 8192)
    assert _rules(settings) == ["allow 1024-65535 0.0.0.0/0 1024-65535", "deny 1-65535 0.0.0.0/0 1-65535"]
    assert [str(rule) for rule in settings.rules] == ["perm_rule 1 (Allow high ports)", "perm_rule 2 (Default deny)"]
    assert not settings.has_settings


HIGH, REST = "allow 1024-65535 0.0.0.0/0 1024-65535", "deny 1-65535 0.0.0.0/0 1-65535"
REJECTED = 2 * len("21 23 135 137-139 445 3389".split())


def test_a_file_of_the_second_schema_is_read():
    settings, text = _read_file(SECOND.encode())
    assert text == "" and settings.has_settings
    assert (settings.port, settings.is_igdv1_only, settings.downstream_bit_rate) == (5001, 1, 50000000)
    found = _rules(settings)
    assert found[0] == "deny 21-21 0.0.0.0/0 1-65535"
    assert found[REJECTED:] == ['allow 80-80 192.168.1.5/32 80-80 "web.*"', HIGH, REST]


def test_the_second_schema_accepts_what_it_says_and_nothing_more():
    for text, expected in (
            ("", [HIGH, REST]),  # nothing is said
            ("\toption access_preset 'none'\n", [REST]), ("\toption access_preset 'nonsense'\n", [REST]),
            ("\toption accept_ports '8080'\n", [HIGH, "allow 8080-8080 0.0.0.0/0 8080-8080", REST]),
            ("config acl_entry\n\toption action 'accept'\n", ["allow 1-65535 0.0.0.0/0 1-65535", REST]),
            ("config acl_entry\n\toption action 'ignore'\n", [HIGH, REST]),
            ("config acl_entry\n\toption action 'accept'\n\toption ext_port 'x'\n", [REST]),
            ("\toption check_acl '0'\n\toption access_preset 'accept-all-ports'\nconfig acl_entry\n",
             ["allow 1-65535 0.0.0.0/0 1-65535", REST]),
            ("config internal_network\n\toption interface 'lan'\n\toption access_preset 'accept-all-ports'\n",
             ["allow 1-65535 0.0.0.0/0 1-65535", REST])):
        settings, _ = _read_file(("config upnpd 'settings'\n" + text).encode())
        assert _rules(settings)[REJECTED:] == expected, text


def test_networks_with_different_rules_are_named_and_get_the_least():
    text = "config internal_network\n\toption interface '%s'\n\toption access_preset '%s'\n"
    settings, output = _read_file((text % ("lan", "accept-high-ports") + text % ("guest", "none")).encode())
    assert _rules(settings)[REJECTED:] == [REST] and "all networks must have the same access_preset" in output
    settings, output = _read_file((text % ("lan", "accept-high-ports") + text % ("b", "accept-high-ports")).encode())
    assert _rules(settings)[REJECTED:] == [HIGH, REST] and output == ""


def test_other_sections_are_left_alone():
    settings, text = _read_file(b"config upnpd 'other'\noption port 1\nconfig upnpd\noption port 2\n"
                                b"config other 'config'\noption port 3\nconfig upnpd 'config'\noption port 4\n")
    assert settings.port == 4 and text == ""


def test_all_unknown_options_are_in_one_line_and_wrong_ones_in_their_own():
    settings, text = _read_file(
        b"config upnpd 'config'\noption colour blue\noption port x\noption b c\noption igdv1 2\n"
        b"config perm_rule\noption action allow\noption int_addr pc\n")
    lines = text.split("\n")[:-1]
    assert len(lines) == 4 and settings.rules == []
    for line in lines:
        assert line.startswith("miniigd: warning: /etc/test: ")
    assert "section config, option port: 'x' is not a number from 1 to 65535; using 5000" in lines[0]
    assert "option igdv1" in lines[1] and "section perm_rule 1, option int_addr: 'pc'" in lines[2]
    assert lines[3].endswith("not known are ignored: config.colour config.b")


def test_a_file_that_does_not_exist_leaves_the_defaults():
    settings, text = _read_file(None)
    assert settings.port == 5000
    assert "/etc/test cannot be read" in text


def test_a_broken_file_is_named():
    assert raised(ConfigError, _read_file, b"hello\n").args[0].startswith("/etc/test: line 1 ")


def test_a_file_that_is_no_text():
    for data in (b"config upnpd 'config'\noption a 'caf\xe9'\n", b"\xff" * 100, b"\x7fELF\x01\xff\xfe"):
        assert raised(ConfigError, _read_file, data).args[0].startswith("/etc/test ")
