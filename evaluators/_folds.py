"""Which units each training run learns from and which it is validated on."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from evaluators.datasets._base import Dataset, DatasetError
from evaluators.metrics import check_classes


@dataclass(frozen=True, eq=False)
class Fold:
    """Units [U] int64 with labels; disjoint, and never of the test split."""

    train: Tensor
    val: Tensor


def run_folds(dataset: Dataset, seed: int, seeds: int, folds: int) -> list[Fold]:
    """The fold of each run: `seeds` times the dataset's own split, or `seeds` times k folds.

    k-fold pools the train and validation units, shuffles them anew for each seed, and deals them
    out class by class, so that every fold has its share of each class (stratified, repeated k-fold
    cross-validation).

    Raises:
        DatasetError: there are too few units, or a fold's validation labels are all of one class.
    """
    known = dataset.y >= 0
    if folds == 0:
        own = Fold(_units(dataset.train & known), _units(dataset.val & known))
        check_classes(dataset.y[own.val])
        return [own] * seeds
    pool = _units((dataset.train | dataset.val) & known & ~dataset.test)
    if pool.numel() < folds:
        raise DatasetError(
            f'dataset "{dataset.name}": expected at least {folds} labels for {folds} folds, '
            f"train and val have {pool.numel()}"
        )
    made = [fold for s in range(seeds) for fold in _deal(pool, dataset.y, folds, [seed, s])]
    for fold in made:
        check_classes(dataset.y[fold.val])
    return made


def _deal(pool: Tensor, y: Tensor, folds: int, seed: list[int]) -> list[Fold]:
    shuffled = pool[torch.from_numpy(np.random.default_rng(seed).permutation(pool.numel()))]
    by_class = shuffled[y[shuffled].sort(stable=True).indices]
    hand = torch.arange(pool.numel()) % folds
    return [
        Fold(by_class[hand != k].sort().values, by_class[hand == k].sort().values)
        for k in range(folds)
    ]


def _units(mask: Tensor) -> Tensor:
    return mask.nonzero().squeeze(1)
