"""Do scores of untrained networks rank architectures as training does? Most do not.

Architectures are drawn from the space `gnn` as it is by default, trained with several seeds, and
ranked by each score of the evaluator `zero_cost`, and by their size, which costs nothing: a score
that ranks no better than `params` says no more than that larger networks are better, or worse.
Beside them: what a few epochs of training tell, and how well one seed of training ranks for another
(the ceiling). Control: a score against accuracies that were shuffled. Intervals are of 95 %, by
drawing architectures with replacement.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from gradient_keeping import configured, kept
from reporting import Row, bounded, row, table, told

from evaluators import READ_OUT, Artifact, Evaluation, Job
from evaluators.datasets import Dataset, load, save_sealed
from evaluators.facts import facts
from evaluators.run import run
from nas.supernet._agreement import Agreement, agreement, ceiling
from search_spaces import Architecture, SearchSpace, gnn
from search_spaces.plugins import Plugin

DATA: Mapping[str, Plugin] = {
    "digits": Plugin("digits_knn"),
    "Cora": Plugin("planetoid", {"subset": "Cora", "normalize": "row"}),
    "CiteSeer": Plugin("planetoid", {"subset": "CiteSeer", "normalize": "row"}),
}
SCORES = ("synflow", "snip", "grasp", "gradient_norm", f"val_accuracy{READ_OUT}")
SIZES = ("params", "macs")
CONTROL = "read-out, accuracies shuffled (control)"
# Trained, and kept, together.
BLOCK = 10
# What chance keeps below with as many architectures: three standard errors of tau.
CHANCE = 3.0


@dataclass(frozen=True)
class Size:
    """How much is trained."""

    datasets: tuple[str, ...]
    architectures: int
    epochs: int
    short_epochs: int
    seeds: int
    untrained: int


FULL = Size(("Cora", "CiteSeer"), 60, 100, 10, 2, 3)
QUICK = Size(("digits",), 16, 20, 5, 2, 1)


@dataclass(frozen=True)
class Ground:
    """A graph with architectures for it.

    Attributes:
        name: of the graph.
        dataset: without test labels.
        space: the default.
        drawn: different ones.
        store: URL of a folder.
        keep: where results are kept.
    """

    name: str
    dataset: Dataset
    space: SearchSpace
    drawn: Sequence[Architecture]
    store: str
    keep: Path | None

    @classmethod
    def of(cls, name: str, count: int, data_root: Path, store: str, keep: Path | None) -> "Ground":
        dataset = load(DATA[name], data_root).seal()
        space, rng = gnn.build(dataset.task), np.random.default_rng(0)
        found = dict[str, Architecture]()
        while len(found) < count:
            architecture = space.sample(rng)
            found.setdefault(architecture.key, architecture)
        return cls(name, dataset, space, list(found.values()), store, keep)

    def evaluated(self, evaluator: Plugin, epochs: int, seed: int) -> list[Mapping[str, float]]:
        """The metrics of each, with `seconds`; none of one that failed."""
        found = list[Mapping[str, float]]()
        for first in range(0, len(self.drawn), BLOCK):
            block = self.drawn[first : first + BLOCK]
            recipe = {
                "data": [DATA[self.name].name, dict(DATA[self.name].options)],
                "architectures": [a.key for a in block],
                "evaluator": configured("evaluator", evaluator),
                "seed": seed,
            }
            name = f"{self.name}-{evaluator.name}-{epochs}-{seed}-{first}"
            make = partial(self._run, evaluator, epochs, seed, block)
            found += kept(self.keep, name, recipe, make)["metrics"]
        told(f"{self.name}: {evaluator.name} for {epochs} epochs with seed {seed}")
        return found

    def _run(
        self, evaluator: Plugin, epochs: int, seed: int, block: Sequence[Architecture]
    ) -> dict[str, Any]:
        sealed: Artifact = save_sealed(self.dataset, self.store)
        began = time.process_time()
        found: list[Evaluation] = run(
            [Job(a, self.space, evaluator, sealed, self.store, seed, epochs) for a in block]
        )
        each = (time.process_time() - began) / len(block)
        return {"metrics": [{**e.metrics, "seconds": each} if e.metrics else {} for e in found]}


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    """Of each dataset: rows and a table."""
    size = QUICK if quick else FULL
    measured, texts = list[Row](), list[str]()
    for name in size.datasets:
        with tempfile.TemporaryDirectory() as folder:
            ground = Ground.of(name, size.architectures, data_root, Path(folder).as_uri(), keep)
            found, seconds, count = _agreements(ground, size)
        measured += _rows(name, found, count)
        texts.append(_table(name, size, found, seconds, count))
    return measured, "\n".join(texts)


def _agreements(ground: Ground, size: Size) -> tuple[list[Agreement], dict[str, float], int]:
    """Of all measures with training; seconds of the processor an architecture; how many of them."""
    trains = Plugin("training", {"epochs": size.epochs})
    trained = [ground.evaluated(trains, size.epochs, seed) for seed in range(size.seeds)]
    # A seed of its own: the others' first epochs are in what it is judged by.
    few = Plugin("training", {"epochs": size.short_epochs})
    short = ground.evaluated(few, size.short_epochs, size.seeds)
    scored = ground.evaluated(Plugin("zero_cost", {"seeds": size.untrained}), 1, size.seeds)
    sound = [i for i in range(len(ground.drawn)) if all(r[i] for r in (*trained, short, scored))]
    accuracies = [[run[i]["val_accuracy"] for i in sound] for run in trained]
    mean = np.mean(accuracies, axis=0).tolist()
    task = ground.dataset.task
    known = [facts(ground.space, ground.drawn[i], task) for i in sound]
    read_out = [scored[i][SCORES[-1]] for i in sound]
    found = [
        *(agreement(score, [scored[i][score] for i in sound], mean) for score in SCORES),
        *(agreement(fact, [one[fact] for one in known], mean) for fact in SIZES),
        agreement(
            f"{size.short_epochs} epochs of training",
            [short[i]["val_accuracy"] for i in sound],
            mean,
        ),
        agreement(CONTROL, read_out, np.random.default_rng(1).permutation(mean).tolist()),
        ceiling(accuracies),
    ]
    spent = {
        "trained": float(np.mean([trained[0][i]["seconds"] for i in sound])),
        "scored": float(np.mean([scored[i]["seconds"] for i in sound])),
    }
    return found, spent, len(sound)


def _rows(name: str, found: Sequence[Agreement], count: int) -> list[Row]:
    """Scores have no target: they are what they are. What they are judged by has."""
    chance = CHANCE * (2 * (2 * count + 5) / (9 * count * (count - 1))) ** 0.5
    measured = list[Row]()
    for one in found:
        measured.append(row(name, f"kendall: {one.measure}", one.kendall))
        if one.measure == CONTROL:
            off = row(name, f"kendall: {one.measure}: away from 0", abs(one.kendall))
            measured.append(bounded(off, "<", chance))
        if one.measure == "ceiling":
            low = row(name, "kendall: ceiling, lower end", one.interval[0])
            measured.append(bounded(low, ">", 0.0))
    return measured


def _table(
    name: str, size: Size, found: Sequence[Agreement], seconds: Mapping[str, float], count: int
) -> str:
    sizes = [one for one in found if one.measure in SIZES]
    best = max(abs(one.kendall) for one in sizes)
    lines = {
        one.measure: (
            f"{one.kendall:+.2f}",
            f"{one.interval[0]:+.2f} to {one.interval[1]:+.2f}",
            f"{one.spearman:+.2f}",
            _verdict(one, best) if one.measure in SCORES else "",
        )
        for one in found
    }
    title = (
        f"{name}: {count} architectures of the default space, {size.seeds} seeds of {size.epochs} "
        f"epochs; scores are means over {size.untrained} initial weights"
    )
    text = table(title, ("ranked by", "Kendall", "95 %", "Spearman", ""), lines)
    return (
        f"{text}\nSeconds of one core, an architecture: {seconds['scored']:.2f} for all scores "
        f"together, {seconds['trained']:.2f} for a training.\n"
    )


def _verdict(one: Agreement, size: float) -> str:
    if one.interval[1] < 0:
        return "ranks the wrong way round"
    if one.interval[0] <= 0:
        return "does not rank"
    return "ranks" if one.kendall > size else "ranks, no better than size does"
