"""A search space: decisions, and how to build a network from the answers."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from search_spaces.architecture import Architecture
from search_spaces.canonical import digest
from search_spaces.count import count_architectures, parents_first
from search_spaces.decision import Choice, Decision
from search_spaces.equivalence import Equivalence
from search_spaces.errors import SpaceError, did_you_mean
from search_spaces.extension import Fact, SpaceExtension
from search_spaces.frozen import FrozenMapping
from search_spaces.graph import ArchitectureGraph
from search_spaces.task import Task

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from search_spaces.classes import Classes
    from search_spaces.parts import Part

Graph: TypeAlias = Callable[[Architecture], ArchitectureGraph]
Build: TypeAlias = "Callable[[Architecture, Task], nn.Module]"
Parts: TypeAlias = "Callable[[Architecture, Task], tuple[Part, ...]]"
INACTIVE = -1


@dataclass(frozen=True)
class SearchSpace:
    """Finite decisions, some of which depend on others, and the builder of their networks.

    Laws: `decode(encode(a)) == a`; `decode` accepts any vector of integers of the right length;
    `sample` is uniform over the choices of each active decision, parents first; where there is an
    equivalence, uniform over its classes. Whatever returns an architecture returns the one that
    represents its class, so that equal architectures have equal keys.

    Attributes:
        name: enters every architecture's key.
        version: raise it when the same choices build another network.
        decisions: any order; kept with parents first.
        build: a module-level function (it travels to worker processes).
        extensions: see `extended`.
        equivalence: which choices describe the same architecture, where different ones can.
        graph: a module-level function: an architecture as operators and edges, for predictors.
        parts: a module-level function: what the network is put together from, which must do what
            the network does. An extension's transform changes that: an extended space has none.

    Raises:
        SpaceError: two decisions with one name, a `needs` on an unknown decision or choice, a
            cycle, or a structure decision that needs a recipe decision.
    """

    name: str
    version: int
    decisions: tuple[Decision, ...]
    build: Build
    extensions: tuple[SpaceExtension, ...] = ()
    equivalence: Equivalence | None = None
    graph: Graph | None = None
    parts: "Parts | None" = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "decisions", parents_first(self.name, self.decisions))

    def __getstate__(self) -> dict[str, Any]:
        # The classes are large, and building a network, which is what jobs are for, needs none.
        return {name: value for name, value in self.__dict__.items() if name != "_classes"}

    @cached_property
    def _classes(self) -> "Classes | None":
        if self.equivalence is None:
            return None
        return self.equivalence.classes(self.name, self.by_name)

    @cached_property
    def by_name(self) -> Mapping[str, Decision]:
        return FrozenMapping({decision.name: decision for decision in self.decisions})

    @cached_property
    def digest(self) -> str:
        """Equal for spaces with equal name, version and decisions; a study is bound to it."""
        return digest(self.to_json())

    @property
    def versions(self) -> int | list[int]:
        """Of the builder, and of the extensions where there are any."""
        extensions = [extension.version for extension in self.extensions]
        return [self.version, *extensions] if extensions else self.version

    @cached_property
    def facts(self) -> Mapping[str, Fact]:
        """What its extensions know of a network without training it, by metric."""
        return FrozenMapping({name: f for e in self.extensions for name, f in e.facts.items()})

    def to_json(self) -> dict[str, Any]:
        """What identifies the space, as JSON: what a resumed study is compared with."""
        return {
            "name": self.name,
            "version": self.versions,
            "decisions": {
                d.name: {
                    "choices": list(d.choices),
                    "needs": {name: list(values) for name, values in d.needs.items()},
                    "ordered": d.ordered,
                    "role": d.role,
                }
                for d in self.decisions
            },
        }

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

    def network(self, architecture: Architecture, task: Task) -> "nn.Module":
        """The untrained network of an architecture; set torch's seed before, for its weights."""
        network = self.build(architecture, task)
        for extension in self.extensions:
            network = extension.transform(network, architecture, task)
        return network

    def deployed(self, network: "nn.Module", architecture: Architecture) -> "nn.Module":
        """A network as it leaves, which computes the same: what its extensions have for that.

        The network itself is left as it was.
        """
        steps = [e.deploy for e in self.extensions if e.deploy is not None]
        network = copy.deepcopy(network) if steps else network
        # The transform that came last is undone first.
        for deploy in reversed(steps):
            network = deploy(network, architecture)
        return network

    def extended(self, extension: SpaceExtension) -> "SearchSpace":
        """This space with an extension's decisions; its transform runs on each network built.

        Raises:
            SpaceError: it has a decision, or a fact, of a name that is taken.
        """
        if twice := sorted({*self.facts} & {*extension.facts}):
            raise SpaceError(
                f'space "{self.name}": the extension "{extension.name}" brings the fact '
                f'"{twice[0]}" a second time; use one of the two'
            )
        return SearchSpace(
            name=f"{self.name}+{extension.name}",
            version=self.version,
            decisions=self.decisions + extension.decisions,
            build=self.build,
            extensions=(*self.extensions, extension),
            equivalence=self.equivalence,
            graph=self.graph,
        )

    def __repr__(self) -> str:
        return (
            f"SearchSpace({self.name!r}, version={self.version}, {len(self.decisions)} decisions)"
        )
