"""Measures what opening and closing one port costs a back end, at 10 to 5,000 mappings: both back ends, the real kernel.

    tests/bench/firewall_growth.py [COUNT...]     needs root, nft and iptables; default 10 100 1000 5000

IPv6 pinholes are measured too, at 10, 100 and 500.
Runs on CPython in a network namespace of its own, so it compares growth, not the router's own times. For each count the
table is filled by one sync; then ports are opened and closed in turn. Prints, for each, the median in milliseconds, and
how many bytes, datagrams and processes one change takes.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "src"))
_ROUNDS = 15
_PINHOLES = (10, 100, 500)
_SNIPPET = TOP / "files/usr/share/nftables.d/table-post/20-miniigd.nft"


class _Wan:
    name, index = "lo", 1


class _Counting:
    """A channel or a runner that counts what goes through."""

    def __init__(self, inner):
        self._inner = inner
        self.bytes = self.sends = self.answers = self.processes = 0

    def transact(self, data, is_answered, is_short=False):
        self.bytes += len(data)
        self.sends += 1
        answers = self._inner.transact(data, is_answered, is_short)
        self.answers += len(answers)
        return answers

    def converse(self, data, is_answered, take, is_short=False):
        self._inner.converse(data, is_answered, take, is_short)

    def run(self, argv, data):
        self.processes += 1
        self.bytes += len(data)
        return self._inner(argv, data)


def _nft():
    from miniigd.firewall.nft import NftFirewall
    from miniigd.netlink_channel import NetlinkChannel

    text = "table inet fw4 {\n%s\n}\n" % _SNIPPET.read_text()
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)
    counting = _Counting(NetlinkChannel(12))
    return NftFirewall(counting), counting


def _prefer_legacy():
    """Let iptables be the one that routers with firewall3 have, where Debian's package has both."""
    folder = tempfile.mkdtemp()
    for name in "iptables", "iptables-restore", "ip6tables", "ip6tables-restore":
        legacy = shutil.which(name.replace("tables", "tables-legacy"))
        if legacy:
            os.symlink(legacy, os.path.join(folder, name))
    os.environ["PATH"] = folder + ":" + os.environ["PATH"]


def _iptables():
    _prefer_legacy()
    from miniigd.compat import run_program, xtables6_info, xtables_info
    from miniigd.firewall.iptables import IptablesFirewall

    counting = _Counting(run_program)
    return IptablesFirewall(counting.run, xtables_info, info6=xtables6_info), counting


def _mapping(port):
    from miniigd.mapping import PortMapping

    return PortMapping("", port, "UDP" if port & 1 else "TCP", port, "192.168.1.2", True, "", 3600, 3600)


def _pinhole(port):
    from miniigd.pinhole import Pinhole

    return Pinhole(port, "", 0, "UDP" if port & 1 else "TCP", "2001:db8::2", port, 3600, 3600)


def _measure(make, count):
    firewall, counting = make()
    firewall.open(_Wan)
    firewall.sync([_mapping(2000 + number) for number in range(count)], 0)
    _time(make.__name__[1:], count, counting, _mapping, lambda mapping: firewall.add(mapping, None, 3600),
          firewall.remove)
    firewall.close()


def _measure_pinholes(make, count):
    firewall, counting = make()
    firewall.open(_Wan)
    firewall.sync([], 0, [_pinhole(2000 + number) for number in range(count)])
    _time(make.__name__[1:] + "6", count, counting, _pinhole,
          lambda pinhole: firewall.add_pinhole(pinhole, 3600, False), firewall.remove_pinholes)
    firewall.close()


def _time(name, count, counting, make_one, add, remove):
    opened, closed = [], []
    counting.bytes = counting.sends = counting.answers = counting.processes = 0
    for number in range(_ROUNDS):
        one = make_one(60000 + number)
        start = time.perf_counter()
        add(one)
        middle = time.perf_counter()
        remove([one])
        opened.append(middle - start)
        closed.append(time.perf_counter() - middle)
    changes = 2 * _ROUNDS
    print("%9s %6d %10.2f %10.2f %8d %8.1f %8.1f" % (
        name, count, 1000 * statistics.median(opened), 1000 * statistics.median(closed),
        counting.bytes // changes, counting.sends / changes, counting.processes / changes), flush=True)


def main(counts):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    print("%9s %6s %10s %10s %8s %8s %8s" % ("", "held", "open ms", "close ms", "bytes", "sends", "programs"))
    for make in _nft, _iptables:
        for count in counts:
            _measure(make, count)
        for count in _PINHOLES:
            _measure_pinholes(make, count)


if __name__ == "__main__":
    if os.environ.get("MINIIGD_GROWTH") != "inside":
        os.execvp("unshare", ["unshare", "--net", "env", "MINIIGD_GROWTH=inside", sys.executable, *sys.argv])
    main([int(word) for word in sys.argv[1:]] or [10, 100, 1000, 5000])
