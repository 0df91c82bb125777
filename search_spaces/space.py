"""A search space: decisions, and how to build a network from the answers."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from search_spaces.architecture import Architecture
from search_spaces.canonical import digest
from search_spaces.choosing import Choosing
from search_spaces.count import parents_first
from search_spaces.decision import Decision
from search_spaces.equivalence import Equivalence
from search_spaces.errors import SpaceError
from search_spaces.extension import Fact, SpaceExtension
from search_spaces.frozen import FrozenMapping
from search_spaces.graph import ArchitectureGraph
from search_spaces.picture import Draw
from search_spaces.task import Task

if TYPE_CHECKING:
    from torch import nn

    from search_spaces.elastic import Place
    from search_spaces.parts import Part
    from search_spaces.relaxation import Relaxed

Graph: TypeAlias = Callable[[Architecture], ArchitectureGraph]
Build: TypeAlias = "Callable[[Architecture, Task], nn.Module]"
Parts: TypeAlias = "Callable[[Architecture, Task], tuple[Part, ...]]"
Elastic: TypeAlias = "Callable[[Choosing, Architecture, Task], tuple[Place, ...]]"
Relax: TypeAlias = "Callable[[SearchSpace, Task, int], Relaxed]"


@dataclass(frozen=True)
class SearchSpace(Choosing):
    """Finite decisions, some of which depend on others, and the builder of their networks.

    How architectures are chosen in it, and what holds of that, is in `Choosing`.

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
        elastic: a module-level function: where the network's modules stand in a supernet (see
            `search_spaces.supernet`); of an extended space, where the extension says how its
            modules are weighed.
        relax: a module-level function: all its networks as one (see `search_spaces.relaxation`); of
            an extended space as `elastic`.
        draw: a module-level function: an architecture as boxes and arrows, for people; without it
            they are drawn by the names of their decisions (see `nas.drawing`).

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
    elastic: "Elastic | None" = None
    relax: "Relax | None" = None
    draw: "Draw | None" = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "decisions", parents_first(self.name, self.decisions))

    def __getstate__(self) -> dict[str, Any]:
        # The classes are large, and building a network, which is what jobs are for, needs none.
        return {name: value for name, value in self.__dict__.items() if name != "_classes"}

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

    def counted(self, network: "nn.Module", architecture: Architecture) -> "nn.Module":
        """What of a network its facts are of; the network, which may be changed, or another one."""
        for extension in self.extensions:
            if extension.counted is not None:
                network = extension.counted(network, architecture)
        return network

    def extended(self, extension: SpaceExtension) -> "SearchSpace":
        """This space with an extension's decisions; its transform runs on each network built.

        Raises:
            SpaceError: it has a decision, or a fact, of a name that is taken; or the one before has
                to be the last.
        """
        if self.extensions and self.extensions[-1].is_last:
            last = self.extensions[-1].name
            raise SpaceError(
                f'space "{self.name}": the extension "{last}" has to be the last, for it changes '
                f"networks as the others have made them; put [extension.{last}] behind "
                f"[extension.{extension.name}]"
            )
        if twice := sorted({*self.facts} & {*extension.facts}):
            raise SpaceError(
                f'space "{self.name}": the extension "{extension.name}" brings the fact '
                f'"{twice[0]}" a second time; use one of the two'
            )
        elastic = None if extension.weigh is None else self.elastic
        return SearchSpace(
            name=f"{self.name}+{extension.name}",
            version=self.version,
            decisions=self.decisions + extension.decisions,
            build=self.build,
            extensions=(*self.extensions, extension),
            equivalence=self.equivalence,
            graph=self.graph,
            elastic=elastic,
            # What is relaxed of it is run module by module.
            relax=None if elastic is None else self.relax,
            draw=self.draw,
        )

    def __repr__(self) -> str:
        return (
            f"SearchSpace({self.name!r}, version={self.version}, {len(self.decisions)} decisions)"
        )
