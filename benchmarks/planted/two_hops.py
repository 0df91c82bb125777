"""A linear map of the mean over neighbors of the mean of their neighbors' features."""

from torch import Tensor, nn

from planted._layer import Mapped, aggregated


def features(x: Tensor, edge_index: Tensor) -> Tensor:
    """[N, F] of what comes in along two edges, one after the other."""
    return aggregated(aggregated(x, edge_index, "mean"), edge_index, "mean")


def build(in_features: int, out_features: int) -> nn.Module:
    """[N, in_features], [2, E] -> [N, out_features]."""
    return Mapped(features, in_features, out_features)
