"""The shape of the source: which module may know which, how long a file may be, and that each has its unit tests."""

import ast
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
SOURCE = TOP / "src" / "miniigd"
UNIT = TOP / "tests" / "unit"
MOST_LINES = 400

FILES = sorted(SOURCE.rglob("*.py"))
# Take bytes, the time and the caller's address as arguments; a package stands for all of its modules.
SANS_IO = ("http", "ssdp", "soap", "xml", "description", "scpd", "mapping", "policy", "errors", "netlink", "interfaces",
           "control", "commands", "administration", "status", "gateway", "services", "firewall", "gena", "rate", "ports", "addresses",
           "dynamic", "natpmp", "pcp", "pcp_server")
INPUT_OUTPUT = {"socket", "select", "selectors", "time", "os", "miniigd.net", "miniigd.netlink_channel", "miniigd.loop", "miniigd.lan",
                "miniigd.datagram", "miniigd.port_server"}


def name_of(path):
    """"firewall.nft" for src/miniigd/firewall/nft.py, "services" for src/miniigd/services/__init__.py."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {name_of(path): path for path in FILES}


def tree(path):
    return ast.parse(path.read_text(), str(path))


def imports(path):
    """Return the full names of everything that a file imports, anywhere in it."""
    package = ("miniigd", *path.relative_to(SOURCE).parts[:-1])
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join((*package[:len(package) + 1 - node.level], *filter(None, [node.module])) if node.level
                            else [node.module])
            members = {base + "." + alias.name for alias in node.names}
            inner = {name for name in members if name.removeprefix("miniigd.") in MODULES}
            found.update(inner | ({base} if inner != members else set()))
    return found


def test_imports_are_found_in_every_form():
    assert {"miniigd.config", "miniigd.log", "miniigd.compat", "miniigd.firewall.memory", "miniigd.firewall.nft", "gc",
            "sys"} <= imports(MODULES["supervisor"])
    assert {"miniigd.errors", "miniigd.services"} <= imports(MODULES["services.wan_ip"])
    assert "miniigd.services.wan_ip" in imports(MODULES["description"])


def test_each_module_has_its_unit_tests_and_the_other_way_round():
    modules = {"test_%s.py" % name.replace(".", "_") for name, path in MODULES.items()
               if any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in ast.walk(tree(path)))}
    assert modules == {path.name for path in UNIT.glob("test_*.py")}


@pytest.mark.parametrize("name", MODULES)
def test_no_file_is_long(name):
    assert len(MODULES[name].read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is_for(name):
    assert ast.get_docstring(tree(MODULES[name])) or name == "__main__"


def test_protocols_and_decisions_do_no_input_or_output():
    for name, path in MODULES.items():
        if name.split(".")[0] in SANS_IO:
            assert not imports(path) & INPUT_OUTPUT, name


def test_nothing_imports_the_supervisor_but_the_program():
    assert [name for name, path in MODULES.items() if "miniigd.supervisor" in imports(path)] == ["__main__"]


def test_only_the_supervisor_names_a_firewall_back_end():
    for name, path in MODULES.items():
        if name != "supervisor" and name.split(".")[0] != "firewall":
            assert not [one for one in imports(path) if one.startswith("miniigd.firewall")], name


def test_the_table_of_mappings_knows_nobody():
    assert imports(MODULES["mapping"]) <= {"miniigd.errors", "miniigd.compat"}


def test_only_compat_asks_which_python_this_is():
    found = {name for name, path in MODULES.items()
             for word in ("ImportError", "ModuleNotFoundError", "sys.implementation") if word in path.read_text()}
    assert found == {"compat"}


def test_nothing_starts_a_shell():
    """Programs are started by compat.run_program alone, from a list of words, and the first is iptables' or ip6tables'."""
    starters = {"system", "popen", "posix_spawn", "spawnv", "spawnvp", "fork", "execv", "execve", "execvp", "Popen",
                "check_output", "check_call", "call", "getoutput", "eval", "exec", "compile"}
    for name, path in MODULES.items():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                assert called not in starters, (name, node.lineno)
                assert "shell" not in [keyword.arg for keyword in node.keywords], (name, node.lineno)
                if called in ("run_program", "_run"):
                    words = node.args[0]
                    while isinstance(words, ast.BinOp):
                        words = words.left
                    if isinstance(words, ast.List):
                        first = ast.unparse(words.elts[0])
                        assert first in ("'iptables-restore'", "self.name", "self.name + '-restore'"), (name, first)
                    else:
                        assert ast.unparse(words) == "self._restore_words()", (name, node.lineno)
        if name != "compat":
            assert not imports(path) & {"subprocess", "os", "pty"}, name


def test_no_two_test_files_have_the_same_name():
    """pytest would not collect the second one, and only in a run of everything."""
    names = [path.name for path in (TOP / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
