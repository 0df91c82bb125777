"""Order and number: decisions with parents first, and how many architectures they span."""

from collections.abc import Mapping
from functools import cache

from search_spaces.decision import Choice, Decision
from search_spaces.errors import SpaceError, did_you_mean

# For each decision still open: what it needs of decisions that are not decided yet.
_Open = frozenset[tuple[Decision, frozenset[tuple[str, tuple[Choice, ...]]]]]


def parents_first(space: str, decisions: tuple[Decision, ...]) -> tuple[Decision, ...]:
    """The decisions in a stable order in which whatever a decision needs comes before it.

    Raises:
        SpaceError: see `SearchSpace`.
    """
    by_name = {d.name: d for d in decisions}
    if len(by_name) != len(decisions):
        twice = sorted(n for n in by_name if [d.name for d in decisions].count(n) > 1)
        raise SpaceError(f'space "{space}": decision "{twice[0]}" is there twice')
    for decision in decisions:
        _check_needs(space, decision, by_name)
    ordered: dict[str, Decision] = {}
    rest = list(decisions)
    while rest:
        ready = [d for d in rest if all(name in ordered for name in d.needs)]
        if not ready:
            names = ", ".join(d.name for d in rest)
            raise SpaceError(
                f'space "{space}": these decisions need each other in a cycle: {names}'
            )
        ordered[ready[0].name] = ready[0]
        rest.remove(ready[0])
    return tuple(ordered.values())


def _check_needs(space: str, decision: Decision, by_name: Mapping[str, Decision]) -> None:
    for name, values in decision.needs.items():
        if name not in by_name:
            raise SpaceError(
                f'space "{space}": decision "{decision.name}" needs "{name}", which is not a '
                f"decision; {did_you_mean(name, by_name)}"
            )
        unknown = [v for v in values if v not in by_name[name].choices]
        if unknown or not values:
            raise SpaceError(
                f'space "{space}": decision "{decision.name}" needs "{name}" in {list(values)}; '
                f"its choices are {list(by_name[name].choices)}"
            )
        if by_name[name].role == "recipe" and decision.role != "recipe":
            raise SpaceError(
                f'space "{space}": decision "{decision.name}" shapes the network and cannot need '
                f'"{name}", which only says how it is trained'
            )


def count_architectures(decisions: tuple[Decision, ...]) -> int:
    """How many assignments of active decisions there are.

    Decisions that do not depend on each other multiply; within a connected group, one root is
    decided for each distinct effect of its choices and the rest is counted again (memoized).
    """
    needs = {d: frozenset((n, v) for n, v in d.needs.items()) for d in decisions}
    return _count(frozenset(needs.items()))


@cache
def _count(still_open: _Open) -> int:
    total = 1
    for group in _connected(still_open):
        total *= _count_group(group)
    return total


def _count_group(group: _Open) -> int:
    roots = [d for d, needs in group if not needs]
    children = {d: [o for o, needs in group if any(n == d.name for n, _ in needs)] for d in roots}
    root = max(roots, key=lambda d: (len(children[d]), d.name))
    if not children[root]:
        return len(root.choices)
    effects: dict[_Open, int] = {}
    for choice in root.choices:
        rest = _decide(group, root, choice)
        effects[rest] = effects.get(rest, 0) + 1
    return sum(times * _count(rest) for rest, times in effects.items())


def _decide(group: _Open, root: Decision, choice: Choice) -> _Open:
    rest = {}
    switched_off: set[str] = set()
    for decision, needs in group:
        if decision == root:
            continue
        mine = [values for name, values in needs if name == root.name]
        if mine and choice not in mine[0]:
            switched_off.add(decision.name)
        else:
            rest[decision] = frozenset(need for need in needs if need[0] != root.name)
    while gone := [d for d, needs in rest.items() if any(n in switched_off for n, _ in needs)]:
        for decision in gone:
            switched_off.add(decision.name)
            del rest[decision]
    return frozenset(rest.items())


def _connected(still_open: _Open) -> list[_Open]:
    parent = {d.name: d.name for d, _ in still_open}

    def find(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for decision, needs in still_open:
        for name, _ in needs:
            parent[find(decision.name)] = find(name)
    groups: dict[str, set[tuple[Decision, frozenset[tuple[str, tuple[Choice, ...]]]]]] = {}
    for item in still_open:
        groups.setdefault(find(item[0].name), set()).add(item)
    return [frozenset(group) for group in groups.values()]
