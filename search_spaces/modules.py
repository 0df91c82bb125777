"""Modules of a supernet's networks, each run alone on slices of the shared weights."""

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.func import functional_call

from search_spaces.elastic import Place, group_of
from search_spaces.extension import Shares
from search_spaces.message_passing import ACTIVATIONS
from search_spaces.quantization.layers import reads_sparse
from search_spaces.relaxation import dense
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
        self._extensions = supernet.space.extensions
        self._made = lru_cache(maxsize=_KEPT)(_made)
        self._activation = lru_cache(maxsize=_KEPT)(_activation)

    def run(
        self, weights: Weights, place: Place, shares: Mapping[str, Shares], *inputs: Tensor
    ) -> Tensor:
        """The output of the module at a place, in training mode.

        Args:
            weights: of all.
            place: where it stands.
            shares: of each decision of the extensions, how much its choices count.
            inputs: of the module.
        """
        read = sum(channels.width for channels in place.reads)
        module = self._made(place, read, inputs[0].dtype)
        self._weigh(module, group_of(place.bank), shares)
        parameters = self._supernet.parameters(weights, place)
        x, *others = inputs
        if not reads_sparse(module):
            x = dense(x)
        output: Tensor = functional_call(module, parameters, (x, *others))
        return output

    def activated(self, bank: str, name: str, shares: Mapping[str, Shares], x: Tensor) -> Tensor:
        """x by an activation function, which stands with the modules of a bank."""
        group = group_of(bank)
        module = self._activation(group, name, x.dtype)
        self._weigh(module, group, shares)
        output: Tensor = module(x)
        return output

    def _weigh(self, module: nn.Module, group: str, shares: Mapping[str, Shares]) -> None:
        for extension in self._extensions:
            if extension.weigh is not None:
                extension.weigh(module, group, shares)


def _made(place: Place, read: int, dtype: torch.dtype) -> nn.Module:
    """A module whose own parameters, and what it keeps of batches, are never looked at."""
    with torch.random.fork_rng(devices=[]):
        return place.module(read, place.writes.width).to(dtype).train()


def _activation(_group: str, name: str, dtype: torch.dtype) -> nn.Module:
    return ACTIVATIONS[name]().to(dtype).train()
