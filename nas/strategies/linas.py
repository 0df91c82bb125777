"""Predictor in the loop: an inner search on predictions alone proposes what is measured next.

Cummings, Sarah, Sridhar, Szankin, Munoz and Sundaresan, "A hardware-aware framework for
accelerating neural architecture search across modalities", 2022 (DyNAS-T, with LINAS: lightweight
iterative NAS). After `startup` random trials, rounds of `batch` trials: predictors are fitted to
all measurements; an evolution on the predictions fills a pool, without any true evaluation; and
the next batch is chosen among the pool's new architectures. With one objective, that which has the
largest expected improvement together; with several, by non-dominated sorting. A share of each
batch is random.

The predictors are Gaussian processes over what can be counted in an architecture and its graph,
with Weisfeiler-Lehman features: Ru, Wan, Dong and Osborne, "Interpretable neural architecture
search via Bayesian optimisation with Weisfeiler-Lehman kernels", 2021; White, Neiswanger and
Savani, "BANANAS", 2021, compares such predictors and choices of batches. An objective whose metric
is known without training is computed, never learned, and so are constraints on such metrics.

Each proposal's note has its phase: `startup`, `predicted`, `exploration`, or `fallback`, where the
predictions of left-out measurements do not rank them; then evolution from the best measured ones
and random search take turns. `kendall_tau` is how well they rank (one for each learned metric,
where there are several objectives).

Limits: where an objective or a constraint is on a known metric, the some 200 architectures that a
round looks at have to be built, which takes 15 to 40 ms each; without, a round takes less than half
a second, after any number of trials.

A round's plan is a function of the record at its beginning: after `startup` and each further
`batch` ended trials. Results that come in later count from the next round on.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from nas.strategies._base import Finished, Problem, Proposal, Strategy
from nas.strategies._log import Log
from nas.strategies._rounds import Round, feasible, plan
from search_spaces import Architecture

# Sets the generators of rounds apart from those of proposals.
_ROUNDS = 0x11A5


class Linas(Strategy[Log]):
    """LINAS as a fold: the state is the record; the plan of a round is a memo of it."""

    def __init__(self, problem: Problem, startup: int, batch: int, exploration: float) -> None:
        super().__init__(problem)
        self.startup = startup
        self.batch = batch
        self.exploration = exploration
        self._memo: tuple[tuple[Finished, ...], Round] | None = None

    def initial(self) -> Log:
        return Log()

    def fold(self, state: Log, finished: Finished) -> Log:
        return state.append(finished)

    def propose(
        self, state: Log, ordinal: int, pending: Sequence[Architecture], rng: np.random.Generator
    ) -> Proposal:
        number = (len(state) - self.startup) // self.batch + 1
        if number < 1:
            drawn = feasible(self.problem, rng)
            return Proposal(ordinal, drawn, note={"phase": "startup", "round": 0})
        planned = self._planned(state, number)
        note = {"round": number, **planned.note}
        waiting = {architecture.key for architecture in pending}
        left = [
            (architecture, phase)
            for architecture, phase in planned.picks
            if architecture.key not in waiting and not state.has(architecture.key)
        ]
        if not left:
            drawn = feasible(self.problem, rng)
            return Proposal(ordinal, drawn, note={"phase": "exploration", **note})
        # Any of what is left of the batch: workers that know little of each other do not collide.
        of_batch = max(1, self.batch - len(planned.picks) + len(left))
        architecture, phase = left[ordinal % min(of_batch, len(left))]
        return Proposal(ordinal, architecture, note={"phase": phase, **note})

    def _planned(self, state: Log, number: int) -> Round:
        record = state[: self.startup + (number - 1) * self.batch]
        if self._memo is None or self._memo[0] != record:
            from threadpoolctl import threadpool_limits

            rng = np.random.default_rng([self.problem.seed, number, _ROUNDS])
            # The last bits of a product depend on how many threads share it.
            with threadpool_limits(limits=1):
                made = plan(self.problem, record, self.batch, self.exploration, rng)
            self._memo = record, made
        return self._memo[1]


def build(
    problem: Problem,
    *,
    startup: Annotated[int, Ge(1)] = 20,
    batch: Annotated[int, Ge(1)] = 10,
    exploration: Annotated[float, Ge(0), Le(1)] = 0.1,
) -> Linas:
    """Make the strategy.

    Args:
        problem: what to search.
        startup: random trials before the first predictor.
        batch: trials of a round, between two fits of the predictors.
        exploration: share of a batch that is random.
    """
    return Linas(problem, startup, batch, exploration)
