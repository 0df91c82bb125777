"""ARMA filter: one recursion of a graph convolution with a skip from the node's own features.

    x' = D^-1/2 A D^-1/2 x W + x V + b

Filippo Maria Bianchi, Daniele Grattarola, Lorenzo Livi, Cesare Alippi: Graph Neural Networks with
Convolutional ARMA Filters (2021).

Limits: one stack with one recursion; the nonlinearity of the paper is the layer's activation.
"""

from torch import nn
from torch_geometric.nn import ARMAConv


def build(in_features: int, out_features: int) -> nn.Module:
    """[N, in_features], [2, E] -> [N, out_features]."""
    layer: nn.Module = ARMAConv(in_features, out_features, act=None)
    # The weights of further recursions: with one they are never read, yet counted as parameters.
    layer.register_parameter("weight", None)
    return layer
