"""An operator with a tensor as long as an option says: one set of weights is not for all."""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

CHOICES = {"hops": (2, 3)}


class Mixed(nn.Module):
    def __init__(self, in_features: int, out_features: int, hops: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.shares = nn.Parameter(torch.randn(hops))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        mapped: Tensor = self.linear(x) * self.shares.sum()
        return mapped


def build(in_features: int, out_features: int, *, hops: Annotated[int, Ge(1)] = 2) -> nn.Module:
    return Mixed(in_features, out_features, hops)
