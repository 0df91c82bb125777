"""Networks of few bits of all kinds, for what must hold of each of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from nas.contracts.graphs import node_graph
from search_spaces import Architecture, SearchSpace, gnn, plugins
from search_spaces.extensions import quantization
from search_spaces.message_passing import SKIP
from search_spaces.quantization.binary import BINARIZATIONS
from search_spaces.quantization.deciding import COMPONENTS

DATASET = node_graph()
TASK = DATASET.task
OPERATORS = tuple(name for name in plugins.names("operator") if name != SKIP)
UNIFORM = (16, 8, 6, 4, 3, 2)
FORMATS = (32, *UNIFORM, "ternary", "binary")
WAYS = {
    "scheme": ("symmetric", "affine", "fixed_point"),
    "granularity": ("channel", "tensor"),
    "observer": ("minmax", "ema", "percentile"),
    "scales": ("observed", "learned"),
    "binarization": BINARIZATIONS,
}
# With these every number is a whole multiple of a power of two.
POWERS = {"scheme": ("fixed_point",)}


@dataclass(frozen=True)
class Drawn:
    """A trained network, in evaluation mode."""

    space: SearchSpace
    architecture: Architecture
    network: nn.Module


def drawn(count: int, *, powers: bool) -> Iterator[Drawn]:
    """Networks with a format for each component of each layer, trained for three steps.

    Args:
        count: how many.
        powers: whether all scales are powers of two; else they are of all kinds.
    """
    formats = UNIFORM if powers else FORMATS
    plain = gnn.build(TASK, depth=[1, 2, 3], width=[32, 64], operators=OPERATORS)
    lists = dict.fromkeys((name for name, _ in COMPONENTS.values()), formats)
    options: dict[str, Any] = {**lists, **(POWERS if powers else WAYS)}
    space = plain.extended(quantization.build(plain, TASK, per_layer=True, **options))
    rng = np.random.default_rng(int(powers))
    for _ in range(count):
        found = space.sample(rng)
        torch.manual_seed(0)
        yield Drawn(space, found, trained(space.network(found, TASK)))


def trained(network: nn.Module, steps: int = 3) -> nn.Module:
    """On the planted graph; it is changed, and returned in evaluation mode."""
    optimizer = torch.optim.Adam(network.train().parameters(), 0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        logits = network(DATASET.x, DATASET.edge_index)
        nn.functional.cross_entropy(logits, DATASET.y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()
