"""The rules of a study: its depth and, where it decides about them, its neighbors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nas.scaling.points import Point
from nas.scaling.rule import Rule
from nas.scaling.widening import ALL, NEIGHBORS, has_neighbors
from nas.setup import Setup


@dataclass(frozen=True)
class Rules:
    """What was fitted to a front.

    Attributes:
        depth: in layers.
        neighbors: in natural logarithms of neighbors; None where nothing decides about them.
        most: neighbors that any node has: to see so many is to see all.
    """

    depth: Rule
    neighbors: Rule | None = None
    most: int = 1

    @classmethod
    def fit(cls, setup: Setup, front: Sequence[Point], base: Point) -> "Rules":
        """The rules over the front's macs in those of the base."""
        ratios = [point.macs / base.macs for point in front]
        depth = Rule.fit(ratios, [float(p.architecture.choices["depth"]) for p in front])
        if not has_neighbors(setup) or setup.in_degrees is None:
            return cls(depth)
        most = max(int(setup.in_degrees.max()), 1)
        seen = [int(p.architecture.choices[NEIGHBORS]) for p in front]
        logarithms = [math.log(most if k == ALL else min(k, most)) for k in seen]
        return cls(depth, Rule.fit(ratios, logarithms), most)

    def at(self, ratio: float) -> tuple[int, int | None]:
        """Depth and neighbors, in whole numbers."""
        depth = max(1, round(self.depth.mean(ratio)))
        if self.neighbors is None:
            return depth, None
        seen = max(1, round(math.exp(self.neighbors.mean(ratio))))
        return depth, ALL if seen >= self.most else seen

    def neighbors_sd(self, ratio: float) -> float | None:
        """In neighbors, about those of the rule."""
        if self.neighbors is None:
            return None
        return math.exp(self.neighbors.mean(ratio)) * self.neighbors.sd(ratio)
