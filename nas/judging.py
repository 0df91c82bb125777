"""What becomes of a candidate: by its facts before it is evaluated, by its metrics afterwards."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from evaluators import Evaluation, Failure
from evaluators.facts import CandidateError
from nas.constraints import total_violation
from nas.setup import Setup
from search_spaces import Architecture
from search_spaces.frozen import FrozenMapping


@dataclass(frozen=True)
class Verdict:
    """How a trial ends.

    Attributes:
        outcome: complete; infeasible (a constraint is broken); failed (its own fault).
        metrics: all that is known of it; the facts alone where it failed.
        violation: of the constraints on these metrics; 0 where it failed.
        failure: why it failed.
    """

    outcome: Literal["complete", "infeasible", "failed"]
    metrics: Mapping[str, float] = field(default_factory=FrozenMapping)
    violation: float = 0.0
    failure: Failure | None = None


def before(setup: Setup, architecture: Architecture) -> tuple[Mapping[str, float], Verdict | None]:
    """The facts of an architecture, and a verdict where they leave nothing to evaluate."""
    try:
        facts = setup.facts(architecture)
    except CandidateError as error:
        return {}, Verdict("failed", failure=error.failure)
    violation = total_violation(setup.constraints, facts)
    return facts, Verdict("infeasible", facts, violation) if violation > 0 else None


def after(setup: Setup, facts: Mapping[str, float], evaluation: Evaluation) -> Verdict:
    """The verdict on what was measured."""
    metrics = {**facts, **evaluation.metrics}
    failure = evaluation.failure or _unusable(setup, metrics)
    if failure is not None:
        return Verdict("failed", facts, failure=failure)
    violation = total_violation(setup.constraints, metrics)
    return Verdict("infeasible" if violation > 0 else "complete", metrics, violation)


def _unusable(setup: Setup, metrics: Mapping[str, float]) -> Failure | None:
    """A failure where a metric is missing or not finite: it cannot be ranked."""
    for metric in setup.objectives:
        if metric not in metrics:
            return Failure("error", f"the evaluator gave no {metric}")
    for metric, value in metrics.items():
        if not math.isfinite(value):
            return Failure("divergence", f"{metric} is {value}")
    return None
