"""What benchmarks/parity.py compares: networks of one operator, and graphs to train them on."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from evaluators.datasets import Dataset, RawDataset, preprocess
from search_spaces import SearchSpace, Task, plugins
from search_spaces.decision import Choice
from search_spaces.frozen import FrozenMapping

DEPTHS, NORMALIZATIONS = (1, 2, 3, 4), ("none", "batch", "layer")
OPERATORS = plugins.names("operator")


def choices(operator: str) -> Mapping[str, Sequence[Choice]]:
    """What a space may decide of an operator: heads, hops, aggregation."""
    found: Mapping[str, Sequence[Choice]] = getattr(
        plugins.load("operator", operator), "CHOICES", {}
    )
    return found


@dataclass(frozen=True)
class Case:
    """Layers of one operator with ReLU between them, and a linear map to the classes.

    Of the operator's own choices the first, where `options` has none.
    """

    operator: str
    depth: int
    normalization: str = "none"
    connectivity: str = "plain"
    options: Mapping[str, Choice] = field(default_factory=FrozenMapping)
    width: int = 16
    output: str = "linear"

    def __str__(self) -> str:
        said = [f"{name} {value}" for name, value in self.options.items()]
        return ", ".join([self.operator, *said, self.normalization, self.connectivity]) + (
            f", depth {self.depth}"
        )

    def space(self, task: Task) -> SearchSpace:
        """It as the one architecture of a `gnn` space."""
        made: SearchSpace = plugins.load("space", "gnn").build(
            task,
            depth=[self.depth],
            operators=[self.operator],
            width=[self.width],
            activation=["relu"],
            normalization=[self.normalization],
            connectivity=[self.connectivity],
            pre_layers=[0],
            post_layers=[0],
            output=[self.output],
            **{name: [value] for name, value in self._all_options().items()},
        )
        return made

    def _all_options(self) -> Mapping[str, Choice]:
        first = {name: values[0] for name, values in choices(self.operator).items()}
        return first | dict(self.options)

    def network(self, task: Task, seed: int = 0) -> nn.Module:
        space = self.space(task)
        torch.manual_seed(seed)
        return space.network(space.sample(np.random.default_rng(0)), task)


def grid(operators: Sequence[str] = OPERATORS, depths: Sequence[int] = DEPTHS) -> Iterator[Case]:
    """Operators x depths x normalizations, with and without residual connections.

    The operators' own choices (heads, hops, aggregation) take turns.
    """
    for operator in operators:
        own = choices(operator)
        turns = list(itertools.product(*own.values()))
        number = itertools.count()
        for depth, normalization in itertools.product(depths, NORMALIZATIONS):
            # One layer has nothing to connect.
            for connectivity in ("plain", "residual") if depth > 1 else ("plain",):
                values = turns[(next(number) + depth) % len(turns)]
                options = FrozenMapping[Choice](dict(zip(own, values, strict=True)))
                yield Case(operator, depth, normalization, connectivity, options)


def ring(nodes: int = 300, classes: int = 4, features: int = 60, seed: int = 0) -> Dataset:
    """Nodes on a ring, a class each quarter, linked to near ones and a few far ones.

    Words as features, 5 % of them there, more of them of the class. Those that are trained on lie
    side by side, so that a loss sees a part of the ring even at depth 4.
    """
    rng = np.random.default_rng(seed)
    source = np.arange(nodes).repeat(2)
    target = (source + rng.integers(1, 5, source.size)) % nodes
    far = rng.random(source.size) < 0.02
    target[far] = rng.integers(nodes, size=int(far.sum()))
    y = np.arange(nodes) * classes // nodes
    likes = np.arange(features) % classes == y[:, None]
    x = rng.random((nodes, features)) < np.where(likes, 0.11, 0.03)
    place = np.arange(nodes) % (nodes // classes)
    raw = RawDataset(
        name=f"ring of {nodes} nodes",
        kind="node_classification",
        x=torch.from_numpy(x.astype(np.float32)),
        edge_index=torch.from_numpy(np.stack([source, target])),
        y=torch.from_numpy(y),
        train=torch.from_numpy(place < 12),
        val=torch.from_numpy((place >= 20) & (place < 40)),
        test=torch.from_numpy(place >= 40),
        n_classes=classes,
    )
    return preprocess(raw, undirected=True)


def with_few_words(dataset: Dataset, words: int = 200) -> Dataset:
    """With its most frequent words alone: PyG propagates all columns of the features, for hours."""
    counts = (dataset.x != 0).sum(0)
    kept = counts.argsort(descending=True, stable=True)[:words].sort().values
    name = f"{dataset.name}, its {words} most frequent words"
    return replace(dataset, name=name, x=dataset.x[:, kept].contiguous(), matrices={})


def permuted(dataset: Dataset, seed: int) -> Dataset:
    """The same graph with its edges in another order."""
    order = torch.randperm(
        dataset.edge_index.size(1), generator=torch.Generator().manual_seed(seed)
    )
    return replace(dataset, edge_index=dataset.edge_index[:, order])


def renumbered(dataset: Dataset, seed: int) -> Dataset:
    """The same graph with its nodes and its edges in another order."""
    nodes = dataset.x.size(0)
    order = torch.randperm(nodes, generator=torch.Generator().manual_seed(seed))
    place = torch.empty_like(order)
    place[order] = torch.arange(nodes)
    edges = permuted(dataset, seed).edge_index
    ours = {name: getattr(dataset, name)[order] for name in ("x", "y", "train", "val", "test")}
    return replace(dataset, edge_index=place[edges], matrices={}, **ours)
