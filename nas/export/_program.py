"""What may stand in the graph of a program: names, operations of torch, and sums of sizes.

A program is JSON, and torch runs some of its strings as Python when it opens it: expressions of
sizes (sympy's parser is `eval`), guards, and names that become those of arguments. Others name what
is called later. A program that this package writes has few kinds of either, so others are refused
before torch sees them. That a program computes something sensible, in sensible time, is not
checked, and cannot be.
"""

import ast
import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nas.export._base import BundleError, shown

_PLAIN = re.compile(r"[\w.:+\-]{0,400}", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w{0,200}", re.ASCII)
_OPERATORS = (
    r"add|sub|mul|truediv|floordiv|mod|pow|neg|pos|abs|eq|ne|lt|le|gt|ge|and_|or_|xor|not_|getitem"
)
_TARGET = re.compile(
    r"torch\.ops\.(aten|prims|higher_order)\.(?!from_file)"
    r"((?!__)\w+|__i?(and|or|xor|lshift|rshift)__)(\.(?!__)\w+)?"
    r"|torch\._?sym_[a-z]+"
    rf"|_operator\.({_OPERATORS})"
    r"|math\.[a-z]+[0-9]*",
    re.ASCII,
)
_KINDS = (None, "builtins.tuple", "builtins.list", "builtins.dict")
# What expressions of sizes are made of, as sympy writes them.
_FUNCTIONS = re.compile(
    r"Symbol|Integer|Rational|Float|Add|Mul|Pow|Max|Min|Mod|PythonMod|Abs|FloorDiv"
    r"|CleanDiv|CeilDiv|IntTrueDiv|FloatTrueDiv|CeilToInt|FloorToInt|TruncToInt"
    r"|RoundToInt|ToFloat|ModularIndexing|Where|Identity|GreaterThan|LessThan"
    r"|StrictGreaterThan|StrictLessThan|Equality|Unequality|And|Or|Not|Piecewise"
    r"|ExprCondPair|Tuple|floor|ceiling"
)
_CONSTANTS = frozenset({"true", "false"})
_MOST_CHARACTERS, _MOST_DIGITS, _LARGEST_POWER = 4000, 30, 8


def check_program(path: Path, content: bytes) -> None:
    """Refuse a graph with strings that torch would run, or calls of more than operations.

    Args:
        path: of the archive, for messages.
        content: of its `model.json`.

    Raises:
        BundleError: it has one.
    """
    try:
        _check(path, "", json.loads(content))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: its graph cannot be read ({error}); not loaded") from error


def _check(path: Path, key: str, value: Any) -> None:
    if key in _RULES and value is not None:
        if not _RULES[key](value):
            raise BundleError(
                f"{path}: its graph has {shown(json.dumps(value))} for {key}, which no exported "
                "network has; not loaded"
            )
    elif isinstance(value, Mapping):
        for name, each in value.items():
            if not _PLAIN.fullmatch(name):
                raise BundleError(f"{path}: its graph has the name {shown(name)}; not loaded")
            _check(path, name, each)
    elif isinstance(value, list):
        for each in value:
            _check(path, key, each)
    elif isinstance(value, str) and not _PLAIN.fullmatch(value):
        raise BundleError(f"{path}: its graph has the name {shown(value)}; not loaded")


def _is_target(value: Any) -> bool:
    return isinstance(value, str) and _TARGET.fullmatch(value) is not None


def _is_text(value: Any) -> bool:
    """What is given to an operation as text, such as how to reduce."""
    return isinstance(value, str)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, str) and _NAME.fullmatch(each) for each in value
    )


def _is_empty(value: Any) -> bool:
    return value in ({}, [])


def _is_tree(value: Any) -> bool:
    """Whether inputs and outputs are tuples, lists and dictionaries of tensors."""
    if not isinstance(value, str):
        return False
    found = json.loads(value)
    return isinstance(found, list) and len(found) == 2 and found[0] == 1 and _is_node(found[1])


def _is_node(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"type", "context", "children_spec"}:
        return False
    if value["type"] not in _KINDS or not isinstance(value["children_spec"], list):
        return False
    context = value["context"]
    names = json.loads(context) if isinstance(context, str) else context
    if names is not None and not _are_names(names):
        return False
    return all(map(_is_node, value["children_spec"]))


def _is_expression(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > _MOST_CHARACTERS:
        return False
    try:
        return _is_sum(ast.parse(value, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _is_sum(node: ast.expr, *, in_power: bool = False) -> bool:
    """Whether it is made of the functions alone; no power of a power, which could be any number."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name, own = node.func.id, [*node.args, *(each.value for each in node.keywords)]
        if name == "Pow" and (in_power or not _is_small(node.args[-1:])):
            return False
        is_power = in_power or name == "Pow"
        return _FUNCTIONS.fullmatch(name) is not None and all(
            _is_sum(each, in_power=is_power) for each in own
        )
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _is_sum(node.operand, in_power=in_power)
    if isinstance(node, ast.Name):
        return node.id in _CONSTANTS
    return isinstance(node, ast.Constant) and _is_constant(node.value)


def _are_guards(value: Any) -> bool:
    """Whether they compare sizes of inputs: L['x'].size()[0] >= L['graphs'].size()[0]."""
    try:
        return isinstance(value, list) and all(
            len(each) <= _MOST_CHARACTERS and _is_guard(ast.parse(each, mode="eval").body)
            for each in value
        )
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return False


def _is_guard(node: ast.expr) -> bool:
    if isinstance(node, ast.BoolOp):
        return all(map(_is_guard, node.values))
    if isinstance(node, ast.Compare):
        return all(map(_is_guard, [node.left, *node.comparators]))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Mod):
        return _is_guard(node.left) and _is_guard(node.right)
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int) and _is_constant(node.value)
    return re.fullmatch(r"L\['\w+'\]\.size\(\)\[\d\]", ast.unparse(node), re.ASCII) is not None


def _is_small(exponent: list[ast.expr]) -> bool:
    try:
        text = ast.unparse(exponent[0])
        return abs(int(text.removeprefix("Integer(").removesuffix(")"))) <= _LARGEST_POWER
    except (IndexError, ValueError):
        return False


def _is_constant(value: object) -> bool:
    if isinstance(value, str):
        # Of a symbol its name, of a float its digits.
        return _PLAIN.fullmatch(value) is not None and len(value) <= _MOST_DIGITS
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and len(str(value)) <= _MOST_DIGITS


_RULES: Mapping[str, Callable[[Any], bool]] = {
    "target": _is_target,
    "as_operator": _is_target,
    "expr_str": _is_expression,
    "in_spec": _is_tree,
    "out_spec": _is_tree,
    "forward_arg_names": _are_names,
    "as_string": _is_text,
    "as_strings": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "guards_code": _are_guards,
    "metadata": _is_empty,
    "treespec_namedtuple_fields": _is_empty,
    "as_custom_obj": _is_empty,
}
