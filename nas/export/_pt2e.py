"""A traced program with 8-bit integers in its linear maps, by torchao's flow for programs (pt2e).

Every linear map is converted, and nothing else. torchao's own choice for these processors
(`X86InductorQuantizer`) leaves out maps that it does not recognize (all of PyTorch Geometric, and
most of a sum of maps) without a word, rounds edge weights, and has scales of 2^-12 at least, where
features that are divided by their sum need finer ones.

What maps read has the grid that it was trained with, rounded by the very same operations, where it
was trained with one of 8 bits or fewer. Else it has the range from the least to the largest number
that was seen; over 14 operators that was as close as, or closer than, the range with the least
squared error over a histogram.
"""

import warnings
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torchao.quantization.pt2e.observer import MinMaxObserver, PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
)

from nas.export._int8 import HIGH, LOW, MOST_CODE, most_code, scales
from search_spaces.quantization.codes import Codes

_LINEAR = torch.ops.aten.linear.default
_DEQUANTIZE = torch.ops.quantized_decomposed.dequantize_per_tensor.default
_FINEST = torch.finfo(torch.float32).tiny


class _OnGrid(PerChannelMinMaxObserver):  # type: ignore[misc]
    """The scales of weights [out, in] that keep what lies on a grid."""

    def forward(self, weight: Tensor) -> Tensor:
        self.scale = scales(weight.detach())
        observed: Tensor = super().forward(weight)
        return observed

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        return self.scale, torch.zeros_like(self.scale, dtype=torch.int64)


_WEIGHT = QuantizationSpec(
    dtype=torch.int8,
    quant_min=LOW,
    quant_max=HIGH,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
    is_dynamic=False,
    observer_or_fake_quant_ctr=_OnGrid.with_args(eps=_FINEST),
)


def _read() -> QuantizationSpec:
    """What maps read, where the range is to be chosen."""
    return QuantizationSpec(
        dtype=torch.uint8,
        quant_min=0,
        quant_max=most_code(),
        qscheme=torch.per_tensor_affine,
        is_dynamic=False,
        observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=_FINEST),
    )


class _LinearMaps(Quantizer):  # type: ignore[misc]
    """Asks for integers wherever a program has a linear map.

    Args:
        grids: of what maps read, by the names of their weights; that is left to `_put_grids`.
        but: names of weights whose maps are left as they are.
    """

    def __init__(self, grids: Mapping[str, Codes], but: Collection[str]) -> None:
        super().__init__()
        self._grids = grids
        self._but = but

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        for node in _linear(model):
            read, weight = node.args[:2]
            if weight.target in self._but:
                continue
            asked = {} if weight.target in self._grids else {read: _read()}
            node.meta["quantization_annotation"] = QuantizationAnnotation(
                input_qspec_map={**asked, weight: _WEIGHT}, _annotated=True
            )
        return model

    def validate(self, model: fx.GraphModule) -> None:
        """Nothing is asked for that could not be."""


def quantized(
    program: ExportedProgram,
    sample: tuple[Tensor, ...],
    grids: Mapping[str, Codes],
    but: Collection[str] = (),
) -> tuple[fx.GraphModule, list[str]]:
    """A module that reads its linear maps' inputs as 8-bit integers, and whose weights are.

    Args:
        sample: inputs by which the ranges are chosen of what other maps read.
        grids: of what maps read, by the names of their weights.
        but: names of weights whose maps are left as they are.

    Returns: the module, and the names of the weights that were converted.
    """
    module = _with_plain_norms(program.module())
    names = [str(node.args[1].target) for node in _linear(module)]
    with torch.no_grad(), warnings.catch_warnings():
        # That it copies tensors in a way of which torch warns.
        warnings.simplefilter("ignore")
        prepared = prepare_pt2e(module, _LinearMaps(grids, but))
        prepared(*sample)
        converted: fx.GraphModule = convert_pt2e(prepared)
    kinds = ["dequantize_per_channel" in str(node.args[1].target) for node in _linear(converted)]
    found = [name for name, is_integer in zip(names, kinds, strict=True) if is_integer]
    _put_grids(converted, names, grids)
    return converted, list(dict.fromkeys(found))


def _put_grids(module: fx.GraphModule, names: list[str], grids: Mapping[str, Codes]) -> None:
    """Have maps read integers of grids that are known; the module is changed.

    Symmetric codes are moved up to be unsigned, as matrix products of integers read them.
    """
    for node, name in zip(_linear(module), names, strict=True):
        if name not in grids:
            continue
        grid = grids[name]
        moved = min(grid.low, 0)
        scale, zero = float(grid.scale), int(grid.zero_point)
        with module.graph.inserting_before(node):
            own = (node.args[0], scale, zero, grid.low, grid.high)
            codes = module.graph.call_function(_codes, (*own, moved))
            given = (codes, scale, zero - moved, 0, MOST_CODE, torch.uint8)
            node.replace_input_with(node.args[0], module.graph.call_function(_DEQUANTIZE, given))
    module.recompile()


def _codes(x: Tensor, scale: float, zero: int, low: int, high: int, moved: int) -> Tensor:
    """As `search_spaces.quantization.rounding.code` rounds, ties too."""
    return ((x / scale + zero).round().clamp(low, high) - moved).to(torch.uint8)


def _linear(module: fx.GraphModule) -> list[Any]:
    return [node for node in module.graph.nodes if node.target is _LINEAR]


def _with_plain_norms(module: fx.GraphModule) -> fx.GraphModule:
    """Batch normalization as arithmetic; the module is changed.

    Where there is any, torchao traces patterns of convolutions for half a minute, to find none.
    """
    for node in list(module.graph.nodes):
        if node.target is torch.ops.aten.batch_norm.default:
            x, weight, bias, mean, variance, training, _, eps = node.args[:8]
            if training:
                continue
            with module.graph.inserting_before(node):
                given = (x, weight, bias, mean, variance, eps)
                plain = module.graph.call_function(_normalized, given)
            node.replace_all_uses_with(plain)
            module.graph.erase_node(node)
    module.recompile()
    return module


def _normalized(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    eps: float,
) -> Tensor:
    shape = (1, -1, *(1,) * (x.dim() - 2))
    scale = (variance + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    return x * scale.view(shape) + shift.view(shape)


def in_plain_operations(module: fx.GraphModule) -> fx.GraphModule:
    """The same numbers by operations that torch has without torchao; the module is changed."""
    per_channel = torch.ops.quantized_decomposed.dequantize_per_channel.default
    for node in list(module.graph.nodes):
        if node.target is _DEQUANTIZE:
            quantize, *grid = node.args
            known = quantize.target is _codes
            given = quantize.args[:5] if known else (quantize.args[0], *grid[:4])
            with module.graph.inserting_before(node):
                plain = module.graph.call_function(_on_grid if known else _rounded, given)
        elif node.target is per_channel:
            values, scale = (getattr(module, str(given.target)) for given in node.args[:2])
            name = f"weight_{node.name}"
            module.register_buffer(name, values.float() * scale.unsqueeze(1))
            with module.graph.inserting_before(node):
                plain = module.graph.get_attr(name)
        else:
            continue
        node.replace_all_uses_with(plain)
        module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    return module


def _rounded(x: Tensor, scale: float, zero_point: int, low: int, high: int) -> Tensor:
    return (((x * (1.0 / scale)).round() + zero_point).clamp(low, high) - zero_point) * scale


def _on_grid(x: Tensor, scale: float, zero: int, low: int, high: int) -> Tensor:
    return ((x / scale + zero).round().clamp(low, high) - zero) * scale
