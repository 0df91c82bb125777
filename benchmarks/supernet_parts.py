"""What the sections of benchmarks/supernet.py share: graphs, spaces, supernets, training alone."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from reporting import told

from evaluators import Artifact, Evaluation, Job, PreparationJob
from evaluators.datasets import Dataset, load, save_sealed
from evaluators.inherited import Inherited
from evaluators.preparing import prepare
from search_spaces import Architecture, SearchSpace, gnn, plugins
from search_spaces.plugins import Plugin

DATA: Mapping[str, Plugin] = {
    "Cora": Plugin("planetoid", {"subset": "Cora", "normalize": "row"}),
    "CiteSeer": Plugin("planetoid", {"subset": "CiteSeer", "normalize": "row"}),
    "Photo": Plugin("amazon", {"subset": "Photo"}),
    "minesweeper": Plugin("heterophilous", {"subset": "minesweeper"}),
}
# Seeds of draws that belong to nobody else.
_DRAWN = 0x5E7


@dataclass(frozen=True)
class Ground:
    """A graph, a space of networks for it, and a folder for what is trained.

    Attributes:
        name: of the graph.
        dataset: without test labels.
        space: elastic.
        store: URL of the folder.
        sealed: the dataset, there.
    """

    name: str
    dataset: Dataset
    space: SearchSpace
    store: str
    sealed: Artifact

    @classmethod
    def of(
        cls, name: str, data_root: Path, store: str, options: Mapping[str, Any], split: int = 0
    ) -> "Ground":
        """Args: split, which half of the validation units is left, 1 or 2; 0 for all."""
        dataset = load(DATA[name], data_root).seal()
        if split:
            units = dataset.val.nonzero()[:, 0]
            val = dataset.val.clone()
            val[units[split % 2 :: 2]] = False
            fingerprint = f"{dataset.fingerprint}-{split}"
            dataset = replace(dataset, val=val, fingerprint=fingerprint)
        space = gnn.build(dataset.task, **options)
        return cls(name, dataset, space, store, save_sealed(dataset, store))

    def drawn(self, count: int, seed: int = 0) -> list[Architecture]:
        """Architectures, all different."""
        rng, found = np.random.default_rng([seed, _DRAWN]), dict[str, Architecture]()
        while len(found) < count:
            architecture = self.space.sample(rng)
            found.setdefault(architecture.key, architecture)
        return list(found.values())

    def evaluator(self, options: Mapping[str, Any]) -> Inherited:
        built: Inherited = plugins.load("evaluator", "inherited").build(
            self.dataset.task, **options
        )
        return built

    def supernet(self, options: Mapping[str, Any], seed: int) -> Artifact:
        """Train one, by the options of the evaluator `inherited`."""
        preparation = self.evaluator(options).preparation
        job = PreparationJob(
            preparation, self.space, self.sealed, self.store, seed, preparation.epochs
        )
        advance = prepare(job)
        if advance.artifact is None or advance.failure is not None:
            raise SystemExit(f"the supernet of {self.name} failed: {advance.failure}")
        return advance.artifact

    def slices(
        self, options: Mapping[str, Any], artifact: Artifact, architectures: Sequence[Architecture]
    ) -> list[Evaluation]:
        """What the evaluator `inherited` says of them."""
        plugin = Plugin("inherited", options)
        jobs = [replace(self._job(a, plugin, 0, 1), prepared=artifact) for a in architectures]
        return list(self.evaluator(options).evaluate(jobs))

    def alone(
        self, architectures: Sequence[Architecture], epochs: int, seed: int, **options: Any
    ) -> list[Evaluation]:
        """Each trained from new weights, by the fast path."""
        plugin = Plugin("training", {"epochs": epochs, **options})
        evaluator = plugins.load("evaluator", "training").build(self.dataset.task, **plugin.options)
        jobs = [self._job(a, plugin, seed, epochs) for a in architectures]
        began = time.perf_counter()
        found = list(evaluator.evaluate(jobs))
        spent = time.perf_counter() - began
        told(f"{self.name}: {len(jobs)} trained alone with seed {seed} in {spent:.0f} s")
        return found

    def _job(self, architecture: Architecture, plugin: Plugin, seed: int, epochs: int) -> Job:
        return Job(architecture, self.space, plugin, self.sealed, self.store, seed, epochs)
