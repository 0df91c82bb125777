"""What is to be left of a network, when, and by which method."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, cast

from torch import Tensor

from search_spaces.sparsity.groups import Scope, Scores

if TYPE_CHECKING:
    from search_spaces.sparsity.network import Sparse

Structure: TypeAlias = Literal["none", "units", "heads", "layers"]


@dataclass(frozen=True)
class Plan:
    """What is to be left, and when.

    Attributes:
        method: by its name.
        weight_density: of entries of weights; with a structure, of units, heads or layers.
        edge_density: of undirected edges.
        structure: what goes as a whole.
        scope: who competes: see `Group`.
        edge_mode: of one graph, or by a rule for all.
        over_epochs: epochs of a method's schedule, or of each of its rounds.
        every: epochs between two changes of a schedule.
        rounds: of a method that has them.
    """

    method: str = "granet"
    weight_density: float = 1.0
    edge_density: float = 1.0
    structure: Structure = "none"
    scope: Scope = "global"
    edge_mode: Literal["ticket", "inductive"] = "ticket"
    over_epochs: int = 20
    every: int = 2
    rounds: int = 5


class Method(Protocol):
    """A way to choose what is left; a module of `search_spaces.sparsity.methods`.

    Besides `change` and `epochs` it says `TRAINS_EDGES`: whether it chooses edges by weights of
    messages, which are trained; `STRUCTURES`: what it can take out as a whole; and `OPTIONS`: which
    of a plan's fields it looks at, besides the densities.
    """

    TRAINS_EDGES: bool
    STRUCTURES: tuple[Structure, ...]
    OPTIONS: tuple[str, ...]

    @staticmethod
    def epochs(plan: Plan) -> int:
        """After so many epochs the density is reached, and what is left stays."""
        ...

    @staticmethod
    def change(network: "Sparse", epoch: int) -> None:
        """Called before each epoch, from 1, until it stays."""
        ...

    @staticmethod
    def scores(network: "Sparse", values: Mapping[str, Tensor]) -> Scores:
        """Of each entry of these tensors of the network; of methods with `STRUCTURES` alone."""
        ...


def loaded(name: str) -> Method:
    """A method by its name."""
    return cast(Method, import_module(f"search_spaces.sparsity.methods.{name}"))


def scope_of(plan: Plan) -> Scope:
    """Who competes in the end; methods that do not look at it treat each matrix alike."""
    return plan.scope if "scope" in loaded(plan.method).OPTIONS else "layer"


def leave_once(
    network: "Sparse", scores_of: Callable[["Sparse", Mapping[str, Tensor]], Scores], epoch: int
) -> None:
    """Leave what has the highest scores, before the first epoch in which all stays."""
    if epoch == network.settles_after + 1 and network.values():
        found = scores_of(network, network.values())
        for group in network.groups():
            group.keep_top(found, group.density)


def cosine(fraction: float, epoch: int, last: int) -> float:
    """A share that falls from `fraction` to 0 as an epoch comes to the last one."""
    return fraction / 2 * (1 + math.cos(math.pi * min(1.0, epoch / last)))
