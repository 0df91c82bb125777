"""benchmarks/halving.py: what it simulates is what the driver does, and its controls can fail."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import halving
import numpy as np
import pytest
from fakes.studies import fake_spec

from nas.store import Store
from nas.study import search

RUNGS = (1, 3, 9)


def pool(values: np.ndarray, candidates: int = 27) -> halving.Pool:
    size = halving.Size(len(values), values.shape[1], (20, 60, 200), candidates)
    runs = tuple(tuple(tuple(run) for run in one) for one in values.tolist())
    return halving.Pool(size, ({},) * len(values), runs)


def planted(rng: np.random.Generator, rung_noise: float, seed_noise: float) -> halving.Pool:
    """60 architectures x 4 seeds: quality, plus noise of each seed, plus noise of each rung."""
    quality = rng.random(60)[:, None, None] * 0.1 + 0.7
    seeds = rng.normal(size=(60, 4, 1)) * seed_noise
    rungs = rng.normal(size=(60, 4, 3)) * rung_noise
    rungs[:, :, -1] = 0.0
    return pool(quality + seeds + rungs)


def means(pool: halving.Pool, name: str, n_seen: int = 1) -> tuple[float, float, float]:
    mode, shuffled = halving.modes(pool)[name]
    found = halving.outcomes(pool, mode, n_seen, shuffled=shuffled)
    return tuple(
        float(np.mean([getattr(o, m) for o in found])) for m in ("regret", "added", "saved")
    )


@pytest.mark.parametrize(
    "table",
    [
        {"mode": "successive", "epochs": [1, 3], "reduction": 3},
        {"mode": "asynchronous", "epochs": [1, 3], "reduction": 3},
    ],
)
def test_the_driver_trains_each_trial_as_far(storage: str, table: Mapping[str, Any]) -> None:
    """A study of 27 trials, then the simulation on what was measured in it.

    What was not reached is unknown here, and stays unknown to the simulation: nan wins nothing.
    """
    spec = fake_spec(27, evaluator={"epochs": RUNGS[-1]}, halving=table)
    search(spec, storage=storage, data_root=Path())
    store = Store(storage)
    seen = np.full((27, len(RUNGS)), np.nan)
    reached = []
    for trial in store.trials("fake"):
        by_epoch = {r["epoch"]: r["metrics"] for r in store.evaluations("fake", trial.number)}
        for epoch, metrics in by_epoch.items():
            seen[trial.number, RUNGS.index(epoch)] = metrics["val_accuracy"]
        reached.append(RUNGS.index(max(by_epoch)))
    by_mode = {
        "successive": partial(halving.successive, bracket=halving.BRACKET),
        "asynchronous": halving.asynchronous,
    }
    assert by_mode[table["mode"]](seen).levels == tuple(reached)
    assert len(set(reached)) == len(RUNGS)


def test_rungs_that_tell_everything_cost_nothing() -> None:
    """The same architecture as full training finds, for a quarter of the epochs."""
    exact = planted(np.random.default_rng(0), rung_noise=0.0, seed_noise=0.0)
    for name in ("successive, brackets of 9", "successive, one bracket of 27"):
        regret, added, saved = means(exact, name)
        assert (regret, added) == (0.0, 0.0)
        assert saved == pytest.approx(27 * 200 / (27 * 20 + 9 * 40 + 3 * 140))
    assert means(exact, "full training") == (0.0, 0.0, 1.0)
    assert means(exact, "asynchronous")[1] == 0.0


def test_shuffled_rungs_cost_much() -> None:
    """The control: whoever is promoted by chance is worse than what full training finds."""
    exact = planted(np.random.default_rng(0), rung_noise=0.0, seed_noise=0.0)
    for name in ("control: successive, shuffled rungs", "control: asynchronous, shuffled rungs"):
        assert means(exact, name)[1] > 0.005


def test_noise_of_the_seeds_is_the_regret_of_full_training_too() -> None:
    """Regret is against noise that nobody could have seen; what halving adds to it is not."""
    noisy = planted(np.random.default_rng(0), rung_noise=0.0, seed_noise=0.02)
    regret, added, _ = means(noisy, "successive, brackets of 9")
    assert regret > 0.005
    assert added == 0.0
    assert means(noisy, "full training")[0] == pytest.approx(regret)


def test_noise_of_the_rungs_is_what_halving_adds() -> None:
    """The noisier, the more."""
    added = [
        means(planted(np.random.default_rng(0), noise, 0.0), "successive, brackets of 9")[1]
        for noise in (0.0, 0.02, 1.0)
    ]
    assert added == sorted(added)
    assert added[-1] > added[0] + 0.005


def test_a_pool_is_read_as_it_was_kept(tmp_path: Path) -> None:
    kept = planted(np.random.default_rng(3), 0.01, 0.01)
    kept.save(tmp_path / "pool.json")
    assert halving.Pool.load(tmp_path / "pool.json") == kept


def test_the_interval_covers_the_mean() -> None:
    """About 95 times in 100, of values that are drawn independently."""
    covered = []
    for seed in range(200):
        values = np.random.default_rng(1000 + seed).exponential(size=100)
        _, low, high = halving.interval(values.tolist())
        covered.append(low <= 1.0 <= high)
    assert 0.88 < np.mean(covered) < 0.99
