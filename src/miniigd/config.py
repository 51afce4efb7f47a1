"""The configuration: the options of /etc/config/upnpd and the command line.

Owns every default. The file is the one that miniupnpd and luci-app-upnp use, in both of their schemas: a section
named config with perm_rule sections, or one named settings with acl_entry sections. There is one table of options;
reading, checking and `miniigd check` go by it. The daemon runs with whatever it finds: what is wrong is named, and the
default, which opens least, is used.
"""

from . import log, rules, uci
from .addresses import ip4_bytes
from .compat import const
from .errors import ConfigError

PATH = "/etc/config/upnpd"

USAGE = """usage: miniigd -L LAN_DEVICE [-L ...] -W WAN_DEVICE [-6 DEVICE] [-c FILE] [-f BACKEND] [-o NAME=VALUE ...] [-v]
       miniigd check [-c FILE]
       miniigd --version
       miniigd help             (commands to the running daemon: status, close, pause ...)
Opens ports for programs on the LAN (UPnP IGD, NAT-PMP, PCP). `check` says what is wrong in the configuration, or what
it sets.
  -L DEVICE   network device of the LAN, e.g. br-lan; may be given several times
  -W DEVICE   network device of the WAN, e.g. eth1 or pppoe-wan
  -6 DEVICE   network device of the WAN for IPv6, where that is another one, e.g. 6in4-wan6
  -c FILE     UCI configuration, default %s
  -f BACKEND  firewall: auto (default), nft (firewall4, or a table of our own), iptables (firewall3 and older), or
              memory (opens nothing; for trying it out)
  -o NAME=VALUE  an option, whatever the file says of it
  -v          log what is refused and why, in detail
""" % PATH

# Each by itself, and a literal: then the table below is a constant too, and takes no memory on the router.
_FLAG = const(0)
_NUMBER = const(1)
_WORD = const(2)
_TEXT = const(3)
_FIREWALLS = const(("auto", "nft", "iptables", "memory"))

# (attribute, its UCI options, kind, default, ...). First come the options of the first schema, then those that only
# the second one has; where two rows have the same attribute, the first is what `check` shows. Behind the default: of a
# _NUMBER the least and the most, of a _WORD the words and what they stand for, of a _TEXT its test in _TESTS.
OPTIONS = (
    ("enabled", ("enabled",), _FLAG, 0),  # the init script uses this one and the next six
    ("external_iface", ("external_iface",), _TEXT, "", "name"),
    ("external_iface6", ("external_iface6",), _TEXT, "", "name"),
    ("wan_zone", ("external_zone",), _TEXT, "wan", "zone"),
    ("internal_iface", ("internal_iface",), _TEXT, "lan", "name"),
    ("enable_upnp", ("enable_upnp",), _FLAG, 1),
    ("enable_natpmp", ("enable_natpmp", "enable_pcp_pmp"), _FLAG, 1),
    ("secure_mode", ("secure_mode",), _FLAG, 1),
    ("is_igdv1_only", ("igdv1",), _FLAG, 0),
    ("external_ip", ("external_ip",), _TEXT, "", "address"),
    ("allows_private_address", ("ext_allow_private_ipv4",), _FLAG, 0),
    ("is_ipv6_disabled", ("ipv6_disable",), _FLAG, 0),
    ("allows_third_party", ("pcp_allow_thirdparty",), _FLAG, 0),
    ("is_hairpin", ("hairpin",), _FLAG, 0),
    ("port", ("port", "http_port"), _NUMBER, 5000, 1, 65535),
    ("notify_interval", ("notify_interval",), _NUMBER, 900, 60, 86400),
    ("max_lease_duration", ("max_lease_duration",), _NUMBER, 604800, 120, 31536000),
    ("lease_path", ("upnp_lease_file", "lease_file"), _TEXT, "/var/run/miniupnpd.leases", "path"),
    ("lease_path6", ("upnp_lease_file6", "lease_file6"), _TEXT, "/var/run/miniupnpd.leases6", "path"),
    ("firewall_option", ("firewall",), _WORD, "auto", _FIREWALLS, _FIREWALLS),
    ("uuid", ("uuid",), _TEXT, "", "uuid"),
    ("friendly_name", ("friendly_name", "upnp_igd_friendly_name"), _TEXT, "miniigd", "label"),
    ("model_number", ("model_number",), _TEXT, "1", "label"),
    ("serial_number", ("serial_number",), _TEXT, "00000000", "label"),
    ("presentation_url", ("presentation_url",), _TEXT, None, "url"),
    ("upstream_kbyte", ("upload",), _NUMBER, 0, 0, 4000000),
    ("downstream_kbyte", ("download",), _NUMBER, 0, 0, 4000000),
    ("uses_system_uptime", ("system_uptime",), _FLAG, 1),
    ("log_level", ("log_output",), _WORD, 1, ("default", "info", "debug", "0", "1", "warning", "error"),
     (1, 1, 0, 1, 0, 2, 3)),
    ("protocols", ("enable_protocols", "enabled_protocols"), _WORD, 3, ("upnp-igd", "pcp+nat-pmp", "all"), (1, 2, 3)),
    ("secure_mode", ("allow_third_party_mapping",), _WORD, 1, ("0", "1", "upnp-igd", "pcp"), (1, 0, 0, 1)),
    ("allows_third_party", ("allow_third_party_mapping",), _WORD, 0, ("0", "1", "upnp-igd", "pcp"), (0, 1, 0, 1)),
    ("is_igdv1_only", ("upnp_igd_compat",), _WORD, 0, ("igdv1", "igdv2"), (1, 0)),
    ("allows_private_address", ("allow_cgnat", "allow_cgnat_use"), _WORD, 0,
     ("0", "1", "allow-filtered", "allow-private-ext-ipv4"), (0, 1, 1, 1)),
    ("upstream_kbit", ("upload_kbps",), _NUMBER, 0, 0, 4294967),
    ("downstream_kbit", ("download_kbps",), _NUMBER, 0, 0, 4294967),
    ("access_preset", ("access_preset", "access_defaults"), _WORD, "",
     ("none", "accept-high-ports", "accept-web-ports", "accept-web+high-ports", "accept-high-ports+web",
      "accept-all-ports"),
     ("", "1024-65535", "80 443", "80 443 1024-65535", "80 443 1024-65535", "1-65535")),
    ("accept_ports", ("accept_ports",), _TEXT, "", "ports"),
    ("reject_ports", ("reject_ports",), _TEXT, "21 23 135 137-139 445 3389", "ports"),
    ("check_acl", ("check_acl",), _FLAG, 1),
    ("check_acl", ("ignore_acl",), _WORD, 1, ("0", "1"), (1, 0)),
)
# Known, and of no use to this daemon: idle rules end with their lease, and LuCI leaves the STUN server's name there when
# STUN is switched off.
_UNUSED = ("clean_ruleset_threshold", "clean_ruleset_interval", "stun_host", "stun_port", "force_forwarding", "interface",
           "custom_acl_before")
# Known, and not supported: option -> what to write instead.
_UNSUPPORTED = {
    "use_stun": "there is no STUN here; set external_ip, or ext_allow_private_ipv4",
    "config_file": "only UCI is read; write its options and rules here",
}
_NO = ("0", "no", "off", "false", "disabled")  # as /lib/functions.sh has it
_YES = ("1", "yes", "on", "true", "enabled")
_ZONE_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
_DEFAULT_BIT_RATE = 100000000  # bit/s, reported when the file names none
_MOST_BIT_RATE = 4294967295  # a ui4
_MOST_LABEL = const(63)  # characters; UDA 1.0 2.1 wants friendlyName to be shorter than 64
_MOST_URL = const(255)  # some clients read descriptions of up to 4 KB


class Config:
    """The effective settings; every attribute that modules may use is set here."""

    def __init__(self):
        self.lan_devices = []
        self.wan_device = None
        self.wan_device6 = None  # where IPv6 comes by another one
        self.path = PATH
        self.firewall_argument = None  # of the command line, before that of the file
        self.option_arguments = []  # (name, value) of the command line
        self.is_verbose = False
        self.has_settings = False  # the file is of the second schema
        self.rules = []  # rules.Rule, in order
        self.named = []  # the attributes that the file sets
        self.problems = []  # what is wrong in the file, a line each
        self.unknown = []  # options
        self._rows = {}  # option -> its rows of OPTIONS, while a file is read
        for row in OPTIONS:
            setattr(self, row[0], row[3])

    @property
    def firewall(self):
        """One of _FIREWALLS."""
        return self.firewall_argument or self.firewall_option

    @property
    def serves_upnp(self):
        """True unless UPnP is switched off."""
        return bool(self.enable_upnp and self.protocols & 1)

    @property
    def serves_pcp(self):
        """True unless NAT-PMP and PCP are switched off."""
        return bool(self.enable_natpmp and self.protocols & 2)

    @property
    def upstream_bit_rate(self):
        """Bit/s, from the first schema's kB/s as miniupnpd takes it, or from the second one's kbit/s."""
        return min(self.upstream_kbit * 1000 or self.upstream_kbyte * 8192, _MOST_BIT_RATE) or _DEFAULT_BIT_RATE

    @property
    def downstream_bit_rate(self):
        """Bit/s."""
        return min(self.downstream_kbit * 1000 or self.downstream_kbyte * 8192, _MOST_BIT_RATE) or _DEFAULT_BIT_RATE

    def set_option(self, section, name, value):
        """Take over a UCI option of that section; a wrong value is named and the default kept."""
        if not self._rows:
            for row in OPTIONS:
                for option in row[1]:
                    self._rows[option] = self._rows.get(option, ()) + (row,)
        rows = self._rows.get(name, ())
        for row in rows:
            self._set(row, section, name, value, row is rows[0])
        if rows:
            return
        if name in _UNSUPPORTED:
            if value and value not in _NO:
                self.problems.append("section %s, option %s: '%s' is not supported: %s"
                                     % (section, name, value, _UNSUPPORTED[name]))
        elif name not in _UNUSED:
            self.unknown.append("%s.%s" % (section, name))

    def forget_index(self):
        """Give back the memory that reading took."""
        self._rows = {}

    def _set(self, row, section, name, value, is_told):
        attribute, _, kind, default = row[:4]
        if not value and not (kind == _TEXT and row[4] in ("path", "url")):
            return  # as uci has it: what is empty is not set
        found, expected = _read(row, value)
        if found is None:
            if is_told:  # once, where an option sets two things
                self.problems.append("section %s, option %s: '%s' is not %s; using %s"
                                     % (section, name, value, expected, shown(row, default)))
            found = default
        self.named.append(attribute)
        setattr(self, attribute, found)


def _read(row, value):
    """Return (what the value stands for, or None where it is wrong; what it should be)."""
    kind = row[2]
    if kind == _FLAG:
        return 1 if value in _YES else 0 if value in _NO else None, "0 or 1"
    if kind == _NUMBER:
        least, most = row[4:]
        is_right = value.encode().isdigit() and len(value) <= 10 and least <= int(value) <= most
        return int(value) if is_right else None, "a number from %d to %d" % (least, most)
    if kind == _WORD:
        words, meanings = row[4:]
        return meanings[words.index(value)] if value in words else None, "one of %s" % " ".join(words)
    is_right, expected = _TESTS[row[4]]
    if row[4] == "uuid" and value == "nocli":  # miniupnpd's word for no UUID
        return "", expected
    return value if not value or is_right(value) else None, expected


_SHOWN = {
    "uuid": "one made from the LAN device's address",
    "external_ip": "the WAN device's address",
    "external_iface": "the one with the default route",
    "presentation_url": "the router's LAN address",
}


def shown(row, value):
    """Return as people write it what the option of a row of OPTIONS is set to."""
    if row[2] == _WORD:
        return row[4][row[5].index(value)]
    if not value and value == row[3]:
        value = _SHOWN.get(row[0], value)
    return "(nothing)" if value == "" else str(value)


def is_uuid(text):
    """True for 8-4-4-4-12 hexadecimal digits."""
    groups = text.split("-")
    return [len(group) for group in groups] == [8, 4, 4, 4, 12] and not "".join(groups).strip("0123456789abcdefABCDEF")


def is_address(text):
    """True for a dotted quad."""
    try:
        ip4_bytes(text)
    except ValueError:
        return False
    return True


def is_path(text):
    """True for the path of a file."""
    return text.startswith("/") and not text.endswith("/")


def is_zone(text):
    """True for what firewall3 takes as the name of a zone: it becomes a part of the names of chains."""
    for character in text:
        if character not in _ZONE_LETTERS:
            return False
    return len(text) <= 11


def is_label(text):
    """True for a text that fits an element of the description."""
    for character in text:
        if character < " " or 0x7F <= ord(character) < 0xA0 or 0xD800 <= ord(character):
            return False  # among those are what XML does not allow
    return len(text) <= _MOST_LABEL


def is_url(text):
    """True for an absolute URL of the web, in ASCII."""
    for character in text:
        if not "!" <= character <= "~":
            return False
    return len(text) <= _MOST_URL and text.partition("://")[0] in ("http", "https") and len(text) > 8


# (is it right?, what it should be)
_TESTS = {
    "name": (lambda text: True, ""),
    "zone": (is_zone, "a name of up to 11 letters and digits"),
    "address": (is_address, "an IPv4 address"),
    "path": (is_path, "the path of a file"),
    "uuid": (is_uuid, "a UUID"),
    "label": (is_label, "a text of up to %d characters" % _MOST_LABEL),
    "url": (is_url, "a URL like http://192.168.1.1/"),
    "ports": (rules.are_ports, "ports and ranges like 80 8000-8010"),
}


def uuid_of_mac(mac):
    """Return the router's own UUID (version 8) for a MAC address of 6 bytes: the same after every restart."""
    return "6d696e69-6967-8001-8000-" + "".join(["%02x" % byte for byte in mac])


def parse_arguments(arguments):
    """Return the Config of a command line, its file not yet read; ConfigError."""
    config = Config()
    position = 0
    while position < len(arguments):
        option = arguments[position]
        if option == "-v":
            config.is_verbose = True
            position += 1
            continue
        if option not in ("-L", "-W", "-6", "-c", "-f", "-o"):
            raise ConfigError("unknown option %s" % option)
        if position + 1 == len(arguments):
            raise ConfigError("%s needs a value" % option)
        value = arguments[position + 1]
        if option == "-L":
            if value not in config.lan_devices:
                config.lan_devices.append(value)
        elif option == "-W":
            config.wan_device = value
        elif option == "-6":
            config.wan_device6 = value
        elif option == "-c":
            config.path = value
        elif option == "-o":
            name, _, value = value.partition("=")
            config.option_arguments.append((name, value))
        elif value in _FIREWALLS:
            config.firewall_argument = value
        else:
            raise ConfigError("-f takes one of: %s" % " ".join(_FIREWALLS))
        position += 2
    if not config.lan_devices or config.wan_device is None:
        raise ConfigError("the devices of the LAN (-L) and of the WAN (-W) are needed")
    for device in (config.wan_device, config.wan_device6):
        if device in config.lan_devices:
            raise ConfigError("%s cannot be LAN and WAN at once" % device)
    return config


def read_file(config):
    """Take over the UCI file of `config`, and log what is wrong in it; ConfigError when it is no such file.

    A file that does not exist is empty.
    """
    try:
        load(config)
    except OSError:
        log.warning("%s cannot be read; using the defaults" % config.path)
    for name, value in config.option_arguments:
        config.set_option("(command line)", name, value)
    config.forget_index()
    for line in config.problems:
        log.warning("%s: %s" % (config.path, line))
    if config.unknown:
        log.warning("%s: options that are not known are ignored: %s" % (config.path, " ".join(config.unknown)))


def load(config):
    """Take over the UCI file of `config`; OSError, ConfigError."""
    try:
        with open(config.path) as file:
            text = file.read()
    except ValueError:
        raise ConfigError("%s is not text in UTF-8" % config.path)
    try:
        sections = uci.parse(text)
    except ConfigError as error:
        raise ConfigError("%s: %s" % (config.path, error.args[0]))
    take_over(config, sections)


def take_over(config, sections):
    """Take over the options and rules of the uci.Sections."""
    numbers = dict([(kind, 0) for kind in rules.TYPES])
    networks = []  # a variant of the second schema has the words about ports in these
    has_rules = False
    for section in sections:
        if section.type in numbers:
            numbers[section.type] += 1
            rule, problems = rules.parse(section, numbers[section.type])
            has_rules |= rule is not None or bool(problems)
            config.problems.extend(problems)
            if rule is not None:
                config.rules.append(rule)
        elif section.type == "internal_network":
            networks.append(section)
            config.has_settings = True
        elif section.type == "upnpd" and section.name in ("config", "settings"):
            config.has_settings |= section.name == "settings"
            for name, value in section.options:
                config.set_option(section.name, name, value)
    for network in networks[:1]:
        for name, value in network.options:
            config.set_option(network.type, name, value)
    if config.has_settings:
        _take_over_access(config, networks, has_rules)


def _take_over_access(config, networks, has_rules):
    """Make the rules of the second schema."""
    if "access_preset" not in config.named and not has_rules:
        config.access_preset = "1024-65535"  # nothing is said: as without rules in the first schema
    for other in networks[1:]:
        if _access(other) != _access(networks[0]):
            config.problems.append("section internal_network: all networks must have the same access_preset, "
                                   "accept_ports and reject_ports; nothing but acl_entry sections accepts ports")
            config.access_preset = config.accept_ports = ""
            break
    config.rules = rules.of_settings(config.rules, config.check_acl, config.access_preset, config.accept_ports,
                                     config.reject_ports)


def _access(network):
    return [(name, value) for name, value in sorted(network.options) if name != "interface"]
