"""What a network reaches on test that learns of the unpruned one, less what it reaches alone.

Paired by seed, at the best epoch of validation. Each of a few teachers has some pupils, and the
interval takes all pairs as independent, which those of one teacher are not quite: it is a little
narrow. The control has a teacher that was trained for one epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from gradient_keeping import configured, kept
from reporting import Row, bounded, row, table, told
from supernet_parts import DATA, Ground

from evaluators import Artifact, Evaluation, Job, Preparation, PreparationJob, Prepares
from evaluators.checkpoint import best_weights
from evaluators.datasets import load
from evaluators.metrics import split_metrics
from evaluators.preparation import Advance
from evaluators.preparing import prepare
from nas.compare import paired_interval
from nas.confirm import FRESH_SEEDS
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
# Raw features want smaller steps.
LR: Mapping[str, float] = {"Cora": 0.01, "Photo": 0.005}
ALONE, AT_ALL = "alone", "taught at all nodes"
CONTROL = f"{AT_ALL}, teacher of one epoch (control)"
# Options of the evaluator `transfer`, where they are not its defaults.
TAUGHT: Mapping[str, Mapping[str, Any]] = {
    "taught at labels": {"teaches": "labeled"},
    AT_ALL: {"teaches": "all"},
    f"{AT_ALL}, half, T = 2": {"teaches": "all", "share": 0.5, "temperature": 2.0},
    CONTROL: {"teaches": "all", "teacher_epochs": 1},
}


@dataclass(frozen=True)
class Size:
    """How much is trained.

    Attributes:
        teachers, pupils: how many, and of each how many.
        epochs: {graph: of all of them}.
        ways: {graph: of `TAUGHT`}.
    """

    teachers: int
    pupils: int
    epochs: Mapping[str, int]
    ways: Mapping[str, Sequence[str]]


def prepared(ground: Ground, preparation: Preparation, seed: int) -> Advance:
    """Do a preparation to its end."""
    job = PreparationJob(
        preparation, ground.space, ground.sealed, ground.store, seed, preparation.epochs
    )
    advance = prepare(job)
    if advance.artifact is None or advance.failure is not None:
        raise SystemExit(f"{job.label} on {ground.name} failed: {advance.failure}")
    return advance


@dataclass(frozen=True)
class Pupils:
    """On one graph."""

    ground: Ground
    size: Size
    data_root: Path
    keep: Path | None
    _teachers: dict[tuple[str, int], Artifact] = field(default_factory=dict)

    def compared(self, found: Architecture) -> tuple[list[Row], str]:
        """One network with a teacher less alone."""
        ways = self.size.ways[self.ground.name]
        each = {label: self._test(found, label) for label in (ALONE, *ways)}
        case = f"{self.ground.name}, {len(each[ALONE])} pairs"
        made = [row(case, f"test accuracy, {label}", fmean(each[label])) for label in each]
        lines = {ALONE: [f"{fmean(each[ALONE]):.4f}", "", ""]}
        for label in ways:
            more = [a - b for a, b in zip(each[label], each[ALONE], strict=True)]
            interval, _ = paired_interval(more)
            told_of = "" if interval is None else f"{interval[0]:+.4f} to {interval[1]:+.4f}"
            lines[label] = [f"{fmean(each[label]):.4f}", f"{fmean(more):+.4f}", told_of]
            made.append(row(case, f"{label}, less alone", fmean(more)))
        gap = fmean(each[AT_ALL]) - fmean(each[CONTROL])
        made.append(bounded(row(case, "a teacher less one of one epoch", gap), ">", 0.0))
        layers = range(int(found.choices["depth"]))
        widths = " and ".join(str(found.choices[f"layer{i}.width"]) for i in layers)
        title = (
            f"{self.ground.name}: test accuracy of the network found (layers of {widths} channels)"
            f", {self._epochs} epochs, {self.size.teachers} teachers, {self.size.pupils} seeds each"
        )
        return made, table(title, ("", "test", "less alone", "95 % interval"), lines)

    @property
    def _epochs(self) -> int:
        return self.size.epochs[self.ground.name]

    def _test(self, found: Architecture, label: str) -> list[float]:
        """Test accuracy of every seed."""
        values, data = list[float](), DATA[self.ground.name]
        plugin, size = self._evaluator(label), self.size
        for teacher in range(size.teachers):
            recipe = {
                "data": {"name": data.name, **data.options},
                "space": SPACE,
                "architecture": dict(found.choices),
                "evaluator": configured("evaluator", plugin),
                "teacher": teacher,
                "pupils": size.pupils,
            }
            words = label.partition(" (")[0].replace(",", "").replace(" ", "-")
            name = f"transfer-{self.ground.name}-{words}-{teacher}"
            make = partial(self._trained, found, plugin, teacher)
            values += kept(self.keep, name, recipe, make)["test"]
        return values

    def _evaluator(self, label: str) -> Plugin:
        common = {"epochs": self._epochs, "lr": LR[self.ground.name]}
        if label == ALONE:
            return Plugin("training", common)
        teacher = {"teacher": {}, "teacher_epochs": self._epochs, **TAUGHT[label]}
        return Plugin("transfer", {**common, **teacher})

    def _trained(self, found: Architecture, plugin: Plugin, teacher: int) -> dict[str, Any]:
        ground, size = self.ground, self.size
        evaluator = plugins.load("evaluator", plugin.name).build(
            ground.dataset.task, **plugin.options
        )
        first, taught = FRESH_SEEDS + teacher * size.pupils, self._teacher(evaluator, teacher)
        jobs = [
            Job(
                found,
                ground.space,
                plugin,
                ground.sealed,
                ground.store,
                first + pupil,
                self._epochs,
                prepared=taught,
            )
            for pupil in range(size.pupils)
        ]
        test = [self._measured(found, one) for one in evaluator.evaluate(jobs)]
        told(f"{ground.name}: {plugin.name}, teacher {teacher}: test {fmean(test):.4f}")
        return {"test": test}

    def _teacher(self, evaluator: object, seed: int) -> Artifact | None:
        if not isinstance(evaluator, Prepares):
            return None
        key = evaluator.preparation.key, seed
        if key not in self._teachers:
            artifact = prepared(self.ground, evaluator.preparation, seed).artifact
            if artifact is None:
                raise SystemExit("a teacher leaves something")
            self._teachers[key] = artifact
        return self._teachers[key]

    def _measured(self, found: Architecture, trained: Evaluation) -> float:
        if trained.artifact is None:
            raise SystemExit(f"training on {self.ground.name} failed: {trained.failure}")
        dataset = load(DATA[self.ground.name], self.data_root)
        network = self.ground.space.network(found, dataset.task)
        network.load_state_dict(best_weights(trained.artifact))
        return float(split_metrics(network, dataset, "test")["accuracy"])
