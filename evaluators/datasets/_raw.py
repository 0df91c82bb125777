"""What a dataset plug-in's `build` returns: the graph as it was read, with its splits."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import Tensor

from search_spaces.task import TaskKind

Metric: TypeAlias = Literal["accuracy", "roc_auc", "macro_f1"]


@dataclass(frozen=True, eq=False)
class RawDataset:
    """One graph whose nodes are classified, or many graphs, side by side, that are.

    `U` (units) is `N` for a node task and `B` for a graph task. Edges that occur twice, and edges
    from a node to itself, are kept: some public graphs have them, and published results count them.

    Attributes:
        name: for people: "planetoid Cora".
        kind: node_classification or graph_classification.
        x: [N, F] float32.
        edge_index: [2, E] int64, source and target.
        y: [U] int64 in [0, C); -1 where there is no label.
        train, val, test: [U] bool, disjoint; test may be empty, and is then never measured.
        n_classes: C.
        graph_ids: [N] int64, ascending, for a graph task; None for a node task.
        metric: the usual metric of this dataset.
        class_names: [C], what the classes are called, where they are not called 0, 1, 2, ...
    """

    name: str
    kind: TaskKind
    x: Tensor
    edge_index: Tensor
    y: Tensor
    train: Tensor
    val: Tensor
    test: Tensor
    n_classes: int
    graph_ids: Tensor | None = None
    metric: Metric = "accuracy"
    class_names: tuple[str, ...] | None = None

    @property
    def unit(self) -> str:
        """What is classified, for messages: node or graph."""
        return "node" if self.kind.startswith("node") else "graph"
