"""docs/conformance.md says what is true: every action and error code is in it, and the tests it names prove them."""

import ast
import re
import sys
from pathlib import Path

import pytest

from miniigd.description import Device

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests" / "unit"))

import test_control  # noqa: E402

ROWS = {row[0]: row for row in re.findall(r"^\| ([A-Z]\w+) \| ([\d -]+) \| ([\d -]+) \| (.+) \|$",
                                          (TOP / "docs" / "conformance.md").read_text(), re.M)}
SOURCE = (TOP / "tests" / "unit" / "test_control.py").read_text()
TESTS = {node.name: ast.get_source_segment(SOURCE, node) for node in ast.parse(SOURCE).body
         if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def codes(text):
    return {int(word) for word in text.split() if word != "-"}


def refusals(action, version):
    """The codes that the rows of REFUSALS for an action have in a version; 401 is "there is no such action"."""
    found = {row[1 + version] for row in test_control.REFUSALS if row[0].decode() == action}
    return found - {401}


def test_every_action_is_there():
    device = Device("6d696e69-6967-8001-8000-000102030405", is_ppp=True)
    actions = {action.name for version in (1, 2) for services in device.device_services(version)
               for service in services for action in service.actions}
    assert set(ROWS) == actions


@pytest.mark.parametrize("action", ROWS)
def test_the_tests_of_an_action_prove_its_codes(action):
    _, first, second, names = ROWS[action]
    texts = [TESTS[name] for name in names.split() if name != "REFUSALS"]
    for version, listed in (1, codes(first)), (2, codes(second)):
        tried = refusals(action, version) if "REFUSALS" in names.split() else set()
        assert tried <= listed, "the table lacks what is tried"
        for code in listed - tried:
            assert [text for text in texts if re.search(r"\b%d\b" % code, text)], "nothing tries %d" % code
    assert refusals(action, 1) | refusals(action, 2) == set() or "REFUSALS" in names.split()


def test_the_files_it_names_exist():
    text = (TOP / "docs" / "conformance.md").read_text()
    for name in re.findall(r"`(tests/[\w./-]+)`", text):
        assert (TOP / name).exists(), name


def test_the_tests_of_luci_s_page_exist():
    page = (TOP / "docs" / "conformance.md").read_text().partition("## LuCI's page")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+) \| ((?:\w+\.py::\w+ ?)+) \|$", page, re.M)
    assert len(rows) == page.count("\n| ") - 1  # all but the heading
    for _, names in rows:
        for name in names.split():
            path, _, function = name.partition("::")
            found = [one for one in (TOP / "tests", TOP / "tests" / "router") if (one / path).exists()]
            assert found and "\ndef %s(" % function in (found[0] / path).read_text(), name
