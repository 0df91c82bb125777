"""Predictions of a bundle for a graph in a file, or for a dataset."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor
from torch_geometric.utils import to_undirected

from evaluators.datasets import load, read_graph
from nas.export.load import Bundle, load_bundle
from search_spaces import UsageError
from search_spaces.plugins import Plugin


class PredictionError(UsageError):
    """A graph that is not of the kind that a bundle predicts, or none, or two."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network says about each node or graph.

    Attributes:
        unit: node or graph.
        probabilities: [N, C] or [B, C], each row sums to 1.
        class_names: [C], what the classes are called; without, they are called 0, 1, 2, ...
        note: where edges were pruned with the network, which edges these are of; else empty.
    """

    unit: Literal["node", "graph"]
    probabilities: Tensor
    class_names: tuple[str, ...] | None = None
    note: str = ""

    @property
    def classes(self) -> tuple[str | int, ...]:
        """What each column of the probabilities is called."""
        return self.class_names or tuple(range(self.probabilities.size(1)))

    def rows(self) -> list[dict[str, Any]]:
        """For each node or graph its number, its most likely class, and all probabilities.

        Keys: `node` or `graph`, `prediction`, and `probability_<class>` for each class.
        """
        predicted = self.probabilities.argmax(dim=1).tolist()
        return [
            {self.unit: index, "prediction": self.classes[predicted[index]]}
            | {f"probability_{c}": v for c, v in zip(self.classes, values, strict=True)}
            for index, values in enumerate(self.probabilities.tolist())
        ]

    def to_csv(self) -> str:
        """The rows as CSV with a header; probabilities with six digits."""
        columns = [f"probability_{c}" for c in self.classes]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([self.unit, "prediction", *columns])
        for row in self.rows():
            numbers = [f"{row[column]:.6g}" for column in columns]
            writer.writerow([row[self.unit], row["prediction"], *numbers])
        return text.getvalue()


@dataclass(frozen=True, eq=False)
class _Graph:
    """Raw features and edges as they came; `graphs` is B where it is known."""

    x: Tensor
    edge_index: Tensor
    graph_ids: Tensor | None
    graphs: int | None


def predict(
    folder: Path,
    *,
    input: Path | None = None,  # noqa: A002  named as the option of the command
    dataset: Plugin | None = None,
    data_root: Path,
    exporter: str | None = None,
) -> Predictions:
    """Run a bundle on a graph.

    The bundle prepares features and edges itself; where it was exported to be given both directions
    of each edge, the missing ones are added here. Where edges were
    pruned with the network, what is left of them is used for the graph that they were pruned of,
    and for any other graph all its edges; `note` says which.

    Args:
        folder: of the bundle.
        input: an `.npz` file with `x` [N, F], `edge_index` [2, E] and, for a graph task,
            `graph_ids` [N]; other arrays (labels, masks) are ignored.
        dataset: a dataset by name, in place of `input`; its `normalize` and `undirected` are not
            used, since the bundle has its own.
        data_root: where raw datasets lie.
        exporter: see `load_bundle`.

    Raises:
        UsageError: neither or both inputs, a bundle or a graph that cannot be read, or a graph that
            breaks the bundle's contract.
    """
    bundle = load_bundle(folder, exporter)
    if input is not None and dataset is None:
        graph = _of_file(input)
    elif dataset is not None and input is None:
        graph = _of_dataset(bundle, dataset, data_root)
    else:
        raise PredictionError("expected either a dataset or an input file, and not both")
    contract = bundle.manifest.contract
    edge_index = graph.edge_index
    if contract.edges == "both_directions":
        edge_index = to_undirected(edge_index, num_nodes=graph.x.size(0))
    given, edge_index = edge_index, bundle.edges(edge_index, graph.x.size(0))
    graph_ids = graph.graph_ids if contract.is_graph_task else None
    probabilities = bundle.probabilities(graph.x, edge_index, graph_ids, graphs=graph.graphs)
    unit: Literal["graph", "node"] = "graph" if contract.is_graph_task else "node"
    note = _note(bundle, is_own=edge_index is not given, edges=given.size(1))
    return Predictions(unit, probabilities, contract.class_names, note)


def _note(bundle: Bundle, *, is_own: bool, edges: int) -> str:
    if bundle.graph is None:
        return ""
    if is_own:
        left = bundle.graph.edge_index.size(1)
        return f"on the {left:,} of {edges:,} edges that are left of the bundle's graph"
    return (
        f"warning: this is not the graph that the bundle's edges were pruned of: all {edges:,} "
        "edges are used, and what the bundle says of accuracy and speed does not hold here"
    )


def _of_dataset(bundle: Bundle, dataset: Plugin, data_root: Path) -> _Graph:
    raw = {"normalize": "none", "undirected": False}
    found = load(Plugin(dataset.name, {**dataset.options, **raw}), data_root)
    if found.kind != bundle.manifest.contract.kind:
        raise PredictionError(
            f"the bundle {bundle.folder} is for {bundle.manifest.contract.kind}, the dataset "
            f"{found.name} for {found.kind}"
        )
    graphs = None if found.graph_ids is None else found.y.numel()
    return _Graph(found.x, found.edge_index, found.graph_ids, graphs)


def _of_file(path: Path) -> _Graph:
    x, edge_index, graph_ids = read_graph(path)
    return _Graph(x, edge_index, graph_ids, None)
