"""`weights.safetensors`: a network's weights in as many bits as they have, and reading them back.

What no quantizer read is there by its name, as it is. Quantized weights are integers, by
`search_spaces.quantization.storage`: int8 and int16 in their shape, fewer bits packed into flat
uint8, with `NAME.scale` beside them. Of weights with single entries pruned there are those that
are left, flat, with `NAME.mask` beside them, by `search_spaces.sparsity.storage`; those may be
integers, too. How each is to be read stands in the file's metadata, as JSON under "quantized" and
"sparse".
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nas.export._base import BundleError
from nas.export._manifest import WEIGHTS
from nas.export._stored import said_of
from search_spaces import SpaceError
from search_spaces.quantization.codes import Codes
from search_spaces.quantization.storage import SCALE, Stored, codes_of, described, packed, unpacked
from search_spaces.sparsity.storage import MASK, Left, compressed, decompressed, is_smaller, masks

_QUANTIZED, _SPARSE = "quantized", "sparse"
# What safetensors and torch raise of bytes that are none; pydantic's errors are ValueErrors.
_NO_WEIGHTS = (
    OSError,
    SafetensorError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
)
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


def without_zeros(
    searched: nn.Module, tensors: Mapping[str, Tensor], how: Mapping[str, Stored]
) -> tuple[dict[str, Tensor], dict[str, Left]]:
    """What is written of weights with single entries pruned: those that are left, where it is less.

    Args:
        searched: the network with its masks.
        tensors, how: what `stored` gives.

    Returns:
        All tensors, and how those are to be read that are not whole.
    """
    found, left = dict(tensors), dict[str, Left]()
    for name, (density, mask) in masks(searched).items():
        integers = how.get(name)
        bits = 8 * tensors[name].element_size() if integers is None else integers.bits
        pair = compressed(tensors[name], mask, integers) if is_smaller(density, bits) else None
        if pair is not None:
            found[name], found[name + MASK] = pair
            left[name] = Left(tuple(mask.shape))
    return found, left


def notes(
    how: Mapping[str, Stored], left: Mapping[str, Left], codes: Mapping[str, Codes]
) -> tuple[str, ...]:
    """What is said of weights of few bits, and of those of which entries were left out.

    Args:
        how, left: what is written.
        codes: weights that the program has as 8-bit integers.
    """
    counts = Counter((each.bits, name in codes) for name, each in how.items())
    said = [
        f"{count} of its weight tensors {'is' if count == 1 else 'are'} stored in {bits} "
        f"bit{'s' * (bits > 1)}, which makes {WEIGHTS} smaller and nothing else: the program "
        f"computes with {'8-bit integers' if by_integers else 'float32'}."
        for (bits, by_integers), count in sorted(counts.items())
        if bits < 8 or not by_integers
    ]
    if left:
        said.append(
            f"{len(left)} of its weight tensors {'is' if len(left) == 1 else 'are'} stored without "
            f"{'its' if len(left) == 1 else 'their'} zeros in {WEIGHTS}; nas.load_weights gives "
            "them whole."
        )
    return tuple(said)


def content(
    tensors: Mapping[str, Tensor],
    how: Mapping[str, Stored],
    left: Mapping[str, Left] | None = None,
) -> bytes:
    """The file: the same bytes for the same weights."""
    described_: dict[str, Mapping[str, Stored | Left]] = {_QUANTIZED: how, _SPARSE: left or {}}
    metadata = {
        key: json.dumps({name: asdict(each) for name, each in sorted(values.items())})
        for key, values in described_.items()
        if values
    }
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return save(whole, metadata or None)


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
            metadata = file.metadata() or {}
        read, left = said_of(metadata, _QUANTIZED, _SPARSE, tensors)
        return unpacked(_whole(tensors, read, left), read)
    except SpaceError as error:
        raise BundleError(f"{path} cannot be read ({error}); export the network again") from error
    except _NO_WEIGHTS as error:
        reason = str(error).strip().partition("\n")[0]
        raise BundleError(f"{path} cannot be read ({reason}); export the network again") from error


def _whole(
    tensors: Mapping[str, Tensor], how: Mapping[str, Stored], left: Mapping[str, Left]
) -> dict[str, Tensor]:
    """With zeros where entries were left out."""
    found = dict(tensors)
    for name, each in left.items():
        found[name] = decompressed(tensors[name], found.pop(name + MASK), each, how.get(name))
    return found
