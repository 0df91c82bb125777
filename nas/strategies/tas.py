"""Pruning: learns by gradient how wide each layer is to be, for a given cost; trials are drawn.

Xuanyi Dong, Yi Yang: Network Pruning via Transformable Architecture Search (2019). Before the first
trial one network is trained in which widths, depth and all other decisions are weights, and what
costs more or less than the band from `target` less `tolerance` to `target` pays (the preparation
`tas` says how). Then the most probable architecture is proposed, then draws: by the distribution,
or by one that is flatter, since a distribution that has converged repeats itself. A draw outside
the band is drawn again; where none of 50 is inside, the nearest is proposed, and its note says so.

With `[evaluator] name = "transfer"` the networks found learn of the unpruned one, as in the paper.
The cost is `macs`, `params`, or `latency_ms` where the study has a profile; of some hundred
architectures it is computed, and of all others foretold from that, a latency with an error that the
epochs tell (`price_error`).

One objective, which is measured on the validation units. Limits: spaces `gnn` that can be relaxed:
without `skip`, recipe decisions and extensions but `quantization`.
"""

import math
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from evaluators import Preparation
from nas.strategies._base import Problem, Proposal
from nas.strategies._costs import Costs
from nas.strategies._learned import Known, Learned, flattened, passes
from search_spaces import Architecture
from search_spaces.plugins import Plugin

_DRAWS = 50
# Draws are by probabilities to the power of 1 / heat, for one of these: the last is nearly even.
_HEATS = (1.0, 4.0, 16.0)
_WIDTHS_AT_ONCE = 2


class Tas(Learned):
    """Draws from what was learned, within the band."""

    def __init__(
        self,
        problem: Problem,
        cost: str,
        target: float,
        target_cost: float | None,
        tolerance: float,
        options: dict[str, Any],
    ) -> None:
        steps = options["epochs"] * options["steps"]
        spent = passes(problem.space, steps, widths=_WIDTHS_AT_ONCE)
        super().__init__(problem, "tas", Preparation(Plugin("tas", {}), options["epochs"], spent))
        self._costs = Costs(problem, cost)
        self._cost, self._target, self._target_cost = cost, target, target_cost
        self._tolerance, self._options = tolerance, options

    @property
    def preparation(self) -> Preparation:
        """With what some architectures cost, which is computed when it is first asked for."""
        epochs, spent = super().preparation.epochs, super().preparation.passes
        return Preparation(Plugin("tas", self._given), epochs, spent)

    @cached_property
    def _given(self) -> dict[str, Any]:
        examples = self._costs.examples
        return {
            **self._options,
            "examples": tuple(self.problem.space.encode(a) for a in examples),
            "costs": tuple(self._costs.of(a) for a in examples),
            "target": self.high,
            "tolerance": self._tolerance,
        }

    @cached_property
    def high(self) -> float:
        """The upper end of the band."""
        if self._target_cost is not None:
            return self._target_cost
        return self._target * self._costs.of(self._costs.dearest)

    def _outside(self, architecture: Architecture) -> float:
        """How far from the band, in the logarithm of the cost; 0 in it."""
        cost, low = self._costs.of(architecture), self.high * (1 - self._tolerance)
        if not cost:
            return math.inf
        return max(0.0, math.log(cost / self.high), math.log(low / cost))

    def drawn(self, state: Known, rng: np.random.Generator) -> Architecture:
        """One architecture of the distribution, in the band, or the nearest to it of some."""
        flat = flattened(state.distribution, _HEATS[int(rng.integers(len(_HEATS)))])
        state = replace(state, distribution=flat)
        drawn = nearest = super().drawn(state, rng)
        least = math.inf
        for _ in range(_DRAWS):
            away = self._outside(drawn)
            if away < least:
                nearest, least = drawn, away
            if not least:
                break
            drawn = super().drawn(state, rng)
        return nearest

    def note(self, ordinal: int, architecture: Architecture, state: Known, phase: str) -> Proposal:
        """The proposal, with what it costs, and whether that is in the band."""
        made = super().note(ordinal, architecture, state, phase)
        where = "outside" if self._outside(architecture) else "inside"
        low = self.high * (1 - self._tolerance)
        note = {
            **made.note,
            self._cost: self._costs.of(architecture),
            "band": f"{where} {low:.4g} to {self.high:.4g}",
        }
        return Proposal(ordinal, architecture, note=note)


def build(
    problem: Problem,
    *,
    epochs: Annotated[int, Ge(1)] = 100,
    steps: Annotated[int, Ge(1)] = 4,
    cost: Literal["macs", "params", "latency_ms"] = "macs",
    target: Annotated[float, Gt(0), Le(1)] = 0.5,
    target_cost: Annotated[float, Gt(0)] | None = None,
    tolerance: Annotated[float, Gt(0), Lt(1)] = 0.05,
    cost_weight: Annotated[float, Ge(0)] = 2.0,
    start: Literal["even", "largest", "smallest"] = "even",
    lr: Annotated[float, Gt(0)] = 0.01,
    weight_decay: Annotated[float, Ge(0)] = 5e-4,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.5,
    architecture_lr: Annotated[float, Ge(0)] = 0.02,
    batch_size: Annotated[int, Ge(1)] = 128,
) -> Tas:
    """Make the strategy.

    Args:
        problem: what to search.
        epochs: of the relaxed network.
        steps: of an epoch of a node task; of a graph task an epoch is a pass over the graphs.
        cost: what is bounded.
        target: how much of the dearest network's cost the network found has, at most.
        target_cost: that cost itself, in place of `target`.
        tolerance: by which share it may cost less.
        cost_weight: of the distance from the band, beside the validation loss; 0 learns as if
            nothing cost anything.
        start: whether all choices begin alike, or scales lean to their largest, or smallest.
        lr, weight_decay, dropout: of the weights of the relaxed network, by Adam.
        architecture_lr: of the decisions, by Adam; 0 learns nothing, and all draws are even.
        batch_size: graphs a step.

    Raises:
        StrategyError: several objectives, or one that is known without training; a cost that is
            not known.
    """
    options = {
        "epochs": epochs,
        "steps": steps,
        "cost_weight": cost_weight,
        "start": start,
        "lr": lr,
        "weight_decay": weight_decay,
        "dropout": dropout,
        "architecture_lr": architecture_lr,
        "batch_size": batch_size,
    }
    return Tas(problem, cost, target, target_cost, tolerance, options)
