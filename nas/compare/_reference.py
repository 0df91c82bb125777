"""The reference point of hypervolumes: a value for each objective, in its own units."""

import math
from collections.abc import Collection, Mapping

from search_spaces import UsageError
from search_spaces.errors import did_you_mean


def example(objectives: Collection[str]) -> str:
    """How a point for these objectives is given."""
    return "--reference " + ",".join(f"{metric}=VALUE" for metric in objectives)


def checked_point(
    objectives: Collection[str], reference: Mapping[str, float]
) -> Mapping[str, float]:
    """The point in the order of the objectives.

    Raises:
        UsageError: there is one objective, or the point has other metrics or no finite values.
    """
    if len(objectives) == 1:
        raise UsageError("reference: a point for several objectives; the study has one")
    for metric in reference:
        if metric not in objectives:
            hint = did_you_mean(metric, objectives)
            raise UsageError(f'reference: "{metric}" is no objective of the study; {hint}')
    if missing := [metric for metric in objectives if metric not in reference]:
        raise UsageError(
            f"reference: no value for {', '.join(missing)}; expected {example(objectives)}"
        )
    if not all(math.isfinite(value) for value in reference.values()):
        raise UsageError(f"reference: expected finite values, got {dict(reference)}")
    return {metric: float(reference[metric]) for metric in objectives}
