"""Graph attention with dynamic scores: each node may rank its neighbors in its own order.

    a_ij = softmax over j of u . leaky_relu(V x_i + W x_j)
    x'_i = sum over j of a_ij W x_j + b

Shaked Brody, Uri Alon, Eran Yahav: How Attentive are Graph Attention Networks? (2022).

Limits: twice the weights of `gat`; memory grows with E x width.
"""

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge
from torch import nn
from torch_geometric.nn import GATv2Conv

from search_spaces.decision import Choice
from search_spaces.operators._heads import width_per_head

# The map of what neighbors send, which operators may share in a supernet.
TRANSFORM = "lin_l.weight"
# Whether coefficients weigh the neighbors, which may have a precision of their own.
ATTENTION = True
CHOICES: Mapping[str, tuple[Choice, ...]] = {"heads": (1, 2, 4, 8)}


def build(in_features: int, out_features: int, *, heads: Annotated[int, Ge(1)] = 1) -> nn.Module:
    """[N, in_features], [2, E] -> [N, out_features], the heads side by side.

    Raises:
        SpaceError: `out_features` is not divisible by `heads`.
    """
    layer: nn.Module = GATv2Conv(in_features, width_per_head("gatv2", out_features, heads), heads)
    return layer
