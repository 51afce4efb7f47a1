"""miniigd.client: the command line's end; the daemon's is stood in for."""

import errno
import socket

from helpers import Output
from miniigd import VERSION
from miniigd import client as client_module
from miniigd.client import main
from miniigd.commands import USAGE


class _Daemon:
    """Stands in for sockets: `with _Daemon(pieces) as daemon`; a piece that is a number is raised as that errno."""

    SOCK_STREAM = socket.SOCK_STREAM

    def __init__(self, pieces=(), connect=0, broken_output=False):
        self._pieces, self._connect = list(pieces), connect
        self._output = Output(client_module)
        self.request, self.open_sockets = b"", 0
        self.stdout = self.stderr = ""
        self._output.stdout, self._output.stderr = _Broken() if broken_output else _Text(), _Text()

    def socket(self, family, kind):
        assert family == 1
        self.open_sockets += 1
        return self

    def settimeout(self, seconds):
        assert seconds > 0

    def connect(self, address):
        if self._connect:
            raise OSError(self._connect, "of this test")

    def send(self, data):
        self.request += data
        return len(data)

    def recv(self, most):
        piece = self._pieces.pop(0) if self._pieces else b""
        if isinstance(piece, int):
            raise OSError(piece, "of this test")
        return piece

    def close(self):
        self.open_sockets -= 1

    def ask(self, line):
        """Return the exit status; what was printed is in `stdout` and `stderr`."""
        self._real, client_module.socket = client_module.socket, self
        self._output.__enter__()
        try:
            return main(line.split())
        finally:
            self._output.__exit__(None, None, None)
            client_module.socket = self._real
            assert self.open_sockets == 0
            self.stdout, self.stderr = self._output.stdout.text, self._output.stderr.text


class _Text:
    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


class _Broken:
    """A pipe that nobody reads."""

    text = ""

    def write(self, text):
        raise OSError(errno.EPIPE, "closed")


def test_wrong_usage_is_status_2_and_asks_nobody():
    for line in ("", "stop", "close 8000", "pause soon", "status --xml"):
        daemon = _Daemon()
        assert daemon.ask(line) == 2
        assert daemon.request == b"" and daemon.stdout == ""
        first, _, rest = daemon.stderr.partition("\n")
        assert first.startswith("miniigd: ") and len(first) > 12 and rest == USAGE, line


def test_version_and_help_need_no_daemon():
    for line, expected in (("version", "miniigd %s\n" % VERSION), ("help", USAGE)):
        daemon = _Daemon(connect=errno.ENOENT)
        assert daemon.ask(line) == 0
        assert (daemon.stdout, daemon.stderr, daemon.request) == (expected, "", b"")


def test_an_answer_in_any_pieces_is_printed():
    answer = b"0\nminiigd\nTCP 8000\n\0"
    for size in (1, 2, 3, len(answer)):
        daemon = _Daemon([answer[start:start + size] for start in range(0, len(answer), size)])
        assert daemon.ask("status") == 0
        assert (daemon.stdout, daemon.stderr) == ("miniigd\nTCP 8000\n", "")
        assert daemon.request == b"status\n"


def test_the_daemon_gets_the_one_right_form():
    daemon = _Daemon([b"0\nclosed 1 mapping\n\0"])
    assert daemon.ask("close 08000 udp 11.0.0.1") == 0
    assert daemon.request == b"close 8000 UDP 11.0.0.1\n"


def test_a_refusal_goes_to_standard_error():
    for status in (1, 2):
        daemon = _Daemon([b"%d\nno mapping of TCP 8000\n\0" % status])
        assert daemon.ask("close 8000 TCP") == status
        assert (daemon.stdout, daemon.stderr) == ("", "miniigd: no mapping of TCP 8000\n")


def test_a_daemon_that_cannot_be_reached_is_status_3():
    for number, expected in (
            (errno.ENOENT, "miniigd: the daemon is not running: /etc/init.d/miniupnpd start\n"),
            (errno.ECONNREFUSED, "miniigd: the daemon is not running: /etc/init.d/miniupnpd start\n"),
            (errno.EACCES, "miniigd: only root may do that\n"), (errno.EPERM, "miniigd: only root may do that\n"),
            (errno.EAGAIN, "miniigd: the daemon does not answer (errno %d)\n" % errno.EAGAIN)):
        daemon = _Daemon(connect=number)
        assert daemon.ask("status") == 3
        assert (daemon.stdout, daemon.stderr) == ("", expected)


def test_an_answer_that_breaks_off_is_status_3():
    for pieces, expected in (((), "gave no answer"), ((b"0",), "gave no answer"), ((b"0\nTCP",), "in the middle"),
                             ((b"0\nTCP", errno.ECONNRESET), "does not answer"), ((errno.EAGAIN,), "does not answer")):
        daemon = _Daemon(pieces)
        assert daemon.ask("status") == 3
        assert expected in daemon.stderr, pieces


def test_nobody_reads_the_answer():
    assert _Daemon([b"0\n", b"TCP\n"] * 50, broken_output=True).ask("status") == 0
