"""A study from its specification to the end of its budget: `search` and `resume`."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from evaluators import Artifact, Executor, Preparation
from evaluators.errors import place
from nas.budget import StudyFailedError
from nas.driver import Driver
from nas.executing import made_executor
from nas.feasible import refuse_infeasible, refuse_never_timed
from nas.fold import build_strategy
from nas.interrupt import Stop, uninterrupted
from nas.latency.front import may_measure, measure_when_finished, on_any_device
from nas.opening import opened
from nas.preparing import Preparing, preparations
from nas.record import StudyStatus
from nas.setting_up import set_up
from nas.setup import Setup, with_batch, with_budget, with_executor
from nas.spec import SpecError, StudySpec
from nas.starting import start_architectures
from nas.store import Store, StoreError, StoreFailedError
from nas.store.ledger import Ledger
from nas.store.new import NewStudy, create_study, refuse_existing
from nas.store.patience import Patience
from nas.store.runs import heartbeat
from nas.store.twin import Twin
from nas.strategies._base import AnyStrategy
from nas.targets import refuse_unfit_targets
from nas.telling import Report, Teller
from nas.watching import log_rest, logged, refuse_unfit
from search_spaces import Architecture, SearchSpace, UsageError
from search_spaces.plugins import Plugin


def search(
    spec: StudySpec,
    *,
    storage: str,
    data_root: Path,
    progress: Report | None = None,
    space: SearchSpace | None = None,
    where: str = "the study",
    prepare_only: bool = False,
) -> StudyStatus:
    """Create a study and run it to the end of its budget.

    Args:
        spec: the study file.
        storage: URL of the database.
        data_root: where raw public datasets lie.
        progress: called after each trial, and about once a second.
        space: made in Python, in place of the one that the specification names.
        where: begins the messages about the specification: the study file.
        prepare_only: stop before the first trial, when what it needs is prepared.

    Raises:
        UsageError: something is wrong with the specification, data or database; nothing is stored.
        StudyFailedError: ten candidates in a row failed by their own fault.
        KeyboardInterrupt: stopped; what was under way waits for `resume`.
    """
    store = Store(storage)
    run, start = _checked(store, spec, data_root, space, where)
    setup = run.setup
    dataset = setup.sealed(store.new_artifacts())
    new = NewStudy(
        name=spec.study.name,
        spec=setup.spec.to_json(),
        space=setup.space.to_json(),
        task=asdict(setup.task),
        dataset="" if dataset is None else dataset.sha256,
        latency=None if setup.latency is None else setup.latency.bound_to(),
        start=start,
        target=spec.budget.trials,
    )
    create_study(store, new)
    # A worker may have been waiting for it, and be faster.
    return _drive(store, run, dataset, progress, join=True, prepare_only=prepare_only)


def check(
    spec: StudySpec,
    *,
    storage: str,
    data_root: Path,
    space: SearchSpace | None = None,
    where: str = "the study",
) -> Setup:
    """All that `search` checks before it stores anything; what would be searched.

    Args, Raises: as for `search`.
    """
    run, _ = _checked(Store(storage), spec, data_root, space, where)
    run.executor.shutdown(wait=False)
    return run.setup


@dataclass(frozen=True)
class _Equipment:
    """What a driver needs besides the database, made and checked before anything is written."""

    setup: Setup
    strategy: AnyStrategy
    preparations: tuple[Preparation, ...]
    executor: Executor

    @classmethod
    def of(cls, setup: Setup, where: str) -> "_Equipment":
        strategy = build_strategy(setup, where)
        wanted = preparations(setup, strategy, where)
        executor = made_executor(setup.spec, where, prepares=bool(wanted))
        return cls(setup, strategy, wanted, executor)


def _checked(
    store: Store, spec: StudySpec, data_root: Path, space: SearchSpace | None, where: str
) -> tuple[_Equipment, list[Architecture]]:
    """What a new study needs, and begins with, in the order in which these can be refused."""
    refuse_existing(store, spec.study.name)
    refuse_unfit(spec.log, where)
    setup = with_batch(set_up(spec, data_root, space, where=where))
    start = start_architectures(spec, setup.space, _fronts(store, spec, where), where)
    run = _Equipment.of(setup, where)
    refuse_unfit_targets(setup, where)
    refuse_never_timed(setup, where)
    refuse_infeasible(setup, where, start)
    return run, start


def resume(
    name: str,
    *,
    storage: str,
    data_root: Path,
    trials: int | None = None,
    seconds: float | None = None,
    executor: Plugin | None = None,
    accept_device: bool = False,
    progress: Report | None = None,
    space: SearchSpace | None = None,
    prepare_only: bool = False,
) -> StudyStatus:
    """Go on with a study that was stopped or killed.

    Args:
        trials: wanted in all; a study that has them already is left as it is.
        seconds: of searching, in all.
        executor: in place of the stored one, for this run.
        accept_device: whether this may be another machine than the one of the latency profile.
        space: as for `search`: made in Python, it must be handed over again.
        prepare_only: as for `search`.

    Raises:
        UsageError: no such study; its space or data changed; another driver runs it.
        StudyFailedError, KeyboardInterrupt: as for `search`.
    """
    store = Store.open_existing(storage)
    status = store.status(name)
    begun = status.trials.ended + status.trials.running + status.trials.waiting
    wanted = None if trials is None else max(trials, begun)

    def changed(spec: StudySpec) -> StudySpec:
        spec = on_any_device(with_budget(spec, wanted, seconds), accept_device)
        return with_executor(spec, executor)

    return _go_on(
        store, name, data_root, space, changed, progress, join=False, prepare_only=prepare_only
    )


def work(
    name: str,
    *,
    storage: str,
    data_root: Path,
    executor: Plugin | None = None,
    accept_device: bool = False,
    progress: Report | None = None,
    space: SearchSpace | None = None,
) -> StudyStatus:
    """Drive a study beside others, as one of several drivers, until nothing is left to do.

    Each owns the trials that it began, and takes over those of drivers that are gone. It may come
    and go at any time.

    Args, Raises: as for `resume`; other drivers are welcome.
    """

    def changed(spec: StudySpec) -> StudySpec:
        return with_executor(on_any_device(spec, accept_device), executor)

    store = Store.open_existing(storage)
    return _go_on(store, name, data_root, space, changed, progress, join=True)


def _go_on(
    store: Store,
    name: str,
    data_root: Path,
    space: SearchSpace | None,
    changed: Callable[[StudySpec], StudySpec],
    progress: Report | None,
    *,
    join: bool,
    prepare_only: bool = False,
) -> StudyStatus:
    """Continue a study as its specification, changed, says, unless it has all its trials."""
    status, spec = store.status(name), changed(StudySpec.from_json(store.spec(name)))
    wanted = spec.budget.trials
    is_done = status.state == "finished" and wanted is not None and status.trials.ended >= wanted
    if is_done:
        log_rest(store, spec, status, Teller(status, None, progress).say)
    if is_done and not may_measure(store, spec):
        return status
    study = opened(store, name, data_root, space, changed=changed)
    if is_done:
        measure_when_finished(store, study.setup, Teller(status, None, progress))
        return store.status(name)
    run = _Equipment.of(study.setup, f'study "{name}"')
    dataset = study.setup.sealed(study.artifacts)
    return _drive(store, run, dataset, progress, join=join, prepare_only=prepare_only)


def _fronts(store: Store, spec: StudySpec, where: str) -> dict[str, list[Architecture]]:
    named = [item.removeprefix("study:") for item in spec.study.start if isinstance(item, str)]
    try:
        return {
            name: [t.architecture for t in store.front(name) if t.architecture is not None]
            for name in named
        }
    except StoreError as error:
        raise SpecError(f"{where}: [study] start: {error}") from error


def _drive(
    store: Store,
    run: _Equipment,
    dataset: Artifact | None,
    progress: Report | None,
    *,
    join: bool,
    prepare_only: bool = False,
) -> StudyStatus:
    """Be a driver of a study, from the taking of a run to its end, and tell loggers of it."""
    setup = run.setup
    name, budget = setup.spec.study.name, setup.spec.budget
    # The stored target is of the run before.
    status = replace(store.status(name), target=budget.trials)
    teller = Teller(status, budget.seconds, progress)
    twin = Twin(store, name, setup.space, setup.objectives, setup.constraints)
    ledger = Ledger(store, name, twin, Patience(teller.say), join=join)
    # What loggers wait for at the end is no time of the search, whose end they are to tell.
    with logged(store, name, setup.spec.log, teller.say):
        _run(run, ledger, dataset, teller, join=join, prepare_only=prepare_only)
    measure_when_finished(store, setup, teller)
    return store.status(name)


def _run(
    run: _Equipment,
    ledger: Ledger,
    dataset: Artifact | None,
    teller: Teller,
    *,
    join: bool,
    prepare_only: bool,
) -> None:
    """Drive until the run of the ledger ends, and record how."""
    setup, executor = run.setup, run.executor
    budget = setup.spec.budget
    state, reason = "stopped", "failed"
    try:
        with Stop().listening() as stop, heartbeat(ledger.beat):
            if not join:
                ledger.set_budget(setup.spec.to_json()["budget"], budget.trials)
            if setup.dataset is not None:
                teller.say(f"dataset: {setup.dataset.name}, {setup.task.n_nodes} nodes")
            ready = _prepared(run, ledger, dataset, teller, stop)
            if ready is None:
                state, reason = "finished", f"{budget.seconds:g} seconds"
            elif prepare_only:
                reason = "prepared"
            else:
                driver = Driver(ready, run.strategy, ledger, executor, dataset, teller)
                state, reason = "finished", driver.run(stop)
    except KeyboardInterrupt:
        reason = "interrupted"
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        if not isinstance(error, (StudyFailedError, UsageError, StoreFailedError)):
            reason = f"{type(error).__name__}: {reason} (at {place(error)})"
        raise
    finally:
        with uninterrupted():
            executor.shutdown(wait=False)
        _close(ledger, state, reason)


def _prepared(
    run: _Equipment, ledger: Ledger, dataset: Artifact | None, teller: Teller, stop: Stop
) -> Setup | None:
    """The setup with what its preparations have left; None where the time was over before."""
    preparing = Preparing(run.setup, ledger, run.executor, dataset, teller)
    prepared = preparing.run(run.preparations, stop)
    return None if prepared is None else replace(run.setup, prepared=prepared)


def _close(ledger: Ledger, state: str, reason: str) -> None:
    """End a run; where it has failed, what made it fail is what to hear of, not this."""
    if state == "finished":
        ledger.close(state, reason)
        return
    ledger.patience.hurry()
    with suppress(StoreFailedError):
        ledger.close(state, reason)
