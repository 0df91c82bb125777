"""Operators of which a supernet has no slices: a tensor is twice as long as the output is wide."""

import torch
from torch import Tensor, nn


class Doubled(nn.Module):
    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.twice = nn.Parameter(torch.randn(in_features, 2 * out_features))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        first, second = (x @ self.twice).chunk(2, dim=1)
        return first * second


def build(in_features: int, out_features: int) -> nn.Module:
    return Doubled(in_features, out_features)
