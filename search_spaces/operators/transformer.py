"""Transformer attention over neighbors: scaled dot products of queries and keys, plus the node.

    a_ij = softmax over j of (Q x_i) . (K x_j) / sqrt(width of a head)
    x'_i = R x_i + sum over j of a_ij V x_j,    each map with a bias

Yunsheng Shi, Zhengjie Huang, Shikun Feng, Hui Zhong, Wenjing Wang, Yu Sun: Masked Label Prediction:
Unified Message Passing Model for Semi-Supervised Classification (2021).

Limits: four weight matrices; attends to neighbors only, not to the whole graph; no edge features.
"""

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge
from torch import nn
from torch_geometric.nn import TransformerConv

from search_spaces.decision import Choice
from search_spaces.operators._heads import width_per_head

# The map of what neighbors send, which operators may share in a supernet.
TRANSFORM = "lin_value.weight"
# Whether coefficients weigh the neighbors, which may have a precision of their own.
ATTENTION = True
CHOICES: Mapping[str, tuple[Choice, ...]] = {"heads": (1, 2, 4, 8)}


def build(in_features: int, out_features: int, *, heads: Annotated[int, Ge(1)] = 1) -> nn.Module:
    """[N, in_features], [2, E] -> [N, out_features], the heads side by side.

    Raises:
        SpaceError: `out_features` is not divisible by `heads`.
    """
    per_head = width_per_head("transformer", out_features, heads)
    layer: nn.Module = TransformerConv(in_features, per_head, heads)
    return layer
