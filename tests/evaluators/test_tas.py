"""Pruning by gradient: drawn widths, interpolated channels, and a band that is reached."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from evaluators import artifacts
from evaluators.datasets import save_sealed
from evaluators.facts import facts
from evaluators.preparation import Advance, Preparation, PreparationJob
from evaluators.preparations._drawing import temperature
from evaluators.preparations._sampling import largest_architecture, smallest_architecture
from evaluators.preparations.tas import drawn
from evaluators.preparing import prepare, weights
from nas.contracts import graphs
from search_spaces import PluginError, SearchSpace, gnn
from search_spaces.plugins import Plugin
from search_spaces.relaxation import fit

NODES = graphs.node_graph()
EPOCHS = 20


def space(**options: Any) -> SearchSpace:
    given_: Mapping[str, Any] = {
        "depth": [1, 2],
        "width": [8, 16, 24, 32],
        "operators": ["gcn"],
        "activation": ["relu"],
        "normalization": ["none"],
        "connectivity": ["plain"],
        "pre_layers": [0],
        "post_layers": [0],
        "output": ["linear"],
    }
    return gnn.build(NODES.task, **{**given_, **options})


def examples(of: SearchSpace) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    ends = [largest_architecture(of), smallest_architecture(of)]
    made = [*ends, *(of.sample(rng) for _ in range(20))]
    costs = [facts(of, architecture, NODES.task)["macs"] for architecture in made]
    return {"examples": [list(of.encode(a)) for a in made], "costs": costs}


SPACE = space()
KNOWN = examples(SPACE)
HALF = KNOWN["costs"][0] / 2


def job(
    store: str, of: SearchSpace = SPACE, epochs: int = EPOCHS, **options: Any
) -> PreparationJob:
    given_ = {"epochs": epochs, "steps": 3, "architecture_lr": 0.1, **options}
    preparation = Preparation(Plugin("tas", given_), epochs, 1.0)
    return PreparationJob(preparation, of, save_sealed(NODES.seal(), store), store, 3, epochs)


def done(work: PreparationJob) -> Advance:
    advance = prepare(work)
    assert advance.failure is None, advance.failure
    return advance


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return artifacts.store_url(tmp_path_factory.mktemp("artifacts"))


rows = st.lists(st.floats(-5, 5), min_size=1, max_size=6).map(torch.tensor)


@given(rows, st.floats(0.1, 5), st.integers(0, 1000))
def test_a_draw_is_of_two_that_add_up_to_one(row: Tensor, heat: float, seed: int) -> None:
    """None twice; with a gradient that moves them against each other."""
    torch.manual_seed(seed)
    row.requires_grad_()
    found = drawn(row, heat)
    assert len(found) == min(2, len(row))
    assert set(found) <= set(range(len(row)))
    assert float(sum(found.values()).detach()) == pytest.approx(1, abs=1e-6)
    assert all(share.item() >= 0 for share in found.values())


def test_what_is_more_probable_is_drawn_more_often() -> None:
    """By the softmax: the share of draws with each, without replacement, is the known one."""
    row = torch.tensor([2.0, 0.0, 0.0])
    torch.manual_seed(0)
    count = Counter(index for _ in range(4000) for index in drawn(row, 1.0))
    p = row.softmax(0).tolist()
    expected = p[0] + 2 * p[1] * p[0] / (1 - p[1])
    assert count[0] / 4000 == pytest.approx(expected, abs=0.02)
    assert count[1] / 4000 == pytest.approx(count[2] / 4000, abs=0.03)
    assert count[0] > 1.4 * count[1]


def test_the_temperature_falls_from_5_to_a_tenth() -> None:
    """By a cosine; a single epoch is hot."""
    falling = [temperature(epoch, 10) for epoch in range(1, 11)]
    assert (falling[0], falling[-1]) == pytest.approx((5.0, 0.1))
    assert falling == sorted(falling, reverse=True)
    assert falling[0] - falling[1] < falling[4] - falling[5] > falling[8] - falling[9]
    assert temperature(1, 1) == 5


@given(st.integers(1, 8), st.integers(1, 3), st.integers(0, 100))
def test_channels_are_interpolated(width: int, groups: int, seed: int) -> None:
    """The same size is the identity, constants stay, and twice as many are each twice."""
    x = torch.randn(3, width * groups, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(fit(x, width * groups, groups, "interpolate"), x)
    twice = fit(x, 2 * width * groups, groups, "interpolate")
    torch.testing.assert_close(twice, x.repeat_interleave(2, 1))
    constant = torch.full((3, width * groups), 2.5)
    for more in range(1, 5):
        wide = fit(constant, (width + more) * groups, groups, "interpolate")
        torch.testing.assert_close(wide, torch.full((3, (width + more) * groups), 2.5))
    padded = fit(constant, (width + 1) * groups, groups, "pad")
    assert not torch.equal(padded, torch.full_like(padded, 2.5))


@pytest.mark.parametrize("start", ["largest", "smallest"])
def test_the_band_is_reached_from_both_sides(start: str, store: str) -> None:
    """By the most probable network; without the cost it is not."""
    options = {**KNOWN, "target": HALF, "tolerance": 0.1, "start": start}
    found = done(job(store, **options))
    first = found.epochs[0].metrics["most_probable_cost"]
    assert first > HALF if start == "largest" else first < 0.9 * HALF
    assert 0.9 * HALF <= found.metrics["most_probable_cost"] <= HALF
    assert found.metrics["in_band_share"] > 0.5
    without = done(job(store, **options, cost_weight=0.0))
    assert not 0.9 * HALF <= without.metrics["most_probable_cost"] <= HALF
    assert without.metrics["in_band_share"] < 0.5


def test_the_most_probable_network_costs_what_is_said(store: str) -> None:
    """Counted in the network itself."""
    found = done(job(store, epochs=6, **KNOWN, target=HALF))
    distribution = found.epochs[-1].distribution
    likely = SPACE.fill(lambda d: d.choices[int(np.argmax(distribution[d.name]))])
    counted = facts(SPACE, likely, NODES.task)["macs"]
    assert found.metrics["most_probable_cost"] == pytest.approx(counted, rel=1e-6)
    assert found.metrics["price_error"] < 1e-6


@pytest.mark.parametrize("depth", [[1, 2], [1, 2, 3, 4, 5]], ids=["summed up", "drawn"])
def test_with_costs_it_goes_on_as_if_nothing_had_happened(depth: list[int], store: str) -> None:
    """Killed between two epochs; the tensors too, and what is drawn."""
    of = space(depth=depth, width=[4, 8, 12, 16, 20])
    known = examples(of)
    work = job(store, of, 3, **known, target=known["costs"][0] / 2, tolerance=0.3)
    whole = done(work)
    part = done(replace(work, until_epoch=1))
    on = done(replace(work, resume=part.artifact))
    assert [*part.epochs, *on.epochs] == list(whole.epochs)
    assert whole.artifact is not None
    assert on.artifact is not None
    one, other = weights(whole.artifact), weights(on.artifact)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole.epochs[0].metrics != whole.epochs[-1].metrics


def test_what_cannot_be_reached_is_refused(store: str) -> None:
    """And a target without examples of what networks cost."""
    with pytest.raises(PluginError, match="target: no network costs from"):
        prepare(job(store, **KNOWN, target=KNOWN["costs"][0] * 2))
    with pytest.raises(PluginError, match="target: expected examples"):
        prepare(job(store, target=HALF))
