"""Whether the slices of a supernet rank architectures as training them alone does.

Architectures are drawn, trained alone with several seeds, and compared with what the evaluator
`inherited` says of them. Training alone is a study of its own for each seed, NAME-alone-0, ..., so
it is recorded trial by trial, goes on where it was stopped, and runs where the study's trials do.
Beside it stands what ranking can reach: training alone, ranked by one seed and judged by another;
and what a few epochs of training alone give, which needs no supernet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluators import Job
from evaluators.inherited import Inherited
from nas.opening import Opened, opened
from nas.setup import Setup
from nas.store import Store
from nas.store.rankings import store_ranking
from nas.supernet import ENDINGS
from nas.supernet._agreement import Agreement, agreement, ceiling
from nas.supernet._alone import Alone
from nas.telling import Report
from search_spaces import Architecture, SearchSpace, UsageError
from search_spaces.plugins import Plugin

FEWEST = 10
# What slices must reach to be trusted: so much, or so much of the ceiling where that is lower.
ENOUGH, OF_CEILING = 0.6, 0.8
# Said where they do not: what was tried on graphs with few labels (docs/decisions/0015).
TRIED = (
    "Tried where this was so, and no better: other rules, sharing and lengths of training, "
    "ensembles of supernets, a few epochs of fine-tuning (docs/supernet.md)."
)
# Keeps what is drawn here apart from what a study draws with the same seed.
_DRAWN = 0x5E7


@dataclass(frozen=True)
class Ranking:
    """How well an inherited evaluator ranks.

    Attributes:
        study: its name.
        architectures: how many could be trained with all seeds, of those that were drawn.
        drawn: how many were drawn.
        seeds: of training alone.
        epochs, short_epochs: of training alone, and of the few.
        metric: by which all is ranked.
        held_out_tau: of what is foreseen, with read-outs that it has not seen: high, and yet no
            reason to trust it, as read-outs may rank badly.
        agreements: of each measure with the mean over the seeds; of the ceiling between seeds.
    """

    study: str
    architectures: int
    drawn: int
    seeds: int
    epochs: int
    short_epochs: int
    metric: str
    held_out_tau: float
    agreements: tuple[Agreement, ...]

    @property
    def needed(self) -> float:
        """The tau from which on slices are to be trusted."""
        return min(ENOUGH, OF_CEILING * self._of("ceiling").kendall)

    @property
    def has_ceiling(self) -> bool:
        """Whether training alone agrees with itself at all: else nothing can be ranked by it."""
        return self._of("ceiling").interval[0] > 0

    @property
    def is_enough(self) -> bool:
        """Whether slices, seen through the regression, rank well enough."""
        return self.has_ceiling and self._of("foreseen").kendall >= self.needed

    def _of(self, measure: str) -> Agreement:
        return next(a for a in self.agreements if a.measure == measure)

    def to_json(self) -> dict[str, Any]:
        agreements = [a.to_json() for a in self.agreements]
        value = asdict(self) | {"agreements": agreements}
        return value | {"needed": self.needed, "is_enough": self.is_enough}


def rank(
    name: str,
    *,
    storage: str,
    data_root: Path,
    architectures: int = 50,
    seeds: int = 3,
    short_epochs: int = 20,
    executor: Plugin | None = None,
    progress: Report | None = None,
    space: SearchSpace | None = None,
) -> Ranking:
    """Measure how well the slices of a study's supernet rank; the result is recorded with it.

    Args:
        name: of a study with the evaluator `inherited`, whose supernet is trained.
        architectures: to draw, at least 10.
        seeds: to train each alone with, at least 2.
        short_epochs: of the comparison that needs no supernet.
        executor: where networks are trained, in place of the study's.
        progress: told of every training.
        space: made in Python, where it was so when the study began.

    Raises:
        UsageError: no such study, one without a supernet, or too few architectures or seeds.
        KeyboardInterrupt: stopped; what was trained is recorded, and repeated it goes on.
    """
    if architectures < FEWEST or seeds < 2:
        raise UsageError(
            f"expected {FEWEST} architectures and 2 seeds or more to rank with, got "
            f"{architectures} and {seeds}"
        )
    store = Store.open_existing(storage)
    study = opened(store, name, data_root, space, with_latency=False)
    setup = with_supernet(study)
    drawn = _drawn(setup, architectures)
    # Before anything is trained alone: it may be lost.
    held_out = _inherited(setup).held_out_tau(_jobs(setup, study, drawn[:1])[0])
    run = Alone(study, storage, data_root, executor, progress, space)
    runs = [run.values(f"alone-{seed}", seed, drawn) for seed in range(seeds)]
    # A seed of its own: the others' first epochs are in what it is judged by.
    short = run.values(f"alone-short-{short_epochs}", seeds, drawn, short_epochs)
    sound = [a for a in drawn if all(a.key in values for values in (*runs, short))]
    if len(sound) < FEWEST:
        raise UsageError(
            f'study "{name}": only {len(sound)} of {len(drawn)} architectures could be trained '
            f"alone, expected {FEWEST} or more; see nas trials {name}-alone-0"
        )
    alone = [[values[a.key] for a in sound] for values in runs]
    mean = np.mean(alone, axis=0).tolist()
    metric = f"val_{setup.task.metric}"
    jobs = _jobs(setup, study, sound)
    slices = _slices(setup, jobs)
    cheap = {measure: metric + end for measure, end in ENDINGS.items()}
    agreements = (
        *(
            agreement(measure, [one[known] for one in slices], mean)
            for measure, known in cheap.items()
            if known in setup.evaluator.metrics
        ),
        agreement("short", [short[a.key] for a in sound], mean),
        ceiling(alone),
    )
    epochs = setup.alone.evaluator.epochs
    counts = (len(sound), len(drawn), seeds, epochs, short_epochs)
    ranking = Ranking(name, *counts, metric, held_out, agreements)
    store_ranking(store, study.id, ranking.to_json())
    return ranking


def with_supernet(study: Opened) -> Setup:
    """The setup of a study, if its supernet is trained to the end.

    Raises:
        UsageError: it has none, or that is not trained yet.
    """
    setup, name = study.setup, study.setup.spec.study.name
    preparation = _inherited(setup).preparation
    prepared = setup.prepared.get(preparation.key)
    if prepared is None or prepared.last.epoch < preparation.epochs:
        at = 0 if prepared is None else prepared.last.epoch
        raise UsageError(
            f'the supernet of study "{name}" is trained up to epoch {at} of {preparation.epochs}; '
            f"go on with: nas supernet train FILE, or nas resume {name}"
        )
    return setup


def _inherited(setup: Setup) -> Inherited:
    if isinstance(setup.evaluator, Inherited):
        return setup.evaluator
    raise UsageError(
        f'study "{setup.spec.study.name}" has the evaluator "{setup.spec.evaluator.name}", which '
        'slices no supernet; expected a study with [evaluator] name = "inherited"'
    )


def _drawn(setup: Setup, count: int) -> list[Architecture]:
    """As many different ones, or all that there are."""
    rng = np.random.default_rng([setup.spec.study.seed, _DRAWN])
    count, found = min(count, setup.space.size()), dict[str, Architecture]()
    while len(found) < count:
        architecture = setup.space.sample(rng)
        found.setdefault(architecture.key, architecture)
    return list(found.values())


def _jobs(setup: Setup, study: Opened, architectures: Sequence[Architecture]) -> list[Job]:
    """To evaluate each as the study does."""
    dataset, epochs = setup.sealed(study.artifacts), setup.evaluator.epochs
    return [setup.job(a, dataset, study.artifacts, epochs) for a in architectures]


def _slices(setup: Setup, jobs: Sequence[Job]) -> list[Mapping[str, float]]:
    """What the evaluator says of each."""
    found = setup.evaluator.evaluate(jobs)
    failed = [e.failure.message for e in found if e.failure is not None]
    if failed:
        raise UsageError(f"{len(failed)} slices could not be evaluated: {failed[0]}")
    return [evaluation.metrics for evaluation in found]
