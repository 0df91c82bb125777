"""Architecture and bits together: learned by gradient at a price, then drawn; or a front of both.

Yiren Zhao, Duo Wang, Daniel Bates, Robert Mullins, Mateja Jamnik, Pietro Lio: Learned Low Precision
Graph Neural Networks (2020). Before the first trial one network is trained in which architecture
and number formats are weights, one network of it at a time (the preparation `lpgnas` says how), and
decisions pay for what they cost. Then the most probable architecture is proposed, then draws, all
trained and evaluated like any others.

With two objectives, one of the validation units and one that is known without training, proposals
trace a front, which is ours: the second aims at the smallest cost of the space, the third at the
largest, and each later one between two costs of the front so far, where most could still be gained.
Of what is near the cost aimed at, and was not tried, that is proposed which is expected to do best:
by how probable its choices are, and by what trials have told since of those that are alike (see
`_belief`). It is the best of some draws, changed choice by choice for as long as that is better.
Decisions pay nothing then, unless `cost_weight` says so: what is aimed at sees to the cost.

The cost is `model_bytes`, `bit_operations`, `buffer_bytes`, or `latency_ms` where the study has a
profile. Bytes are counted; of the others some hundred architectures are computed, and all others
foretold from that: bit operations exactly, `buffer_bytes` and latency with an error.

Limits: spaces `gnn` that can be relaxed: without `skip`, recipe decisions, and extensions but
`quantization`, of that without learned scales and protection.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Lt

from evaluators import Preparation
from nas.strategies._base import Objective, Problem, Proposal, StrategyError
from nas.strategies._belief import Belief
from nas.strategies._costs import Costs
from nas.strategies._ladder import Ladder
from nas.strategies._learned import Known, Learned
from search_spaces import Architecture
from search_spaces.plugins import Plugin

Cost: TypeAlias = Literal["model_bytes", "bit_operations", "buffer_bytes", "latency_ms"]
_BYTES: Cost = "model_bytes"
_COSTS: tuple[Cost, ...] = ("model_bytes", "bit_operations", "buffer_bytes", "latency_ms")
# Passes of a step of the decisions: four forward, and once back, which is as much as two forward.
_OF_DECISIONS = 2.0
# The proposals that aim at the smallest and at the largest cost.
_ENDS = (1, 2)
# What decisions pay where one objective is learned.
_PAID = 0.1


class Lpgnas(Learned):
    """Draws from what was learned, or along a ladder of costs.

    Args:
        problem: of one objective, or of two.
        cost: that decisions pay for.
        epochs: of the relaxed network.
        options: of the preparation besides.
    """

    def __init__(
        self, problem: Problem, cost: Cost | None, epochs: int, options: dict[str, Any]
    ) -> None:
        fits, of_front = _objectives(problem)
        if cost and of_front and cost != of_front:
            raise StrategyError(
                f'cost: the study\'s objective is {of_front}, got "{cost}"; leave it out'
            )
        learned = epochs - options["warm_up_epochs"]
        spent = options["steps"] * (epochs + _OF_DECISIONS * learned)
        super().__init__(problem, "lpgnas", Preparation(Plugin("lpgnas", {}), epochs, spent), fits)
        self._cost: Cost = of_front or cost or _BYTES
        self._is_front, self._options = of_front is not None, {"epochs": epochs, **options}
        # Bytes are counted without the study.
        self._costs = None if self._cost == _BYTES else Costs(problem, self._cost)

    @property
    def preparation(self) -> Preparation:
        """With what some architectures cost, which is computed when it is first asked for."""
        epochs, spent = super().preparation.epochs, super().preparation.passes
        return Preparation(Plugin("lpgnas", self._given), epochs, spent)

    @cached_property
    def _given(self) -> dict[str, Any]:
        given = {**self._options, "cost": self._cost}
        if self._costs is not None:
            examples = self._costs.examples
            given["examples"] = tuple(self.problem.space.encode(a) for a in examples)
            given["costs"] = tuple(self._costs.of(a) for a in examples)
        return given

    @cached_property
    def _ladder(self) -> Ladder:
        from evaluators import cost_of  # it loads torch

        task = self.problem.task
        if task is None:
            raise StrategyError('name: "lpgnas" wants to know of the task; use nas search')
        known = (self._given.get(name, ()) for name in ("examples", "costs"))
        cost = cost_of(self.problem.space, task, self._cost, *known)
        return Ladder(self.problem.space, lambda architecture: cost(architecture).value)

    def another(
        self, state: Known, ordinal: int, pending: Sequence[Architecture], rng: np.random.Generator
    ) -> Proposal:
        if not (self._is_front and state.distribution):
            return super().another(state, ordinal, pending, rng)
        from threadpoolctl import threadpool_limits

        aim = self._aim(state, ordinal, pending)
        seen = {a.key for a in pending} | {t.architecture.key for t in state.ended}
        # The last bits of a solution depend on how many threads share it.
        with threadpool_limits(limits=1):
            belief = Belief(self.problem.space, state.distribution, self._losses(state))
            found = self._ladder.nearest(aim, state.distribution, belief.loss, seen, rng)
        made = self.note(ordinal, found, state, "at a cost")
        return Proposal(ordinal, found, note={**made.note, "aim": float(f"{aim:.4g}")})

    def _aim(self, state: Known, ordinal: int, pending: Sequence[Architecture]) -> float:
        """Both ends first; then where the front could gain most, what is under way left out."""
        rung = self._ladder.rung(max(1, ordinal))
        if ordinal <= len(_ENDS):
            return rung
        points = [(self._ladder.cost(a), loss) for a, loss in self._losses(state)]
        # Whatever is under way is taken to be as good as what is as cheap or cheaper.
        for architecture in pending:
            cost = self._ladder.cost(architecture)
            cheaper = [loss for other, loss in points if other <= cost]
            dearer = [loss for other, loss in points if other > cost]
            if cheaper and dearer:
                points.append((cost, (min(cheaper) + min(dearer)) / 2))
        return self._ladder.widest_gap(points) or rung

    def _losses(self, state: Known) -> list[tuple[Architecture, float]]:
        """Of the trials, in what is learned."""
        place = next(i for i, o in enumerate(self.problem.objectives) if o.metric != self._cost)
        return [(t.architecture, t.losses[place]) for t in state.ended if t.losses is not None]


def _objectives(problem: Problem) -> tuple[Objective | None, Cost | None]:
    """Which is learned, where there are two, and the cost that is the other.

    Raises:
        StrategyError: two of another kind, or more.
    """
    objectives = problem.objectives
    if len(objectives) == 1:
        return None, None
    named = ", ".join(f"{o.metric} ({o.direction})" for o in objectives)
    costs = [cost for cost in _COSTS if cost in problem.known]
    found = [cost for cost in costs if Objective(cost, "minimize") in objectives]
    if len(objectives) == 2 and len(found) == 1:
        return next(o for o in objectives if o.metric != found[0]), found[0]
    raise StrategyError(
        f'name: "lpgnas" is for one objective, or for one and a cost to be minimized, of '
        f"{', '.join(costs) or _BYTES}; got {len(objectives)}: {named}; use nsga2 or linas"
    )


def build(
    problem: Problem,
    *,
    epochs: Annotated[int, Ge(1)] = 60,
    steps: Annotated[int, Ge(1)] = 8,
    warm_up_epochs: Annotated[int, Ge(0)] | None = None,
    bits_warm_up_epochs: Annotated[int, Ge(0)] | None = None,
    cost: Cost | None = None,
    cost_weight: Annotated[float, Ge(0)] | None = None,
    entropy_weight: Annotated[float, Ge(0)] = 0.1,
    lr: Annotated[float, Gt(0)] = 0.03,
    weight_decay: Annotated[float, Ge(0)] = 5e-4,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.5,
    architecture_lr: Annotated[float, Ge(0)] = 0.1,
    batch_size: Annotated[int, Ge(1)] = 128,
) -> Lpgnas:
    """Make the strategy.

    Args:
        problem: what to search.
        epochs: of the relaxed network.
        steps: of an epoch of a node task; of a graph task an epoch is a pass over the graphs.
        warm_up_epochs: first so many, in which decisions stay as they are; half by default.
        bits_warm_up_epochs: first so many, in which those about bits do; by default an eighth
            of all more.
        cost: what decisions pay for; by default the second objective, or `model_bytes`.
        cost_weight: of the expected cost, in that of the even distribution, beside the validation
            loss; the paper's beta. 0 learns as if nothing cost anything, the default for two
            objectives; for one it is 0.1.
        entropy_weight: of the mean entropy of the decisions, at the end.
        lr, weight_decay, dropout: of the weights of the relaxed network, by Adam.
        architecture_lr: of the decisions, by Adam; 0 learns nothing, and all draws are even.
        batch_size: graphs a step.

    Raises:
        StrategyError: objectives that are not one of validation, or that and a cost; a cost that
            is not known; a space that cannot be relaxed.
    """
    paid = (
        cost_weight if cost_weight is not None else _PAID if len(problem.objectives) == 1 else 0.0
    )
    options = {
        "steps": steps,
        "warm_up_epochs": epochs // 2 if warm_up_epochs is None else warm_up_epochs,
        "cost_weight": paid,
        "entropy_weight": entropy_weight,
        "lr": lr,
        "weight_decay": weight_decay,
        "dropout": dropout,
        "architecture_lr": architecture_lr,
        "batch_size": batch_size,
    }
    if bits_warm_up_epochs is not None:
        options["bits_warm_up_epochs"] = bits_warm_up_epochs
    return Lpgnas(problem, cost, epochs, options)
