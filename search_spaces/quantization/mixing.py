"""Modules of relaxed networks, whose numbers are of several formats at once.

Each quantizer computes what every format that counts would give, and adds it up by how much it
counts; one that counts 1 alone is the plain quantizer, digit for digit. How much they count adds up
to 1, so that its gradient may be that of what each format changes:

    y = sum over k of p_k Q_k(x),    dL/dp_k = <dL/dy, Q_k(x) - x>

It differs from <dL/dy, Q_k(x)> by the same number for all k, which a softmax does not see; where
one format alone is drawn at a time, that number would be nothing but noise.

Ranges of activations are those of the present batch: each call begins with none.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import product
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from search_spaces.extension import Shares
from search_spaces.quantization.deciding import COMPONENTS, named, options
from search_spaces.quantization.formats import FORMATS, Format
from search_spaces.quantization.layers import Precision, quantize
from search_spaces.quantization.quantizers import ActivationQuantizer, Options, WeightQuantizer

_Term: TypeAlias = tuple[Tensor, Callable[[Tensor], Tensor]]
# A format for each component, by which its quantizers are known.
_MARKS = dict(
    zip(
        (field.name for field in fields(Precision)),
        (format_ for format_ in FORMATS.values() if not format_.is_float),
        strict=False,
    )
)


@dataclass(frozen=True)
class Way:
    """One of the ways to round."""

    format: Format
    options: Options


class Mixed(nn.Module):
    """A quantizer of several formats.

    Attributes:
        component: of the module, whose numbers they are.
    """

    def __init__(self, component: str) -> None:
        super().__init__()
        self.component = component
        self._ways: tuple[tuple[Tensor, Way], ...] = ()
        self._made: dict[Way, Callable[[Tensor], Tensor]] = {}

    def weigh(self, ways: Iterable[tuple[Tensor, Way]]) -> None:
        """Say in which ways numbers are rounded, and how much each counts; nothing is seen yet."""
        self._ways, self._made = tuple(ways), {}

    def forward(self, x: Tensor, *_: Any) -> Tensor:
        for _share, way in self._ways:
            if way not in self._made:
                self._made[way] = self._rounding(way, x)
        return added_up(x, [(share, self._made[way]) for share, way in self._ways])

    def _rounding(self, way: Way, x: Tensor) -> Callable[[Tensor], Tensor]:
        raise NotImplementedError


class MixedActivations(Mixed):
    """Of activations, and all else that is made from inputs."""

    def _rounding(self, way: Way, x: Tensor) -> Callable[[Tensor], Tensor]:
        return ActivationQuantizer(way.format, way.options).to(x).train()


class MixedWeights(Mixed):
    """Of parameters."""

    def __init__(self, component: str, *, by_row: bool) -> None:
        super().__init__(component)
        self.by_row = by_row

    def _rounding(self, way: Way, x: Tensor) -> Callable[[Tensor], Tensor]:
        return WeightQuantizer(way.format, way.options, x, by_row=self.by_row)


def weigh(module: nn.Module, group: str, shares: Mapping[str, Shares]) -> None:
    """Have a module compute with all formats that count; see `SpaceExtension.weigh`."""
    found = [part for part in module.modules() if isinstance(part, Mixed)]
    for quantizer in found or _mixed(module):
        quantizer.weigh(_ways(quantizer.component, group, shares))


def _mixed(module: nn.Module) -> list[Mixed]:
    """Put them into a module, and those within it."""
    quantize(module, Precision(**_MARKS), Options(granularity="channel"))
    component = {format_: name for name, format_ in _MARKS.items()}
    found = list[Mixed]()
    for part in list(module.modules()):
        for name, child in list(part.named_children()):
            if isinstance(child, WeightQuantizer):
                mixed: Mixed = MixedWeights(component[child.format], by_row=child.by_row)
            elif isinstance(child, ActivationQuantizer):
                mixed = MixedActivations(component[child.format])
            else:
                continue
            setattr(part, name, mixed)
            found.append(mixed)
    return found


def _ways(component: str, group: str, shares: Mapping[str, Shares]) -> Iterator[tuple[Tensor, Way]]:
    """By formats, and by what else is decided of rounding."""
    names = [name for name in map(named, vars(Options())) if shares.get(name)]
    decided = [shares[name].items() for name in names]
    for (bits, share), *others in product(_formats(component, group, shares).items(), *decided):
        for _, other in others:
            share = share if _is_one(other) else share * other
        chosen = {name: choice for name, (choice, _) in zip(names, others, strict=True)}
        yield share, Way(FORMATS[str(bits)], options(chosen))


def _formats(component: str, group: str, shares: Mapping[str, Shares]) -> Shares:
    """How much each counts: as `deciding.precision` has it of an architecture."""
    name, otherwise = COMPONENTS[component]
    for wanted in (name, otherwise):
        if wanted is None:
            continue
        if found := shares.get(named(wanted, group)) or shares.get(named(wanted)):
            return found
    return {"32": torch.ones(())}


def added_up(x: Tensor, terms: list[_Term]) -> Tensor:
    """The sum of what roundings make of a tensor, by how much each counts []."""
    (share, rounding), *others = terms
    if not others and _is_one(share):
        return rounding(x)
    values = [rounding(x) for _, rounding in terms]
    total: Tensor = _Sum.apply(x, torch.stack([share for share, _ in terms]), *values)  # type: ignore[no-untyped-call]
    return total


def _is_one(share: Tensor) -> bool:
    return not share.requires_grad and share.item() == 1


class _Sum(torch.autograd.Function):
    """Of tensors by shares [k]; what counts nothing is not added, and gets no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shares: Tensor, *values: Tensor) -> Tensor:
        ctx.save_for_backward(x, shares, *values)
        total = torch.zeros_like(x)
        for share, value in zip(shares.tolist(), values, strict=True):
            if share:
                total.add_(value, alpha=share)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (x, shares, *values) = gradients, ctx.saved_tensors
        changed = torch.stack([(gradient * (value - x)).sum() for value in values])
        to_values = [gradient * share if share else None for share in shares.tolist()]
        return None, changed, *to_values
