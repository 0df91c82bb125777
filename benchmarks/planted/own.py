"""A linear map of each node's own features."""

from torch import Tensor, nn

from planted._layer import Mapped


def features(x: Tensor, edge_index: Tensor) -> Tensor:  # noqa: ARG001 - not used, by name
    """[N, F] as they are."""
    return x


def build(in_features: int, out_features: int) -> nn.Module:
    """[N, in_features], [2, E] -> [N, out_features]."""
    return Mapped(features, in_features, out_features)
