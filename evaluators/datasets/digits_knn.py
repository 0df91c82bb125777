"""Handwritten digits, each a node joined to its nearest images: real data, a constructed graph.

The 1,797 images (8 x 8 pixels, 16 grey levels) of scikit-learn's `load_digits`, which come with it;
from the Optical Recognition of Handwritten Digits data set, Alpaydin and Kaynak, 1998.
"""

from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch_geometric.utils import to_undirected

from evaluators.datasets._digits import load_images
from evaluators.datasets._raw import RawDataset
from evaluators.datasets._splits import Count, Seed, by_class

LICENSE = (
    "CC BY 4.0, as the UCI Machine Learning Repository says of Optical Recognition of Handwritten "
    "Digits (doi.org/10.24432/C50P49), whose test images scikit-learn has copied."
)


def build(
    root: Path,  # noqa: ARG001  (scikit-learn has the images)
    *,
    neighbors: Annotated[int, Ge(1), Le(1796)] = 8,
    labels_per_class: Count = 5,
    val: Count = 500,
    seed: Seed = 0,
) -> RawDataset:
    """The graph: an edge both ways between an image and each of its nearest ones.

    Args:
        root: not used.
        neighbors: how many nearest images, by Euclidean distance, each image is joined to.
        labels_per_class: images of each digit for training.
        val: images for validation, stratified; the rest is test.
        seed: of the split.

    Raises:
        DatasetError: more images asked for than there are.
    """
    images, digits = load_images()
    pixels, y = torch.from_numpy(images).flatten(1), torch.from_numpy(digits)
    masks = by_class(y, labels_per_class=labels_per_class, val=val, seed=seed)
    return RawDataset(
        name="digits_knn",
        kind="node_classification",
        x=pixels.float() / 16,
        edge_index=_nearest(pixels, neighbors),
        y=y,
        train=masks.train,
        val=masks.val,
        test=masks.test,
        n_classes=10,
    )


def _nearest(points: torch.Tensor, neighbors: int) -> torch.Tensor:
    """Edges [2, E], both ways; of images equally near the one with the lower number is taken.

    Squared distances of whole numbers are exact in float64, so the edges are the same everywhere.
    """
    values = points.double()
    norms = values.square().sum(dim=1)
    squared = norms[:, None] + norms[None, :] - 2 * values @ values.T
    squared.fill_diagonal_(torch.inf)
    nearest = squared.sort(dim=1, stable=True).indices[:, :neighbors]
    targets = torch.arange(len(points)).repeat_interleave(neighbors)
    edges = torch.stack([nearest.flatten(), targets])
    both: torch.Tensor = to_undirected(edges, num_nodes=len(points))
    return both
