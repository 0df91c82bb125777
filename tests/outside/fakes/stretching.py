"""An extension whose networks' outputs are stretched, or shifted; facts and versions on request."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from search_spaces import Architecture, Decision, SearchSpace, SpaceExtension, Task
from search_spaces.extension import Fact, Transform


class Stretched(nn.Module):
    def __init__(self, network: nn.Module, factor: float) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        out: Tensor = self.network(x, edge_index) * self.factor
        return out


class Shifted(nn.Module):
    def __init__(self, network: nn.Module, by: float) -> None:
        super().__init__()
        self.network, self.by = network, by

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        out: Tensor = self.network(x, edge_index) + self.by
        return out


def stretched(network: nn.Module, architecture: Architecture, task: Task) -> nn.Module:
    return Stretched(network, float(architecture.choices["stretch"]))


def shifted(network: nn.Module, architecture: Architecture, task: Task) -> nn.Module:
    return Shifted(network, float(architecture.choices["shift"]))


def doubled(network: nn.Module, architecture: Architecture) -> float:
    return 2.0 * sum(p.numel() for p in network.parameters())


def of_numpy(network: nn.Module, architecture: Architecture) -> float:
    value: float = np.float32(doubled(network, architecture))  # type: ignore[assignment]
    return value


def infinite_for_2(network: nn.Module, architecture: Architecture) -> float:
    return float("inf") if architecture.choices["stretch"] == 2 else 1.0


def raising(network: nn.Module, architecture: Architecture) -> float:
    raise KeyError("no such layer")


def on_meta(network: nn.Module, architecture: Architecture) -> float:
    return float(all(p.device == torch.device("meta") for p in network.parameters()))


FACTS: Mapping[str, Fact] = {
    "doubled": doubled,
    "of_numpy": of_numpy,
    "infinite_for_2": infinite_for_2,
    "raising": raising,
    "on_meta": on_meta,
}
TRANSFORMS: Mapping[str, Transform] = {"stretch": stretched, "shift": shifted}


def build(
    space: SearchSpace,
    task: Task,
    *,
    does: Literal["stretch", "shift"] = "stretch",
    version: int = 1,
    fact: str = "",
    called: str = "",
) -> SpaceExtension:
    """`called` is the name of the fact, its own by default."""
    facts = {called or fact: FACTS[fact]} if fact else {}
    decision = Decision(does, (1, 2, 3))
    return SpaceExtension(f"{does}ed", (decision,), TRANSFORMS[does], version, facts=facts)
