"""What flows through a program: features as the dataset has them, or what was computed of them.

A computed value is a tensor [K, n, H], one slice for each of the K runs that train together; it is
[1, n, H] where it is the same for all. The features are the same for all runs and stay as they are,
sparse where they are, until a linear map or a propagation makes a tensor of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd import Function

from evaluators.engine.csr import Csr, Pattern
from evaluators.engine.dropout import Mask
from evaluators.engine.fields import Field
from evaluators.engine.matrices import Kind
from evaluators.engine.maxima import Union

# From so many numbers on, memory is worth more than computing them twice.
_LARGE = 2**22
# At a time, where a mask is applied in place.
_ROWS = 2**12


class Features:
    """The features of a field's nodes, in its order.

    Attributes:
        sparse: them as a sparse matrix, or None where they are dense.
        columns: F.
    """

    def __init__(self, field: Field, x: Tensor, sparse: Csr | None) -> None:
        """Args: x [N, F] and sparse, of the whole graph."""
        self._field, self._x = field, x
        self.columns = x.size(1)
        self.sparse = None if sparse is None else _gathered(sparse, field.order).to(field.device)
        self.pattern = cache(self._pattern)
        self.propagated = cache(self._propagated)
        self.maximum = cache(self._maximum)
        self.union = cache(self._union)
        self._dense: Tensor | None = None

    def dense(self, rows: int) -> Tensor:
        """[rows, F]."""
        if self._dense is None:
            self._dense = self._field.gathered(self._x).to(self._field.device)
        return self._dense[:rows]

    def _pattern(self, rows: int) -> Pattern:
        if self.sparse is None:
            raise ValueError("dense features have no pattern")
        return Pattern(self.sparse.head(rows))

    def _propagated(self, kinds: tuple[Kind, ...], need: int) -> Tensor:
        """Matrices times the features, the first one first: constants, computed once.

        [rows, F] of the nodes that are `need` steps from the loss.
        """
        rows = self._field.rows(need)
        if not kinds:
            return self.dense(rows)
        before = self.propagated(kinds[:-1], self._field.distance(need + 1))
        return self._field.product(kinds[-1], rows, before.size(0)).forward(before[None])[0]

    def _maximum(self, need: int) -> Tensor:
        """[1, rows, F]: the largest features among those that a node receives, a constant."""
        rows, columns = self._field.rows(need), self._field.rows(need + 1)
        return self._field.maximum(rows, columns)(self.dense(columns)[None])

    def _union(self, need: int) -> Union:
        """Where the maxima of sparse features may differ from 0."""
        if self.sparse is None:
            raise ValueError("dense features have no pattern")
        edges = self._field.matrix("sum").head(self._field.rows(need))
        return Union(edges, self.sparse.head(self._field.rows(need + 1)))


@dataclass(frozen=True, eq=False)
class Input:
    """Features on their way to the first map of a network.

    Attributes:
        features: of the field.
        rows: how many of its nodes.
        kept: what dropout multiplies the entries of sparse ones by [K or 1, nnz]; None for nothing.
        rest: [K, rows, H] more columns, to the right of the features.
        kinds, need: by which matrices dense features were multiplied, and for which rows.
    """

    features: Features
    rows: int
    kept: Tensor | None = None
    rest: Tensor | None = None
    kinds: tuple[Kind, ...] = ()
    need: int = 0

    @property
    def is_constant(self) -> bool:
        """Whether propagating it gives a constant that is worth keeping."""
        return self.rest is None and self.features.sparse is None

    def head(self, rows: int) -> "Input":
        kept, sparse = self.kept, self.features.sparse
        if kept is not None:
            kept = None if sparse is None else kept[:, : int(sparse.crow[rows])]
        rest = None if self.rest is None else self.rest[:, :rows]
        return replace(self, rows=rows, kept=kept, rest=rest)

    def without_rest(self) -> "Input":
        """The features alone."""
        return replace(self, rest=None)

    def _own(self) -> Tensor:
        """The features [rows, F], as a dense matrix."""
        if not self.kinds:
            return self.features.dense(self.rows)
        return self.features.propagated(self.kinds, self.need)[: self.rows]

    def dense(self) -> Tensor:
        """[K or 1, rows, F + H]."""
        x = self._own()[None]
        if self.kept is not None:
            x = x * self._scattered(self.kept)
        if self.rest is None:
            return x
        return torch.cat([x.expand(self.rest.size(0), -1, -1), self.rest], dim=2)

    def _scattered(self, kept: Tensor) -> Tensor:
        if self.features.sparse is None:
            raise ValueError("only what dropout kept of sparse features is scattered")
        matrix = self.features.sparse.head(self.rows)
        places = matrix.row * matrix.columns + matrix.col
        dense = kept.new_zeros(kept.size(0), self.rows * matrix.columns)
        dense[:, places] = kept
        return dense.view(-1, self.rows, matrix.columns)

    def project(self, weight: Tensor) -> Tensor:
        """Times weights [K, F + H, out]: [K, rows, out]."""
        features = self.features.columns
        mapped = self._project_features(weight if self.rest is None else weight[:, :features])
        if self.rest is None:
            return mapped
        return mapped + project(self.rest, weight[:, features:])

    def _project_features(self, weight: Tensor) -> Tensor:
        if self.features.sparse is None:
            return project(self._own()[None], weight)
        pattern = self.features.pattern(self.rows)
        values = pattern.matrix.values[None]
        return pattern(values if self.kept is None else values * self.kept, weight)


@dataclass(frozen=True, eq=False)
class Dropped:
    """A large value on its way through dropout: what is kept of it is computed where it is needed.

    That is in the forward pass and again in the backward pass, which costs less than the memory to
    keep it in.
    """

    x: Tensor
    mask: Mask


Value: TypeAlias = Tensor | Input | Dropped


def head(value: Value, rows: int) -> Value:
    """The first rows of a value."""
    if isinstance(value, Input):
        return value if value.rows == rows else value.head(rows)
    if isinstance(value, Dropped):
        return value if value.x.size(1) == rows else dense(value)[:, :rows]
    # Not through a slice of all: its gradient would be copied into zeros.
    return value if value.size(1) == rows else value[:, :rows]


def dropped(x: Tensor, mask: Mask) -> Tensor | Dropped:
    """A value through dropout."""
    if x.numel() >= _LARGE:
        return Dropped(x, mask)
    kept: Tensor = _Drop.apply(x, mask)  # type: ignore[no-untyped-call]
    return kept


def dense(value: Value) -> Tensor:
    """A value as a tensor [K or 1, n, H]."""
    if isinstance(value, Input):
        return value.dense()
    if isinstance(value, Dropped):
        kept: Tensor = _Drop.apply(value.x, value.mask)  # type: ignore[no-untyped-call]
        return kept
    return value


def project(value: Value, weight: Tensor) -> Tensor:
    """A value times weights [K, H, out]."""
    if isinstance(value, Input):
        return value.project(weight)
    if isinstance(value, Dropped):
        mapped: Tensor = _DropAndProject.apply(  # type: ignore[no-untyped-call]
            value.x, weight, value.mask
        )
        return mapped
    return _product(value, weight)


def width(value: Value) -> int:
    """How many columns a value has."""
    if isinstance(value, Input):
        return value.features.columns + (0 if value.rest is None else value.rest.size(2))
    return (value.x if isinstance(value, Dropped) else value).size(2)


# Whether dense products are computed in bfloat16; all else, and their results, are not.
_IN_BFLOAT16 = ContextVar("in_bfloat16", default=False)


@contextmanager
def products_in_bfloat16(enabled: bool) -> Iterator[None]:
    """Within it, and in the backward pass of what is computed within it."""
    token = _IN_BFLOAT16.set(enabled)
    try:
        yield
    finally:
        _IN_BFLOAT16.reset(token)


def _product(x: Tensor, weight: Tensor) -> Tensor:
    if _IN_BFLOAT16.get():
        return _batched(x.bfloat16(), weight.bfloat16()).to(weight.dtype)
    return _batched(x, weight)


def _batched(x: Tensor, weight: Tensor) -> Tensor:
    return torch.bmm(x, weight) if x.size(0) == weight.size(0) else torch.matmul(x, weight)


def _kept(x: Tensor, mask: Mask) -> Tensor:
    """x times a mask, as a new tensor."""
    return mask.kept().view(-1, x.size(1), x.size(2)).mul_(x)


class _Drop(Function):
    """x times a mask, which is kept for the backward pass as it was drawn: half as large."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Mask) -> Tensor:
        ctx.mask = mask
        return _kept(x, mask)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        return (_kept(gradient, ctx.mask) if ctx.needs_input_grad[0] else None), None


class _DropAndProject(Function):
    """(x times a mask) times weights; the first product is not kept but computed anew."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, mask: Mask) -> Tensor:
        ctx.mask, ctx.in_bfloat16 = mask, _IN_BFLOAT16.get()
        ctx.save_for_backward(x, weight)
        return _product(_kept(x, mask), weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None]:
        x, weight = ctx.saved_tensors
        kept = _kept(x, ctx.mask)
        with products_in_bfloat16(ctx.in_bfloat16):
            to_weight = _product(kept.transpose(1, 2), gradient)
            if not ctx.needs_input_grad[0]:
                return None, to_weight, None
            del kept
            to_x = _product(gradient, weight.transpose(1, 2))
        for piece, mask in zip(
            torch.split(to_x, _ROWS, 1), ctx.mask.split(_ROWS * to_x.size(2)), strict=True
        ):
            piece.mul_(mask.kept().view(piece.shape))
        return to_x, to_weight, None


def _gathered(matrix: Csr, order: Tensor | None) -> Csr:
    """The rows of a matrix in another order."""
    if order is None:
        return matrix
    crow = matrix.crow.long()
    counts = crow[order + 1] - crow[order]
    starts = crow[order] - (counts.cumsum(0) - counts)
    entries = torch.arange(int(counts.sum())) + starts.repeat_interleave(counts)
    places = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return Csr(places.int(), matrix.col[entries], matrix.values[entries], matrix.columns)
