"""What can be added to any space: further decisions, and what they do to its networks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from search_spaces.decision import Decision
from search_spaces.frozen import FrozenMapping

if TYPE_CHECKING:
    from torch import Tensor, nn

    from search_spaces.architecture import Architecture
    from search_spaces.task import Task

Transform: TypeAlias = "Callable[[nn.Module, Architecture, Task], nn.Module]"
Deploy: TypeAlias = "Callable[[nn.Module, Architecture], nn.Module]"
Fact: TypeAlias = "Callable[[nn.Module, Architecture], float]"


@dataclass(frozen=True)
class SpaceExtension:
    """Further decisions with a transform of the network: bit widths, densities.

    Attributes:
        name: joined to the space's name with a `+`.
        decisions: added behind the space's own; they may need those.
        transform: a module-level function, called with the built network; it may change it, and
            returns it or another one. What a network then does must be seen in its modules: a
            parametrization, a module in place of another, a wrapper; see `ChangesInTraining` for
            what changes as it is trained.
        version: raise it when the same choices make another network.
        deploy: what a trained network becomes when it leaves, with the same outputs: masked units
            taken out, weights rounded for good; a module-level function that may change it.
        facts: {metric: a module-level function}: numbers known of a transformed network without
            training it, which may be objectives and constraints. They are called with the network
            on torch's meta device, where tensors have shapes and no values.
    """

    name: str
    decisions: tuple[Decision, ...]
    transform: Transform
    version: int = 1
    deploy: "Deploy | None" = None
    facts: Mapping[str, Fact] = field(default_factory=FrozenMapping)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decisions", tuple(self.decisions))
        object.__setattr__(self, "facts", FrozenMapping(self.facts))


@runtime_checkable
class ChangesInTraining(Protocol):
    """What a module of a network has that changes as it is trained: masks, schedules of noise.

    All that it remembers is in buffers and parameters, so that a checkpoint has it.
    """

    def begin_epoch(self, epoch: int, loss: "Callable[[], Tensor]") -> None:
        """Called before each epoch of training, the network being in training mode.

        Args:
            epoch: from 1.
            loss: of the network as it is, on the training units (the first batch, where there are
                several), to be differentiated; it costs a forward pass, so only who needs it calls.
        """
        ...


@runtime_checkable
class ChoosesEdges(Protocol):
    """A module of a network that maps edges [2, E] to some of them, by their values.

    How many is part of what a network costs, and shapes alone do not tell it.
    """

    def edges_kept(self, in_degrees: "Tensor") -> int:
        """How many it leaves of a graph; of all with as many edges, most where degrees are even.

        Args:
            in_degrees: [N], of the graph's nodes.
        """
        ...
