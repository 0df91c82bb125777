"""Edges once for each head of each run: what attention over sparse matrices is made of.

Node i of run k with head h is row (k * n + i) * heads + h, so [K, n, heads * c] is [rows, c] without
a copy, and scores are one number an entry. No message of a width is ever written to memory.
"""

from functools import cached_property

import torch
from torch import Tensor

from evaluators.engine.csr import Csr


class Edges:
    """Entries sorted by the row that receives, with products and sums over them, without gradient.

    Attributes:
        matrix: [rows, columns] of `nnz` entries; its values do not matter.
    """

    def __init__(self, matrix: Csr) -> None:
        self.matrix = matrix

    @classmethod
    def of(cls, matrix: Csr, heads: int) -> "Edges":
        """The entries of a matrix, once for each head."""
        if heads == 1:
            return cls(matrix)
        counts = matrix.crow.diff().long().repeat_interleave(heads)
        each = torch.arange(heads, device=matrix.col.device)
        row = (matrix.row[:, None] * heads + each).reshape(-1)
        col = (matrix.col.long()[:, None] * heads + each).reshape(-1)
        values = matrix.values.repeat_interleave(heads)
        return cls(Csr.of(row, col, values, (counts.numel(), matrix.columns * heads)))

    def tiled(self, copies: int) -> "Edges":
        """For so many runs."""
        if copies == 1:
            return self
        tiled = Edges(self.matrix.tiled(copies))
        transposed, order = self.transposed
        steps = torch.arange(copies, device=order.device, dtype=order.dtype)[:, None]
        places = (order + steps * order.numel()).reshape(-1)
        # What a sort would give, for less.
        tiled.transposed = (transposed.tiled(copies), places)
        return tiled

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
    def _empty(self) -> Tensor:
        return self.matrix.tensor(torch.zeros_like(self.matrix.values))

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
        """[nnz]: at each entry, its row of left [rows, c] times its column's of right [columns, c]."""
        return torch.sparse.sampled_addmm(self._empty, left, right.T, beta=0.0).values()
