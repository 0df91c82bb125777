"""What can be added to any space: further decisions, and what they do to its networks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from search_spaces.decision import Decision
from search_spaces.frozen import FrozenMapping

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from search_spaces.architecture import Architecture
    from search_spaces.decision import Choice
    from search_spaces.task import Task

# How much each choice of a decision counts [], of those that do.
Shares: TypeAlias = "Mapping[Choice, Tensor]"
Weigh: TypeAlias = "Callable[[nn.Module, str, Mapping[str, Shares]], None]"
Transform: TypeAlias = "Callable[[nn.Module, Architecture, Task], nn.Module]"
Deploy: TypeAlias = "Callable[[nn.Module, Architecture], nn.Module]"
Remark: TypeAlias = "Callable[[Architecture, Task], str]"
Fact: TypeAlias = "Callable[[nn.Module, Architecture], float]"


@dataclass(frozen=True)
class SpaceExtension:
    """Further decisions with a transform of the network: bit widths, densities.

    Attributes:
        name: joined to the space's name with a `+`.
        decisions: added behind the space's own; they may need those.
        transform: a module-level function, or a value that is called as one, with the built
            network; it may change it, and returns it or another one. What a network then does must
            be seen in its modules: a parametrization, a module in place of another, a wrapper; see
            `ChangesInTraining` for what changes as it is trained.
        version: raise it when the same choices make another network.
        deploy: what a trained network becomes when it leaves, with the same outputs: masked units
            taken out, weights rounded for good; a module-level function that may change it.
        facts: {metric: a module-level function}: numbers known of a transformed network without
            training it, which may be objectives and constraints. They are called with the network
            on torch's meta device, where tensors have shapes and no values.
        weigh: where the transform changes each module alone and leaves parameters their names and
            shapes: a module-level function that is called before each call of one of a relaxed
            network's modules, with the group that it stands in (`pre`, `layer0`, ..., `post`,
            `output`) and {decision: how much its choices count}. The module then computes what
            they would give, added up (see `search_spaces.relaxation`); it may be changed for that,
            and has no state that counts.
        alone: {decision: choices of it} with which a network has weights, or ways to train them,
            that no other could share.
        counted: where a network trains more than it leaves: what of it its facts are of, a
            module-level function that may change it; values do not matter.
        least_epochs: of training, before its networks are what they become. A study has to train
            for more.
        lasting: the options that say how many these are.
        is_last: whether no other extension may change its networks after it.
        remark: a module-level function, or a value that is called as one, with an architecture and
            a task: what is to be noted of that trial, "" for nothing.
    """

    name: str
    decisions: tuple[Decision, ...]
    transform: Transform
    version: int = 1
    deploy: "Deploy | None" = None
    facts: Mapping[str, Fact] = field(default_factory=FrozenMapping)
    weigh: "Weigh | None" = None
    alone: "Mapping[str, tuple[Choice, ...]]" = field(default_factory=FrozenMapping)
    counted: "Deploy | None" = None
    least_epochs: int = 0
    lasting: tuple[str, ...] = ()
    is_last: bool = False
    remark: "Remark | None" = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "decisions", tuple(self.decisions))
        object.__setattr__(self, "facts", FrozenMapping(self.facts))
        object.__setattr__(self, "alone", FrozenMapping(self.alone))


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
class HoldsWeights(Protocol):
    """A network some of whose weights are not the optimizer's to change: those that were pruned."""

    def hold(self, optimizer: "Optimizer") -> None:
        """Called after each `begin_epoch` and after each step, to set weights and moments right.

        It may replace the optimizer's parameters by those that the network has now.
        """
        ...


@runtime_checkable
class Settles(Protocol):
    """A network that becomes another one as it is trained, and is to be judged as what it becomes.

    Attributes:
        settles_after: epochs. Up to there the last epoch counts, and from there the best.
    """

    @property
    def settles_after(self) -> int: ...


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
