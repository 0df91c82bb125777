"""What a round of measurements consists of: a pure function of the record before it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from nas.strategies._base import Finished, Problem
from nas.strategies._batch import improving, spreading
from nas.strategies._inner import Pool, evolve
from nas.strategies._predictors import Floats, Predictors
from nas.strategies._ranking import mutant, preferences, usable, winner
from search_spaces import Architecture

Phase: TypeAlias = Literal["predicted", "exploration", "fallback"]
Pick: TypeAlias = tuple[Architecture, Phase]
# The inner search: random architectures, and as many children in each generation; fewer in large
# spaces, whose architectures take longer to make, and where each has to be built, for its facts.
GENERATIONS, CHILDREN, PARENTS = 4, 150, 30
FEWEST_CHILDREN, MOST_DECISIONS = 40, 4000
# Standard deviations below the mean: what the inner search hopes for.
HOPE = 0.5
# Of the pool's best, so many are drawn from together, so many times.
CANDIDATES, DRAWS = 200, 256
# Standard errors of Kendall's tau from which on a predictor is trusted.
TRUSTED = 0.5
# Random architectures are drawn so often until one keeps the constraints on what is known.
MOST_DRAWN = 64
# Picks beyond the batch, for workers that are faster than others.
SPARE = 2


@dataclass(frozen=True)
class Round:
    """What to measure, in order, each with its phase; spare ones behind. `note` is for all."""

    picks: tuple[Pick, ...]
    note: Mapping[str, float]


def plan(
    problem: Problem,
    record: Sequence[Finished],
    batch: int,
    exploration: float,
    rng: np.random.Generator,
) -> Round:
    """The round after a record.

    Args:
        problem: what to search.
        record: all that had ended when the round began.
        batch: of how many trials the round consists.
        exploration: share of random architectures.
        rng: of the round.
    """
    known = {trial.architecture.key for trial in record}
    predictors = Predictors(problem, record)
    ranks = predictors.ranks()
    several = len(problem.objectives) > 1
    note = {
        f"kendall_tau.{metric}" if several else "kendall_tau": round(tau, 4)
        for metric, (tau, _) in ranks.items()
    }
    trusted = all(predictors.computed) or any(e >= TRUSTED for _, e in ranks.values())
    n_random = int(exploration * batch)
    share = exploration * batch - n_random
    if share > 1e-9:  # part of an architecture: one with that probability
        n_random += int(rng.random() < share)
    random: list[Pick] = [(feasible(problem, rng), "exploration") for _ in range(n_random)]
    picks: list[Pick]
    if trusted:
        found = _predicted(predictors, known, batch - n_random, rng)
        picks = [(a, "predicted") for a in found]
    else:
        picks = [(a, "fallback") for a in _fallback(problem, record, batch * (1 + SPARE), rng)]
    planned = picks[: batch - n_random] + random + picks[batch - n_random :]
    return Round(tuple(_new(planned, known)), note)


def _new(picks: Sequence[Pick], known: set[str]) -> list[Pick]:
    """Each architecture once, without those in the record."""
    first: dict[str, Pick] = {}
    for architecture, phase in picks:
        if architecture.key not in known:
            first.setdefault(architecture.key, (architecture, phase))
    return list(first.values())


def _predicted(
    predictors: Predictors, known: set[str], count: int, rng: np.random.Generator
) -> list[Architecture]:
    """The best new ones that the inner search finds, `count` chosen together and spare ones."""
    problem = predictors.problem

    def score(architectures: Sequence[Architecture]) -> tuple[Floats, Floats]:
        expected = predictors.predict(architectures)
        return expected.means - HOPE * expected.spreads, expected.violations

    pool = Pool(problem.space, score, len(problem.objectives))
    keys = preferences(predictors.trials)
    best = sorted(range(len(keys)), key=keys.__getitem__)[:PARENTS]
    evolve(
        pool,
        problem.space,
        [predictors.trials[i].architecture for i in best],
        rng,
        generations=GENERATIONS,
        children=_n_children(predictors),
    )
    ordered = [i for i in pool.best(CANDIDATES) if pool.architectures[i].key not in known]
    n_feasible = int((pool.violations[ordered] <= 0).sum())
    candidates = [pool.architectures[i] for i in ordered[:CANDIDATES]]
    # What is expected to be infeasible waits until nothing else is left; then the nearest go first.
    hopeful = candidates[:n_feasible] or candidates[:count]
    chosen = _together(predictors, hopeful, count, rng) if hopeful else []
    taken = set(chosen)
    rest = [a for i, a in enumerate(candidates) if i not in taken]
    return [hopeful[i] for i in chosen] + rest[: SPARE * count + count - len(chosen)]


def _n_children(predictors: Predictors) -> int:
    if predictors.needs_facts:
        return FEWEST_CHILDREN
    affordable = MOST_DECISIONS // len(predictors.problem.space.decisions)
    return min(CHILDREN, max(FEWEST_CHILDREN, affordable))


def _together(
    predictors: Predictors, candidates: Sequence[Architecture], count: int, rng: np.random.Generator
) -> list[int]:
    measured = predictors.measured_losses()
    if measured.shape[1] > 1:
        return spreading(predictors.draw(candidates, max(1, count), rng), measured, count)
    draws = predictors.draw(candidates, DRAWS, rng)[:, :, 0]
    best = float(measured.min()) if measured.size else float(draws.max())
    return improving(draws, best, count)


def feasible(problem: Problem, rng: np.random.Generator) -> Architecture:
    """A random architecture that keeps the constraints on what is known; else the nearest drawn."""
    return _kept(problem, (problem.space.sample(rng) for _ in range(MOST_DRAWN)))


def _kept(problem: Problem, drawn: Iterable[Architecture]) -> Architecture:
    """The first that keeps the constraints on what is known; else the one that comes nearest."""
    nearest, least = None, np.inf
    for architecture in drawn:
        if not any(c.metric in problem.known for c in problem.constraints):
            return architecture
        facts = problem.facts(architecture)
        violation = np.inf if facts is None else problem.violation(facts)
        if nearest is None or violation < least:
            nearest, least = architecture, violation
        if least <= 0:
            break
    if nearest is None:
        raise ValueError("expected at least one architecture")
    return nearest


def _fallback(
    problem: Problem, record: Sequence[Finished], count: int, rng: np.random.Generator
) -> list[Architecture]:
    """Without a predictor: by turns mutants of tournament winners, and random architectures."""
    trials = [trial for trial in record if usable(trial)]
    keys = preferences(trials)
    found = []
    for turn in range(count):
        if turn % 2 or not trials:
            found.append(feasible(problem, rng))
        else:
            drawn = rng.integers(len(trials), size=10).tolist()
            parent = winner([trials[i] for i in drawn], [keys[i] for i in drawn], rng)
            near = parent.architecture
            found.append(
                _kept(problem, (mutant(problem.space, near, rng) for _ in range(MOST_DRAWN)))
            )
    return found
