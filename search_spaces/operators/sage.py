"""GraphSAGE: an aggregate of the neighbors and the node itself, each with its own weights.

    x'_i = W aggregate(x_j for j in N(i)) + V x_i + b

William L. Hamilton, Rex Ying, Jure Leskovec: Inductive Representation Learning on Large Graphs
(2017).

Limits: without the paper's sampling of neighbors and l2 normalization; a node with no neighbors
aggregates 0. With equal aggregation `graph` is the same function on a graph without edge weights: a
space with both has two architectures for one network.
"""

from collections.abc import Mapping
from typing import Literal

from torch import nn
from torch_geometric.nn import SAGEConv

from search_spaces.decision import Choice

# The map of what neighbors send, which operators may share in a supernet.
TRANSFORM = "lin_l.weight"
CHOICES: Mapping[str, tuple[Choice, ...]] = {"aggregation": ("mean", "max", "sum")}


def build(
    in_features: int, out_features: int, *, aggregation: Literal["mean", "max", "sum"] = "mean"
) -> nn.Module:
    """[N, in_features], [2, E] -> [N, out_features]."""
    layer: nn.Module = SAGEConv(in_features, out_features, aggr=aggregation)
    return layer
