"""Handwritten digits, each a graph of its dark pixels: real data, constructed graphs.

The 1,797 images (8 x 8 pixels, 16 grey levels) of scikit-learn's `load_digits`, which come with it;
from the Optical Recognition of Handwritten Digits data set, Alpaydin and Kaynak, 1998. A node is a
pixel that is not zero (about 33 in an image), joined to its 8 neighbors; its only feature is its
grey level, so that the shape is in the edges alone.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Le

from evaluators.datasets._digits import load_images
from evaluators.datasets._raw import RawDataset
from evaluators.datasets._splits import Ratio, Seed, by_ratio, stratified

LICENSE = (
    "CC BY 4.0, as the UCI Machine Learning Repository says of Optical Recognition of Handwritten "
    "Digits (doi.org/10.24432/C50P49), whose test images scikit-learn has copied."
)


def build(
    root: Path,  # noqa: ARG001  (scikit-learn has the images)
    *,
    graphs: Annotated[int, Ge(20), Le(1797)] | None = None,
    train_ratio: Ratio = 0.6,
    val_ratio: Ratio = 0.2,
    seed: Seed = 0,
) -> RawDataset:
    """The graphs.

    Args:
        root: not used.
        graphs: how many images, drawn at random and stratified; None for all 1,797.
        train_ratio, val_ratio: shares of a split at random, stratified by digit; the rest is test.
        seed: of the draw and the split.

    Raises:
        DatasetError: the ratios exceed 1 together.
    """
    images, labels = load_images()
    if graphs is not None:
        every = np.arange(len(labels))
        chosen = np.sort(stratified(labels, every, graphs, np.random.RandomState(seed)))
        images, labels = images[chosen], labels[chosen]
    y = torch.from_numpy(labels)
    masks = by_ratio(y, train_ratio=train_ratio, val_ratio=val_ratio, seed=seed)
    graph_ids, rows, columns = np.nonzero(images)
    levels = images[graph_ids, rows, columns] / 16
    return RawDataset(
        name="digits_pixels",
        kind="graph_classification",
        x=torch.from_numpy(levels.astype(np.float32)[:, None]),
        edge_index=torch.from_numpy(_neighbors(images)),
        y=y,
        train=masks.train,
        val=masks.val,
        test=masks.test,
        n_classes=10,
        graph_ids=torch.from_numpy(graph_ids),
    )


def _neighbors(images: np.ndarray) -> np.ndarray:
    """Edges [2, E] int64 between pixels that touch, at a side or a corner, both ways."""
    number = np.full(np.add(images.shape, (0, 2, 2)), -1, dtype=np.int64)  # with a blank border
    inner = number[:, 1:-1, 1:-1]
    dark = np.nonzero(images)
    inner[dark] = np.arange(len(dark[0]))
    graph, row, column = dark[0], dark[1] + 1, dark[2] + 1
    edges = []
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            neighbor = number[graph, row + down, column + right]
            exists = (neighbor >= 0) & ((down, right) != (0, 0))
            edges.append(np.stack([neighbor[exists], np.flatnonzero(exists)]))
    return np.concatenate(edges, axis=1)
