"""Graphs of requests: compared with the contract, and put side by side for one forward."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.export._inputs import check_inputs
from nas.export.load import Contents
from nas.serving.limits import MOST_GRAPHS, Limits, RequestError


@dataclass(frozen=True, eq=False)
class Given:
    """A graph as it came; `edge_index` None for the bundle's own."""

    x: Tensor
    edge_index: Tensor | None = None
    graph_ids: Tensor | None = None
    graphs: int | None = None


@dataclass(frozen=True, eq=False)
class Graph:
    """Inputs that the program takes; `graphs` is how many rows of a graph task they give."""

    x: Tensor
    edge_index: Tensor
    graph_ids: Tensor | None
    graphs: int

    @property
    def n_bytes(self) -> int:
        """Of its tensors."""
        ids = 0 if self.graph_ids is None else self.graph_ids.nbytes
        return self.x.nbytes + self.edge_index.nbytes + ids

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """In the order of the program's arguments."""
        if self.graph_ids is None:
            return self.x, self.edge_index
        counted = torch.zeros(self.graphs, dtype=torch.int64)
        return self.x, self.edge_index, self.graph_ids, counted


def checked(bundle: Contents, given: Given, limits: Limits) -> Graph:
    """A graph as the program takes it.

    Raises:
        UsageError: it breaks the contract, or is larger than the limits; the message says how.
    """
    contract = bundle.manifest.contract
    if given.x.dim() != 2:
        kind, shape = str(given.x.dtype).removeprefix("torch."), list(given.x.shape)
        raise RequestError(
            422, f"the input: x must be float32 of shape [N, F], got {kind} of shape {shape}"
        )
    edge_index = _own(bundle, given.x) if given.edge_index is None else given.edge_index
    for what, size, most, option in (
        ("nodes", given.x.size(0), limits.nodes, "--max-nodes"),
        ("edges", edge_index.size(-1) if edge_index.dim() else 0, limits.edges, "--max-edges"),
        ("graphs", given.graphs or 0, MOST_GRAPHS, ""),
    ):
        if most is not None and size > most:
            remedy = f"this server was started with {option} {most}" if option else "ask in parts"
            raise RequestError(413, f"expected at most {most} {what}, got {size}; {remedy}")
    _check_graph_ids(given)
    graphs = check_inputs(contract, given.x, edge_index, given.graph_ids, given.graphs)
    if given.edge_index is not None:
        edge_index = bundle.edges(edge_index, given.x.size(0))
    return Graph(given.x, edge_index, given.graph_ids, graphs)


def _check_graph_ids(given: Given) -> None:
    """What a dataset cannot have wrong, and a request can."""
    ids = given.graph_ids
    if ids is None:
        return
    if ids.dtype != torch.int64:
        kind = str(ids.dtype).removeprefix("torch.")
        raise RequestError(422, f"the input: graph_ids must be int64 of shape [N], got {kind}")
    if given.graphs is not None and ids.numel() and int(ids.max()) >= given.graphs:
        raise RequestError(
            422,
            f"the input: graph_ids reach to {int(ids.max())}, but there are {given.graphs} graphs, "
            f"0 to {given.graphs - 1}; number them from 0, or give another number of graphs",
        )


def _own(bundle: Contents, x: Tensor) -> Tensor:
    if bundle.graph is None:
        raise RequestError(422, "edge_index is missing; this bundle has no graph of its own")
    if x.size(0) != bundle.graph.n_nodes:
        raise RequestError(
            422,
            f"without edge_index the bundle's own graph is meant, which has {bundle.graph.n_nodes} "
            f"nodes, but x has {x.size(0)} rows; give edge_index for another graph",
        )
    return bundle.graph.edge_index


def joined(graphs: Sequence[Graph]) -> Graph:
    """Graphs of a graph task side by side: their edges and numbers shifted."""
    if len(graphs) == 1:
        return graphs[0]
    edges, ids = [], []
    nodes = count = 0
    for graph in graphs:
        assert graph.graph_ids is not None, "graphs of a node task are not joined"  # noqa: S101
        edges.append(graph.edge_index + nodes)
        ids.append(graph.graph_ids + count)
        nodes += graph.x.size(0)
        count += graph.graphs
    x = torch.cat([graph.x for graph in graphs])
    return Graph(x, torch.cat(edges, dim=1), torch.cat(ids), count)


def parted(logits: Tensor, graphs: Sequence[Graph]) -> Sequence[Tensor]:
    """What the program says of joined graphs, for each of them."""
    if len(graphs) == 1:
        return [logits]
    return torch.split(logits, [graph.graphs for graph in graphs])
