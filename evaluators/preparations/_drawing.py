"""One choice at a time of what is learned, and how it passes the gradient."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

_HOT, _COLD = 5.0, 0.1


def temperature(epoch: int, epochs: int) -> float:
    """In an epoch, from 1, of so many: by a cosine from 5 to 0.1."""
    done = (epoch - 1) / max(1, epochs - 1)
    return _COLD + (_HOT - _COLD) * (1 + math.cos(math.pi * done)) / 2


def drawn(row: Tensor, heat: float, *, whole: bool) -> dict[int, Tensor]:
    """A draw by the softmax of logits [choices]: it counts 1, others nothing.

    The gradient is that of the logarithm of its probability in a Gumbel-softmax at a temperature;
    with `whole`, for each choice that of its own probability there.
    """
    noise = -torch.empty_like(row, requires_grad=False).exponential_().log()
    p = ((row.log_softmax(0) + noise) / heat).softmax(0)
    first, held = int(p.argmax()), p.detach()
    if not row.requires_grad:
        return {first: torch.ones_like(held[first])}
    if not whole:
        return {first: p[first] / held[first]}
    counted = torch.zeros_like(held)
    counted[first] = 1
    return dict(enumerate((counted + (p - held)).unbind()))


def largest(shares: Mapping[int, Tensor]) -> int:
    """The choice that counts most."""
    return max(shares, key=lambda index: float(shares[index].detach()))


def entropy(logits: Mapping[str, Tensor]) -> Tensor:
    """[] the mean of decisions, each from 0 (decided) to 1 (even); 0 of none."""
    found = [
        -(row.softmax(0) * row.log_softmax(0)).sum() / math.log(row.numel())
        for row in logits.values()
    ]
    return torch.stack(found).mean() if found else torch.zeros(())
