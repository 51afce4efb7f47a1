"""miniigd.uci: files as uci, LuCI and people write them, and what is said when they are none."""

from helpers import raised
from miniigd import uci
from miniigd.errors import ConfigError

# (text, [(type, name, options)])
FILES = (
    ("", []), ("\n\n", []), ("# nothing\n   # here", []), ("config upnpd 'config'", [("upnpd", "config", [])]),
    ("config upnpd config\noption port 5000", [("upnpd", "config", [("port", "5000")])]),
    ("config 'upnpd' \"config\"\n\toption\tport\t'5000'\r\n", [("upnpd", "config", [("port", "5000")])]),
    ("config a\noption port ''", [("a", "", [("port", "")])]),
    ("config a\noption a 'b c'\noption d \"e'f\"", [("a", "", [("a", "b c"), ("d", "e'f")])]),
    ("config a\noption a 'b' # c\noption d e#f", [("a", "", [("a", "b"), ("d", "e#f")])]),
    ("config a\noption a '#b'", [("a", "", [("a", "#b")])]),
    ("config a\noption a 'b\\ \"c'\t# it's \"d\"", [("a", "", [("a", "b\\ \"c")])]),
    ("config a\noption a 'b'#c", [("a", "", [("a", "b#c")])]),
    ("config a\noption a 'b'c # d", [("a", "", [("a", "bc")])]),
    ("config a\nlist b c\noption d e\nlist b f\nlist g h", [("a", "", [("b", "c f"), ("d", "e"), ("g", "h")])]),
    ("package upnpd\nconfig a\noption a b", [("a", "", [("a", "b")])]),
    ("config a\noption b c\nconfig a 'x'\noption d e", [("a", "", [("b", "c")]), ("a", "x", [("d", "e")])]),
    ("option a b\nlist c d\nconfig a\noption e f", [("a", "", [("e", "f")])]),
    ("config a\noption a 1\noption a 2", [("a", "", [("a", "1"), ("a", "2")])]),
    # uci writes an apostrophe like this
    ("config a\noption b 'don'\\''t'", [("a", "", [("b", "don't")])]),
    ("config a\noption a b\\ c\noption d \"e\\\"f\\\\\"\noption g 'h\\'",
     [("a", "", [("a", "b c"), ("d", "e\"f\\"), ("g", "h\\")])]),
)

# (text, what the message says)
BROKEN_FILES = (
    ("hello", "line 1"), ("config upnpd 'config'\noption port", "line 2"), ("\n\nconfig", "line 3"),
    ("config upnpd 'config'\noption port 5 6", "option port 5 6"), ("config upnpd 'config", "line 1"),
    ("config a b c", "line 1"), ("option a \"b", "quote"), ("<html>", "<html>"), ("PK\x03\x04", "line 1"),
    ("config upnpd 'config'\n\nfoo bar", "line 3"),
)


def test_files():
    for text, expected in FILES:
        assert [(one.type, one.name, one.options) for one in uci.parse(text)] == expected, text


def test_broken_files_are_refused_with_the_line():
    for text, message in BROKEN_FILES:
        assert message in raised(ConfigError, uci.parse, text).args[0], text


def test_only_config_error_escapes_from_damaged_files():
    whole = "config upnpd 'config'\n\toption port '5000' # \"x\"\n\nconfig perm_rule\n\tlist a 'don'\\''t'\n"
    refused = 0
    for position in range(len(whole)):
        for character in "\0\n '\"#\\\u00e9x":
            try:
                uci.parse(whole[:position])
                uci.parse(whole[:position] + character + whole[position + 1:])
            except ConfigError as error:
                assert error.args[0].startswith("line ")
                refused += 1
    assert refused > 100
