"""Small trained-looking networks, and bundles of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, global_mean_pool

from evaluators.datasets._base import Preprocessing
from nas.export._manifest import Provenance
from nas.export.bundle import write_bundle
from search_spaces import Architecture, Task
from search_spaces.task import TaskKind

FEATURES, CLASSES = 6, 3


def made_task(kind: TaskKind = "node_classification", n_features: int = FEATURES) -> Task:
    graphs = 8 if kind.startswith("graph") else 1
    return Task(kind, n_features, CLASSES, 60, 240, graphs, 4, 2, 2, "accuracy", "0" * 32)


class NodeNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = GCNConv(FEATURES, 8)
        self.norm = nn.BatchNorm1d(8)
        self.dropout = nn.Dropout(0.5)
        self.second = GATConv(8, CLASSES, heads=2, concat=False)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        hidden = self.dropout(self.norm(self.first(x, edge_index)).relu())
        return self.second(hidden, edge_index)


class GraphNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.nodes = NodeNetwork()

    def forward(self, x: Tensor, edge_index: Tensor, graph_ids: Tensor, graphs: Tensor) -> Tensor:
        return global_mean_pool(self.nodes(x, edge_index), graph_ids, size=graphs.size(0))


def made_network(kind: TaskKind) -> nn.Module:
    torch.manual_seed(0)
    network = NodeNetwork() if kind == "node_classification" else GraphNetwork()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return network


def standardized() -> Preprocessing:
    return Preprocessing(
        "standardize", True, torch.linspace(-1, 1, FEATURES), torch.linspace(0.5, 2, FEATURES)
    )


Write = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def write() -> Write:
    """Writes a bundle of a small network; keywords go to `write_bundle`."""

    def write(to: Path, kind: TaskKind = "node_classification", **given: Any) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "network": made_network(kind),
            "architecture": Architecture("made", {"depth": 2, "operator": "gcn"}),
            "task": made_task(kind),
            "preprocessing": standardized(),
            "provenance": Provenance(study="a study", trial=7, seed=3),
            "metrics": {"val_accuracy": 0.75, "params": 123.0},
        }
        return write_bundle(to, **(arguments | given))

    return write


@pytest.fixture(scope="session")
def node_bundle(write: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for a node task; tests must not change it."""
    folder = tmp_path_factory.mktemp("bundles") / "node"
    write(folder)
    return folder


@pytest.fixture(scope="session")
def graph_bundle(write: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for a graph task; tests must not change it."""
    folder = tmp_path_factory.mktemp("bundles") / "graph"
    write(folder, "graph_classification")
    return folder


@pytest.fixture(scope="session")
def network() -> Callable[[TaskKind], nn.Module]:
    """The network of the bundles, by the kind of its task."""
    return made_network


@pytest.fixture(scope="session")
def preprocessing() -> Preprocessing:
    """The preprocessing of the bundles: standardized and undirected."""
    return standardized()


@pytest.fixture(scope="session")
def task() -> Callable[..., Task]:
    """A task of a kind and a number of features."""
    return made_task
