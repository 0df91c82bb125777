"""An extension whose networks change from epoch to epoch: inputs of small gradient fade out.

What it has seen is in buffers; or in an attribute, which a checkpoint does not have.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from search_spaces import Architecture, Decision, SearchSpace, SpaceExtension, Task


class Fading(nn.Module):
    def __init__(self, network: nn.Module, features: int, forgets: bool) -> None:
        super().__init__()
        self.network, self.forgets = network, forgets
        self.register_buffer("strength", torch.ones(features))
        # By epoch: how often it began, and the loss then.
        self.register_buffer("begun", torch.zeros(16))
        self.register_buffer("losses", torch.zeros(16))
        self.kept = torch.ones(features)
        self.strength: Tensor
        self.begun: Tensor
        self.losses: Tensor

    def begin_epoch(self, epoch: int, loss: Callable[[], Tensor]) -> None:
        if not self.training:
            raise RuntimeError("an epoch of training begins in another mode")
        value = loss()
        weight = next(p for p in self.network.parameters() if p.dim() == 2)
        (gradient,) = torch.autograd.grad(value, [weight])
        faded = 0.9 + 0.1 * gradient.abs().sum(0) / gradient.abs().sum(0).amax()
        self.kept = self.kept * faded
        self.strength.copy_(self.kept if self.forgets else self.strength * faded)
        self.begun[epoch] += 1
        self.losses[epoch] = value.detach()

    def forward(self, x: Tensor, *rest: Tensor) -> Tensor:
        out: Tensor = self.network(x * self.strength, *rest)
        return out


def faded(network: nn.Module, architecture: Architecture, task: Task) -> nn.Module:
    kind = architecture.choices["fading"]
    return Fading(network, task.n_features, kind == "forgetful") if kind != "none" else network


def build(
    space: SearchSpace, task: Task, *, kinds: Sequence[str] = ("none", "kept", "forgetful")
) -> SpaceExtension:
    return SpaceExtension("fading", (Decision("fading", tuple(kinds)),), faded)
