"""Edges once for each head: what attention over sparse matrices is made of.

Head h of node i is row i * heads + h: [n, heads * c] is [n * heads, c] without a copy, and scores
are one number for each entry. Messages, which are vectors, are never in memory all at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise

import torch
from torch import Tensor

from evaluators.engine.csr import Csr

# So many numbers at once, where vectors at edges are needed: few enough for a processor's cache.
_BLOCK = 1 << 18


class Edges:
    """Entries sorted by the row that receives, with products and sums over them, without gradient.

    Attributes:
        plain: [rows, columns] of one head, of E entries.
        heads: how many.
        matrix: [rows * heads, columns * heads] of nnz = E * heads; its values do not matter.
    """

    def __init__(self, plain: Csr, heads: int) -> None:
        self.plain, self.heads, self.matrix = plain, heads, plain
        if heads > 1:
            row, col = _each(plain.row, heads), _each(plain.col, heads)
            shape = (plain.rows * heads, plain.columns * heads)
            self.matrix = Csr.of(row, col, plain.values.repeat_interleave(heads), shape)
        self.blocks = cache(self._blocks)
        self.transposed_blocks = cache(self._transposed_blocks)

    @cached_property
    def row(self) -> Tensor:
        """[nnz] int32: the row of each entry."""
        return self.matrix.row.int()

    @cached_property
    def transposed(self) -> tuple[Csr, Tensor]:
        """Entries sorted by the column that sends, and which of these each of them is."""
        matrix, order = self.matrix.transposed()
        return matrix, order.int()

    @cached_property
    def _zeros(self) -> Tensor:
        return self.matrix.tensor(torch.zeros_like(self.matrix.values))

    def _blocks(self, width: int) -> Sequence["Block"]:
        """For vectors so wide at the edges."""
        return _blocks_of(self.plain, self.heads, max(1, _BLOCK // width))

    def _transposed_blocks(self, width: int) -> Sequence["Block"]:
        """The same of the transposed matrix."""
        return _blocks_of(self.plain.transposed()[0], self.heads, max(1, _BLOCK // width))

    def product(self, values: Tensor, x: Tensor) -> Tensor:
        """[rows, c] of `values` [nnz] in the places of the entries, times x [columns, c]."""
        return self.matrix.tensor(values) @ x

    def transposed_product(self, values: Tensor, x: Tensor) -> Tensor:
        """[columns, c] of x [rows, c]."""
        matrix, order = self.transposed
        return matrix.tensor(values.index_select(0, order)) @ x

    def sums(self, values: Tensor) -> Tensor:
        """[rows]: of each row."""
        return self.product(values, values.new_ones(self.matrix.columns))

    def transposed_sums(self, values: Tensor) -> Tensor:
        """[columns]: of each column."""
        return self.transposed_product(values, values.new_ones(self.matrix.rows))

    def maxima(self, values: Tensor) -> Tensor:
        """[rows]: of each row; minus infinity where it has no entry."""
        return torch.segment_reduce(values, "max", offsets=self.matrix.crow, unsafe=True)

    def spread(self, x: Tensor) -> Tensor:
        """[nnz]: x [rows] at each entry."""
        return x.index_select(0, self.row)

    def dots(self, left: Tensor, right: Tensor) -> Tensor:
        """[nnz]: its row of left [rows, c] times its column of right [columns, c], by entry."""
        if self.row.numel() > self.matrix.rows * self.matrix.columns:
            # Only parallel edges are so many; torch samples no more entries than places.
            return (left @ right.T)[self.row, self.matrix.col]
        sampled: Tensor = torch.sparse.sampled_addmm(self._zeros, left, right.T, beta=0.0)
        return sampled.values()


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows of a matrix with their E entries.

    Attributes:
        rows: which.
        entries: which, when each row has its heads in turn.
        row, col: [E] of each entry.
        order: [E * heads] which of (entry, head) is next in that order.
        turns: [heads * E] which of (head, entry) is.
        crow: [rows * heads + 1] where they begin.
    """

    rows: slice
    entries: slice
    row: Tensor
    col: Tensor
    order: Tensor
    turns: Tensor
    crow: Tensor

    def ends(self, at_rows: Tensor, at_columns: Tensor) -> Tensor:
        """[E, H]: of each entry, what its row has of [rows, H], plus its column of [columns, H]."""
        return at_columns.index_select(0, self.col).add_(at_rows.index_select(0, self.row))

    def sums(self, values: Tensor, x: Tensor) -> Tensor:
        """[rows * heads, c]: over each row's entries, `values` [E * heads] in order times x."""
        return Csr(self.crow, self.order, values, self.order.numel()).tensor() @ x


def _blocks_of(matrix: Csr, heads: int, size: int) -> Sequence[Block]:
    """Rows together, as many as have so many entries, or one row with more."""
    crow = matrix.crow.long()
    bounds = torch.searchsorted(crow, torch.arange(0, int(crow[-1]), size, device=crow.device))
    found = []
    for first, last in pairwise(sorted({0, *bounds.tolist(), matrix.rows})):
        start, end = int(crow[first]), int(crow[last])
        row, counts = matrix.row[start:end], crow[first : last + 1].diff()
        order = _each(row, heads).argsort(stable=True)
        turns = order % heads * row.numel() + order // heads
        begins = torch.cat([crow.new_zeros(1), counts.repeat_interleave(heads).cumsum(0)])
        found.append(
            Block(
                rows=slice(first, last),
                entries=slice(start * heads, end * heads),
                row=row.int(),
                col=matrix.col[start:end],
                order=order.int(),
                turns=turns.int(),
                crow=begins.int(),
            )
        )
    return found


def _each(numbers: Tensor, heads: int) -> Tensor:
    """[E * heads]: the row or column of each head, of each entry's."""
    each = torch.arange(heads, device=numbers.device)
    return (numbers.long()[:, None] * heads + each).reshape(-1)
