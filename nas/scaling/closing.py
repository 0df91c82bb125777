"""A network like another one, of another depth, whose measured macs come near a budget.

The layers of the base are repeated, or cut off, and all widths scaled together: by one factor where
that comes near enough, else some layers a step before others.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nas._chosen import options_of
from nas._options import misfit
from nas.scaling.points import MACS
from nas.setup import Setup
from search_spaces import Architecture
from search_spaces.decision import Choice

# Of a budget, on either side.
WITHIN = 0.05
_LAYER = re.compile(r"layer(\d+)\.(.+)")
_WIDEST = 2**20
# Halvings of the factor: its steps are single widths long before.
_HALVINGS = 40


@dataclass(frozen=True)
class Scaled:
    """A scaled network.

    Attributes:
        budget: macs that were asked for; `macs`: what its network has.
        architecture: of the widened space.
        ratio: the budget in macs of the base.
        depth_sd: standard deviation of the rule for depth; `neighbors_sd`: for neighbors, where
            the study decides about them.
        is_covered: whether the front has points on both sides of the budget.
    """

    budget: float
    macs: float
    architecture: Architecture
    ratio: float
    depth_sd: float
    neighbors_sd: float | None
    is_covered: bool

    @property
    def error(self) -> float:
        """Of the measured macs, relative to the budget."""
        return self.macs / self.budget - 1

    @property
    def depth(self) -> int:
        return int(self.architecture.choices["depth"])

    @property
    def width(self) -> int:
        """Of the widest layer."""
        return max(int(self.architecture.choices[name]) for name in widths_of(self.architecture))

    @property
    def neighbors(self) -> int | None:
        """That a node sees, 0 for all; None where the study does not decide about them."""
        if self.neighbors_sd is None:
            return None
        return int(self.architecture.choices["neighbors"])

    def to_json(self) -> dict[str, Any]:
        """The object of `nas scale --format json`."""
        return {
            "budget": self.budget,
            "macs": self.macs,
            "error": self.error,
            "ratio": self.ratio,
            "depth": self.depth,
            "depth_sd": self.depth_sd,
            "width": self.width,
            "neighbors": self.neighbors,
            "neighbors_sd": self.neighbors_sd,
            "outside": not self.is_covered,
            "architecture": dict(self.architecture.choices),
        }


def widths_of(architecture: Architecture) -> list[str]:
    """The decisions about widths that an architecture makes."""
    return [name for name in architecture.choices if name.endswith(".width")]


def repeated(choices: Mapping[str, Choice], depth: int) -> dict[str, Choice]:
    """The choices with so many layers: the pattern of those that are there, over again."""
    period, pattern, kept = int(choices["depth"]), dict[int, dict[str, Choice]](), {}
    for name, choice in choices.items():
        if layer := _LAYER.fullmatch(name):
            pattern.setdefault(int(layer[1]), {})[layer[2]] = choice
        else:
            kept[name] = choice
    for i in range(depth):
        kept |= {f"layer{i}.{name}": choice for name, choice in pattern[i % period].items()}
    return {**kept, "depth": depth}


@dataclass(frozen=True)
class Closing:
    """Brings architectures of one study to budgets.

    Attributes:
        setup: of the study; its space need not offer the widths.
        widest: a width that the space's option still takes.
        step: what widths are multiples of, whatever the heads of the network at hand.
    """

    setup: Setup
    widest: int
    step: int = 1

    @classmethod
    def of(cls, setup: Setup, step: int = 1) -> "Closing":
        annotation = options_of("space", setup.spec.space.name)["width"].annotation
        widths = range(1, _WIDEST)
        widest = bisect_left(widths, True, key=lambda w: bool(misfit(annotation, (w,))))
        return cls(setup, widest, step)

    def macs(self, architecture: Architecture) -> float:
        """Of its network, counted as for every trial."""
        return float(self.setup.facts(architecture)[MACS])

    def nearest(self, template: Architecture, budget: float) -> tuple[Architecture, float]:
        """The architecture with other widths whose macs are nearest to a budget, and its macs."""
        best = template, math.inf
        for staggered in (False, True):
            for architecture in self._tried(template, budget, staggered):
                macs = self.macs(architecture)
                if abs(macs - budget) < abs(best[1] - budget):
                    best = architecture, macs
            if abs(best[1] / budget - 1) <= WITHIN:
                break
        return best

    def _tried(
        self, template: Architecture, budget: float, staggered: bool
    ) -> Iterator[Architecture]:
        """Ever nearer ones, from both sides; macs grow with the factor of the widths."""
        low, high = 0.0, 1.0
        yield self._widened(template, low, staggered)
        while self.macs(at_high := self._widened(template, high, staggered)) < budget:
            yield at_high
            low, high = high, 2 * high
            if self._widened(template, high, staggered) == at_high:
                return
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            architecture = self._widened(template, middle, staggered)
            yield architecture
            if self.macs(architecture) < budget:
                low = middle
            else:
                high = middle
        yield at_high

    def limits(self, architecture: Architecture) -> tuple[bool, bool]:
        """Whether all its widths are the largest that they can be, and whether the least."""
        step = math.lcm(self.step, step_of(architecture))
        widths = {int(architecture.choices[name]) for name in widths_of(architecture)}
        return widths == {step * (self.widest // step)}, widths == {step}

    def _widened(self, template: Architecture, factor: float, staggered: bool) -> Architecture:
        names, step = widths_of(template), math.lcm(self.step, step_of(template))
        most = self.widest // step
        widths = {}
        for place, name in enumerate(names):
            # Where a width goes up: at halves, or each at a place of its own.
            ahead = (place + 0.5) / len(names) if staggered else 0.5
            steps = math.floor(factor * int(template.choices[name]) / step + ahead)
            widths[name] = step * min(max(steps, 1), most)
        return Architecture(template.space, {**template.choices, **widths})


def step_of(architecture: Architecture) -> int:
    """What its widths are multiples of, so that all of its heads divide them."""
    return math.lcm(*(int(c) for n, c in architecture.choices.items() if n.endswith(".heads")))
