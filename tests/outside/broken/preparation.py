"""Remembers something that no checkpoint has."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from evaluators import Batches
from search_spaces import SearchSpace


class Forgetful:
    def __init__(self) -> None:
        self.seen = 0

    def epoch(self, number: int) -> Mapping[str, float]:
        self.seen += 1
        return {"seen": self.seen}

    def distribution(self) -> Mapping[str, Sequence[float]]:
        return {}

    def state_dict(self) -> Mapping[str, Tensor]:
        return {"nothing": torch.zeros(1)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        pass


def prepare(space: SearchSpace, batches: Batches, seed: int) -> Forgetful:
    return Forgetful()
