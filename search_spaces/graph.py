"""An architecture as a labeled directed acyclic graph: what predictors look at."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ArchitectureGraph:
    """The operators of an architecture, and which of them reads which.

    Attributes:
        labels: one for each vertex, in topological order.
        edges: (source, target) pairs of vertices, source < target; sorted.

    Raises:
        ValueError: an edge that does not lead from an earlier vertex to a later one.
    """

    labels: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        for source, target in self.edges:
            if not 0 <= source < target < len(self.labels):
                raise ValueError(
                    f"expected an edge from an earlier to a later of {len(self.labels)} vertices, "
                    f"got ({source}, {target})"
                )
        object.__setattr__(self, "edges", tuple(sorted(self.edges)))
