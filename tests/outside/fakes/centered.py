"""Operators that subtract the mean over channels: copies of some of them change it."""

from torch import Tensor, nn


class Centered(nn.Module):
    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        mapped: Tensor = self.linear(x)
        return mapped - mapped.mean(dim=1, keepdim=True)


def build(in_features: int, out_features: int) -> nn.Module:
    return Centered(in_features, out_features)
