"""What the predictor learns from samples whose costs are known, and what it must not learn."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from evaluators.latency.costs import GROUPS
from evaluators.latency.predictor import MOST_SAMPLES, SIGMAS, Predictor
from evaluators.latency.tracing import WORK
from evaluators.latency.values import LatencyError, Workload

Floats = NDArray[np.float64]
COST = np.random.default_rng(0).gamma(1.0, 1.0, len(WORK))
# What the networks here do: few kinds of work, whatever kinds there are.
KINDS = ("product", "gather", "scatter", "map", "copy", "modules")
DOES = np.array([name.partition(".")[0] in KINDS for name in WORK])


def samples(n: int, seed: int, size: float = 1.0) -> tuple[Floats, list[Workload]]:
    """Works of random amounts of random kinds, and graphs."""
    rng = np.random.default_rng(seed)
    works = size * rng.gamma(0.5, 1.0, (n, len(WORK))) * (rng.random((n, len(WORK))) < 0.5) * DOES
    works[:, 0] += size
    nodes = rng.integers(100, 10_000, n).tolist()
    return works, [Workload(one, 5 * one, float(rng.uniform(0, 0.8))) for one in nodes]


def timed(
    works: Floats, workloads: list[Workload], seed: int, noise: float, cost: Floats = COST
) -> list[float]:
    """Additive, but that skewed graphs take up to half as long again."""
    skews = np.array([one.skew for one in workloads])
    errors = np.random.default_rng(seed).normal(0, noise, len(works))
    values: list[float] = (works @ cost * (1 + 0.6 * skews) * np.exp(errors)).tolist()
    return values


def error(predictor: Predictor, seed: int, cost: Floats = COST) -> float:
    """Mean relative error on samples that were not seen, whose noise is none."""
    works, workloads = samples(200, seed)
    truth = np.array(timed(works, workloads, 0, 0.0, cost))
    return float(np.abs(predictor.predict_many(works, workloads)[0] / truth - 1).mean())


@pytest.fixture(scope="module")
def known() -> tuple[Floats, list[Workload], list[float]]:
    works, workloads = samples(300, 1)
    return works, workloads, timed(works, workloads, 2, 0.05)


@pytest.fixture(scope="module")
def predictor(known: tuple[Floats, list[Workload], list[float]]) -> Predictor:
    return Predictor.fit(*known)


class TestFit:
    def test_it_predicts_what_it_has_not_seen(self, predictor: Predictor) -> None:
        """The additive part alone misses the skew."""
        assert error(predictor, seed=3) < 0.05
        works, workloads = samples(200, 3)
        truth = np.array(timed(works, workloads, 0, 0.0))
        assert np.abs(works @ predictor.cost / truth - 1).mean() > 0.09

    def test_shuffled_times_teach_nothing(
        self, known: tuple[Floats, list[Workload], list[float]]
    ) -> None:
        works, workloads, values = known
        shuffled = np.random.default_rng(0).permutation(values).tolist()
        fooled = Predictor.fit(works, workloads, shuffled)
        asked, sizes = samples(200, 3)
        truth = timed(asked, sizes, 0, 0.0)
        assert spearmanr(fooled.predict_many(asked, sizes)[0], truth).statistic < 0.7
        assert fooled.noise > 0.2

    def test_nine_in_ten_lie_within_the_interval(self, predictor: Predictor) -> None:
        """Of 1,000 with the samples' noise: a true share of 0.9 is below 0.85 once in 1e6;
        and intervals half as wide hold far fewer."""
        works, workloads = samples(1_000, 4)
        truth = np.array(timed(works, workloads, 5, 0.05))
        means, sds = predictor.predict_many(works, workloads)
        away = np.abs(np.log(truth / means)) / sds
        assert 0.85 < (away < SIGMAS).mean() < 0.98
        assert (away < SIGMAS / 2).mean() < 0.75

    def test_one_at_a_time_it_says_the_same(self, predictor: Predictor) -> None:
        works, workloads = samples(5, 6)
        means, sds = predictor.predict_many(works, workloads)
        for work, workload, mean, sd in zip(works, workloads, means, sds, strict=True):
            found = predictor.predict(work, workload)
            assert found.mean == pytest.approx(mean)
            assert found.high / found.mean == pytest.approx(np.exp(SIGMAS * sd))
            assert found.low < found.mean < found.high

    def test_far_away_the_costs_remain(self, predictor: Predictor) -> None:
        """Of networks ten times as large as any, with a spread that says so."""
        works, workloads = samples(50, 7, size=100.0)
        truth = np.array(timed(works, workloads, 0, 0.0))
        means, sds = predictor.predict_many(works, workloads)
        assert np.abs(np.log(means / truth)).mean() < 0.35
        near = predictor.predict_many(*samples(50, 7))[1]
        assert sds.mean() > near.mean()

    def test_gross_errors_count_little(
        self, known: tuple[Floats, list[Workload], list[float]]
    ) -> None:
        works, workloads, values = known
        spoiled = [v * 20 if i % 25 == 0 else v for i, v in enumerate(values)]
        assert error(Predictor.fit(works, workloads, spoiled), seed=3) < 0.12

    def test_of_many_samples_some_are_enough(self) -> None:
        works, workloads = samples(MOST_SAMPLES + 300, 8)
        fitted = Predictor.fit(works, workloads, timed(works, workloads, 9, 0.05))
        assert len(fitted.residuals) == MOST_SAMPLES
        assert error(fitted, seed=3) < 0.05

    def test_work_that_no_sample_had_may_cost_nothing_and_breaks_nothing(self) -> None:
        """All samples do the same kind of work but one, which does only another kind."""
        works = np.zeros((12, len(WORK)))
        works[:11, 0] = np.arange(1, 12)
        works[11, 1] = 1e-9
        values = [*np.arange(1.0, 12.0), 1e-3]
        fitted = Predictor.fit(works, [Workload(10, 20)] * 12, values)
        means, sds = fitted.predict_many(works, [Workload(10, 20)] * 12)
        assert np.isfinite(means).all()
        assert np.isfinite(sds).all()
        assert (means > 0).all()

    def test_noise_of_a_constant_size_is_found(self) -> None:
        """Short times are then worth little; without such noise all are worth the same."""
        works, workloads = samples(200, 10)
        works *= np.geomspace(0.01, 1.0, 200)[:, None]
        truth = np.array(timed(works, workloads, 0, 0.0))
        jitter = np.abs(np.random.default_rng(1).normal(0, 0.2 * np.median(truth), 200))
        constant = Predictor.fit(works, workloads, (truth + jitter).tolist())
        relative = Predictor.fit(works, workloads, timed(works, workloads, 11, 0.05))
        short = truth < np.median(truth) / 10
        assert constant.weights[short].mean() < 0.3 * constant.weights[~short].mean()
        assert relative.weights[short].mean() > 0.7 * relative.weights[~short].mean()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda v: v[:5], "expected 8 samples or more"),
            (lambda v: [0.0, *v[1:]], "expected positive values"),
            (lambda v: [float("nan"), *v[1:]], "expected positive values"),
        ],
    )
    def test_what_it_cannot_learn_from(
        self,
        known: tuple[Floats, list[Workload], list[float]],
        change: Callable[[list[float]], list[float]],
        message: str,
    ) -> None:
        works, workloads, values = known
        given = change(values)
        with pytest.raises(LatencyError, match=message):
            Predictor.fit(works[: len(given)], workloads[: len(given)], given)


class TestContext:
    def test_what_work_does_not_tell_it_does(self) -> None:
        """Half of the networks take twice as long, which their work does not show."""
        works, workloads = samples(300, 12)
        twice = (np.arange(300) % 2).astype(float)
        values = (np.array(timed(works, workloads, 13, 0.03)) * (1 + twice)).tolist()
        asked, sizes = samples(100, 14)
        truth = np.array(timed(asked, sizes, 0, 0.0)) * (1 + np.arange(100) % 2)
        context = 2 * twice[:, None]
        told = Predictor.fit(works, workloads, values, context)
        blind = Predictor.fit(works, workloads, values)
        seen = told.predict_many(asked, sizes, context[:100])[0]
        unseen = blind.predict_many(asked, sizes)[0]
        assert np.abs(seen / truth - 1).mean() < 0.16
        assert np.abs(unseen / truth - 1).mean() > 0.2


class TestAdapted:
    @pytest.fixture(scope="class")
    def other(self) -> Floats:
        """Another device: each group of work costs more or less there, on average three times."""
        factors = dict(zip(GROUPS, np.geomspace(1.5, 6.0, len(GROUPS)), strict=True))
        kinds = [name.split(".")[:2] for name in WORK]
        return COST * [factors["calls" if w == "calls" else kind] for kind, w in kinds]

    def test_ten_probes_are_worth_much(self, predictor: Predictor, other: Floats) -> None:
        """More than the source as it is, more than the source with one factor."""
        works, workloads = samples(10, 15)
        values = timed(works, workloads, 16, 0.03, other)
        adapted = predictor.adapted(works, workloads, values)
        factor = np.median(values / predictor.predict_many(works, workloads)[0])
        asked, sizes = samples(200, 3)
        truth = np.array(timed(asked, sizes, 0, 0.0, other))
        one_factor = predictor.predict_many(asked, sizes)[0] * factor
        found = error(adapted, 3, other)
        assert found < error(predictor, 3, other) / 4
        assert found < 0.8 * np.abs(one_factor / truth - 1).mean()

    def test_shuffled_probes_are_worth_less(self, predictor: Predictor, other: Floats) -> None:
        works, workloads = samples(10, 15)
        values = timed(works, workloads, 16, 0.03, other)
        shuffled = np.random.default_rng(1).permutation(values).tolist()
        fooled = predictor.adapted(works, workloads, shuffled)
        honest = predictor.adapted(works, workloads, values)
        assert error(fooled, 3, other) > 1.5 * error(honest, 3, other)
        assert fooled.probed > 2 * honest.probed

    def test_it_is_less_sure_than_its_source(self, predictor: Predictor, other: Floats) -> None:
        works, workloads = samples(10, 15)
        adapted = predictor.adapted(works, workloads, timed(works, workloads, 16, 0.03, other))
        asked = samples(20, 17)
        assert (adapted.predict_many(*asked)[1] > predictor.predict_many(*asked)[1]).all()

    @pytest.mark.parametrize("values", [[], [0.0]])
    def test_probes_that_say_nothing(self, predictor: Predictor, values: list[float]) -> None:
        works, workloads = samples(max(1, len(values)), 15)
        with pytest.raises(LatencyError, match="one probe or more"):
            predictor.adapted(works, workloads, values)


class TestArrays:
    def test_there_and_back(self, predictor: Predictor) -> None:
        again = Predictor.from_arrays(predictor.to_arrays())
        asked = samples(20, 18)
        for mine, theirs in zip(
            predictor.predict_many(*asked), again.predict_many(*asked), strict=True
        ):
            assert (mine == theirs).all()

    def test_one_that_is_missing(self, predictor: Predictor) -> None:
        arrays = predictor.to_arrays()
        del arrays["residuals"]
        with pytest.raises(KeyError, match="residuals"):
            Predictor.from_arrays(arrays)

    @pytest.mark.parametrize("name", ["cost", "points", "weights", "center"])
    def test_one_of_another_shape(self, predictor: Predictor, name: str) -> None:
        arrays = predictor.to_arrays()
        arrays[name] = arrays[name][:-1]
        with pytest.raises(ValueError, match=f"{name}: expected shape"):
            Predictor.from_arrays(arrays)
