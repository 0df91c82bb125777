"""Degree-Quant: nodes with many neighbors are often spared rounding while a network is trained.

Shyam Tailor, Javier Fernandez-Marques, Nicholas Lane: Degree-Quant: Quantization-Aware Training for
Graph Neural Networks (2021). Their sums have the largest errors, and gradients by rounded sums
mislead. In each pass of training a node is protected with the probability

    p = low + (high - low) * (share of nodes with no more neighbors than it)

and then nothing of its row is rounded, nor the messages to it. Ranges of activations are those of
the other nodes. In evaluation all are rounded.

Our reading: the paper protects the messages that a node sends, by its code; here they are those
that it receives, whose sum is its own.
"""

from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.quantization.layers import activation_quantizers
from search_spaces.quantization.quantizers import Shield


class Protecting(nn.Module):
    """A network whose nodes are protected, by the class that it gets.

    Attributes:
        shield: what its quantizers look at.
        protect_low, protect_high: the probabilities of the nodes with least and most neighbors.
    """

    shield: Shield
    protect_low: float
    protect_high: float

    def forward(self, x: Tensor, edge_index: Tensor, *graphs: Tensor) -> Tensor:
        if not self.training:
            scores: Tensor = super().forward(x, edge_index, *graphs)
            return scores
        p = probabilities(edge_index[1], x.size(0), self.protect_low, self.protect_high)
        self.shield.protected = torch.rand_like(p) < p
        try:
            trained: Tensor = super().forward(x, edge_index, *graphs)
        finally:
            self.shield.protected = None
        return trained


def probabilities(targets: Tensor, nodes: int, low: float, high: float) -> Tensor:
    """[nodes], of each to be protected, by the targets [E] of its edges; equal degrees, equal p."""
    degrees = torch.bincount(targets, minlength=nodes)
    share = torch.bincount(degrees).cumsum(0) / nodes
    return low + (high - low) * share[degrees]


def protect(network: nn.Module, low: float, high: float, *, of_graphs: bool) -> nn.Module:
    """Protect nodes in training; the network is changed, and returned.

    Args:
        network: with quantizers in it.
        low, high: probabilities.
        of_graphs: whether what follows a read-out (`post`, `output`) has a row for each graph.
    """
    shield = Shield()
    for path, quantizer in activation_quantizers(network):
        if not (of_graphs and path.startswith(("post.", "output."))):
            quantizer.shield = shield
    attributes: dict[str, Any] = {"__module__": __name__}
    kind = type(network)
    network.__class__ = type(f"Protecting{kind.__name__}", (Protecting, kind), attributes)
    protecting: Any = network
    protecting.shield, protecting.protect_low, protecting.protect_high = shield, low, high
    return network
