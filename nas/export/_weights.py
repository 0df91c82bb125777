"""`weights.safetensors`: a network's weights in as many bits as they have, and reading them back.

What no quantizer read is there by its name, as it is. Quantized weights are integers, by
`search_spaces.quantization.storage`: int8 and int16 in their shape, fewer bits packed into flat
uint8, with `NAME.scale` beside them. How each is to be read stands in the file's metadata, as JSON
under "quantized".
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nas.export._base import BundleError
from search_spaces import SpaceError
from search_spaces.quantization.codes import Codes
from search_spaces.quantization.storage import SCALE, Stored, codes_of, described, packed, unpacked

_QUANTIZED = "quantized"
_INT8 = "8"
# A weight that is 16 bits, or on no grid of eight, is changed by being put on one by more.
_SAME = 1e-5


def stored(
    searched: nn.Module, leaving: nn.Module, codes: Mapping[str, Codes]
) -> tuple[dict[str, Tensor], dict[str, Stored]]:
    """What is written: tensors by name, and how those are to be read that are integers.

    Args:
        searched: the network with its quantizers.
        leaving: what is written as a program; its state decides which weights there are.
        codes: weights that the program has as 8-bit integers. One whose network has it in fewer
            bits, with the same values, is stored in those.
    """
    tensors = {name: tensor.detach() for name, tensor in leaving.state_dict().items()}
    compact, known = packed(searched), described(searched)
    how: dict[str, Stored] = {}
    for name, tensor in list(tensors.items()):
        program = codes[name].dequantized() if name in codes else tensor
        own = codes_of(name, compact, known).dequantized() if name in known else None
        if own is not None and _alike(own, program):
            tensors[name], tensors[name + SCALE] = compact[name], compact[name + SCALE]
            how[name] = known[name]
        elif name in codes:
            tensors[name] = codes[name].values.to(torch.int8)
            tensors[name + SCALE] = codes[name].scale
            shape = tuple(codes[name].values.shape)
            how[name] = Stored(_INT8, 8, shape, codes[name].low, codes[name].high)
    return tensors, how


def _alike(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    return bool((one - other).abs().max() <= _SAME * max(float(one.abs().max()), 1e-30))


def content(tensors: Mapping[str, Tensor], how: Mapping[str, Stored]) -> bytes:
    """The file: the same bytes for the same weights."""
    text = json.dumps({name: asdict(each) for name, each in sorted(how.items())})
    metadata = {_QUANTIZED: text} if how else None
    return save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)


def tensor_bytes(written: bytes) -> int:
    """How many bytes of a file are tensors: all but its header."""
    return len(written) - 8 - int.from_bytes(written[:8], "little")


def numbers(path: Path) -> dict[str, Tensor]:
    """The weights of a file as floating-point numbers, by name: what the network computes with.

    Raises:
        BundleError: it cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            text = (file.metadata() or {}).get(_QUANTIZED, "{}")
        read = {name: _read(each) for name, each in json.loads(text).items()}
        return unpacked(tensors, read)
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError, SpaceError) as error:
        raise BundleError(f"{path} cannot be read ({error}); export the network again") from error


def _read(value: Mapping[str, object]) -> Stored:
    given = dict(value)
    shape = given.pop("shape")
    if not isinstance(shape, list):
        raise TypeError(f"expected a shape, got {shape!r}")
    return Stored(shape=tuple(int(size) for size in shape), **given)  # type: ignore[arg-type]
