"""An operator from outside as one is written: no slices said, a constant kept, an option."""

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

CHOICES = {"residual": (0.1, 0.5)}


class Signed(MessagePassing):
    """Neighbors are added or subtracted, as a gate of both decides."""

    halves: Tensor

    def __init__(self, in_features: int, out_features: int, residual: float) -> None:
        super().__init__(aggr="add")
        self.linear = nn.Linear(in_features, out_features)
        self.gate = nn.Linear(out_features, 1, bias=False)
        self.residual = residual
        self.register_buffer("halves", torch.full((1,), 0.5))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        h = self.linear(x)
        received: Tensor = self.propagate(edge_index, h=h, gate=self.gate(h))
        return self.residual * h + self.halves * received

    def message(self, h_j: Tensor, gate_i: Tensor, gate_j: Tensor) -> Tensor:
        return torch.tanh(gate_i + gate_j) * h_j


def build(in_features: int, out_features: int, *, residual: float = 0.5) -> nn.Module:
    return Signed(in_features, out_features, residual)
