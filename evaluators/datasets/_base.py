"""What a dataset is, its seal, and the file in which it travels to workers.

A study loads its dataset once, takes the test labels out, and writes what is left into an artifact:
that file is all that a worker of a search ever sees.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, TypeAlias

from torch import Tensor

from evaluators import tensors as files
from evaluators._memory import available_bytes
from evaluators.engine.matrices import bytes_needed, prepare
from evaluators.values import Artifact
from search_spaces import Task, UsageError
from search_spaces.task import TaskKind

UNKNOWN = -1
Normalization: TypeAlias = Literal["none", "row", "standardize"]


class DatasetError(UsageError):
    """A graph that cannot be used, or one that is not there."""


@dataclass(frozen=True)
class Preprocessing:
    """What was done to the graph before training, and must be done to any graph predicted on.

    Attributes:
        features: none; row (each row divided by its sum); standardize (train mean 0, deviation 1).
        undirected: whether each edge was given its reverse.
        mean, std: [F], of the training nodes, for standardize.
    """

    features: Normalization = "none"
    undirected: bool = False
    mean: Tensor | None = None
    std: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """One graph whose nodes are classified, or many graphs, side by side, that are.

    `U` (units) is `N` for a node task and `B` for a graph task.

    Attributes:
        name: for people: "planetoid Cora".
        kind: node_classification or graph_classification.
        x: [N, F] float32, prepared.
        edge_index: [2, E] int64, source and target.
        y: [U] int64 in [0, C); -1 where there is no label.
        train, val, test: [U] bool, disjoint.
        graph_ids: [N] int64, ascending, for a graph task; None for a node task.
        n_classes: C.
        metric: accuracy, roc_auc or macro_f1, of validation, chooses the epoch.
        preprocessing: what was done to `x` and `edge_index`.
        class_weights: [C] float32 for the loss, or None.
        class_names: [C], what the classes are called, or None.
        sealed: whether the test labels have been taken out.
        matrices: of a node task read from a file: what operators propagate by (see
            `evaluators.engine.matrices`).
        fingerprint: of the dataset with its labels, equal before and after sealing.
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
    fingerprint: str
    metric: str = "accuracy"
    graph_ids: Tensor | None = None
    preprocessing: Preprocessing = Preprocessing()
    class_weights: Tensor | None = None
    class_names: tuple[str, ...] | None = None
    sealed: bool = False
    matrices: Mapping[str, Tensor] = field(default_factory=dict)

    @cached_property
    def task(self) -> Task:
        """Dimensions and sizes, without labels."""
        return Task(
            kind=self.kind,
            n_features=self.x.size(1),
            n_classes=self.n_classes,
            n_nodes=self.x.size(0),
            n_edges=self.edge_index.size(1),
            n_graphs=1 if self.graph_ids is None else self.y.numel(),
            n_train=int(self.train.sum()),
            n_val=int(self.val.sum()),
            n_test=int(self.test.sum()),
            metric=self.metric,
            fingerprint=self.fingerprint,
        )

    def seal(self) -> "Dataset":
        """The same dataset without the test labels: they become -1."""
        y = self.y.clone()
        y[self.test] = UNKNOWN
        return replace(self, y=y, sealed=True)


_MATRICES = "matrices."
_TENSORS = ("x", "edge_index", "y", "train", "val", "test", "graph_ids", "class_weights")


def save_sealed(dataset: Dataset, store: str) -> Artifact:
    """Write a sealed dataset into the store, with what every worker would make of it.

    Raises:
        ValueError: the dataset still has its test labels.
    """
    if not dataset.sealed:
        raise ValueError("only a sealed dataset may be handed to workers; call seal() first")
    tensors = {name: getattr(dataset, name) for name in _TENSORS}
    tensors |= {"mean": dataset.preprocessing.mean, "std": dataset.preprocessing.std}
    header = {
        "name": dataset.name,
        "kind": dataset.kind,
        "n_classes": dataset.n_classes,
        "metric": dataset.metric,
        "fingerprint": dataset.fingerprint,
        "features": dataset.preprocessing.features,
        "undirected": dataset.preprocessing.undirected,
        "class_names": dataset.class_names,
    }
    needed = bytes_needed(dataset.x.size(0), dataset.edge_index.size(1), dataset.x.size(1))
    if dataset.graph_ids is None and needed < available_bytes():
        made = prepare(dataset.x, dataset.edge_index)
        tensors |= {f"{_MATRICES}{name}": tensor for name, tensor in made.items()}
    present = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    return files.write(store, "dataset", header, present)


def load_sealed(artifact: Artifact) -> Dataset:
    """Read what `save_sealed` wrote; the tensors are mapped from the file, not copied.

    Raises:
        ArtifactError: the file is missing, damaged, or no sealed dataset.
    """
    header, read = files.read(artifact, "dataset", "a sealed dataset")
    matrices = {
        name.removeprefix(_MATRICES): read.pop(name)
        for name in tuple(read)
        if name.startswith(_MATRICES)
    }
    tensors: dict[str, Tensor | None] = dict.fromkeys((*_TENSORS, "mean", "std"))
    tensors |= read
    preprocessing = Preprocessing(
        header.pop("features"), header.pop("undirected"), tensors.pop("mean"), tensors.pop("std")
    )
    names = header.pop("class_names")
    header["class_names"] = None if names is None else tuple(names)
    header |= {"preprocessing": preprocessing, "sealed": True, "matrices": matrices}
    return Dataset(**header, **tensors)  # type: ignore[arg-type]
