"""A sampled neighborhood: each node hears at most so many neighbors, always the same ones.

Of the edges into a node those that come first in a fixed pseudo-random order are kept, by which
multiples of the golden ratio are sorted (Knuth, The Art of Computer Programming, volume 3, 6.4). It
is made from the distance between the numbers of an edge's nodes, so that a graph is treated alike
alone and beside others, in training and after it. Hamilton, Ying and Leskovec, "Inductive
representation learning on large graphs", 2017, draw other neighbors in each step.

Limits: with other numbers for its nodes a graph keeps other edges. `macs` are exact for the graph
of a node task (the choice itself, a sort, counts nothing); latency is predicted as of all edges.
"""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from search_spaces.architecture import Architecture
from search_spaces.decision import Choices, Decision
from search_spaces.extension import SpaceExtension
from search_spaces.space import SearchSpace
from search_spaces.task import Task

ALL = 0
# 2^32 over the golden ratio, and the bits of a place in the order.
_GOLDEN, _BITS = 2_654_435_769, 31


class Neighborhood(nn.Module):
    """[2, E] -> [2, E'], of which at most `most` lead into each node, in the order of the edges."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, edge_index: Tensor) -> Tensor:
        source, target = edge_index[0], edge_index[1]
        place = ((source - target) * _GOLDEN) & ((1 << _BITS) - 1)
        keys, order = torch.sort((target << _BITS) + place, stable=True)
        of = keys >> _BITS
        # Where the edges into the same node begin.
        rank = torch.arange(of.size(0), device=of.device) - torch.searchsorted(of, of)
        kept = torch.zeros_like(of, dtype=torch.bool).scatter(0, order, rank < self.most)
        return edge_index[:, kept]

    def edges_kept(self, in_degrees: Tensor) -> int:
        """Of a graph whose nodes have so many edges into them."""
        return int(in_degrees.clamp(max=self.most).sum())


class Sampled(nn.Module):
    """A network that sees what its neighborhood leaves of the edges."""

    def __init__(self, network: nn.Module, most: int) -> None:
        super().__init__()
        self.network, self.neighborhood = network, Neighborhood(most)

    def forward(self, x: Tensor, edge_index: Tensor, *graphs: Tensor) -> Tensor:
        scores: Tensor = self.network(x, self.neighborhood(edge_index), *graphs)
        return scores


def sampled(network: nn.Module, architecture: Architecture, task: Task) -> nn.Module:
    """The network behind its neighborhood, unless it sees all."""
    del task
    most = int(architecture.choices["neighbors"])
    return network if most == ALL else Sampled(network, most)


def build(
    space: SearchSpace, task: Task, *, neighbors: Choices[Annotated[int, Ge(0)]] = (5, 10, 25, ALL)
) -> SpaceExtension:
    """Make the extension.

    Args:
        space: any.
        task: any.
        neighbors: the most edges into a node that are kept; 0 keeps all.
    """
    del space, task
    return SpaceExtension("neighborhood", (Decision("neighbors", tuple(neighbors)),), sampled)
