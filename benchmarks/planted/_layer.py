"""What the planted operators share."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn


class Mapped(nn.Module):
    """One linear map of features that have no weights."""

    def __init__(
        self,
        features: Callable[[Tensor, Tensor], Tensor],
        in_features: int,
        out_features: int,
    ) -> None:
        super().__init__()
        self.features = features
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        mapped: Tensor = self.linear(self.features(x, edge_index))
        return mapped


def aggregated(x: Tensor, edge_index: Tensor, by: Literal["mean", "amax"]) -> Tensor:
    """[N, F] of the sources of each node's edges; 0 where there are none."""
    source, target = edge_index
    to = target[:, None].expand(-1, x.size(1))
    return x.new_zeros(x.shape).scatter_reduce(0, to, x[source], by, include_self=False)
