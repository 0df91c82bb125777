"""The space of `fakes.space`, some of whose networks fail, each in its own way, every time.

Which ones is decided by a hash of the structure: the same in every process, and whatever the order.
Networks fail where they are run on numbers, as in training; their facts are counted all the same.
"""

import os
import time
from functools import partial

import torch
from torch import Tensor, nn

from fakes import space
from search_spaces import Architecture, SearchSpace, Task

# Each with the kind of failure that it must come out as.
KINDS = {
    "exception": "error",
    "nan": "divergence",
    "memory": "out_of_memory",
    "hang": "timeout",
    "exit": "crash",
}
STATUS = 13


class Faulty(nn.Module):
    """A network that works as long as it is on torch's meta device; no tracer gets through it."""

    def __init__(self, sound: nn.Module, fault: str) -> None:
        super().__init__()
        self.sound, self.fault = sound, fault

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        scores: Tensor = self.sound(x, edge_index)
        if scores.is_meta:
            return scores
        if self.fault == "exception":
            raise OSError("this network cannot read its own weights")
        if self.fault == "memory":
            raise torch.OutOfMemoryError("this network takes more memory than there is")
        if self.fault == "hang":
            time.sleep(3600)
        if self.fault == "exit":
            os._exit(STATUS)
        return scores * float("nan")


def fault_of(architecture: Architecture, share: float = 0.05) -> str:
    """What an architecture's network does: one of `KINDS`, or "" where it works."""
    drawn = int(architecture.structure_key[:8], 16) / 2**32
    number = int(drawn / share)
    return list(KINDS)[number] if number < len(KINDS) else ""


def network(architecture: Architecture, task: Task, *, share: float) -> nn.Module:
    sound = space.network(architecture, task)
    fault = fault_of(architecture, share)
    return Faulty(sound, fault) if fault else sound


def build(task: Task, *, share: float = 0.05, levels: int = 8) -> SearchSpace:
    """Args: share: of the architectures, in which each of the faults is planted; up to 0.2."""
    decisions = space.build(task, levels=levels).decisions
    return SearchSpace("faulty", 1, decisions, partial(network, share=share))
