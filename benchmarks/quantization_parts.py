"""What sections of benchmarks share: networks of one architecture with an extension, trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from gradient_keeping import configured, kept
from reporting import told
from torch import nn

from evaluators import Job
from evaluators.checkpoint import best_weights
from evaluators.datasets import Dataset, save_sealed
from evaluators.metrics import split_metrics
from nas.confirm import FRESH_SEEDS
from search_spaces import Architecture, SearchSpace, gnn, plugins
from search_spaces.plugins import Plugin

# Seeds that are trained, and kept, together.
BLOCK = 5
FULL = "full precision"


@dataclass(frozen=True)
class Trainer:
    """Trains networks of one graph.

    Attributes:
        name: of the graph.
        dataset: with its test labels.
        recipe: what the dataset is made from, as JSON.
        space: options of `gnn`, one choice each.
        evaluator: how they are trained.
        store: URL of a folder.
        keep: where results are kept.
        extension: whose options `test` and `network` are given.
    """

    name: str
    dataset: Dataset
    recipe: Mapping[str, Any]
    space: Mapping[str, Any]
    evaluator: Plugin
    store: str
    keep: Path | None
    extension: str = "quantization"

    def test(self, label: str, given: Mapping[str, Any] | None, seeds: int) -> list[float]:
        """Test accuracy of each seed, at the best epoch of validation.

        Args:
            label: for people.
            given: options of the extension, one choice each; None for a network without it.
            seeds: how many.
        """
        space, found = self.network(given)
        values = list[float]()
        for first in range(0, seeds, BLOCK):
            chosen = [FRESH_SEEDS + seed for seed in range(first, min(first + BLOCK, seeds))]
            recipe = {
                "data": dict(self.recipe),
                "architecture": dict(found.choices),
                "evaluator": configured("evaluator", self.evaluator),
                "seeds": chosen,
            }
            name = f"{self.name}-{label}-{first}".replace(" ", "-").replace(",", "")
            make = partial(self._tested, space, found, chosen)
            values += kept(self.keep, name, recipe, make)["test"]
        told(f"{self.name}, {label}: test {fmean(values):.4f}")
        return values

    def network(self, given: Mapping[str, Any] | None) -> tuple[SearchSpace, Architecture]:
        """The space, and its only architecture."""
        space = gnn.build(self.dataset.task, **self.space)
        if given is not None:
            build = plugins.load("extension", self.extension).build
            space = space.extended(build(space, self.dataset.task, **given))
        return space, space.fill(lambda decision: decision.choices[0])

    def networks(
        self, space: SearchSpace, found: Architecture, seeds: Sequence[int]
    ) -> list[nn.Module]:
        """Trained with each seed; their weights are those of the best epoch of validation."""
        task, plugin = self.dataset.task, self.evaluator
        evaluator = plugins.load("evaluator", plugin.name).build(task, **plugin.options)
        sealed, epochs = save_sealed(self.dataset.seal(), self.store), evaluator.epochs
        jobs = [Job(found, space, plugin, sealed, self.store, seed, epochs) for seed in seeds]
        networks = []
        for evaluation in evaluator.evaluate(jobs):
            if evaluation.artifact is None:
                raise SystemExit(f"training on {self.name} failed")
            network = space.network(found, task)
            network.load_state_dict(best_weights(evaluation.artifact))
            networks.append(network.eval())
        return networks

    def _tested(
        self, space: SearchSpace, found: Architecture, seeds: Sequence[int]
    ) -> dict[str, Any]:
        networks = self.networks(space, found, seeds)
        return {"test": [split_metrics(n, self.dataset, "test")["accuracy"] for n in networks]}


def uniform(weight: int | str, activation: int | str, **options: Any) -> dict[str, Any]:
    """Options of the extension for one format of all weights, and one of all activations."""
    return {"weight_bits": (weight,), "activation_bits": (activation,), **options}
