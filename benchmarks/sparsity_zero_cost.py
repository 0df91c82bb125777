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
from nas.supernet._agreement import Agreement, agreement, ceiling, tau
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


@dataclass(frozen=True)
class Found:
    """What was measured of one graph.

    Attributes:
        agreements: of all measures with training.
        beyond: {score: 95 % of its tau less that of `params`}.
        count: of architectures.
        seconds: of the processor for an architecture: for its scores, a few epochs, and all.
    """

    agreements: Sequence[Agreement]
    beyond: Mapping[str, tuple[float, float]]
    count: int
    seconds: tuple[float, float, float]


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    """Of each dataset: rows and a table."""
    size = QUICK if quick else FULL
    measured, texts = list[Row](), list[str]()
    for name in size.datasets:
        with tempfile.TemporaryDirectory() as folder:
            ground = Ground.of(name, size.architectures, data_root, Path(folder).as_uri(), keep)
            found = _found(ground, size)
        measured += _rows(name, found)
        texts.append(_table(name, size, found))
    return measured, "\n".join(texts)


def _found(ground: Ground, size: Size) -> Found:
    trains = Plugin("training", {"epochs": size.epochs})
    trained = [ground.evaluated(trains, size.epochs, seed) for seed in range(size.seeds)]
    # A seed of its own: the others' first epochs are in what it is judged by.
    few = Plugin("training", {"epochs": size.short_epochs})
    short = ground.evaluated(few, size.short_epochs, size.seeds)
    scored = ground.evaluated(Plugin("zero_cost", {"seeds": size.untrained}), 1, size.seeds)
    sound = [i for i in range(len(ground.drawn)) if all(r[i] for r in (*trained, short, scored))]
    accuracies = [[run[i]["val_accuracy"] for i in sound] for run in trained]
    mean = np.mean(accuracies, axis=0).tolist()
    known = [facts(ground.space, ground.drawn[i], ground.dataset.task) for i in sound]
    values = {
        **{score: [scored[i][score] for i in sound] for score in SCORES},
        **{fact: [one[fact] for one in known] for fact in SIZES},
        f"{size.short_epochs} epochs of training": [short[i]["val_accuracy"] for i in sound],
    }
    shuffled = np.random.default_rng(1).permutation(mean).tolist()
    return Found(
        [
            *(agreement(measure, own, mean) for measure, own in values.items()),
            agreement(CONTROL, values[SCORES[-1]], shuffled),
            ceiling(accuracies),
        ],
        {score: _beyond(values[score], values["params"], mean) for score in SCORES},
        len(sound),
        (_mean(scored, sound), _mean(short, sound), _mean(trained[0], sound)),
    )


def _mean(found: Sequence[Mapping[str, float]], sound: Sequence[int]) -> float:
    return float(np.mean([found[i]["seconds"] for i in sound]))


def _beyond(
    score: Sequence[float], size: Sequence[float], trained: Sequence[float]
) -> tuple[float, float]:
    """95 % of the difference between two taus, over the same architectures each time."""
    a, b, y = (np.asarray(values, dtype=np.float64) for values in (score, size, trained))
    drawn = np.random.default_rng(0).integers(len(y), size=(1_000, len(y)))
    low, high = np.percentile([tau(a[i], y[i]) - tau(b[i], y[i]) for i in drawn], (2.5, 97.5))
    return float(low), float(high)


def _rows(name: str, found: Found) -> list[Row]:
    """Scores have no target: they are what they are. What they are judged by has."""
    n = found.count
    chance = CHANCE * (2 * (2 * n + 5) / (9 * n * (n - 1))) ** 0.5
    measured = list[Row]()
    for one in found.agreements:
        measured.append(row(name, f"kendall: {one.measure}", one.kendall))
        if one.measure == CONTROL:
            off = row(name, f"kendall: {one.measure}: away from 0", abs(one.kendall))
            measured.append(bounded(off, "<", chance))
        if one.measure == "ceiling":
            low = row(name, "kendall: ceiling, lower end", one.interval[0])
            measured.append(bounded(low, ">", 0.0))
    return measured


def _table(name: str, size: Size, found: Found) -> str:
    lines = {
        one.measure: (
            f"{one.kendall:+.2f}",
            f"{one.interval[0]:+.2f} to {one.interval[1]:+.2f}",
            f"{one.spearman:+.2f}",
            *_judged(one, found.beyond.get(one.measure)),
        )
        for one in found.agreements
    }
    title = (
        f"{name}: {found.count} architectures of the default space, {size.seeds} seeds of "
        f"{size.epochs} epochs; scores are means over {size.untrained} initial weights"
    )
    columns = ("ranked by", "Kendall", "95 %", "Spearman", "Kendall less that of params, 95 %", "")
    scoring, short, training = found.seconds
    return (
        f"{table(title, columns, lines)}\nSeconds of one core for an architecture: {scoring:.2f} "
        f"for all scores of {size.untrained} initial weights, {short:.2f} for {size.short_epochs} "
        f"epochs of training, {training:.2f} for {size.epochs}.\n"
    )


def _judged(one: Agreement, beyond: tuple[float, float] | None) -> tuple[str, str]:
    """Two cells, of scores alone."""
    if beyond is None:
        return "", ""
    interval = f"{beyond[0]:+.2f} to {beyond[1]:+.2f}"
    if one.interval[1] < 0:
        return interval, "the wrong way round"
    if one.interval[0] <= 0:
        return interval, "does not rank"
    return interval, "ranks, better than size" if beyond[0] > 0 else "ranks"
