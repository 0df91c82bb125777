"""An architecture as people see it: boxes, and arrows between them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from search_spaces.architecture import Architecture
    from search_spaces.task import Task

# How a space's architectures are drawn; the task is None where it is not known.
Draw: TypeAlias = "Callable[[Architecture, Task | None], Picture]"


@dataclass(frozen=True)
class Box:
    """One step of a network.

    Attributes:
        name: of the step, as decisions begin with: `layer0`; "" for a join.
        title: what it does: its operator.
        told: lines of what else is to be known of it.
        shows: the decisions whose answers are to be read in it.
        kind: an end of the network, a step, or the place where inputs are joined.
    """

    name: str
    title: str
    told: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    kind: Literal["end", "step", "join"] = "step"


@dataclass(frozen=True)
class Picture:
    """What reads what.

    Attributes:
        boxes: in topological order; at least one.
        arrows: (source, target) pairs of boxes, source < target; sorted.
        notes: lines of decisions that no box shows.

    Raises:
        ValueError: there is no box, or an arrow does not lead from an earlier to a later one.
    """

    boxes: tuple[Box, ...]
    arrows: tuple[tuple[int, int], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.boxes:
            raise ValueError("expected a picture of at least one box, got none")
        for source, target in self.arrows:
            if not 0 <= source < target < len(self.boxes):
                raise ValueError(
                    f"expected an arrow from an earlier to a later of {len(self.boxes)} boxes, "
                    f"got ({source}, {target})"
                )
        object.__setattr__(self, "arrows", tuple(sorted(set(self.arrows))))
