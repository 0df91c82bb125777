"""What is expected of architectures not measured yet: learned where measured, else computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nas.strategies._base import Finished, Problem
from nas.strategies._ensemble import Ensemble
from nas.strategies._process import MOST_LEARNED_FROM, Sample
from nas.strategies._ranking import measured, preferences, usable
from search_spaces import Architecture
from search_spaces.features import Counts, features_of

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
# So many trials predict at most: half of them the best, the others spread over the rest.
MOST_MEASURED = 300
# Fewer cannot be left out in turn and ranked.
FEWEST = 5
# Standard deviations above the mean, from which on a violation is not expected.
CAUTION = 0.5


@dataclass(frozen=True)
class Prediction:
    """What is expected of m architectures.

    Attributes:
        means: [m, objectives] losses: scores of a normal distribution where learned.
        spreads: [m, objectives] standard deviations; 0 where computed.
        violations: [m] to expect; infinite for what cannot be built.
    """

    means: Floats
    spreads: Floats
    violations: Floats


class Predictors:
    """One predictor for each objective, and one of the violation where some was measured.

    A loss is learned as the score that its rank has in a normal distribution, so a scale and
    outliers make no difference. Pruned trials rank behind the measured ones. A metric of
    `problem.known` is computed and never learned; neither are constraints on such metrics.
    """

    def __init__(self, problem: Problem, trials: Sequence[Finished]) -> None:
        self.problem = problem
        self._features = features_of(problem.space)
        known = [t for t in trials if usable(t)]
        self.trials = [known[i] for i in _subset(known, MOST_MEASURED)]
        self.computed = tuple(o.metric in problem.known for o in problem.objectives)
        self.needs_facts = any(self.computed) or any(
            c.metric in problem.known for c in problem.constraints
        )
        self.ensembles: tuple[Ensemble | None, ...] = (None,) * len(self.computed)
        self._violation: Ensemble | None = None
        self.is_enough = sum(measured(t) is not None for t in self.trials) >= FEWEST
        if self.is_enough:
            self._learn()

    def _learn(self) -> None:
        counts = [self._features.counts(t.architecture) for t in self.trials]
        sample = Sample(counts, len(self._features.groups))
        subset = np.array(_subset(self.trials, MOST_LEARNED_FROM))

        def ensemble(values: Floats) -> Ensemble:
            return Ensemble(sample, values, subset)

        losses = np.array([_losses(t, len(self.computed)) for t in self.trials])
        self.ensembles = tuple(
            None if computed else ensemble(normal_scores(column))
            for computed, column in zip(self.computed, losses.T, strict=True)
        )
        violations = self._unexplained()
        if (violations > 0).any():
            # Two kinds, however large the violation: 0 is the bound between them.
            self._violation = ensemble(np.where(violations > 0, 1.0, -1.0))

    def _unexplained(self) -> Floats:
        """[n] the violations that facts do not account for."""
        violations = np.array([t.violation for t in self.trials], dtype=np.float64)
        if self.needs_facts:
            violations -= self._facts_of([t.architecture for t in self.trials])[1]
        return np.nan_to_num(np.where(violations > 1e-9, violations, 0.0), posinf=1.0)

    def ranks(self) -> dict[str, tuple[float, float]]:
        """By learned metric: Kendall's tau of the left-out predictions, and in standard errors."""
        from scipy.stats import kendalltau

        found = {}
        n = len(self.trials)
        for objective, ensemble in zip(self.problem.objectives, self.ensembles, strict=True):
            if ensemble is not None:
                tau = float(np.nan_to_num(kendalltau(ensemble.left_out, ensemble.values).statistic))
                found[objective.metric] = tau, tau / np.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))
        return found

    def measured_losses(self) -> Floats:
        """[n, objectives] of the feasible trials learned from, as predictions have them."""
        losses, violations = self._facts_of([t.architecture for t in self.trials])
        for column, ensemble in enumerate(self.ensembles):
            if ensemble is not None:
                losses[:, column] = ensemble.values
        kept = [t.violation <= 0 and t.losses is not None for t in self.trials]
        return losses[np.array(kept, dtype=bool) & np.isfinite(violations)]

    def predict(self, architectures: Sequence[Architecture]) -> Prediction:
        """Means and spreads of each."""
        means, violations = self._facts_of(architectures)
        spreads = np.zeros_like(means)
        counts = self._counts(architectures)
        for column, ensemble in enumerate(self.ensembles):
            if ensemble is not None:
                means[:, column], spreads[:, column] = ensemble.predict(counts)
        if self._violation is not None:
            means_of_it, spreads_of_it = self._violation.predict(counts)
            violations = violations + np.maximum(means_of_it + CAUTION * spreads_of_it, 0)
        return Prediction(means, spreads, violations)

    def draw(
        self, architectures: Sequence[Architecture], count: int, rng: np.random.Generator
    ) -> Floats:
        """[count, m, objectives] losses that all architectures together may have."""
        means, _ = self._facts_of(architectures)
        counts = self._counts(architectures)
        draws = np.repeat(means[None], count, axis=0)
        for column, ensemble in enumerate(self.ensembles):
            if ensemble is not None:
                draws[:, :, column] = ensemble.draw(counts, count, rng)
        return draws

    def _counts(self, architectures: Sequence[Architecture]) -> list[Counts]:
        return [self._features.counts(a) for a in architectures]

    def _facts_of(self, architectures: Sequence[Architecture]) -> tuple[Floats, Floats]:
        """([m, objectives] computed losses, 0 where learned, and [m] violations of the facts)."""
        losses = np.zeros((len(architectures), len(self.problem.objectives)))
        violations = np.zeros(len(architectures))
        if not self.needs_facts:
            return losses, violations
        for row, architecture in enumerate(architectures):
            facts = self.problem.facts(architecture)
            if facts is None:
                losses[row], violations[row] = np.nan, np.inf
                continue
            violations[row] = self.problem.violation(facts)
            for column, objective in enumerate(self.problem.objectives):
                if self.computed[column]:
                    losses[row, column] = objective.loss(facts[objective.metric])
        return losses, violations


def normal_scores(losses: Floats) -> Floats:
    """The quantiles of a normal distribution at the losses' ranks; equal losses share one."""
    from scipy.stats import norm, rankdata

    return np.asarray(norm.ppf((rankdata(losses) - 0.5) / len(losses)))


def _losses(trial: Finished, n_objectives: int) -> tuple[float, ...]:
    """Those measured, of infeasible trials too; infinite where a trial did not come that far."""
    if trial.losses is not None and np.isfinite(trial.losses).all():
        return trial.losses
    return (np.inf,) * n_objectives


def _subset(trials: Sequence[Finished], most: int) -> list[int]:
    """Indices of at most so many trials: half of them the best, the others spread over the rest."""
    if len(trials) <= most:
        return list(range(len(trials)))
    keys = preferences(trials)
    best = sorted(range(len(trials)), key=keys.__getitem__)
    half = most // 2
    rest = np.linspace(half, len(trials) - 1, most - half).round().astype(int).tolist()
    return sorted(best[:half] + [best[i] for i in rest])
