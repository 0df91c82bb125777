"""Single levers of fast evaluation, each put by itself into the plain two-layer GCN.

Everything else is as in the naive loop: F.dropout, PyG's layer on edge_index, Adam, one step and
one evaluation an epoch.
"""

from abc import abstractmethod
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from evaluation_measure import DROPOUT, LR, WEIGHT_DECAY, Model, Trains
from torch import Tensor, nn
from torch.autograd import Function
from torch_geometric.nn import GCNConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import k_hop_subgraph

from evaluators import metrics
from evaluators.datasets import Dataset

HOPS = 2
SPARSE = 0.25  # more non-zeros than this, and a matrix is dense


class Sparse:
    """A matrix in rows, times a dense one; its transpose is stored for the gradient to the latter.

    Attributes:
        values: [nnz], in the order of the rows; other values may take their place.
    """

    def __init__(self, row: Tensor, col: Tensor, values: Tensor, size: tuple[int, int]) -> None:
        order = row.argsort(stable=True)
        row, col, self.values = row[order], col[order], values[order]
        self._order = col.argsort(stable=True)
        self._crow, self._col = _rows(row, size[0]), col
        self._crow_t, self._col_t = _rows(col, size[1]), row[self._order]
        self._size = size

    def times(self, dense: Tensor, values: Tensor) -> Tensor:
        product: Tensor = _Times.apply(dense, values, self)  # type: ignore[no-untyped-call]
        return product

    def forward(self, dense: Tensor, values: Tensor) -> Tensor:
        matrix = torch.sparse_csr_tensor(
            self._crow, self._col, values, self._size, check_invariants=False
        )
        return matrix @ dense

    def backward(self, gradient: Tensor, values: Tensor) -> Tensor:
        transposed = torch.sparse_csr_tensor(
            self._crow_t,
            self._col_t,
            values[self._order],
            self._size[::-1],
            check_invariants=False,
        )
        return transposed @ gradient


def _rows(row: Tensor, rows: int) -> Tensor:
    """[rows + 1] where each row begins."""
    return F.pad(row.bincount(minlength=rows).cumsum(0), (1, 0))


class _Times(Function):
    @staticmethod
    def forward(ctx: Any, dense: Tensor, values: Tensor, matrix: Sparse) -> Tensor:
        ctx.matrix, ctx.values = matrix, values
        return matrix.forward(dense, values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.matrix.backward(gradient, ctx.values), None, None


class Gcn(nn.Module):
    """A GCN that holds its dataset; its weights are those of two `GCNConv`."""

    def __init__(self, dataset: Dataset, width: int) -> None:
        super().__init__()
        self.conv1 = GCNConv(dataset.x.size(1), width)
        self.conv2 = GCNConv(width, dataset.n_classes)
        self.dataset = dataset

    @abstractmethod
    def units(self) -> tuple[Tensor, Tensor]:
        """Logits and labels of the units that count now: of train in training, else of val."""

    def forward(self) -> tuple[Tensor, Tensor]:
        return self.units()

    def drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, DROPOUT, self.training)

    def chosen(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Of logits for all nodes."""
        mask = self.dataset.train if self.training else self.dataset.val
        return logits[mask], self.dataset.y[mask]


class SparseGcn(Gcn):
    """Dropout and the first product on the non-zeros of the features."""

    def __init__(self, dataset: Dataset, width: int) -> None:
        super().__init__(dataset, width)
        row, col = dataset.x.nonzero().unbind(1)
        size = (dataset.x.size(0), dataset.x.size(1))
        self.features = Sparse(row, col, dataset.x[row, col], size)
        # What propagates the first product: the layer without its linear map.
        self.propagate = GCNConv(width, width, bias=False)
        self.propagate.lin = nn.Identity()

    def units(self) -> tuple[Tensor, Tensor]:
        edge_index = self.dataset.edge_index
        values = self.drop(self.features.values)
        projected = self.features.times(self.conv1.lin.weight.t(), values)
        hidden = (self.propagate(projected, edge_index) + self.conv1.bias).relu()
        return self.chosen(self.conv2(self.drop(hidden), edge_index))


class CsrGcn(Gcn):
    """Propagation by a matrix in rows, normalized once, whose transpose is stored."""

    def __init__(self, dataset: Dataset, width: int) -> None:
        super().__init__(dataset, width)
        (source, target), weight = _normalized(dataset)
        n_nodes = dataset.x.size(0)
        self.matrix = Sparse(target, source, weight, (n_nodes, n_nodes))

    def units(self) -> tuple[Tensor, Tensor]:
        x = self.dataset.x
        for conv in (self.conv1, self.conv2):
            x = x if conv is self.conv1 else x.relu()
            x = self.matrix.times(conv.lin(self.drop(x)), self.matrix.values) + conv.bias
        return self.chosen(x)


class FieldGcn(Gcn):
    """The nodes within two steps of train, or of val, and the edges among them alone."""

    def __init__(self, dataset: Dataset, width: int) -> None:
        super().__init__(dataset, width)
        for conv in (self.conv1, self.conv2):
            conv.normalize = False  # weights are those of the whole graph
        self.parts = {True: self._part(dataset.train), False: self._part(dataset.val)}

    def _part(self, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Features, edges, weights, the rows that count, and their labels."""
        edge_index, weight = _normalized(self.dataset)
        chosen = mask.nonzero().squeeze(1)
        nodes, edges, rows, kept = k_hop_subgraph(
            chosen, HOPS, edge_index, relabel_nodes=True, num_nodes=mask.numel()
        )
        return self.dataset.x[nodes], edges, weight[kept], rows, self.dataset.y[chosen]

    def units(self) -> tuple[Tensor, Tensor]:
        x, edge_index, weight, rows, y = self.parts[self.training]
        hidden = self.conv1(self.drop(x), edge_index, weight).relu()
        return self.conv2(self.drop(hidden), edge_index, weight)[rows], y


def _normalized(dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Edges with self-loops, and the weights of GCN."""
    edge_index, weight = gcn_norm(dataset.edge_index, num_nodes=dataset.x.size(0))
    return edge_index, weight


def sparse_features(dataset: Dataset, model: Model, epochs: int) -> Trains | None:
    """Sparse features alone; None where they are dense."""
    if int(dataset.x.count_nonzero()) > SPARSE * dataset.x.numel():
        return None
    return _trained(SparseGcn, dataset, model, epochs)


def receptive_fields(dataset: Dataset, model: Model, epochs: int) -> Trains | None:
    """Exact receptive fields alone."""
    return _trained(FieldGcn, dataset, model, epochs)


def fast_operators(dataset: Dataset, model: Model, epochs: int) -> Trains | None:
    """Operators on CSR with stored transposes alone."""
    return _trained(CsrGcn, dataset, model, epochs)


def _trained(kind: type[Gcn], dataset: Dataset, model: Model, epochs: int) -> Trains | None:
    if model.operator != "gcn":
        return None
    torch.manual_seed(0)
    return partial(loop, kind(dataset, model.width), epochs)


def loop(network: Gcn, epochs: int) -> float:
    """As the naive loop; returns the best validation value."""
    optimizer = torch.optim.Adam(network.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    best, kept = -1.0, network.state_dict()
    for _ in range(epochs):
        network.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(*network())
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        network.eval()
        with torch.no_grad():
            logits, y = network()
        value = metrics.selecting(network.dataset.metric, logits, y)
        if value > best:
            best = value
            kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(kept)
    return best
