"""Freeze the program into C that compresses well: called in the place of MicroPython's makemanifest.py.

MicroPython's manifest reader, cross compiler and .mpy reader do what they always do. What is made of the bytecode is
ours, because flash holds it compressed, and because all of the program is known here:

- Bytecode names a string (qstr) by its number in the whole program, without a table for each module, and the most
  frequent strings have the numbers of one byte. So what is done alike looks alike in all modules.
- A name that only bytecode knows (a function, an attribute, a variable of a module) is a number and has no text. A name
  that the C sources know, that is also a string of the program, or that names a module, stays: whoever looks something
  up by a string finds it. `names.txt` beside the program says what each number stands for in a traceback.
- A function that another one makes is named by how far before that one it begins, so there are no tables of functions.
- Names of arguments are only looked at for arguments given by keyword, so all others are one name, and where all are that
  they are left out; so is a function's own name. `names.txt` says which function has which places of the bytecode.
- A number that is given a name once, and never anything else, stands in the bytecode itself in every module.
- Constants that are equal are one object.
- Of a module with two halves, for two Pythons, only the runtime's is there.

What the C sources have for Python and this program never names (str.format, set.union, ...) is taken out of their
tables when they are compiled (frozen/unused.sed); then the linker leaves it out.

The numbers of all strings are in a header for the C sources (frozen/genhdr/qstrdefs.generated.h), which replaces
MicroPython's, and their texts in one for qstr.c.
"""

import ast
import collections
import importlib
import itertools
import re
import sys
from pathlib import Path

_ONE_BYTE = 128  # numbers of strings below this take one byte of bytecode
_SMALL_INTS = range(-1 << 30, 1 << 30)  # of every target; others are objects
_LONGEST = 255  # bytes of a string that has a number
_MOST_MODULES = 255  # import.c has their numbers in bytes
_VARKEYWORDS = 2  # MicroPython's flag of a function with **
_NO_NAME = "*"  # of arguments that are not given by keyword


def _tools(top):
    """Import MicroPython's makemanifest and mpy-tool."""
    sys.path[:0] = [str(top / "py"), str(top / "tools")]
    return importlib.import_module("makemanifest"), importlib.import_module("mpy-tool")


class Function:
    """The bytecode of one function: `names` (its own, then its arguments'), `ops`, and the functions in it, `children`.

    `name` is for people. In place of a string's or a constant's number an operation has the thing itself for `arg`; `target` is the
    operation that it jumps to.
    """

    def __init__(self, tool, raw, module):
        self._tool, bytecode = tool, bytes(raw.fun_data)
        self.is_generator = bool(raw.scope_flags & tool.MP_SCOPE_FLAG_GENERATOR)
        # It has arguments that only come by keyword, or takes any: those are looked up by their names.
        self.takes_keywords = bool(raw.prelude_signature[4] or raw.scope_flags & _VARKEYWORDS)
        self.names = [module.qstr_table[index].str for index in raw.names]
        self.name, self.count_of_names = self.names[0], len(self.names)
        self._signature = bytecode[:raw.offset_prelude_size]
        self._lines = bytecode[raw.offset_line_info:raw.offset_closure_info]
        self._cells = bytecode[raw.offset_closure_info:raw.offset_opcodes]
        self.ops = self._decoded(bytecode[raw.offset_opcodes:], module)
        self.children = [Function(tool, child, module) for child in raw.children]

    def _decoded(self, bytecode, module):
        tool, ops, place = self._tool, {}, 0
        while place < len(bytecode):
            form, size, arg, extra = tool.mp_opcode_decode(bytecode, place)
            op = ops[place] = tool.Opcode(place, form, bytecode[place], arg, extra)
            op.old_offset = place
            place += size
            if form == tool.MP_BC_FORMAT_QSTR:
                op.arg = module.qstr_table[arg].str
            elif form == tool.MP_BC_FORMAT_OFFSET:
                op.arg += place - (extra is not None)  # counted from where the jump's own number ends
            elif op.opcode_byte == tool.Opcode.MP_BC_LOAD_CONST_OBJ:
                op.arg = module.obj_table[arg]
        for op in ops.values():
            op.target = ops[op.arg] if op.fmt == tool.MP_BC_FORMAT_OFFSET else None
        return list(ops.values())

    def has_lines(self):
        return bool(self._lines)

    def replace(self, start, count, *ops):
        """Put `ops` in the place of `count` operations, unless something jumps into the midst of them; say if so.

        What jumps to the first one jumps to what takes its place then.
        """
        old = self.ops[start:start + count]
        if any(op.target is one for op in self.ops for one in old[1:]):
            return False
        follower = ops[0] if ops else self.ops[start + count]
        for op in self.ops:
            if op.target is old[0]:
                op.target = follower
        for op in ops:
            op.old_offset = old[0].old_offset
        self.ops[start:start + count] = ops
        return True

    def encoded(self, number, constant, child):
        """Return the bytes, with what `number(string)`, `constant(object)` and `child(index)` give in their places."""
        tool = self._tool
        for op in self.ops:
            if op.fmt == tool.MP_BC_FORMAT_QSTR:
                op.arg = number(op.arg)
            elif op.opcode_byte == tool.Opcode.MP_BC_LOAD_CONST_OBJ and isinstance(op.arg, str) and (
                    len(op.arg.encode()) <= _LONGEST):
                op.opcode_byte, op.fmt = tool.Opcode.MP_BC_LOAD_CONST_STRING, tool.MP_BC_FORMAT_QSTR
                op.arg = number(op.arg)
            elif op.opcode_byte == tool.Opcode.MP_BC_LOAD_CONST_OBJ:
                op.arg = constant(op.arg)
            elif op.opcode_byte in (tool.Opcode.MP_BC_MAKE_FUNCTION, tool.Opcode.MP_BC_MAKE_FUNCTION_DEFARGS,
                                    tool.Opcode.MP_BC_MAKE_CLOSURE, tool.Opcode.MP_BC_MAKE_CLOSURE_DEFARGS):
                op.arg = child(op.arg)
        code, moved = b"", True
        while moved:  # jumps become shorter or longer with what is between
            code, moved, overflows = bytearray(), False, False
            for op in self.ops:
                moved |= op.offset != len(code)
                op.offset = len(code)
                overflow, encoded = tool.mp_opcode_encode(op)
                overflows |= overflow
                code += encoded
        assert not overflows
        info = b"".join(bytes(tool.mp_encode_uint(number(name) if name else 0)) for name in self.names) + self._new_lines(len(code))
        return self._signature + bytes(tool.encode_prelude_size(len(info), len(self._cells))) + info + self._cells + code

    def _new_lines(self, end):
        """The table of lines (py/bc.h) for the operations' new places."""
        result, place, last, table = bytearray(), 0, 0, iter(self._lines)
        for first in table:
            if first & 0x80:
                place, lines = place + (first & 15), first << 4 & 0x700 | next(table)
            else:
                place, lines = place + (first & 31), first >> 5
            now = next((op.offset for op in self.ops if op.old_offset >= place), end)
            size, last = now - last, now
            while size or lines:
                if lines < 4:
                    result.append(lines << 5 | min(size, 31))
                    size, lines = size - min(size, 31), 0
                else:
                    few = min(lines, 0x7FF)
                    result += bytes((0x80 | few >> 4 & 0x70 | min(size, 15), few & 255))
                    size, lines = size - min(size, 15), lines - few
        return bytes(result)


class Program:
    """All modules of the program, and what is done to their bytecode."""

    def __init__(self, tool, files, c_names):
        self._tool, self._c_names = tool, c_names
        tool.config.native_arch = tool.MP_NATIVE_ARCH_NONE
        tool.global_qstrs = tool.GlobalQStrList()
        loaded = [tool.read_mpy(file) for file in files]
        self.modules = [(module.source_file.str, Function(tool, module.raw_code, module)) for module in loaded]
        self.functions = [one for _, function in self.modules for one in _walk(function)]

    def _operations(self, *kinds):
        """Every (function, place, operation) of these kinds, from the last place of each function to the first."""
        codes = {getattr(self._tool.Opcode, "MP_BC_" + kind) for kind in kinds}
        for function in self.functions:
            for place in range(len(function.ops) - 1, -1, -1):
                if place < len(function.ops) and function.ops[place].opcode_byte in codes:
                    yield function, place, function.ops[place]

    def _op(self, kind, arg=None, form=None):
        op = self._tool.Opcode(-1, self._tool.MP_BC_FORMAT_BYTE if form is None else form,
                               getattr(self._tool.Opcode, "MP_BC_" + kind), arg, None)
        op.target = None
        return op

    def _is(self, op, kind, arg=None):
        return op.opcode_byte == getattr(self._tool.Opcode, "MP_BC_" + kind) and arg in (None, op.arg)

    def is_store(self, op):
        """True for what gives a module a name."""
        return self._is(op, "STORE_NAME")

    def simplify(self):
        """Take out what the runtime does not look at."""
        for function, place, op in self._operations("IMPORT_NAME"):
            # `from module import a, b`: that there are names is all it wants to know
            tuple_place = place - 1
            if self._is(function.ops[tuple_place], "BUILD_TUPLE"):
                count = function.ops[tuple_place].arg
                function.replace(tuple_place - count, count + 1, self._op("LOAD_CONST_TRUE"))
        for function, place, op in self._operations("STORE_NAME"):
            # a class's __module__ and __qualname__
            before = function.ops[place - 1]
            if op.arg == "__module__" and self._is(before, "LOAD_NAME", "__name__") or (
                    op.arg == "__qualname__" and self._is(before, "LOAD_CONST_STRING", function.names[0])):
                function.replace(place - 1, 2)
        called = {function for function, _, op in self._operations("LOAD_NAME", "LOAD_GLOBAL") if op.arg == "const"}
        users = {body for _, body in self.modules if called.intersection(_walk(body))}
        for function, place, op in self._operations("STORE_NAME"):
            # the cross compiler has seen to const(...) where it can
            if function not in users and op.arg == "const" and self._is(function.ops[place - 1], "IMPORT_FROM"):
                function.replace(place - 1, 2)

    def insert_numbers(self):
        """Put a number that a module gives a name, once and for all, where the name is used; forget the name.

        A name counts only if every store of it, in all of the program, is that or an import, and if each use is known.
        """
        values, wrong = {}, self.strings() | self._c_names
        bodies = {body for _, body in self.modules}
        stores = list(self._operations("STORE_NAME", "STORE_GLOBAL", "STORE_ATTR", "DELETE_NAME", "DELETE_GLOBAL"))
        for function, place, op in stores:
            before = function.ops[place - 1]
            value = self._number(before) if function in bodies and self._is(op, "STORE_NAME") else None
            if value is not None:
                values.setdefault(op.arg, set()).add(value)
            elif not (self._is(before, "IMPORT_FROM", op.arg) and self._is(op, "STORE_NAME")):
                wrong.add(op.arg)
        for function, place, op in self._operations("IMPORT_FROM"):
            if not self._is(function.ops[place + 1], "STORE_NAME", op.arg):
                wrong.add(op.arg)
        for function, place, op in self._operations("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_METHOD"):
            if self._is(op, "LOAD_METHOD") or not self._is_global(function.ops[place - 1]) or any(
                    one.target is op for one in function.ops):
                wrong.add(op.arg)
        values = {name: found.pop() for name, found in values.items() if len(found) == 1 and name not in wrong}
        for function, place, op in self._operations("LOAD_NAME", "LOAD_GLOBAL", "LOAD_ATTR"):
            if op.arg in values:
                assert function.replace(place - self._is(op, "LOAD_ATTR"), 1 + self._is(op, "LOAD_ATTR"),
                                        self._load_number(values[op.arg]))
        for function, place, op in self._operations("STORE_NAME"):
            if op.arg in values:
                assert function.replace(place - 1, 2)

    def _is_global(self, op):
        return self._is(op, "LOAD_GLOBAL") or self._is(op, "LOAD_NAME")

    def _number(self, op):
        """The number that an operation loads, or None."""
        codes = self._tool.Opcode
        if op.opcode_byte == codes.MP_BC_LOAD_CONST_SMALL_INT:
            return op.arg
        value = op.opcode_byte - codes.MP_BC_LOAD_CONST_SMALL_INT_MULTI
        return value - codes.MP_BC_LOAD_CONST_SMALL_INT_MULTI_EXCESS if (
            0 <= value < codes.MP_BC_LOAD_CONST_SMALL_INT_MULTI_NUM) else None

    def _load_number(self, value):
        codes = self._tool.Opcode
        short = value + codes.MP_BC_LOAD_CONST_SMALL_INT_MULTI_EXCESS
        if not 0 <= short < codes.MP_BC_LOAD_CONST_SMALL_INT_MULTI_NUM:
            return self._op("LOAD_CONST_SMALL_INT", value, self._tool.MP_BC_FORMAT_VAR_UINT)
        op = self._op("LOAD_CONST_SMALL_INT_MULTI")
        op.opcode_byte += short
        return op

    def keywords(self):
        """Return every name that a call may give an argument by."""
        found = set()
        for function, _, op in self._operations("CALL_FUNCTION", "CALL_METHOD", "CALL_FUNCTION_VAR_KW", "CALL_METHOD_VAR_KW"):
            if op.arg >> 8:
                found.update(one.arg for one in function.ops if self._is(one, "LOAD_CONST_STRING"))
                if any(self._is(one, "LOAD_NULL") for one in function.ops):  # ** and something
                    found |= self.strings()
        return found

    def unname(self, keywords):
        """Leave out the names of functions and of arguments but for those that are given by keyword.

        A function with a table of lines keeps its name, and places for its arguments' before the table.
        """
        for function in self.functions:
            if function.takes_keywords:
                continue
            arguments = [name if name in keywords else _NO_NAME for name in function.names[1:]]
            if function.has_lines():
                function.names[1:] = arguments
            else:
                function.names = [None] + (arguments if set(arguments) - {_NO_NAME} else [])

    def strings(self):
        """Every string that the program can look something up by."""
        found = {op.arg for _, _, op in self._operations("LOAD_CONST_STRING")}
        for _, _, op in self._operations("LOAD_CONST_OBJ"):
            found.update(_strings_of(op.arg))
        return found

    def nameless(self):
        """Return the names that only bytecode knows: those need no text."""
        kept = self.strings() | self._c_names | {_NO_NAME}
        for path, _ in self.modules:
            kept.update([path], re.split("[/.]", path))
        kept.update(op.arg for _, _, op in self._operations("IMPORT_NAME"))
        return {name for name in self.used() if name not in kept and not name.startswith(("__", "<", "test_"))}

    def used(self):
        """{string: how often bytecode names it}, in the order of first use."""
        used = collections.Counter()
        for function in self.functions:
            used.update(name for name in function.names if name is not None)
            used.update(op.arg for op in function.ops if op.fmt == self._tool.MP_BC_FORMAT_QSTR)
        return used

    def numbered(self):
        """Return four lists of strings, numbered from 1 on: frequent names without a text; frequent ones with a text and
        those that need small numbers; others with a text; others without. Those with a text are in qstr.c's order.
        """
        used, nameless = self.used(), self.nameless()
        every = (set(used) | self._c_names | {path for path, _ in self.modules}) - nameless
        for _, _, op in self._operations("LOAD_CONST_OBJ"):
            every.update(text for text in _strings_of(op.arg) if len(text.encode()) <= _LONGEST)
        frequent = {name for name, _ in used.most_common(_ONE_BYTE - 1)}
        # the interpreter's tables of methods for operators (py/objtype.c) hold bytes
        first = frequent - nameless | {name for name in self._c_names if name.startswith("__")}

        def order(name):
            return len(name.encode()), name.encode()

        # Names without a text in the order of their first use: numbers that are used together begin with the same byte.
        return ([name for name in used if name in frequent and name in nameless], sorted(first, key=order),
                sorted(every - first, key=order), [name for name in used if name not in frequent and name in nameless])


def _walk(function):
    yield function
    for child in function.children:
        yield from _walk(child)


def _strings_of(constant):
    if isinstance(constant, str):
        yield constant
    elif isinstance(constant, tuple):
        for one in constant:
            yield from _strings_of(one)


class _Constants:
    """Constant objects in C; `lines` define them."""

    def __init__(self, names):
        self._names, self._known, self.lines = names, {}, []

    def reference(self, value):
        """Return the C expression for an object."""
        if value is None or value is True or value is False:
            return "MP_ROM_" + repr(value).upper()
        if isinstance(value, int) and value in _SMALL_INTS:
            return "MP_ROM_INT(%d)" % value
        if isinstance(value, str) and value in self._names:
            return "MP_ROM_QSTR(%d)" % self._names[value]
        if value in (b"", ()):
            return "MP_ROM_PTR(&mp_const_empty_%s_obj)" % ("bytes" if value == b"" else "tuple")
        key = repr(value)
        if key not in self._known:
            definition = self._definition(value)
            self._known[key] = "constant_%d" % len(self._known)
            self.lines.append("static const %s = %s;" % (definition[0] % self._known[key], definition[1]))
        return "MP_ROM_PTR(&%s)" % self._known[key]

    def _definition(self, value):
        if isinstance(value, int):
            return "mp_obj_int_t %s", "{{&mp_type_int}, %dLL}" % value
        if isinstance(value, tuple):
            return "mp_rom_obj_tuple_t %s", "{{&mp_type_tuple}, %d, {%s}}" % (
                len(value), ", ".join(self.reference(one) for one in value))
        kind, data = ("str", value.encode()) if isinstance(value, str) else ("bytes", bytes(value))
        # without a hash: it is made when somebody asks for it
        return "mp_obj_str_t %s", "{{&mp_type_%s}, 0, %d, (const byte *)%s}" % (kind, len(data), _c_string(data))


def _c_string(data):
    return '"%s"' % "".join(chr(one) if 32 <= one < 127 and chr(one) not in '"\\?' else "\\%03o" % one for one in data)


def _header(tool, c_names, strings):
    """The C sources' names for all strings (see py/qstr.h)."""
    lines, number = ['QDEF0(MP_QSTRnull, 0, 0, "")'], 0
    for part, names in enumerate(strings):
        for name in names:
            number += 1
            ident = tool.qstrutil.qstr_escape(name) if name in c_names else "%d" % number
            lines.append("QDEF%d(MP_QSTR_%s, 0, 0, 0)" % (part > 1, ident))
    return "\n".join(lines) + "\n"


def _texts(strings):
    """All texts for qstr.c, in one piece, and its table of them."""
    number, place, length, lines, table = len(strings[0]) + 1, 0, None, [], []
    for names in strings[1], strings[2]:
        for name in names:
            text = name.encode()
            if len(text) != length:
                length = len(text)
                table.append("{%d, %d, %d}" % (number, length, place))
            lines.append(_c_string(text + b"\0"))
            number, place = number + 1, place + len(text) + 1
        length = None
    return """#define STRINGS_FIRST %d
#define STRINGS_END %d
static const char texts[] =
%s;
static const texts_t table[] = {%s, {STRINGS_END, 0, 0}};
""" % (len(strings[0]) + 1, number, "\n".join(lines), ", ".join(table))


def _source(program, numbers):
    """Return (the program in C, [(place, path, name) of each function]), with a number for each string."""
    assert len(program.modules) <= _MOST_MODULES
    places, constants, code, tables, modules = [], _Constants(numbers), bytearray(), [], []
    sizes = []  # how many names each module has

    def function(one, table, path, outer):
        """Add a function, behind those in it; return its place."""
        name = outer + one.name
        inner = [function(child, table, path, name + "." if outer or one is not body else "") for child in one.children]
        place = len(code)
        places.append((place, path, name))
        code.extend(one.encoded(numbers.__getitem__, lambda value: _index(table, value), lambda index: place - inner[index]))
        assert any(code[place:place + 2])  # or it would be no bytecode to MicroPython
        return place

    for path, body in program.modules:
        table = []
        place = function(body, table, path, "")
        sizes.append(len({op.arg for op in body.ops if program.is_store(op)}) + _own_names(path, program))
        modules.append("{{%d, (mp_obj_t *)(objects + %d)}, mp_frozen_code + %d}" % (numbers[path], len(tables), place))
        tables.extend(constants.reference(value) for value in table)

    def array(kind, items):
        return "%s[] = {\n%s\n};" % (kind, ",\n".join(items))

    # A traceback skips names of arguments, also where there are none: behind the last function, too.
    code.extend(bytes(max(one.count_of_names for one in program.functions)))
    return "\n".join([
        '#include "py/objint.h"', '#include "py/objstr.h"', '#include "py/objtuple.h"', '#include "py/emitglue.h"',
        array("const byte mp_frozen_code", [",".join(map(str, code[place:place + 32])) for place in range(0, len(code), 32)]),
        *constants.lines, array("static const mp_rom_obj_t objects", tables),
        array("const uint8_t mp_frozen_sizes", map(str, sizes)),
        "const mp_frozen_module_t mp_frozen_modules[] = {\n%s,\n{{MP_QSTRnull, NULL}, NULL}\n};" % ",\n".join(modules)]), places


def _own_names(path, program):
    """Return how many names a module gets that it does not store: __name__, and a package __path__ and its modules."""
    folder, _, name = path.rpartition("/")
    if name != "__init__.py":
        return 1
    inner = {other[len(folder) + 1:].partition("/")[0] for other, _ in program.modules if other.startswith(folder + "/")}
    return 1 + len(inner)


def _index(table, value):
    for index, known in enumerate(table):
        if type(known) is type(value) and repr(known) == repr(value):
            return index
    table.append(value)
    return len(table) - 1


def _c_names(tool, header):
    """Return (the strings that the C sources name, the settings that go with them).

    What has other characters than letters is named by its identifier there; the first one that has it is meant.
    """
    settings, collected = tool.qstrutil.parse_input_headers([str(header)])
    strings, lines = dict(collected.values()), set(header.read_text().splitlines())
    for text in tool.qstrutil.static_qstr_list:  # which the cross compiler knows by number
        ident = tool.qstrutil.qstr_escape(text)
        if "Q(%s)" % text in lines or "Q(%s)" % ident in lines:
            strings[ident] = text
    return set(strings.values()), settings


class _Half(ast.NodeTransformer):
    """Leaves of a module's `if host: ... else: ...` what the runtime takes, which always has the module `host`."""

    def visit_If(self, node):  # noqa: N802 - ast's name
        self.generic_visit(node)
        return node.body if ast.unparse(node.test) == "host" else node


# A function or a type in a table of names, on a line of its own.
_FUNCTION = re.compile(r"^ *\{ MP_ROM_QSTR\(MP_QSTR_(\w+)\), MP_ROM_PTR\(&\w+_obj\) \},$", re.M)
_TYPE = re.compile(r"^ *\{ MP_ROM_QSTR\(MP_QSTR_(\w+)\), MP_ROM_PTR\(&mp_type_\w+\) \},$", re.M)
_DELETE = "/^ *{ MP_ROM_QSTR(MP_QSTR_%s), MP_ROM_PTR(&%s) },$/d\n"
# The line of a traceback (mpconfigport.h).
_LINE = "mp_bytecode_get_source_line(ip, line_info_top, bc)", "LEAN_LINE(ip, line_info_top, bc, code_state->ip)"
# A function that another one makes.
_CHILD = "code_state->fun_bc->child_table[unum]", "(code_state->fun_bc->bytecode - unum)"
# Objects of these types are never shown; if one is after all, it is its type's name in "<>".
_NEVER_SHOWN = ("array", "dict_view", "module", "mp_obj_attrtuple", "range", "set", "super", "vfs_posix_file")
# How many of these are in the table of text types is also a number in py/objstr.c.
_COUNTED = {"append", "extend", "hex", "fromhex", "decode", "encode"}


def _unused(top, used):
    """Return the names of (functions, types) that C has in tables and that nobody looks up."""
    functions, types, others = set(), set(), set()
    extras = [top / "extmod/modselect.c", top / "ports/unix/modsocket.c", *Path(__file__).parent.glob("*.c")]
    for path in *top.glob("py/*.[ch]"), *top.glob("extmod/vfs*.c"), *extras:
        text = path.read_text()
        functions.update(_FUNCTION.findall(text))
        types.update(_TYPE.findall(text))
        others.update(re.findall(r"MP_QSTR_(\w+)", _FUNCTION.sub("", text)))
    return [{name for name in names - _COUNTED - used if not name.startswith("__")}
            for names in (functions - others, types)]


def main():
    words = dict(word.split("=", 1) for word in sys.argv if "=" in word)
    makemanifest, tool = _tools(Path(words["MPY_DIR"]))
    build = Path(sys.argv[sys.argv.index("-b") + 1])
    (build / "frozen" / "genhdr").mkdir(parents=True, exist_ok=True)

    def freeze(command):
        """Do what makemanifest runs mpy-tool for: (exit status, C source)."""
        preprocessed = Path(command[command.index("-q") + 1])
        c_names, settings = _c_names(tool, preprocessed)
        tool.config.MICROPY_QSTR_BYTES_IN_HASH = int(settings["BYTES_IN_HASH"])
        top = Path(words["MPY_DIR"])
        program = Program(tool, sorted(word for word in command if word.endswith(".mpy")), c_names)
        functions, types = _unused(top, program.strings() | set(program.used()))
        c_names -= functions  # a type has its name besides
        (build / "frozen" / "unused.sed").write_text("".join(
            [_DELETE % (name, "[a-z_0-9]*_obj") for name in sorted(functions)]
            + [_DELETE % (name, "mp_type_[A-Za-z_]*") for name in sorted(types)]
            + ["/^ *print, %s_print,$/d\n" % name for name in _NEVER_SHOWN]
            + ["s/%s/%s/\n" % (old.replace("[", "\\["), new) for old, new in (_LINE, _CHILD)]))
        assert all((top / "py" / "vm.c").read_text().count(old) == 1 for old, _ in (_LINE, _CHILD))
        program.simplify()
        program.insert_numbers()
        program.unname(program.keywords())
        strings = program.numbered()
        (build / "frozen" / "genhdr" / "qstrdefs.generated.h").write_text(_header(tool, c_names, strings))
        (build / "frozen" / "strings.generated.h").write_text(_texts(strings))
        numbers = {name: number for number, name in enumerate(itertools.chain(*strings), 1)}
        (build / "names.txt").write_text("".join(
            "#%d %s\n" % (numbers[name], name) for name in strings[0] + strings[3]))
        source, places = _source(program, numbers)
        with open(build / "names.txt", "a") as file:
            file.writelines("line %d %s %s\n" % place for place in places)
        return 0, source.encode()

    compile_file = makemanifest.mpy_cross.compile

    def compile_half(path, **words):
        """Cross-compile a file; of one that has two halves, for two Pythons, ours."""
        text = Path(path).read_text()
        if "\nif host:\n" in text:
            path = build / "frozen" / "half.py"
            path.write_text(ast.unparse(_Half().visit(ast.parse(text))))
        compile_file(str(path), **words)

    makemanifest.mpy_cross.compile = compile_half
    makemanifest.system = freeze
    makemanifest.main()


if __name__ == "__main__":
    main()
