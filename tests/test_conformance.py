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
import test_natpmp  # noqa: E402
import test_pcp_server  # noqa: E402

from miniigd import natpmp, pcp  # noqa: E402

ROWS = {row[0]: row for row in re.findall(r"^\| ([A-Z]\w+) \| ([\d -]+) \| ([\d -]+) \| (.+) \|$",
                                          (TOP / "docs" / "conformance.md").read_text(), re.M)}
SOURCE = (TOP / "tests" / "unit" / "test_control.py").read_text()
TESTS = {node.name: ast.get_source_segment(SOURCE, node) for node in ast.parse(SOURCE).body
         if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def codes(text):
    return {int(word) for word in text.split() if word != "-"}


def refusals(action, version):
    """The codes that the rows of REFUSALS and PINHOLE_REFUSALS for an action have in a version; 401 is "there is no such action"."""
    found = {row[1 + version] for row in test_control.REFUSALS if row[0].decode() == action}
    if version == 2:
        found |= {row[2] for row in test_control.PINHOLE_REFUSALS if row[0].decode() == action}
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


# --- NAT-PMP and PCP

TEXT = (TOP / "docs" / "conformance.md").read_text()
OPCODES = re.findall(r"^\| (NAT-PMP|PCP)(?: (\d))?, .*? \| ([\d ]+) \| (.+) \|$", TEXT, re.M)
OPTIONS = re.findall(r"^\| (\d), ([A-Z_]+) \| ([A-Z ]+) \| (.+) \|$", TEXT, re.M)
CASES = {"NAT-PMP": test_natpmp.CASES, "PCP": test_pcp_server.CASES}


def results(module):
    """{code: name} of the constants behind the comment about result codes."""
    part = Path(module.__file__).read_text().partition("# Result codes")[2].partition("\n\n")[0]
    return {int(value): name for name, value in re.findall(r"^([A-Z_]+) = const\((\d+)\)", part, re.M)}


def test_every_opcode_is_there():
    assert [row[:2] for row in OPCODES] == [("NAT-PMP", "0"), ("NAT-PMP", "1"), ("NAT-PMP", "2"), ("NAT-PMP", ""),
                                            ("PCP", "0"), ("PCP", "1"), ("PCP", "2"), ("PCP", "")]
    assert (natpmp.ADDRESS, natpmp.MAP_UDP, natpmp.MAP_TCP) == (pcp.ANNOUNCE, pcp.MAP, pcp.PEER) == (0, 1, 2)


@pytest.mark.parametrize("row", OPCODES, ids=lambda row: row[0] + row[1])
def test_the_results_of_an_opcode_are_those_that_are_tried(row):
    protocol, opcode, listed, _ = row
    tried = {case[1] for case in CASES[protocol] if (str(case[0]) if case[0] < 3 else "") == opcode}
    assert codes(listed) == tried


def test_every_result_code_is_tried():
    for protocol, module, count in (("NAT-PMP", natpmp, 6), ("PCP", pcp, 14)):
        assert sorted(results(module)) == list(range(count))
        assert {case[1] for case in CASES[protocol]} == set(results(module))


def test_every_option_is_there_for_its_opcodes():
    names = {"MAP": pcp.MAP, "PEER": pcp.PEER}
    assert {(int(code), getattr(pcp, name)) for code, name, _, _ in OPTIONS} == {(code, code) for code in pcp._OPTIONS}
    for code, _, opcodes, _ in OPTIONS:
        assert {names[word] for word in opcodes.split()} == set(pcp._OPTIONS[int(code)][1])


def test_the_tests_it_names_exist():
    named = set(re.findall(r"\b(test_\w+)\b(?!\.py)", TEXT))
    found = {name for path in (TOP / "tests").rglob("test_*.py")
             for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)}
    files = {path.stem for path in (TOP / "tests").rglob("test_*.py")}
    assert named - files <= found


def test_the_files_it_names_exist():
    text = (TOP / "docs" / "conformance.md").read_text()
    for name in re.findall(r"`(tests/[\w./-]+)`", text):
        assert (TOP / name).exists(), name


def rows(document, heading):
    """The rows of the first table behind a heading of a document, list of lists of cells; without its head."""
    part = (TOP / "docs" / document).read_text().partition("## %s\n" % heading)[2].partition("\n## ")[0]
    lines = [line for line in part.split("\n") if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


@pytest.mark.parametrize("document, heading", [
    ("conformance.md", "LuCI's page"), ("security.md", "What is promised, and the test behind it")])
def test_what_is_promised_has_its_tests(document, heading):
    found = rows(document, heading)
    assert len(found) > 10
    for _, names in found:
        check_tests(names, "router")


def check_tests(names, folder):
    """The tests of these names exist, in that folder unless they name another."""
    assert names
    for name in names.split():
        path, _, function = name.partition("::")
        paths = [one / path for one in (TOP / "tests" / folder, TOP / "tests", TOP) if (one / path).exists()]
        assert paths and "\ndef %s(" % function in paths[0].read_text(), name


def test_the_limits_are_where_the_document_says():
    found = rows("security.md", "Limits")
    assert len(found) > 15
    for _, _, where, tests in found:
        check_tests(tests, "unit")
        for part in where.split(", "):
            path, *names = part.split()
            text = [one / path for one in (TOP / "src" / "miniigd", TOP) if (one / path).exists()][0].read_text()
            for name in names:
                assert re.search(r"\b%s\b" % name.strip("`"), text), name
