"""Receptive fields: which nodes a loss can see, in the order of their distance from it.

The nodes of the loss come first, then those that send to them, then those that send to these, ...
So the rows that a layer must compute are a prefix, and shorter the closer the layer is to the loss.
Weights are those of the whole graph, so what is computed is exactly what the whole graph gives.
"""

import copy
from functools import cache

import torch
from torch import Tensor

from evaluators.engine.csr import Csr, Product
from evaluators.engine.edges import Edges
from evaluators.engine.matrices import Kind, Matrices
from evaluators.engine.maxima import Maximum, ranges

_CPU = torch.device("cpu")


class Field:
    """The rows of a graph, in some order, around the units of a loss.

    Attributes:
        units: [U] the nodes of the loss, in the order of the dataset.
        order: [n] the nodes of the field in its order, or None for all nodes as they are.
        sizes: how many nodes are within 0, 1, 2, ... steps of the units; the last for all further.
    """

    def __init__(
        self,
        matrices: Matrices,
        units: Tensor,
        order: Tensor | None,
        sizes: tuple[int, ...],
        device: torch.device,
    ) -> None:
        self.matrices, self.units, self.order, self.sizes = matrices, units, order, sizes
        self.device = device
        self.matrix = cache(self._matrix)
        self.product = cache(self._product)
        self.maximum = cache(self._maximum)
        self.edges = cache(self._edges)
        self.edge_index = cache(self._edge_index)

    @classmethod
    def whole(cls, matrices: Matrices, units: Tensor, device: torch.device = _CPU) -> "Field":
        """All nodes, for every layer."""
        return cls(matrices, units, None, (matrices.n_nodes,), device)

    @classmethod
    def around(
        cls, matrices: Matrices, units: Tensor, hops: int, device: torch.device = _CPU
    ) -> "Field":
        """The nodes within so many steps of the units; each layer what the next ones need."""
        edges = matrices.of("sum")
        seen = torch.zeros(matrices.n_nodes, dtype=torch.bool)
        seen[units] = True
        order, sizes = [units], [units.numel()]
        crow, col = edges.crow.long(), edges.col.long()
        for _ in range(hops):
            frontier = order[-1]
            fresh = torch.zeros_like(seen)
            fresh[col[ranges(crow[frontier], crow[frontier + 1])]] = True
            found = (fresh & ~seen).nonzero().squeeze(1)
            if found.numel() == 0:
                break
            seen[found] = True
            order.append(found)
            sizes.append(sizes[-1] + found.numel())
        return cls(matrices, units, torch.cat(order), tuple(sizes), device)

    def around_others(self, units: Tensor) -> "Field":
        """The same rows for a loss over other units of them; what is made of them is shared."""
        other = copy.copy(self)
        other.units = units
        return other

    @property
    def is_whole(self) -> bool:
        return self.order is None

    def rows(self, need: int) -> int:
        """How many rows are needed of a value from which the loss is `need` steps away."""
        return self.sizes[self.distance(need)]

    def distance(self, need: int) -> int:
        """The same for all distances at which the rows are the same."""
        return min(need, len(self.sizes) - 1)

    def of_units(self, x: Tensor) -> Tensor:
        """The rows of the units, of [K, n, C]."""
        return x[:, self.units.to(x.device)] if self.order is None else x[:, : self.units.numel()]

    def gathered(self, values: Tensor) -> Tensor:
        """Rows of the whole graph [N, ...] in the order of the field."""
        return values if self.order is None else values[self.order]

    def _matrix(self, kind: Kind) -> Csr:
        """Rows and columns in the order of the field; its last rows may lack entries."""
        whole = self.matrices.of(kind)
        if self.order is None:
            return whole.to(self.device)
        place = torch.full((self.matrices.n_nodes,), -1)
        place[self.order] = torch.arange(self.order.numel())
        crow = whole.crow.long()
        entries = ranges(crow[self.order], crow[self.order + 1])
        counts = crow[self.order + 1] - crow[self.order]
        row = torch.arange(self.order.numel()).repeat_interleave(counts)
        col = place[whole.col[entries].long()]
        # A node at the rim receives from outside: nobody needs its row.
        inside = col >= 0
        values, size = whole.values[entries][inside], self.order.numel()
        return Csr.of(row[inside], col[inside], values, (size, size)).to(self.device)

    def _product(self, kind: Kind, rows: int, columns: int) -> Product:
        """By the first rows and columns of a matrix."""
        return Product(self.matrix(kind).head(rows).with_columns(columns))

    def _maximum(self, rows: int, columns: int) -> Maximum:
        """Over those from which the first rows receive."""
        return Maximum(self.matrix("sum").head(rows).with_columns(columns))

    def _edges(self, kind: Kind, rows: int, columns: int, heads: int) -> Edges:
        """The entries of the first rows and columns of a matrix, for attention."""
        return Edges(self.matrix(kind).head(rows).with_columns(columns), heads)

    def _edge_index(self, rows: int) -> Tensor:
        """[2, E] of the edges that the first rows receive by, source and target, loops included."""
        matrix = self.matrix("sum").head(rows)
        return torch.stack([matrix.col.long(), matrix.row])
