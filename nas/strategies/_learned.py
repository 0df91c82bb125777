"""Strategies that propose from a distribution over decisions, which was learned beforehand.

First the most probable architecture, then draws from the distribution: ordinary trials, evaluated
like any others. Nothing is learned of their results.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from evaluators import Preparation, Prepared
from nas.strategies._base import (
    Finished,
    Objective,
    Problem,
    Proposal,
    Strategy,
    StrategyError,
)
from nas.strategies._log import Log
from nas.strategies._reward import check_one_objective
from search_spaces import Architecture, Choice, Decision, SearchSpace
from search_spaces.frozen import FrozenMapping

# {decision: how probable each choice is}; what is not there is drawn evenly.
Distribution = Mapping[str, tuple[float, ...]]
# Metrics of the evaluators that are of no validation unit, and where those that are should go.
_OF_TRAINING = ("train_loss", "train_seconds", "best_epoch")
_DIRECTIONS = {
    "val_accuracy": "maximize",
    "val_macro_f1": "maximize",
    "val_roc_auc": "maximize",
    "val_loss": "minimize",
}
# Steps of the weights and of the decisions, and what the second order adds to them.
_TWO_STEPS, _UNROLLED = 2.0, 3.0


@dataclass(frozen=True)
class Known:
    """The distribution, and what has ended."""

    distribution: Distribution = field(default_factory=FrozenMapping)
    ended: Log = field(default_factory=Log)


class Learned(Strategy[Known]):
    """A fold that remembers only which architectures were tried.

    Args:
        problem: one objective, which is measured on validation, unless `fits` says which of them.
        name: of the strategy.
        preparation: what learns the distribution.
        fits: of several objectives the one that the distribution is learned for.
    """

    def __init__(
        self, problem: Problem, name: str, preparation: Preparation, fits: Objective | None = None
    ) -> None:
        super().__init__(problem)
        if fits is None:
            check_one_objective(name, problem)
        check_relaxed(name, problem.space)
        check_learned(name, fits or problem.objectives[0], problem.known)
        self._preparation = preparation

    @property
    def preparation(self) -> Preparation:
        return self._preparation

    def initial(self) -> Known:
        return Known()

    def prepared(self, state: Known, prepared: Prepared) -> Known:
        return replace(state, distribution=prepared.last.distribution)

    def fold(self, state: Known, finished: Finished) -> Known:
        return replace(state, ended=state.ended.append(finished))

    def first(self, state: Known) -> Architecture | None:
        """The most probable architecture; None before anything is learned."""
        if not state.distribution:
            return None
        return most_probable(self.problem.space, state.distribution)

    def propose(
        self, state: Known, ordinal: int, pending: Sequence[Architecture], rng: np.random.Generator
    ) -> Proposal:
        first = self.first(state)
        if first is None or first in pending or state.ended.has(first.key):
            return self.another(state, ordinal, pending, rng)
        return self.note(ordinal, first, state, "most probable")

    def another(
        self,
        state: Known,
        ordinal: int,
        pending: Sequence[Architecture],  # noqa: ARG002 - where draws are many
        rng: np.random.Generator,
    ) -> Proposal:
        """After the most probable one."""
        return self.note(ordinal, self.drawn(state, rng), state, "drawn")

    def drawn(self, state: Known, rng: np.random.Generator) -> Architecture:
        """One architecture of the distribution."""
        return drawn(self.problem.space, state.distribution, rng)

    def note(self, ordinal: int, architecture: Architecture, state: Known, phase: str) -> Proposal:
        """The proposal, with how it came about and how probable it is."""
        likely = probability(self.problem.space, state.distribution, architecture)
        return Proposal(ordinal, architecture, note={"phase": phase, "probability": likely})


def check_learned(strategy: str, objective: Objective, known: Collection[str]) -> None:
    """Raises: StrategyError: the objective is not what a relaxed network learns."""
    metric, direction = objective.metric, objective.direction
    learns = f'name: "{strategy}" learns what fits the validation units, got the objective {metric}'
    if metric in known:
        raise StrategyError(f"{learns}, which is known without training; use evolution or nsga2")
    if metric in _OF_TRAINING:
        raise StrategyError(f"{learns}, which is not measured on them; use evolution")
    wanted = _DIRECTIONS.get(metric, direction)
    if direction != wanted:
        raise StrategyError(f'{learns} = "{direction}"; expected "{wanted}"')


def check_relaxed(strategy: str, space: SearchSpace) -> None:
    """Raises: StrategyError: the networks of the space are not relaxed."""
    if space.relax is not None:
        return
    remedy = "".join(f"; leave [extension.{e.name}] out" for e in space.extensions)
    raise StrategyError(
        f'name: "{strategy}" is for spaces that can be relaxed, got "{space.name}"; '
        f'expected name = "gnn" or "nas_bench_graph", extended by nothing but quantization{remedy}'
    )


def most_probable(space: SearchSpace, distribution: Distribution) -> Architecture:
    """The most probable choice of each decision, parents first."""
    return space.fill(lambda decision: likeliest(distribution, decision))


def likeliest(distribution: Distribution, decision: Decision) -> Choice:
    """The most probable choice of a decision; the first of equal ones."""
    row = distribution.get(decision.name, (1.0,))
    return decision.choices[max(range(len(row)), key=row.__getitem__)]


def flattened(distribution: Distribution, heat: float) -> Distribution:
    """With probabilities to the power of 1 / heat, which is 1 or more."""
    rows = {name: tuple(p ** (1 / heat) for p in row) for name, row in distribution.items()}
    return {name: tuple(p / sum(row) for p in row) for name, row in rows.items()}


def drawn(space: SearchSpace, distribution: Distribution, rng: np.random.Generator) -> Architecture:
    """Each active decision by its probabilities, parents first."""

    def choose(decision: Decision) -> Choice:
        row = np.array(distribution.get(decision.name, (1.0,) * len(decision.choices)))
        return decision.choices[int(rng.choice(len(row), p=row / row.sum()))]

    return space.fill(choose)


def probability(
    space: SearchSpace, distribution: Distribution, architecture: Architecture
) -> float:
    """Of the choices that an architecture has."""
    return math.prod(
        distribution[name][space.by_name[name].choices.index(choice)]
        for name, choice in architecture.choices.items()
        if name in distribution
    )


def passes(
    space: SearchSpace,
    steps: float,
    order: str = "first",
    parts: int = 1,
    widths: int | None = None,
) -> float:
    """What so many steps of the weights and of the decisions are charged as.

    One step of a relaxed network computes, in the place of each operator, all of them with all
    their options, for all widths, or for no more than so many.
    """
    counts = [_computed(space, d, widths) for d in space.decisions if d.name.endswith(".operator")]
    mixed = max(1.0, sum(counts) / max(1, len(counts)) / parts)
    return steps * mixed * (_TWO_STEPS + (_UNROLLED if order == "second" else 0.0))


def _computed(space: SearchSpace, operator: Decision, most: int | None) -> int:
    """How many modules stand in the place of an operator."""
    layer = operator.name.removesuffix("operator")
    own = [d for d in space.decisions if operator.name in d.needs and d.name.startswith(layer)]
    options = [d for d in own if d.needs[operator.name] != operator.choices]
    widths = math.prod(len(d.choices[:most]) for d in own if d.name == f"{layer}width")
    return widths * sum(
        math.prod(len(d.choices) for d in options if choice in d.needs[operator.name])
        for choice in operator.choices
    )
