"""A Gaussian process: its kernel, and the hyperparameters that the samples make likeliest.

Carl Edward Rasmussen, Christopher K. I. Williams: Gaussian Processes for Machine Learning (2006).
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, eigh

from evaluators.latency.costs import Floats

# More samples than these tell hardly more of the hyperparameters.
_MOST_TELLING = 400
_STRETCHES = (0.4, 0.7, 1.0, 1.6, 2.5)
_NOISES = np.geomspace(0.01, 3.0, 25)
LINEAR = 0.1


def kernel(left: Floats, right: Floats, stretch: float) -> Floats:
    """Matern 3/2 of amplitude 1, and a linear part."""
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2 * left @ right.T
    distance = np.sqrt(3 * np.maximum(squares, 0.0)) / stretch
    covered: Floats = (1 + distance) * np.exp(-distance) + LINEAR * left @ right.T
    return covered


@dataclass(frozen=True)
class Likely:
    """Hyperparameters of the kernel, and the negative logarithm of their likelihood."""

    loss: float
    stretch: float
    amplitude: float
    noise: float
    weights: Floats


def likeliest(points: Floats, residuals: Floats, weights: Floats) -> Likely:
    """The hyperparameters of the largest marginal likelihood, on a grid.

    For each stretch and ratio of noise to amplitude, the best amplitude is known in closed form.
    """
    best = Likely(np.inf, 1.0, 1.0, 1.0, weights)
    telling = slice(None, None, -(-len(residuals) // _MOST_TELLING))
    points, residuals, root = points[telling], residuals[telling], np.sqrt(weights[telling])
    # Weights that let all noise through must not look likely for it.
    offset = -float(np.log(root).sum())
    for stretch in _STRETCHES:
        covered = kernel(points, points, stretch) * root[:, None] * root[None]
        eigenvalues, vectors = eigh(covered)
        projected = (vectors.T @ (residuals * root)) ** 2
        for ratio in _NOISES:
            spectrum = np.maximum(eigenvalues, 0.0) + ratio**2
            amplitude = max(float(np.sqrt((projected / spectrum).mean())), 1e-6)
            loss = offset + len(residuals) * np.log(amplitude) + 0.5 * np.log(spectrum).sum()
            if loss < best.loss:
                noise = max(ratio * amplitude, 1e-3)
                best = Likely(float(loss), stretch, amplitude, noise, weights)
    return best


def lower(matrix: Floats) -> Floats:
    factor: Floats = cholesky(matrix + 1e-10 * np.eye(len(matrix)), lower=True)
    return factor
