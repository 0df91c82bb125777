"""The weights of a low-precision network in as many bits as they have.

What a network keeps, by name of its state, becomes: 8 bits int8 and 16 bits int16 in the shape of
the weights; fewer bits a flat uint8 (`search_spaces.quantization.bits`) of each integer less the
least one; `NAME.scale` beside it, float32. Whatever no quantizer reads stays as it is, and what a
quantizer of weights has of its own is left out. Weights have 0 for their zero point.

All of it works on the meta device, where shapes are what counts: how many bytes a network takes is
known without its weights.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from search_spaces.errors import SpaceError
from search_spaces.quantization.bits import BITS, pack, packed_bytes, unpack
from search_spaces.quantization.codes import Codes
from search_spaces.quantization.layers import quantized_weights
from search_spaces.quantization.quantizers import WeightQuantizer

SCALE = ".scale"
# How the state of what rounds a weight begins, after the weight's name.
QUANTIZER = "_quantizer."
_TYPES = {8: torch.int8, 16: torch.int16}


@dataclass(frozen=True)
class Stored:
    """How a weight is stored.

    Attributes:
        format: the name of its number format.
        bits: of each integer.
        shape: of the weight.
        low, high: the least and the largest integer.
    """

    format: str
    bits: int
    shape: tuple[int, ...]
    low: int
    high: int

    @property
    def is_binary(self) -> bool:
        """Whether the integers are -1 and +1 alone, so that one bit is enough."""
        return self.bits == 1


def described(network: nn.Module) -> dict[str, Stored]:
    """Of each quantized weight, by its name in the network's state, how `packed` stores it."""
    return {name: stored for name, _, stored in _coded(network)}


def packed(network: nn.Module) -> dict[str, Tensor]:
    """The state of a network with its quantized weights as integers, on the network's device.

    Names are those of the state, and `NAME.scale` for each quantized weight. The network is left as
    it was.
    """
    state, tensors = network.state_dict(), {}
    for name, codes, stored in _coded(network):
        tensors[name] = _stored(codes.values, stored)
        tensors[name + SCALE] = codes.scale.detach()
        state = {n: t for n, t in state.items() if not n.startswith(name + QUANTIZER)}
    return {name: tensor.detach() for name, tensor in state.items()} | tensors


def stored_bytes(network: nn.Module) -> int:
    """How many bytes `packed` makes of a network, by arithmetic alone: fast on any device."""
    total = 0
    for module in _each(network):
        kept = [*module._buffers.items(), *module._parameters.items()]
        left_out = module._non_persistent_buffers_set
        total += sum(t.nbytes for name, t in kept if t is not None and name not in left_out)
    for _, parameter, quantizer in quantized_weights(network):
        size, scales = parameter.element_size(), quantizer.scales(parameter.shape)
        rounded = packed_bytes(parameter.numel(), quantizer.format.bits)
        total += rounded + scales * size - parameter.nbytes
    return total


def _each(network: nn.Module) -> Iterator[nn.Module]:
    """What has a state, by every name that it has; not what rounds weights."""
    for _, module in network.named_modules(remove_duplicate=False):
        if not isinstance(module, WeightQuantizer):
            yield module


def unpacked(tensors: Mapping[str, Tensor], described: Mapping[str, Stored]) -> dict[str, Tensor]:
    """A state as it is without quantizers of weights: the rounded weights as numbers.

    Raises:
        SpaceError: a described weight is not there, or has another size.
    """
    state = dict(tensors)
    for name in described:
        codes = codes_of(name, tensors, described)
        del state[name + SCALE]
        state[name] = codes.dequantized()
    return state


def codes_of(name: str, tensors: Mapping[str, Tensor], described: Mapping[str, Stored]) -> Codes:
    """One weight as integers.

    Raises:
        SpaceError: it is not there, or has another size.
    """
    stored = described[name]
    missing = sorted({name, name + SCALE} - {*tensors})
    if missing:
        raise SpaceError(f"the stored weights lack {missing[0]}; they are not complete")
    tensor, scale = tensors[name], tensors[name + SCALE]
    if stored.bits in _TYPES:
        if tuple(tensor.shape) != stored.shape:
            raise SpaceError(f"{name}: expected {stored.shape}, got {tuple(tensor.shape)}")
        values = tensor.to(torch.int32)
    else:
        count = torch.Size(stored.shape).numel()
        values = unpack(tensor, stored.bits, count).view(stored.shape)
        values = 2 * values - 1 if stored.is_binary else values + stored.low
    return Codes(values, scale, torch.zeros_like(scale, dtype=torch.int32), stored.low, stored.high)


def _stored(values: Tensor, stored: Stored) -> Tensor:
    if stored.bits in _TYPES:
        return values.to(_TYPES[stored.bits])
    return pack((values + 1) // 2 if stored.is_binary else values - stored.low, stored.bits)


def _coded(network: nn.Module) -> Iterator[tuple[str, Codes, Stored]]:
    for name, parameter, quantizer in quantized_weights(network):
        codes, format_ = quantizer.codes(parameter.detach()), quantizer.format
        if format_.bits not in (*_TYPES, *BITS):
            raise SpaceError(f"{name}: there is no way to store {format_.bits} bits")
        shape = tuple(parameter.shape)
        yield name, codes, Stored(format_.name, format_.bits, shape, codes.low, codes.high)
