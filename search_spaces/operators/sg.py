"""Simplified graph convolution: several propagations, then one linear map.

    x' = (D^-1/2 (A + I) D^-1/2)^hops x W + b

Felix Wu, Tianyi Zhang, Amauri Holanda de Souza Jr., Christopher Fifty, Tao Yu, Kilian Q.
Weinberger: Simplifying Graph Convolutional Networks (2019).

Limits: a fixed low-pass filter. One hop is `gcn` itself, so the choices begin at two.
"""

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge
from torch import nn
from torch_geometric.nn import SGConv

from search_spaces.decision import Choice

# The map of what neighbors send, which operators may share in a supernet.
TRANSFORM = "lin.weight"
CHOICES: Mapping[str, tuple[Choice, ...]] = {"hops": (2, 4, 8)}


def build(in_features: int, out_features: int, *, hops: Annotated[int, Ge(1)] = 2) -> nn.Module:
    """[N, in_features], [2, E] -> [N, out_features]."""
    layer: nn.Module = SGConv(in_features, out_features, K=hops)
    return layer
