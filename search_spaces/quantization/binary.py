"""Binary and ternary numbers, and what stands for their gradient in training.

A binary tensor is a scale times signs (0 counts as positive), a ternary one a scale times -1, 0
and +1. The sign has no useful gradient, so in the backward pass another function stands in its
place:

| how | scale of a weight | d sign(x) / dx in the backward pass |
|---|---|---|
| bnn | 1 | 1 where abs(x) <= 1, else 0 |
| xnor | mean abs(w) of each row, after the row's mean is taken off | as bnn |
| dorefa | mean abs(w) of all | 1 / scale, so that the gradient passes as it came |
| bi_real | mean abs(w) of each row | 2 - 2 abs(x) where abs(x) <= 1, else 0 |
| recu | mean abs(w) of each row, after it is clamped to its quantiles | as bi_real |
| fda | mean abs(w) of each row | that of the first terms of the sign's Fourier series |

A tensor without rows (activations) has one scale, the mean of abs(x), and is neither centered nor
clamped to quantiles. For signs of x, the mean of abs(x) is the scale a with the least
sum (x - a sign(x))^2.

Haotong Qin, Mingyuan Zhang, Yifu Ding, Aoyu Li, Zhongang Cai, Ziwei Liu, Fisher Yu, Xianglong Liu:
BiBench: Benchmarking and Analyzing Network Binarization (2023). There: bnn of Courbariaux et al.
(2016), xnor of Rastegari et al. (2016), dorefa of Zhou et al. (2016), bi_real of Liu et al. (2018),
recu of Xu et al. (2021), fda of Xu et al. (2021). The ternary numbers are of Fengfu Li, Bin Liu,
Xiaoxing Wang, Bo Zhang, Junchi Yan: Ternary Weight Networks (2016).

Limits: recu's quantile stays the same through training, and fda has no network that learns the
error of the series; both are there as far as they need no epochs and no weights of their own.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from search_spaces.errors import SpaceError, did_you_mean
from search_spaces.quantization.codes import Codes

# Of recu: the part of the weights of a row, Laplace-distributed, that is left as it is.
QUANTILE = 0.99
# Of fda: the base frequency of the series, and the number of its terms.
FREQUENCY, TERMS = 0.1, 10
# Of ternary numbers: what is below this part of mean abs(x) becomes 0.
THRESHOLD = 0.7


def _clipped(x: Tensor) -> Tensor:
    return x.clamp(-1, 1)


def _quadratic(x: Tensor) -> Tensor:
    x = x.clamp(-1, 1)
    return x * (2 - x.abs())


def _fourier(x: Tensor) -> Tensor:
    x = x.clamp(-1, 1)
    odd = range(1, 2 * TERMS, 2)
    waves = [torch.sin(k * FREQUENCY * x) / k for k in odd]
    return 4 / math.pi * torch.stack(waves).sum(dim=0)


# What stands in the sign's place in the backward pass.
_STAND_INS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "bnn": _clipped,
    "xnor": _clipped,
    "bi_real": _quadratic,
    "recu": _quadratic,
    "fda": _fourier,
}
# Those with one scale for all rows.
OF_ALL = ("bnn", "dorefa")
BINARIZATIONS = ("bnn", "xnor", "dorefa", "bi_real", "recu", "fda")


def binarized(
    x: Tensor, how: str = "xnor", *, rows: bool = True, scale: Tensor | None = None
) -> Tensor:
    """Signs times a scale, with a gradient; exactly what `binary_codes` stands for.

    Args:
        x: of any shape.
        how: one of `BINARIZATIONS`.
        rows: whether x is a weight with a row for each output; else it is one tensor of
            activations.
        scale: in place of the one that x has; broadcast to x.

    Raises:
        SpaceError: there is no such way.
    """
    prepared = _prepared(x, how, rows)
    if scale is None:
        scale = _scale(prepared, how, rows)
    value = _signs(prepared) * scale
    if not (torch.is_grad_enabled() and x.requires_grad):
        return value
    stand_in = _STAND_INS.get(how)
    return _with_gradient(value, x if stand_in is None else stand_in(prepared) * scale)


def binary_codes(
    x: Tensor, how: str = "xnor", *, rows: bool = True, scale: Tensor | None = None
) -> Codes:
    """The signs and the scale of `binarized`."""
    x = _prepared(x.detach(), how, rows)
    scale = _scale(x, how, rows) if scale is None else scale.detach()
    return _codes(_signs(x), scale)


def ternarized(x: Tensor, *, rows: bool = True, scale: Tensor | None = None) -> Tensor:
    """-1, 0 or +1 times a scale; the gradient passes as it came.

        sign(x) where abs(x) > 0.7 mean abs(x), else 0;    scale = mean of those abs(x)

    Args:
        x: of any shape.
        rows: whether each row has a threshold and a scale of its own.
        scale: in place of the one that x has; then the threshold is half of it, so that each
            number goes to the nearest of the three.
    """
    codes = ternary_codes(x, rows=rows, scale=scale)
    value = codes.dequantized()
    return _with_gradient(value, x) if torch.is_grad_enabled() and x.requires_grad else value


def ternary_codes(x: Tensor, *, rows: bool = True, scale: Tensor | None = None) -> Codes:
    """The integers and the scale of `ternarized`."""
    x = x.detach()
    size = x.abs()
    threshold = THRESHOLD * _mean(size, rows) if scale is None else scale.detach() / 2
    beyond = (size > threshold).to(x.dtype)
    if scale is None:
        # Of a tensor of zeros nothing is beyond, and the scale is 0.
        scale = _sum(size * beyond, rows) / _sum(beyond, rows).clamp(min=1)
    return _codes(torch.sign(x) * beyond, scale.detach())


def _prepared(x: Tensor, how: str, rows: bool) -> Tensor:
    """What the sign is taken of."""
    if how not in BINARIZATIONS:
        raise SpaceError(
            f'no way to binarize is called "{how}"; {did_you_mean(how, BINARIZATIONS)}'
        )
    if rows and how == "xnor":
        return x - _mean(x, rows)
    if rows and how == "recu":
        # Of a Laplace distribution around 0, whose parameter the mean of abs(x) estimates.
        bound = -math.log(2 - 2 * QUANTILE) * _mean(x.detach().abs(), rows)
        return torch.minimum(torch.maximum(x, -bound), bound)
    return x


def _scale(prepared: Tensor, how: str, rows: bool) -> Tensor:
    """A constant in the backward pass."""
    if how == "bnn":
        return prepared.new_ones(())
    return _mean(prepared.detach().abs(), rows and how not in OF_ALL)


def _signs(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


def _with_gradient(value: Tensor, stand_in: Tensor) -> Tensor:
    """The value, exactly, with the gradient of what stands in its place."""
    return value.detach() + (stand_in - stand_in.detach())


def _codes(integers: Tensor, scale: Tensor) -> Codes:
    zero = torch.zeros((), dtype=torch.int32, device=integers.device)
    return Codes(integers.to(torch.int32), scale, zero, low=-1, high=1)


def _mean(x: Tensor, rows: bool) -> Tensor:
    return x.flatten(1).mean(dim=1).view(_column(x)) if rows and x.dim() > 1 else x.mean()


def _sum(x: Tensor, rows: bool) -> Tensor:
    return x.flatten(1).sum(dim=1).view(_column(x)) if rows and x.dim() > 1 else x.sum()


def _column(x: Tensor) -> tuple[int, ...]:
    return (x.shape[0], *(1 for _ in x.shape[1:]))
