"""Networks on their way to 8-bit integers, before anything is compiled."""

import shutil
import sys
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_geometric.nn import Linear as PygLinear

from evaluators.datasets import Preprocessing
from nas.export import ExportError
from nas.export._base import Contract
from nas.export._deployed import deployed
from nas.export._int8 import codes_of, converted, integer_maps, linear_maps, with_integers
from nas.export._sample import made_up
from nas.export._traced import with_origin
from nas.export.aoti import build as aoti
from nas.export.int8_static import build as int8_static
from search_spaces import Task, plugins
from search_spaces.quantization.formats import FORMATS
from search_spaces.quantization.layers import Precision, quantize, settled
from search_spaces.quantization.quantizers import Options


@given(bits=st.integers(2, 8), seed=st.integers(0, 2**16), by_row=st.booleans())
@settings(max_examples=30, deadline=None)
def test_weights_on_a_grid_of_eight_bits_or_fewer_stay_what_they_are(
    bits: int, seed: int, by_row: bool
) -> None:
    """Whatever the scale, and whether the largest code occurs in every row or not."""
    rng = torch.Generator().manual_seed(seed)
    high = 2 ** (bits - 1) - 1
    values = torch.randint(-high, high + 1, (6, 12), generator=rng)
    scale = torch.rand(6, 1, generator=rng) if by_row else torch.rand(1, 1, generator=rng)
    weight = values * (scale + 1e-3)
    torch.testing.assert_close(codes_of(weight).dequantized(), weight, rtol=2e-4, atol=1e-6)


@given(seed=st.integers(0, 2**16), size=st.sampled_from([1e-20, 1e-3, 1.0, 1e6]))
@settings(max_examples=20, deadline=None)
def test_other_weights_move_by_half_a_step(seed: int, size: float) -> None:
    """And some do move: the control for those above. A row of zeros stays one."""
    weight = torch.randn(5, 40, generator=torch.Generator().manual_seed(seed)) * size
    weight[2] = 0
    codes = codes_of(weight)
    assert codes.values.abs().max() <= 128
    difference = (codes.dequantized() - weight).abs()
    assert bool((difference <= codes.scale * 0.501).all())
    assert bool(difference.any())
    assert not bool(codes.dequantized()[2].any())


class Layers(nn.Module):
    """An operator, normalization, and a linear map."""

    def __init__(self, operator: str) -> None:
        super().__init__()
        self.first = plugins.load("operator", operator).build(6, 6)
        self.norm = nn.BatchNorm1d(6)
        nn.init.uniform_(self.norm.bias)
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits: Tensor = self.last(self.norm(self.first(x, edge_index)).relu())
        return logits


def network_of(operator: str, task: Task) -> tuple[nn.Module, Contract]:
    torch.manual_seed(0)
    contract = Contract.of(task, Preprocessing())
    return deployed(Layers(operator), Preprocessing(), contract), contract


@pytest.mark.parametrize("operator", ["gcn", "sage", "gat", "tag", "cheb"])
def test_every_linear_map_is_converted(operator: str, task: Callable[..., Task]) -> None:
    """By both ways; and the plain operations of the reference give the same numbers."""
    from nas.export._pt2e import in_plain_operations, quantized

    network, contract = network_of(operator, task())
    expected = {name for name, _ in linear_maps(network)}
    maps = integer_maps(network)
    for rows_too in (False, True):
        assert {
            *converted(with_origin(with_integers(maps, rows_too=rows_too), contract))
        } == expected
    sample = made_up(contract, (60, 240, 1))
    module, names = quantized(with_origin(maps.network, contract), sample)
    assert {*names} == expected
    with torch.no_grad():
        integers, exact = module(*sample), network(*sample)
        plain = in_plain_operations(module)(*sample)
    torch.testing.assert_close(plain, integers, rtol=0, atol=1e-6)
    assert 0 < float((integers - exact).abs().max()) < 0.05 * float(exact.abs().max().clamp(min=1))
    assert not any("quantized_decomposed" in str(node.target) for node in module.graph.nodes)


class NoMaps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits: Tensor = self.norm(x)[:, :3]
        return logits


class Unused(NoMaps):
    """It has a linear map, and never calls it."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = PygLinear(6, 3)


@pytest.mark.parametrize("network", [NoMaps, Unused])
def test_nothing_converted_is_an_error(
    network: type[nn.Module], task: Callable[..., Task], tmp_path: object
) -> None:
    """It says what there was; the silent way out would be a bundle in float32 called int8."""
    contract = Contract.of(task(), Preprocessing())
    module = deployed(network(), Preprocessing(), contract)
    with pytest.raises(ExportError, match=r"found none among .*1 BatchNorm1d.* pt2 or aoti"):
        int8_static().write(module, contract, tmp_path, made_up(contract, (20, 40, 1)))  # type: ignore[arg-type]


def test_what_is_not_installed_is_named(
    task: Callable[..., Task], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler, and torchao, with how to get them; before anything is traced."""
    network, contract = network_of("gcn", task())
    sample = made_up(contract, (20, 40, 1))
    monkeypatch.setitem(sys.modules, "torchao.quantization.pt2e.quantize_pt2e", None)
    with pytest.raises(ExportError, match=r"torchao.*pip install 'gnn-nas\[int8\]'"):
        int8_static().write(network, contract, tmp_path, sample)  # type: ignore[arg-type]
    monkeypatch.setattr(shutil, "which", lambda _: None)
    for exporter in (aoti(), int8_static()):
        with pytest.raises(ExportError, match=r"no g\+\+ here: install it .*export with pt2"):
            exporter.write(network, contract, tmp_path, sample)  # type: ignore[arg-type]


def searched(bits: str, reads: str, aggregates: str = "32") -> nn.Module:
    """A network with quantizers that have seen a graph."""
    torch.manual_seed(0)
    formats = [FORMATS[name] for name in (bits, reads, aggregates)]
    precision = Precision(weight=formats[0], activation=formats[1], aggregation=formats[2])
    network = quantize(Layers("gcn"), precision, Options()).train()
    network(torch.rand(30, 6), torch.randint(30, (2, 90)))
    return network.eval()


def test_a_network_that_was_trained_in_eight_bits_keeps_its_weights() -> None:
    """Its quantizers are off, its weights are as they were, and nothing is said."""
    network = searched("8", "8")
    expected = settled(searched("8", "8")).state_dict()
    maps = integer_maps(network)
    assert maps.notes == ()
    assert len(maps.codes) == 2
    for name, codes in maps.codes.items():
        torch.testing.assert_close(codes.dequantized(), expected[name], rtol=1e-5, atol=1e-7)
    assert not any("quantizer" in name for name, _ in maps.network.named_modules())
    assert any("quantizer" in name for name, _ in network.named_modules()), "the copy was changed"


def test_other_formats_are_told_or_refused() -> None:
    """Maps read eight bits, sums over edges stay in float32; binary is something else."""
    said = " ".join(integer_maps(searched("4", "4", "6")).notes)
    assert "trained in 4 bits" in said
    assert "trained in 6 bits are computed in float32" in said
    for few in ("binary", "ternary"):
        with pytest.raises(ExportError, match=f"trained with {few} activations.*pt2"):
            integer_maps(searched("8", few))
