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

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import least_squares
from threadpoolctl import threadpool_limits

from evaluators.latency.costs import (
    GROUPS,
    MEMBERS,
    Floats,
    costs,
    points_of,
    sizes,
    weights_of,
)
from evaluators.latency.gaussian_process import LINEAR, kernel, likeliest, lower
from evaluators.latency.tracing import WORK, Work
from evaluators.latency.values import Interval, LatencyError, Workload

# More samples than these make a prediction slower than it has to be, and hardly better.
MOST_SAMPLES, _MOST_FOR_SPREAD = 1_000, 300
FEWEST_SAMPLES = 8
# Of a normal distribution: 90 % lie within so many standard deviations on either side.
SIGMAS = 1.6449
# A part of the noise may be of a constant size, whatever is measured: of its variance at a sample
# of median cost, which is then so many times larger at short ones.
_CONSTANTS, _MOST_NOISE = (0.0, 0.01, 0.1, 1.0), 1e4
# In so many parts samples are taken to see how well others predict them.
_FOLDS = 5
# Prior of the logarithm of a group's scale around that of all groups, on another device.
_SCALE_SD, _PROBE_SD = 0.35, 0.08


@dataclass(frozen=True, eq=False)
class Predictor:
    """A fitted predictor; make one with `fit`.

    Attributes:
        cost: [K] milliseconds a unit of work; 0 of work that no sample had.
        floor: what is measured is never expected to be less.
        scale: [K] of the costs on this device, relative to the device of the samples.
        points: [n, z] the samples.
        residuals: [n] log(measured / additive).
        weights: [n] of the samples, in (0, 1].
        center: [4] mean sizes of the samples.
        stretch, amplitude, noise: of the kernel; noise is a standard deviation of the logarithm.
        widening: of the spread, so that nine samples in ten lie within their intervals.
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
    widening: float = 1.0
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
        size = np.stack([sizes(workload) for workload in workloads])
        # Matrices of some hundred rows: several threads would wait for each other most of the time.
        with threadpool_limits(limits=1):
            return cls._fitted(work, value, size, context)

    @classmethod
    def _fitted(
        cls, work: Floats, value: Floats, size: Floats, context: Floats | None
    ) -> "Predictor":
        floor, cost = costs(work, value)
        # All tell what work costs; so many of them, evenly, what that leaves unexplained.
        kept = np.linspace(0, len(value) - 1, min(len(value), MOST_SAMPLES)).round().astype(int)
        known = None if context is None else context[kept]
        work, value, size = work[kept], value[kept], size[kept]
        center = size.mean(axis=0)
        additive = np.maximum(work @ cost, floor)
        points, residuals = points_of(work, cost, size - center, known), np.log(value / additive)
        shorter = np.minimum((np.median(additive) / additive) ** 2, _MOST_NOISE)
        weights = np.ones(len(value))
        for _ in range(2):
            best = min(
                (
                    likeliest(points, residuals, weights / (1 + constant * shorter))
                    for constant in _CONSTANTS
                ),
                key=lambda one: one.loss,
            )
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
            weights = weights_of(fitted.left_out)
        fitted = replace(fitted, weights=best.weights * weights)
        return replace(fitted, widening=fitted._widened(work, value, size, known))

    def _widened(self, work: Floats, value: Floats, size: Floats, context: Floats | None) -> float:
        """By how much the spread must be wider for 90 % of samples to lie in their intervals.

        The costs were fitted to the very samples whose errors tell the noise, and so explain some
        of it. Here each sample is predicted from others, by costs of which it is no part.
        """
        fold = np.arange(len(value)) % _FOLDS
        away = np.empty(len(value))
        for one in range(_FOLDS):
            out, rest = fold == one, fold != one
            floor, cost = costs(work[rest], value[rest])
            additive = np.maximum(work @ cost, floor)
            points = points_of(work, cost, size - self.center, context)
            there = replace(
                self,
                cost=cost,
                points=points[rest],
                residuals=np.log(value / additive)[rest],
                weights=self.weights[rest],
            )
            correction, deviation = there._correction(points[out])
            # A sample that weighs less has more noise, which is its own.
            errors = np.log(value / additive)[out] - correction
            own = self.noise**2 * (1 / self.weights[out] - 1)
            away[out] = np.abs(errors) / np.sqrt(deviation**2 + own)
        return max(1.0, float(np.quantile(away, 0.9)) / SIGMAS)

    @property
    def left_out(self) -> Floats:
        """[n] errors of the logarithm of each sample, predicted from all others."""
        inverse = cho_solve((self._factor, True), np.eye(len(self.residuals)))
        errors: Floats = (inverse @ self.residuals) / np.diag(inverse)
        return errors

    @cached_property
    def _factor(self) -> Floats:
        covered = self.amplitude**2 * kernel(self.points, self.points, self.stretch)
        return lower(covered + np.diag(self.noise**2 / self.weights))

    @property
    def _few(self) -> slice:
        """Samples that tell the spread: the fewer, the wider it is, and the sooner known."""
        return slice(None, None, -(-len(self.residuals) // _MOST_FOR_SPREAD))

    @cached_property
    def _few_factor(self) -> Floats:
        few = self._few
        covered = self.amplitude**2 * kernel(self.points[few], self.points[few], self.stretch)
        return lower(covered + np.diag(self.noise**2 / self.weights[few]))

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
        points = points_of(work, self.cost, size, context)
        additive = np.maximum(work @ (self.cost * self.scale), self.floor)
        correction, deviation = self._correction(points)
        return additive * np.exp(correction), np.hypot(self.widening * deviation, self.probed)

    def _correction(self, points: Floats) -> tuple[Floats, Floats]:
        """Of the logarithm, with the standard deviation of a measurement around it."""
        covered = self.amplitude**2 * kernel(points, self.points, self.stretch)
        explained = solve_triangular(self._few_factor, covered.T[self._few], lower=True)
        prior = self.amplitude**2 * (1 + LINEAR * (points**2).sum(axis=1))
        variance = np.maximum(prior - (explained**2).sum(axis=0), 0.0)
        return covered @ self._coefficients, np.sqrt(variance + self.noise**2)

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
        parts = (work * self.cost * self.scale) @ MEMBERS.T
        # Such that they add up to the prediction of the source.
        parts *= (means / np.maximum(parts.sum(axis=1), 1e-12))[:, None]
        sd = np.sqrt(deviations**2 + _PROBE_SD**2)

        def off(theta: Floats) -> Floats:
            predicted = parts @ np.exp(theta[0] + theta[1:])
            return np.concatenate([np.log(predicted / value) / sd, theta[1:] / _SCALE_SD])

        start = np.zeros(1 + len(GROUPS))
        start[0] = np.median(np.log(value / means))
        found = least_squares(off, start).x
        scale = self.scale * (np.exp(found[0] + found[1:]) @ MEMBERS)
        error = off(found)[: len(value)] * sd
        probed = float(np.sqrt((error**2).sum() / max(1, len(value) - 2)))
        floor = self.floor * float(np.exp(found[0]))
        return replace(self, scale=scale, floor=floor, probed=max(probed, _PROBE_SD))

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
            widening=float(values["widening"]),
            probed=float(values["probed"]),
        )
