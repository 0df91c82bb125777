"""Spaces with known rewards, and a search over them; what contracts plant is here too."""

import zlib
from functools import cache
from itertools import pairwise

import numpy as np

from nas.contracts.planted import (  # noqa: F401 - for the tests beside this file
    TASK,
    build,
    conditional,
    flat,
    folded,
    networks,
    no_network,
    objectives_of,
    propose,
    record,
    refusal,
    single,
    space_for,
)
from nas.strategies import Finished, Objective  # noqa: F401
from search_spaces import Architecture, Decision, SearchSpace


def components() -> SearchSpace:
    """Two layers of the six component classes of Auto-GNN, 12 tokens."""
    classes = {
        "attention": 7,
        "aggregator": 3,
        "activation": 8,
        "heads": 6,
        "update": 2,
        "width": 7,
    }
    asked = [
        Decision(f"layer{i}.{name}", tuple(range(choices)))
        for i in range(2)
        for name, choices in classes.items()
    ]
    return SearchSpace("components", 1, tuple(asked), no_network)


@cache
def gain(seed: int, name: str, choice: object) -> float:
    """The planted worth of a choice in [0, 1), the same in every process."""
    return float(np.random.default_rng([seed, zlib.crc32(f"{name}={choice}".encode())]).random())


def reward(architecture: Architecture, seed: int) -> float:
    """The mean worth of the choices made: every decision has one best choice."""
    return float(np.mean([gain(seed, n, c) for n, c in architecture.choices.items()]))


def hidden(space: SearchSpace, seed: int) -> Architecture:
    """A target for `matched`; no ordinal's generator draws it."""
    return space.sample(np.random.default_rng([seed, 0, 0, 2]))


def matched(architecture: Architecture, target: Architecture) -> float:
    """The share of the target's choices that the architecture has."""
    return float(np.mean([architecture.choices[n] == c for n, c in target.choices.items()]))


def quality_and_cost(architecture: Architecture, seed: int) -> tuple[float, float]:
    """Two losses in conflict: 1 - (worth with pairwise terms), and the mean size of the choices."""
    items = sorted(architecture.choices.items())
    pairs = [gain(seed, f"{a}{c}{b}", d) for (a, c), (b, d) in pairwise(items)]
    sizes = np.array([float(c) for _, c in items])
    cost = sizes.mean() / 3
    worth = 0.5 * reward(architecture, seed) + 0.2 * float(np.mean(pairs)) + 0.3 * cost**0.5
    return 1 - worth, cost


def search(strategy, count: int, losses_of) -> list[Architecture]:
    """One worker's search; `losses_of(architecture, ordinal)` is what the strategy gets to see."""
    state, tried = strategy.initial(), []
    for ordinal in range(count):
        architecture = propose(strategy, state, ordinal).architecture
        tried.append(architecture)
        losses = losses_of(architecture, ordinal)
        state = strategy.fold(state, Finished(ordinal, architecture, "complete", losses))
    return tried
