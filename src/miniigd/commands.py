"""The words of the command line that go to the running daemon: what there is, and what may follow it.

    words = parse(["close", "8000", "tcp"])    # ["close", "8000", "TCP"]; raises UsageError

Both ends use it: the command line says what is wrong at once, and the daemon trusts nobody.
"""

from .addresses import ip4_bytes
from .compat import const

USAGE = """usage: miniigd status [--json]
       miniigd close PORT PROTOCOL [REMOTE_HOST]
       miniigd close-all
       miniigd pause [MINUTES]
       miniigd resume
       miniigd version
Shows and closes what the running daemon has opened; for root.
  status     who holds which port, until when, and what came in through it; --json: for programs
  close      close a port (TCP or UDP), and end what is connected through it; with a REMOTE_HOST its mapping alone
  close-all  close every port
  pause      close every port and open none, for so many MINUTES, else until resume; a restart does not end it
  resume     let ports be opened again
  version    the version
Exit status: 0 done, 1 refused or not found, 2 wrong usage, 3 the daemon cannot be reached.
How the daemon is started: miniigd --help
"""

MOST_MINUTES = const(525600)  # a year


class UsageError(Exception):
    """The command line cannot be understood; its first argument says what to change."""


def parse(words):
    """Return a command's words (list of str) in their one right form."""
    if not words:
        raise UsageError("a command is needed")
    name, rest = words[0], words[1:]
    if name not in _FORMS:
        raise UsageError("unknown command %s" % name)
    least, form = _FORMS[name]
    if len(rest) < least:
        raise UsageError("%s needs a port and a protocol" % name)
    if len(rest) > len(form):
        raise UsageError("%s: too many words" % name)
    return [name] + [form[index](word) for index, word in enumerate(rest)]


def _json(word):
    if word != "--json":
        raise UsageError("status takes --json, not %s" % word)
    return word


def _number(word, most, what):
    if not (word.encode().isdigit() and len(word) <= 6 and 1 <= int(word) <= most):
        raise UsageError("%s is a number from 1 to %d, not %s" % (what, most, word))
    return "%d" % int(word)


def _port(word):
    return _number(word, 65535, "PORT")


def _minutes(word):
    return _number(word, MOST_MINUTES, "MINUTES")


def _protocol(word):
    if word.upper() not in ("TCP", "UDP"):
        raise UsageError("PROTOCOL is TCP or UDP, not %s" % word)
    return word.upper()


def _host(word):
    try:
        ip4_bytes(word)
    except ValueError:
        raise UsageError("REMOTE_HOST is an IPv4 address, not %s" % word)
    return word


# command -> (least words behind it, what each word must be)
_FORMS = {
    "status": (0, (_json,)),
    "close": (2, (_port, _protocol, _host)),
    "close-all": (0, ()),
    "pause": (0, (_minutes,)),
    "resume": (0, ()),
    "version": (0, ()),
    "help": (0, ()),
}
