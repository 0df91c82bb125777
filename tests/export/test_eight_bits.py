"""Networks on their way to 8-bit integers, before anything is compiled."""

import copy
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
from nas.export._int8 import (
    codes_of,
    converted,
    integer_maps,
    linear_maps,
    taken_grids,
    with_integers,
)
from nas.export._parity import COARSE, NEAR, compare
from nas.export._sample import SIZES, made_up
from nas.export._traced import with_origin
from nas.export.aoti import build as aoti
from nas.export.int8_static import build as int8_static
from search_spaces import Task, plugins
from search_spaces.quantization.formats import FORMATS
from search_spaces.quantization.layers import (
    Precision,
    activation_quantizers,
    quantize,
    settled,
)
from search_spaces.quantization.quantizers import Options, Scheme


@given(bits=st.integers(2, 8), seed=st.integers(0, 2**16), by_row=st.booleans())
@settings(max_examples=30)
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
@settings(max_examples=20)
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
    module, names = quantized(with_origin(maps.network, contract), sample, {})
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


@pytest.mark.parametrize("name", ["int8_static", "int8_dynamic", "int8_weight_only"])
def test_that_there_are_no_linear_maps_is_known_without_weights(
    name: str, task: Callable[..., Task], tmp_path: object
) -> None:
    """Before a search; what is refused then cannot be written, what has one map can."""
    exporter = plugins.load("exporter", name).build()
    contract = Contract.of(task(), Preprocessing())
    module = deployed(NoMaps(), Preprocessing(), contract)
    with pytest.raises(ExportError) as error:
        exporter.write(module, contract, tmp_path, made_up(contract, (20, 40, 1)))
    assert exporter.unfit(NoMaps()) == str(error.value)
    with torch.device("meta"):
        assert exporter.unfit(Layers("gcn")) == ""


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


SEARCHED = [
    ("4", "4", "affine"),
    ("8", "8", "symmetric"),
    ("2", "8", "affine"),
    ("4", "2", "fixed_point"),
]


def searched(operator: str, weight: str, activation: str, scheme: Scheme = "affine") -> nn.Module:
    """A network with quantizers everywhere that have seen a graph of small features."""
    torch.manual_seed(0)
    w, a = FORMATS[weight], FORMATS[activation]
    precision = Precision(w, a, w, a, a, a)
    network = quantize(Layers(operator), precision, Options(scheme=scheme)).train()
    network(torch.rand(60, 6), torch.randint(60, (2, 240)))
    return network.eval()


@pytest.mark.parametrize("operator", ["gcn", "sage", "gat"])
@pytest.mark.parametrize(("weight", "activation", "scheme"), SEARCHED)
def test_a_network_that_was_searched_with_bits_stays_what_it_was(
    operator: str, weight: str, activation: str, scheme: Scheme, task: Callable[..., Task]
) -> None:
    """On graphs within its ranges and far beyond them; what is observed anew is something else."""
    from nas.export._pt2e import in_plain_operations, quantized

    contract = Contract.of(task(), Preprocessing())
    network = deployed(searched(operator, weight, activation, scheme), Preprocessing(), contract)
    maps = integer_maps(network)
    graphs = [made_up(contract, size) for size in SIZES]
    far = [(3 * x - 1, *rest) for x, *rest in graphs]
    compare(maps.network, network, contract, graphs + far, NEAR, in_mean=True)
    grids = taken_grids(maps.network)
    assert {*grids} == {name for name, _ in linear_maps(network)}
    program = with_origin(maps.network, contract)
    module, _ = quantized(program, far[-1], grids)
    for same in (module, in_plain_operations(copy.deepcopy(module))):
        compare(same, network, contract, graphs + far, NEAR, in_mean=True)
    assert maps.written([], [*grids]).mean_tolerance == NEAR
    anew, _ = quantized(program, far[-1], {})
    with pytest.raises(ExportError, match=r"in the mean, .* Its activations have few bits"):
        compare(anew, network, contract, graphs + far, NEAR, in_mean=True)


@pytest.mark.parametrize("few", ["ternary", "binary"])
def test_signs_are_integers_too(few: str, task: Callable[..., Task]) -> None:
    """A scale times -1, 0 or 1, taken as they were trained."""
    from nas.export._pt2e import quantized

    contract = Contract.of(task(), Preprocessing())
    network = deployed(searched("sage", few, few), Preprocessing(), contract)
    maps = integer_maps(network)
    assert not maps.moved
    grids = taken_grids(maps.network)
    module, names = quantized(
        with_origin(maps.network, contract), made_up(contract, SIZES[0]), grids
    )
    assert {*names} == {*grids}
    graphs = [made_up(contract, size) for size in SIZES]
    compare(module, network, contract, graphs, NEAR, in_mean=True)


def test_a_network_that_was_searched_keeps_its_weights_and_its_quantizers() -> None:
    """In the copy; the network itself is not changed."""
    network = searched("gcn", "8", "8")
    expected = settled(copy.deepcopy(network)).state_dict()
    maps = integer_maps(network)
    assert maps.rounds
    assert not maps.moved
    assert len(maps.codes) == 2
    for name, codes in maps.codes.items():
        torch.testing.assert_close(codes.dequantized(), expected[name], rtol=1e-5, atol=1e-7)
    before = {path for path, _ in activation_quantizers(network)}
    assert {path for path, _ in activation_quantizers(maps.network)} == before
    taken_grids(maps.network)
    left = {path for path, _ in activation_quantizers(maps.network)}
    assert left == {path for path in before if not path.endswith("input_quantizer")}
    assert left


def test_what_has_more_bits_is_told() -> None:
    """It is rounded to eight, which costs more than a sum in another order."""
    maps = integer_maps(searched("gcn", "16", "16"))
    assert taken_grids(maps.network) == {}, "ranges are observed"
    written = maps.written([], [*maps.codes])
    assert "weights of 2 of its 2 linear maps were trained in more than 8" in written.notes[0]
    assert written.mean_tolerance == COARSE
    plain = integer_maps(Layers("gcn")).written([], [], sample_only=True)
    assert plain.notes == ()
    assert plain.mean_tolerance is None


def test_one_number_may_be_rounded_to_the_other_side(task: Callable[..., Task]) -> None:
    """By a whole step; but not all of them by a little, nor one where the largest counts."""
    contract = Contract.of(task(), Preprocessing())
    graphs = [made_up(contract, (300, 900, 1))]

    def network(x: Tensor, edge_index: Tensor) -> Tensor:
        return x[:, :3]

    def flipped(x: Tensor, edge_index: Tensor) -> Tensor:
        return x[:, :3] + (torch.arange(x.size(0)) == 7).float().unsqueeze(1) / 2

    def shifted(x: Tensor, edge_index: Tensor) -> Tensor:
        return x[:, :3] + 0.01

    parity = compare(flipped, network, contract, graphs, NEAR, in_mean=True)
    assert parity.largest_difference == pytest.approx(0.5)
    assert parity.mean_difference == pytest.approx(0.5 / 300)
    with pytest.raises(ExportError, match="in the mean"):
        compare(shifted, network, contract, graphs, NEAR, in_mean=True)
    with pytest.raises(ExportError, match=r"activation_bits of 8 or fewer"):
        compare(flipped, network, contract, graphs, NEAR)
