"""The configuration: the UCI file /etc/config/upnpd (a subset is read so far) and the command line.

Owns every default. The file is the one that miniupnpd and luci-app-upnp use; options that are not read are ignored.

    config upnpd 'config'
        option port '5000'
"""

from . import log
from .compat import ip4_bytes
from .errors import ConfigError

PATH = "/etc/config/upnpd"

USAGE = """usage: miniigd -L LAN_DEVICE [-L ...] -W WAN_DEVICE [-c FILE] [-f BACKEND] [-v]
       miniigd --version
Opens ports for programs on the LAN (UPnP IGD).
  -L DEVICE   network device of the LAN, e.g. br-lan; may be given several times
  -W DEVICE   network device of the WAN, e.g. eth1 or pppoe-wan
  -c FILE     UCI configuration, default %s
  -f BACKEND  firewall: auto (default), nft (firewall4, or a table of our own), iptables (firewall3 and older), or
              memory (opens nothing; for trying it out)
  -v          log what is refused and why, in detail
""" % PATH

# UCI option -> (attribute, default, least, most); None: not a number, see _TEXTS
_OPTIONS = {
    "port": ("port", 5000, 1, 65535),
    "notify_interval": ("notify_interval", 900, 60, 86400),
    "igdv1": ("is_igdv1_only", 0, 0, 1),
    "ext_allow_private_ipv4": ("allows_private_address", 0, 0, 1),
    "external_ip": ("external_ip", "", None, None),
    "hairpin": ("is_hairpin", 0, 0, 1),
    "max_lease_duration": ("max_lease_duration", 604800, 120, 31536000),
    "firewall": ("firewall_option", "auto", None, None),
    "external_zone": ("wan_zone", "wan", None, None),
    "uuid": ("uuid", "", None, None),
    "upnp_lease_file": ("lease_path", "/var/run/miniupnpd.leases", None, None),
    "upload": ("upstream_kbyte", 0, 0, 4000000),
    "download": ("downstream_kbyte", 0, 0, 4000000),
}
_FIREWALLS = ("auto", "nft", "iptables", "memory")
_ZONE_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
_DEFAULT_BIT_RATE = 100000000  # bit/s, reported when the file names none


class Config:
    """The effective settings; every attribute that modules may use is set here."""

    def __init__(self):
        self.lan_devices = []
        self.wan_device = None
        self.path = PATH
        self.firewall_argument = None  # of the command line, before that of the file
        self.is_verbose = False
        for attribute, default, _, _ in _OPTIONS.values():
            setattr(self, attribute, default)

    @property
    def firewall(self):
        """One of _FIREWALLS."""
        return self.firewall_argument or self.firewall_option or "auto"

    @property
    def upstream_bit_rate(self):
        """Bit/s, from the UCI option's kB/s as miniupnpd takes it."""
        return min(self.upstream_kbyte * 8192, 4294967295) or _DEFAULT_BIT_RATE

    @property
    def downstream_bit_rate(self):
        """Bit/s."""
        return min(self.downstream_kbyte * 8192, 4294967295) or _DEFAULT_BIT_RATE

    def set_option(self, name, value):
        """Take over a UCI option; a wrong value is named and the default kept, an unknown option is ignored."""
        if name not in _OPTIONS:
            return
        attribute, default, least, most = _OPTIONS[name]
        if least is not None:
            if not (value.encode().isdigit() and len(value) <= 10 and least <= int(value) <= most):
                log.warning("%s: option %s is '%s', not a number from %d to %d; using %d"
                            % (self.path, name, value, least, most, default))
                return
            value = int(value)
        elif value:
            is_right, expected = _TEXTS[name]
            if not is_right(value):
                if value != "nocli":  # miniupnpd's word for no UUID
                    log.warning("%s: option %s is '%s', not %s" % (self.path, name, value, expected))
                return
        setattr(self, attribute, value)


def is_uuid(text):
    """True for 8-4-4-4-12 hexadecimal digits."""
    if len(text) != 36:
        return False
    for index, character in enumerate(text.lower()):
        if (character == "-") != (index in (8, 13, 18, 23)) or character not in "0123456789abcdef-":
            return False
    return True


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


def is_firewall(text):
    """True for a word that `option firewall` takes."""
    return text in _FIREWALLS


def is_zone(text):
    """True for what firewall3 takes as the name of a zone: it becomes a part of the names of chains."""
    for character in text:
        if character not in _ZONE_LETTERS:
            return False
    return len(text) <= 11


# UCI option -> (is it right?, what it should be and what is used instead)
_TEXTS = {
    "firewall": (is_firewall, "one of %s; using auto" % " ".join(_FIREWALLS)),
    "external_zone": (is_zone, "a name of up to 11 letters and digits; using wan"),
    "uuid": (is_uuid, "a UUID; using one made from the LAN device's address"),
    "external_ip": (is_address, "an IPv4 address; using the WAN device's"),
    "upnp_lease_file": (is_path, "the path of a file; using /var/run/miniupnpd.leases"),
}


def uuid_of_mac(mac):
    """Return the router's own UUID (version 8) for a MAC address of 6 bytes: the same after every restart."""
    return "6d696e69-6967-8001-8000-" + "".join(["%02x" % byte for byte in mac])


def parse_uci(text):
    """Return the [(option, value)] of the section named config, of type upnpd; ConfigError with the line's number.

    Each section of type perm_rule stands there as an option of that name.
    """
    options = []
    is_ours = False
    for number, line in enumerate(text.split("\n")):
        words = _split(line, number + 1)
        if not words:
            continue
        if words[0] == "config" and len(words) in (2, 3):
            is_ours = words[1:] == ["upnpd", "config"]
            if words[1] == "perm_rule":
                options.append(("perm_rule", words[2] if len(words) == 3 else ""))
        elif words[0] in ("option", "list") and len(words) == 3:
            if is_ours and words[0] == "option":
                options.append((words[1], words[2]))
        elif words[0] != "package":
            raise ConfigError("line %d is not UCI: %s" % (number + 1, line.strip()))
    return options


def _split(line, number):
    """Return the words of a line: bare, in '...' or in "..."; # starts a comment."""
    words = []
    word = None
    quote = ""
    is_escaped = False
    for character in line:
        if is_escaped:
            is_escaped = False
            word = (word or "") + character
        elif character == "\\" and quote != "'":
            is_escaped = True  # uci writes an apostrophe as '\''
        elif quote:
            if character == quote:
                quote = ""
            else:
                word += character
        elif character in "'\"":
            quote = character
            word = word or ""
        elif character in " \t\r":
            if word is not None:
                words.append(word)
                word = None
        elif character == "#" and word is None:
            break
        else:
            word = (word or "") + character
    if quote:
        raise ConfigError("line %d: a quote is not closed" % number)
    if word is not None:
        words.append(word)
    return words


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
        if option not in ("-L", "-W", "-c", "-f"):
            raise ConfigError("unknown option %s" % option)
        if position + 1 == len(arguments):
            raise ConfigError("%s needs a value" % option)
        value = arguments[position + 1]
        if option == "-L":
            config.lan_devices.append(value)
        elif option == "-W":
            config.wan_device = value
        elif option == "-c":
            config.path = value
        elif value in _FIREWALLS:
            config.firewall_argument = value
        else:
            raise ConfigError("-f takes one of: %s" % " ".join(_FIREWALLS))
        position += 2
    if not config.lan_devices or config.wan_device is None:
        raise ConfigError("the devices of the LAN (-L) and of the WAN (-W) are needed")
    if config.wan_device in config.lan_devices:
        raise ConfigError("%s cannot be LAN and WAN at once" % config.wan_device)
    return config


def read_file(config):
    """Take over the options of the UCI file of `config`; a file that does not exist is empty. ConfigError."""
    try:
        with open(config.path) as file:
            text = file.read()
    except OSError:
        log.warning("%s cannot be read; using the defaults" % config.path)
        return
    except ValueError:
        raise ConfigError("%s is not text in UTF-8" % config.path)
    try:
        options = parse_uci(text)
    except ConfigError as error:
        raise ConfigError("%s: %s" % (config.path, error.args[0]))
    for name, value in options:
        config.set_option(name, value)
    if "perm_rule" in [name for name, _ in options]:
        log.warning("%s: perm_rule sections are not read yet: every host may open ports of 1024 and up to itself"
                    % config.path)
