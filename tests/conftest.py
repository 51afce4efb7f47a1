"""Lets the tests import the daemon from src/ and the build from the tree's top; divides them among processes.

What failed is left in a file, for tasks.test to try once more.
"""

import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
for folder in (TOP, TOP / "src"):
    sys.path.insert(0, str(folder))


def pytest_addoption(parser):
    parser.addoption("--group", help="only the tests of this model of the router, or 'host': those that need none")
    parser.addoption("--failed-file", help="where to write the names of the tests that failed, a line each")


def pytest_configure(config):
    config.high_water = []  # lines for the end of the run


def pytest_collection_modifyitems(config, items):
    """Leave out the tests of other groups."""
    group = config.getoption("--group")
    if group:
        others = [item for item in items if group_of(item) != group]
        items[:] = [item for item in items if group_of(item) == group]
        config.hook.pytest_deselected(items=others)


def group_of(item):
    return item.callspec.params.get("lab", "host") if hasattr(item, "callspec") else "host"


def pytest_terminal_summary(terminalreporter, config):
    """Print the most memory that the daemon took on each router, and keep what failed."""
    for line in config.high_water:
        terminalreporter.write_line(line)
    if config.getoption("--failed-file"):
        reports = terminalreporter.getreports("failed") + terminalreporter.getreports("error")
        names = sorted({report.nodeid for report in reports})
        Path(config.getoption("--failed-file")).write_text("".join(name + "\n" for name in names))
