"""A node task as the engine sees it: matrices, sparse features, and the fields of its losses."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from evaluators._memory import Bound
from evaluators.datasets._base import Dataset
from evaluators.engine.fields import Field
from evaluators.engine.matrices import Matrices, prepare
from evaluators.engine.program import Program
from evaluators.engine.values import Features

# A field with more than this share of the work is not worth its reordering; one whose dense
# features are large, and would be there twice, not with more than that.
_SMALLER, _MUCH_SMALLER = 0.9, 0.5
_LARGE_BYTES = 2**25


@dataclass(frozen=True, eq=False)
class View:
    """What one loss sees of the graph.

    Attributes:
        field: the rows that are computed.
        features: of them.
        y: [U] the labels of its units.
        share: of the work on the whole graph, in (0, 1].
    """

    field: Field
    features: Features
    y: Tensor
    share: float


class Graph:
    """One dataset, in one floating-point type, on one device.

    Attributes:
        bounds: what is known of the memory that cohorts take, by whether their products are in
            bfloat16 and what modules without a kernel they have.
    """

    def __init__(self, dataset: Dataset, dtype: torch.dtype, device: torch.device) -> None:
        self.dataset, self.dtype, self.device = dataset, dtype, device
        tensors: Mapping[str, Tensor] = dataset.matrices
        if not tensors or dtype != torch.float32:
            tensors = prepare(dataset.x.to(dtype), dataset.edge_index)
        self.matrices = Matrices(tensors, dataset.x.size(0))
        self._x = dataset.x.to(dtype)
        self._sparse = self.matrices.features(self._x.size(1))
        weights = dataset.class_weights
        self.class_weights = None if weights is None else weights.to(device=device, dtype=dtype)
        self.bounds: defaultdict[tuple[bool, frozenset[str]], Bound] = defaultdict(Bound)
        self._views = lru_cache(maxsize=16)(self._view)

    def view(self, units: Tensor, program: Program, *, training: bool) -> View:
        """What a program must compute for a loss over these units, at least.

        The whole graph where a smaller part would change the result (rows that depend on all
        others, or on an unknown number of steps), or would hardly be smaller.
        """
        exact = program.is_local and not (training and program.mixes_rows)
        return self._views(units.numpy().tobytes(), program.hops if exact else None)

    def _view(self, units: bytes, hops: int | None) -> View:
        chosen = torch.frombuffer(bytearray(units), dtype=torch.int64)
        y = self.dataset.y[chosen].to(self.device)
        if hops is not None:
            field = Field.around(self.matrices, chosen, hops, self.device)
            share = self._share(field, hops)
            if share < self._worthwhile(field):
                return View(field, self._features(field), y, share)
        # One for all: what is made of the whole graph is as large as it, or larger.
        whole, features = self._whole
        return View(whole.around_others(chosen), features, y, 1.0)

    @cached_property
    def _whole(self) -> tuple[Field, Features]:
        field = Field.whole(self.matrices, torch.arange(self.matrices.n_nodes), self.device)
        return field, self._features(field)

    def _worthwhile(self, field: Field) -> float:
        rows = 0 if field.order is None else field.order.numel()
        copied = 0 if self._sparse is not None else rows * self._x.size(1) * self.dtype.itemsize
        return _SMALLER if copied < _LARGE_BYTES else _MUCH_SMALLER

    def _features(self, field: Field) -> Features:
        return Features(field, self._x, self._sparse)

    def _share(self, field: Field, hops: int) -> float:
        """Nodes and edges that the layers compute, of those of the whole graph."""
        crow = self.matrices.of("sum").crow.long()
        if field.order is None:
            return 1.0
        received = (crow[field.order + 1] - crow[field.order]).cumsum(0)
        steps = range(max(1, hops))
        rows = [field.rows(need) for need in steps]
        work = sum(row + int(received[row - 1]) for row in rows)
        whole = len(rows) * (self.matrices.n_nodes + int(crow[-1]))
        return (work + field.rows(hops)) / (whole + self.matrices.n_nodes)
