"""How the tensors of `weights.safetensors` say that they are to be read, checked before they are.

The file's metadata says of integers how many bits each has and of which shape the weight is, and of
weights with entries left out the shape. All of it is compared with the bytes that are there before
anything is made of it: a file cannot ask for more memory than its own size allows.
"""

import math
from collections.abc import Mapping
from typing import Annotated, TypeVar

import torch
from pydantic import Field, TypeAdapter
from torch import Tensor

from nas.export._base import Strict, shown
from search_spaces import SpaceError
from search_spaces.quantization.bits import BITS, packed_bytes
from search_spaces.quantization.storage import SCALE, Stored
from search_spaces.sparsity.storage import MASK, Left

_TYPED = {8: torch.int8, 16: torch.int16}
_MOST_DIMENSIONS = 8
_LEAST, _LARGEST = -(2**15), 2**16
Size = Annotated[int, Field(ge=0, lt=2**40)]
Shape = Annotated[tuple[Size, ...], Field(max_length=_MOST_DIMENSIONS)]
Integer = Annotated[int, Field(ge=_LEAST, le=_LARGEST)]


class _Integers(Strict):
    format: str
    bits: Annotated[int, Field(ge=1, le=16)]
    shape: Shape
    low: Integer
    high: Integer


class _Entries(Strict):
    shape: Shape


T = TypeVar("T", _Integers, _Entries)


def said_of(
    metadata: Mapping[str, str], quantized: str, sparse: str, tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Stored], dict[str, Left]]:
    """Which tensors are integers, of which entries were left out, and how to read them.

    Args:
        metadata: of the file; quantized, sparse: its keys.
        tensors: of the file.

    Raises:
        SpaceError, ValueError: what is said is not of these tensors.
    """
    integers = _read(_Integers, metadata.get(quantized, "{}"))
    entries = _read(_Entries, metadata.get(sparse, "{}"))
    for name in {**integers, **entries}:
        if name not in tensors:
            raise SpaceError(f"the stored weights lack {shown(name)}; they are not complete")
    for name, left in entries.items():
        _check_entries(name, left.shape, integers.get(name), tensors)
    for name, how in integers.items():
        _check_scale(name, how, tensors)
        if name not in entries:
            _check_integers(name, how, tensors[name])
    return (
        {name: Stored(**dict(how)) for name, how in integers.items()},
        {name: Left(each.shape) for name, each in entries.items()},
    )


def _read(kind: type[T], text: str) -> dict[str, T]:
    return TypeAdapter(dict[str, kind]).validate_json(text)  # type: ignore[valid-type]


def _check_integers(name: str, how: _Integers, tensor: Tensor) -> None:
    if how.bits in _TYPED:
        expected: tuple[torch.dtype, tuple[int, ...]] = _TYPED[how.bits], how.shape
    else:
        expected = torch.uint8, (_packed(name, math.prod(how.shape), how.bits),)
    _check(name, tensor, *expected)


def _check_entries(
    name: str, shape: tuple[int, ...], how: _Integers | None, tensors: Mapping[str, Tensor]
) -> None:
    if name + MASK not in tensors:
        raise SpaceError(f"the stored weights lack {shown(name + MASK)}; they are not complete")
    if how is not None and how.shape != shape:
        raise SpaceError(f"{shown(name)}: two shapes are said of it, {shape} and {how.shape}")
    _check(name + MASK, tensors[name + MASK], torch.uint8, (_packed(name, math.prod(shape), 1),))


def _check_scale(name: str, how: _Integers, tensors: Mapping[str, Tensor]) -> None:
    """One number, or one for each place along some of the weight's dimensions."""
    scale = tensors.get(name + SCALE)
    if scale is None:
        raise SpaceError(f"the stored weights lack {shown(name + SCALE)}; they are not complete")
    fits = len(scale.shape) == len(how.shape) and all(
        size in (1, whole) for size, whole in zip(scale.shape, how.shape, strict=True)
    )
    if not scale.dtype.is_floating_point or not (scale.numel() == 1 or fits):
        raise SpaceError(
            f"{shown(name + SCALE)}: expected a scale of {list(how.shape)}, got {scale.dtype} "
            f"{list(scale.shape)}"
        )


def _packed(name: str, count: int, bits: int) -> int:
    if bits not in BITS:
        raise SpaceError(f"{shown(name)}: {bits} bits are not stored; expected one of {BITS}")
    return packed_bytes(count, bits)


def _check(name: str, tensor: Tensor, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    if tensor.dtype != dtype or tuple(tensor.shape) != shape:
        raise SpaceError(
            f"{shown(name)}: expected {dtype} {list(shape)}, got {tensor.dtype} "
            f"{list(tensor.shape)}"
        )
