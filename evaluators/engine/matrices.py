"""The sparse matrices of a task, made once: what operators propagate by, and the features.

A row belongs to the node that receives, a column to the one that sends; `W` counts the edges from
one to the other.

* `sum`: W.
* `mean`: W with each row divided by its sum.
* `symmetric`: D^-1/2 W D^-1/2, for the row sums D of W.
* `loops`: W with exactly one loop at each node.
* `gcn`: D^-1/2 W D^-1/2 of that.
* `chebyshev`: - D^-1/2 W D^-1/2 without loops, for the column sums D of W: the Laplacian, divided
  by half of its largest eigenvalue, taken to be 2, and shifted to [-1, 1].

A node without edges has a row of zeros. These are the weights of PyTorch Geometric's layers.
"""

from collections.abc import Mapping
from functools import cache
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from evaluators.engine.csr import Csr

Kind: TypeAlias = Literal["sum", "mean", "symmetric", "loops", "gcn", "chebyshev"]
# Which edges each of them has: all; one loop at each node; no loops.
_EDGES: Mapping[Kind, str] = {
    "sum": "all",
    "mean": "all",
    "symmetric": "all",
    "loops": "looped",
    "gcn": "looped",
    "chebyshev": "loopless",
}
KINDS: tuple[Kind, ...] = tuple(_EDGES)


# Above this share of non-zeros, features are multiplied as a dense matrix.
DENSITY = 0.25


def prepare(x: Tensor, edge_index: Tensor) -> dict[str, Tensor]:
    """The tensors of all matrices: `all.crow`, `all.col`, ..., `gcn.values`, ..., `features.crow`.

    They go into the file of a sealed dataset, which all workers map into their memory.

    Args:
        x: [N, F]; its type is that of all values.
        edge_index: [2, E].
    """
    n_nodes, dtype = x.size(0), x.dtype
    is_loop = edge_index[0] == edge_index[1]
    nodes = torch.arange(n_nodes)
    plain = edge_index[:, ~is_loop]
    looped = torch.cat([plain, torch.stack([nodes, nodes])], dim=1)
    made = {"all": edge_index, "looped": looped}
    if bool(is_loop.any()):
        made["loopless"] = plain
    found: dict[str, Tensor] = {}
    for name, (source, target) in made.items():
        matrix = Csr.of(target, source, torch.empty(target.numel()), (n_nodes, n_nodes))
        found |= {f"{name}.crow": matrix.crow, f"{name}.col": matrix.col}
    for kind in KINDS:
        if kind not in ("sum", "loops"):  # of ones
            found[f"{kind}.values"] = _values(kind, _structure(found, kind, n_nodes), dtype)
    if x.numel() and int(x.count_nonzero()) <= DENSITY * x.numel():
        row, col = x.nonzero().unbind(1)
        features = Csr.of(row, col, x[row, col], (n_nodes, x.size(1)))
        found |= {"features.crow": features.crow, "features.col": features.col}
        found["features.values"] = features.values
    return found


def bytes_needed(n_nodes: int, n_edges: int, n_features: int = 0) -> int:
    """How large these tensors are at most: three structures, four vectors of values, features."""
    entries = n_edges + n_nodes
    words = int(DENSITY * n_nodes * n_features)
    features = 4 * (n_nodes + 1 + 2 * words) if n_features else 0
    return 3 * 4 * (n_nodes + 1 + entries) + 4 * 4 * entries + features


class Matrices:
    """The matrices of one graph, from its prepared tensors."""

    def __init__(self, tensors: Mapping[str, Tensor], n_nodes: int) -> None:
        self._tensors, self.n_nodes = tensors, n_nodes
        self.of = cache(self._of)

    def features(self, columns: int) -> Csr | None:
        """The features as a sparse matrix; None where more than a quarter of them are not 0."""
        if "features.crow" not in self._tensors:
            return None
        crow, col = self._tensors["features.crow"], self._tensors["features.col"]
        return Csr(crow, col, self._tensors["features.values"], columns)

    def _of(self, kind: Kind) -> Csr:
        matrix = _structure(self._tensors, kind, self.n_nodes)
        values = self._tensors.get(f"{kind}.values")
        if values is None:
            values = torch.ones(matrix.col.numel(), dtype=self._tensors["gcn.values"].dtype)
        return Csr(matrix.crow, matrix.col, values, self.n_nodes)


def _structure(tensors: Mapping[str, Tensor], kind: Kind, n_nodes: int) -> Csr:
    name = _EDGES[kind] if f"{_EDGES[kind]}.crow" in tensors else "all"
    col = tensors[f"{name}.col"]
    return Csr(tensors[f"{name}.crow"], col, torch.empty(0), n_nodes)


def _values(kind: Kind, matrix: Csr, dtype: torch.dtype) -> Tensor:
    received = matrix.crow.diff().to(dtype)
    col = matrix.col.long()
    if kind == "mean":
        return received.reciprocal()[matrix.row]
    degree = received
    if kind == "chebyshev":
        degree = col.bincount(minlength=matrix.rows).to(dtype)
    scale = torch.where(degree > 0, degree.rsqrt(), 0.0)
    weights = scale[matrix.row] * scale[col]
    return -weights if kind == "chebyshev" else weights
