"""A path whose label is the sign of two features' product: wide layers pay, neighbors do not."""

from pathlib import Path

import torch

from evaluators.datasets import RawDataset


def build(root: Path, *, nodes: int = 300) -> RawDataset:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(nodes, 3, generator=generator)
    split = torch.arange(nodes) % 3
    source = torch.arange(nodes - 1)
    return RawDataset(
        name="a product",
        kind="node_classification",
        x=x,
        edge_index=torch.stack([source, source + 1]),
        y=(x[:, 0] * x[:, 1] > 0).long(),
        train=split == 0,
        val=split == 1,
        test=split == 2,
        n_classes=2,
    )
