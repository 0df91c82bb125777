"""Spaces with known rewards, records of mixed outcomes, and a search over them.

Run as a script, it prints what a strategy proposes, so that another process can be compared.
"""

import json
import sys
import zlib
from functools import cache
from itertools import pairwise

import numpy as np

from nas.strategies._base import Finished, Objective, Problem, Proposal, StrategyError, generator
from search_spaces import Architecture, Decision, SearchSpace, SpaceError, plugins


def no_network(architecture, task):
    raise SpaceError("the planted spaces have no networks")


def flat(decisions: int = 10, choices: int = 4) -> SearchSpace:
    asked = [Decision(f"d{i}", tuple(range(choices))) for i in range(decisions)]
    return SearchSpace("flat", 1, tuple(asked), no_network)


def conditional(layers: int = 3) -> SearchSpace:
    """Layers that exist from a depth on, with heads where the operator has attention."""
    asked = [Decision("depth", tuple(range(1, layers + 1)), ordered=True)]
    for i in range(layers):
        deep = {"depth": tuple(range(i + 1, layers + 1))}
        asked += [
            Decision(f"layer{i}.operator", ("gcn", "gat", "linear"), needs=deep),
            Decision(f"layer{i}.width", (16, 32, 64), needs=deep, ordered=True),
            Decision(f"layer{i}.heads", (1, 2, 4), needs={f"layer{i}.operator": ("gat",)}),
        ]
    asked.append(Decision("train.lr", (0.001, 0.01), role="recipe"))
    return SearchSpace("conditional", 1, tuple(asked), no_network)


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


def single() -> SearchSpace:
    return SearchSpace("single", 1, (Decision("only", ("one",)),), no_network)


SPACES = {"flat": flat, "conditional": conditional, "single": single}


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


def build(name: str, space: SearchSpace, n_objectives: int = 1, seed: int = 0, **options):
    objectives = tuple(Objective(f"loss{i}", "minimize") for i in range(n_objectives))
    return plugins.load("strategy", name).build(Problem(space, objectives, seed), **options)


@cache
def objectives_of(name: str) -> tuple[int, ...]:
    """How many objectives a strategy can have: one, or one and two."""
    try:
        build(name, flat(), 2)
    except StrategyError:
        return (1,)
    return (1, 2)


def record(space: SearchSpace, count: int, n_objectives: int = 1, seed: int = 0) -> list[Finished]:
    """Trials that ended in every way, and out of the order of their ordinals."""
    rng = np.random.default_rng([seed, 1])
    made = []
    for ordinal in rng.permutation(count):
        architecture = space.sample(rng)
        draw = rng.random()
        losses = tuple(float(v) for v in np.round(rng.random(n_objectives), 1))
        cases = [
            (0.70, ("complete", losses, 0.0)),
            (0.78, ("pruned", None, 0.0)),
            (0.86, ("infeasible", None, float(rng.random()) + 0.01)),
            (0.92, ("infeasible", losses, float(rng.random()) + 0.01)),
            (0.94, ("complete", tuple(float("nan") for _ in losses), 0.0)),
            (1.01, ("failed", None, 0.0)),
        ]
        outcome, measured, violation = next(case for limit, case in cases if draw < limit)
        made.append(Finished(int(ordinal), architecture, outcome, measured, violation))
    return made


def folded(strategy, trials):
    state = strategy.initial()
    for finished in trials:
        state = strategy.fold(state, finished)
    return state


def propose(strategy, state, ordinal: int, pending=()) -> Proposal:
    rng = generator(strategy.problem.seed, ordinal)
    return strategy.propose(state, ordinal, list(pending), rng)


def search(strategy, count: int, losses_of) -> list[Architecture]:
    """One worker's search; `losses_of(architecture, ordinal)` is what the strategy gets to see."""
    state, tried = strategy.initial(), []
    for ordinal in range(count):
        architecture = propose(strategy, state, ordinal).architecture
        tried.append(architecture)
        losses = losses_of(architecture, ordinal)
        state = strategy.fold(state, Finished(ordinal, architecture, "complete", losses))
    return tried


def proposals(name: str) -> list[str]:
    """Keys proposed after several lengths of records, with and without pending trials."""
    keys = []
    for space in (flat(), conditional(), single()):
        for n_objectives in objectives_of(name):
            strategy = build(name, space, n_objectives, seed=3)
            trials = record(space, 80, n_objectives)
            for length in (0, 5, 80):
                pending = [t.architecture for t in trials[:2]]
                state = folded(strategy, trials[:length])
                for ordinal, waiting in enumerate(((), pending, (), pending), start=100):
                    keys.append(propose(strategy, state, ordinal, waiting).architecture.key)
    return keys


if __name__ == "__main__":
    print(json.dumps(proposals(sys.argv[1])))
