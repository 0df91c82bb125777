"""The steps by which a network of a trial may grow."""

from collections.abc import Mapping
from dataclasses import dataclass

from search_spaces import Architecture, SearchSpace, Task
from search_spaces.growing import children, wider


@dataclass(frozen=True)
class Steps:
    """The steps that an architecture can take.

    Attributes:
        wider: the widths that can each become wider.
        deeper: {(before which layer, operator): the child}.
    """

    architecture: Architecture
    wider: tuple[str, ...]
    deeper: Mapping[tuple[int, str], Architecture]

    @classmethod
    def of(cls, space: SearchSpace, task: Task | None, architecture: Architecture) -> "Steps":
        widths: list[str] = []
        deeper: dict[tuple[int, str], Architecture] = {}
        for grown in children(space, task, architecture):
            if grown.step.endswith(".width"):
                widths.append(grown.step)
            else:
                at = int(grown.step.removeprefix("layer").partition(".")[0])
                operator = str(grown.architecture.choices[grown.step])
                deeper[at, operator] = grown.architecture
        # Before or behind a layer of its own kind: the child is the same, and one step leads there.
        first = {child: step for step, child in reversed(deeper.items())}
        deeper = {step: child for step, child in deeper.items() if first[child] == step}
        return cls(architecture, tuple(widths), deeper)

    def __bool__(self) -> bool:
        return bool(self.wider or self.deeper)

    def widened(self, space: SearchSpace, child: Architecture) -> tuple[str, ...]:
        """The widths that became wider by a choice; none where that does not make the child."""
        before, after = self.architecture.choices, child.choices
        if before.keys() != after.keys():
            return ()
        names = tuple(name for name in before if before[name] != after[name])
        if not {*names} <= {*self.wider} or wider(space, self.architecture, names) != child:
            return ()
        return names
