"""Relaxed networks of several formats: one-hot they are the quantized networks, digit for digit."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from evaluators import Batches
from evaluators.datasets import Dataset
from nas.contracts import graphs
from search_spaces import Architecture, SearchSpace, SpaceError, Task, gnn, nas_bench_graph
from search_spaces.extension import SpaceExtension
from search_spaces.extensions import neighborhood, quantization
from search_spaces.quantization.deciding import named
from search_spaces.quantization.formats import FORMATS
from search_spaces.quantization.mixing import (
    MixedActivations,
    MixedWeights,
    Way,
    added_up,
    weigh,
)
from search_spaces.quantization.quantizers import ActivationQuantizer, Options, WeightQuantizer
from search_spaces.relaxation import full, learned, one_hot, relax
from search_spaces.relaxed import RelaxedNetwork

NODES, GRAPHS = graphs.node_graph(), graphs.graph_set()
BITS: Mapping[str, Sequence[Any]] = {
    "weight_bits": [2, 3, 4, 6, 8, 16, 32, "ternary", "binary"],
    "activation_bits": [2, 4, 8, 16, 32, "binary"],
}
EACH = {"attention_bits": [4, 32], "message_bits": [4, 8], "output_bits": [4, 8, 32]}
WAYS = {
    "scheme": ["symmetric", "fixed_point", "affine"],
    "granularity": ["tensor", "channel"],
    "observer": ["minmax", "percentile"],
    "binarization": ["bnn", "dorefa"],
}
KINDS: Mapping[str, Mapping[str, Any]] = {
    "for all": BITS,
    "per layer": {**BITS, **EACH, "per_layer": True},
    "other ways": {**BITS, **WAYS},
}


def space_of(task: Task, given: Mapping[str, Any], **options: Any) -> SearchSpace:
    space = gnn.build(task, **options)
    return space.extended(quantization.build(space, task, **given))


def relaxed_of(space: SearchSpace, task: Task) -> tuple[RelaxedNetwork, dict[str, Tensor]]:
    torch.manual_seed(0)
    relaxed = relax(space, task)
    assert isinstance(relaxed, RelaxedNetwork)
    return relaxed, {name: w.double() for name, w in relaxed.initial().items()}


def inputs_of(dataset: Dataset) -> tuple[Tensor, ...]:
    inputs = Batches(dataset).of(torch.arange(dataset.y.numel())).inputs
    return tuple(x.double() if x.is_floating_point() else x for x in inputs)


def with_other_bits(
    space: SearchSpace, architecture: Architecture, rng: np.random.Generator
) -> Architecture:
    own = {n: c for n, c in architecture.choices.items() if not n.startswith("quantization.")}
    return space.sample(rng, own)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dataset", [NODES, GRAPHS], ids=["nodes", "graphs"])
def test_one_hot_it_is_the_quantized_network(dataset: Dataset, kind: str) -> None:
    """Digit for digit, from the same slices; with other bits it is not."""
    space = space_of(dataset.task, KINDS[kind], depth=[1, 2, 3], width=[8, 16])
    relaxed, weights = relaxed_of(space, dataset.task)
    rng, inputs, away = np.random.default_rng(1), inputs_of(dataset), []
    for _ in range(16):
        one = space.sample(rng)
        network = relaxed.network(weights, one).train()
        with torch.no_grad():
            output = functional_call(network, relaxed.slices(weights, one), inputs)
            same = relaxed.logits(weights, one_hot(space, one), inputs)
            mixture = one_hot(space, with_other_bits(space, one, rng))
            other = relaxed.logits(weights, mixture, inputs)
        assert torch.equal(same, output), one
        away.append(float((other - output).abs().max()))
    assert np.median(away) > 1e-2


@pytest.mark.parametrize("dataset", [NODES, GRAPHS], ids=["nodes", "graphs"])
def test_every_decision_about_bits_has_a_gradient(dataset: Dataset) -> None:
    """What is learned is what counts: no format is left out of the mixture."""
    given = {**EACH, "weight_bits": [2, 4, 32], "activation_bits": [4, 8], "per_layer": True}
    space = space_of(
        dataset.task, given, depth=[1, 2], width=[8], operators=["gcn", "gat"], heads=[2]
    )
    relaxed, weights = relaxed_of(space, dataset.task)
    rows = {
        d.name: torch.rand(len(d.choices), dtype=torch.float64).softmax(0).requires_grad_()
        for d in learned(space)
    }
    logits = relaxed.logits(weights, full(rows), inputs_of(dataset))
    (logits * torch.randn_like(logits)).sum().backward()  # type: ignore[no-untyped-call]
    for name, row in rows.items():
        # The output operator here has no activation function.
        if name == named("output_bits", "output"):
            continue
        assert row.grad is not None, name
        # Equal ones would leave the softmax where it is.
        assert row.grad.unique().numel() == row.grad.numel(), name


def weights_of(*names: str) -> list[tuple[Tensor, Way]]:
    """Formats by name, evenly."""
    share = torch.tensor(1 / len(names), dtype=torch.float64)
    return [(share, Way(FORMATS[name], Options())) for name in names]


def test_formats_are_added_up() -> None:
    """By how much they count, of weights and of activations."""
    x = torch.randn(12, 5, dtype=torch.float64)
    mixed = MixedWeights("weight", by_row=True)
    mixed.weigh(weights_of("2", "8", "32"))
    alone = [WeightQuantizer(FORMATS[n], Options(), x, by_row=True)(x) for n in ("2", "8", "32")]
    torch.testing.assert_close(mixed(x), torch.stack(alone).mean(0))
    activations = MixedActivations("activation")
    activations.weigh(weights_of("2", "8", "32"))
    alone = [ActivationQuantizer(FORMATS[n], Options()).to(x)(x) for n in ("2", "8", "32")]
    torch.testing.assert_close(activations(x), torch.stack(alone).mean(0))
    assert not torch.allclose(activations(x), x)


def test_what_counts_nothing_changes_no_digit() -> None:
    """And still has a gradient: how it would have changed the output."""
    x = torch.randn(6, 4, dtype=torch.float64)
    quantizers = [WeightQuantizer(FORMATS[n], Options(), x, by_row=True) for n in ("2", "4")]
    shares = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    total = added_up(x, list(zip(shares.unbind(), quantizers, strict=True)))
    assert torch.equal(total, quantizers[1](x))
    toward = torch.randn_like(x)
    (total * toward).sum().backward()  # type: ignore[no-untyped-call]
    assert shares.grad is not None
    changed = [float((toward * (q(x) - x)).sum()) for q in quantizers]
    assert shares.grad.tolist() == pytest.approx(changed)
    assert changed[0] != pytest.approx(changed[1])


def test_the_gradient_is_that_of_the_sum() -> None:
    """Of logits, of weights, and of activations, by automatic differentiation."""
    x = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    logits = torch.randn(3, dtype=torch.float64, requires_grad=True)
    quantizers = [
        WeightQuantizer(FORMATS[n], Options(), x, by_row=True) for n in ("2", "4", "ternary")
    ]
    toward, found = torch.randn(6, 4, dtype=torch.float64), []
    for whole in (True, False):
        p = logits.softmax(0).unbind()
        if whole:
            total = added_up(x, list(zip(p, quantizers, strict=True)))
        else:
            total = torch.stack([s * q(x) for s, q in zip(p, quantizers, strict=True)]).sum(0)
        found.append(torch.autograd.grad((total * toward).sum(), (x, logits)))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_each_call_has_the_range_of_its_batch() -> None:
    """A relaxed module remembers nothing, and a quantizer in training does (control)."""
    shares = {named(name): {"4": torch.ones(())} for name in ("weight_bits", "activation_bits")}
    module, x = nn.Linear(5, 3), torch.randn(7, 5)
    outputs = []
    for scale in (1.0, 100.0, 1.0):
        weigh(module, "layer0", shares)
        outputs.append(module(x * scale))
    assert torch.equal(outputs[0], outputs[2])
    quantizer = ActivationQuantizer(FORMATS["4"], Options()).train()
    first, _, last = (quantizer(x * scale) for scale in (1.0, 100.0, 1.0))
    assert not torch.equal(first, last)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scales": ["observed", "learned"]}, r'quantization.scales: with "learned" each network'),
        ({"protection": ["degree"]}, r'quantization.protection: with "degree" each network'),
    ],
)
def test_what_is_of_one_network_alone_is_refused(options: dict[str, Any], said: str) -> None:
    """By the decision and the choice; extensions of whole networks as before."""
    with pytest.raises(SpaceError, match=said):
        relax(space_of(NODES.task, options), NODES.task)


def test_extensions_of_whole_networks_are_refused() -> None:
    """And spaces whose modules are not known."""
    space = gnn.build(NODES.task)
    whole: SpaceExtension = neighborhood.build(space, NODES.task)
    with pytest.raises(SpaceError, match=r'neighbors: the extension "neighborhood" .* leave'):
        relax(space.extended(whole), NODES.task)
    cells = nas_bench_graph.build(NODES.task, width=[8])
    given = quantization.build(cells, NODES.task)
    with pytest.raises(SpaceError, match=r'"nas_bench_graph.quantization" cannot be relaxed'):
        relax(cells.extended(given), NODES.task)
