"""Whether constraints that are known without training can be kept at all, asked before a study.

Otherwise a search would end one trial after the other as infeasible, up to its budget. Of what a
table has, every metric is known.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from evaluators import PREDICTED, Table
from evaluators.facts import CandidateError
from evaluators.latency.values import UnknownOperatorError
from nas.constraints import Constraint, total_violation
from nas.fold import facts_of
from nas.setup import Setup
from nas.spec import SpecError
from nas.strategies._base import Facts
from search_spaces import Architecture, SearchSpace
from search_spaces.frozen import FrozenMapping

# A space of up to so many structures is gone through; in a larger one so many are looked at.
MOST_TRIED = 2_000
# Random architectures, of which the best begins a descent.
DRAWN = 32
# The only clock that decides anything in a search: on a slow machine fewer architectures are tried,
# so it may refuse where a faster one finds an architecture. It never changes what a study does.
MOST_SECONDS = 3.0
# A table is gone through, or nothing is said of it.
MOST_LOOKED_UP, LOOKING_UP_SECONDS = 100_000, 6.0
# The same for latency: to look for the fastest architecture, and for what was never timed.
FASTEST_SECONDS, CHOICES_SECONDS = 4.0, 2.0


@dataclass(frozen=True)
class Nearest:
    """The architecture that comes nearest to keeping the constraints.

    Attributes:
        architecture: the first one found that keeps all, where there is one; None where nothing
            could be built.
        facts: of it.
        violation: relative, summed; 0 when it keeps all, infinite when nothing could be built.
        tried: how many structures were looked at.
        complete: whether these were all of the space.
    """

    architecture: Architecture | None = None
    facts: Mapping[str, float] = field(default_factory=FrozenMapping)
    violation: float = math.inf
    tried: int = 0
    complete: bool = False


def nearest(
    space: SearchSpace,
    constraints: Sequence[Constraint],
    facts: Facts,
    seed: int,
    first: Sequence[Architecture] = (),
    seconds: float = MOST_SECONDS,
    most: float = MOST_TRIED,
) -> Nearest:
    """Look for an architecture that keeps the constraints; it ends with the first one.

    A small space is gone through. In a large one the best of random architectures descends, one
    decision after the other, each with all its choices, as long as the violation shrinks; then
    from other random ones, until `most` structures or the time are spent.

    Args:
        space: to look in; recipes do not matter.
        constraints: bounds on metrics of which `facts` gives some.
        facts: of an architecture, None where it has no network, which counts as infeasible.
        seed: of the random architectures.
        first: architectures to look at before all others.
        seconds: time after which no further architecture is looked at.
        most: structures that are looked at; a space of no more is small.
    """
    deadline = time.monotonic() + seconds
    search = _Search(constraints, facts, most, lambda: time.monotonic() >= deadline)
    small = space.size() <= most and space.size(with_recipe=True) <= 10 * most
    rng = np.random.default_rng([seed, 0])
    for source in (iter(first), iter(space) if small else _descents(space, search, rng)):
        for architecture in source:
            search.look(architecture)
            if search.ended:
                return search.found(complete=False)
    return search.found(complete=small)


class _Search:
    """The violations of what was looked at, and the best so far."""

    def __init__(
        self,
        constraints: Sequence[Constraint],
        facts: Facts,
        most: float,
        late: Callable[[], bool],
    ) -> None:
        self._constraints = constraints
        self._facts = facts
        self._most = most
        self._late = late
        self._violations: dict[str, float] = {}
        self._best = Nearest()

    @property
    def ended(self) -> bool:
        """Whether one keeps all, or tries or time are spent."""
        return self._best.violation <= 0 or len(self._violations) >= self._most or self._late()

    def found(self, *, complete: bool) -> Nearest:
        return replace(self._best, tried=len(self._violations), complete=complete)

    def look(self, architecture: Architecture) -> float:
        """The violation of an architecture; to look at a structure again costs nothing."""
        key = architecture.structure_key
        if key not in self._violations:
            facts = self._facts(architecture)
            violation = math.inf if facts is None else total_violation(self._constraints, facts)
            self._violations[key] = violation
            if facts is not None and violation < self._best.violation:
                self._best = Nearest(architecture, facts, violation)
        return self._violations[key]


def _descents(
    space: SearchSpace, search: _Search, rng: np.random.Generator
) -> Iterator[Architecture]:
    """Architectures to look at before the next one is asked for; there is always a next one."""
    while True:
        drawn = [space.sample(rng) for _ in range(DRAWN)]
        yield from drawn
        here, before = min(drawn, key=search.look), None
        while here != before:
            before = here
            for name in before.structure:
                around = _changed(space, here, name, rng)
                yield from around
                here = min((here, *around), key=search.look)


def _changed(
    space: SearchSpace, architecture: Architecture, name: str, rng: np.random.Generator
) -> list[Architecture]:
    """The architectures with another choice of one decision; what that switches on is drawn."""
    if name not in architecture.choices:  # an earlier step has switched it off
        return []
    return [
        space.sample(rng, {**architecture.choices, name: choice})
        for choice in space.by_name[name].choices
        if choice != architecture.choices[name]
    ]


def _looked_up(setup: Setup) -> Facts:
    """What a table has on an architecture; its test is not among it."""

    def facts(architecture: Architecture) -> Mapping[str, float]:
        job = setup.job(architecture, None, "", setup.evaluator.epochs)
        (evaluation,) = setup.evaluator.evaluate([job])
        return evaluation.metrics

    return facts


def refuse_never_timed(setup: Setup, where: str) -> None:
    """Raise when a choice of the space does something that the profile has never timed.

    One architecture is looked at for each choice, as far as time allows; what only the trials come
    upon are failures of theirs.

    Raises:
        SpecError: there is one; the message names what was never timed.
    """
    if setup.latency is None:
        return
    deadline = time.monotonic() + CHOICES_SECONDS
    rng = np.random.default_rng([setup.spec.study.seed, 1])
    for decision in setup.space.decisions:
        if decision.role == "recipe":
            continue
        for choice in decision.choices:
            if time.monotonic() >= deadline:
                return
            try:
                setup.facts(setup.space.sample(rng, {decision.name: choice}))
            except CandidateError as error:
                if isinstance(error.__cause__, UnknownOperatorError):
                    raise SpecError(f"{where}: [latency] device: {error}") from error


def _refuse_too_slow(setup: Setup, where: str, first: Sequence[Architecture]) -> None:
    """Raise when no architecture is found that keeps the bound on latency, with the fastest."""
    bounds = [c for c in setup.constraints if (c.metric, c.operator) == ("latency_ms", "<=")]
    if setup.latency is None or not bounds:
        return
    bound = min(bounds, key=lambda c: c.bound)
    found = fastest(setup, bound, first)
    if found.architecture is None or found.violation <= 0:
        return
    raise SpecError(
        f"{where}: [study] constraints: {too_slow(setup, bound, found)}; loosen the constraint or "
        "the space"
    )


def fastest(setup: Setup, bound: Constraint, first: Sequence[Architecture] = ()) -> Nearest:
    """The first architecture found that keeps a bound on predicted latency, or the fastest.

    Args:
        first: architectures to look at before all others.
    """
    latency = setup.latency
    if latency is None:
        raise ValueError("without [latency] nothing is predicted")

    def facts(architecture: Architecture) -> Mapping[str, float] | None:
        """Predictions alone: many more architectures are tried in the same time."""
        try:
            return latency.facts(setup.space, architecture, setup.task)
        except CandidateError:
            return None

    seed = setup.spec.study.seed
    return nearest(setup.space, [bound], facts, seed, first, seconds=FASTEST_SECONDS)


def too_slow(setup: Setup, bound: Constraint, found: Nearest) -> str:
    """That nothing keeps a bound on latency, and what comes nearest."""
    if setup.latency is None or found.architecture is None:
        raise ValueError("nothing was predicted")
    share, of = f"{100 * bound.confidence:g} %", setup.latency.profile.name
    looked = (
        f"no architecture of the space keeps {bound} in {share} of its measurements on {of}: the "
        f"fastest of its {found.tried}"
        if found.complete
        else f"no architecture was found that keeps {bound} in {share} of its measurements on "
        f"{of}: the fastest of {found.tried} tried"
    )
    return (
        f"{looked} is predicted to take {found.facts['latency_ms']:.4g} ms, in {share} of "
        f"measurements up to {bound.judged(found.facts):.4g} ms: {_decisions(found.architecture)}"
    )


def _decisions(architecture: Architecture) -> str:
    return " ".join(f"{name}={choice}" for name, choice in architecture.structure.items())


def refuse_infeasible(setup: Setup, where: str, first: Sequence[Architecture] = ()) -> None:
    """Raise when no architecture is found that keeps the constraints on what is known of it.

    Args:
        setup: of the study.
        where: begins the message: the study file.
        first: architectures that the study begins with.

    Raises:
        SpecError: none is found; the message has the nearest one, or the fastest where the bound
            on latency alone is kept by none. Where no network could be built
            at all nothing is said here: the failures of the first trials tell more.
    """
    # Recipes, which do not matter elsewhere, may have results of their own in a table.
    recipes = any(decision.role == "recipe" for decision in setup.space.decisions)
    looked_up = isinstance(setup.evaluator, Table) and not recipes
    bounds = [c for c in setup.constraints if looked_up or c.metric in setup.known]
    if not bounds:
        return
    seed = setup.spec.study.seed
    if looked_up:
        limits = {"seconds": LOOKING_UP_SECONDS, "most": MOST_LOOKED_UP}
        found = nearest(setup.space, bounds, _looked_up(setup), seed, first, **limits)
        if not found.complete:  # the bounds may be kept by few: the search will tell
            return
    else:
        _refuse_too_slow(setup, where, first)
        found = nearest(setup.space, bounds, facts_of(setup), seed, first, MOST_SECONDS)
    if found.architecture is None or found.violation <= 0:
        return
    wanted = " and ".join(str(bound) for bound in bounds)
    has = ", ".join(
        f"{m} = {found.facts[m]:.4g} (predicted)"
        if m in PREDICTED and not looked_up
        else f"{m} = {found.facts[m]:.15g}"
        for m in dict.fromkeys(c.metric for c in bounds)
    )
    looked = (
        f"no architecture of the space keeps {wanted}: the nearest of its {found.tried}"
        if found.complete
        else f"no architecture was found that keeps {wanted}: the nearest of {found.tried} tried"
    )
    raise SpecError(
        f"{where}: [study] constraints: {looked} has {has}: {_decisions(found.architecture)}; "
        "loosen the constraint or the space"
    )
