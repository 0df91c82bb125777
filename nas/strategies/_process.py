"""A Gaussian process over counted parts: what is predicted of an architecture, and how surely.

With `<a, b> = sum_g w_g sum_p a_p b_p` over the groups g of parts p, the kernel is `linear * <a, b>
+ smooth * exp(-<a - b, a - b>)`. The weights w and the noise are those of maximum a posteriori
marginal likelihood under broad log-normal priors: which groups of parts matter is learned from the
measurements, as in Ru, Wan, Dong and Osborne, "Interpretable neural architecture search via
Bayesian optimisation with Weisfeiler-Lehman kernels", 2021. Rasmussen and Williams, "Gaussian
processes for machine learning", 2006, has the likelihood's gradient (5.9) and the prediction that
leaves one out (5.12).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from search_spaces.features import Counts

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
# Measurements from which the weights are learned; all of a `Sample` then predict.
MOST_LEARNED_FROM = 150
_ITERATIONS = 25
# Variance of the logarithm of each weight under its prior, and the prior's means.
_BROAD = 4.0
_LINEAR, _SMOOTH, _NOISE = 0.1, 1.0, 0.3
_JITTER = 1e-6


class Sample:
    """Measured architectures by their parts: what predictions compare an architecture with.

    Attributes:
        products: [groups, n, n] inner products, each group scaled to a mean squared distance of 1.
    """

    def __init__(self, counts: Sequence[Counts], n_groups: int) -> None:
        from scipy.sparse import csr_array

        self._vocabulary = np.unique(np.concatenate([c.parts for c in counts]))
        self._columns = np.zeros((len(self._vocabulary), len(counts)))
        group_of = np.zeros(len(self._vocabulary), dtype=np.int64)
        for column, c in enumerate(counts):
            at = np.searchsorted(self._vocabulary, c.parts)
            self._columns[at, column] = c.counts
            group_of[at] = c.groups
        # Sums of products of small integers: exact, so their order makes no difference.
        table = csr_array(self._columns)
        of_groups = [table[np.flatnonzero(group_of == g)] for g in range(n_groups)]
        products = np.stack([(rows.T @ rows).toarray() for rows in of_groups])
        spread = 2 * (np.trace(products, axis1=1, axis2=2) / len(counts) - products.mean((1, 2)))
        self.scale = 1 / np.where(spread > 0, spread, 1.0)
        self.products = products * self.scale[:, None, None]

    def compared(self, counts: Sequence[Counts], weights: Floats) -> tuple[Floats, Floats]:
        """([m] weighted squared norms, [m, n] weighted inner products with the sample)."""
        from scipy.sparse import csr_array

        lengths = np.array([len(c.parts) for c in counts])
        rows = np.repeat(np.arange(len(counts)), lengths)
        parts = np.concatenate([c.parts for c in counts])
        groups = np.concatenate([c.groups for c in counts])
        values = np.concatenate([c.counts for c in counts]).astype(np.float64)
        weighted = values * (weights * self.scale)[groups]
        squared = np.zeros(len(counts))
        np.add.at(squared, rows, weighted * values)
        at = np.minimum(np.searchsorted(self._vocabulary, parts), len(self._vocabulary) - 1)
        seen = self._vocabulary[at] == parts
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows[seen], minlength=len(counts)))])
        table = csr_array(
            (weighted[seen], at[seen], starts), shape=(len(counts), len(self._vocabulary))
        )
        return squared, np.asarray(table @ self._columns)


@dataclass(frozen=True)
class Weights:
    """What marginal likelihood chooses."""

    groups: Floats
    linear: float
    smooth: float
    noise: float

    @classmethod
    def of(cls, logarithms: Floats) -> "Weights":
        *groups, linear, smooth, noise = np.exp(logarithms).tolist()
        return cls(np.array(groups), linear, smooth, noise)


class Process:
    """The process given a sample's measurements, which have mean 0 and variance about 1."""

    def __init__(self, sample: Sample, values: Floats, weights: Weights) -> None:
        self.sample, self.values, self.weights = sample, values, weights
        inner = np.tensordot(weights.groups, sample.products, 1)
        self._squared = np.diag(inner)
        kernel = self._kernel(inner, self._squared, self._squared)
        kernel[np.diag_indices(len(values))] += weights.noise + _JITTER
        self._inverse, _ = _inverted(kernel)
        self._coefficients = self._inverse @ values

    def _kernel(self, inner: Floats, first: Floats, second: Floats) -> Floats:
        distances = first[:, None] + second[None, :] - 2 * inner
        kernel: Floats = self.weights.linear * inner
        kernel += self.weights.smooth * np.exp(-np.maximum(distances, 0))
        return kernel

    def predict(self, counts: Sequence[Counts]) -> tuple[Floats, Floats]:
        """([m] means, [m] standard deviations without the noise)."""
        squared, inner = self.sample.compared(counts, self.weights.groups)
        kernel = self._kernel(inner, squared, self._squared)
        own = self.weights.linear * squared + self.weights.smooth
        explained = np.einsum("ij,ij->i", kernel @ self._inverse, kernel)
        return kernel @ self._coefficients, np.sqrt(np.maximum(own - explained, _JITTER))

    def draw(
        self, counts: Sequence[Counts], others: Sample, count: int, rng: np.random.Generator
    ) -> Floats:
        """[count, m] functions drawn from the process, at the m architectures of another sample."""
        squared, inner = self.sample.compared(counts, self.weights.groups)
        kernel = self._kernel(inner, squared, self._squared)
        # The other sample has its own scale of the groups: here this one's counts.
        weights = self.weights.groups * self.sample.scale / others.scale
        own = self._kernel(np.tensordot(weights, others.products, 1), squared, squared)
        covariance = own - kernel @ self._inverse @ kernel.T
        covariance[np.diag_indices(len(counts))] += 10 * _JITTER
        noise = rng.standard_normal((count, len(counts)))
        drawn: Floats = kernel @ self._coefficients + noise @ np.linalg.cholesky(covariance).T
        return drawn

    @cached_property
    def left_out(self) -> Floats:
        """[n] what would be predicted of each measured one from all others."""
        left_out: Floats = self.values - self._coefficients / np.diag(self._inverse)
        return left_out


def _inverted(kernel: Floats) -> tuple[Floats, float]:
    """(the inverse of a positive definite matrix, half of the logarithm of its determinant)."""
    from scipy.linalg.lapack import dpotrf, dpotri

    factor, failed = dpotrf(kernel, lower=1)
    if failed:
        raise np.linalg.LinAlgError("expected a positive definite kernel")
    half, _ = dpotri(factor, lower=1)
    return np.tril(half) + np.tril(half, -1).T, float(np.log(np.diag(factor)).sum())


def learn_weights(sample: Sample, values: Floats, subset: Ints) -> Weights:
    """The weights of maximum a posteriori likelihood of a subset of the measurements."""
    from scipy.optimize import minimize

    objective = _Likelihood(sample.products[:, subset[:, None], subset], values[subset])
    # Ten powers of e either way are as good as nothing and as everything.
    bounds = [(-9.0, 3.0)] * len(sample.products) + [(-9.0, 3.0), (-5.0, 3.0), (-4.0, 1.0)]
    found = minimize(
        objective,
        objective.prior,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": _ITERATIONS},
    )
    return Weights.of(np.asarray(found.x))


class _Likelihood:
    """The negative logarithm of the posterior of the weights' logarithms, and its gradient."""

    def __init__(self, products: Floats, values: Floats) -> None:
        n_groups = len(products)
        self.products, self.values = products, values
        squared = np.diagonal(products, axis1=1, axis2=2)
        self.distances = np.maximum(squared[:, :, None] + squared[:, None, :] - 2 * products, 0)
        groups = [np.log(1 / n_groups)] * n_groups
        self.prior = np.array([*groups, np.log(_LINEAR), np.log(_SMOOTH), np.log(_NOISE)])

    def __call__(self, logarithms: Floats) -> tuple[float, Floats]:
        n, n_groups = len(self.values), len(self.products)
        weights = Weights.of(logarithms)
        inner = (weights.groups @ self.products.reshape(n_groups, -1)).reshape(n, n)
        smooth = (weights.groups @ self.distances.reshape(n_groups, -1)).reshape(n, n)
        smooth = weights.smooth * np.exp(-smooth)
        kernel = weights.linear * inner + smooth
        kernel[np.diag_indices(n)] += weights.noise + _JITTER
        inverse, log_root = _inverted(kernel)
        coefficients = inverse @ self.values
        slack = inverse - np.outer(coefficients, coefficients)
        by_group = weights.linear * (self.products.reshape(n_groups, -1) @ slack.reshape(-1))
        by_group -= self.distances.reshape(n_groups, -1) @ (slack * smooth).reshape(-1)
        gradient = 0.5 * np.array(
            [
                *(weights.groups * by_group),
                weights.linear * float((slack * inner).sum()),
                float((slack * smooth).sum()),
                weights.noise * float(np.trace(slack)),
            ]
        )
        off = logarithms - self.prior
        value = 0.5 * self.values @ coefficients + log_root
        return float(value + 0.5 * (off**2).sum() / _BROAD), gradient + off / _BROAD
