"""What a unit of work costs: non-negative numbers that explain how long samples took."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from evaluators.latency.tracing import WORK
from evaluators.latency.values import LatencyError, Workload

Floats: TypeAlias = NDArray[np.float64]

# In which proportion a difference in shares, in the cost's logarithm, in the sizes and in the
# context counts.
_SCALES = (0.5, 2.8, 3.7, 4.0)
# Of the shortest sample: so much is taken even where no cost explains any time.
_FLOOR = 0.2
# A sample whose error is beyond this many standard deviations weighs less, the more the further.
_OUTLYING = 2.5


def _group(name: str) -> str:
    """Kinds of work that another device scales together: all calls are, and each kind's amount."""
    kind, what = name.split(".")[:2]
    return "calls" if what == "calls" else kind


GROUPS: tuple[str, ...] = tuple(dict.fromkeys(map(_group, WORK)))
# [groups, work]: which work belongs to which group.
MEMBERS = np.array([[float(_group(name) == group) for name in WORK] for group in GROUPS])


def sizes(workload: Workload) -> Floats:
    """[4] the size of a graph as the correction sees it."""
    return np.array(
        [
            np.log(workload.nodes),
            np.log((workload.edges + 1) / workload.nodes),
            4.0 * workload.skew,
            np.log(workload.graphs),
        ]
    )


def costs(work: Floats, value: Floats) -> tuple[float, Floats]:
    """What is taken at least, and [K] what a unit of work costs; gross errors count little."""
    floor = _FLOOR * float(value.min())
    cost = _additive(work, value, np.ones(len(value)))
    errors = np.log(value / np.maximum(work @ cost, floor))
    return floor, _additive(work, value, weights_of(errors))


def _additive(work: Floats, value: Floats, weights: Floats) -> Floats:
    """[K] non-negative costs that minimize the weighted squares of relative errors."""
    columns = work * np.sqrt(weights)[:, None] / value[:, None]
    norms = np.sqrt((columns**2).mean(axis=0))
    # Kinds of work that no sample does cost nothing, and time to find that out.
    done = np.flatnonzero(norms)
    # A trace of ridge: of kinds of work that always come together each gets a part of the cost.
    ridge = 1e-2 * np.sqrt(len(value)) * np.eye(len(done))
    matrix = np.vstack([columns[:, done] / norms[done], ridge])
    wanted = np.concatenate([np.sqrt(weights), np.zeros(len(done))])
    solved, _ = nnls(matrix, wanted, maxiter=100 * work.shape[1])
    if not solved.any():
        raise LatencyError("the samples do no work that time could be explained by")
    found: Floats = np.zeros(work.shape[1])
    found[done] = solved / norms[done]
    return found


def points_of(work: Floats, cost: Floats, size: Floats, context: Floats | None) -> Floats:
    """[n, z] where the correction is looked up, each coordinate in its own scale."""
    parts = (work * cost) @ MEMBERS.T
    total = np.maximum(parts.sum(axis=1, keepdims=True), 1e-12)
    shares, logarithm, sized, known = _SCALES
    points = [parts / total / shares, np.log(total) / logarithm, size / sized]
    return np.hstack(points if context is None else [*points, context / known])


def weights_of(errors: Floats) -> Floats:
    """[n] Huber's: 1, and less for what lies far out."""
    sd = 1.4826 * float(np.median(np.abs(errors))) + 1e-9
    return np.minimum(1.0, _OUTLYING * sd / np.maximum(np.abs(errors), 1e-12))
