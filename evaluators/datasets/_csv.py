"""Graphs in two CSV files, one of nodes and one of edges."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import Tensor

from evaluators.datasets._base import UNKNOWN, DatasetError
from evaluators.datasets._splits import Masks

_SPLITS = ("train", "val", "test")


# A table may go without these, if the user does not call them otherwise.
_OPTIONAL = ("id", "split")
_MOST_CLASSES = 2**31


@dataclass(frozen=True)
class Columns:
    """What the columns are called."""

    id: str
    label: str
    split: str
    source: str
    target: str


@dataclass(frozen=True, eq=False)
class Table:
    """A CSV file in memory: a header and rows of as many cells."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def column(self, name: str) -> tuple[str, ...]:
        """The cells of a column.

        Raises:
            DatasetError: there is no such column.
        """
        if name not in self.header:
            raise DatasetError(
                f'{self.path} has no column "{name}", it has {", ".join(self.header[:12])}; the '
                "options id, label, split, source and target name columns"
            )
        place = self.header.index(name)
        return tuple(row[place] for row in self.rows)


def read_table(path: Path) -> Table:
    """Read a CSV file with a header (UTF-8).

    Raises:
        DatasetError: no such file, no header, a column twice, or a row of another length.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(_lines(file))
    except FileNotFoundError as error:
        raise DatasetError(f"there is no file {path.absolute()}") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is no CSV file: expected UTF-8 text; save it so") from error
    except ValueError as error:  # of the path
        raise DatasetError(f"there is no file {path}: {error}") from error
    except csv.Error as error:
        raise DatasetError(f"{path} cannot be read as CSV: {error}") from error
    if not lines:
        raise DatasetError(f"{path} is empty, expected a header line with the names of columns")
    header = tuple(cell.strip() for cell in lines[0][1])
    if len(set(header)) < len(header):
        twice = sorted({name for name in header if header.count(name) > 1})
        raise DatasetError(f"{path}: the column {twice[0]!r} is there twice")
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise DatasetError(
                f"{path}, line {number}: expected {len(header)} cells as in the header, got "
                f"{len(cells)}"
            )
    rows = tuple(tuple(cell.strip() for cell in cells) for _, cells in lines[1:])
    return Table(path, header, rows)


def _lines(file: TextIO) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(file, strict=True)
    for cells in reader:
        if cells:  # an empty line is no row
            yield reader.line_num, cells


def node_numbers(nodes: Table, columns: Columns) -> dict[str, int]:
    """The row of each node, by its id; without an id column the ids are 0, 1, 2, ...

    Raises:
        DatasetError: there are no nodes, or an id occurs twice.
    """
    if not nodes.rows:
        raise DatasetError(f"{nodes.path} has no rows under its header, expected one for each node")
    if not _has(nodes, columns.id):
        return {str(row): row for row in range(len(nodes.rows))}
    numbers: dict[str, int] = {}
    for row, node in enumerate(nodes.column(columns.id)):
        if node in numbers:
            raise DatasetError(
                f'{nodes.path}: the id "{node}" is given to nodes {numbers[node]} and {row} '
                "(counted from 0)"
            )
        numbers[node] = row
    return numbers


def _has(nodes: Table, name: str) -> bool:
    """Whether there is an optional column; one of another name or case was meant to be it."""
    if name in nodes.header:
        return True
    if name not in _OPTIONAL:
        nodes.column(name)  # raises
    for other in nodes.header:
        if other.lower() == name:
            raise DatasetError(
                f'{nodes.path} has a column "{other}" and none called "{name}"; write it so, or '
                f'give {name} = "{other}"'
            )
    return False


def features(nodes: Table, columns: Columns) -> Tensor:
    """[N, F] float32: every column that is neither id nor label nor split.

    Raises:
        DatasetError: a cell is not a number, or not finite.
    """
    known = (columns.id, columns.label, columns.split)
    places = [i for i, name in enumerate(nodes.header) if name not in known]
    x = np.empty((len(nodes.rows), len(places)), dtype=np.float64)
    for row, cells in enumerate(nodes.rows):
        for column, place in enumerate(places):
            try:
                x[row, column] = float(cells[place])
            except ValueError as error:
                raise DatasetError(
                    f'{nodes.path}: the feature "{nodes.header[place]}" of node {row} (counted '
                    f'from 0) must be a number, got "{cells[place]}"'
                ) from error
    with np.errstate(over="ignore"):
        single = x.astype(np.float32)
    bad = np.argwhere(~np.isfinite(single))
    if len(bad) > 0:
        row, column = map(int, bad[0])
        place = places[column]
        raise DatasetError(
            f"{nodes.path}: {len(bad)} features are NaN or infinite in 32 bits; the first is the "
            f'feature "{nodes.header[place]}" of node {row} (counted from 0): '
            f'"{nodes.rows[row][place]}"; fill or drop them'
        )
    return torch.from_numpy(single)


def labels(nodes: Table, columns: Columns) -> Tensor:
    """[N] int64: class numbers as they are, other labels numbered in sorted order, empty as -1.

    Raises:
        DatasetError: a class number is not an integer, or negative.
    """
    cells = nodes.column(columns.label)
    names = sorted({cell for cell in cells if cell})
    try:
        numbers = {name: float(name) for name in names}
    except ValueError:
        return _labels_of(cells, {name: float(i) for i, name in enumerate(names)})
    for name, number in numbers.items():
        if not number.is_integer() or not 0 <= number < _MOST_CLASSES:
            raise DatasetError(
                f'{nodes.path}: the label "{name}" is no class number 0, 1, 2, ...; regression is '
                "not supported yet, and a node without a label has an empty cell"
            )
    return _labels_of(cells, numbers)


def class_names(nodes: Table, columns: Columns) -> tuple[str, ...] | None:
    """What the classes are called, in the order of their numbers; None for numbered classes."""
    names = sorted({cell for cell in nodes.column(columns.label) if cell})
    try:
        [float(name) for name in names]
    except ValueError:
        return tuple(names)
    return None


def _labels_of(cells: tuple[str, ...], numbers: dict[str, float]) -> Tensor:
    return torch.tensor(
        [int(numbers[cell]) if cell else UNKNOWN for cell in cells], dtype=torch.int64
    )


def split_masks(nodes: Table, columns: Columns) -> Masks | None:
    """The masks of the split column, None where there is none.

    Raises:
        DatasetError: a cell is something other than train, val, test or empty.
    """
    if not _has(nodes, columns.split):
        return None
    cells = nodes.column(columns.split)
    for node, cell in enumerate(cells):
        if cell and cell not in _SPLITS:
            raise DatasetError(
                f"{nodes.path}: the split of node {node} (counted from 0) must be train, val, test "
                f'or empty, got "{cell}"'
            )
    return Masks(*(torch.tensor([c == s for c in cells], dtype=torch.bool) for s in _SPLITS))


def edge_index(edges: Table, columns: Columns, numbers: dict[str, int]) -> Tensor:
    """[2, E] int64.

    Raises:
        DatasetError: an edge names a node that is not there.
    """
    ends = [edges.column(columns.source), edges.column(columns.target)]
    for name, cells in zip((columns.source, columns.target), ends, strict=True):
        for edge, cell in enumerate(cells):
            if cell not in numbers:
                raise DatasetError(
                    f'{edges.path}: the {name} of edge {edge} (counted from 0) is "{cell}", which '
                    f"is none of the {len(numbers)} nodes"
                )
    return torch.tensor([[numbers[c] for c in cells] for cells in ends], dtype=torch.int64)
