"""Lets the tests import the daemon from src/ and the build from the tree's top; divides them among processes.

What failed is left in build/failed-tests, a line each, for tasks.test to try once more.
"""

import re
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
for folder in (TOP, TOP / "src"):
    sys.path.insert(0, str(folder))
FAILED = TOP / "build" / "failed-tests"


def pytest_configure(config):
    config.high_water = []  # lines for the end of the run


def pytest_collection_modifyitems(items):
    """What belongs to one model of the router runs in one process, and all that needs none in one too."""
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        item.add_marker(pytest.mark.xdist_group(parameters.get("lab", "host")))


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["high_water"] = session.config.high_water


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """A process of pytest-xdist has ended."""
    node.config.high_water += getattr(node, "workeroutput", {}).get("high_water", [])


def pytest_terminal_summary(terminalreporter, config):
    """Print the most memory that the daemon took on each router, and keep what failed."""
    for line in config.high_water:
        terminalreporter.write_line(line)
    reports = terminalreporter.getreports("failed") + terminalreporter.getreports("error")
    names = {re.sub(r"@\w+$", "", report.nodeid) for report in reports}  # pytest-xdist adds the group
    FAILED.parent.mkdir(exist_ok=True)
    FAILED.write_text("".join(name + "\n" for name in sorted(names)))
