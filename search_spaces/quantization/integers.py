"""What low-precision networks compute, in integers: the reference for fake quantization.

With codes x = (X - p) s and w = (W - q) t, a product and a sum are integers times one scale:

    sum over k of x_ik w_jk = s t sum over k of (X_ik - p) (W_jk - q)
    sum over edges e into i of x_e = s sum over e of (X_e - p)

Benoit Jacob, Skirmantas Kligys, Bo Chen, Menglong Zhu, Matthew Tang, Andrew Howard, Hartwig Adam,
Dmitry Kalenichenko: Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference (2018). Binary products: Mohammad Rastegari, Vicente Ordonez,
Joseph Redmon, Ali Farhadi: XNOR-Net (2016).

The integers are exact. The same computed with floating-point numbers of the same values differs by
their rounding: about 1e-15 of the largest sum in float64, 1e-6 in float32, and nothing where the
scales are powers of two and the sums below 2^53 (2^24 in float32).

Limits: for tests and for reading. It is slow.
"""

import torch
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.quantization.bits import pack, packed_bytes
from search_spaces.quantization.codes import Codes

LARGEST = 2**31 - 1


def product(x: Codes, weight: Codes) -> Codes:
    """A linear map: x [N, F] and weight [O, F] -> [N, O], summed up in int32.

    Scales and zero points are of the whole tensor, or of each row: [N, 1] and [O, 1].

    Raises:
        SpaceError: a sum might be beyond int32, or a scale is not the same along a row.
    """
    fan_in = x.values.shape[1]
    _check_sums(fan_in * _reach(x) * _reach(weight), f"{fan_in} products")
    p, q = _of_rows(x.zero_point).int(), _of_rows(weight.zero_point).int()
    total_x = x.values.sum(dim=1, keepdim=True, dtype=torch.int32)
    total_w = weight.values.sum(dim=1, keepdim=True, dtype=torch.int32)
    # (X - p) (W - q), without ever making X - p: what a machine keeps is X and W.
    sums = torch.mm(x.values, weight.values.T) - q.T * total_x - p * total_w.T + fan_in * p * q.T
    return _sums(sums, _of_rows(x.scale) * _of_rows(weight.scale).T)


def edge_sum(messages: Codes, targets: Tensor, n_nodes: int) -> Codes:
    """What arrives at each node: messages [E, F], targets [E] -> [N, F], summed up in int32.

    Raises:
        SpaceError: a sum might be beyond int32, or the messages have not all the same scale.
    """
    if messages.scale.numel() != 1 or messages.zero_point.numel() != 1:
        raise SpaceError(
            f"messages of different scales cannot be summed up as integers: expected one scale, "
            f"got one of shape {tuple(messages.scale.shape)}"
        )
    most = int(torch.bincount(targets, minlength=1).max()) if targets.numel() else 0
    _check_sums(most * _reach(messages), f"{most} messages")
    centered = messages.values - messages.zero_point.int()
    sums = centered.new_zeros(n_nodes, *centered.shape[1:]).index_add_(0, targets, centered)
    return _sums(sums, messages.scale)


def binary_product(x: Codes, weight: Codes) -> Codes:
    """As `product`, of -1 and +1 alone: F - 2 popcount(x xor w) of bits packed into bytes."""
    fan_in = x.values.shape[1]
    for codes in (x, weight):
        if not bool((codes.values.abs() == 1).all()):
            raise SpaceError("expected integers that are -1 or +1")
    differing = _signs(x).unsqueeze(1) ^ _signs(weight).unsqueeze(0)
    counts = torch.tensor([byte.bit_count() for byte in range(256)], dtype=torch.int32)
    popcount = counts[differing.to(torch.int64)].sum(dim=-1, dtype=torch.int32)
    return _sums(fan_in - 2 * popcount, _of_rows(x.scale) * _of_rows(weight.scale).T)


def _signs(codes: Codes) -> Tensor:
    """[N, F] -> [N, bytes]."""
    rows, fan_in = codes.values.shape
    packed = [pack((row + 1) // 2, 1) for row in codes.values]
    return torch.stack(packed) if rows else torch.empty(0, packed_bytes(fan_in, 1)).byte()


def _sums(values: Tensor, scale: Tensor) -> Codes:
    zero = torch.zeros((), dtype=torch.int32)
    return Codes(values, scale, zero, -LARGEST - 1, LARGEST)


def _of_rows(of: Tensor) -> Tensor:
    """A scale or zero point as [1, 1] or [N, 1]."""
    if of.dim() < 2 and of.numel() == 1:
        return of.reshape(1, 1)
    if of.dim() != 2 or of.shape[1] != 1:
        raise SpaceError(
            f"expected one scale for the tensor or for each row, [N, 1], got {tuple(of.shape)}"
        )
    return of


def _reach(codes: Codes) -> int:
    """The largest abs(value - zero_point), and abs(value)."""
    points: list[int] = [0, *codes.zero_point.flatten().int().tolist()]
    return max(max(abs(codes.low - p), abs(codes.high - p)) for p in points)


def _check_sums(largest: int, what: str) -> None:
    if largest > LARGEST:
        raise SpaceError(
            f"{what} may sum up to {largest}, beyond int32 ({LARGEST}); use fewer bits"
        )
