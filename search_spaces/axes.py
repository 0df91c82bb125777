"""Which dimensions of a module's tensors grow with what it reads, and which with what it gives.

Found by building the module on torch's meta device for a few pairs of widths: no operator says it,
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
# Of one dimension, or one side, in each of the modules that are tried.
_Sizes: TypeAlias = tuple[int, ...]
# Inputs that are narrower than every output; besides, one that is wider is tried.
_INPUTS, _OUTPUTS = (11, 13), (17, 19)


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


def axes(build: Build, groups: int, what: str, *, buffers: bool = False) -> Mapping[str, Tensor]:
    """Of each parameter of a module, by its name within.

    Args:
        build: makes the module for a width of its input and of its output.
        groups: divides all widths of outputs.
        what: begins the message of an error.
        buffers: whether those of its state count too.

    Raises:
        SpaceError: a parameter with a dimension that is none of them.
    """
    narrow, wide = (size * groups for size in _OUTPUTS)
    inputs = (*_INPUTS, _INPUTS[0], 2 * wide + 1)
    outputs = (narrow, narrow, wide, narrow)
    pairs = zip(inputs, outputs, strict=True)
    shapes = [_shapes(build, *widths, buffers=buffers) for widths in pairs]
    if any(shape.keys() != shapes[0].keys() for shape in shapes):
        raise SpaceError(f"{what} has other parameters at other widths, so it has no slices")
    return {
        name: _tensor([shape[name] for shape in shapes], (inputs, outputs), f"{what}: {name}")
        for name in shapes[0]
    }


def _shapes(
    build: Build, inputs: int, outputs: int, *, buffers: bool
) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        module = build(inputs, outputs)
    tensors = module.state_dict() if buffers else dict(module.named_parameters())
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _tensor(shapes: Sequence[tuple[int, ...]], widths: tuple[_Sizes, _Sizes], what: str) -> Tensor:
    """Its shapes for inputs and outputs of these widths."""
    if len({len(shape) for shape in shapes}) > 1:
        raise SpaceError(f"{what} has other dimensions at other widths, so it has no slices")
    found: list[Axis] = []
    for sizes in zip(*shapes, strict=True):
        found.append(_axis(sizes, widths, found, what))
    if sum(axis.kind == "reads" for axis in found) > 1:
        raise SpaceError(f"{what} reads its input twice, so it has no slices")
    heads = [axis.sizes[0] for axis in found if len(axis.sizes) > 1]
    return Tensor(tuple(found), math.prod(heads))


def _axis(sizes: _Sizes, widths: tuple[_Sizes, _Sizes], found: list[Axis], what: str) -> Axis:
    """The axis of a dimension, which takes the one before into it where both are the output."""
    inputs, outputs = widths
    if len(set(sizes)) == 1:
        return Axis("fixed", sizes[:1])
    if sizes == inputs:
        return Axis("reads", sizes[:1])
    if sizes == outputs:
        return Axis("writes", sizes[:1])
    heads = found[-1].sizes[0] if found and found[-1].kind == "fixed" else 0
    if tuple(size * heads for size in sizes) == outputs:
        found.pop()
        return Axis("writes", (heads, sizes[0]))
    raise SpaceError(
        f"{what} has a dimension that is neither as long as the input is wide nor as the output "
        f"({sizes[0]}, where they are {inputs[0]} and {outputs[0]}), so it has no slices"
    )


def flat(shape: Sequence[int], tensor: Tensor) -> Iterator[int]:
    """The length of each axis of a tensor of this shape."""
    start = 0
    for axis in tensor.axes:
        stop = start + len(axis.sizes)
        yield math.prod(shape[start:stop])
        start = stop
