"""Parents and children of the space `gnn`, with random weights in float64 on a random graph."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from search_spaces import Architecture, SearchSpace, Task, gnn
from search_spaces.morphism import morph

NODES, GRAPHS = 40, 4
OPERATORS = (
    *("gcn", "gat", "gatv2", "sage", "graph", "gin", "tag", "cheb", "sg", "arma", "appnp"),
    *("transformer", "linear"),
)
WIDTHS = (8, 16, 24)
TASK = Task("node_classification", 7, 3, NODES, 100, 1, 10, 10, 10, "accuracy", "growing")


@dataclass(frozen=True)
class Ground:
    """A space over a random graph, or over several.

    Attributes:
        features: of a node; one of the widths has them added as they are.
    """

    features: int = 7
    graphs: bool = False
    options: tuple[tuple[str, Any], ...] = ()

    @cached_property
    def task(self) -> Task:
        if not self.graphs:
            return replace(TASK, n_features=self.features)
        kind, count = "graph_classification", GRAPHS
        return replace(TASK, kind=kind, n_features=self.features, n_graphs=count)  # type: ignore[arg-type]

    @cached_property
    def space(self) -> SearchSpace:
        options: dict[str, Any] = {
            "depth": (1, 2, 3, 4),
            "operators": OPERATORS,
            "width": WIDTHS,
            "hops": (2, 4),
            "heads": (1, 2, 4),
            "activation": ("none", "relu", "elu", "sigmoid"),
            "pre_layers": (0, 1, 2),
            "post_layers": (0, 1, 2),
            "dropout": (0.0, 0.5),
        }
        if not self.graphs:
            options["output"] = ("linear", "gcn", "sage", "gat")
        return gnn.build(self.task, **{**options, **dict(self.options)})

    @cached_property
    def inputs(self) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(3)
        x = torch.randn(NODES, self.features, generator=generator, dtype=torch.float64)
        edges = torch.randint(NODES // GRAPHS, (2, 100), generator=generator)
        of = torch.randint(GRAPHS, (100,), generator=generator)
        edges = edges + of * (NODES // GRAPHS)
        ids = torch.arange(GRAPHS).repeat_interleave(NODES // GRAPHS)
        return (x, edges, ids, torch.zeros(GRAPHS)) if self.graphs else (x, edges)

    def network(self, architecture: Architecture, seed: int = 0) -> nn.Module:
        """With weights that are all random: a bias of 0 would hide what becomes of it."""
        torch.manual_seed(seed)
        network = self.space.network(architecture, self.task).double().eval()
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.4)
        for buffer in network.buffers():
            if buffer.is_floating_point():
                nn.init.uniform_(buffer, 0.5, 1.5)
        return network

    def architecture(self, *layers: dict[str, Any], **choices: Any) -> Architecture:
        """Layers of `sage` and ReLU unless they say otherwise; all else is plain."""
        plain = {"operator": "sage", "width": 8, "normalization": "none", "activation": "relu"}
        given = {
            f"layer{i}.{k}": v for i, one in enumerate(layers) for k, v in (plain | one).items()
        }
        named = {name.replace("_", "."): choice for name, choice in choices.items()}
        bare = {"depth": len(layers), "connectivity": "plain", "pre.layers": 0, "post.layers": 0}
        output = {} if self.graphs else {"output.operator": "linear"}
        whole = bare | output | given | named
        made = self.space.fill(lambda d: d.choices[0], whole)
        assert not {n for n, c in whole.items() if made.choices.get(n, c) != c}, "no such choice"
        return made

    def grown(
        self, parent: Architecture, child: Architecture, seed: int = 0, **noise: float
    ) -> tuple[nn.Module, nn.Module]:
        """A parent's network and the child's that it becomes."""
        before = self.network(parent, seed)
        generator = torch.Generator().manual_seed(seed)
        state = morph(self.space, self.task, parent, child, before.state_dict(), generator, **noise)
        after = self.space.network(child, self.task).double().eval()
        after.load_state_dict(state)
        return before, after

    def difference(self, one: nn.Module, other: nn.Module) -> float:
        """The largest of two networks' outputs, relative to the outputs."""
        with torch.no_grad():
            expected, found = one(*self.inputs), other(*self.inputs)
        return float((expected - found).abs().max() / (1 + expected.abs().max()))


def pairs(ground: Ground, count: int, seed: int = 0) -> Iterator[tuple[Architecture, Architecture]]:
    """Random children, each with a parent that has less width, or fewer layers, or both."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        child = ground.space.sample(rng)
        yield parent_of(ground.space, child, rng), child


def parent_of(space: SearchSpace, child: Architecture, rng: np.random.Generator) -> Architecture:
    """Some of its layers, narrower."""
    depth = int(child.choices["depth"])
    fewer = depth if rng.random() < 0.5 else int(rng.integers(1, depth + 1))
    kept = sorted(rng.choice(depth, fewer, replace=False).tolist())
    given = {n: c for n, c in child.choices.items() if not n.startswith("layer")}
    for new, old in enumerate(kept):
        mine = (n for n in child.choices if n.startswith(f"layer{old}."))
        given |= {f"layer{new}.{n.partition('.')[2]}": child.choices[n] for n in mine}
    for name in given:
        if name.endswith(".width"):
            given[name] = int(rng.choice([w for w in WIDTHS if w <= int(given[name])]))
    return space.fill(lambda d: d.choices[0], {**given, "depth": fewer})
