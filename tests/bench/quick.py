"""What one build of the daemon costs, in one short boot of the emulated router (two minutes).

    .venv/bin/python tests/bench/quick.py                               this tree's daemon, every row
    .venv/bin/python tests/bench/quick.py --rows add,ext --count 40
    .venv/bin/python tests/bench/quick.py --profile add,delete          where their time goes, by bytecode function
    .venv/bin/python tests/bench/quick.py --instructions add,ext        the same by function of C, kernel and TLB misses
    .venv/bin/python tests/bench/quick.py --held 200                    with so many mappings in the table
    .venv/bin/python tests/bench/quick.py --executable build/other      another executable for MIPS32
    .venv/bin/python tests/bench/quick.py --only miniupnpd-nft          the incumbent

CPU milliseconds are 125,000 instructions. Needs root; holds one core for a while.
"""

import argparse
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP), str(TOP / "tests/bench"), str(TOP / "src")]

from package import runtime  # noqa: E402
from package.toolchain import MIPS32  # noqa: E402

import client  # noqa: E402
import counting  # noqa: E402
import daemons  # noqa: E402
import profiling  # noqa: E402
import router  # noqa: E402
import rows  # noqa: E402

_ROWS = "start,memory,desc,ext,add,entry,delete,search,multicast,pcp"
_DAEMONS = {one.name: one for one in (daemons.MINIIGD, daemons.MINIUPNPD_NFT, daemons.MINIUPNPD_IPT)}


def _show(name, figures):
    found = figures.summary()
    print("%-10s CPU ms: mean %7.2f  median %7.2f  p95 %7.2f    client waits, ms: median %7.2f  p95 %7.2f" % (
        name, found["cpu_mean"], found["cpu_median"], found["cpu_p95"], found["wait_median"], found["wait_p95"]),
        flush=True)


def _measure(bench, daemon, wanted, held, count):
    starts = []
    for _ in range(3 if "start" in wanted else 0):
        with bench.running(daemon) as run:
            starts.append("%.1f (CPU %.1f)" % (run.start_ms or 0, run.start_cpu_ms))
    if starts:
        print("start, ms from exec to the first answer, the first one with a cold page cache: " + ", ".join(starts))
    with bench.running(daemon) as run:
        if "memory" in wanted:
            print("memory, kB: %s" % run.memory())
        rows.measure(run, rows.REQUESTS["ext"](daemon, 5))  # warm
        if held:
            rows.measure(run, rows.REQUESTS["add"](daemon, held, 1000))
        for name in wanted:
            if name in rows.REQUESTS:
                if name in ("entry", "delete") and "add" not in wanted[:wanted.index(name)]:
                    rows.measure(run, rows.REQUESTS["add"](daemon, count))
                _show(name, rows.measure(run, rows.REQUESTS[name](daemon, count)))
            elif name in ("search", "multicast"):
                _show(name, rows.measure_search(run, name == "multicast", count))
            elif name == "pcp":
                _show(name, rows.measure_pcp(run, count, 5000))
        if held and "memory" in wanted:
            print("memory at the end, kB: %s" % run.memory())


def _profile(bench, wanted, held, count):
    daemon = daemons.miniigd("probe", "probe", "/bench/miniigd-probe")
    if "start" in wanted:
        for _ in range(2):  # the second time its files are in memory
            found = []
            with bench.running(daemon, lambda: found.append(bench.raw_file(profiling.FILE))) as run:
                pass
        print("\nstart, up to the first answer\n" + profiling.Profile(
            None, profiling.Snapshot(found[1]), 1, run.start_cpu_ms).text())
    with bench.running(daemon) as run:
        for start in range(0, held, 100):
            rows.measure(run, rows.REQUESTS["add"](daemon, min(100, held - start), 1000 + start))
        rows.measure(run, rows.REQUESTS["ext"](daemon, 5))
        for name in wanted:
            if name in rows.REQUESTS:
                if name in ("entry", "delete") and "add" not in wanted[:wanted.index(name)]:
                    rows.measure(run, rows.REQUESTS["add"](daemon, count))
                print("\n%s\n%s" % (rows.TITLES[name], profiling.measure(run, rows.REQUESTS[name](daemon, count)).text()))
        last = profiling.snapshot(bench)
        print("\ncollections so far: %d, the longest %.2f ms" % (last.collections, last.longest_collection_ms))


def _instructions(bench, executable, wanted, count):
    daemon = daemons.MINIIGD
    if "start" in wanted:
        for _ in range(2):
            found = []
            with bench.running(daemon, lambda: found.append(counting.read())) as run:
                pass
        wanted = [name for name in wanted if name != "start"]
        _show_instructions("start, up to the first answer", *found, 1, run.start_cpu_ms, executable)
    with bench.running(daemon) as run:
        rows.measure(run, rows.REQUESTS["ext"](daemon, 5))
        for name in wanted:
            requests = rows.REQUESTS[name](daemon, count)
            before, cpu = counting.read(), run.cpu_ms()
            bench.inside(lambda: [client.check(client.exchange(daemons.PORT, request)) for request in requests])
            cpu, after = run.cpu_ms() - cpu, counting.read()
            _show_instructions(rows.TITLES[name], before, after, count, cpu / count, executable)


def _show_instructions(title, before, after, count, cpu, executable):
    program, kernel, misses = [(after[place] - before[place]) / count for place in range(3)]
    print("\n%s: CPU %.2f ms; instructions for each: programs %d, kernel %d with its idle loop, of these TLB misses %d" % (
        title, cpu, program, kernel, misses))
    for spent, function in counting.by_function(before, after, executable.with_name(executable.name + ".map"))[:40]:
        print("%9d %5.1f %%  %s" % (spent / count, 100 * spent / count / program, function), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="miniigd", help="which daemons, of %s" % ", ".join(_DAEMONS))
    parser.add_argument("--rows", default=_ROWS)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--held", type=int, default=0)
    parser.add_argument("--executable", type=Path)
    parser.add_argument("--profile", default="")
    parser.add_argument("--instructions", default="")
    options = parser.parse_args()
    binaries = {"miniigd": options.executable or runtime.binary(MIPS32)}
    if options.profile:
        binaries["miniigd-probe"] = runtime.probed()
    with router.BenchRouter(binaries, counting.words() if options.instructions else ()) as bench:
        if options.instructions:
            _instructions(bench, binaries["miniigd"], options.instructions.split(","), options.count)
            return
        if options.profile:
            _profile(bench, options.profile.split(","), options.held, options.count)
            return
        for name in options.only.split(","):
            print("== " + _DAEMONS[name].title)
            _measure(bench, _DAEMONS[name], options.rows.split(","), options.held, options.count)


if __name__ == "__main__":
    main()
