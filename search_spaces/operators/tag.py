"""Topology adaptive convolution: a learned polynomial of the normalized adjacency matrix.

    x' = sum over k = 0..hops of (D^-1/2 A D^-1/2)^k x W_k + b

Jian Du, Shanghang Zhang, Guanhang Wu, Jose M. F. Moura, Soummya Kar: Topology Adaptive Graph
Convolutional Networks (2017).

Limits: hops + 1 weight matrices.
"""

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge
from torch import nn
from torch_geometric.nn import TAGConv

from search_spaces.decision import Choice

# The map of what neighbors send, which operators may share in a supernet.
TRANSFORM = "lins.1.weight"
CHOICES: Mapping[str, tuple[Choice, ...]] = {"hops": (2, 4, 8)}


def build(in_features: int, out_features: int, *, hops: Annotated[int, Ge(1)] = 3) -> nn.Module:
    """[N, in_features], [2, E] -> [N, out_features]."""
    layer: nn.Module = TAGConv(in_features, out_features, K=hops)
    return layer
