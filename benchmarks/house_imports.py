"""What benchmarks/house.py asks of imports: do the arrows between packages hold, and no cycles?"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from house_code import Source

# Each may import itself and those before it.
PACKAGES = ("search_spaces", "evaluators", "nas")


class Import(NamedTuple):
    """A module names another, at a line."""

    place: str
    line: int
    module: str

    def __str__(self) -> str:
        return f"{self.place}:{self.line} imports {self.module}"


def module(source: Source) -> str:
    parts = source.name.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def back_arrows(files: Sequence[Source]) -> list[Import]:
    """Imports of a package that stands above, wherever they are in the file."""
    found = []
    for source in files:
        own = PACKAGES.index(source.name.partition("/")[0])
        for one in _imports(source, ast.walk(source.tree)):
            if one.module.partition(".")[0] in PACKAGES[own + 1 :]:
                found.append(one)
    return found


def links(files: Sequence[Source]) -> dict[str, set[str]]:
    """{Module: modules of the files that it names when it is imported itself}.

    What is imported for types alone, or in a function, is left out.
    """
    names = {module(source) for source in files}
    found = {}
    for source in files:
        named = [one.module for one in _imports(source, _run(source.tree.body))]
        found[module(source)] = {_within(name, names) for name in named} & names
    return found


def _imports(source: Source, nodes: Iterable[ast.AST]) -> Iterator[Import]:
    """Each name that is imported, dotted: a module, or what is taken from one."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(source.name, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = [node.module] if node.module else []
            if node.level:
                folders = source.name.split("/")[: -node.level]
                base = [*folders, *base]
            for alias in node.names:
                yield Import(source.name, node.lineno, ".".join([*base, alias.name]))


def _run(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when a module is imported, those inside of others too."""
    for node in body:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for name in ("body", "handlers", "orelse", "finalbody"):
            if not (typing and name == "body"):
                yield from _run(getattr(node, name, []))


def _within(name: str, modules: Set[str]) -> str:
    """The module that is named, or from which something of this name is taken."""
    return name if name in modules else name.rpartition(".")[0]


def cycles(links: Mapping[str, Set[str]]) -> list[list[str]]:
    """Modules that import each other, directly or not: each group sorted (Tarjan's components)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        open_.append(name)
        for other in sorted(links[name]):
            if other not in order:
                visit(other)
            if other in open_:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == order[name]:
            start = open_.index(name)
            group = open_[start:]
            del open_[start:]
            if len(group) > 1 or name in links[name]:
                found.append(sorted(group))

    for name in links:
        if name not in order:
            visit(name)
    return found
