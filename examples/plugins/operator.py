"""Signed attention (FAGCN): each neighbor is added or subtracted, as a gate of both decides.

Deyu Bo, Xiao Wang, Chuan Shi, Huawei Shen: Beyond Low-frequency Information in Graph Convolutional
Networks (2021). A graph convolution smooths: it makes neighbors alike, which hurts where neighbors
differ in class. Here the weight of an edge is tanh(a . [h_i, h_j]) / sqrt(d_i d_j), between -1 and
1, so that a layer can also sharpen. `residual` is the share of a node's own features that is added.
"""

from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import degree

# What a search may choose: the space gets a decision `layer0.residual`, ... beside this operator.
CHOICES = {"residual": (0.1, 0.5, 1.0)}


class SignedAttention(MessagePassing):
    def __init__(self, in_features: int, out_features: int, residual: float) -> None:
        super().__init__(aggr="add")
        self.linear = nn.Linear(in_features, out_features)
        self.target = nn.Linear(out_features, 1, bias=False)
        self.source = nn.Linear(out_features, 1, bias=False)
        self.residual = residual

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        h = self.linear(x)
        # A node without an edge has degree 0: it must not become a division by zero.
        scale = degree(edge_index[1], x.size(0), dtype=h.dtype).clamp(min=1).rsqrt().unsqueeze(1)
        gates = self.target(h), self.source(h)
        received: Tensor = self.propagate(edge_index, h=h, to=gates[0], of=gates[1], scale=scale)
        return self.residual * h + received

    def message(
        self, h_j: Tensor, to_i: Tensor, of_j: Tensor, scale_i: Tensor, scale_j: Tensor
    ) -> Tensor:
        return torch.tanh(to_i + of_j) * scale_i * scale_j * h_j


def build(
    in_features: int, out_features: int, *, residual: Annotated[float, Ge(0), Le(1)] = 0.5
) -> nn.Module:
    return SignedAttention(in_features, out_features, residual)
