"""A strategy whose trials start from trial 0, and the way that they do: half of its weights."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from evaluators.inheritances._base import Parent
from nas.strategies import Finished, Problem, Proposal, Strategy
from search_spaces import Architecture


class Heir(Strategy[bool]):
    def __init__(self, problem: Problem, by: str) -> None:
        super().__init__(problem)
        self.by = by

    def initial(self) -> bool:
        return False

    def fold(self, state: bool, finished: Finished) -> bool:
        return True

    def propose(
        self, state: bool, ordinal: int, pending: Sequence[Architecture], rng: np.random.Generator
    ) -> Proposal:
        architecture = self.problem.space.sample(rng)
        return Proposal(ordinal, architecture, 0 if state else None, inherit_by=self.by)


def build(problem: Problem, *, by: str = __name__) -> Heir:
    return Heir(problem, by)


def inherit(network: nn.Module, architecture: Architecture, parent: Parent) -> None:
    """Halve what has the same shape, whatever it is."""
    del architecture
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            theirs = parent.weights.get(name)
            if theirs is not None and theirs.shape == tensor.shape:
                tensor.copy_(theirs / 2)
