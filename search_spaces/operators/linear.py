"""A linear map of each node's own features; the edges are not used.

    x'_i = W x_i + b

Limits: no propagation. It tells whether the graph helps at all.
"""

from torch import Tensor, nn

# The map of what neighbors send, which operators may share in a supernet.
TRANSFORM = "linear.weight"


class NodewiseLinear(nn.Module):
    """A linear map with the signature of an operator."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:  # noqa: ARG002 - not used, by name
        mapped: Tensor = self.linear(x)
        return mapped


def build(in_features: int, out_features: int) -> nn.Module:
    """[N, in_features], [2, E] -> [N, out_features]."""
    return NodewiseLinear(in_features, out_features)
