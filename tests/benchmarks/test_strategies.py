"""The statistics of benchmarks/strategies.py, against what they stand for."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import strategies


def closed(values):
    return strategies.Random(SimpleNamespace(val=np.array(values)))


@pytest.mark.parametrize("values", [[0.1, 0.9, 0.5, 0.9, 0.3, 0.0, 0.7, 0.7], [0.4] * 8])
def test_the_closed_form_is_the_mean_over_all_subsets(values):
    """Of 8 architectures, with ties: every budget, every draw without repetition."""
    random = closed(values)
    for n in range(1, len(values) + 1):
        regrets = [max(values) - max(drawn) for drawn in combinations(values, n)]
        assert random.regret(n) == pytest.approx(np.mean(regrets), abs=1e-12)


def test_the_equal_budget_inverts_the_regret():
    """Within a thousandth; the whole table for no regret, one draw for more than one draw's."""
    random = closed(np.random.default_rng(0).normal(size=5000))
    for n in (1, 7, 100, 333, 2500):
        assert random.equal_budget(random.regret(n)) == pytest.approx(n, rel=2e-3)
    assert random.equal_budget(0.0) == pytest.approx(5000)
    assert random.equal_budget(99.0) == 1


def test_p_values_of_random_against_itself():
    """Runs of random search are called worse, or different, about as often as they should be.

    The controls: runs with half and with double the regret.
    """
    gaps = np.sort(np.random.default_rng(1).random(5000)) ** 0.5
    random = closed(1 - gaps)
    rng = np.random.default_rng(2)
    expected = random.regret(50)
    first = (5000 * (1 - rng.random((500, 50)) ** (1 / 50))).astype(int)
    runs = random.gaps[first]
    worse = np.array([strategies.worse_p(values, expected) for values in runs])
    differs = np.array([strategies.differs_p(values, expected) for values in runs])
    assert np.mean(worse < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(differs < 0.05) == pytest.approx(0.05, abs=0.03)
    assert max(strategies.worse_p(2 * values, expected) for values in runs[:20]) < 1e-3
    assert min(strategies.worse_p(values / 2, expected) for values in runs[:20]) > 0.99
    assert strategies.worse_p(np.zeros(5), expected) == 1.0
    assert strategies.worse_p(np.ones(5), expected) == 0.0


def test_the_interval_of_the_geometric_mean():
    """It has the mean in it, shrinks with seeds, and is one point where all runs are equal."""
    tables = {
        name: closed(np.random.default_rng(i).random(900))
        for i, name in enumerate(("cora", "physics"))
    }
    rng = np.random.default_rng(5)
    drawn = {name: rng.exponential(random.regret(100), 320) for name, random in tables.items()}
    many = strategies.geometric_mean(tables, drawn)
    few = strategies.geometric_mean(tables, {name: v[:20] for name, v in drawn.items()})
    assert many[1] < many[0] < many[2]
    assert few[1] < few[0] < few[2]
    assert np.log(few[2] / few[1]) > 2 * np.log(many[2] / many[1])
    assert 70 < many[0] < 140
    same = {name: np.full(5, random.regret(100)) for name, random in tables.items()}
    assert strategies.geometric_mean(tables, same) == pytest.approx((100, 100, 100), rel=1e-2)


def test_a_run_without_a_value_is_refused():
    """Left out, it would make the others' mean look better."""
    found = SimpleNamespace(value_at=lambda _: 0.5)
    nothing = SimpleNamespace(value_at=lambda _: None)
    assert strategies.regrets([found, found], 0.9, 10) == pytest.approx([0.4, 0.4])
    with pytest.raises(ValueError, match="each of 2 runs, got 1"):
        strategies.regrets([found, nothing], 0.9, 10)
