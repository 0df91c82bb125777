"""The graph that a network with an edge ticket was found on, without the edges that are gone.

A ticket says of each edge of one graph whether it is left, so it is worth nothing on another one.
It leaves with its graph, `graph.safetensors`: `edge_index` [2, e], int64. Of the graph as it was
before there is a digest, by which it is known again whatever the order of its edges.
"""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from evaluators.datasets._base import Dataset
from evaluators.facts import facts
from nas.export._base import BundleError, ExportError
from nas.export._manifest import GRAPH, GraphEntry
from search_spaces.sparsity.edges import Ticket

if TYPE_CHECKING:
    from nas.candidate import Candidate

_EDGES = "edge_index"
# Facts in which the edges count.
OF_EDGES = ("macs", "bit_operations", "peak_memory_bytes", "buffer_bytes")


@dataclass(frozen=True, eq=False)
class PrunedGraph:
    """What is left of a graph.

    Attributes:
        edge_index: [2, e] int64, the edges that are left; to be given to the program with the
            features of this very graph.
        n_nodes: of the graph.
        edges_before: how many edges it had.
        digest: of those, see `digest_of`.
    """

    edge_index: Tensor = field(repr=False)
    n_nodes: int
    edges_before: int
    digest: str

    def is_of(self, edge_index: Tensor, n_nodes: int) -> bool:
        """Whether a graph [2, E] is the one that edges were taken from, in any order of them."""
        same = edge_index.size(1) == self.edges_before and n_nodes == self.n_nodes
        return same and digest_of(edge_index, n_nodes) == self.digest

    @property
    def note(self) -> str:
        """What is said of it to whoever deploys the network."""
        return (
            f"Edges were pruned with it: {self.edge_index.size(1):,} of {self.edges_before:,} are "
            f"left, in {GRAPH}. What was measured of it, and how fast it is, holds for that graph "
            "alone; another graph keeps all its edges."
        )

    @property
    def entry(self) -> GraphEntry:
        """What the manifest says of it."""
        return GraphEntry(
            file=GRAPH,
            n_nodes=self.n_nodes,
            edges=self.edge_index.size(1),
            edges_before=self.edges_before,
            digest_before=self.digest,
        )

    def write(self, folder: Path) -> Path:
        """Into a bundle."""
        path = folder / GRAPH
        path.write_bytes(save({_EDGES: self.edge_index.contiguous()}))
        return path


def digest_of(edge_index: Tensor, n_nodes: int) -> str:
    """SHA-256 of N as text and a line break, then of source * N + target of each edge, ascending.

    Args:
        edge_index: [2, E]; the numbers are int64, little endian.
        n_nodes: N.
    """
    places = (edge_index[0] * n_nodes + edge_index[1]).sort().values
    content = places.cpu().numpy().astype("<i8").tobytes()
    return hashlib.sha256(f"{n_nodes}\n".encode() + content).hexdigest()


def graph_left(network: nn.Module, dataset: Dataset | None) -> PrunedGraph | None:
    """What the ticket of a network leaves of its graph; None for a network without one.

    Raises:
        ExportError: its graph is not given, or is another one.
    """
    tickets = [module for module in network.modules() if isinstance(module, Ticket)]
    if not tickets:
        return None
    if dataset is None:
        raise ExportError(
            "the network has a ticket, edges of the graph that it was trained on, and would be "
            "another one without that graph; give dataset"
        )
    whole, n_nodes = dataset.edge_index, dataset.x.size(0)
    kept = tickets[0].kept(whole)
    if kept is whole:
        raise ExportError(
            f"the network's ticket is of another graph than that of {dataset.name}, with "
            f"{whole.size(1)} edges; give the dataset that it was trained on"
        )
    return PrunedGraph(kept.clone(), n_nodes, whole.size(1), digest_of(whole, n_nodes))


def facts_left(chosen: "Candidate", network: nn.Module) -> dict[str, float]:
    """Facts of a trained network on exactly the edges that its ticket has left; {} without one.

    Before it was trained they could only be told of as many edges as are left on average.
    """
    graph = graph_left(network, chosen.dataset)
    if graph is None:
        return {}
    nodes, left = graph.n_nodes, graph.edge_index
    in_degrees = torch.bincount(left[1], minlength=nodes)
    counted = facts(
        chosen.space, chosen.architecture, chosen.task, in_degrees, kept=lambda _: left.size(1)
    )
    return {name: counted[name] for name in OF_EDGES if name in chosen.metrics}


def with_graph(dataset: Dataset, graph: PrunedGraph) -> Dataset:
    """A dataset with the edges that are left."""
    return replace(dataset, edge_index=graph.edge_index, matrices={})


def read_graph(folder: Path, entry: GraphEntry) -> PrunedGraph:
    """The graph of a bundle, whose file has been compared with its hash.

    Raises:
        BundleError: it cannot be read, or is not what the manifest says.
    """
    path = folder / entry.file
    try:
        edge_index = load(path.read_bytes())[_EDGES]
    except (OSError, SafetensorError, LookupError, ValueError, RuntimeError, TypeError) as error:
        raise BundleError(f"{path} cannot be read ({error}); export the network again") from error
    shape = (2, entry.edges)
    is_one = edge_index.dtype == torch.int64 and tuple(edge_index.shape) == shape
    # One after the other: only integers are compared with others.
    if not is_one or not bool(((edge_index >= 0) & (edge_index < entry.n_nodes)).all()):
        raise BundleError(
            f"{path}: expected edge_index, int64 {list(shape)}, of {entry.n_nodes} nodes, got "
            f"{edge_index.dtype} {list(edge_index.shape)}; export the network again"
        )
    return PrunedGraph(edge_index, entry.n_nodes, entry.edges_before, entry.digest_before)
