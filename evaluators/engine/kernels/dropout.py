"""Dropout; of sparse features, on their non-zeros alone: what happens to a zero does not matter."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from evaluators.engine.dropout import Draws, Mask
from evaluators.engine.kernels._base import Kernel, Pass
from evaluators.engine.values import Input, Value, head


class Dropout(Kernel):
    """Each element kept with probability 1 - p, and scaled; p is the run's, not the module's."""

    types = (nn.Dropout,)

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        value = head(value, at.field.rows(need))
        if at.draws is None or not at.draws.any:
            return value
        if not isinstance(value, Input):
            return _dropped(at.draws, value)
        if value.features.sparse is None:
            return _of_dense(at.draws, value)
        kept = at.draws.mask(int(value.features.sparse.crow[value.rows]), of_input=True).kept()
        # Dropped twice: both masks count.
        kept = kept if value.kept is None else kept * value.kept
        rest = None if value.rest is None else _dropped(at.draws, value.rest)
        return replace(value, kept=kept, rest=rest)


def _of_dense(draws: Draws, value: Input) -> Tensor:
    """Dense features, which are a tensor from here on: each map would drop them anew."""
    x = replace(value, rest=None).dense()
    kept = draws.mask(x.size(1) * x.size(2), of_input=True).kept().view(-1, x.size(1), x.size(2))
    dropped = kept.mul_(x)
    if value.rest is None:
        return dropped
    rest = _dropped(draws, value.rest)
    return torch.cat([dropped.expand(rest.size(0), -1, -1), rest], dim=2)


def _dropped(draws: Draws, x: Tensor) -> Tensor:
    mask = draws.mask(x.size(1) * x.size(2), of_input=False)
    dropped: Tensor = _Drop.apply(x, mask)  # type: ignore[no-untyped-call]
    return dropped


class _Drop(Function):
    """x times a mask, which is kept for the backward pass as it was drawn: half as large."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Mask) -> Tensor:
        ctx.mask = mask
        return mask.kept().view(-1, x.size(1), x.size(2)).mul_(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.mask.kept().view(gradient.shape).mul_(gradient), None
