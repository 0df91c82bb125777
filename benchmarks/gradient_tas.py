"""Pruning by gradient: whether the band of MACs is reached, and what transfer is worth.

A relaxed network that begins with its widths at the largest, or at the smallest, is to end with a
most probable network of `TARGET` of the largest's MACs, less 5 % at most. The control learns as
long, and cost is of no account. What the network found (begun evenly) reaches with a teacher and
without, benchmarks/gradient_transfer.py measures.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from statistics import fmean
from typing import Any

import gradient_transfer
import numpy as np
from gradient_keeping import configured, kept
from gradient_transfer import AT_ALL, CONTROL, LR, SPACE, TAUGHT, prepared
from reporting import Row, bounded, row, table, told
from supernet_parts import DATA, Ground

from evaluators import Preparation
from evaluators.artifacts import store_url
from evaluators.facts import facts
from evaluators.preparations._sampling import largest_architecture, smallest_architecture
from search_spaces import Architecture
from search_spaces.plugins import Plugin

TARGET, TOLERANCE = 0.5, 0.05
_EXAMPLES = 40


@dataclass(frozen=True)
class Size:
    """How much is trained.

    Attributes:
        seeds: {graph: of searches}.
        epochs: of the relaxed network, of two steps each.
        pupils: what is trained with a teacher, and without.
    """

    seeds: Mapping[str, int]
    epochs: int
    pupils: gradient_transfer.Size


# Photo takes several times as long: of the ways to be taught one, and the control.
_FEW = (AT_ALL, CONTROL)
FULL = Size(
    {"Cora": 3, "Photo": 1},
    20,
    gradient_transfer.Size(
        3, 10, {"Cora": 200, "Photo": 120}, {"Cora": tuple(TAUGHT), "Photo": _FEW}
    ),
)
QUICK = Size({"Cora": 1}, 12, gradient_transfer.Size(1, 3, {"Cora": 60}, {"Cora": _FEW}))


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    """Rows, and two tables for each graph."""
    size = QUICK if quick else FULL
    made, texts = list[Row](), list[str]()
    for graph in size.seeds:
        with tempfile.TemporaryDirectory() as folder:
            ground = Ground.of(graph, data_root, store_url(Path(folder)), SPACE)
            bench = Pruning(ground, size, keep)
            pupils = gradient_transfer.Pupils(ground, size.pupils, data_root, keep)
            found = ground.space.decode(bench.searched("even", 2.0, 0)["architecture"])
            for part, text in (bench.bands(), pupils.compared(found)):
                made += part
                texts.append(text)
    return made, "\n".join(texts)


@dataclass(frozen=True)
class Pruning:
    """On one graph."""

    ground: Ground
    size: Size
    keep: Path | None

    def bands(self) -> tuple[list[Row], str]:
        """From above and from below, with the cost and without."""
        made, lines, seeds = list[Row](), dict[str, list[str]](), self._seeds
        for start in ("largest", "smallest"):
            for weight, says in ((2.0, "the cost counts"), (0.0, "it does not (control)")):
                each = [self.searched(start, weight, seed)["shares"] for seed in range(seeds)]
                case = f"{self.ground.name}, from the {start}, {says}, {seeds} seeds"
                in_band = fmean(1 - TOLERANCE <= shares[-1] <= 1 for shares in each)
                share = row(case, "share of searches that end in the band", in_band)
                made.append(bounded(share, ">=", 1.0) if weight else bounded(share, "<=", 0.5))
                ends = ["; ".join(f"{shares[i]:.3f}" for shares in each) for i in (0, -1)]
                lines[f"from the {start}, {says}"] = ends
        title = (
            f"{self.ground.name}: MACs of the most probable network in those of the target, which "
            f"is {TARGET:g} of the largest's; the band is {1 - TOLERANCE:g} to 1; each seed"
        )
        return made, table(title, ("", "after the first epoch", "after the last"), lines)

    @property
    def _seeds(self) -> int:
        return self.size.seeds[self.ground.name]

    def searched(self, start: str, weight: float, seed: int) -> dict[str, Any]:
        """A search: the architecture it ends with, encoded, and shares of the target by epoch."""
        plugin, data = Plugin("tas", self._options(start, weight)), DATA[self.ground.name]
        recipe = {
            "data": {"name": data.name, **data.options},
            "space": SPACE,
            "preparation": configured("preparation", plugin),
            "seed": seed,
        }
        name = f"tas-{self.ground.name}-{start}-{weight:g}-{seed}"
        return kept(self.keep, name, recipe, partial(self._search, plugin, seed))

    def _search(self, plugin: Plugin, seed: int) -> dict[str, Any]:
        advance = prepared(self.ground, Preparation(plugin, self.size.epochs, 1.0), seed)
        shares = [e.metrics["most_probable_cost"] / self._target for e in advance.epochs]
        distribution, space = advance.epochs[-1].distribution, self.ground.space
        likely = space.fill(lambda d: d.choices[int(np.argmax(distribution[d.name]))])
        told(
            f"{self.ground.name}: {plugin.options['start']}, cost {plugin.options['cost_weight']:g}"
            f": {shares[0]:.3f} -> {shares[-1]:.3f} in {advance.seconds:.0f} s"
        )
        return {"architecture": list(space.encode(likely)), "shares": shares}

    def _options(self, start: str, weight: float) -> dict[str, Any]:
        examples, costs = self._examples
        return {
            "epochs": self.size.epochs,
            "steps": 2,
            "examples": [list(self.ground.space.encode(a)) for a in examples],
            "costs": list(costs),
            "target": self._target,
            "tolerance": TOLERANCE,
            "cost_weight": weight,
            "start": start,
            "lr": LR[self.ground.name],
            "architecture_lr": 0.1,
        }

    @cached_property
    def _examples(self) -> tuple[Sequence[Architecture], Sequence[float]]:
        """The largest first, the smallest, and others; and their MACs."""
        space, rng = self.ground.space, np.random.default_rng(0)
        ends = [largest_architecture(space), smallest_architecture(space)]
        each = [*ends, *(space.sample(rng) for _ in range(_EXAMPLES))]
        return each, [facts(space, a, self.ground.dataset.task)["macs"] for a in each]

    @property
    def _target(self) -> float:
        return TARGET * self._examples[1][0]
