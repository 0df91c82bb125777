"""A space whose sparse networks have given counts left, chosen by chance: what to compare with.

A network that was searched for is worth what it has more than one with exactly as many weights in
each tensor, and as many edges, that was not (Hamed Farahani and others, "Random search as a
baseline for sparse neural network architecture search", 2024).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn

from search_spaces.architecture import Architecture
from search_spaces.extension import Transform
from search_spaces.frozen import FrozenMapping
from search_spaces.space import SearchSpace
from search_spaces.sparsity.edges import Scored, Ticket, first_directions
from search_spaces.sparsity.groups import Group
from search_spaces.sparsity.network import Sparse
from search_spaces.sparsity.planning import Plan
from search_spaces.sparsity.pruning import prunable
from search_spaces.task import Task

# Joined to the name of a space.
NAME = "counted"
# Under which edges are counted, both directions as one, self-loops left out.
EDGES = "edges"


@dataclass(frozen=True)
class CountedPlan(Plan):
    """A plan by the method `counted`.

    Attributes:
        counts: entries that are left, by tensor; of edges, both directions as one.
    """

    counts: Mapping[str, int] = field(default_factory=FrozenMapping)


@dataclass(frozen=True)
class Left:
    """What is left of a sparse network.

    Attributes:
        counts: of each tensor with a mask; of `edges`; of each source of units, or of layers.
        weights: entries of all weight matrices.
        edges: directed ones that operators see, the graph's self-loops included.
    """

    counts: Mapping[str, int]
    weights: int
    edges: int


def counted(space: SearchSpace, counts: Mapping[str, int]) -> SearchSpace:
    """The space, whose sparse networks keep so many entries, by chance.

    Structures are drawn, too; how many units, heads or layers are left follows from the choices.
    A rule for edges becomes a ticket of the study's graph: a random rule would be no chance.

    Args:
        space: with the extension `sparsity`.
        counts: of each tensor that has a mask, by its name.
    """
    # It has to be the last, so nothing extends it.
    *others, sparsity = space.extensions
    transform = partial(_counted, FrozenMapping(counts), sparsity.transform)
    extensions = (*others, replace(sparsity, transform=transform))
    return replace(space, name=f"{space.name}+{NAME}", extensions=extensions)


def _counted(
    counts: Mapping[str, int],
    sparse: Transform,
    network: nn.Module,
    architecture: Architecture,
    task: Task,
) -> nn.Module:
    network = sparse(network, architecture, task)
    if isinstance(network, Sparse):
        known = {**vars(network.plan), "method": NAME, "edge_mode": "ticket"}
        network.plan = CountedPlan(**known, counts=counts)
        if isinstance(network.sparsity.edges, Scored):
            network.sparsity.edges = Ticket(task.n_edges, network.plan.edge_density)
    return network


def left(network: nn.Module, x: Tensor, edge_index: Tensor) -> Left:
    """What is left of a network, dense ones included.

    Args:
        network: trained.
        x: [N, F], features.
        edge_index: [2, E], the graph that it was trained on.
    """
    if not isinstance(network, Sparse):
        return Left({}, _weights(network), edge_index.size(1))
    network.eval()
    edges, seen = network.sparsity.edges, edge_index
    counts = {name: kept.numel() for name, kept in network.sparsity.kept.named_buffers()}
    if edges is not None:
        seen = edges.choose(x, edges(edge_index))[0]
        counts[EDGES] = _pairs(seen)
    masked = [group for group in network.groups() if EDGES not in group.masks]
    counts |= _counts(masked)
    weights = sum(_counts(masked).values()) if masked else _weights(network)
    return Left(FrozenMapping(counts), weights, seen.size(1))


def _counts(groups: list[Group]) -> dict[str, int]:
    return {name: count for group in groups for name, count in group.left().items()}


def _pairs(edge_index: Tensor) -> int:
    """Edges, both directions as one, self-loops left out."""
    first = first_directions(edge_index)
    return int((first == torch.arange(first.numel(), device=first.device)).sum())


def _weights(network: nn.Module) -> int:
    return sum(weight.numel() for _, weight in prunable(network))
