"""Spaces with networks and without, records of mixed outcomes, and what a strategy proposes then.

A strategy may be for spaces of networks alone: it refuses others by a StrategyError when it is
built, and is tested on those that it accepts, of which there is one at least.

Run as a script it prints that, so that another process can be compared.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
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


# Of the spaces with networks. Nothing is trained on it.
TASK = Task("node_classification", 6, 3, 40, 120, 1, 20, 10, 10, "accuracy", "planted")


def networks(**options: Any) -> SearchSpace:
    """Of message passing, with a recipe; options of `gnn` say what is otherwise."""
    from search_spaces import gnn  # seconds, which most strategies do without

    recipe = {"lr": (0.001, 0.01, 0.1), "dropout": (0.0, 0.25, 0.5, 0.75)}
    return gnn.build(TASK, **{"width": (8, 16, 32), "hops": (2, 4), **recipe, **options})


def network() -> SearchSpace:
    """Of one network."""
    return networks(
        depth=(1,),
        operators=("gcn",),
        width=(8,),
        activation=("relu",),
        normalization=("none",),
        pre_layers=(0,),
        post_layers=(0,),
        output=("linear",),
        lr=None,
        dropout=None,
        hops=None,
    )


SPACES: Mapping[str, Callable[[], SearchSpace]] = {
    "flat": flat,
    "conditional": conditional,
    "single": single,
    "networks": networks,
    "shallow": lambda: networks(depth=(1, 2)),
    "network": network,
}
# What stands for a space without networks, where a strategy is for spaces of networks.
_IN_PLACE = {"flat": "networks", "conditional": "shallow", "single": "network"}


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
def refusal(plugin: Plugin | str, space: SearchSpace) -> str | None:
    """Why a strategy is not for a space; None where it is."""
    try:
        build(plugin, space)
    except StrategyError as error:
        return str(error)
    return None


def space_for(plugin: Plugin | str, wanted: str) -> SearchSpace:
    """One of `SPACES`; where the strategy refuses it, the one with networks in its place."""
    space = SPACES[wanted]()
    return space if refusal(plugin, space) is None else SPACES[_IN_PLACE.get(wanted, wanted)]()


@cache
def objectives_of(plugin: Plugin | str) -> tuple[int, ...]:
    """How many objectives a strategy can have: one, or one and two."""
    try:
        build(plugin, space_for(plugin, "flat"), 2)
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
    for wanted in ("flat", "conditional", "single"):
        space = space_for(plugin, wanted)
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
