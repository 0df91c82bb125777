"""A linear map of the largest of the neighbors' features, each by itself."""

from torch import Tensor, nn

from planted._layer import Mapped, aggregated


def features(x: Tensor, edge_index: Tensor) -> Tensor:
    """[N, F] of what comes in along edges; 0 where nothing does."""
    return aggregated(x, edge_index, "amax")


def build(in_features: int, out_features: int) -> nn.Module:
    """[N, in_features], [2, E] -> [N, out_features]."""
    return Mapped(features, in_features, out_features)
