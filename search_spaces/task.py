"""A task: what a network has to fit."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

TaskKind: TypeAlias = Literal["node_classification", "graph_classification"]
METRICS = ("accuracy", "roc_auc", "macro_f1")


@dataclass(frozen=True)
class Task:
    """Dimensions, sizes and metric of a dataset. It holds no labels.

    Attributes:
        kind: what is predicted for what.
        n_features: columns of the feature matrix, `F`.
        n_classes: `C`, outputs of the network.
        n_nodes: `N`, over all graphs.
        n_edges: `E`, directed edges over all graphs.
        n_graphs: `B`; 1 for a node task.
        n_train, n_val, n_test: how many nodes (graphs, for a graph task) each split has.
        metric: which metric of the validation split chooses the epoch: accuracy, roc_auc, macro_f1.
        fingerprint: a hash of graph, labels, splits and preparation; it is part of every cache key.
    """

    kind: TaskKind
    n_features: int
    n_classes: int
    n_nodes: int
    n_edges: int
    n_graphs: int
    n_train: int
    n_val: int
    n_test: int
    metric: str
    fingerprint: str

    @property
    def is_graph_task(self) -> bool:
        """Whether one prediction is made for a graph (True) or for a node (False)."""
        return self.kind.startswith("graph")
