"""One search for some CPU seconds, and what it found, trained again on fresh seeds."""

import contextlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from evaluators import Artifact, Evaluation
from evaluators.artifacts import store_url
from evaluators.checkpoint import best_weights
from evaluators.datasets import load
from evaluators.metrics import split_metrics
from nas.compare import Bench, Entrant, run_one
from nas.confirm import FRESH_SEEDS
from nas.setting_up import set_up
from nas.setup import Setup
from nas.spec import StudySpec
from nas.strategies import Finished
from search_spaces import Architecture

# More than any budget of seconds lets end.
_ENDLESS = 1_000_000


@dataclass(frozen=True)
class Found:
    """What one search found.

    Attributes:
        choices: of the best on validation.
        val: its value in the search.
        trials: that ended in time.
        prepared_seconds: of CPU, some of `seconds`.
        seconds: of CPU, of the whole search, with what ended too late.
        fresh_val, fresh_test: the same metric on each fresh seed.
    """

    choices: Mapping[str, Any]
    val: float
    trials: int
    prepared_seconds: float
    seconds: float
    fresh_val: Sequence[float]
    fresh_test: Sequence[float]


class _Over(Exception):  # noqa: N818 - no error: its time is spent
    """A search ends."""


def searched(
    spec: StudySpec, entrant: Entrant, seed: int, seconds: float, fresh: int, data_root: Path
) -> Found:
    """Search with a strategy and a seed, and confirm the best.

    Args:
        spec: of the study; its strategy, seed and budget do not count.
        seconds: of CPU, of this process; the preparation is part of it.
        fresh: how many seeds confirm.

    Raises:
        SystemExit: no trial ended in time, or a retraining failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        setup = set_up(spec, data_root)
        sealed = setup.sealed(store_url(Path(folder) / "dataset"))
        bench = Bench(setup, sealed, store_url(Path(folder) / "checkpoints"))
        ended, prepared, spent = _in_time(bench, entrant, seed, seconds)
        complete = [f for f in ended if f.outcome == "complete" and f.losses is not None]
        if not complete:
            raise SystemExit(
                f"{entrant.label}, seed {seed}: no trial ended within {seconds:g} CPU seconds "
                f"({prepared:.0f} of them to prepare); give more, or let it prepare less"
            )
        best = min(complete, key=_loss)
        val, test = _confirmed(setup, best.architecture, sealed, folder, fresh, data_root)
    choices = dict(best.architecture.choices)
    return Found(choices, -_loss(best), len(ended), prepared, spent, val, test)


def _loss(finished: Finished) -> float:
    return finished.losses[0] if finished.losses is not None else float("inf")


def _in_time(
    bench: Bench, entrant: Entrant, seed: int, seconds: float
) -> tuple[list[Finished], float, float]:
    """The trials that ended in time, and CPU seconds: of the preparation, of all."""
    ended: list[Finished] = []
    bench.use_seed(seed)
    began = time.process_time()

    def tick(finished: Finished) -> None:
        if time.process_time() - began > seconds:
            raise _Over
        ended.append(finished)

    with bench.single_threaded():
        bench.prepare(bench.build(entrant))
    prepared = time.process_time() - began
    with contextlib.suppress(_Over):
        run_one(bench, entrant, seed, _ENDLESS, tick)
    return ended, prepared, time.process_time() - began


def _confirmed(
    setup: Setup,
    architecture: Architecture,
    sealed: Artifact | None,
    folder: str,
    fresh: int,
    data_root: Path,
) -> tuple[list[float], list[float]]:
    """Validation of each fresh seed, and then test."""
    job = setup.job(architecture, sealed, store_url(Path(folder)), setup.evaluator.epochs)
    jobs = [replace(job, seed=FRESH_SEEDS + i, may_be_pruned=False) for i in range(fresh)]
    trained = list(setup.evaluator.evaluate(jobs))
    if setup.spec.dataset is None:
        raise SystemExit("expected a dataset")
    dataset = load(setup.spec.dataset, data_root)
    metric = dataset.metric
    network = setup.space.network(architecture, setup.task)
    test = []
    for one in trained:
        network.load_state_dict(_weights(one))
        test.append(float(split_metrics(network, dataset, "test")[metric]))
    return [one.metrics[f"val_{metric}"] for one in trained], test


def _weights(trained: Evaluation) -> Mapping[str, torch.Tensor]:
    if trained.artifact is None:
        raise SystemExit(f"training on a fresh seed failed: {trained.failure}")
    return best_weights(trained.artifact)
