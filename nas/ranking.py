"""Whether what an evaluator says without training ranks architectures as training does.

Architectures of a study's space are drawn, trained with several seeds, and compared with what the
study's evaluator says of them, and with their size. Training is a study of its own for each seed,
NAME-alone-1, ..., so it is recorded trial by trial, goes on where it was stopped, and runs where
the study's trials do. For slices of supernets there is `nas.supernet.ranking`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluators import Evaluation, Prepares, Proxy
from nas.opening import opened
from nas.setup import Setup
from nas.store import Store
from nas.supernet._agreement import Agreement, agreement, ceiling
from nas.supernet._alone import Alone
from nas.telling import Report
from search_spaces import Architecture, SearchSpace, UsageError
from search_spaces.plugins import Plugin

FEWEST = 10
# Facts that cost nothing: what ranks no better says no more than that a network is large.
SIZES = ("params", "macs")
# Keeps what is drawn here apart from what a study draws with the same seed.
_DRAWN = 0x0C057


@dataclass(frozen=True)
class ProxyRanking:
    """How well an evaluator that trains nothing ranks.

    Attributes:
        study: its name.
        architectures: how many could be scored, and trained with all seeds, of those drawn.
        drawn: how many were drawn.
        seeds, epochs: of training.
        metric: of training, on validation, that all is ranked by.
        agreements: of each metric of the evaluator with the mean over the seeds, and of sizes; of
            the ceiling between seeds.
    """

    study: str
    architectures: int
    drawn: int
    seeds: int
    epochs: int
    metric: str
    agreements: tuple[Agreement, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"agreements": [a.to_json() for a in self.agreements]}


def rank(
    name: str,
    *,
    storage: str,
    data_root: Path,
    architectures: int = 30,
    seeds: int = 2,
    executor: Plugin | None = None,
    progress: Report | None = None,
    space: SearchSpace | None = None,
) -> ProxyRanking:
    """Measure how well what a study's evaluator says ranks.

    Args:
        name: of a study whose evaluator trains nothing and prepares nothing (`zero_cost`).
        architectures: to draw, at least 10.
        seeds: to train each with, at least 2, none of them the study's own.
        executor: where networks are trained, in place of the study's.
        progress: told of every training.
        space: made in Python, where it was so when the study began.

    Raises:
        UsageError: no such study, one whose evaluator trains, or too few architectures or seeds.
        KeyboardInterrupt: stopped; what was trained is recorded, and repeated it goes on.
    """
    if architectures < FEWEST or seeds < 2:
        raise UsageError(
            f"expected {FEWEST} architectures and 2 seeds or more to rank with, got "
            f"{architectures} and {seeds}"
        )
    study = opened(Store.open_existing(storage), name, data_root, space, with_latency=False)
    setup = study.setup
    _check(setup)
    drawn = _drawn(setup, architectures)
    scores = _scores(setup, drawn, study.artifacts)
    alone, first = (
        Alone(study, storage, data_root, executor, progress, space),
        setup.spec.study.seed,
    )
    runs = [
        alone.values(f"alone-{seed}", seed, drawn) for seed in range(first + 1, first + 1 + seeds)
    ]
    sound = [a for a in drawn if a.key in scores and all(a.key in values for values in runs)]
    if len(sound) < FEWEST:
        raise UsageError(
            f'study "{name}": only {len(sound)} of {len(drawn)} architectures could be scored and '
            f"trained, expected {FEWEST} or more; see nas trials {name}-alone-{first + 1}"
        )
    trained = [[values[a.key] for a in sound] for values in runs]
    mean = np.mean(trained, axis=0).tolist()
    found = [
        agreement(measure, [scores[a.key][measure] for a in sound], mean)
        for measure in (*setup.evaluator.metrics, *SIZES)
    ]
    epochs, metric = setup.alone.evaluator.epochs, f"val_{setup.task.metric}"
    counts = (len(sound), len(drawn), seeds, epochs)
    return ProxyRanking(name, *counts, metric, (*found, ceiling(trained)))


def _check(setup: Setup) -> None:
    name, evaluator = setup.spec.study.name, setup.spec.evaluator.name
    if not isinstance(setup.evaluator, Proxy):
        raise UsageError(
            f'study "{name}" has the evaluator "{evaluator}", which foretells nothing; expected '
            'one that trains no candidate, as [evaluator] name = "zero_cost"'
        )
    if isinstance(setup.evaluator, Prepares):
        raise UsageError(
            f'study "{name}" has the evaluator "{evaluator}", which has something prepared; '
            f"slices of a supernet are ranked by: nas supernet rank {name}"
        )


def _drawn(setup: Setup, count: int) -> list[Architecture]:
    """As many different ones, or all that there are."""
    rng = np.random.default_rng([setup.spec.study.seed, _DRAWN])
    count, found = min(count, setup.space.size()), dict[str, Architecture]()
    while len(found) < count:
        architecture = setup.space.sample(rng)
        found.setdefault(architecture.key, architecture)
    return list(found.values())


def _scores(
    setup: Setup, drawn: Sequence[Architecture], artifacts: str
) -> dict[str, Mapping[str, float]]:
    """What the evaluator says of each, and how large it is; of those that did not fail."""
    dataset, epochs = setup.sealed(artifacts), setup.evaluator.epochs
    jobs = [setup.job(a, dataset, artifacts, epochs) for a in drawn]
    found: Sequence[Evaluation] = setup.evaluator.evaluate(jobs)
    return {
        a.key: {**setup.facts(a), **one.metrics}
        for a, one in zip(drawn, found, strict=True)
        if one.failure is None
    }
