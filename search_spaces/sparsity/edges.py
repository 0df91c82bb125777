"""Which edges of a graph are left: a ticket of one graph, or a rule for graphs not seen before.

Both take memory for each edge, never for each pair of nodes. Both directions of an undirected edge
are one; self-loops stay, those of the graph and those that operators add. What is not left is no
edge any more when operators see the graph, so degrees are those of what is left.

While it is learned which edges matter, messages are multiplied by a weight of their edge, which
begins at 1 and is trained like any other; operators normalize by the edges as they are then.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from search_spaces.errors import SpaceError

# Added to weights of edges that begin alike, so that there is an order.
_NOISE = 1e-5
_HASH = 0x9E3779B97F4A7C15 - 2**64


class Edges(nn.Module):
    """Maps the edges [2, E] of a graph to those that are left, and their weights [e] if any."""

    def choose(
        self, x: Tensor, edge_index: Tensor, graph_ids: Tensor | None = None, graphs: int = 1
    ) -> tuple[Tensor, Tensor | None]:
        """The edges that operators see, in their order; what their messages are multiplied by."""
        raise NotImplementedError

    def forward(self, edge_index: Tensor) -> Tensor:
        """What `choose` has left, as it is: called with it, so that its costs can be told."""
        return edge_index

    def edges_kept(self, in_degrees: Tensor) -> int:
        """How many directed edges are left of a graph, as if it had both directions and no loops.

        What is left of a graph that is at hand `EdgeCounts` tells.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class EdgeCounts:
    """Of one graph, what there is to choose from.

    Attributes:
        edges: directed, all.
        pairs: of different nodes with an edge between them, whatever its direction.
        loops: edges from a node to itself, which stay.
    """

    edges: int
    pairs: int
    loops: int

    @classmethod
    def of(cls, edge_index: Tensor) -> "EdgeCounts":
        """Of edges [2, E]."""
        loops = int((edge_index[0] == edge_index[1]).sum())
        first = first_directions(edge_index)
        pairs = int((first == torch.arange(first.numel(), device=first.device)).sum())
        return cls(edge_index.size(1), pairs, loops)

    def kept(self, edges: Edges) -> int:
        """How many directed edges are left of it.

        Where some pairs have more edges than others, so many as on average: who is left is not
        known before it is chosen.
        """
        others = self.edges - self.loops
        if not self.pairs or not isinstance(edges, Share | Scored):
            return self.edges
        if isinstance(edges, Scored):
            return self.loops + min(others, 2 * round(edges.density * others / 2))
        pairs = max(1, round(edges.density * self.pairs))
        return self.loops + round(pairs * others / self.pairs)


class Share(Edges):
    """A share of any graph, of which is known how many it are and not which: it leaves all."""

    def __init__(self, density: float) -> None:
        super().__init__()
        self.density = density

    def choose(
        self, x: Tensor, edge_index: Tensor, graph_ids: Tensor | None = None, graphs: int = 1
    ) -> tuple[Tensor, Tensor | None]:
        del x, graph_ids, graphs
        return edge_index, None

    def edges_kept(self, in_degrees: Tensor) -> int:
        return round(self.density * int(in_degrees.sum()) / 2) * 2


class Ticket(Share):
    """Of one graph, which it is shown, and of that alone.

    Any other graph keeps all its edges.

    Args:
        edges: of the graph, E.
        density: of its undirected edges, in the end.

    Attributes:
        weights: [E], of messages; what counts is the first of the two directions.
        mask: [E], which edges are left, of those that `eligible` says.
        graph: [], a number that tells the graph from others; 0 before it was seen.
        is_soft: [], whether messages are weighted and nothing is taken out.
    """

    weights: Tensor
    mask: Tensor
    graph: Tensor
    is_soft: Tensor
    first: Tensor | None

    def __init__(self, edges: int, density: float) -> None:
        super().__init__(density)
        self.weights = nn.Parameter(1 + _NOISE * torch.randn(edges))
        self.register_buffer("mask", torch.ones(edges, dtype=torch.bool))
        self.register_buffer("graph", torch.zeros((), dtype=torch.int64))
        self.register_buffer("is_soft", torch.zeros((), dtype=torch.bool))
        # [E], where the first direction of each edge is, -1 of self-loops; of the graph above.
        self.first = None

    @property
    def eligible(self) -> Tensor:
        """[E], the first direction of each edge but self-loops; all, before a graph was seen."""
        if self.first is None:
            return torch.ones_like(self.mask)
        return self.first == torch.arange(self.first.numel(), device=self.first.device)

    def choose(
        self, x: Tensor, edge_index: Tensor, graph_ids: Tensor | None = None, graphs: int = 1
    ) -> tuple[Tensor, Tensor | None]:
        del x, graph_ids, graphs
        if not self._is_of(edge_index) or self.first is None:
            return edge_index, None
        is_loop = self.first < 0
        if self.is_soft:
            # What is not left has the weight 0, and stays where it is: its gradient is asked for.
            return edge_index, torch.where(is_loop, 1.0, self.weights[self.first.clamp(min=0)])
        return edge_index[:, self.mask[self.first.clamp(min=0)] | is_loop], None

    def kept(self, edge_index: Tensor) -> Tensor:
        """[2, e], the edges that are left of its graph; all of another one."""
        return self.choose(edge_index, edge_index)[0]

    @staticmethod
    def spared(edge_index: Tensor) -> Tensor:
        """Scores [E] by which edges are left by chance, without one being drawn twice:

            log(u) d^2,  u uniform in (0, 1),  d the lesser number of neighbors of the two ends

        Those with the highest are a sample with weights 1 / d^2 (Pavlos Efraimidis, Paul Spirakis:
        Weighted random sampling with a reservoir, 2006). Edges of effective resistance are kept so,
        which 1/d bounds (Daniel Spielman, Nikhil Srivastava: Graph Sparsification by Effective
        Resistances, 2011); there by 1/d.
        """
        edges = edge_index[:, edge_index[0] != edge_index[1]]
        nodes = int(edge_index.max()) + 1 if edge_index.numel() else 0
        degrees = torch.bincount(edges[1], minlength=nodes).clamp(min=1)
        lesser = torch.minimum(degrees[edge_index[0]], degrees[edge_index[1]])
        return torch.rand(edge_index.size(1)).clamp(min=1e-12).log() * lesser**2

    def see(self, edge_index: Tensor) -> None:
        """Be of this graph, from the first time on.

        Raises:
            SpaceError: it has another number of edges than was said.
        """
        if edge_index.size(1) != self.mask.numel():
            raise SpaceError(
                f"edge_density: expected a graph of {self.mask.numel():,} edges, got "
                f"{edge_index.size(1):,}: a ticket is of the graph that it was made for"
            )
        if not bool(self.graph):
            self.graph.fill_(_number(edge_index))
        self._is_of(edge_index)

    def _is_of(self, edge_index: Tensor) -> bool:
        if edge_index.is_meta or edge_index.size(1) != self.mask.numel():
            return False
        if int(self.graph) != _number(edge_index):
            return False
        if self.first is None:
            self.first = first_directions(edge_index)
        return True


class Scored(Edges):
    """By the features of both ends: a rule that holds for graphs that were not seen.

        score(i, j) = a . relu(W x_i + W x_j + b)

    Of each graph the edges with the highest scores are left; the gradient of the scores is that of
    weights sigmoid(score) of the messages. Yongduo Sui, Xiang Wang, Tianlong Chen, Xiangnan He,
    Tat-Seng Chua: Inductive Lottery Ticket Learning for Graph Neural Networks (2021); there ends
    are told apart, and weights stay.

    Args:
        features: F.
        density: of the edges of each graph, both directions with each other.
        hidden: channels of the scorer.
    """

    def __init__(self, features: int, density: float, hidden: int = 16) -> None:
        super().__init__()
        self.density = density
        self.ends = nn.Linear(features, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)

    def choose(
        self, x: Tensor, edge_index: Tensor, graph_ids: Tensor | None = None, graphs: int = 1
    ) -> tuple[Tensor, Tensor | None]:
        ends = self.ends(x)
        scores = self.score((ends[edge_index[0]] + ends[edge_index[1]]).relu()).squeeze(-1)
        if graph_ids is None:
            graph, count = torch.zeros_like(edge_index[0]), 1
        else:
            graph, count = graph_ids[edge_index[0]], graphs
        kept = highest(scores.detach(), edge_index, graph, (x.size(0), count), self.density)
        chosen = edge_index.index_select(1, kept)
        if not self.training:
            return chosen, None
        soft = scores.index_select(0, kept).sigmoid()
        # 1 exactly, with the gradient of `soft`.
        return chosen, 1 + (soft - soft.detach())

    def edges_kept(self, in_degrees: Tensor) -> int:
        return round(self.density * int(in_degrees.sum()))


def highest(
    scores: Tensor, edge_index: Tensor, graph: Tensor, sizes: tuple[int, int], density: float
) -> Tensor:
    """Which edges are left, ascending [e]: of each graph those with the highest scores.

    Self-loops stay besides. All edges between the same two nodes have the score of the first of
    them, and of equal scores those between the smaller nodes come first, so that both directions
    are left or neither.

    Args:
        scores: [E].
        edge_index: [2, E].
        graph: [E], of which graph each is.
        sizes: how many nodes there are, and how many graphs.
        density: share of the edges of each graph.
    """
    nodes, graphs = sizes
    counted = (edge_index[0] != edge_index[1]).to(torch.int64)
    pairs, order = torch.sort(edge_index.amin(0) * nodes + edge_index.amax(0), stable=True)
    # Products of equal rows may differ in their last bits.
    tied = scores.scatter(0, order, scores[order][torch.searchsorted(pairs, pairs)])
    for key in (-tied, 1 - counted, graph):  # the last one counts most
        order = order[torch.argsort(key[order], stable=True)]
    none = torch.zeros(graphs, dtype=torch.int64, device=scores.device)
    all_, own = none.scatter_add(0, graph, torch.ones_like(counted)), graph[order]
    rank = torch.arange(scores.size(0), device=scores.device) - (all_.cumsum(0) - all_)[own]
    wanted = 2 * (density * none.scatter_add(0, graph, counted) / 2).round()
    kept = (rank < wanted[own]) | (counted[order] == 0)
    return order[kept].sort().values


def first_directions(edge_index: Tensor) -> Tensor:
    """[E], of each edge where it, or the same between these nodes, occurs first; -1 of self-loops.

    In E log E steps.
    """
    low, high = edge_index.amin(0), edge_index.amax(0)
    # One number a pair; nodes are fewer than 2^31.
    pair = low * (int(edge_index.max()) + 1 if edge_index.numel() else 1) + high
    _, inverse = torch.unique(pair, return_inverse=True)
    first = torch.full((int(inverse.max()) + 1 if inverse.numel() else 0,), pair.numel())
    place = torch.arange(pair.numel())
    first.scatter_reduce_(0, inverse, place, "amin")
    return torch.where(low == high, -1, first[inverse])


def _number(edge_index: Tensor) -> int:
    """Of a graph's edges in their order; not 0."""
    place = torch.arange(edge_index.size(1), device=edge_index.device)
    mixed = (edge_index[0] * 31 + edge_index[1] * 17 + place) * _HASH
    mixed = mixed ^ (mixed >> 29)
    return int((mixed * 0x2545F4914F6CDD1D).sum()) or 1


@contextmanager
def weighted(network: nn.Module, edge_index: Tensor, weights: Tensor | None) -> Iterator[None]:
    """Have the messages of all message passing within multiplied by weights of their edges.

    Args:
        edge_index: [2, E], as operators are given it; self-loops that they add count 1.
        weights: [E]; None leaves all as it is.
    """
    if weights is None:
        yield
        return
    given = weights
    present: dict[nn.Module, Tensor] = {}

    def propagates(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        present[module] = _along(inputs[0], edge_index, given)

    def sent(module: Any, _: tuple[Any, ...], messages: Tensor) -> Tensor:
        dim = module.node_dim % messages.dim()
        shape = [-1 if i == dim else 1 for i in range(messages.dim())]
        return messages * present[module].view(shape)

    handles = []
    for module in network.modules():
        if isinstance(module, MessagePassing):
            handles.append(module.register_propagate_forward_pre_hook(propagates))
            handles.append(module.register_message_forward_hook(sent))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _along(seen: Tensor, edge_index: Tensor, weights: Tensor) -> Tensor:
    """The weights of edges that an operator has made of the graph's: 1 of self-loops."""
    edges, more = edge_index.size(1), seen.size(1) - edge_index.size(1)
    if more >= 0 and torch.equal(seen[:, :edges], edge_index):
        return torch.cat([weights, weights.new_ones(more)]) if more else weights
    # Self-loops of the graph have been moved: what is none is in its order.
    is_loop, was_loop = seen[0] == seen[1], edge_index[0] == edge_index[1]
    found = weights.new_ones(seen.size(1))
    return found.masked_scatter(~is_loop, weights[~was_loop])
