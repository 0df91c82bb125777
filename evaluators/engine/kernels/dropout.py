"""Dropout; of sparse features, on their non-zeros alone: what happens to a zero does not matter."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from evaluators.engine.dropout import Draws
from evaluators.engine.kernels._base import Kernel, Pass
from evaluators.engine.values import Dropped, Input, Value, dense, dropped, head


class Dropout(Kernel):
    """Each element kept with probability 1 - p, and scaled; p is the run's, not the module's."""

    types = (nn.Dropout,)

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        value = head(value, at.field.rows(need))
        if at.draws is None or not at.draws.any:
            return value
        if not isinstance(value, Input):
            return _dropped(at.draws, dense(value))
        if value.features.sparse is None:
            return _of_dense(at.draws, value)
        kept = at.draws.mask(int(value.features.sparse.crow[value.rows]), of_input=True).kept()
        # Dropped twice: both masks count.
        kept = kept if value.kept is None else kept * value.kept
        rest = None if value.rest is None else dense(_dropped(at.draws, value.rest))
        return replace(value, kept=kept, rest=rest)


def _of_dense(draws: Draws, value: Input) -> Value:
    """Dense features, which are a tensor from here on: each map would drop them anew."""
    x = replace(value, rest=None).dense()
    mask = draws.mask(x.size(1) * x.size(2), of_input=True)
    if value.rest is None:
        return dropped(x, mask)
    rest = dense(_dropped(draws, value.rest))
    return torch.cat([dense(dropped(x, mask)).expand(rest.size(0), -1, -1), rest], dim=2)


def _dropped(draws: Draws, x: Tensor) -> Tensor | Dropped:
    return dropped(x, draws.mask(x.size(1) * x.size(2), of_input=False))
