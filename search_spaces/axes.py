"""Which dimensions of a module's tensors grow with what it reads, and which with what it gives.

Found by building the module on torch's meta device for three pairs of widths: no operator says it,
and any that has such tensors can be sliced, one from outside too.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import nn

from search_spaces.errors import SpaceError

# Of (width of the input, width of the output).
Build: TypeAlias = Callable[[int, int], nn.Module]
_INPUTS, _OUTPUTS = (11, 13), (5, 7)


@dataclass(frozen=True)
class Axis:
    """One or several neighboring dimensions of a tensor.

    Attributes:
        kind: reads: as long as the input is wide; writes: as the output, where several dimensions
            (heads, width of a head) multiply to it; fixed: neither.
        sizes: of its dimensions; only those of a fixed one and the heads are the same for all
            widths.
    """

    kind: Literal["reads", "writes", "fixed"]
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """A parameter's axes, in order.

    Attributes:
        heads: by how many the output is divided in it; 1 where it is not.
    """

    axes: tuple[Axis, ...]
    heads: int = 1


def axes(build: Build, groups: int, what: str) -> Mapping[str, Tensor]:
    """Of each parameter of a module, by its name within.

    Args:
        build: makes the module for a width of its input and of its output.
        groups: divides all widths of outputs.
        what: begins the message of an error.

    Raises:
        SpaceError: a parameter with a dimension that is none of them.
    """
    narrow, wide = (size * groups for size in _OUTPUTS)
    shapes = [
        _shapes(build, *widths)
        for widths in ((_INPUTS[0], narrow), (_INPUTS[1], narrow), (_INPUTS[0], wide))
    ]
    if any(shape.keys() != shapes[0].keys() for shape in shapes):
        raise SpaceError(f"{what}: it has other parameters at other widths, so it has no slices")
    return {
        name: _tensor([shape[name] for shape in shapes], (narrow, wide), f"{what}: {name}")
        for name in shapes[0]
    }


def _shapes(build: Build, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        module = build(inputs, outputs)
    return {name: tuple(p.shape) for name, p in module.named_parameters()}


def _tensor(
    shapes: Sequence[tuple[int, ...]],
    outputs: tuple[int, int],
    what: str,
) -> Tensor:
    """Its shapes are as it is, with another input, and with another output."""
    if len({len(shape) for shape in shapes}) > 1:
        raise SpaceError(f"{what} has other dimensions at other widths, so it has no slices")
    found: list[Axis] = []
    for sizes in zip(*shapes, strict=True):
        found.append(_axis(sizes, outputs, found, what))
    if sum(axis.kind == "reads" for axis in found) > 1:
        raise SpaceError(f"{what} reads its input twice, so it has no slices")
    heads = [axis.sizes[0] for axis in found if len(axis.sizes) > 1]
    return Tensor(tuple(found), math.prod(heads))


def _axis(sizes: tuple[int, ...], outputs: tuple[int, int], found: list[Axis], what: str) -> Axis:
    """The axis of a dimension, which takes the one before into it where both are the output."""
    size, with_input, with_output = sizes
    if size == with_input == with_output:
        return Axis("fixed", (size,))
    if (size, with_input) == _INPUTS and with_output == size:
        return Axis("reads", (size,))
    if with_input == size and (size, with_output) == outputs:
        return Axis("writes", (size,))
    heads = found[-1].sizes[0] if found and found[-1].kind == "fixed" else 0
    if with_input == size and (size * heads, with_output * heads) == outputs:
        found.pop()
        return Axis("writes", (heads, size))
    raise SpaceError(
        f"{what} has a dimension that is neither as long as the input is wide nor as the output "
        f"({size}, where they are {_INPUTS[0]} and {outputs[0]}), so it has no slices"
    )


def flat(shape: Sequence[int], tensor: Tensor) -> Iterator[int]:
    """The length of each axis of a tensor of this shape."""
    start = 0
    for axis in tensor.axes:
        stop = start + len(axis.sizes)
        yield math.prod(shape[start:stop])
        start = stop
