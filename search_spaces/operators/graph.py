"""The 1-dimensional k-GNN: a sum over the neighbors and the node itself, each with its own weights.

    x'_i = V x_i + W sum over j in N(i) of x_j + b

Christopher Morris, Martin Ritzert, Matthias Fey, William L. Hamilton, Jan Eric Lenssen, Gaurav
Rattan, Martin Grohe: Weisfeiler and Leman Go Neural: Higher-order Graph Neural Networks (2019).

Limits: sums grow with the degree; normalization helps on graphs with hubs. With equal aggregation
`sage` is the same function: a space with both has two architectures for one network.
"""

from collections.abc import Mapping
from typing import Literal

from torch import nn
from torch_geometric.nn import GraphConv

from search_spaces.decision import Choice

# The map of what neighbors send, which operators may share in a supernet.
TRANSFORM = "lin_rel.weight"
CHOICES: Mapping[str, tuple[Choice, ...]] = {"aggregation": ("mean", "max", "sum")}


def build(
    in_features: int, out_features: int, *, aggregation: Literal["mean", "max", "sum"] = "sum"
) -> nn.Module:
    """[N, in_features], [2, E] -> [N, out_features]."""
    layer: nn.Module = GraphConv(in_features, out_features, aggr=aggregation)
    return layer
