"""Fake quantization beside arithmetic on integers: linear maps, and sums of messages.

Each linear map that reads few bits by weights of few bits, and each sum over neighbors of messages
of few bits, is watched while its network runs in float64. What it gave is held against the integers
that `search_spaces.quantization.integers` sums up in int32. Biases are set to 0: they are added in
full precision. Where products could sum up to more than int32 has (16 bits times 16), nothing is
held against anything.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import log2
from typing import Any

import torch
from quantization_drawn import DATASET, Drawn
from reporting import Row, bounded, row
from torch import Tensor, nn
from torch_geometric.nn.aggr import SumAggregation

from search_spaces.quantization.codes import Codes
from search_spaces.quantization.integers import edge_sum, product
from search_spaces.quantization.mixins import Aggregates, Quantized, Reads

MOST_APART = 1e-12
BITS = 31
SAME, SHIFTED, SCALED = "as it is", "integers + 1 (control)", "scale x 2 (control)"


@dataclass(frozen=True)
class Compared:
    """One map or sum: how far integers are from what it gave, relative to its largest number.

    Attributes:
        kind: "linear maps" or "message sums".
        apart: with the integers as they are, and in each control.
    """

    kind: str
    apart: dict[str, float]


def rows_of(networks: Sequence[Drawn], *, powers: bool) -> list[Row]:
    """Args: powers, whether scales are powers of two, and integers the same bit for bit."""
    compared = [one for each in networks for one in compare(each.network)]
    scales = "scales that are powers of two" if powers else "scales of all kinds"
    bound, made = 0.0 if powers else MOST_APART, list[Row]()
    for kind in ("linear maps", "message sums"):
        found = [one.apart for one in compared if one.kind == kind]
        case = f"{len(found)} {kind}, {scales}, float64"
        largest = max((apart[SAME] for apart in found), default=None)
        made.append(
            bounded(row(case, "integers from floats, largest difference", largest), "<=", bound)
        )
        for control in (SHIFTED, SCALED):
            least = min((apart[control] for apart in found), default=None)
            made.append(bounded(row(case, f"{control}: smallest difference", least), ">", bound))
    return made


def compare(network: nn.Module) -> list[Compared]:
    """All maps and sums of a network that give other numbers than 0, and do not exceed int32."""
    network = copy.deepcopy(network).double().eval()
    found, hooks = list[Compared](), list[Any]()
    for module in network.modules():
        if isinstance(module, Reads):
            if "weight" in module.quantized_names:
                hooks.append(module.register_forward_hook(_of_map(found)))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, Aggregates) and _sums(module):
            hooks += _of_sum(module, found)
    with torch.no_grad():
        network(DATASET.x.double(), DATASET.edge_index)
    for hook in hooks:
        hook.remove()
    return found


def _sums(module: Quantized) -> bool:
    is_float = module.get_submodule("message_quantizer").format.is_float
    return issubclass(module.plain, SumAggregation) and not is_float


def _of_map(found: list[Compared]) -> Any:
    def watch(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        parameter = module._parameters["weight"]
        by, reads = module.weight_quantizer, module.input_quantizer
        if by.format.bits + reads.format.bits + log2(parameter.shape[1]) > BITS:
            return
        weight = by.codes(parameter)
        compared = _compared(reads.codes(inputs[0]), output, lambda x: product(x, weight))
        found.extend(Compared("linear maps", apart) for apart in compared)

    return watch


def _of_sum(module: Any, found: list[Compared]) -> list[Any]:
    """Messages come into the module, and their sum goes through its quantizer of aggregates."""
    messages: list[tuple[Codes, Tensor, int]] = []

    def before(_module: Any, inputs: tuple[Tensor, ...], named: dict[str, Any]) -> None:
        # Edges first: ARMA has its stacks there.
        dim = named["dim"]
        codes = module.message_quantizer.codes(inputs[0].movedim(dim, 0))
        messages.append((codes, named["index"], dim))

    def behind(_quantizer: Any, inputs: tuple[Tensor, ...]) -> None:
        codes, index, dim = messages.pop()
        sums = inputs[0].movedim(dim, 0)
        compared = _compared(codes, sums, lambda x: edge_sum(x, index, sums.shape[0]))
        found.extend(Compared("message sums", apart) for apart in compared)

    return [
        module.register_forward_pre_hook(before, with_kwargs=True),
        module.aggregation_quantizer.register_forward_pre_hook(behind),
    ]


def _compared(
    codes: Codes, given: Tensor, by_integers: Callable[[Codes], Codes]
) -> Iterator[dict[str, float]]:
    """None of one that gives 0 alone: nothing could be seen there."""
    largest = given.abs().max()
    if not bool(largest > 0):
        return
    others = {
        SAME: codes,
        SHIFTED: replace(codes, values=codes.values + 1),
        SCALED: replace(codes, scale=2 * codes.scale),
    }
    yield {
        name: float((by_integers(other).dequantized() - given).abs().max() / largest)
        for name, other in others.items()
    }
