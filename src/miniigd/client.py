"""The command line's end of the control channel: `miniigd status` and the like, as a program of its own.

Loads as little of the daemon as possible. Prints the daemon's answer piece by piece, however long it is.
"""

import errno
import socket
import sys

from . import CHANNEL, VERSION
from .commands import USAGE, UsageError, parse
from .compat import AF_UNIX, SOCK_CLOEXEC, const, local_address

_UNREACHABLE = const(3)
_SECONDS = const(60)  # for the daemon to say something: closing may need programs that take ten each
_READ = const(1024)  # bytes


def main(arguments, path=CHANNEL):
    """Do what the command line says; return the exit status."""
    try:
        words = parse(arguments)
    except UsageError as error:
        sys.stderr.write("miniigd: %s\n%s" % (error.args[0], USAGE))
        return 2
    if words[0] in ("help", "version"):
        sys.stdout.write(USAGE if words[0] == "help" else "miniigd %s\n" % VERSION)
        return 0
    sock = socket.socket(AF_UNIX, socket.SOCK_STREAM | SOCK_CLOEXEC)
    try:
        sock.settimeout(_SECONDS)
        sock.connect(local_address(path))
        sock.send((" ".join(words) + "\n").encode())
        return _print_answer(sock)
    except OSError as error:
        return _fail(_reason(error.errno))
    finally:
        sock.close()


def _reason(number):
    if number in (errno.ENOENT, errno.ECONNREFUSED):
        return "the daemon is not running: /etc/init.d/miniupnpd start"
    if number in (errno.EACCES, errno.EPERM):
        return "only root may do that"
    return "the daemon does not answer (errno %s)" % (number or 0)


def _fail(text):
    sys.stderr.write("miniigd: %s\n" % text)
    return _UNREACHABLE


def _print_answer(sock):
    """Print what comes; return the exit status in its first line. A zero byte behind it says that it is whole."""
    data = b""
    while b"\n" not in data:
        piece = sock.recv(_READ)
        if not piece:
            return _fail("the daemon gave no answer; is this root?")
        data += piece
    head, _, data = data.partition(b"\n")
    status = int(head)
    if status:
        out = sys.stderr
        out.write("miniigd: ")
    else:
        out = sys.stdout
    while True:
        is_whole = data[-1:] == b"\0"
        if not _write(out, data[:-1] if is_whole else data) or is_whole:
            return status
        data = sock.recv(_READ)
        if not data:
            return _fail("the daemon ended in the middle of its answer")


def _write(out, data):
    """Write ASCII text; return False when nobody reads any more (`miniigd status | head`)."""
    try:
        out.write(data.decode())
        return True
    except OSError:
        return False
