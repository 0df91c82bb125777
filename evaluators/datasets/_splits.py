"""Stratified splits: which units are for training, validation and test.

Units without a label (-1) are in no split. The same labels, sizes and seed give the same split on
every machine and version, since it is part of a dataset's fingerprint: the random numbers come from
`numpy.random.RandomState`, whose streams NumPy has frozen (NEP 19).
"""

from typing import Annotated, NamedTuple, TypeAlias

import numpy as np
import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from evaluators.datasets._base import DatasetError

Seed: TypeAlias = Annotated[int, Ge(0), Lt(2**32)]
Count: TypeAlias = Annotated[int, Ge(1)]
Ratio: TypeAlias = Annotated[float, Gt(0), Lt(1)]


class Masks(NamedTuple):
    """Three disjoint [U] bool masks."""

    train: Tensor
    val: Tensor
    test: Tensor


def by_ratio(y: Tensor, *, train_ratio: float, val_ratio: float, seed: int) -> Masks:
    """Shares of the labeled units, each class in proportion (to within one unit); rest is test.

    Raises:
        DatasetError: the ratios are not positive, or exceed 1 together.
    """
    # Ratios such as 0.7 + 0.3 may exceed 1 by a rounding error.
    if train_ratio <= 0 or val_ratio <= 0 or train_ratio + val_ratio > 1 + 1e-9:
        raise DatasetError(
            "train_ratio: expected it and val_ratio above 0 and at most 1 together, got "
            f"{train_ratio} and {val_ratio}"
        )
    labels, random = y.numpy(), np.random.RandomState(seed)
    labeled = np.flatnonzero(labels >= 0)
    train = stratified(labels, labeled, round(train_ratio * len(labeled)), random)
    rest = np.setdiff1d(labeled, train)
    val = stratified(labels, rest, min(round(val_ratio * len(labeled)), len(rest)), random)
    return _masks(len(labels), train, val, np.setdiff1d(rest, val))


def by_class(
    y: Tensor,
    *,
    labels_per_class: int,
    seed: int,
    val: int | None = None,
    val_per_class: int | None = None,
    test: int | None = None,
) -> Masks:
    """So many units of each class for training; `val` in all, or `val_per_class`, for validation.

    `test` units (None: all that are left) are for test. `val` and `test` keep the proportions of
    the classes.

    Raises:
        DatasetError: a class, or the rest, has too few units.
    """
    labels, random = y.numpy(), np.random.RandomState(seed)
    labeled = np.flatnonzero(labels >= 0)
    train = _of_each_class(labels, labeled, labels_per_class, "labels_per_class", random)
    rest = np.setdiff1d(labeled, train)
    if val_per_class is not None:
        chosen = _of_each_class(labels, rest, val_per_class, "val_per_class", random)
    else:
        chosen = _some(labels, rest, val or 0, "val", random)
    rest = np.setdiff1d(rest, chosen)
    tested = rest if test is None else _some(labels, rest, test, "test", random)
    return _masks(len(labels), train, chosen, tested)


def by_class_or_ratio(
    y: Tensor,
    *,
    labels_per_class: int | None,
    val_per_class: int | None,
    train_ratio: float | None,
    val_ratio: float | None,
    seed: int,
) -> Masks:
    """Counts for each class (20 and 30 where none are given) or ratios, as the options say.

    The default is that of Shchur, Mumme, Bojchevski and Guennemann, "Pitfalls of Graph Neural
    Network Evaluation", 2018.

    Raises:
        DatasetError: counts and ratios together, or one ratio alone.
    """
    if train_ratio is None and val_ratio is None:
        return by_class(
            y,
            labels_per_class=20 if labels_per_class is None else labels_per_class,
            val_per_class=30 if val_per_class is None else val_per_class,
            seed=seed,
        )
    if labels_per_class is not None or val_per_class is not None:
        raise DatasetError(
            "train_ratio: a split is by counts (labels_per_class, val_per_class) or by ratios "
            "(train_ratio, val_ratio), got both; leave out one kind"
        )
    if train_ratio is None or val_ratio is None:
        raise DatasetError("train_ratio: it and val_ratio go together, got only one of them")
    return by_ratio(y, train_ratio=train_ratio, val_ratio=val_ratio, seed=seed)


def stratified(
    labels: np.ndarray, among: np.ndarray, count: int, random: np.random.RandomState
) -> np.ndarray:
    """`count` of the units `among`, each class in proportion to within one unit; exactly `count`.

    The running total over the classes is rounded, not each class, so that the rounding errors of
    many small classes do not add up.
    """
    chosen: list[np.ndarray] = []
    seen = taken = 0
    for members in _shuffled_classes(labels, among, random):
        seen += len(members)
        due = (2 * seen * count + len(among)) // (2 * len(among))
        chosen.append(members[: due - taken])
        taken = due
    return np.concatenate(chosen) if chosen else among[:0]


def _some(
    labels: np.ndarray, among: np.ndarray, count: int, option: str, random: np.random.RandomState
) -> np.ndarray:
    if count > len(among):
        raise DatasetError(
            f"{option}: expected at most {len(among)}, which the rest of the split leaves, got "
            f"{count}"
        )
    return stratified(labels, among, count, random)


def _of_each_class(
    labels: np.ndarray, among: np.ndarray, count: int, option: str, random: np.random.RandomState
) -> np.ndarray:
    chosen = []
    for members in _shuffled_classes(labels, among, random):
        if len(members) < count:
            raise DatasetError(
                f"{option}: class {labels[members[0]]} has only {len(members)} labeled ones left, "
                f"got {count}; use a smaller number"
            )
        chosen.append(members[:count])
    return np.concatenate(chosen) if chosen else among[:0]


def _shuffled_classes(
    labels: np.ndarray, among: np.ndarray, random: np.random.RandomState
) -> list[np.ndarray]:
    shuffled = random.permutation(np.sort(among))
    return [shuffled[labels[shuffled] == c] for c in np.unique(labels[shuffled])]


def _masks(size: int, *indices: np.ndarray) -> Masks:
    masks = [torch.zeros(size, dtype=torch.bool) for _ in indices]
    for mask, chosen in zip(masks, indices, strict=True):
        mask[torch.from_numpy(chosen)] = True
    return Masks(*masks)
