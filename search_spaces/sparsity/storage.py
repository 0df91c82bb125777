"""The weights of a sparse network as they are stored: which entries are left, and these alone.

A weight of n entries of which k are left becomes two flat tensors: `NAME.mask`, a bit an entry in
row-major order (`search_spaces.quantization.bits`), and NAME, the k entries in that order, float32
or the integers that quantization makes of them, packed as it packs them.

    bits = n + k * b  in place of  n * b

That is less exactly where k / n + 1 / b < 1. Whether a weight is stored so is decided by the
density that its architecture declares, so the size is known before anything is trained.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from search_spaces.errors import SpaceError
from search_spaces.quantization.bits import pack, packed_bytes, unpack
from search_spaces.quantization.layers import quantized_weights
from search_spaces.quantization.storage import Stored, stored_bytes
from search_spaces.sparsity.edges import Scored
from search_spaces.sparsity.network import Sparse
from search_spaces.sparsity.planning import scope_of
from search_spaces.sparsity.pruning import prunable

MASK = ".mask"


@dataclass(frozen=True)
class Left:
    """How a weight is stored of which entries are left out.

    Attributes:
        shape: of the weight.
    """

    shape: tuple[int, ...]


def is_smaller(density: float, bits: int) -> bool:
    """Whether a mask and the entries that are left take less than all entries of so many bits.

    >>> is_smaller(0.9, 32), is_smaller(0.9, 8), is_smaller(0.5, 2)
    (True, False, False)
    """
    return density + 1 / bits < 1


def masks(network: nn.Module) -> dict[str, tuple[float, Tensor]]:
    """Of each weight with single entries pruned the declared density, and which are left.

    Names are those of the network's state.
    """
    return {
        name: (sparse.plan.weight_density, sparse.sparsity.mask(own))
        for sparse, own, name, _ in _pruned(network)
    }


def compressed(tensor: Tensor, mask: Tensor, stored: Stored | None) -> tuple[Tensor, Tensor] | None:
    """The entries that are left, and which these are, a bit each; None if another one is not 0.

    Args:
        tensor: the weight as it is, or as `stored` says.
        mask: in its shape, which entries are left.
        stored: how quantization has stored it; None for one that it has not.
    """
    entries, zero = _entries(tensor, mask.numel(), stored)
    flat = mask.flatten()
    if bool((entries[~flat] != zero).any()):
        return None
    left = entries[flat]
    return left if stored is None or _is_typed(stored) else pack(left, stored.bits), pack(flat, 1)


def decompressed(left: Tensor, mask: Tensor, how: Left, stored: Stored | None) -> Tensor:
    """The weight as it was before `compressed`.

    Raises:
        SpaceError: the mask, or what is left, has another size.
    """
    count = torch.Size(how.shape).numel()
    flat = unpack(mask, 1, count).bool()
    expected = int(flat.sum())
    if stored is not None and not _is_typed(stored):
        left = unpack(left, stored.bits, expected)
    if left.dim() != 1 or left.numel() != expected:
        raise SpaceError(f"expected {expected} entries by its mask, got {list(left.shape)}")
    zero = 0 if stored is None or _is_typed(stored) else -stored.low
    entries = torch.full((count,), zero, dtype=left.dtype).masked_scatter(flat, left)
    if stored is not None and not _is_typed(stored):
        return pack(entries, stored.bits)
    return entries.view(how.shape)


def leaving_bytes(network: nn.Module) -> int:
    """How many bytes a trained network takes in a bundle, by arithmetic alone: fast on any device.

    As `search_spaces.quantization.storage.stored_bytes`, without what a sparse network remembers,
    and with weights compressed where they will be.
    """
    total = stored_bytes(network)
    for _, sparse in _sparse(network):
        total -= stored_bytes(sparse.sparsity)
        if isinstance(sparse.sparsity.edges, Scored):
            total += stored_bytes(sparse.sparsity.edges)
    return total - saved_bytes(network)


def saved_bytes(network: nn.Module) -> int:
    """How many bytes fewer the weights of a sparse network take once they are compressed.

    By what its architecture declares, before it is trained as well. Where all weights compete it
    holds of their sum, if all have as many bits; otherwise it is what may be expected.
    """
    bits = {name: q.format.bits for name, _, q in quantized_weights(network)}
    found = [
        (sparse, weight.numel(), bits.get(name, 8 * weight.element_size()))
        for sparse, _, name, weight in _pruned(network)
    ]
    every, dense, sparse_bits = sum(count for _, count, _ in found), 0, 0.0
    for sparse, count, each in found:
        density = sparse.plan.weight_density
        if is_smaller(density, each):
            among = count if scope_of(sparse.plan) == "layer" else every
            left = max(1, round(density * among)) * count / among
            dense += packed_bytes(count, each)
            sparse_bits += 8 * packed_bytes(count, 1) + left * each
    return dense - round(sparse_bits / 8)


def _sparse(network: nn.Module) -> Iterator[tuple[str, Sparse]]:
    for path, module in network.named_modules():
        if isinstance(module, Sparse):
            yield path, module


def _pruned(network: nn.Module) -> Iterator[tuple[Sparse, str, str, nn.Parameter]]:
    """Weights with single entries pruned: of whom, by which name there and in all, and itself."""
    for path, sparse in _sparse(network):
        if sparse.plan.weight_density < 1 and sparse.plan.structure == "none":
            for name, weight in prunable(sparse):
                yield sparse, name, f"{path}.{name}" if path else name, weight


def _entries(tensor: Tensor, count: int, stored: Stored | None) -> tuple[Tensor, int]:
    """Flat, and what stands for 0."""
    if stored is None or _is_typed(stored):
        return tensor.flatten(), 0
    return unpack(tensor, stored.bits, count), -stored.low


def _is_typed(stored: Stored) -> bool:
    """Whether its integers have a type of their own, and are not side by side in bytes."""
    return stored.bits in (8, 16)
