"""What an exporter is, and the contract of what it exports: names, types and shapes."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeAlias, runtime_checkable

from pydantic import BaseModel, ConfigDict, PositiveInt, model_validator
from torch import Tensor, nn

from evaluators.datasets._base import Normalization, Preprocessing
from search_spaces import Task, UsageError
from search_spaces.quantization.codes import Codes
from search_spaces.task import TaskKind

Dimension: TypeAlias = PositiveInt | Literal["N", "E", "B"]
Runnable: TypeAlias = Callable[..., Tensor]
Edges: TypeAlias = Literal["directed", "undirected", "both_directions"]

_MOST_SHOWN = 80
# The smallest value of each dimension that is not fixed: nodes, edges, graphs.
SMALLEST = {"N": 1, "E": 0, "B": 1}


class ExportError(UsageError):
    """An export that cannot begin: the place is taken, a preprocessing is incomplete."""


class ExportFailedError(ExportError):
    """A network that cannot be exported, or does not compute the same once it is."""


class BundleError(UsageError):
    """A bundle that cannot be read, was changed, or was given a graph that it does not take."""


class ElsewhereError(BundleError):
    """A program that is whole as far as can be told, and is for another kind of machine."""


def shown(text: object) -> str:
    """A name from a file of a stranger, in quotes: on one line, in ASCII, and not long."""
    quoted = json.dumps(str(text))
    return quoted if len(quoted) <= _MOST_SHOWN else f'{quoted[:_MOST_SHOWN]}..."'


class Strict(BaseModel):
    """A frozen value of a manifest: no unknown key, no conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def whole(value: Any) -> Any:
    """An integer as it is; `Literal[1]` alone takes 1.0 and true as well."""
    if type(value) is not int:
        raise ValueError(f"expected an integer, got {ascii(value)[:_MOST_SHOWN]}")
    return value


class TensorSpec(Strict):
    """One input or output: a letter in `shape` stands for a size that each call may choose."""

    name: str
    dtype: Literal["float32", "int64"]
    shape: tuple[Dimension, ...]


class Contract(Strict):
    """What an exported network takes and gives.

    Attributes:
        kind: node_classification or graph_classification.
        n_features: `F`.
        n_classes: `C`.
        features: what the program does to raw features before the network sees them.
        edges: directed (used as they come); undirected (each counts in both directions, once,
            however it is given: the program sees to that); both_directions (undirected, and the
            caller gives each edge in both directions, once).
        class_names: [C], what the classes are called, where they are not called 0, 1, 2, ...
    """

    kind: TaskKind
    n_features: PositiveInt
    n_classes: PositiveInt
    features: Normalization
    edges: Edges
    class_names: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        names = self.class_names
        if names is not None and (len(names) != self.n_classes or len({*names}) != len(names)):
            raise ValueError(
                f"class_names: expected {self.n_classes} different names, got {len(names)}"
            )
        return self

    @classmethod
    def of(
        cls,
        task: Task,
        preprocessing: Preprocessing,
        class_names: tuple[str, ...] | None = None,
        *,
        gives_both: bool = False,
    ) -> "Contract":
        """The contract of a network that was trained on a task.

        Args:
            task, preprocessing: what it was trained on.
            class_names: [C].
            gives_both: whether, of an undirected graph, the caller gives both directions.
        """
        given: Edges = "both_directions" if gives_both else "undirected"
        return cls(
            kind=task.kind,
            n_features=task.n_features,
            n_classes=task.n_classes,
            features=preprocessing.features,
            edges=given if preprocessing.undirected else "directed",
            class_names=class_names,
        )

    @property
    def is_graph_task(self) -> bool:
        """Whether one prediction is made for a graph (True) or for a node (False)."""
        return self.kind == "graph_classification"

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """In the order of the program's arguments."""
        node = (
            TensorSpec(name="x", dtype="float32", shape=("N", self.n_features)),
            TensorSpec(name="edge_index", dtype="int64", shape=(2, "E")),
        )
        graph = (
            TensorSpec(name="graph_ids", dtype="int64", shape=("N",)),
            TensorSpec(name="graphs", dtype="int64", shape=("B",)),
        )
        return node + graph if self.is_graph_task else node

    @property
    def output(self) -> TensorSpec:
        """Scores before the softmax, one row for each node or graph."""
        unit: Dimension = "B" if self.is_graph_task else "N"
        return TensorSpec(name="logits", dtype="float32", shape=(unit, self.n_classes))


@dataclass(frozen=True)
class Written:
    """What an exporter has written.

    Attributes:
        files: all that it put into the folder.
        notes: sentences for whoever deploys it, for the bundle's README and manifest.
        codes: the weights that the program has as integers, by their names in the network's state.
        mean_tolerance: by how much it may differ in the mean, in place of the exporter's tolerance
            of the largest difference: where both round to few bits on the way, and what lies
            between two numbers may become either.
        sample_only: whether it is made for values like the sample's, and is compared with the
            network on the sample alone.
        portable: computes in plain operations of torch what the program does, where that is not
            what the network does; `model.pt2` is written of it then.
    """

    files: Sequence[Path]
    notes: tuple[str, ...] = ()
    codes: Mapping[str, Codes] = field(default_factory=dict)
    mean_tolerance: float | None = None
    sample_only: bool = False
    portable: nn.Module | None = None


class Exporter(Protocol):
    """What an exporter plug-in's `build` returns."""

    @property
    def file(self) -> str:
        """The name of the file that holds the program."""
        ...

    @property
    def needs(self) -> str:
        """What runs it, for the bundle's README: "torch"."""
        ...

    @property
    def reading(self) -> str:
        """Lines of Python, for the bundle's README, after which `network` is the program."""
        ...

    @property
    def tolerance(self) -> float:
        """By how much program p and network y may differ: max|p - y| <= t * max(1, max|y|).

        Unless `Written` says otherwise.
        """
        ...

    def write(
        self, network: nn.Module, contract: Contract, folder: Path, sample: tuple[Tensor, ...]
    ) -> Written:
        """Write the program into the folder.

        Args:
            network: prepares raw features itself; weights are rounded to what they were trained in.
            contract: what it takes and gives.
            folder: of the bundle.
            sample: inputs of a real graph, for what is chosen by the values that occur.

        Raises:
            ExportError: the network cannot be written in this form.
        """
        ...

    def open(self, folder: Path) -> Runnable:
        """Read the program back as a function of the contract's inputs.

        Raises:
            BundleError: what is there cannot be read.
        """
        ...


@runtime_checkable
class ReadsArrays(Protocol):
    """An exporter whose `reading` makes a `network` of NumPy arrays; others' is one of tensors."""

    @property
    def arrays(self) -> Literal["torch", "numpy"]: ...


@runtime_checkable
class ChecksMachine(Protocol):
    """An exporter that needs more than this program to write: a package, a compiler."""

    def check_machine(self) -> None:
        """Called before a search that asks for it.

        Raises:
            ExportError: something is not installed; the message says how it is.
        """
        ...


@runtime_checkable
class ChecksNetworks(Protocol):
    """An exporter that cannot write every network."""

    def unfit(self, network: nn.Module) -> str:
        """Why a network cannot be written, as the end of a sentence; "" where it can be.

        Called before a search, and told by the kinds of its modules: the network is untrained, on
        torch's meta device, and not settled (see `search_spaces.extensions`).
        """
        ...


def reads_numpy(exporter: Exporter) -> bool:
    """Whether its `reading` needs no torch."""
    return isinstance(exporter, ReadsArrays) and exporter.arrays == "numpy"
