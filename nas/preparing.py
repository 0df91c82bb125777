"""What is prepared before the first proposal: one long job, in stretches, each of them recorded.

Several drivers may come: one has the lease, the others wait, and take it over where it is gone.
"""

import math
import time
from collections.abc import Mapping

from evaluators import (
    Advance,
    Artifact,
    Evaluation,
    Executor,
    Preparation,
    PreparationJob,
    Prepared,
    Prepares,
)
from evaluators.artifacts import intact
from nas.budget import StudyFailedError
from nas.interrupt import Stop
from nas.setup import Setup
from nas.spec import SpecError, check_plugin
from nas.store.ledger import Ledger
from nas.store.preparations import lease, record
from nas.strategies._base import AnyStrategy
from nas.telling import Teller
from search_spaces import UsageError, plugins

_TICK_SECONDS, _LOOK_SECONDS = 0.2, 0.5
# How often a long job is recorded: what a crash may cost, and no more than a twentieth of it all.
_PAUSE_SECONDS, _SHARE = 2.0, 0.05


def preparations(
    setup: Setup, strategy: AnyStrategy, where: str = "the study"
) -> tuple[Preparation, ...]:
    """What a study has prepared: for its evaluator, then for its strategy; equal ones once.

    Raises:
        SpecError: a preparation that does not exist, takes other options, has no dataset, or is for
            other spaces or tasks.
    """
    evaluator = setup.evaluator.preparation if isinstance(setup.evaluator, Prepares) else None
    wanted: dict[str, Preparation] = {}
    for table, preparation in (("evaluator", evaluator), ("strategy", strategy.preparation)):
        if preparation is None:
            continue
        name = preparation.plugin.name
        place = f"{where}: [{table}] its preparation {name}:"
        check_plugin("preparation", preparation.plugin, place)
        if setup.dataset is None:
            raise SpecError(
                f'{where}: [{table}] name: "{name}" is prepared on a dataset, and the evaluator '
                f'"{setup.spec.evaluator.name}" brings its own results; use another {table}'
            )
        _check(preparation, setup, place)
        epochs, passes = preparation.epochs, preparation.passes
        if epochs < 1 or not 0 < passes < math.inf:
            raise SpecError(
                f"{place} expected epochs >= 1 and passes > 0, got {epochs} and {passes}; give the "
                f"{table} other options, or mend it"
            )
        wanted[preparation.key] = preparation
    return tuple(wanted.values())


def _check(preparation: Preparation, setup: Setup, place: str) -> None:
    """Ask the plug-in, where it has something to say about spaces and tasks."""
    check = getattr(plugins.load("preparation", preparation.plugin.name), "check", None)
    if check is None:
        return
    try:
        check(setup.space, setup.task, preparation.plugin.options)
    except UsageError as error:
        raise SpecError(f"{place} {error}") from error


class Preparing:
    """Does a study's preparations, as one of its drivers."""

    def __init__(
        self,
        setup: Setup,
        ledger: Ledger,
        executor: Executor,
        dataset: Artifact | None,
        teller: Teller,
    ) -> None:
        self._setup, self._ledger = setup, ledger
        self._executor, self._dataset, self._teller = executor, dataset, teller
        self._is_told_of_others = False
        self._told: Preparation | None = None

    def run(self, wanted: tuple[Preparation, ...], stop: Stop) -> Mapping[str, Prepared] | None:
        """All of them, done; None where the study's time is over before.

        Raises:
            KeyboardInterrupt: it was asked to stop; what is done is recorded.
            StudyFailedError: one of them has failed.
        """
        for preparation in wanted:
            while not self._is_done(preparation, stop):
                if stop.asked:
                    raise KeyboardInterrupt
                if self._left <= 0:
                    return None
        return self._ledger.store.prepared(self._ledger.name) if wanted else {}

    @property
    def _left(self) -> float:
        """How many seconds the study has yet."""
        bound = self._setup.spec.budget.seconds
        return math.inf if bound is None else bound - self._ledger.seconds

    def _is_done(self, preparation: Preparation, stop: Stop) -> bool:
        """Go on with one, where that is this run's to do; else wait a moment."""
        leased = lease(self._ledger, preparation)
        artifact = Artifact(self._ledger.artifacts, leased.artifact) if leased.artifact else None
        # A lost checkpoint costs time and nothing else.
        checkpoint = artifact if artifact is not None and intact(artifact) else None
        since = leased.epoch if checkpoint is not None else 0
        if since >= preparation.epochs:
            return True
        if leased.is_ours:
            self._advance(preparation, since, checkpoint, leased.seconds, stop)
        else:
            self._wait(preparation)
        return False

    def _wait(self, preparation: Preparation) -> None:
        if not self._is_told_of_others:
            self._is_told_of_others = True
            self._teller.say(f"{preparation.plugin.name} is under way in another process")
        time.sleep(_LOOK_SECONDS)

    def _advance(
        self,
        preparation: Preparation,
        since: int,
        checkpoint: Artifact | None,
        spent: float,
        stop: Stop,
    ) -> None:
        """One stretch, recorded."""
        if self._told is not preparation:  # an epoch may take long
            self._told = preparation
            begins = f"{preparation.plugin.name}: epoch {since + 1} of {preparation.epochs} begins"
            self._teller.say(begins)
        job = PreparationJob(
            preparation=preparation,
            space=self._setup.space,
            dataset=self._dataset,
            store=self._ledger.artifacts,
            seed=self._setup.spec.study.seed,
            until_epoch=preparation.epochs,
            resume=checkpoint,
            pause_seconds=min(max(_PAUSE_SECONDS, _SHARE * spent), self._left),
        )
        advance = self._done(job, stop)
        if advance.failure is not None:
            raise StudyFailedError(
                f"{job.label} failed in epoch {max(since, advance.epoch) + 1} "
                f"({advance.failure.kind}): "
                f"{advance.failure.message}; what it had recorded is kept: mend the cause, then go "
                f"on with: nas resume {self._ledger.name}"
            )
        if isinstance(advance, Advance) and advance.epochs:
            record(self._ledger, preparation, advance, since)
            self._tell(preparation, advance, spent + advance.seconds)

    def _done(self, job: PreparationJob, stop: Stop) -> Evaluation:
        """What has become of a job, which ends early where the study is to stop."""
        handle, is_interrupted = self._executor.submit([job]), False
        try:
            while not (ended := self._executor.wait(_TICK_SECONDS)):
                if stop.asked and not is_interrupted:
                    self._executor.interrupt()
                    is_interrupted = True
        except UsageError as error:
            said = str(error).removeprefix(f"{job.label}: ")
            raise SpecError(f'study "{self._ledger.name}": {job.label}: {said}') from error
        return ended[handle][0]

    def _tell(self, preparation: Preparation, advance: Advance, spent: float) -> None:
        measured = ", ".join(f"{name} {value:.4g}" for name, value in advance.metrics.items())
        left = spent / advance.epoch * (preparation.epochs - advance.epoch)
        self._teller.say(
            f"{preparation.plugin.name}: epoch {advance.epoch} of {preparation.epochs}, "
            f"{measured + ', ' if measured else ''}{left:.0f} s left"
        )
