"""Weights of few bits: rounded in training and after it, with gradients passed straight through.

    w -> s round(w / s),  s = max |w| / (2^(bits - 1) - 1)

Bengio, Leonard and Courville, "Estimating or propagating gradients through stochastic neurons for
conditional computation", 2013. All linear maps of a network share one decision: one for each would
make a space that nobody can search.
"""

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn
from torch_geometric.nn import Linear

from search_spaces import Architecture, Decision, SearchSpace, SpaceExtension, Task

FULL = 32


class RoundedLinear(nn.Module):
    """A linear map whose weights are multiples of one scale, so that `bits` can number them."""

    def __init__(self, linear: nn.Linear | Linear, bits: int) -> None:
        super().__init__()
        self.linear, self.bits = linear, bits

    def weight(self) -> Tensor:
        weight = self.linear.weight
        scale = weight.detach().abs().amax().clamp(min=1e-8) / (2 ** (self.bits - 1) - 1)
        return weight + ((weight / scale).round() * scale - weight).detach()

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight(), self.linear.bias)


def rounded(network: nn.Module, architecture: Architecture, task: Task) -> nn.Module:
    """The network with rounded weights, unless all bits are wanted.

    Modules are put in the places of others. (PyTorch's parametrizations are no way to do it: a
    parametrized `Linear` of PyTorch Geometric saves a state that it cannot load.)
    """
    del task
    bits = int(architecture.choices["weight_bits"])
    parents = list(network.modules()) if bits < FULL else []
    for parent in parents:
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear | Linear):
                setattr(parent, name, RoundedLinear(child, bits))
    return network


def plain(network: nn.Module, architecture: Architecture) -> nn.Module:
    """The network as it leaves: with plain linear maps, whose weights are rounded for good."""
    del architecture
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, RoundedLinear):
                with torch.no_grad():
                    child.linear.weight.copy_(child.weight())
                setattr(parent, name, child.linear)
    return network


def weight_bytes(network: nn.Module, architecture: Architecture) -> float:
    """What the weights of the linear maps take when they are stored in so many bits."""
    maps = [m for m in network.modules() if isinstance(m, nn.Linear | Linear)]
    return sum(m.weight.numel() for m in maps) * int(architecture.choices["weight_bits"]) / 8


def build(
    space: SearchSpace, task: Task, *, bits: Sequence[Annotated[int, Ge(2)]] = (FULL, 8, 4)
) -> SpaceExtension:
    """Make the extension.

    Args:
        space: any.
        task: any.
        bits: to choose from; 2 or more.
    """
    del space, task
    decision = Decision("weight_bits", tuple(bits), ordered=True, role="compression")
    facts = {"weight_bytes": weight_bytes}
    return SpaceExtension("rounded", (decision,), rounded, deploy=plain, facts=facts)
