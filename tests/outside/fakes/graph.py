"""A path of 12 nodes whose label is the sign of the first feature."""

from pathlib import Path

import torch

from evaluators.datasets import RawDataset


def build(root: Path, *, nodes: int = 12) -> RawDataset:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(nodes, 3, generator=generator)
    split = torch.arange(nodes) % 3
    source = torch.arange(nodes - 1)
    return RawDataset(
        name="a path",
        kind="node_classification",
        x=x,
        edge_index=torch.stack([source, source + 1]),
        y=(x[:, 0] > 0).long(),
        train=split == 0,
        val=split == 1,
        test=split == 2,
        n_classes=2,
    )
