"""A space of sound networks, and of networks with a fault each; workers import it by its name."""

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, global_mean_pool

from search_spaces import Architecture, Decision, SearchSpace, Task, gnn

SOUND = ("gcn", "perceptron")
# What is wrong with a network, and what its failure says.
FAULTS = {
    "raises": "this network divides by zero",
    "builds not": "this network cannot be built",
    "wrong shape": "",
    "not finite": "",
}


class Sound(nn.Module):
    """It ends in a linear layer; of a graph task, on the mean of the nodes."""

    def __init__(self, width: int | None, task: Task) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(task.n_features)
        self.first = GCNConv(task.n_features, width) if width else None
        self.last = nn.Linear(width or task.n_features, task.n_classes)
        self.dropout = nn.Dropout(0.0)

    def forward(self, x: Tensor, edge_index: Tensor, *graphs: Tensor) -> Tensor:
        x = self.norm(self.dropout(x))
        if self.first is not None:
            x = self.first(x, edge_index).relu()
        if graphs:
            x = global_mean_pool(x, graphs[0], graphs[1].size(0))
        logits: Tensor = self.last(x)
        return logits


class Faulty(nn.Module):
    def __init__(self, fault: str, task: Task) -> None:
        super().__init__()
        self.fault, self.last = fault, nn.Linear(task.n_features, task.n_classes)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        y: Tensor = self.last(x)
        if self.fault == "raises":
            raise ZeroDivisionError(FAULTS["raises"])
        return y[:, :1] if self.fault == "wrong shape" else y * float("nan")


def _make(architecture: Architecture, task: Task) -> nn.Module:
    kind = str(architecture.choices["kind"])
    if kind == "builds not":
        raise ValueError(FAULTS[kind])
    if kind in SOUND:
        return Sound(int(architecture.choices["width"]) if kind == "gcn" else None, task)
    return Faulty(kind, task)


SPACE = SearchSpace(
    "contracts",
    1,
    (Decision("kind", (*SOUND, *FAULTS)), Decision("width", (8, 12), needs={"kind": ("gcn",)})),
    _make,
)


def architecture(kind: str) -> Architecture:
    """The one of a kind."""
    width = {"width": 8} if kind == "gcn" else {}
    return SPACE.architecture({"kind": kind, **width})


def small_space(task: Task) -> SearchSpace:
    """One of ours, to extend and to prepare for."""
    return gnn.build(task, depth=[1, 2], operators=["gcn", "linear"], width=[4, 8], pre_layers=[0])


class Exported(nn.Module):
    """With what exporting meets: statistics, dropout, attention, and sums over edges."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.first, self.norm = GCNConv(task.n_features, 8), nn.BatchNorm1d(8)
        self.dropout = nn.Dropout(0.5)
        self.second = GATConv(8, task.n_classes, heads=2, concat=False)
        for statistic in (self.norm.running_mean, self.norm.running_var):
            torch.nn.init.uniform_(statistic, 0.5, 2)  # type: ignore[arg-type]

    def forward(self, x: Tensor, edge_index: Tensor, *graphs: Tensor) -> Tensor:
        hidden = self.dropout(self.norm(self.first(x, edge_index)).relu())
        out: Tensor = self.second(hidden, edge_index)
        return global_mean_pool(out, graphs[0], size=graphs[1].size(0)) if graphs else out
