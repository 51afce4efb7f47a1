"""One line a message to standard error, where procd and syslog pick it up; never raises."""

import sys

from .compat import print_exception

DEBUG, INFO, WARNING, ERROR = 0, 1, 2, 3
_NAMES = ("debug", "info", "warning", "error")

_threshold = [INFO]


def set_level(level):
    """Leave out what is below `level` from now on."""
    _threshold[0] = level


def printable(text):
    """Return `text` with everything but printable ASCII replaced, so that a hostile text cannot forge a line."""
    data = text.encode()
    if not data or (min(data) >= 0x20 and max(data) <= 0x7E):
        return text
    return "".join([c if " " <= c <= "~" else "?" for c in text])


def _write(level, text):
    if level >= _threshold[0]:
        try:
            sys.stderr.write("miniigd: %s: %s\n" % (_NAMES[level], printable(text)))
        except OSError:
            pass  # nobody reads the log any more; the router's work goes on


def debug(text):
    """Log what only a developer wants to see."""
    _write(DEBUG, text)


def info(text):
    """Log what happened as it should."""
    _write(INFO, text)


def warning(text):
    """Log what an administrator should look at."""
    _write(WARNING, text)


def error(text):
    """Log what stops a function of the router."""
    _write(ERROR, text)


def exception(what, caught):
    """Log an exception that nobody foresaw, with its traceback: it is a bug."""
    error("%s failed; please report this:" % what)
    try:
        print_exception(caught, sys.stderr)
    except OSError:
        pass
