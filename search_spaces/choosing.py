"""How architectures of a space are chosen: drawn, numbered, changed, crossed, counted."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from search_spaces.architecture import Architecture
from search_spaces.count import count_architectures
from search_spaces.decision import Choice, Decision
from search_spaces.equivalence import Equivalence
from search_spaces.errors import SpaceError, did_you_mean
from search_spaces.frozen import FrozenMapping

if TYPE_CHECKING:
    import numpy as np

    from search_spaces.classes import Classes

INACTIVE = -1


class Choosing:
    """What a search space does with its decisions.

    Laws: `decode(encode(a)) == a`; `decode` accepts any vector of integers of the right length;
    `sample` is uniform over the choices of each active decision, parents first; where there is an
    equivalence, uniform over its classes. Whatever returns an architecture returns the one that
    represents its class, so that equal architectures have equal keys.
    """

    name: str
    decisions: tuple[Decision, ...]
    equivalence: Equivalence | None

    @cached_property
    def _classes(self) -> "Classes | None":
        if self.equivalence is None:
            return None
        return self.equivalence.classes(self.name, self.by_name)

    @cached_property
    def by_name(self) -> Mapping[str, Decision]:
        return FrozenMapping({decision.name: decision for decision in self.decisions})

    def architecture(self, choices: Mapping[str, Choice]) -> Architecture:
        """The architecture of the given choices, which must be the active ones and no others.

        Raises:
            SpaceError: an unknown or inactive decision, a missing one, or a choice not offered.
        """
        made: dict[str, Choice] = {}
        for decision in self.decisions:
            if not decision.is_active(made):
                continue
            if decision.name not in choices:
                raise SpaceError(
                    f'space "{self.name}": decision "{decision.name}" is active and has no choice; '
                    f"expected one of {list(decision.choices)}"
                )
            made[decision.name] = self._offered(decision, choices[decision.name])
        for name in choices:
            if name not in self.by_name:
                raise SpaceError(
                    f'space "{self.name}" has no decision "{name}"; '
                    f"{did_you_mean(name, self.by_name)}"
                )
            if name not in made:
                needs = dict(self.by_name[name].needs)
                raise SpaceError(
                    f'space "{self.name}": decision "{name}" is not active here, it needs {needs}; '
                    "leave it out"
                )
        if self._classes is not None and self._classes.number(made) < 0:
            raise SpaceError(f'space "{self.name}": {made} describes no architecture')
        return self._represented(made)

    def _offered(self, decision: Decision, choice: Choice) -> Choice:
        for offered in decision.choices:
            if type(offered) is type(choice) and offered == choice:
                return offered
            # TOML and JSON write 1 for 1.0; a decision's choices are of one type, so this is safe.
            if isinstance(offered, float) and type(choice) is int and offered == choice:
                return offered
        raise SpaceError(
            f'space "{self.name}": decision "{decision.name}" expected one of '
            f"{json.dumps(decision.choices)}, got {json.dumps(choice)}"
        )

    def fill(
        self, choose: Callable[[Decision], Choice], given: Mapping[str, Choice] | None = None
    ) -> Architecture:
        """Go through the decisions, parents first; keep what is `given`, ask `choose` for the rest.

        Given choices of decisions that are inactive here are dropped. What is no architecture by
        the space's equivalence becomes the first that is one.
        """
        given = given or {}
        made: dict[str, Choice] = {}
        for decision in self.decisions:
            if decision.is_active(made):
                known = decision.name in given and given[decision.name] in decision.choices
                # The choice as it is offered: 1 is given for 1.0, and has another key.
                made[decision.name] = (
                    decision.choices[decision.choices.index(given[decision.name])]
                    if known
                    else choose(decision)
                )
        return self._represented(made)

    def sample(
        self, rng: "np.random.Generator", given: Mapping[str, Choice] | None = None
    ) -> Architecture:
        """A random architecture: each active decision uniform over its choices, parents first.

        With an equivalence, and nothing given: uniform over its classes.
        """

        def choose(decision: Decision) -> Choice:
            return decision.choices[int(rng.integers(len(decision.choices)))]

        if self._classes is not None and not given:
            given = self._classes.representative(int(rng.integers(len(self._classes))))
        return self.fill(choose, given)

    def encode(self, architecture: Architecture) -> tuple[int, ...]:
        """One index into the choices for each decision of the space, -1 where it is inactive."""
        return tuple(
            d.choices.index(architecture.choices[d.name])
            if d.name in architecture.choices
            else INACTIVE
            for d in self.decisions
        )

    def decode(self, vector: Sequence[int]) -> Architecture:
        """The architecture of any integer vector; indices wrap around, inactive ones are ignored.

        Raises:
            SpaceError: the vector has another length than `decisions`.
        """
        if len(vector) != len(self.decisions):
            raise SpaceError(
                f'space "{self.name}" has {len(self.decisions)} decisions, '
                f"got a vector of {len(vector)}"
            )
        indices = {d.name: int(i) for d, i in zip(self.decisions, vector, strict=True)}
        return self.fill(lambda d: d.choices[indices[d.name] % len(d.choices)])

    def size(self, with_recipe: bool = False) -> int:
        """How many different architectures there are; recipes count only when asked for."""
        kept = [d for d in self.decisions if with_recipe or d.role != "recipe"]
        if self._classes is None:
            return count_architectures(tuple(kept))
        rest = tuple(d for d in kept if d not in self._classes.decisions)
        return len(self._classes) * count_architectures(rest)

    def mutable(self, architecture: Architecture) -> tuple[Decision, ...]:
        """The active decisions with more than one choice, of which one changes something."""
        several = [
            d for d in self.decisions if d.name in architecture.choices and len(d.choices) > 1
        ]
        if self._classes is not None and not len(self._near(architecture)):
            several = [d for d in several if d not in self._classes.decisions]
        return tuple(several)

    def mutate(self, architecture: Architecture, rng: "np.random.Generator") -> Architecture:
        """Change exactly one active decision; decisions that it switches on are sampled.

        With an equivalence, of any description of the architecture, so that the result is another.

        Raises:
            SpaceError: the space has one architecture only.
        """
        candidates = self.mutable(architecture)
        if not candidates:
            raise SpaceError(f'space "{self.name}" has nothing to mutate: one choice everywhere')
        decision = candidates[int(rng.integers(len(candidates)))]
        if self._classes is not None and decision in self._classes.decisions:
            near = self._near(architecture)
            change = self._classes.representative(near[int(rng.integers(len(near)))])
            return self.sample(rng, {**architecture.choices, **change})
        others = [c for c in decision.choices if c != architecture.choices[decision.name]]
        chosen = others[int(rng.integers(len(others)))]
        return self.sample(rng, {**architecture.choices, decision.name: chosen})

    def neighbors(
        self, architecture: Architecture, rng: "np.random.Generator"
    ) -> tuple[Architecture, ...]:
        """The architectures that differ in one active decision, in a fixed order, without itself.

        Decisions that a change switches on are sampled. With an equivalence, in one decision of any
        description of the architecture.
        """
        changes: list[dict[str, Choice]] = [
            {decision.name: choice}
            for decision in self.mutable(architecture)
            if self._classes is None or decision not in self._classes.decisions
            for choice in decision.choices
            if choice != architecture.choices[decision.name]
        ]
        if self._classes is not None:
            changes += [self._classes.representative(n) for n in self._near(architecture)]
        return tuple(self.sample(rng, {**architecture.choices, **change}) for change in changes)

    def descriptions(self, architecture: Architecture) -> Iterator[Mapping[str, Choice]]:
        """All choices that describe the architecture; without an equivalence, its own alone."""
        if self._classes is None:
            yield architecture.choices
            return
        decisions = self._classes.decisions
        for member in self._classes.members(self._classes.number(architecture.choices)).tolist():
            change = {d.name: d.choices[i] for d, i in zip(decisions, member, strict=True)}
            yield {**architecture.choices, **change}

    def _near(self, architecture: Architecture) -> Sequence[int]:
        """The classes next to that of an architecture, ascending."""
        if self._classes is None:
            return ()
        return self._classes.neighbors(self._classes.number(architecture.choices))

    def _represented(self, made: dict[str, Choice]) -> Architecture:
        """The architecture of these choices, as its class has them; the first one for none."""
        if self._classes is not None:
            number = max(0, self._classes.number(made))
            made = {**made, **self._classes.representative(number)}
        return Architecture(self.name, made)

    def crossover(
        self, first: Architecture, second: Architecture, rng: "np.random.Generator"
    ) -> Architecture:
        """Uniform crossover: each active decision from either parent that has it, evenly."""

        def choose(decision: Decision) -> Choice:
            have = [p.choices[decision.name] for p in (first, second) if decision.name in p.choices]
            pool = have or list(decision.choices)
            return pool[int(rng.integers(len(pool)))]

        return self.fill(choose)

    def __iter__(self) -> Iterator[Architecture]:
        """Every architecture, recipes included, in a fixed order; check `size` before."""

        def extend(index: int, made: dict[str, Choice]) -> Iterator[Architecture]:
            while index < len(self.decisions) and not self.decisions[index].is_active(made):
                index += 1
            if index == len(self.decisions):
                if self._represented(made).choices == made:
                    yield Architecture(self.name, made)
                return
            decision = self.decisions[index]
            for choice in decision.choices:
                yield from extend(index + 1, {**made, decision.name: choice})

        return extend(0, {})
