"""Integers of few bits, side by side in bytes."""

import torch
from torch import Tensor

from search_spaces.errors import SpaceError

# Of integers that are stored this way; 8 and 16 bits have types of their own.
BITS = (1, 2, 3, 4, 6)


def packed_bytes(count: int, bits: int) -> int:
    """How many bytes so many integers take.

    >>> packed_bytes(5, 3)
    2
    """
    return -(-count * bits // 8)


def pack(integers: Tensor, bits: int) -> Tensor:
    """Integers of any shape, in [0, 2^bits), as flat uint8.

    The stream's bit i * bits + j is bit j, from the lowest, of the integer i in row-major order;
    its bit 8 k + j is bit j of byte k. What is left of the last byte is 0. On the meta device only
    the shape counts.

    Raises:
        SpaceError: not one of `BITS`, or an integer does not fit.
    """
    _check(bits)
    flat = integers.flatten().to(torch.int32)
    if flat.device.type != "meta" and bool(((flat < 0) | (flat >= 2**bits)).any()):
        raise SpaceError(
            f"expected integers in [0, {2**bits - 1}] for {bits} bits, got "
            f"[{int(flat.min())}, {int(flat.max())}]"
        )
    places = torch.arange(bits, dtype=torch.int32, device=flat.device)
    stream = ((flat.unsqueeze(1) >> places) & 1).flatten()
    missing = packed_bytes(flat.numel(), bits) * 8 - stream.numel()
    stream = torch.cat([stream, stream.new_zeros(missing)])
    places = torch.arange(8, dtype=torch.int32, device=flat.device)
    return (stream.view(-1, 8) << places).sum(dim=1).to(torch.uint8)


def unpack(packed: Tensor, bits: int, count: int) -> Tensor:
    """The first `count` integers of what `pack` made, flat, as int32.

    Raises:
        SpaceError: not one of `BITS`, or not as many bytes as the integers take.
    """
    _check(bits)
    if packed.numel() != packed_bytes(count, bits):
        raise SpaceError(
            f"expected {packed_bytes(count, bits)} bytes for {count} integers of {bits} bits, got "
            f"{packed.numel()}"
        )
    places = torch.arange(8, dtype=torch.int32, device=packed.device)
    stream = ((packed.to(torch.int32).unsqueeze(1) >> places) & 1).flatten()[: count * bits]
    places = torch.arange(bits, dtype=torch.int32, device=packed.device)
    return (stream.view(count, bits) << places).sum(dim=1).to(torch.int32)


def _check(bits: int) -> None:
    if bits not in BITS:
        raise SpaceError(f"{bits} bits are not stored side by side; expected one of {BITS}")
