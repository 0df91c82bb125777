"""benchmarks/latency_search.py: what it says of made-up pools, where the answer is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import latency_search as searches
import numpy as np
import pytest

from nas.setting_up import set_up
from nas.setup import Setup

SIZE = searches.Size(depth=(1, 2), trials=40, replays=12)


@pytest.fixture(scope="module")
def setup() -> Setup:
    """Of the benchmark's space, on a graph that is always there."""
    tables = searches._spec("Cora", SIZE).to_json()
    tables["study"]["objectives"] = dict(tables["study"]["objectives"])
    return set_up(searches.spec_from_mapping({**tables, "dataset": {"name": "digits_knn"}}), Path())


Predict = Callable[[float, np.random.Generator], float]


def pool(setup: Setup, predict: Predict, log_sd: float = 0.05) -> dict[str, searches.Entry]:
    """Scores rise with latency; parameters have nothing to do with it."""
    rng = np.random.default_rng(0)
    entries = {}
    for architecture in sorted(setup.space, key=lambda one: one.key):
        measured = float(np.exp(rng.normal()))
        score = 0.7 + 0.03 * np.log(measured)
        entries[architecture.key] = searches.Entry(
            choices=dict(architecture.choices),
            scores=tuple((score + rng.normal(0, 0.02, 3)).tolist()),
            params=float(rng.integers(1_000, 100_000)),
            predicted=predict(measured, rng),
            log_sd=log_sd,
            measured=measured,
            noisy=False,
        )
    return entries


def replayed(setup: Setup, entries: dict[str, searches.Entry]) -> dict[str, Any]:
    (row,) = searches._replayed("made up", setup, entries, SIZE, {})
    return row


class TestReplays:
    def test_good_predictions_are_worth_a_hypervolume(self, setup: Setup) -> None:
        row = replayed(setup, pool(setup, lambda ms, rng: ms * np.exp(rng.normal(0, 0.05))))
        assert row["ok"]
        assert row["ratio"] > 1.05

    def test_predictions_that_say_nothing_are_worth_none(self, setup: Setup) -> None:
        row = replayed(setup, pool(setup, lambda _, rng: float(np.exp(rng.normal()))))
        assert not row["ok"]

    def test_the_pool_s_own_front_is_all_there_is(self, setup: Setup) -> None:
        entries = pool(setup, lambda ms, _: ms)
        everything = list(entries.values())
        assert searches._judged(everything, entries) == pytest.approx(1.0)
        assert 0 < searches._judged(everything[:10], entries) < 1
        assert searches._judged([], entries) == 0


class TestBounds:
    def test_a_spread_that_is_honest_keeps_them(self, setup: Setup) -> None:
        entries = pool(setup, lambda ms, rng: ms * np.exp(rng.normal(0, 0.1)), log_sd=0.1)
        for row in searches._constrained("made up", setup, entries, SIZE, {}):
            assert row["ok"]
            assert row["baseline"] > row["value"]

    def test_a_spread_that_is_too_small_does_not(self, setup: Setup) -> None:
        entries = pool(setup, lambda ms, rng: ms * np.exp(rng.normal(0, 0.3)), log_sd=0.01)
        for row in searches._constrained("made up", setup, entries, SIZE, {}):
            assert not row["ok"]
