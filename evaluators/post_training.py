"""Trained networks brought to few bits without training them: only a calibration graph is needed.

Nothing here reads a label. What is called a batch is what a network is called with:
`(x, edge_index)`, or `(x, edge_index, graph_ids, graphs)`.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import Linear as PygLinear
from torch_geometric.nn import MessagePassing

from evaluators._flex_round import FlexRounding
from search_spaces.errors import SpaceError
from search_spaces.quantization.layers import (
    Precision,
    activation_quantizers,
    quantize,
    quantized_weights,
)
from search_spaces.quantization.quantizers import Options, WeightQuantizer

# What is learned together, unless it is within one of these.
_BLOCKS = (MessagePassing, nn.Linear, PygLinear)
STEPS, LEARNING_RATE = 200, 3e-3
# How often the error over all batches is looked at while a block is learned.
_LOOKS = 10


def round_to_nearest(
    network: nn.Module,
    precision: Precision,
    options: Options,
    batches: Sequence[tuple[Tensor, ...]],
) -> nn.Module:
    """A copy of a trained network with its numbers rounded, ranges of activations as observed.

    Args:
        network: trained, of full precision; it is left as it was.
        precision: of all its modules.
        options: how numbers are rounded; scales are observed.
        batches: for the ranges, in one pass: quantizers as in training, all else as in evaluation.

    Raises:
        SpaceError: scales that only training can learn.
    """
    if options.scales != "observed":
        raise SpaceError(
            f'scales: without training expected "observed", got "{options.scales}"; the extension '
            '"quantization" trains with such scales'
        )
    rounded = quantize(copy.deepcopy(network), precision, options).eval()
    for _, quantizer in activation_quantizers(rounded):
        quantizer.train()
    with torch.no_grad():
        for batch in batches:
            rounded(*batch)
    return rounded.eval()


def flex_round(
    network: nn.Module,
    precision: Precision,
    options: Options,
    batches: Sequence[tuple[Tensor, ...]],
    *,
    steps: int = STEPS,
    learning_rate: float = LEARNING_RATE,
) -> nn.Module:
    """A copy as `round_to_nearest` makes it, with the rounding of weights learned.

    Jung Hyun Lee, Jeonghoon Kim, Se Jung Kwon, Dongsoo Lee: FlexRound: Learnable Rounding based on
    Element-wise Division for Post-Training Quantization (2023). Block by block, in the order in
    which they are called, the rounding W' (see `evaluators._flex_round`) is fitted by Adam to

        min  |block(X) - block'(X~)|^2 / |block(X)|^2

    with X what the network gives a block, and X~ what the network gives it whose earlier blocks
    are rounded already, activations with them. A block is a layer of message passing or a linear
    map. The best rounding seen is kept, so that no block is worse than rounded to nearest.

    Our reading, where the paper's blocks are those of a transformer: ranges of activations stay as
    observed.

    Args:
        network, precision, options, batches: as for `round_to_nearest`.
        steps: of each block, one batch after the other.
        learning_rate: of Adam, in the logarithms of divisors.

    Raises:
        SpaceError: the weights are binary, ternary or of full precision, or as above.
    """
    for format_ in (precision.weight, precision.attention_weight):
        if not format_.is_uniform:
            raise SpaceError(
                f'weight bits: FlexRound divides weights of 2 to 16 bits, got "{format_.name}"; '
                "round them to nearest"
            )
    rounded = round_to_nearest(network, precision, options, batches)
    for name in _in_order(rounded, batches[0]):
        targets = _calls(network, name, batches)
        calls = _calls(rounded, name, batches)
        block = Block(rounded.get_submodule(name), calls, [call.output for call in targets])
        block.learn(steps, learning_rate)
    return rounded


@dataclass(frozen=True)
class Call:
    """How a module was called, and what it gave."""

    arguments: tuple[Any, ...]
    named: Mapping[str, Any]
    output: Tensor


class Block:
    """A module with rounded weights, and what it is to give.

    Args:
        module: of the rounded network.
        calls: of it.
        targets: of each, what the module of full precision gave.
    """

    def __init__(self, module: nn.Module, calls: Sequence[Call], targets: Sequence[Tensor]) -> None:
        self._module = module
        self._each = list(zip(calls, targets, strict=True))
        self._size = sum(float(target.square().sum()) for target in targets) or 1.0

    def error(self) -> float:
        """Of all calls: |block(X) - block'(X~)|^2 / |block(X)|^2."""
        with torch.no_grad():
            return sum(float(self._of(*pair)) for pair in self._each)

    @torch.enable_grad()
    def learn(self, steps: int, learning_rate: float) -> None:
        """Learn the rounding, and keep it: full-precision weights become those on the grid."""
        places = [_Place.of(self._module, *found) for found in quantized_weights(self._module)]
        for place in places:
            place.open()
        free = [p for place in places for p in place.rounding.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(free, learning_rate)
        best = self.error()
        kept = [p.detach().clone() for p in free]
        for step in range(1, steps + 1):
            optimizer.zero_grad()
            torch.autograd.backward(self._of(*self._each[step % len(self._each)]), inputs=free)
            optimizer.step()
            if step % max(1, steps // _LOOKS) == 0 and (error := self.error()) < best:
                best, kept = error, [p.detach().clone() for p in free]
        for parameter, value in zip(free, kept, strict=True):
            parameter.data.copy_(value)
        for place in places:
            place.close()

    def _of(self, call: Call, target: Tensor) -> Tensor:
        given: Tensor = self._module(*call.arguments, **call.named)
        return (given - target).square().sum() / self._size


@dataclass(frozen=True)
class _Place:
    """Where a weight is rounded: by its quantizer, or by what learns to."""

    owner: nn.Module
    name: str
    weight: Tensor
    quantizer: WeightQuantizer
    rounding: FlexRounding

    @classmethod
    def of(cls, block: nn.Module, path: str, weight: Tensor, by: WeightQuantizer) -> "_Place":
        owner = block.get_submodule(path.rpartition(".")[0])
        name = next(name for name, module in owner.named_children() if module is by)
        return cls(owner, name, weight, by, FlexRounding(by, weight))

    def open(self) -> None:
        setattr(self.owner, self.name, self.rounding)

    def close(self) -> None:
        codes, scale = self.rounding.codes(self.weight), self.rounding.step().detach()
        self.weight.data.copy_(codes * scale)
        self.quantizer.keep(scale)
        setattr(self.owner, self.name, self.quantizer)


def _blocks(network: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The outermost modules that are learned together."""
    for name, module in network.named_children():
        place = f"{path}{name}"
        if isinstance(module, _BLOCKS):
            if any(quantized_weights(module)):
                yield place, module
        else:
            yield from _blocks(module, f"{place}.")


def _in_order(network: nn.Module, batch: tuple[Tensor, ...]) -> list[str]:
    """The names of its blocks, as they are called; of one that is not, none."""
    found: dict[str, None] = {}
    hooks = []
    for name, module in _blocks(network):
        note = lambda *_, name=name: found.setdefault(name)  # noqa: E731
        hooks.append(module.register_forward_pre_hook(note))
    try:
        with torch.no_grad():
            network(*batch)
    finally:
        for hook in hooks:
            hook.remove()
    return [*found]


def _calls(network: nn.Module, name: str, batches: Sequence[tuple[Tensor, ...]]) -> list[Call]:
    """How a module of a network is called for the batches, in evaluation mode."""
    found: list[Call] = []

    def note(_module: nn.Module, given: Any, named: Any, output: Tensor) -> None:
        found.append(Call(given, named, output))

    was_training = network.training
    hook = network.get_submodule(name).register_forward_hook(note, with_kwargs=True)
    try:
        network.eval()
        with torch.no_grad():
            for batch in batches:
                network(*batch)
    finally:
        hook.remove()
        network.train(was_training)
    return found
