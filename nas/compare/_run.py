"""What is kept of one run: the trials that got further than all before them, and counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nas.pareto import hypervolume
from nas.strategies import Objective


class ComparisonError(Exception):
    """A comparison that cannot go on: its candidates fail, or its processes die."""


@dataclass(frozen=True)
class Step:
    """A trial that no earlier one of its run was as good as, in every objective.

    Attributes:
        trial: how many evaluations were charged before it: its number, from 0, and what the
            strategy's preparation is worth.
        losses: one for each objective, lower is better.
        architecture: its key.
        test: what the evaluator knows of it on test; empty where it knows nothing. Beside the
            result, and never used to choose.
    """

    trial: int
    losses: tuple[float, ...]
    architecture: str
    test: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One strategy with one seed.

    Attributes:
        strategy: its label.
        seed: of the study that it equals.
        objectives: as of the study.
        trials: how many evaluations were charged; fewer than wanted where the space was exhausted.
        steps: the complete and feasible trials that got further, in their order.
        failed, infeasible: how many ended so.
        repeated: how many proposed what the run had evaluated before.
        charged: how many of the evaluations are what its preparation is worth.
        seconds: of wall time.
    """

    strategy: str
    seed: int
    objectives: tuple[Objective, ...]
    trials: int
    steps: tuple[Step, ...]
    failed: int = 0
    infeasible: int = 0
    repeated: int = 0
    charged: int = 0
    seconds: float = 0.0

    def best_at(self, evaluations: int) -> Step | None:
        """The best trial in the first objective after so many evaluations, of ties the first.

        None where nothing complete and feasible had been found.
        """
        return min(self.front_at(evaluations), key=lambda step: step.losses[0], default=None)

    def front_at(self, evaluations: int) -> tuple[Step, ...]:
        """The steps of the first so many evaluations that no other of them dominates."""
        seen = [step for step in self.steps if step.trial < evaluations]
        # None of them is covered by one before it.
        return tuple(
            step
            for index, step in enumerate(seen)
            if not any(covers(later.losses, step.losses) for later in seen[index + 1 :])
        )

    def value_at(self, evaluations: int, reference: Sequence[float] = ()) -> float | None:
        """What a comparison compares after so many evaluations.

        One objective: the best value in its own unit, None where there is none. Several: the
        hypervolume that the front dominates up to `reference`.

        Args:
            reference: the losses of the reference point, for several objectives.
        """
        front = self.front_at(evaluations)
        if len(self.objectives) > 1:
            return hypervolume([step.losses for step in front], reference) if front else 0.0
        return self.objectives[0].loss(front[-1].losses[0]) if front else None

    def test_at(self, evaluations: int) -> float | None:
        """The test value of the best trial, where the evaluator can tell; for one objective."""
        best = self.best_at(evaluations)
        if best is None or len(self.objectives) > 1 or not best.test:
            return None
        twin = self.objectives[0].metric.replace("val_", "test_", 1)
        return best.test.get(twin, next(iter(best.test.values())))

    def to_json(self) -> dict[str, Any]:
        """What is stored of it; its label and objectives belong to the comparison."""
        return {
            "seed": self.seed,
            "trials": self.trials,
            "counts": {
                "failed": self.failed,
                "infeasible": self.infeasible,
                "repeated": self.repeated,
                "charged": self.charged,
            },
            "trace": [[s.trial, [*s.losses], s.architecture, dict(s.test)] for s in self.steps],
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(
        cls, value: Mapping[str, Any], strategy: str, objectives: tuple[Objective, ...]
    ) -> "Run":
        """What `to_json` gave."""
        steps = tuple(
            Step(trial, tuple(losses), architecture, test)
            for trial, losses, architecture, test in value["trace"]
        )
        return cls(
            strategy=strategy,
            seed=value["seed"],
            objectives=objectives,
            trials=value["trials"],
            steps=steps,
            **value["counts"],
            seconds=value["seconds"],
        )


def covers(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether `one` is as good as `other` in every objective, or better."""
    return all(a <= b for a, b in zip(one, other, strict=True))
