"""What the lean MicroPython runtime lacks is not used in src/, the unit tests, the player of transcripts, the fuzz
targets.

The runtime has no compiler of its own, so most of this would show on the router only. What it has is listed in
package/micropython-lean/mpconfigport.h and stdlib/.
"""

import ast
import io
import tokenize
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
FILES = sorted([*(TOP / "src").rglob("*.py"), *(TOP / "tests" / "unit").glob("*.py"),
                TOP / "tests" / "replay" / "replay.py",
                *(TOP / "tests" / "fuzz" / name for name in ("targets.py", "run_fuzz.py"))])

MODULES = {"errno", "gc", "host", "io", "select", "selectors", "socket", "struct", "sys", "miniigd", "helpers",
           "replay", "targets"}
METHODS = set("title zfill ljust rjust removeprefix removesuffix casefold isalnum translate capitalize hex fromhex "
              "bit_length sendall getsockname getpeername getsockopt recv_into".split())
NAMES = set("BlockingIOError BrokenPipeError ConnectionError ConnectionAbortedError ConnectionRefusedError "
            "ConnectionResetError FileNotFoundError InterruptedError PermissionError TimeoutError frozenset "
            "vars".split())


def in_call(node):
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    owner = function.value.id if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) else ""
    first = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else ""
    if isinstance(function, ast.Attribute) and name in METHODS:
        return "method %s" % name
    if name in ("split", "rsplit") and node.keywords:
        return "keyword argument of split"
    if owner == "struct" and str(first).startswith("="):
        return "struct's ="
    return ""


def is_nested(node):
    return any(isinstance(inner, ast.JoinedStr) for part in node.values if isinstance(part, ast.FormattedValue)
               for inner in ast.walk(part.value))


def is_joined(node, source):
    """True for an f-string that stands beside another literal: one token for each."""
    kinds = (tokenize.STRING, getattr(tokenize, "FSTRING_START", tokenize.STRING))
    text = "(%s)" % ast.get_source_segment(source, node)
    return len([token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type in kinds]) > 1


def problem(node, source):
    """Return what is wrong with a node by itself, or nothing."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (float, complex)):
        return "float"
    if isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, (ast.Div, ast.MatMult)):
        return "division"
    if isinstance(node, ast.Import):
        return ", ".join(alias.name for alias in node.names if alias.name.split(".")[0] not in MODULES)
    if isinstance(node, ast.ImportFrom) and not node.level and node.module.split(".")[0] not in MODULES:
        return node.module
    if isinstance(node, (ast.FunctionDef, ast.Lambda)) and node.args.posonlyargs:
        return "positional-only argument"
    if isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.Match)):
        return type(node).__name__
    if isinstance(node, (ast.List, ast.Set, ast.Tuple)) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        return "* in a display" if any(isinstance(part, ast.Starred) for part in node.elts) else ""
    if isinstance(node, ast.Dict) and None in node.keys:
        return "** in a display"
    if isinstance(node, ast.ClassDef) and (node.keywords or len(node.bases) > 1):
        return "class with keywords or several bases"
    if isinstance(node, ast.JoinedStr) and (is_nested(node) or is_joined(node, source)):
        return "nested or joined f-string"
    if isinstance(node, ast.Delete) and any(isinstance(getattr(one, "slice", None), ast.Slice) for one in node.targets):
        return "del of a slice"
    if isinstance(node, ast.With) and any("socket.socket" in ast.unparse(item.context_expr) for item in node.items):
        return "with socket"
    if isinstance(node, ast.Name) and node.id in NAMES:
        return node.id
    return in_call(node) if isinstance(node, ast.Call) else ""


def problems(source, name=""):
    """Return the [(line, what is wrong)] of a source file."""
    tree = ast.parse(source)
    if name == "compat.py":  # the only file with a part for CPython alone
        for node in tree.body:
            if isinstance(node, ast.If) and ast.unparse(node.test) == "host":
                node.orelse = []
    found = [(getattr(node, "lineno", 0), problem(node, source)) for node in ast.walk(tree)]
    return [(line, text) for line, text in found if text]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TOP)))
def test_only_what_the_lean_runtime_has(path):
    assert problems(path.read_text(), path.name) == []


@pytest.mark.parametrize("source", (
    "x = 1.5", "x = a / b", "x /= 2", "import os", "import os.path", "from dataclasses import dataclass",
    "def f(a, /): pass", "f = lambda a, /: a", "async def f(): pass", "match a:\n    case 1: pass", "x = [*a, b]",
    "x = (*a, b)", "x = {*a}", "x = {**a}", "class A(B, metaclass=C): pass", "class A(B, C): pass", "x = f'a' 'b'",
    "x = 'a' f'{b}'", "x = f'{a + f\"{b}\"}'", "del b[:2]", "with socket.socket() as s: pass", "x = a.removeprefix(b)",
    "x = a.title()", "x = a.split(b, maxsplit=1)", "struct.pack('=H', 1)", "s.sendall(b)", "x = frozenset()",
    "try:\n    pass\nexcept BlockingIOError:\n    pass"))
def test_what_it_lacks_is_found(source):
    assert problems(source)


@pytest.mark.parametrize("source", (
    "x = a // b", "import socket", "from .os import x", "from miniigd.xml import escape", "a, *b = c", "f(*a, **b)",
    "x = f'{a!r} {b:02x}'", "x = 'a' 'b'", "del a[b]", "with open(a) as f: pass", "x = a.split(b, 1)",
    "x = a.title", "struct.pack('>H', 1)", "class A(B): pass", "b[:2] = b''"))
def test_what_it_has_is_not(source):
    assert problems(source) == []
