"""miniigd.commands: what may stand on the command line, and what is said of everything else."""

from helpers import raised
from miniigd.commands import MOST_MINUTES, USAGE, UsageError, parse

RIGHT = (
    ("status", "status"), ("status --json", "status --json"), ("close 8000 TCP", "close 8000 TCP"),
    ("close 08000 udp", "close 8000 UDP"), ("close 1 Tcp 11.0.0.1", "close 1 TCP 11.0.0.1"),
    ("close 65535 UDP 255.255.255.255", "close 65535 UDP 255.255.255.255"), ("close-all", "close-all"),
    ("pause", "pause"), ("pause 1", "pause 1"), ("pause 525600", "pause 525600"), ("resume", "resume"),
    ("version", "version"), ("help", "help"),
)
WRONG = (
    ("", "a command is needed"), ("stop", "unknown command stop"), ("Status", "unknown command"),
    ("status json", "--json"), ("status --json x", "too many words"), ("close", "needs a port"),
    ("close 8000", "needs a port"), ("close 0 TCP", "from 1 to 65535"), ("close 65536 TCP", "from 1 to 65535"),
    ("close -1 TCP", "from 1 to 65535"), ("close 80.0 TCP", "from 1 to 65535"), ("close 0000080 TCP", "from 1 to"),
    ("close 99999999999999999999 TCP", "from 1 to"), ("close \u0661 TCP", "from 1 to"), ("close TCP 8000", "from 1 to"),
    ("close 8000 ICMP", "TCP or UDP"), ("close 8000 TCP any", "IPv4 address"), ("close 8000 TCP 1.2.3.4 x", "too many"),
    ("close-all 8000", "too many words"), ("pause 0", "from 1 to 525600"), ("pause 525601", "from 1 to 525600"),
    ("pause 1 2", "too many words"), ("pause 1h", "MINUTES"), ("resume now", "too many words"), ("version 1", "too many"),
)


def test_what_is_right_comes_back_in_one_form():
    for line, expected in RIGHT:
        assert " ".join(parse(line.split())) == expected, line


def test_what_is_wrong_is_named():
    for line, expected in WRONG:
        assert expected in raised(UsageError, parse, line.split()).args[0], line


def test_the_usage_names_every_command_and_exit_status():
    for line, _ in RIGHT[:-1]:
        assert "miniigd %s" % line.split()[0] in USAGE, line
    for status in ("0 done", "1 refused", "2 wrong usage", "3 the daemon"):
        assert status in USAGE
    assert MOST_MINUTES == 365 * 24 * 60
