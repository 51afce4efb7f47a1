"""`make bench`: the whole comparison, in one boot of the emulated router; half an hour, an hour on a busy machine.

    .venv/bin/python tests/bench/bench.py                 everything; writes docs/performance.json, .md and the plots
    .venv/bin/python tests/bench/bench.py --most 200      with at most so many mappings (ten minutes), to try it
    .venv/bin/python tests/bench/bench.py --report        only the document and the plots, from the JSON that is there

A benchmark, never a timed test: nothing fails because of a figure. Needs root, as the lab does.
"""

import argparse
import contextlib
import json
import re
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP), str(TOP / "tests/bench"), str(TOP / "src")]

from package import kit, runtime  # noqa: E402
from package.toolchain import MIPS32  # noqa: E402

import client  # noqa: E402
import daemons  # noqa: E402
import flash_of  # noqa: E402
import floor  # noqa: E402
import growth  # noqa: E402
import profiling  # noqa: E402
import report  # noqa: E402
import router  # noqa: E402
import rows  # noqa: E402

_STOPS = (10, 100, 200, 500, 900, 1000)  # mappings held: between two of them every addition is measured
_INCUMBENTS_MOST = 1000  # their cost grows with the square: 10,000 would take most of a day
_ENOUGH = 10000  # mappings, for the one that gets so far
_FLOOR_MOST = 2000
_STARTS = 6  # the first one with a cold page cache
_SETTLE = 10  # seconds behind the last request, before idleness is measured
# ... and behind the start: NAT-PMP and PCP announce themselves ten times, the last one 128 s behind the first (RFC 6886
# 3.2.1, RFC 6887 14.1.3).
_ANNOUNCED = 140
_LAST = "idle_wake_ups_with_mappings"  # of a daemon's figures: with it they are complete
_PROFILED = ("add", "ext", "desc", "delete")


class Bench:
    """Collects `results`, and writes them down after each step: an interrupted run is not lost."""

    def __init__(self, path, most, incumbents, idle):
        self._path, self._most, self._incumbents, self._idle_seconds = path, most, min(most, incumbents), idle
        self.results = {"most": most, "daemons": {}, "floor": {}}

    def resume(self):
        """Keep the parts that are complete in the file of an earlier run."""
        self.results = json.loads(self._path.read_text())

    def _keep(self):
        self._path.parent.mkdir(exist_ok=True)
        self._path.write_text(json.dumps(self.results, indent=1) + "\n")

    def run(self):
        """Measure everything."""
        self.results["flash"] = flash_of.measure()
        folder = kit.BUILD / "bench"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / floor.FILE).write_bytes(floor.batches(min(_FLOOR_MOST, self._most)))
        binaries = {"miniigd": runtime.binary(MIPS32), "miniigd-probe": runtime.probed(),
                    floor.FILE: folder / floor.FILE}
        with router.BenchRouter(binaries) as bench:
            growth.add_hosts(bench.lab)
            self.results["machine"] = {"kernel": bench.check("uname -r").strip(), "cpu": bench.lab.router.image.cpu,
                                       "memory_mb": bench.lab.router.memory, "mips": 125}
            if not self.results["floor"].get("netlink"):
                self._floor(bench)
            self._daemon(bench, daemons.MINIIGD)
            if "in_flight_incumbent" not in self.results:
                with kit.step("Measuring how the cost of miniigd grows with hosts and with requests in flight"):
                    self._growth(bench)
            if "collection" not in self.results:
                with kit.step("Taking the profile"):
                    self._profile(bench)
            for daemon in daemons.MINIUPNPD_IPT, daemons.MINIUPNPD_NFT:
                self._daemon(bench, daemon)
        self.results["date"] = time.strftime("%Y-%m-%d")
        self._keep()

    def _floor(self, bench):
        with kit.step("Measuring the floor: a bare TCP exchange, bare netlink transactions"):
            self.results["floor"]["echo"] = floor.echo(bench).summary()
            spent = floor.transactions(bench)
            self.results["floor"]["netlink"] = {str(stop): round(sum(spent[stop - 10:stop]) / 10, 3)
                                                for stop in (*_STOPS, _FLOOR_MOST) if stop <= len(spent)}
        self._keep()

    def _daemon(self, bench, daemon):
        if _LAST in self.results["daemons"].get(daemon.name, {}):
            return
        with kit.step("Measuring %s" % daemon.title):
            self._measure(bench, daemon)

    def _measure(self, bench, daemon):
        found = self.results["daemons"][daemon.name] = {"title": daemon.title, "rows": {}, "memory": {}, "starts": []}
        for _ in range(_STARTS):
            with bench.running(daemon) as run:
                found["starts"].append({"ms": run.start_ms, "cpu": round(run.start_cpu_ms, 2)})
        self._keep()
        with bench.running(daemon) as run:
            found["idle_wake_ups"] = self._idle(run)
            found["memory"]["0"] = run.memory()
            self._at(run, found, 0)
            held, most = 0, self._most if daemon is daemons.MINIIGD else self._incumbents
            for stop in [stop for stop in _STOPS if stop <= most]:
                requests = rows.REQUESTS["add"](daemon, stop - held, held)
                found["rows"]["add@%d-%d" % (held, stop)] = rows.measure(run, requests).summary()
                held = stop
                found["memory"][str(held)] = run.memory()
                if stop in (10, 100, 1000, most):
                    self._at(run, found, held)
                self._keep()
                print("    %d mappings" % held, flush=True)
            if daemon is daemons.MINIIGD and held == _INCUMBENTS_MOST:
                self._to_the_limit(run, found, held)
            requests = rows.REQUESTS["delete"](daemon, min(100, held))
            found["rows"]["delete@%d" % held] = rows.measure(run, requests).summary()
            found[_LAST] = self._idle(run)
        self._keep()

    def _at(self, run, found, held):
        """Measure the kinds of requests that change nothing, with so many mappings in the table."""
        for name in ("ext", "desc") + (("entry",) if held else ()):
            requests = rows.REQUESTS[name](run.daemon, min(50, held) if name == "entry" else 50,
                                           max(0, held - 50) if name == "entry" else 0)
            found["rows"]["%s@%d" % (name, held)] = rows.measure(run, requests).summary()
        if not held:
            for name in "search", "multicast":
                found["rows"][name + "@0"] = rows.measure_search(run, name == "multicast", 30).summary()
            found["rows"]["pcp@0"] = rows.measure_pcp(run, 5, 9000).summary()
            rows.close_pcp(run, 5, 9000)  # a host of ours may have 1,000 in all
        self._keep()

    def _to_the_limit(self, run, found, held):
        """Go on from another host until the daemon refuses or 10,000 are held; the mappings are deleted again."""
        host = growth.addresses(1)[0]
        ports = range(client.FIRST_PORT + held, client.FIRST_PORT + _ENOUGH)
        for start in range(0, len(ports), 100):
            try:
                figures = rows.measure_from(run, [(client.add(run.daemon.control, daemons.PORT, port, host), host)
                                                  for port in ports[start:start + 100]])
            except client.Refused as refusal:
                found["refusal"] = re.sub(r"\s+", " ", str(refusal))[-160:]
                break
            stop = held + start + 100
            found["rows"]["add@%d-%d" % (stop - 100, stop)] = figures.summary()
            found["memory"][str(stop)] = run.memory()
        opened = 0
        with contextlib.suppress(client.Refused):  # at the first one that is not there
            for port in ports:
                rows.measure_from(run, [(client.delete(run.daemon.control, daemons.PORT, port), host)])
                opened += 1
        found["most"] = held + opened

    def _idle(self, run):
        """Voluntary context switches in a minute, outside of announcements."""
        time.sleep(_SETTLE)
        while run.age() < _ANNOUNCED:
            time.sleep(1)
        before, start = run.wake_ups(), float(run.bench.file("/proc/uptime").split()[0])
        time.sleep(self._idle_seconds)
        count, passed = run.wake_ups() - before, float(run.bench.file("/proc/uptime").split()[0]) - start
        return round(count * 60 / passed, 2)

    def _growth(self, bench):
        with bench.running(daemons.MINIIGD) as run:
            self.results["hosts"] = {str(count): growth.with_hosts(run, count).summary() for count in growth.HOSTS}
            self._keep()
            self.results["in_flight"] = [growth.in_flight(run, count) for count in growth.IN_FLIGHT]
        for daemon in daemons.MINIUPNPD_NFT,:
            with bench.running(daemon) as run:
                self.results["in_flight_incumbent"] = [growth.in_flight(run, count) for count in growth.IN_FLIGHT]
        self._keep()

    def _profile(self, bench):
        with bench.running(daemons.miniigd("probe", "probe", "/bench/miniigd-probe")) as run:
            self.results["profile"] = {}
            rows.measure(run, rows.REQUESTS["add"](run.daemon, 10, 3000))
            for name in _PROFILED:
                profile = profiling.measure(run, rows.REQUESTS[name](run.daemon, 40))
                self.results["profile"][name] = {"sum_ms": round(profile.sum_ms, 3), "cpu_ms": round(profile.cpu_ms, 3),
                                                 "rows": [[row[0]] + [round(value, 3) for value in row[1:]]
                                                          for row in profile.rows]}
            self._keep()
            rows.measure(run, rows.REQUESTS["delete"](run.daemon, 10, 3000))
            for start in range(0, self._most, 100):
                rows.measure(run, rows.REQUESTS["add"](run.daemon, min(100, self._most - start), start))
            count, longest = profiling.collections(bench)
            self.results["collection"] = {"mappings": self._most, "count": count, "longest_ms": round(longest, 3)}
        self._keep()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=_INCUMBENTS_MOST)
    parser.add_argument("--incumbents", type=int, default=_INCUMBENTS_MOST, help="as --most, for these only")
    parser.add_argument("--idle", type=int, default=60, help="seconds of idleness that are watched")
    parser.add_argument("--output", type=Path, default=report.DATA)
    parser.add_argument("--resume", action="store_true", help="measure only what the JSON does not have")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if not options.report:
        bench = Bench(options.output, options.most, options.incumbents, options.idle)
        if options.resume:
            bench.resume()
        bench.run()
    report.write(json.loads(options.output.read_text()), options.output.parent)
    print("==> See %s" % (options.output.parent / "performance.md"))


if __name__ == "__main__":
    try:
        main()
    except kit.Stop as stop:
        sys.exit("miniigd: %s" % stop)
