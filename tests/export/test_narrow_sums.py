"""Processors that add products of eight bits in sixteen: nothing is cut off that a program adds."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

from evaluators.datasets import Preprocessing
from nas.export import ExportError
from nas.export._base import Contract
from nas.export._deployed import deployed
from nas.export._int8 import MOST_SUM, integer_maps, linear_maps, taken_grids, too_large
from nas.export._parity import NEAR, compare
from nas.export._sample import SIZES, made_up
from nas.export._traced import with_origin
from nas.export.int8_static import build as int8_static
from search_spaces import Task
from tests.export.test_eight_bits import network_of, searched


@pytest.fixture(params=[False, True], ids=["narrow", "wide"])
def is_wide(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the processor is one with VNNI."""
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: request.param)
    return bool(request.param)


def largest_codes(module: fx.GraphModule) -> list[int]:
    rounding = (n for n in module.graph.nodes if "quantize_per_tensor" in str(n.target))
    return [int(n.args[4]) for n in rounding if "dequantize" not in str(n.target)]


def test_what_is_read_leaves_room_for_every_weight(
    is_wide: bool, task: Callable[..., Task]
) -> None:
    """Two products of the largest numbers are no more than sixteen bits hold."""
    from nas.export._pt2e import quantized

    network, contract = network_of("sage", task())
    maps = integer_maps(network)
    module, names = quantized(
        with_origin(maps.network, contract), made_up(contract, (60, 240, 1)), {}
    )
    most = max(int(codes.values.abs().max()) for codes in maps.codes.values())
    assert len(names) == len(maps.codes) == len(largest_codes(module))
    assert (2 * max(largest_codes(module)) * most > MOST_SUM) == is_wide


@pytest.mark.parametrize(
    ("weight", "activation", "is_narrow"), [("8", "8", False), ("4", "8", True), ("8", "4", True)]
)
def test_trained_ranges_are_left_in_float_where_sums_would_be_cut_off(
    is_wide: bool, weight: str, activation: str, is_narrow: bool, task: Callable[..., Task]
) -> None:
    """Their codes are what they were trained with, so no smaller ones can be chosen."""
    contract = Contract.of(task(), Preprocessing())
    module = deployed(searched("sage", weight, activation), Preprocessing(), contract)
    maps = integer_maps(module)
    names = {name for name, _ in linear_maps(module)}
    assert {*too_large(maps)} == (set() if is_wide or is_narrow else names)


def test_a_map_in_float_rounds_as_it_was_trained(task: Callable[..., Task]) -> None:
    """And the others are integers as before."""
    from nas.export._pt2e import quantized

    contract = Contract.of(task(), Preprocessing())
    module = deployed(searched("sage", "4", "8"), Preprocessing(), contract)
    maps = integer_maps(module)
    large = ["network.last.weight"]
    grids = taken_grids(maps.network, large)
    graphs = [made_up(contract, size) for size in SIZES]
    made, names = quantized(with_origin(maps.network, contract), graphs[-1], grids, large)
    assert {*names} == {*grids} == {name for name, _ in linear_maps(module)} - {*large}
    compare(made, module, contract, graphs, NEAR, in_mean=True)


@pytest.mark.parametrize("is_wide", [False], indirect=True)
def test_a_network_of_which_nothing_fits_is_refused(
    is_wide: bool, task: Callable[..., Task], tmp_path: Path
) -> None:
    """In words, before anything is compiled."""
    contract = Contract.of(task(), Preprocessing())
    module = deployed(searched("sage", "8", "8"), Preprocessing(), contract)
    with pytest.raises(ExportError, match=r"3 of its 3 .* float32.* VNNI .*int8_weight_only"):
        int8_static().write(module, contract, tmp_path, made_up(contract, SIZES[-1]))
    assert not [*tmp_path.iterdir()]


class _Map(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(128, 3)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits: Tensor = self.map(x)
        return logits


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiles, and there is no g++ here")
def test_a_compiled_product_is_the_exact_one(task: Callable[..., Task], tmp_path: Path) -> None:
    """On the processor at hand: cut off, its sums would be a tenth off."""
    torch.manual_seed(0)
    contract = Contract.of(task(n_features=128), Preprocessing())
    module = deployed(_Map(), Preprocessing(), contract)
    sample = made_up(contract, (300, 900, 1))
    exporter = int8_static()
    portable = exporter.write(module, contract, tmp_path, sample).portable
    assert portable is not None
    parity = compare(exporter.open(tmp_path), portable, contract, [sample], 1e-5)
    assert parity.largest_difference < 1e-5
