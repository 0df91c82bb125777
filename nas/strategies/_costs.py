"""What architectures cost, as strategies for a cost ask before anything is trained."""

from functools import cached_property

import numpy as np

from nas.strategies._base import Problem, StrategyError
from search_spaces import Architecture, Choice, Decision

_EXAMPLES, _PER_CHOICE = 80, 3
# Sets the generator of the examples apart from those of proposals.
_EXAMPLE = 0x7A5
# The last bits of a predicted latency are of the machine, and the examples of the study.
_DIGITS = {"latency_ms": 6}


class Costs:
    """One cost of a problem's architectures.

    Args:
        problem: that knows the cost.
        cost: a metric.

    Raises:
        StrategyError: the cost is not known without training.
    """

    def __init__(self, problem: Problem, cost: str) -> None:
        if cost not in problem.known:
            hint = "give the study a [latency] profile" if cost == "latency_ms" else "use training"
            raise StrategyError(
                f'cost: "{cost}" is not known of this study\'s networks before they are trained, '
                f"known are {', '.join(problem.known) or 'none'}; {hint}, or choose another cost"
            )
        self._problem, self._cost = problem, cost

    def of(self, architecture: Architecture) -> float:
        """0 where a network cannot be built."""
        facts = self._problem.facts(architecture)
        if facts is None:
            return 0.0
        digits = _DIGITS.get(self._cost)
        value = float(facts[self._cost])
        return value if digits is None else float(f"{value:.{digits}g}")

    @cached_property
    def examples(self) -> tuple[Architecture, ...]:
        """The largest, the smallest, and others, all different, of which the cost is known."""
        space = self._problem.space
        choices = sum(len(d.choices) for d in space.decisions if len(d.choices) > 1)
        rng = np.random.default_rng([self._problem.seed, _EXAMPLE])
        count = max(_EXAMPLES, _PER_CHOICE * choices)
        ends = [self.dearest, self._end(-1), self._end(0)]
        made = [*ends, *(space.sample(rng) for _ in range(count))]
        once = {architecture.key: architecture for architecture in made}
        return tuple(a for a in once.values() if self.of(a) > 0)

    def _end(self, last: int) -> Architecture:
        """The largest, or the smallest: of what is no scale, the first choice."""

        def choose(decision: Decision) -> Choice:
            return decision.choices[last if decision.ordered else 0]

        return self._problem.space.fill(choose)

    @cached_property
    def dearest(self) -> Architecture:
        """The largest of every scale; of what is no scale, one by one, what costs most."""
        space, found = self._problem.space, self._end(-1)
        for decision in space.decisions:
            if decision.ordered or decision.name not in found.choices:
                continue
            offered = [
                space.fill(
                    lambda d: d.choices[-1 if d.ordered else 0],
                    {**found.choices, decision.name: choice},
                )
                for choice in decision.choices
            ]
            found = max(offered, key=self.of)
        return found
