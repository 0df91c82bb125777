"""Small planted graphs, and a space with sound networks and every kind of faulty one.

A module of its own, so that worker processes can import it.
"""

import os
import sys
import time

import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv, global_mean_pool

from nas.contracts.graphs import graph_set, node_graph
from search_spaces import Architecture, Decision, SearchSpace, Task

__all__ = ["FAULTY", "RECIPE_SPACE", "SPACE", "graph_set", "node_graph"]

FAULTY = (
    "raises",
    "nan",
    "far",
    "huge",
    "sleeps",
    "dies",
    "leaves",
    "shape",
    "interrupts",
    "nobuild",
)


class Gcn(nn.Module):
    def __init__(self, features: int, width: int, classes: int) -> None:
        super().__init__()
        self.first, self.second = GCNConv(features, width), GCNConv(width, classes)
        self.dropout = nn.Dropout(0.0)

    def forward(self, x: Tensor, edge_index: Tensor, *graphs: Tensor) -> Tensor:
        x = self.dropout(self.first(self.dropout(x), edge_index)).relu()
        x = self.second(x, edge_index)
        return global_mean_pool(x, graphs[0], graphs[1].size(0)) if graphs else x


class Mlp(nn.Module):
    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.BatchNorm1d(features), nn.Linear(features, classes)

    def forward(self, x: Tensor, edge_index: Tensor, *graphs: Tensor) -> Tensor:
        x = self.linear(self.norm(x))
        return global_mean_pool(x, graphs[0], graphs[1].size(0)) if graphs else x


class Faulty(nn.Module):
    def __init__(self, kind: str, features: int, classes: int) -> None:
        super().__init__()
        self.kind, self.linear = kind, nn.Linear(features, classes)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        y: Tensor = self.linear(x)
        if self.kind == "raises":
            raise ZeroDivisionError("this network divides by zero")
        if self.kind == "nan":
            return y * float("nan")
        if self.kind == "far" and not self.training:
            return y.new_tensor([3e38, -3e38, 0.0]).expand(y.size(0), 3)
        if self.kind == "huge":
            return y + torch.empty(2**60, dtype=torch.uint8)[0]
        if self.kind == "sleeps":
            time.sleep(60)
        if self.kind == "dies":
            os.kill(os.getpid(), 9)
        if self.kind == "leaves":
            os._exit(0)
        if self.kind == "interrupts":
            sys.exit(3)
        return y[:, :1] if self.kind == "shape" else y


def make(architecture: Architecture, task: Task) -> nn.Module:
    kind, width = str(architecture.choices["kind"]), int(architecture.choices["width"])
    if kind == "nobuild":
        raise ValueError("this network cannot be built")
    if kind == "gcn":
        return Gcn(task.n_features, width, task.n_classes)
    if kind == "mlp":
        return Mlp(task.n_features, task.n_classes)
    return Faulty(kind, task.n_features, task.n_classes)


SPACE = SearchSpace(
    "tiny",
    1,
    (Decision("kind", ("gcn", "mlp", *FAULTY)), Decision("width", (8, 200))),
    make,
)


def make_recipe(architecture: Architecture, task: Task) -> nn.Module:
    return Gcn(task.n_features, 8, task.n_classes)


RECIPE_SPACE = SearchSpace(
    "tiny_recipe", 1, (Decision("train.lr", (0.0, 0.05), role="recipe"),), make_recipe
)
