"""How long a well-behaved client waits beside slow and rude ones: this daemon and miniupnpd, in one boot of the router.

    .venv/bin/python tests/bench/rude_clients.py        about five minutes, as root

The attacks are those of tests/router/rude.py. The router counts instructions (125 million a second, as a WRT54G has), so
the seconds are those of such a router as long as this machine keeps up. Prints a table for docs/security.md.
"""

import statistics
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(TOP), str(TOP / "tests/bench"), str(TOP / "tests/router"), str(TOP / "src"))
                if path not in sys.path]

from package import runtime  # noqa: E402
from package.toolchain import MIPS32  # noqa: E402

import daemons  # noqa: E402
import router  # noqa: E402
from rude import ATTACKS, Neighbour, Target, fifty_hosts  # noqa: E402

_TARGETS = ((daemons.MINIIGD, Target()),
            (daemons.MINIUPNPD_NFT, Target(5000, "/WANIPCn.xml", "/ctl/IPConn", "/evt/IPConn")),
            (daemons.MINIUPNPD_IPT, Target(5000, "/WANIPCn.xml", "/ctl/IPConn", "/evt/IPConn")))


def _try(bench, daemon, target, attack):
    """Return what one attack did to one daemon, started for it: a cell of the table."""
    with bench.running(daemon) as run:
        before = run.memory()["VmRSS"]
        with Neighbour(bench.lab.lan, target) as neighbour:
            ATTACKS[attack](bench.lab.lan, target)
        if not bench.file("/proc/%d/status" % run.pid):
            run.pid = None
            return "it died"
        return "%d answers, %d failed; median %.2f s, longest %.2f s; RSS %d to %d kB" % (
            len(neighbour.seconds) - len(neighbour.errors), len(neighbour.errors),
            statistics.median(neighbour.seconds or [0]), max(neighbour.seconds or [0]), before, run.memory()["VmRSS"])


def main():
    print("| attack | %s |\n|---|%s" % (" | ".join(daemon.title for daemon, _ in _TARGETS), "---|" * len(_TARGETS)))
    with router.BenchRouter({"miniigd": runtime.binary(MIPS32)}) as bench, fifty_hosts(bench.lab.lan):
        for attack in ATTACKS:
            cells = [_try(bench, daemon, target, attack) for daemon, target in _TARGETS]
            print("| %s | %s |" % (attack, " | ".join(cells)), flush=True)


if __name__ == "__main__":
    main()
