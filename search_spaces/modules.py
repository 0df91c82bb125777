"""Modules of a supernet's networks, each run alone on slices of the shared weights."""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.func import functional_call

from search_spaces.elastic import Place
from search_spaces.slices import Weights
from search_spaces.supernet import Supernet

# Modules that are kept: a relaxed network has some hundred.
_KEPT = 4096


class Modules:
    """Makes each once, and calls it with slices, which gradients flow through.

    Args:
        supernet: whose weights they are.
    """

    def __init__(self, supernet: Supernet) -> None:
        self._supernet = supernet
        self._made = lru_cache(maxsize=_KEPT)(_made)

    def run(self, weights: Weights, place: Place, *inputs: Tensor) -> Tensor:
        """The output of the module at a place, in training mode."""
        read = sum(channels.width for channels in place.reads)
        module = self._made(place, read, inputs[0].dtype)
        parameters = self._supernet.parameters(weights, place)
        output: Tensor = functional_call(module, parameters, inputs)
        return output


def _made(place: Place, read: int, dtype: torch.dtype) -> nn.Module:
    """A module whose own parameters, and what it keeps of batches, are never looked at."""
    with torch.random.fork_rng(devices=[]):
        return place.module(read, place.writes.width).to(dtype).train()
