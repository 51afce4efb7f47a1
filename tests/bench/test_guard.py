"""The regression guard: instructions of a request on the router, flash and memory may not grow by more than 5 %.

Instructions are counted, not timed: how busy the machine is changes nothing. The CPU of a request on the router may be
25 % more; guard.py says why.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import guard  # noqa: E402


def test_nothing_costs_more_than_it_did():
    lines = guard.compare(guard.measure(), json.loads(guard.BASELINE.read_text()))
    assert not lines, "\n".join(["costs more than the baseline:", *lines, guard.ADVICE])


def test_the_guard_sees_five_per_cent():
    baseline = {"executable, bytes": 1000, "AddPortMapping, CPU us": 2000}
    assert guard.compare({"executable, bytes": 1050, "AddPortMapping, CPU us": 1500}, baseline) == []
    assert guard.compare({"executable, bytes": 1051}, baseline) == [
        "executable, bytes: 1051, 5.1 % more than the baseline's 1000"]
    assert guard.compare({"AddPortMapping, CPU us": 2501}, baseline) == [
        "AddPortMapping, CPU us: 2501, 25.0 % more than the baseline's 2000"]
    assert guard.compare({"RSS idle, kB": 1}, baseline) == ["RSS idle, kB: 1, and no baseline"]
