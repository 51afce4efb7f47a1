"""What the regression guard measures: instructions, CPU of requests under -icount, flash and heap; see guard.json.

The instructions that the mipsel runtime takes to answer all transcripts of tests/replay/ are the same at each run, so
5 % more is a finding. The CPU of a request on the router has the kernel and the firewall in it, but packets come when
the host sends them, and the least of 48 requests differs by up to a fifth from run to run: that is the bound there.

    .venv/bin/python tests/bench/guard.py             measure, compare and say what changed
    .venv/bin/python tests/bench/guard.py --accept    and take the figures as the new baseline
"""

import json
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(TOP), str(TOP / "tests/bench"), str(TOP / "src")) if path not in sys.path]

from package import flash, ipk, kit, runtime  # noqa: E402
from package.toolchain import MIPS32  # noqa: E402

import counting  # noqa: E402
import daemons  # noqa: E402
import router  # noqa: E402
import rows  # noqa: E402

BASELINE = Path(__file__).with_name("guard.json")
MOST = 1.05  # times the baseline
_MOST_CPU = 1.25  # where packets come when they like
_COUNT = 48  # requests of a kind
_PERCENT = 0  # the least: one without a collection and without a timer's tick, which come when they like
ADVICE = """If that is worth it, take the new figures with '.venv/bin/python tests/bench/guard.py --accept', and say in the
commit why. To see where time goes: 'tests/bench/quick.py --profile add'; flash: 'make flash-report'."""


def measure():
    """Return {what: figure}: CPU in microseconds of 125 instructions, sizes in bytes and kB."""
    tree = ipk.overlay()
    found = {"flash of the package, bytes": flash.squashfs(tree, "lzma", "256K"),
             "executable, bytes": (tree / "usr/sbin/miniigd").stat().st_size,
             "all transcripts, instructions": _instructions()}
    with router.BenchRouter({"miniigd": runtime.binary(MIPS32)}) as bench, bench.running(daemons.MINIIGD) as run:
        daemon = run.daemon
        found["RSS idle, kB"] = run.memory()["VmRSS"]
        rows.measure(run, rows.REQUESTS["ext"](daemon, 3))  # its code is in memory then
        rows.measure(run, rows.REQUESTS["add"](daemon, 10, 1000))
        for name in "add", "ext", "desc", "entry", "delete":
            found["%s, CPU us" % rows.TITLES[name]] = _quiet(rows.measure(run, rows.REQUESTS[name](daemon, _COUNT)))
        found["%s, CPU us" % rows.TITLES["search"]] = _quiet(rows.measure_search(run, False, _COUNT))
        found["%s, CPU us" % rows.TITLES["pcp"]] = _quiet(rows.measure_pcp(run, _COUNT, 2000))
        memory = run.memory()
        found["RssAnon behind all that, kB"] = memory["RssAnon"]
    return found


def _instructions():
    paths = sorted((TOP / "tests/replay/transcripts").glob("*.txt"))
    kit.run(["qemu-mipsel", "-cpu", "4Kc", *counting.words(), runtime.binary(MIPS32, tests=True), "replay", *paths])
    return counting.read()[0]


def _quiet(figures):
    return round(rows.percentile(figures.cpu, _PERCENT) * 1000)


def compare(found, baseline):
    """Return lines that say what is too much above the baseline, or is not in it."""
    lines = []
    for what, figure in found.items():
        if what not in baseline:
            lines.append("%s: %d, and no baseline" % (what, figure))
        elif figure > baseline[what] * (_MOST_CPU if "CPU" in what else MOST):
            lines.append("%s: %d, %.1f %% more than the baseline's %d" % (
                what, figure, 100 * figure / baseline[what] - 100, baseline[what]))
    return lines


def main():
    found = measure()
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    for what, figure in found.items():
        print("%-40s %8d  baseline %8s" % (what, figure, baseline.get(what, "-")))
    if "--accept" in sys.argv:
        BASELINE.write_text(json.dumps(found, indent=1) + "\n")
        return 0
    lines = compare(found, baseline)
    print("\n".join(lines + [ADVICE]) if lines else "nothing is too much above the baseline")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
