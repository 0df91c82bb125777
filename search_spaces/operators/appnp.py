"""Predict, then propagate: a linear map, then personalized PageRank by power iteration.

    z_0 = x W + b,    z_k+1 = 0.9 D^-1/2 (A + I) D^-1/2 z_k + 0.1 z_0,    x' = z_hops

Johannes Gasteiger, Aleksandar Bojchevski, Stephan Guennemann: Predict then Propagate: Graph Neural
Networks meet Personalized PageRank (2019).

Limits: the teleport probability is the paper's 0.1; the propagation has no weights.
"""

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge
from torch import Tensor, nn
from torch_geometric.nn import APPNP

from search_spaces.decision import Choice

# The map of what neighbors send, which operators may share in a supernet.
TRANSFORM = "linear.weight"
CHOICES: Mapping[str, tuple[Choice, ...]] = {"hops": (2, 4, 8)}


class PredictThenPropagate(nn.Module):
    """A linear map followed by `hops` steps of personalized PageRank."""

    def __init__(self, in_features: int, out_features: int, hops: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.propagation = APPNP(K=hops, alpha=0.1)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        propagated: Tensor = self.propagation(self.linear(x), edge_index)
        return propagated


def build(in_features: int, out_features: int, *, hops: Annotated[int, Ge(1)] = 10) -> nn.Module:
    """[N, in_features], [2, E] -> [N, out_features], by `hops` steps of propagation."""
    return PredictThenPropagate(in_features, out_features, hops)
