"""How far a distribution is from a band of costs: exactly, by draws, and where nothing is in it."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from evaluators.facts import facts
from evaluators.preparations._costing import (
    Band,
    Drawn,
    Enumerated,
    check_reachable,
    costing,
)
from evaluators.preparations._pricing import Pricing
from evaluators.preparations._sampling import largest_architecture, smallest_architecture
from nas.contracts import graphs
from search_spaces import PluginError, SearchSpace, gnn
from search_spaces.relaxation import learned

TASK = graphs.node_graph().task


def priced(widths: list[int], depth: list[int]) -> Pricing:
    space: SearchSpace = gnn.build(
        TASK,
        depth=depth,
        width=widths,
        operators=["gcn"],
        activation=["relu", "elu"],
        normalization=["none"],
        connectivity=["plain"],
        pre_layers=[0],
        post_layers=[0],
        output=["linear"],
    )
    rng = np.random.default_rng(0)
    ends = [largest_architecture(space), smallest_architecture(space)]
    examples = [*ends, *(space.sample(rng) for _ in range(40))]
    costs = [facts(space, architecture, TASK)["macs"] for architecture in examples]
    return Pricing.fitted(space, TASK, examples, costs)


SMALL = priced([4, 8, 12], [1, 2])
LARGE = priced([2, 4, 6, 8, 10, 12], [1, 2, 3, 4, 5])
HALF = SMALL.cost(largest_architecture(SMALL.space)) / 2


def random_logits(pricing: Pricing, seed: int) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    rows = {d.name: torch.randn(len(d.choices), generator=rng) for d in learned(pricing.space)}
    return {name: row.requires_grad_() for name, row in rows.items()}


@given(st.floats(1, 1e12), st.floats(0.01, 0.9), st.floats(0.01, 100))
def test_inside_the_band_it_is_exactly_nothing(target: float, tolerance: float, by: float) -> None:
    """Outside 1 at least, and more the further."""
    band = Band.below(target, tolerance)
    assert band.distance(band.low) == band.distance(band.high) == 0
    assert band.distance((band.low + band.high) / 2) == 0
    outside = band.high * (1 + by), band.low / (1 + by)
    for cost in outside:
        assert band.distance(cost) == pytest.approx(1 + math.log1p(by))
    assert band.distance(outside[0] * 2) > band.distance(outside[0])


@settings(max_examples=20)
@given(st.integers(0, 100))
def test_the_expectation_is_over_all_architectures(seed: int) -> None:
    """Summed up by hand, choice by choice."""
    logits, band = random_logits(SMALL, seed), Band.below(HALF, 0.1)
    found = Enumerated(SMALL, band).distance(logits)
    decisions, total, cost, inside = learned(SMALL.space), 0.0, 0.0, 0.0
    shares = {name: row.detach().softmax(0).tolist() for name, row in logits.items()}
    for indices in product(*(range(len(d.choices)) for d in decisions)):
        chosen = {d.name: i for d, i in zip(decisions, indices, strict=True)}
        p = math.prod(shares[name][index] for name, index in chosen.items())
        one = SMALL.cost(SMALL.space.fill(lambda d: d.choices[chosen.get(d.name, 0)]))  # noqa: B023
        total, cost = total + p * band.distance(one), cost + p * one
        inside += p * (band.distance(one) == 0)
    assert float(found.detach()) == pytest.approx(total, rel=1e-5)
    measured = Enumerated(SMALL, band).measured(logits)
    assert measured["expected_cost"] == pytest.approx(cost, rel=1e-5)
    assert measured["in_band_share"] == pytest.approx(inside, abs=1e-6)


@pytest.mark.parametrize("kind", [Enumerated, Drawn])
def test_where_all_is_inside_there_is_no_loss_and_no_gradient(kind: type) -> None:
    """A band round all costs; and a narrow one round the network that is certain."""
    logits = random_logits(SMALL, 1)
    everything = kind(SMALL, Band(1.0, 1e15)).distance(logits)
    assert float(everything.detach()) == 0
    assert all(float(g.abs().max()) == 0 for g in gradient(everything, logits))
    certain = {d.name: torch.zeros(len(d.choices)) for d in learned(SMALL.space)}
    for row in certain.values():
        row[-1] = 1000.0
    cost = SMALL.cost(largest_architecture(SMALL.space))
    assert float(kind(SMALL, Band(cost * 0.99, cost)).distance(certain)) == 0
    assert float(kind(SMALL, Band(cost * 0.9, cost * 0.95)).distance(certain)) > 1


def gradient(loss: Tensor, logits: dict[str, Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(loss, list(logits.values()), allow_unused=True)
    return [torch.zeros(1) if one is None else one for one in found]


def test_draws_estimate_the_gradient() -> None:
    """Their mean is the exact one, within what draws vary; that of other logits is not."""
    logits, band = random_logits(SMALL, 2), Band.below(HALF, 0.05)
    drawn = Drawn(SMALL, band)
    torch.manual_seed(0)
    each = torch.stack([torch.cat(gradient(drawn.distance(logits), logits)) for _ in range(100)])
    mean, error = each.mean(0), each.std(0) / math.sqrt(len(each)) + 1e-6
    exact = torch.cat(gradient(Enumerated(SMALL, band).distance(logits), logits))
    elsewhere = random_logits(SMALL, 3)
    other = torch.cat(gradient(Enumerated(SMALL, band).distance(elsewhere), elsewhere))
    away = ((mean - exact).abs() / error).max()
    assert away < 4.5
    assert exact.abs().max() > 10 * error.max()
    assert ((mean - other).abs() / error).max() > away


def test_many_combinations_are_drawn() -> None:
    """And few are summed up."""
    band = Band.below(HALF, 0.05)
    assert isinstance(costing(SMALL, band), Enumerated)
    assert isinstance(costing(LARGE, band), Drawn)


@pytest.mark.parametrize("pricing", [SMALL, LARGE], ids=["few", "many"])
def test_a_band_that_nothing_is_in_is_refused(pricing: Pricing) -> None:
    """With what there is; one that is hit is not, however narrow."""
    largest = pricing.cost(largest_architecture(pricing.space))
    smallest = pricing.cost(smallest_architecture(pricing.space))
    for target in (largest * 2, smallest / 2):
        with pytest.raises(PluginError) as refused:
            check_reachable(pricing, Band.below(target, 0.05))
        assert f"the smallest {smallest:.6g}, the largest {largest:.6g}" in str(refused.value)
    check_reachable(pricing, Band.below(largest, 1e-9))
    check_reachable(pricing, Band.below(smallest * (1 + 1e-9), 1e-8))
    check_reachable(pricing, Band.below(largest / 2, 0.1))
