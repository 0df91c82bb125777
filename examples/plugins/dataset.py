"""A contextual stochastic block model: how much the graph tells, and how much the features, is set.

Yash Deshpande, Subhabrata Sen, Andrea Montanari, Elchanan Mossel: Contextual Stochastic Block
Models (2018). Every node has about `degree` neighbors, of which a share `homophily` is of its own
class (1/classes: the graph says nothing; below: neighbors differ), and features `signal` deviations
away from the middle. Good for asking whether a search finds what the graph calls for.
"""

from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from evaluators.datasets import RawDataset

Share = Annotated[float, Ge(0), Le(1)]
LICENSE = "Random numbers, drawn by this program: free of rights."


def build(
    root: Path,
    *,
    nodes: Annotated[int, Ge(20)] = 1000,
    classes: Annotated[int, Ge(2)] = 4,
    features: Annotated[int, Ge(1)] = 16,
    degree: Annotated[float, Gt(0)] = 8.0,
    homophily: Share = 0.8,
    signal: Annotated[float, Ge(0)] = 1.0,
    seed: Annotated[int, Ge(0)] = 0,
) -> RawDataset:
    """The graph, made anew.

    Args:
        root: not used, nothing is read.
        nodes, classes, features: how many.
        degree: how many neighbors a node has, on average.
        homophily: the share of them that is of its own class.
        signal: how far classes are apart in their features, in deviations of the noise.
        seed: of graph, features and splits.
    """
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(nodes) % classes
    centers = torch.nn.functional.normalize(torch.randn(classes, features, generator=rng))
    x = signal * centers[y] + torch.randn(nodes, features, generator=rng) / features**0.5
    split = torch.rand(nodes, generator=rng)
    return RawDataset(
        name=f"block model, homophily {homophily:g}",
        kind="node_classification",
        x=x,
        edge_index=_edges(y, classes, degree, homophily, rng),
        y=y,
        train=split < 0.2,
        val=(split >= 0.2) & (split < 0.5),
        test=split >= 0.5,
        n_classes=classes,
    )


def _edges(
    y: Tensor, classes: int, degree: float, homophily: float, rng: torch.Generator
) -> Tensor:
    """Both directions of about `degree` edges a node, without loops and repetitions."""
    drawn = max(1, round(y.numel() * degree / 2))
    source = torch.randint(y.numel(), (drawn,), generator=rng)
    other = 1 + torch.randint(classes - 1, (drawn,), generator=rng)
    own = torch.rand(drawn, generator=rng) < homophily
    wanted = (y[source] + torch.where(own, 0, other)) % classes
    # Nodes of class c are c, c + classes, c + 2 classes, ...
    members = (y.numel() - wanted + classes - 1) // classes
    place = (torch.rand(drawn, generator=rng, dtype=torch.float64) * members).long()
    edges = torch.stack([source, wanted + place * classes])
    edges = edges[:, edges[0] != edges[1]]
    return torch.cat([edges, edges.flip(0)], dim=1).unique(dim=1)
