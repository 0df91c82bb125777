"""Spaces without networks, records of mixed outcomes, and what a strategy proposes after them.

Run as a script it prints that, so that another process can be compared.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from torch import nn

from nas._options import freeze
from nas.strategies import Finished, Objective, Problem, Proposal, StrategyError
from nas.strategies._base import AnyStrategy, Outcome, generator
from search_spaces import Architecture, Decision, SearchSpace, SpaceError, Task, plugins
from search_spaces.plugins import Plugin


def no_network(architecture: Architecture, task: Task) -> nn.Module:
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


def single() -> SearchSpace:
    return SearchSpace("single", 1, (Decision("only", ("one",)),), no_network)


SPACES = {space.name: space for space in (flat(), conditional(), single())}


def build(
    plugin: Plugin | str,
    space: SearchSpace,
    n_objectives: int = 1,
    seed: int = 0,
    **options: Any,
) -> AnyStrategy:
    plugin = Plugin(plugin, options) if isinstance(plugin, str) else plugin
    objectives = tuple(Objective(f"loss{i}", "minimize") for i in range(n_objectives))
    module = plugins.load("strategy", plugin.name)
    # What is known without training, where a strategy asks: the later the choices, the more.
    problem = Problem(
        space,
        objectives,
        seed,
        known=("macs",),
        facts=lambda architecture: {"macs": 100.0 + sum(space.encode(architecture))},
    )
    strategy: AnyStrategy = module.build(problem, **plugin.options)
    return strategy


@cache
def objectives_of(plugin: Plugin | str) -> tuple[int, ...]:
    """How many objectives a strategy can have: one, or one and two."""
    try:
        build(plugin, flat(), 2)
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
        cases: list[tuple[float, Outcome, tuple[float, ...] | None, float]] = [
            (0.70, "complete", losses, 0.0),
            (0.78, "pruned", None, 0.0),
            (0.86, "infeasible", None, float(rng.random()) + 0.01),
            (0.92, "infeasible", losses, float(rng.random()) + 0.01),
            (0.94, "complete", tuple(float("nan") for _ in losses), 0.0),
            (1.01, "failed", None, 0.0),
        ]
        _, outcome, measured, violation = next(case for case in cases if draw < case[0])
        made.append(Finished(int(ordinal), architecture, outcome, measured, violation))
    return made


def folded(strategy: AnyStrategy, trials: Iterable[Finished]) -> Any:
    state = strategy.initial()
    for finished in trials:
        state = strategy.fold(state, finished)
    return state


def propose(
    strategy: AnyStrategy, state: Any, ordinal: int, pending: Sequence[Architecture] = ()
) -> Proposal:
    rng = generator(strategy.problem.seed, ordinal)
    return strategy.propose(state, ordinal, list(pending), rng)


def proposals(plugin: Plugin | str) -> list[str]:
    """Keys proposed after several lengths of records, with and without pending trials."""
    plugin = Plugin(plugin) if isinstance(plugin, str) else plugin
    keys = []
    for space in (flat(), conditional(), single()):
        for n_objectives in objectives_of(plugin):
            strategy = build(plugin, space, n_objectives, seed=3)
            trials = record(space, 80, n_objectives)
            for length in (0, 5, 80):
                pending = [t.architecture for t in trials[:2]]
                state = folded(strategy, trials[:length])
                for ordinal, waiting in enumerate(((), pending, (), pending), start=100):
                    keys.append(propose(strategy, state, ordinal, waiting).architecture.key)
    return keys


def _main(name: str, options: str) -> None:
    given: Mapping[str, Any] = json.loads(options)
    print(json.dumps(proposals(Plugin(name, freeze(given)))))


if __name__ == "__main__":
    _main(*sys.argv[1:])
