"""Which graphs a program and its network are compared on, and how."""

from collections.abc import Callable, Sequence

from torch import Tensor
from torch_geometric.utils import to_undirected

from evaluators.datasets._base import Dataset
from nas.export._base import Contract, Exporter, Runnable, Written
from nas.export._deployed import Deployed
from nas.export._graph import PrunedGraph
from nas.export._manifest import Parity
from nas.export._measured import sample_of
from nas.export._parity import compare
from nas.export._sample import SIZES, like_task, made_up
from search_spaces import Task

Graphs = Sequence[tuple[Tensor, ...]]


def graphs_of(
    contract: Contract, task: Task, dataset: Dataset | None, sample: tuple[Tensor, ...] | None
) -> list[tuple[Tensor, ...]]:
    """A real graph, and some of all sizes like it."""
    if sample is None and dataset is not None:
        sample = sample_of(dataset)
    if sample is not None:
        return [sample, *(made_up(contract, size, sample[0]) for size in SIZES)]
    size = like_task(task.n_features, task.n_nodes, task.n_edges, task.n_graphs)
    return [made_up(contract, each) for each in (size, *SIZES)]


def parity_of(
    program: Runnable,
    network: Callable[..., Tensor],
    contract: Contract,
    graphs: Graphs,
    written: Written,
    writer: Exporter,
) -> Parity:
    """By how much a program differs from its network, as its exporter wants it compared.

    Raises:
        ExportFailedError: by more than that allows.
    """
    if written.sample_only:
        graphs = graphs[:1]
    if written.mean_tolerance is None:
        return compare(program, network, contract, graphs, writer.tolerance)
    return compare(program, network, contract, graphs, written.mean_tolerance, in_mean=True)


def as_trained(
    network: Deployed, whole: Tensor | None, graph: PrunedGraph | None
) -> Callable[..., Tensor]:
    """The network, on edges as its dataset would have them, prepared without its program's part.

    Where it is called with what is left of its graph, it is on the whole of that: so what a ticket
    does in the network is compared with what the program makes of the graph that the ticket left.

    Args:
        whole: [2, E], the edges of its graph.
        graph: what is left of it; None for a network without a ticket.
    """

    def called(x: Tensor, edge_index: Tensor, *rest: Tensor) -> Tensor:
        if graph is not None and whole is not None and edge_index is graph.edge_index:
            edge_index = whole
        elif network.edges == "undirected":
            edge_index = to_undirected(edge_index, num_nodes=x.size(0))
        logits: Tensor = network.network(network.preprocessing(x), edge_index, *rest)
        return logits

    return called
