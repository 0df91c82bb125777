"""Pruning by gradient: whether the band of MACs is reached, and what transfer is worth.

The band: a relaxed network that begins with its widths at the largest, or at the smallest, is to
end with a most probable network of `TARGET` of the largest's MACs, less 5 % at most. The control
learns as long, and cost is of no account.

Transfer: the network found (begun evenly) is trained with and without a teacher, the unpruned
network, by the same seeds, and measured on test at its best epoch of validation. The control has a
teacher of one epoch. Each of a few teachers serves some seeds, so that pairs of one teacher are not
independent of it.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from gradient_keeping import configured, kept
from reporting import Row, bounded, row, table, told
from supernet_parts import DATA, Ground

from evaluators import Artifact, Evaluation, Job, Preparation, PreparationJob
from evaluators.artifacts import store_url
from evaluators.checkpoint import best_weights
from evaluators.datasets import Dataset, load
from evaluators.facts import facts
from evaluators.preparation import Advance
from evaluators.preparations._sampling import largest_architecture, smallest_architecture
from evaluators.preparing import prepare
from evaluators.transfer import build as build_transfer
from nas.compare import paired_interval
from search_spaces import Architecture, plugins
from search_spaces.plugins import Plugin

SPACE: Mapping[str, Any] = {
    "depth": (2, 3),
    "operators": ("gcn",),
    "width": (16, 24, 32, 40, 48, 56, 64),
    "activation": ("relu",),
    "normalization": ("none",),
    "connectivity": ("plain",),
    "pre_layers": (0,),
    "post_layers": (0,),
    "output": ("linear",),
}
TARGET, TOLERANCE = 0.5, 0.05
# Raw features want smaller steps.
LR: Mapping[str, float] = {"Cora": 0.01, "Photo": 0.005}
_EXAMPLES = 40
# {what it is called: options of the evaluator beside `training`'s}; the first is the baseline.
TRANSFERS: Mapping[str, Mapping[str, Any]] = {
    "at labels": {"teaches": "labeled"},
    "at all nodes": {"teaches": "all"},
    "at all nodes, teacher of one epoch (control)": {"teaches": "all", "teacher_epochs": 1},
}
ALONE = "alone"


@dataclass(frozen=True)
class Size:
    """How much is trained.

    Attributes:
        graphs: on which.
        epochs, steps: of the relaxed network.
        seeds: of searches.
        teachers: how many, each for as many `pupils`, seeds of training.
        trained: epochs of a network.
    """

    graphs: Sequence[str]
    epochs: int
    steps: int
    seeds: int
    teachers: int
    pupils: int
    trained: int


FULL = Size(("Cora", "Photo"), epochs=40, steps=2, seeds=2, teachers=3, pupils=10, trained=150)
QUICK = Size(("Cora",), epochs=12, steps=2, seeds=1, teachers=1, pupils=3, trained=60)


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    """Rows, and two tables for each graph."""
    size = QUICK if quick else FULL
    made, texts = list[Row](), list[str]()
    for graph in size.graphs:
        with tempfile.TemporaryDirectory() as folder:
            ground = Ground.of(graph, data_root, store_url(Path(folder)), SPACE)
            bench = Bench(ground, size, data_root, keep)
            for part in (bench.bands, bench.transfers):
                found, text = part()
                made += found
                texts.append(text)
    return made, "\n".join(texts)


@dataclass(frozen=True)
class Bench:
    """One graph."""

    ground: Ground
    size: Size
    data_root: Path
    keep: Path | None

    def bands(self) -> tuple[list[Row], str]:
        """From above and from below, with the cost and without."""
        made, lines = list[Row](), dict[str, list[str]]()
        for start in ("largest", "smallest"):
            for weight, says in ((2.0, "the cost counts"), (0.0, "it does not (control)")):
                each = [
                    self.searched(start, weight, seed)["shares"] for seed in range(self.size.seeds)
                ]
                case = f"{self.ground.name}, from the {start}, {says}"
                in_band = [1 - TOLERANCE <= shares[-1] <= 1 for shares in each]
                share = row(case, "searches that end in the band", fmean(in_band))
                made.append(bounded(share, ">=", 1.0) if weight else bounded(share, "<=", 0.0))
                ends = ["; ".join(f"{shares[i]:.3f}" for shares in each) for i in (0, -1)]
                lines[f"from the {start}, {says}"] = [*ends, f"{fmean(in_band):.2f}"]
        title = (
            f"{self.ground.name}: MACs of the most probable network in target's, {TARGET:g} of the "
            f"largest's, {self.size.seeds} seeds"
        )
        columns = ("", "after the first epoch", "after the last", "share in the band")
        return made, table(title, columns, lines)

    def searched(self, start: str, weight: float, seed: int) -> dict[str, Any]:
        """A search: the architecture it ends with, encoded, and shares of the target by epoch."""
        plugin = Plugin("tas", self._options(start, weight))
        recipe = {
            "data": self._data(),
            "space": SPACE,
            "preparation": configured("preparation", plugin),
            "seed": seed,
        }
        name = f"tas-{self.ground.name}-{start}-{weight:g}-{seed}"
        return kept(self.keep, name, recipe, partial(self._search, plugin, seed))

    def _search(self, plugin: Plugin, seed: int) -> dict[str, Any]:
        advance = self._prepared(Preparation(plugin, self.size.epochs, 1.0), seed)
        shares = [e.metrics["most_probable_cost"] / self._target() for e in advance.epochs]
        distribution, space = advance.epochs[-1].distribution, self.ground.space
        likely = space.fill(lambda d: d.choices[int(np.argmax(distribution[d.name]))])
        told(f"{self.ground.name}: {plugin.options['start']}, {shares[0]:.2f} -> {shares[-1]:.3f}")
        return {"architecture": list(space.encode(likely)), "shares": shares}

    def _options(self, start: str, weight: float) -> dict[str, Any]:
        space, rng = self.ground.space, np.random.default_rng(0)
        ends = [largest_architecture(space), smallest_architecture(space)]
        examples = [*ends, *(space.sample(rng) for _ in range(_EXAMPLES))]
        return {
            "epochs": self.size.epochs,
            "steps": self.size.steps,
            "examples": [list(space.encode(a)) for a in examples],
            "costs": [self._macs(a) for a in examples],
            "target": self._target(),
            "tolerance": TOLERANCE,
            "cost_weight": weight,
            "start": start,
            "lr": LR[self.ground.name],
            "architecture_lr": 0.1,
        }

    def _macs(self, architecture: Architecture) -> float:
        return facts(self.ground.space, architecture, self.ground.dataset.task)["macs"]

    def _target(self) -> float:
        return TARGET * self._macs(largest_architecture(self.ground.space))

    def _data(self) -> dict[str, Any]:
        plugin = DATA[self.ground.name]
        return {"name": plugin.name, **plugin.options}

    def _prepared(self, preparation: Preparation, seed: int) -> Advance:
        ground = self.ground
        job = PreparationJob(
            preparation, ground.space, ground.sealed, ground.store, seed, preparation.epochs
        )
        advance = prepare(job)
        if advance.artifact is None or advance.failure is not None:
            raise SystemExit(f"{preparation.plugin.name} on {ground.name} failed: {advance}")
        return advance

    def transfers(self) -> tuple[list[Row], str]:
        """The network found, with a teacher less alone, paired by seed."""
        vector = self.searched("even", 2.0, 0)["architecture"]
        found = self.ground.space.decode(vector)
        alone = self._trained(found, ALONE)
        each = {label: self._trained(found, label) for label in TRANSFERS}
        case = f"{self.ground.name}, {len(alone)} pairs"
        made = [row(case, "test accuracy, alone", fmean(alone))]
        lines = {ALONE: [f"{fmean(alone):.4f}", "", ""]}
        for label, values in each.items():
            differences = [a - b for a, b in zip(values, alone, strict=True)]
            interval, _ = paired_interval(differences)
            made.append(row(case, f"test accuracy, taught {label}, less alone", fmean(differences)))
            bounds = "" if interval is None else f"{interval[0]:+.4f} to {interval[1]:+.4f}"
            lines[f"taught {label}"] = [
                f"{fmean(values):.4f}",
                f"{fmean(differences):+.4f}",
                bounds,
            ]
        _, whole, control = each
        gap = row(
            case, "taught at all nodes less control", fmean(each[whole]) - fmean(each[control])
        )
        made.append(bounded(gap, ">", 0.0))
        widths = [c for name, c in found.choices.items() if name.endswith(".width")]
        title = (
            f"{self.ground.name}: test accuracy of the network found (widths "
            f"{', '.join(map(str, widths))}), {self.size.teachers} teachers for "
            f"{self.size.pupils} seeds each"
        )
        columns = ("", "test", "less alone", "95 % interval")
        return made, table(title, columns, lines)

    def _trained(self, found: Architecture, label: str) -> list[float]:
        """Test accuracy of every seed."""
        values: list[float] = []
        for teacher in range(self.size.teachers):
            plugin = self._evaluator(label)
            recipe = {
                "data": self._data(),
                "space": SPACE,
                "architecture": dict(found.choices),
                "evaluator": configured("evaluator", plugin),
                "teacher": teacher,
                "pupils": self.size.pupils,
            }
            short = label.partition(" (")[0].replace(", ", "-").replace(" ", "-")
            name = f"transfer-{self.ground.name}-{short}-{teacher}"
            make = partial(self._train, found, plugin, teacher)
            values += kept(self.keep, name, recipe, make)["test"]
        return values

    def _evaluator(self, label: str) -> Plugin:
        common = {"epochs": self.size.trained, "lr": LR[self.ground.name]}
        if label == ALONE:
            return Plugin("training", common)
        teacher = {"teacher": {}, "teacher_epochs": self.size.trained, **TRANSFERS[label]}
        return Plugin("transfer", {**common, **teacher})

    def _train(self, found: Architecture, plugin: Plugin, teacher: int) -> dict[str, Any]:
        ground, prepared = self.ground, self._teacher(plugin, teacher)
        seeds = [teacher * self.size.pupils + i for i in range(self.size.pupils)]
        jobs = [
            Job(
                found,
                ground.space,
                plugin,
                ground.sealed,
                ground.store,
                1_000 + seed,
                self.size.trained,
                prepared=prepared,
            )
            for seed in seeds
        ]
        task = ground.dataset.task
        evaluator = plugins.load("evaluator", plugin.name).build(task, **plugin.options)
        dataset = load(DATA[ground.name], self.data_root)
        test = [self._test(found, one, dataset) for one in evaluator.evaluate(jobs)]
        told(f"{ground.name}: {plugin.name}, teacher {teacher}: test {fmean(test):.4f}")
        return {"test": test}

    def _teacher(self, plugin: Plugin, seed: int) -> Artifact | None:
        if plugin.name == "training":
            return None
        evaluator: Any = build_transfer(self.ground.dataset.task, **plugin.options)
        return self._prepared(evaluator.preparation, seed).artifact

    def _test(self, found: Architecture, trained: Evaluation, dataset: Dataset) -> float:
        from evaluators.metrics import split_metrics

        if trained.artifact is None:
            raise SystemExit(f"training on {self.ground.name} failed: {trained.failure}")
        network = self.ground.space.network(found, self.ground.dataset.task)
        network.load_state_dict(best_weights(trained.artifact))
        return float(split_metrics(network, dataset, "test")["accuracy"])
