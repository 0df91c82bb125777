"""The ways in which an architecture may grow by one step and compute what it did.

A step makes some layers wider, each to the next width that the space offers, or adds one layer.
What else a new layer has to decide is the first choice with which it changes nothing, of
normalizations and activations, and of the connectivity where it is the second layer; its width is
that of what it reads, or the next above.

Limits: a depth that the space does not offer one by one is not reached.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from search_spaces.architecture import Architecture
from search_spaces.decision import Choice, Decision
from search_spaces.message_passing import SKIP
from search_spaces.morphism import reachable
from search_spaces.neutral import keeps_zero, unchanged_by
from search_spaces.space import SearchSpace
from search_spaces.task import Task


@dataclass(frozen=True)
class Grown:
    """A step, and where it leads.

    Attributes:
        step: `layer0.width`, of what becomes wider, or `layer1.operator`, of what is added.
        architecture: the child.
    """

    step: str
    architecture: Architecture


@lru_cache(maxsize=4096)
def children(
    space: SearchSpace, task: Task | None, architecture: Architecture
) -> tuple[Grown, ...]:
    """What an architecture may become: each layer wider by itself, each layer added anywhere.

    Args:
        space: of the architecture.
        task: None where it is not known; see `search_spaces.morphism.reachable`.
        architecture: whose children these are.
    """
    return (*_widened(space, task, architecture), *_deepened(space, task, architecture))


def _widened(space: SearchSpace, task: Task | None, architecture: Architecture) -> Iterator[Grown]:
    for name in widths(space, architecture):
        child = wider(space, architecture, (name,))
        if reachable(space, task, architecture, child) is None:
            yield Grown(name, child)


def widths(space: SearchSpace, architecture: Architecture) -> tuple[str, ...]:
    """The decisions of its widths that have a wider choice, in the order of the layers."""
    return tuple(
        d.name
        for d in space.decisions
        if d.name.endswith(".width")
        and d.name in architecture.choices
        and _next(d, architecture.choices[d.name]) is not None
    )


def wider(space: SearchSpace, architecture: Architecture, names: Sequence[str]) -> Architecture:
    """The architecture with these widths at their next choice."""
    given = dict(architecture.choices)
    for name in names:
        following = _next(space.by_name[name], given[name])
        given[name] = given[name] if following is None else following
    return space.fill(lambda decision: decision.choices[0], given)


def _next(decision: Decision, choice: Choice) -> Choice | None:
    return min((c for c in decision.choices if int(c) > int(choice)), default=None, key=int)


def may_lead(space: SearchSpace, architecture: Architecture, child: Architecture) -> bool:
    """Whether the choices of a child are those that one step changes; quick, and no promise."""
    before, after = architecture.choices, child.choices
    if before["depth"] == after["depth"]:
        changed = [name for name in before if after.get(name) != before[name]]
        return bool(changed) and all(
            name.endswith(".width") and after.get(name) == _next(space.by_name[name], before[name])
            for name in changed
        )
    depth = int(before["depth"])
    return int(after["depth"]) == depth + 1 and any(
        all(after.get(name) == choice for name, choice in _shifted(architecture, at).items())
        for at in range(depth + 1)
    )


def _deepened(space: SearchSpace, task: Task | None, architecture: Architecture) -> Iterator[Grown]:
    depth = int(architecture.choices["depth"])
    if depth + 1 not in space.by_name["depth"].choices:
        return
    for at in range(depth + 1):
        for operator in space.by_name[f"layer{at}.operator"].choices:
            child = deeper(space, task, architecture, at, str(operator))
            if child is not None:
                yield Grown(f"layer{at}.operator", child)


def deeper(
    space: SearchSpace, task: Task | None, architecture: Architecture, at: int, operator: str
) -> Architecture | None:
    """The architecture with a new layer of this operator before layer `at`; None where it cannot.

    Args:
        space, task, architecture: see `children`.
        at: 0 to the depth; the depth for behind the last.
        operator: of the new layer.
    """
    if operator == SKIP:
        return None
    given = _shifted(architecture, at) | {f"layer{at}.operator": operator}
    width = _width(space, task, architecture, at)
    if width is None:
        return None
    given[f"layer{at}.width"] = width
    asked = [
        [(name, choice) for choice in _preferred(space, name, given, at)]
        for name in (f"layer{at}.activation", f"layer{at}.normalization", "connectivity", "jk.mode")
        if name in space.by_name and name not in given
    ]
    tried: set[Architecture] = set()
    for chosen in itertools.product(*asked):
        child = space.fill(lambda decision: decision.choices[0], given | dict(chosen))
        if child not in tried and reachable(space, task, architecture, child) is None:
            return child
        tried.add(child)
    return None


def _shifted(architecture: Architecture, at: int) -> dict[str, Choice]:
    """The choices of a deeper architecture, but for those of its new layer."""
    depth = int(architecture.choices["depth"])
    given: dict[str, Choice] = {}
    for name, choice in architecture.choices.items():
        layer, _, rest = name.partition(".")
        if layer.startswith("layer"):
            index = int(layer.removeprefix("layer"))
            name = f"layer{index + (index >= at)}.{rest}"
        given[name] = choice
    return given | {"depth": depth + 1}


def _width(
    space: SearchSpace, task: Task | None, architecture: Architecture, at: int
) -> Choice | None:
    """Of the new layer: that of what it reads, or the next above; None where there is none."""
    choices = architecture.choices
    if at:
        before = int(choices[f"layer{at - 1}.width"])
    elif choices["pre.layers"]:
        before = int(choices["pre.width"])
    elif task is not None:
        before = task.n_features
    else:
        return None
    offered = space.by_name[f"layer{at}.width"].choices
    return min((c for c in offered if int(c) >= before), default=None, key=int)


def _preferred(
    space: SearchSpace, name: str, given: dict[str, Choice], at: int
) -> Sequence[Choice]:
    """The choices that may do, in the order in which they are tried."""
    choices = space.by_name[name].choices
    if not name.endswith(".activation"):
        return sorted(choices, key=lambda choice: choice != "none")
    before = str(given[f"layer{at - 1}.activation"]) if at else "relu"
    before = before if at or given["pre.layers"] else "none"
    may = [c for c in map(str, choices) if unchanged_by(c, before) or keeps_zero(c)]
    return sorted(may, key=lambda choice: (choice != before, not unchanged_by(choice, before)))
