"""What goes into a network: the whole graph, or a batch cut out of many graphs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from evaluators._dropout import SparseConstant
from evaluators.datasets._base import Dataset, load_sealed
from evaluators.engine.graph import Graph
from evaluators.values import Artifact


@dataclass(frozen=True, eq=False)
class Batch:
    """One call of the network.

    Attributes:
        inputs: its arguments: `(x, edge_index)` or `(x, edge_index, graph_ids, graphs)`.
        rows: which rows of its output count, or None for all.
        y: [rows] their labels.
        shape: of the output.
        units: [rows] which nodes or graphs of the dataset they are.
    """

    inputs: tuple[Tensor, ...]
    rows: Tensor | None
    y: Tensor
    shape: tuple[int, int]
    units: Tensor

    def select(self, logits: Tensor) -> Tensor:
        return logits if self.rows is None else logits[self.rows]


class Batches:
    """Cuts batches of units (nodes or graphs) out of a dataset; indexes its graphs once."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._graphs: dict[tuple[torch.dtype, torch.device], Graph] = {}
        if dataset.graph_ids is not None:
            self._index_graphs(dataset.graph_ids)

    def _index_graphs(self, graph_ids: Tensor) -> None:
        edge_index = self.dataset.edge_index
        graph_of_edge = graph_ids[edge_index[0]]
        if bool((graph_of_edge.diff() < 0).any()):
            graph_of_edge, order = graph_of_edge.sort(stable=True)
            edge_index = edge_index[:, order]
        bounds = torch.arange(self.dataset.y.numel() + 1)
        self._edge_index = edge_index
        self._nodes = torch.searchsorted(graph_ids, bounds)
        self._edges = torch.searchsorted(graph_of_edge, bounds)

    @property
    def by_graph(self) -> bool:
        return self.dataset.graph_ids is not None

    @cached_property
    def sparse_features(self) -> SparseConstant | None:
        """What a network is called with every time, where that is so and it is sparse."""
        return None if self.by_graph else SparseConstant.of(self.dataset.x)

    def graph(self, dtype: torch.dtype, device: torch.device) -> Graph:
        """The graph of a node task as the engine has it, kept."""
        if (dtype, device) not in self._graphs:
            self._graphs[dtype, device] = Graph(self.dataset, dtype, device)
        return self._graphs[dtype, device]

    @property
    def has_graph(self) -> bool:
        """Whether the engine's form is made already."""
        return bool(self._graphs)

    def of(self, units: Tensor) -> Batch:
        """The batch of the given units [U] int64; a node task's is always the whole graph."""
        dataset = self.dataset
        if not self.by_graph:
            shape = (dataset.x.size(0), dataset.n_classes)
            return Batch((dataset.x, dataset.edge_index), units, dataset.y[units], shape, units)
        node_starts, edge_starts = self._nodes[units], self._edges[units]
        nodes = self._nodes[units + 1] - node_starts
        edges = self._edges[units + 1] - edge_starts
        shift = nodes.cumsum(0) - nodes - node_starts
        edge_index = self._edge_index[:, _ranges(edge_starts, edges)]
        inputs = (
            dataset.x[_ranges(node_starts, nodes)],
            edge_index + shift.repeat_interleave(edges),
            torch.arange(units.numel()).repeat_interleave(nodes),
            torch.zeros(units.numel(), dtype=torch.int64),
        )
        shape = (units.numel(), dataset.n_classes)
        return Batch(inputs, None, dataset.y[units], shape, units)

    def split(self, units: Tensor, batch_size: int) -> Sequence[Batch]:
        """The units in order in batches of nearly equal size, none over `batch_size`.

        Nearly equal, so that no batch is left with a single graph, which batch normalization
        cannot train on. A node task has one batch.
        """
        if not self.by_graph:
            return [self.of(units)]
        pieces = max(1, -(-units.numel() // batch_size))
        return [self.of(piece) for piece in units.tensor_split(pieces)]


def _ranges(starts: Tensor, counts: Tensor) -> Tensor:
    """Concatenated `arange(start, start + count)`."""
    before = counts.cumsum(0) - counts
    return torch.arange(int(counts.sum())) + (starts - before).repeat_interleave(counts)


@lru_cache(maxsize=4)
def batches_of(artifact: Artifact) -> Batches:
    """The sealed dataset of an artifact, kept by this process."""
    return Batches(load_sealed(artifact))
