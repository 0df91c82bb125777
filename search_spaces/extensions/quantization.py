"""Low precision: bit widths of weights and activations, rounded as they will be while training.

Each linear map reads rounded weights and a rounded input; so are messages, what nodes aggregate,
attention vectors and coefficients, and, with `output_bits`, the outputs of activation functions.
Biases and normalization stay as they are. Gradients pass the rounding straight through (see
`search_spaces.quantization.rounding`), so networks learn to do with few values: quantization-aware
training. A network leaves with its weights rounded for good, and its bundle keeps them in so many
bits.

Every option but `per_layer` is the list of choices of a decision (role `compression`), so that it
is known of each trial how its numbers are made. Bits are 32 (as it is), 16, 8, 6, 4, 3, 2,
"ternary" or "binary".

- `weight_bits`, `activation_bits`: of all components without a list of their own.
- `attention_weight_bits`, `attention_bits`: attention vectors, and coefficients.
- `message_bits`, `aggregation_bits`: what neighbors send, and what a node makes of it.
- `output_bits`: of activation functions; without it they stay as they are.
- `per_layer`: decide bits for each layer, `pre`, `post` and `output`; otherwise once for all.
- `scheme`, `granularity`, `scales`, `binarization`: see `search_spaces.quantization.quantizers` and
  `.binary`; `observer`: see `.ranges`.
- `protection`: with "degree", nodes of high degree are spared in training (Degree-Quant: see
  `search_spaces.quantization.degree`), by `protect_low` to `protect_high`, probabilities.

Limits: trained by PyTorch Geometric's own layers, slower than the engine. Choices that change
nothing for an architecture (a scheme where all is 32 bits) are trained and counted apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from annotated_types import Ge, Le
from torch import nn

from search_spaces.architecture import Architecture
from search_spaces.decision import Choice, Choices, Decision
from search_spaces.errors import SpaceError
from search_spaces.extension import SpaceExtension
from search_spaces.message_passing import NEVER_NEGATIVE
from search_spaces.quantization.deciding import (
    ALL,
    COMPONENTS,
    bits_decisions,
    group_of,
    groups,
    named,
    options,
    precision,
)
from search_spaces.quantization.degree import protect
from search_spaces.quantization.formats import Bits
from search_spaces.quantization.layers import quantize, settled
from search_spaces.quantization.mixing import weigh
from search_spaces.quantization.quantizers import Binarization, Granularity, Scales, Scheme
from search_spaces.quantization.ranges import Observer
from search_spaces.space import SearchSpace
from search_spaces.task import Task

VERSION = 1
_PROTECTION = named("protection")


def build(
    space: SearchSpace,
    task: Task,
    *,
    weight_bits: Choices[Bits] = (2, 4, 8),
    activation_bits: Choices[Bits] = (4, 8),
    attention_weight_bits: Choices[Bits] | None = None,
    attention_bits: Choices[Bits] | None = None,
    message_bits: Choices[Bits] | None = None,
    aggregation_bits: Choices[Bits] | None = None,
    output_bits: Choices[Bits] | None = None,
    per_layer: bool = False,
    scheme: Choices[Scheme] = ("affine",),
    granularity: Choices[Granularity] = ("channel",),
    observer: Choices[Observer] = ("percentile",),
    scales: Choices[Scales] = ("observed",),
    binarization: Choices[Binarization] | None = None,
    protection: Choices[Literal["none", "degree"]] = ("none",),
    protect_low: Choices[Annotated[float, Ge(0), Le(1)]] | None = None,
    protect_high: Choices[Annotated[float, Ge(0), Le(1)]] | None = None,
) -> SpaceExtension:
    """Make the extension.

    Args:
        space: any; with `per_layer` one whose modules are known (`gnn`).
        task: any.
        others: see above.

    Raises:
        SpaceError: `per_layer` for a space whose modules are not known, bits of attention where no
            operator has it, a way to make binary numbers without any, binary activations of which
            none could be negative, or probabilities without protection.
    """
    del task
    found = groups(space, per_layer=per_layer)
    given: dict[str, Sequence[int | str] | None] = {
        "weight_bits": weight_bits,
        "activation_bits": activation_bits,
        "attention_weight_bits": attention_weight_bits,
        "attention_bits": attention_bits,
        "message_bits": message_bits,
        "aggregation_bits": aggregation_bits,
        "output_bits": output_bits,
    }
    lists = {name: choices for name, choices in given.items() if choices is not None}
    decisions = [*bits_decisions(found, lists)]
    chosen: dict[str, Sequence[Choice]] = {
        "scheme": scheme,
        "granularity": granularity,
        "observer": observer,
        "scales": scales,
    }
    if any("binary" in choices for choices in lists.values()):
        chosen["binarization"] = binarization or ("xnor",)
    elif binarization is not None:
        raise SpaceError(
            'binarization: no list of bits has "binary"; add it to one, or leave this out'
        )
    _check_signs(space, activation_bits)
    decisions += [_decision(name, choices) for name, choices in chosen.items()]
    decisions += _protections(protection, protect_low, protect_high)
    return SpaceExtension(
        "quantization",
        tuple(decisions),
        quantized,
        VERSION,
        _deployed,
        weigh=weigh,
        alone={named("scales"): ("learned",), _PROTECTION: ("degree",)},
    )


def _check_signs(space: SearchSpace, activation_bits: Sequence[Choice]) -> None:
    """Behind functions that are never negative all signs are the same, and nothing is learned."""
    functions = [d for d in space.decisions if d.name.rpartition(".")[2] == "activation"]
    never = all(choice in NEVER_NEGATIVE for d in functions for choice in d.choices)
    if functions and never and set(activation_bits) == {"binary"}:
        raise SpaceError(
            f'activation_bits: expected more than "binary" where {functions[0].name} is '
            f"{' or '.join(map(str, functions[0].choices))}: never negative, so all signs are the "
            'same and nothing is learned; add "tanh" to activation, or other bits'
        )


def _decision(
    name: str, choices: Sequence[Choice], needs: Mapping[str, tuple[Choice, ...]] | None = None
) -> Decision:
    return Decision(named(name), tuple(choices), needs or {}, role="compression")


def _protections(
    protection: Sequence[str], low: Sequence[float] | None, high: Sequence[float] | None
) -> Iterator[Decision]:
    if "degree" not in protection:
        given = [n for n, v in (("protect_low", low), ("protect_high", high)) if v is not None]
        if given:
            raise SpaceError(f'{given[0]}: there is no protection; give protection = ["degree"]')
        if protection == ("none",):
            return
    if max(low or (0.0,)) > min(high or (0.2,)):
        raise SpaceError(
            f"protect_low: expected none above protect_high (least {min(high or (0.2,)):g}), got "
            f"{max(low or (0.0,)):g}; probabilities rise with the degree"
        )
    yield _decision("protection", protection)
    if "degree" in protection:
        for name, choices in (("protect_low", low or (0.0,)), ("protect_high", high or (0.2,))):
            numbers = [float(choice) for choice in choices]
            yield _decision(name, numbers, {_PROTECTION: ("degree",)})


def quantized(network: nn.Module, architecture: Architecture, task: Task) -> nn.Module:
    """The network with its quantizers."""
    del task
    choices = architecture.choices
    how = options(choices)
    if any(named(name) in choices for name, _ in COMPONENTS.values()):
        quantize(network, precision(choices, ALL), how)
    else:
        for path, module in _parts(network):
            quantize(module, precision(choices, group_of(path, architecture)), how)
    if choices.get(_PROTECTION) == "degree":
        low, high = (float(choices[named(f"protect_{end}")]) for end in ("low", "high"))
        return protect(network, low, high)
    return network


def _parts(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a network of the space `gnn` that are in one group each."""
    for name, part in network.named_children():
        if name != "body":
            yield name, part
            continue
        for of_layers, modules in part.named_children():
            yield from (
                (f"{name}.{of_layers}.{number}", module)
                for number, module in modules.named_children()
            )


def _deployed(network: nn.Module, architecture: Architecture) -> nn.Module:
    del architecture
    return settled(network)
