"""Plug-ins: a module whose name is the plug-in's name and whose `build` is its configuration.

`build`'s positional parameters are what the program hands over (a task, a folder); its keyword-only
parameters are the options of a study file, their annotations the types and ranges. The first line
of the module's docstring is its help. The same functions serve the program, `nas plugins` and the
contract tests, so a new file is offered, and under contract, as soon as it exists. A dotted name
(`"mypackage.module"`) is imported as it stands, for plug-ins that live elsewhere.
"""

import ast
import importlib
import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from search_spaces.errors import PluginError, did_you_mean
from search_spaces.frozen import FrozenMapping

# Where each kind lives. A module of these packages that defines `build` is a plug-in.
PACKAGES: Mapping[str, str] = {
    "space": "search_spaces",
    "operator": "search_spaces.operators",
    "extension": "search_spaces.extensions",
    "dataset": "evaluators.datasets",
    "evaluator": "evaluators",
    "preparation": "evaluators.preparations",
    "inheritance": "evaluators.inheritances",
    "executor": "evaluators.executors",
    "strategy": "nas.strategies",
    "exporter": "nas.export",
}
# What makes it: so a strategy that prepares can be one module, with both.
ENTRIES: Mapping[str, str] = dict.fromkeys(PACKAGES, "build") | {
    "preparation": "prepare",
    "inheritance": "inherit",
}
# What the program hands over to it, in order; all else that it takes are options, behind a `*`.
HANDED: Mapping[str, tuple[str, ...]] = {
    "space": ("task",),
    "operator": ("in_features", "out_features"),
    "extension": ("space", "task"),
    "dataset": ("root",),
    "evaluator": ("task",),
    "preparation": ("space", "batches", "seed"),
    "inheritance": ("network", "architecture", "parent"),
    "executor": (),
    "strategy": ("problem",),
    "exporter": (),
}


@dataclass(frozen=True)
class Plugin:
    """A plug-in by name, with options for its `build`: one table of a study file."""

    name: str
    options: Mapping[str, Any] = field(default_factory=FrozenMapping)


@cache
def names(kind: str) -> tuple[str, ...]:
    """The plug-ins of a kind that come with the program, found without importing any."""
    spec = importlib.util.find_spec(PACKAGES[kind])
    if spec is None or not spec.submodule_search_locations:
        raise PluginError(f"the package {PACKAGES[kind]} is not installed")
    files = Path(next(iter(spec.submodule_search_locations))).glob("*.py")
    entry = ENTRIES[kind]
    return tuple(sorted(f.stem for f in files if not f.stem.startswith("_") and _has(f, entry)))


def _has(path: Path, function: str) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body)


def load(kind: str, name: str) -> ModuleType:
    """Import a plug-in's module.

    Raises:
        PluginError: no such plug-in, a dotted module that does not import, or one without `build`
            (of a preparation, `prepare`), or with one that cannot be called as the program does.
    """
    if "." not in name:
        if name not in names(kind):
            raise PluginError(f'no {kind} is called "{name}"; {did_you_mean(name, names(kind))}')
        return importlib.import_module(f"{PACKAGES[kind]}.{name}")
    if not all(part.isidentifier() for part in name.split(".")):
        raise PluginError(
            f'expected the name of a Python module, as "mypackage.module", got "{name}"'
        )
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise PluginError(
            f'the {kind} "{name}" cannot be imported ({error}); a name with dots is a Python '
            "module, on Python's path or in the current folder"
        ) from error
    if not callable(getattr(module, ENTRIES[kind], None)):
        raise PluginError(
            f'the module "{name}" has no function `{ENTRIES[kind]}`, so it is no {kind}'
        )
    taken, wanted = handed(kind, module), HANDED[kind]
    if len(taken) != len(wanted):
        expected = ", ".join((*wanted, "*", "..."))
        raise PluginError(
            f'the {kind} "{name}": expected `def {ENTRIES[kind]}({expected})`, with its options '
            f"behind the `*`, got ({', '.join(taken)}) before it"
        )
    # Names are free, but for those that other kinds are called with.
    if {*taken} & ({name for names in HANDED.values() for name in names} - {*wanted}):
        article = "an" if kind[0] in "aeiou" else "a"
        raise PluginError(
            f'"{name}" is no {kind}: before its options its build takes {", ".join(taken)}, that '
            f"of {article} {kind} {', '.join(wanted) or 'nothing'}"
        )
    return module


def handed(kind: str, module: ModuleType) -> tuple[str, ...]:
    """The positional parameters of what makes a plug-in."""
    parameters = inspect.signature(getattr(module, ENTRIES[kind])).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(parameter.name for parameter in parameters if parameter.kind in positional)


def options(kind: str, name: str) -> Mapping[str, inspect.Parameter]:
    """The keyword-only parameters of what makes a plug-in, annotations resolved."""
    signature = inspect.signature(getattr(load(kind, name), ENTRIES[kind]), eval_str=True)
    return {
        parameter.name: parameter
        for parameter in signature.parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def summary(kind: str, name: str) -> str:
    """The first line of a plug-in's docstring."""
    return (inspect.getdoc(load(kind, name)) or "").partition("\n")[0]
