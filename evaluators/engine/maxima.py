"""Maxima over neighbors: the largest value that a node receives, column by column.

A node that receives nothing has 0. The gradient of a maximum is shared among those that reach it
as PyTorch Geometric shares it: evenly, where a maximum of 0 counts the 0 it began with as one more.
"""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from evaluators.engine.csr import Csr, Pattern


class Maximum:
    """The maxima over the columns at which a row of a matrix has entries."""

    def __init__(self, matrix: Csr) -> None:
        """Args: matrix, all of whose entries are 1."""
        self.matrix = matrix

    @cached_property
    def _sums(self) -> tuple[Csr, Csr]:
        """Sums over the entries of each row, and of each column: [rows, nnz], [columns, nnz]."""
        matrix, entries = self.matrix, self.matrix.col.numel()
        each = torch.arange(entries, dtype=torch.int32, device=matrix.col.device)
        ones, (columns, order) = matrix.values, matrix.transposed()
        return Csr(matrix.crow, each, ones, entries), Csr(columns.crow, order.int(), ones, entries)

    def __call__(self, x: Tensor) -> Tensor:
        """[K, columns, H] -> [K, rows, H]."""
        if not (torch.is_grad_enabled() and x.requires_grad):
            return self.forward(x)
        maxima: Tensor = _Maximum.apply(x, self)  # type: ignore[no-untyped-call]
        return maxima

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([_largest(self.matrix, of_run) for of_run in x.detach()])

    def backward(self, x: Tensor, maxima: Tensor, gradient: Tensor) -> Tensor:
        """Run by run, since there are as many numbers as entries times columns."""
        by_row, by_column = (matrix.tensor() for matrix in self._sums)
        found = []
        for of_run, largest, upstream in zip(x, maxima, gradient, strict=True):
            reached = of_run.index_select(0, self.matrix.col)
            reached.eq_(largest.index_select(0, self.matrix.row))
            share = upstream / (by_row @ reached).add_(largest == 0)
            found.append(by_column @ reached.mul_(share.index_select(0, self.matrix.row)))
        return torch.stack(found)


class _Maximum(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, maximum: Maximum) -> Tensor:
        maxima = maximum.forward(x)
        ctx.maximum = maximum
        ctx.save_for_backward(x, maxima)
        return maxima

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, maxima = ctx.saved_tensors
        return ctx.maximum.backward(x, maxima, gradient), None


class Union:
    """The maxima over the sparse rows that a node receives: a sparse matrix again.

    A place has an entry where one of those rows has one. Where another lacks it, 0 takes part.

    Attributes:
        pattern: of the places [rows, F].
    """

    def __init__(self, edges: Csr, rows: Csr) -> None:
        """Args: edges, of which only the places count, and the rows that are received."""
        starts, ends = rows.crow.long()[edges.col], rows.crow.long()[edges.col + 1]
        entry = ranges(starts, ends)
        node = edges.row.repeat_interleave(ends - starts)
        place, order = (node * rows.columns + rows.col[entry]).sort(stable=True)
        place, counts = torch.unique_consecutive(place, return_counts=True)
        node, word = place // rows.columns, place % rows.columns
        crow = torch.zeros(edges.rows + 1, dtype=torch.int64, device=place.device)
        crow[1:] = node.bincount(minlength=edges.rows).cumsum(0)
        ones = rows.values.new_ones(1).expand(word.numel())
        self.pattern = Pattern(Csr(crow.int(), word.int(), ones, rows.columns))
        entry = entry[order].int()
        first = counts.cumsum(0) - counts
        # Most places have one candidate. The others are reduced apart.
        self._first = entry[first]
        self._several = (counts > 1).nonzero().squeeze(1)
        starts, counts_of_several = first[self._several], counts[self._several]
        candidates = entry[ranges(starts, starts + counts_of_several)]
        ends = torch.cat([counts_of_several.new_zeros(1), counts_of_several.cumsum(0)]).int()
        ones = torch.ones(candidates.numel(), dtype=rows.values.dtype, device=entry.device)
        self._candidates = Csr(ends, candidates, ones, rows.col.numel())
        # What 0 takes part in is no less.
        lacks_some = counts < edges.crow.diff()[node]
        self._lowest = torch.where(lacks_some, 0.0, -torch.inf).to(rows.values.dtype)

    def maxima(self, values: Tensor) -> Tensor:
        """[K, nnz of the rows] -> [K, nnz of the pattern]."""
        found = values.index_select(1, self._first)
        if self._several.numel():
            reduced = _largest(self._candidates, values.T.contiguous())
            found.index_copy_(1, self._several, reduced.T)
        return torch.maximum(found, self._lowest)


def _largest(matrix: Csr, x: Tensor) -> Tensor:
    """[columns, H] -> [rows, H], over the places where a matrix has entries, all of them 1."""
    if x.device.type == "cpu":
        with torch.no_grad():
            largest: Tensor = torch.sparse.mm(matrix.tensor(), x, reduce="amax")
        return largest
    row = matrix.row[:, None].expand(-1, x.size(1))
    nothing = x.new_zeros(matrix.rows, x.size(1))
    chosen = x.index_select(0, matrix.col)
    return nothing.scatter_reduce_(0, row, chosen, "amax", include_self=False)


def ranges(starts: Tensor, ends: Tensor) -> Tensor:
    """Concatenated `arange(start, end)`."""
    counts = ends - starts
    shift = starts - (counts.cumsum(0) - counts)
    return torch.arange(int(counts.sum()), device=starts.device) + shift.repeat_interleave(counts)
