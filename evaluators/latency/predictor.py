"""How long work takes, learned from samples: an additive cost, corrected by a Gaussian process.

    log t = log(sum over k of c_k w_k) + g(z) + noise,    c >= 0

`w` is the work of a network (`tracing.WORK`), `c` what a unit of it costs, fitted by non-negative
least squares on relative errors, so that 0.1 ms and 100 ms count alike. What does not add up
(caches that other operations have filled, allocations, narrow shapes) is left to `g`: a Gaussian
process over z, which is made of the shares of the kinds of work in the additive cost, its
logarithm, and the logarithms of the graph's sizes. Far from the samples `g` returns to 0 and the
additive cost, which extrapolates as physics does, is left; the spread grows.

Carl Edward Rasmussen, Christopher K. I. Williams: Gaussian Processes for Machine Learning (2006).
The idea of predicting by kinds of kernels and correcting the sum is that of Li Lyna Zhang et al.:
nn-Meter: Towards Accurate Latency Prediction of Deep-Learning Model Inference on Diverse Edge
Devices (2021).

Another device from few probes: the costs of each group of work are scaled, with a prior that all
scales are alike; the correction is kept (`Predictor.adapted`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, eigh, solve_triangular
from scipy.optimize import least_squares, nnls

from evaluators.latency.tracing import WORK, Work
from evaluators.latency.values import Interval, LatencyError, Workload

Floats: TypeAlias = NDArray[np.float64]

# More samples than these make a prediction slower than it has to be, and hardly better; and the
# hyperparameters, which few of them tell.
MOST_SAMPLES, _MOST_TELLING = 800, 400
FEWEST_SAMPLES = 8
# Of a normal distribution: 90 % lie within so many standard deviations on either side.
SIGMAS = 1.6449
# A sample whose error is beyond this many standard deviations weighs less, the more the further.
_OUTLYING = 2.5
# In which proportion a difference in shares, in the cost's logarithm, in the sizes and in the
# context counts.
_SCALES = (0.5, 2.8, 3.7, 4.0)
# A part of the noise may be of a constant size, whatever is measured: of its variance at a sample
# of median cost, which is then so many times larger at short ones.
_CONSTANTS, _MOST_NOISE = (0.0, 0.01, 0.1, 1.0), 1e4
_STRETCHES = (0.4, 0.7, 1.0, 1.6, 2.5)
_NOISES = np.geomspace(0.01, 3.0, 25)
_LINEAR = 0.1
# Of the shortest sample: so much is taken even where no cost explains any time.
_FLOOR = 0.2
# Prior of the logarithm of a group's scale around that of all groups, on another device.
_SCALE_SD, _PROBE_SD = 0.35, 0.08


def _group(name: str) -> str:
    """Kinds of work that another device scales together: all calls are, and each kind's amount."""
    kind, what = name.split(".")[:2]
    return "calls" if what == "calls" else kind


GROUPS: tuple[str, ...] = tuple(dict.fromkeys(map(_group, WORK)))
# [groups, work]: which work belongs to which group.
_MEMBERS = np.array([[float(_group(name) == group) for name in WORK] for group in GROUPS])


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


@dataclass(frozen=True, eq=False)
class Predictor:
    """A fitted predictor; make one with `fit`.

    Attributes:
        cost: [K] milliseconds a unit of work; 0 of work that no sample had.
        floor: what is measured is never expected to be less, on the device of the samples.
        scale: [K] of the costs on this device, relative to the device of the samples.
        points: [n, z] the samples.
        residuals: [n] log(measured / additive).
        weights: [n] of the samples, in (0, 1].
        center: [4] mean sizes of the samples.
        stretch, amplitude, noise: of the kernel; noise is a standard deviation of the logarithm.
        probed: standard deviation of the logarithm that another device adds; 0 for its own.
    """

    cost: Floats
    floor: float
    scale: Floats
    points: Floats
    residuals: Floats
    weights: Floats
    center: Floats
    stretch: float
    amplitude: float
    noise: float
    probed: float = 0.0

    @classmethod
    def fit(
        cls,
        works: Sequence[Work] | Floats,
        workloads: Sequence[Workload],
        values: Sequence[float],
        context: Floats | None = None,
    ) -> "Predictor":
        """Learn from samples.

        Args:
            works: [n, K]
            workloads: n
            values: [n] what was measured, positive: milliseconds, millijoules.
            context: [n, c] what else tells networks apart where their work does not, such as the
                order of operators; in units in which a difference of 1 is a large one.

        Raises:
            LatencyError: fewer than 8 samples, or a value that is not positive.
        """
        if len(values) < FEWEST_SAMPLES:
            raise LatencyError(
                f"expected {FEWEST_SAMPLES} samples or more to learn from, got {len(values)}"
            )
        work, value = np.asarray(works, dtype=np.float64), np.asarray(values, dtype=np.float64)
        if not (np.isfinite(value).all() and (value > 0).all()):
            raise LatencyError(f"expected positive values to learn from, got {value.min()}")
        floor = _FLOOR * float(value.min())
        cost = _additive(work, value, np.ones(len(value)))
        errors = np.log(value / np.maximum(work @ cost, floor))
        cost = _additive(work, value, _weights(errors))
        # All tell what work costs; so many of them, evenly, what that leaves unexplained.
        kept = np.linspace(0, len(value) - 1, min(len(value), MOST_SAMPLES)).round().astype(int)
        work, value = work[kept], value[kept]
        size = np.stack([sizes(workloads[i]) for i in kept])
        additive = np.maximum(work @ cost, floor)
        center = size.mean(axis=0)
        known = None if context is None else context[kept]
        points = _points(work, cost, size - center, known)
        residuals = np.log(value / additive)
        shorter = np.minimum((np.median(additive) / additive) ** 2, _MOST_NOISE)
        weights = np.ones(len(value))
        for _ in range(2):
            tried = [
                _likeliest(points, residuals, weights / (1 + constant * shorter))
                for constant in _CONSTANTS
            ]
            best = min(tried, key=lambda one: one.loss)
            fitted = cls(
                cost=cost,
                floor=floor,
                scale=np.ones(len(cost)),
                points=points,
                residuals=residuals,
                weights=best.weights,
                center=center,
                stretch=best.stretch,
                amplitude=best.amplitude,
                noise=best.noise,
            )
            weights = _weights(fitted.left_out)
        return replace(fitted, weights=best.weights * weights)

    @property
    def left_out(self) -> Floats:
        """[n] errors of the logarithm of each sample, predicted from all others."""
        inverse = cho_solve((self._factor, True), np.eye(len(self.residuals)))
        errors: Floats = (inverse @ self.residuals) / np.diag(inverse)
        return errors

    @cached_property
    def _factor(self) -> Floats:
        kernel = self.amplitude**2 * _kernel(self.points, self.points, self.stretch)
        return _lower(kernel + np.diag(self.noise**2 / self.weights))

    @cached_property
    def _coefficients(self) -> Floats:
        solved: Floats = cho_solve((self._factor, True), self.residuals)
        return solved

    def predict(self, work: Work, workload: Workload) -> Interval:
        """Predict one network; 90 % of measurements are expected within the interval."""
        means, deviations = self.predict_many(work[None], [workload])
        mean, reach = float(means[0]), float(np.exp(SIGMAS * deviations[0]))
        return Interval(mean, mean / reach, mean * reach)

    def predict_many(
        self,
        works: Sequence[Work] | Floats,
        workloads: Sequence[Workload],
        context: Floats | None = None,
    ) -> tuple[Floats, Floats]:
        """Medians, and standard deviations of the logarithm, of many networks.

        Args:
            works: [n, K]
            workloads: n
            context: [n, c] as `fit` was given.
        """
        work = np.asarray(works, dtype=np.float64)
        size = np.stack([sizes(workload) for workload in workloads]) - self.center
        points = _points(work, self.cost, size, context)
        kernel = self.amplitude**2 * _kernel(points, self.points, self.stretch)
        additive = np.maximum(work @ (self.cost * self.scale), self.floor)
        means = additive * np.exp(kernel @ self._coefficients)
        explained = solve_triangular(self._factor, kernel.T, lower=True)
        prior = self.amplitude**2 * (1 + _LINEAR * (points**2).sum(axis=1))
        variance = np.maximum(prior - (explained**2).sum(axis=0), 0.0)
        return means, np.sqrt(variance + self.noise**2 + self.probed**2)

    def adapted(
        self,
        works: Sequence[Work] | Floats,
        workloads: Sequence[Workload],
        values: Sequence[float],
    ) -> "Predictor":
        """The predictor of another device, runtime or number of threads, from a few probes.

        Each group of work gets a scale; a priori all scales are the same unknown one, and each
        differs from it by a factor of about 1.4. Maximum a posteriori.

        Raises:
            LatencyError: no probe, or a value that is not positive.
        """
        value = np.asarray(values, dtype=np.float64)
        if not len(value) or not (value > 0).all():
            raise LatencyError("expected one probe or more, each with a positive value")
        work = np.asarray(works, dtype=np.float64)
        means, deviations = self.predict_many(work, workloads)
        parts = (work * self.cost * self.scale) @ _MEMBERS.T
        # Such that they add up to the prediction of the source.
        parts *= (means / np.maximum(parts.sum(axis=1), 1e-12))[:, None]
        sd = np.sqrt(deviations**2 + _PROBE_SD**2)

        def off(theta: Floats) -> Floats:
            predicted = parts @ np.exp(theta[0] + theta[1:])
            return np.concatenate([np.log(predicted / value) / sd, theta[1:] / _SCALE_SD])

        start = np.zeros(1 + len(GROUPS))
        start[0] = np.median(np.log(value / means))
        found = least_squares(off, start).x
        scale = self.scale * (np.exp(found[0] + found[1:]) @ _MEMBERS)
        error = off(found)[: len(value)] * sd
        probed = float(np.sqrt((error**2).sum() / max(1, len(value) - 2)))
        return replace(self, scale=scale, probed=max(probed, _PROBE_SD))

    def to_arrays(self) -> dict[str, Floats]:
        """Everything, as arrays of numbers."""
        return {
            name: np.asarray(getattr(self, name), dtype=np.float64)
            for name in self.__dataclass_fields__
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "Predictor":
        """What `to_arrays` gave.

        Raises:
            KeyError, ValueError: an array is missing, or has another shape.
        """
        values = {n: np.asarray(arrays[n], dtype=np.float64) for n in cls.__dataclass_fields__}
        n = len(values["residuals"])
        for name, shape in (
            ("cost", (len(WORK),)),
            ("scale", (len(WORK),)),
            ("points", (n, max(len(GROUPS) + 5, values["points"].shape[-1]))),
            ("weights", (n,)),
            ("center", (4,)),
        ):
            if values[name].shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {values[name].shape}")
        return cls(
            cost=values["cost"],
            floor=float(values["floor"]),
            scale=values["scale"],
            points=values["points"],
            residuals=values["residuals"],
            weights=values["weights"],
            center=values["center"],
            stretch=float(values["stretch"]),
            amplitude=float(values["amplitude"]),
            noise=float(values["noise"]),
            probed=float(values["probed"]),
        )


def _additive(work: Floats, value: Floats, weights: Floats) -> Floats:
    """[K] non-negative costs that minimize the weighted squares of relative errors."""
    columns = work * np.sqrt(weights)[:, None] / value[:, None]
    norms = np.sqrt((columns**2).mean(axis=0))
    norms[norms == 0] = 1.0
    # A trace of ridge: of kinds of work that always come together each gets a part of the cost.
    ridge = 1e-2 * np.sqrt(len(value)) * np.eye(work.shape[1])
    matrix = np.vstack([columns / norms, ridge])
    wanted = np.concatenate([np.sqrt(weights), np.zeros(work.shape[1])])
    solved, _ = nnls(matrix, wanted, maxiter=100 * work.shape[1])
    if not solved.any():
        raise LatencyError("the samples do no work that time could be explained by")
    costs: Floats = solved / norms
    return costs


def _points(work: Floats, cost: Floats, size: Floats, context: Floats | None) -> Floats:
    """[n, z] where the correction is looked up, each coordinate in its own scale."""
    parts = (work * cost) @ _MEMBERS.T
    total = np.maximum(parts.sum(axis=1, keepdims=True), 1e-12)
    shares, logarithm, sized, known = _SCALES
    points = [parts / total / shares, np.log(total) / logarithm, size / sized]
    return np.hstack(points if context is None else [*points, context / known])


def _kernel(left: Floats, right: Floats, stretch: float) -> Floats:
    """Matern 3/2 of amplitude 1, and a linear part."""
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2 * left @ right.T
    distance = np.sqrt(3 * np.maximum(squares, 0.0)) / stretch
    kernel: Floats = (1 + distance) * np.exp(-distance) + _LINEAR * left @ right.T
    return kernel


@dataclass(frozen=True)
class _Likely:
    """Hyperparameters of the kernel, and the negative logarithm of their likelihood."""

    loss: float
    stretch: float
    amplitude: float
    noise: float
    weights: Floats


def _likeliest(points: Floats, residuals: Floats, weights: Floats) -> _Likely:
    """The hyperparameters of the largest marginal likelihood, on a grid.

    For each stretch and ratio of noise to amplitude, the best amplitude is known in closed form.
    """
    best = _Likely(np.inf, 1.0, 1.0, 1.0, weights)
    telling = slice(None, None, -(-len(residuals) // _MOST_TELLING))
    points, residuals, root = points[telling], residuals[telling], np.sqrt(weights[telling])
    # Weights that let all noise through must not look likely for it.
    offset = -float(np.log(root).sum())
    for stretch in _STRETCHES:
        kernel = _kernel(points, points, stretch) * root[:, None] * root[None]
        eigenvalues, vectors = eigh(kernel)
        projected = (vectors.T @ (residuals * root)) ** 2
        for ratio in _NOISES:
            spectrum = np.maximum(eigenvalues, 0.0) + ratio**2
            amplitude = max(float(np.sqrt((projected / spectrum).mean())), 1e-6)
            loss = offset + len(residuals) * np.log(amplitude) + 0.5 * np.log(spectrum).sum()
            if loss < best.loss:
                noise = max(ratio * amplitude, 1e-3)
                best = _Likely(float(loss), stretch, amplitude, noise, weights)
    return best


def _weights(errors: Floats) -> Floats:
    """[n] Huber's: 1, and less for what lies far out."""
    sd = 1.4826 * float(np.median(np.abs(errors))) + 1e-9
    return np.minimum(1.0, _OUTLYING * sd / np.maximum(np.abs(errors), 1e-12))


def _lower(matrix: Floats) -> Floats:
    factor: Floats = cholesky(matrix + 1e-10 * np.eye(len(matrix)), lower=True)
    return factor
