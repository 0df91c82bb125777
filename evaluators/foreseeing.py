"""Learns how accurate architectures are from slices that were evaluated.

One slice is a noisy witness: how often its own weights were trained is a matter of luck. What many
slices have in common is not. It is learned by two that err differently, from the parts of
architectures (see `search_spaces.features`): a ridge regression, which is right where decisions add
up, and a random forest (Leo Breiman, "Random forests", 2001), which sees where they interact. What
is foreseen is the mean of both.

They learn from read-outs of weights that were trained and of others that are new (`together`). The
former know what is learned of this graph, but of all architectures together; the latter what each
makes of it by itself. Neither ranks better on every graph.

What a slice's own read-out says beyond that (its residual) counts as far as it can be believed:

    foreseen = expected + k (read-out - expected),  k = cov(e, e') / var(e), in [0, 1]

where e and e' are the residuals of the same architectures with weights that were trained and with
others that were not: two witnesses, who agree on what is true of an architecture and not on
chance. This is the regression of one on the other (as in the reliability of a test by its two
forms: Charles Spearman, "The proof and measurement of association between two things", 1904).
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict

from search_spaces import Architecture, SearchSpace
from search_spaces.features import decision_parts

Floats: TypeAlias = NDArray[np.float64]
_STRENGTHS = np.logspace(-2, 3, 11)
_FOLDS = 5
_TREES, _SMALLEST_LEAF, _PARTS_A_SPLIT = 100, 3, 0.6
# Fewer cannot be left out in turn and ranked.
FEWEST = 10


def together(begun: Floats, trained: Floats) -> Floats:
    """[n] one value of two of each architecture, of new weights and of trained, of equal weight.

    In the unit of the latter: with its mean and its spread.
    """
    both: Floats = (_standard(begun) + _standard(trained)) / 2 * trained.std() + trained.mean()
    return both


def _standard(values: Floats) -> Floats:
    spread = values.std()
    standard: Floats = (values - values.mean()) / (spread if spread > 0 else 1.0)
    return standard


class Foresight:
    """What is expected of any architecture of a space.

    Attributes:
        held_out_tau: Kendall's tau between values and what was expected of them by those who had
            not seen them: a regression without their fold of five, and trees out of whose bag they
            were.
        belief: k, how much of a residual is believed.
    """

    def __init__(
        self,
        space: SearchSpace,
        architectures: Sequence[Architecture],
        begun: Floats,
        trained: Floats,
    ) -> None:
        """Args: begun, trained: read-outs [n] of each architecture; at least `FEWEST`."""
        if len(architectures) < FEWEST:
            raise ValueError(f"expected {FEWEST} architectures or more, got {len(architectures)}")
        self._space = space
        self._names = DictVectorizer(sparse=False)
        seen = self._names.fit_transform([self._parts(a) for a in architectures])
        measured = together(begun, trained)
        folds = KFold(_FOLDS, shuffle=True, random_state=0)
        self._ridge = RidgeCV(_STRENGTHS).fit(seen, measured)
        self._forest = RandomForestRegressor(
            _TREES,
            min_samples_leaf=_SMALLEST_LEAF,
            max_features=_PARTS_A_SPLIT,
            oob_score=True,
            random_state=0,
        ).fit(seen, measured)
        unseen = cross_val_predict(RidgeCV(_STRENGTHS), seen, measured, cv=folds)
        expected = (unseen + self._forest.oob_prediction_) / 2
        tau = kendalltau(expected, measured).statistic
        self.held_out_tau = 0.0 if np.isnan(tau) else float(tau)
        before = _standard(begun) * trained.std() + trained.mean()
        self.belief = _belief(trained - expected, before - expected)

    def __call__(
        self, architectures: Sequence[Architecture], read_outs: Floats | None = None
    ) -> Floats:
        """[n] what is expected; with their own read-outs [n], where these are known."""
        parts = self._names.transform([self._parts(a) for a in architectures])
        # Row by row: a matrix product's last bits depend on how many rows there are.
        summed = (parts * self._ridge.coef_).sum(axis=1) + self._ridge.intercept_
        expected: Floats = (summed + self._forest.predict(parts)) / 2
        if read_outs is None:
            return expected
        return expected + self.belief * (read_outs - expected)

    def _parts(self, architecture: Architecture) -> dict[str, float]:
        counted = decision_parts(self._space, architecture)
        return {f"{group} {part}": count for (group, part), count in counted.items()}


def _belief(residuals: Floats, others: Floats) -> float:
    """The slope of one witness's residuals on the other's, in [0, 1]."""
    variance = float(residuals.var())
    if variance <= 0:
        return 0.0
    covariance = float(((residuals - residuals.mean()) * (others - others.mean())).mean())
    return min(1.0, max(0.0, covariance / variance))
