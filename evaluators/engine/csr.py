"""Sparse matrices in rows (CSR), and their products with a gradient.

Indices are int32: half the memory traffic of torch's default. A product with a constant matrix
keeps the transposed matrix for its backward pass, which torch would make anew each time.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

# torch says once in each process that this type is new; nobody who searches can do anything of it.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor(torch.tensor([0, 0]), torch.tensor([]).long(), torch.tensor([]), (1, 1))


@dataclass(frozen=True, eq=False)
class Csr:
    """A sparse matrix [rows, columns].

    Attributes:
        crow: [rows + 1] int32, where each row begins in `col`.
        col: [nnz] int32.
        values: [nnz] floating point.
        columns: how many.
    """

    crow: Tensor
    col: Tensor
    values: Tensor
    columns: int

    @property
    def rows(self) -> int:
        return self.crow.numel() - 1

    @classmethod
    def of(cls, row: Tensor, col: Tensor, values: Tensor, shape: tuple[int, int]) -> "Csr":
        """From entries in any order; entries of one place stay apart."""
        order = row.argsort(stable=True)
        crow = torch.zeros(shape[0] + 1, dtype=torch.int64, device=row.device)
        crow[1:] = row.bincount(minlength=shape[0]).cumsum(0)
        return cls(crow.int(), col[order].int(), values[order].contiguous(), shape[1])

    @cached_property
    def row(self) -> Tensor:
        """[nnz] int64: the row of each entry."""
        counts = self.crow.diff().long()
        return torch.arange(self.rows, device=self.crow.device).repeat_interleave(counts)

    def head(self, rows: int) -> "Csr":
        """The first rows; nothing is copied."""
        if rows == self.rows:
            return self
        end = int(self.crow[rows])
        return Csr(self.crow[: rows + 1], self.col[:end], self.values[:end], self.columns)

    def to(self, device: torch.device) -> "Csr":
        if self.crow.device == device:
            return self
        moved = [tensor.to(device) for tensor in (self.crow, self.col, self.values)]
        return Csr(moved[0], moved[1], moved[2], self.columns)

    def with_columns(self, columns: int) -> "Csr":
        return Csr(self.crow, self.col, self.values, columns)

    def transposed(self) -> tuple["Csr", Tensor]:
        """The transposed matrix, and which entry of this one each of its entries is [nnz]."""
        order = self.col.argsort(stable=True)
        crow = torch.zeros(self.columns + 1, dtype=torch.int64, device=self.crow.device)
        crow[1:] = self.col.bincount(minlength=self.columns).cumsum(0)
        return Csr(crow.int(), self.row[order].int(), self.values[order], self.rows), order

    def tensor(self, values: Tensor | None = None) -> Tensor:
        """As torch's own type, with other values where given."""
        return torch.sparse_csr_tensor(
            self.crow,
            self.col,
            self.values if values is None else values,
            (self.rows, self.columns),
            check_invariants=False,
        )


def multiply(matrices: Sequence[Tensor], x: Tensor, rows: int) -> Tensor:
    """The product of each of K matrices [rows, columns] and its slice of x [K, columns, H].

    One after the other: it is faster than one product with all of them along a diagonal, whose
    operands leave the processor's cache, and no slice can depend on another.
    """
    x = x.to(matrices[0].dtype)  # where products before it were in less precision
    if matrices[0].values().numel() == 0:
        return x.new_zeros(x.size(0), rows, x.size(2))
    out = x.new_empty(x.size(0), rows, x.size(2))
    for matrix, operand, result in zip(matrices, x, out, strict=True):
        torch.addmm(result, matrix, operand, beta=0, out=result)
    return out


class Product:
    """A constant matrix times each slice of [K, columns, H], with a gradient to these.

    The transposed matrix is made when the first gradient asks for it.
    """

    def __init__(self, matrix: Csr) -> None:
        self.matrix = matrix
        self._forward = matrix.tensor()

    @cached_property
    def _backward(self) -> Tensor:
        return self.matrix.transposed()[0].tensor()

    def __call__(self, x: Tensor) -> Tensor:
        """[K, rows, H]."""
        if not (torch.is_grad_enabled() and x.requires_grad):
            return self.forward(x)
        product: Tensor = _Multiply.apply(x, self)  # type: ignore[no-untyped-call]
        return product

    def forward(self, x: Tensor) -> Tensor:
        return multiply([self._forward] * x.size(0), x, self.matrix.rows)

    def backward(self, gradient: Tensor) -> Tensor:
        return multiply([self._backward] * gradient.size(0), gradient, self.matrix.columns)


class _Multiply(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, product: Product) -> Tensor:
        ctx.product = product
        return product.forward(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.product.backward(gradient), None


class Pattern:
    """Matrices with entries in the same places, times weights that have a gradient."""

    def __init__(self, matrix: Csr) -> None:
        self.matrix = matrix

    @cached_property
    def _transposed(self) -> tuple[Csr, Tensor]:
        return self.matrix.transposed()

    def __call__(self, values: Tensor, weight: Tensor) -> Tensor:
        """[K, rows, H], from entries [K or 1, nnz] of K matrices and weights [K, columns, H]."""
        if not (torch.is_grad_enabled() and weight.requires_grad):
            return self.forward(values, weight)
        product: Tensor = _WeightedBy.apply(weight, values, self)  # type: ignore[no-untyped-call]
        return product

    def forward(self, values: Tensor, weight: Tensor) -> Tensor:
        matrices = _for_each(self.matrix, values, weight.size(0))
        return multiply(matrices, weight, self.matrix.rows)

    def backward(self, values: Tensor, gradient: Tensor) -> Tensor:
        """The gradient to the weights."""
        matrix, order = self._transposed
        matrices = _for_each(matrix, values.index_select(1, order), gradient.size(0))
        return multiply(matrices, gradient, matrix.rows)


def _for_each(matrix: Csr, values: Tensor, copies: int) -> list[Tensor]:
    made = [matrix.tensor(entries) for entries in values]
    return made if len(made) == copies else made * copies


class _WeightedBy(Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, values: Tensor, pattern: Pattern) -> Tensor:
        ctx.pattern, ctx.values = pattern, values
        return pattern.forward(values, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.pattern.backward(ctx.values, gradient), None, None
