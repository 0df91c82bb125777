"""Degree-Quant: nodes with many neighbors are often spared rounding while a network is trained.

Shyam Tailor, Javier Fernandez-Marques, Nicholas Lane: Degree-Quant: Quantization-Aware Training for
Graph Neural Networks (2021). Their sums have the largest errors, and gradients by rounded sums
mislead. In each pass of training a node is protected with the probability

    p = low + (high - low) * (share of nodes with no more neighbors than it)

and then nothing of its row is rounded, nor the messages to it. Ranges of activations are those of
the other nodes. In evaluation all are rounded.

Our reading, where the paper leaves open or its code does otherwise: messages are protected by who
receives them, since it is their sum that has the error (the paper's code goes by who sends); each
layer draws for itself; and perceptrons, which sum over no neighbors, round all nodes.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from search_spaces.quantization.layers import activation_quantizers, given_class
from search_spaces.quantization.mixins import Quantized
from search_spaces.quantization.quantizers import Shield


class Protecting(Quantized):
    """Message passing that protects nodes in training.

    Attributes:
        shield: what the quantizers within look at.
        protect_low, protect_high: the probabilities of the nodes with least and most neighbors.
    """

    shield: Shield
    protect_low: float
    protect_high: float

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        if self.training:
            p = probabilities(edge_index[1], x.size(0), self.protect_low, self.protect_high)
            self.shield.protected = torch.rand_like(p) < p
        try:
            out: Tensor = super().forward(x, edge_index)
        finally:
            self.shield.protected = None
        return out


def probabilities(targets: Tensor, nodes: int, low: float, high: float) -> Tensor:
    """[nodes], of each to be protected, by the targets [E] of its edges; equal degrees, equal p."""
    degrees = torch.bincount(targets, minlength=nodes)
    share = torch.bincount(degrees).cumsum(0) / nodes
    return low + (high - low) * share[degrees]


def protect(network: nn.Module, low: float, high: float) -> nn.Module:
    """Protect nodes in training; the network, with quantizers in it, is changed, and returned."""
    for module in network.modules():
        if isinstance(module, MessagePassing):
            protecting: Any = module
            protecting.shield = Shield()
            protecting.protect_low, protecting.protect_high = low, high
            for _, quantizer in activation_quantizers(module):
                quantizer.shield = protecting.shield
            given_class(module, Protecting)
    return network
