"""What benchmarks/house.py counts in files of Python: lines, functions, lines said twice."""

import ast
import io
import tokenize
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeAlias

MOST_LINES = 40
WINDOW = 6
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


@dataclass(frozen=True)
class Source:
    """One file of Python.

    Attributes:
        name: its path from the root of the tree.
    """

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.name)

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def code(self) -> list[int]:
        """Numbers of the lines with code: no blanks, no comments, no docstrings."""
        numbers = set[int]()
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type not in NOT_CODE:
                numbers.update(range(token.start[0], token.end[0] + 1))
        return sorted(numbers - {n for one in docstrings(self.tree) for n in spanned(one)})

    def count(self, kind: type[ast.AST]) -> int:
        return sum(isinstance(node, kind) for node in ast.walk(self.tree))


class Place(NamedTuple):
    """Lines of a file, both ends included."""

    name: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.name}:{self.first}-{self.last}"


class Said(NamedTuple):
    """A line that is compared with others."""

    number: int
    text: str


# Name of a file, and the index of one of the lines said in it.
Start: TypeAlias = tuple[str, int]


def sources(root: Path, folders: Sequence[str]) -> list[Source]:
    """Every file of Python under these folders of the root, by name."""
    paths = sorted(path for folder in folders for path in (root / folder).rglob("*.py"))
    return [Source(p.relative_to(root).as_posix(), p.read_text(encoding="utf-8")) for p in paths]


def spanned(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def docstrings(tree: ast.Module) -> Iterator[ast.stmt]:
    """Strings that are statements, wherever they stand: nothing runs there."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                yield node


def long_functions(source: Source, most: int = MOST_LINES) -> Iterator[tuple[Place, str]]:
    """Those of more lines, docstring and signature included, decorators not; with their names."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and len(spanned(node)) > most:
            yield Place(source.name, spanned(node)[0], spanned(node)[-1]), node.name


def repeated(files: Sequence[Source], window: int = WINDOW) -> list[list[Place]]:
    """Runs of so many lines of code or more that stand in several places, each with all of these.

    Lines are compared without their indent; imports do not count. A run is as long as it stands in
    the same places.
    """
    said = {source.name: list(_said(source)) for source in files}
    windows = {tuple(starts) for starts in _starts(said, window).values() if len(starts) > 1}
    runs = []
    for starts in sorted(windows):
        if _moved(starts, -1) in windows:
            continue
        last = window - 1
        while _moved(starts, last - window + 2) in windows:
            last += 1
        runs.append(
            [Place(n, said[n][start].number, said[n][start + last].number) for n, start in starts]
        )
    return runs


def _starts(said: Mapping[str, Sequence[Said]], window: int) -> Mapping[object, list[Start]]:
    """{So many lines: where they begin}; in one file, not where they overlap themselves."""
    found = defaultdict[object, list[Start]](list)
    for name, lines in said.items():
        texts = [line.text for line in lines]
        for start in range(len(lines) - window + 1):
            before = found[tuple(texts[start : start + window])]
            if not before or before[-1][0] != name or before[-1][1] + window <= start:
                before.append((name, start))
    return found


def _moved(starts: Sequence[Start], by: int) -> tuple[Start, ...]:
    return tuple((name, start + by) for name, start in starts)


def _said(source: Source) -> Iterator[Said]:
    imports = {
        number
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for number in spanned(node)
    }
    for number in source.code:
        if number not in imports:
            yield Said(number, source.lines[number - 1].strip())
