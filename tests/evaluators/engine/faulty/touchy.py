"""An operator without a kernel, which raises where a test says so."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing


def nothing(module: "Touchy", x: Tensor) -> None:
    """What is done with each module that is called: nothing."""


class Touchy(MessagePassing):  # type: ignore[misc]
    """A sum over neighbors, mapped."""

    watch: ClassVar[Callable[["Touchy", Tensor], None]] = staticmethod(nothing)

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(aggr="sum")
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        if self.training:
            type(self).watch(self, x)
        summed: Tensor = self.propagate(edge_index, x=self.linear(x))
        return summed

    def message(self, x_j: Tensor) -> Tensor:
        return x_j


def raises_when_large(module: Touchy, x: Tensor) -> None:
    """Weights that a learning rate far too high has driven away."""
    if float(module.linear.weight.detach().abs().max()) > 1e3:
        raise ZeroDivisionError("this module cannot bear such weights")


def out_of_memory_when_large(module: Touchy, x: Tensor) -> None:
    """The same, as what a device says."""
    if float(module.linear.weight.detach().abs().max()) > 1e3:
        raise torch.OutOfMemoryError("this module takes more memory than there is")


class OutOfMemoryBeyond:
    """Raises when more than so many networks are trained side by side."""

    def __init__(self, runs: int) -> None:
        self.runs, self.raised = runs, 0

    def __call__(self, module: Touchy, x: Tensor) -> None:
        # In the second layer, each run's input is a slice of all runs'.
        if x._base is not None and x._base.dim() == 3 and x._base.size(0) > self.runs:
            self.raised += 1
            raise torch.OutOfMemoryError("so many networks take more memory than there is")


def build(in_features: int, out_features: int) -> nn.Module:
    """[N, in_features], [2, E] -> [N, out_features]."""
    return Touchy(in_features, out_features)
