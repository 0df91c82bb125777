"""Networks as people write them, which the engine cannot read, or only in part."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, GraphNorm, InstanceNorm
from torch_geometric.utils import degree

from search_spaces import Architecture, Decision, SearchSpace, Task


class TwoLayers(nn.Module):
    """A GCN as in the textbook; others differ from it."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.first, self.second = GCNConv(features, 8), GCNConv(8, classes)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        scores: Tensor = self.second(self.relu(self.first(x, edge_index)), edge_index)
        return scores


class Dropping(TwoLayers):
    """With dropout of the features."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__(features, classes)
        self.dropout = nn.Dropout()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(self.dropout(x), edge_index)


class OnMode(TwoLayers):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        if self.training:
            return super().forward(x, edge_index)
        scores: Tensor = self.second(self.first(x, edge_index), edge_index)
        return scores


class DrawsTorch(TwoLayers):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.first(x, edge_index)
        if float(torch.rand(())) < 0.5:
            x = self.relu(x)
        scores: Tensor = self.second(x, edge_index)
        return scores


class DrawsPython(TwoLayers):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.first(x, edge_index)
        if random.random() < 0.5:
            x = self.relu(x)
        scores: Tensor = self.second(x, edge_index)
        return scores


class Counts(TwoLayers):
    """Every third pass has no ReLU."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__(features, classes)
        self.passes = 0

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        self.passes += 1
        x = self.first(x, edge_index)
        if self.passes % 3:
            x = self.relu(x)
        scores: Tensor = self.second(x, edge_index)
        return scores


class CountsInTensor(TwoLayers):
    """The same in a buffer."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__(features, classes)
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        self.passes += 1
        scores: Tensor = self.second(self.first(x, edge_index), edge_index)
        return scores * (1 + self.passes / 10)


class Hooked(TwoLayers):
    def __init__(self, features: int, classes: int) -> None:
        super().__init__(features, classes)
        self.first.register_forward_hook(lambda *given: 2 * given[2])


class Tied(nn.Module):
    """One matrix in two places."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.first, self.second = GCNConv(features, 8), GCNConv(8, 8)
        self.third, self.output = GCNConv(8, 8), nn.Linear(8, classes)
        self.third.lin.weight = self.second.lin.weight

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.second(self.first(x, edge_index), edge_index)
        scores: Tensor = self.output(self.third(x, edge_index))
        return scores


class Functional(TwoLayers):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = F.relu(self.first(x, edge_index))
        scores: Tensor = self.second(x, edge_index)
        return scores


class Normalizes(TwoLayers):
    """By a function that is no module."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = F.normalize(self.first(x, edge_index))
        scores: Tensor = self.second(x, edge_index)
        return scores


class Rowwise(nn.Module):
    """Which takes no memory for edges."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        scores: Tensor = self.linear(x)
        return scores


class TakesEdgesApart(TwoLayers):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        senders = degree(edge_index[0], x.size(0))
        return super().forward(x + senders[:, None] / 10, edge_index)


class Reverses(TwoLayers):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.relu(self.first(x, edge_index.flip(0)))
        scores: Tensor = self.second(x, edge_index)
        return scores


class Between(TwoLayers):
    """With a module between the layers."""

    def __init__(self, features: int, classes: int, module: nn.Module) -> None:
        super().__init__(features, classes)
        # Without a bias, which the module takes out again: Adam makes steps of its rounding errors.
        self.first, self.between = GCNConv(features, 8, bias=False), module

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.between(self.first(x, edge_index))
        scores: Tensor = self.second(self.relu(x), edge_index)
        return scores


class UnusualAttention(nn.Module):
    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.first = GATConv(features, 8, heads=2, concat=False, add_self_loops=False)
        self.relu, self.second = nn.ReLU(), GCNConv(8, classes)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        scores: Tensor = self.second(self.relu(self.first(x, edge_index)), edge_index)
        return scores


class Centers(nn.Module):
    """A module of one's own that mixes rows: less the mean over all nodes."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0, keepdim=True)


UNREADABLE: Mapping[str, Callable[[int, int], nn.Module]] = {
    "on_mode": OnMode,
    "draws_torch": DrawsTorch,
    "draws_python": DrawsPython,
    "counts": Counts,
    "counts_in_tensor": CountsInTensor,
    "hooked": Hooked,
    "tied": Tied,
    "normalizes": Normalizes,
    "takes_edges_apart": TakesEdgesApart,
    "reverses": Reverses,
    "centers": lambda f, c: Between(f, c, Centers()),
    "graph_norm": lambda f, c: Between(f, c, GraphNorm(8)),
    "instance_norm": lambda f, c: Between(f, c, InstanceNorm(8, affine=True)),
}
PARTLY: Mapping[str, Callable[[int, int], nn.Module]] = {
    "unusual_attention": UnusualAttention,
    "batch_norm_without_memory": lambda f, c: Between(
        f, c, nn.BatchNorm1d(8, track_running_stats=False)
    ),
    "torch_instance_norm": lambda f, c: Between(f, c, nn.InstanceNorm1d(8)),
}
READABLE: Mapping[str, Callable[[int, int], nn.Module]] = {
    "two_layers": TwoLayers,
    "functional": Functional,
    "dropping": Dropping,
    "rowwise": Rowwise,
}
ALL = {**UNREADABLE, **PARTLY, **READABLE}


def make(architecture: Architecture, task: Task) -> nn.Module:
    kind: Any = architecture.choices["kind"]
    return ALL[kind](task.n_features, task.n_classes)


SPACE = SearchSpace("people", 1, (Decision("kind", tuple(ALL)),), make)
