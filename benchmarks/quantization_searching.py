"""Searches of architecture and of what compresses it, and what their fronts are on test."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from gradient_keeping import configured, kept
from reporting import told
from supernet_parts import DATA

from evaluators.artifacts import store_url
from evaluators.checkpoint import best_weights
from evaluators.datasets import load
from evaluators.facts import facts
from evaluators.metrics import split_metrics
from nas.compare import Bench, entrants, run_one
from nas.confirm import FRESH_SEEDS
from nas.pareto import front, hypervolume
from nas.setting_up import set_up
from nas.setup import Setup
from nas.spec import StudySpec, spec_from_mapping
from nas.strategies import Finished
from search_spaces import Architecture

SPACE: Mapping[str, Any] = {
    "depth": [1, 2],
    "operators": ["gcn", "gat"],
    "heads": [4],
    "width": [8, 16, 32, 64],
    "activation": ["relu"],
    "normalization": ["none"],
    "connectivity": ["plain"],
    "pre_layers": [0],
    "post_layers": [0],
    "output": ["gcn"],
}
# Extensions by what is decided: rivals have fixed bits in place of those of each layer, or none.
BITS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "full": {},
    "searched": {
        "quantization": {"weight_bits": [2, 4, 8], "activation_bits": [4, 8], "per_layer": True}
    },
    "W8A8": {"quantization": {"weight_bits": [8], "activation_bits": [8]}},
    "W4A8": {"quantization": {"weight_bits": [4], "activation_bits": [8]}},
}
# No network that is worth having is worse.
WORST = 0.5


@dataclass(frozen=True)
class Member:
    """A trial of a search.

    Attributes:
        choices: of its architecture.
        val: its validation accuracy in the search.
        model_bytes: of its weights.
        test: its test accuracy with new weights, of each fresh seed; none where it is on no front.
    """

    choices: Mapping[str, Any]
    val: float
    model_bytes: float
    test: Sequence[float] = ()


@dataclass(frozen=True)
class Searcher:
    """Searches on one graph.

    Attributes:
        graph: by the name that `DATA` has.
        epochs: that each candidate is trained.
        trials: of each search, what it prepares charged as some of them.
        fresh: seeds that the members of a front are trained with again.
        ways: extensions, by the name that `bits` has below.
    """

    graph: str
    epochs: int
    trials: int
    fresh: int
    data_root: Path
    keep: Path | None
    ways: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=lambda: BITS)

    def members(self, strategy: str, bits: str, seed: int) -> list[Member]:
        """All that ended, those on the front of validation and bytes with their test."""
        spec = self.spec(bits)
        # Random search is always among them, and first.
        entrant = entrants([strategy], spec)[-1]
        recipe = {
            "study": spec.to_json(),
            "strategy": configured("strategy", entrant.plugin),
            "seed": seed,
            "trials": self.trials,
            "fresh": self.fresh,
        }
        name = f"{self.graph}-{strategy.replace(':', '-')}-{bits}-{seed}"
        make = partial(self._searched, spec, strategy, seed)
        found = [Member(**one) for one in kept(self.keep, name, recipe, make)["members"]]
        told(f"{self.graph}, {strategy} with bits {bits}, seed {seed}: {len(found)} trials")
        return found

    def confirmed(
        self, bits: str, choices: Mapping[str, Any], label: str
    ) -> tuple[list[float], list[float]]:
        """Validation and test accuracy of one architecture, of each fresh seed."""
        spec = self.spec(bits)
        recipe = {"study": spec.to_json(), "choices": dict(choices), "fresh": self.fresh}

        def make() -> dict[str, Any]:
            with tempfile.TemporaryDirectory() as folder:
                setup = set_up(spec, self.data_root)
                architecture = setup.space.architecture(choices)
                val, test = self._fresh(setup, architecture, folder)
                return {"val": val, "test": test}

        found = kept(self.keep, f"{self.graph}-{label}", recipe, make)
        return found["val"], found["test"]

    def spec(self, bits: str) -> StudySpec:
        data, extensions = DATA[self.graph], self.ways[bits]
        objectives = {"val_accuracy": "maximize", "model_bytes": "minimize"}
        return spec_from_mapping(
            {
                "study": {"name": self.graph, "batch": 1, "objectives": objectives},
                "space": {"name": "gnn", **SPACE},
                "extension": {name: dict(given) for name, given in extensions.items()},
                "dataset": {"name": data.name, **data.options},
                "strategy": {"name": "random"},
                "evaluator": {"name": "training", "epochs": self.epochs},
                "budget": {"trials": 1},
                "executor": {"name": "inline"},
            }
        )

    def _searched(self, spec: StudySpec, strategy: str, seed: int) -> dict[str, Any]:
        ended: list[Finished] = []
        entrant = entrants([strategy], spec)[-1]
        with tempfile.TemporaryDirectory() as folder:
            setup = set_up(spec, self.data_root)
            sealed = setup.sealed(store_url(Path(folder) / "dataset"))
            bench = Bench(setup, sealed, store_url(Path(folder) / "checkpoints"))
            run_one(bench, entrant, seed, self.trials, ended.append)
            complete = [f for f in ended if f.outcome == "complete" and f.losses is not None]
            on_front = set(front([f.losses for f in complete if f.losses is not None]).tolist())
            members = [
                {
                    "choices": dict(f.architecture.choices),
                    "val": -f.losses[0],
                    "model_bytes": f.losses[1],
                    "test": self._fresh(setup, f.architecture, folder)[1] if i in on_front else [],
                }
                for i, f in enumerate(complete)
                if f.losses is not None
            ]
        return {"members": members}

    def _fresh(
        self, setup: Setup, architecture: Architecture, folder: str
    ) -> tuple[list[float], list[float]]:
        """Validation and test with new weights."""
        if setup.spec.dataset is None:
            raise SystemExit("expected a dataset")
        sealed = setup.sealed(store_url(Path(folder) / "dataset"))
        job = setup.job(architecture, sealed, store_url(Path(folder) / "fresh"), self.epochs)
        jobs = [replace(job, seed=FRESH_SEEDS + i, may_be_pruned=False) for i in range(self.fresh)]
        dataset = load(setup.spec.dataset, self.data_root)
        network = setup.space.network(architecture, setup.task)
        val, test = list[float](), list[float]()
        for one in setup.evaluator.evaluate(jobs):
            if one.artifact is None:
                raise SystemExit(f"training on a fresh seed failed: {one.failure}")
            network.load_state_dict(best_weights(one.artifact))
            val.append(one.metrics["val_accuracy"])
            test.append(float(split_metrics(network, dataset, "test")["accuracy"]))
        return val, test

    def ends(self) -> tuple[float, float]:
        """The bytes of the smallest and of the largest network of the space with searched bits."""
        space, task = _made(self)
        both = []
        for last in (0, -1):
            found = space.fill(lambda d, last=last: d.choices[last if d.ordered else 0])
            both.append(facts(space, found, task)["model_bytes"])
        return both[0], both[1]


def _made(searcher: Searcher) -> tuple[Any, Any]:
    setup = set_up(searcher.spec("searched"), searcher.data_root)
    return setup.space, setup.task


def volume(members: Sequence[Member], smallest: float, largest: float) -> float:
    """Of the front: test accuracy above `WORST`, times the share of the ladder of bytes.

    The ladder is logarithmic from the smallest network to the largest: half the bytes is as good
    everywhere. In [0, 1 - WORST]; a member worse than `WORST` counts nothing.
    """
    width = math.log(largest / smallest)
    losses = [
        (-fmean(member.test), math.log(member.model_bytes / smallest) / width)
        for member in members
        if member.test
    ]
    inside = [loss for loss in losses if loss[0] < -WORST and loss[1] < 1]
    return hypervolume(inside, (-WORST, 1.0)) if inside else 0.0
