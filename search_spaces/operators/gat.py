"""Graph attention: neighbors and self weighted by a softmax over learned scores, in heads.

    a_ij = softmax over j of leaky_relu(u . W x_i + v . W x_j)
    x'_i = sum over j of a_ij W x_j + b

Petar Velickovic, Guillem Cucurull, Arantxa Casanova, Adriana Romero, Pietro Lio, Yoshua Bengio:
Graph Attention Networks (2018).

Limits: every node ranks its neighbors in the same order (see `gatv2`); memory grows with E x heads.
"""

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge
from torch import nn
from torch_geometric.nn import GATConv

from search_spaces.decision import Choice
from search_spaces.operators._heads import width_per_head

# The map of what neighbors send, which operators may share in a supernet.
TRANSFORM = "lin.weight"
# Whether coefficients weigh the neighbors, which may have a precision of their own.
ATTENTION = True
CHOICES: Mapping[str, tuple[Choice, ...]] = {"heads": (1, 2, 4, 8)}


def build(in_features: int, out_features: int, *, heads: Annotated[int, Ge(1)] = 1) -> nn.Module:
    """[N, in_features], [2, E] -> [N, out_features], the heads side by side.

    Raises:
        SpaceError: `out_features` is not divisible by `heads`.
    """
    layer: nn.Module = GATConv(in_features, width_per_head("gat", out_features, heads), heads)
    return layer
