"""A study from its specification to the end of its budget: `search` and `resume`."""

from dataclasses import asdict
from pathlib import Path

from evaluators import Artifact, Executor
from nas.driver import Driver, Report, StudyFailedError
from nas.feasible import refuse_infeasible
from nas.fold import build_strategy
from nas.interrupt import uninterrupted
from nas.record import StudyStatus
from nas.setup import (
    Setup,
    prepare,
    refuse_change,
    start_architectures,
    with_batch,
    with_budget,
)
from nas.spec import SpecError, StudySpec
from nas.store import Store, StoreError
from nas.store.ledger import Ledger, TakenOverError
from nas.store.new import NewStudy, create_study, refuse_existing
from nas.store.optuna_twin import OptunaTwin
from nas.store.runs import heartbeat
from search_spaces import Architecture, SearchSpace, plugins
from search_spaces.plugins import Plugin

__all__ = ["StudyFailedError", "resume", "search"]


def search(
    spec: StudySpec,
    *,
    storage: str,
    data_root: Path,
    progress: Report | None = None,
    space: SearchSpace | None = None,
    where: str = "the study",
) -> StudyStatus:
    """Create a study and run it to the end of its budget.

    Args:
        spec: the study file.
        storage: URL of the database.
        data_root: where raw public datasets lie.
        progress: called after each trial, and about once a second.
        space: made in Python, in place of the one that the specification names.
        where: begins the messages about the specification: the study file.

    Raises:
        UsageError: something is wrong with the specification, data or database; nothing is stored.
        StudyFailedError: ten candidates in a row failed by their own fault.
        KeyboardInterrupt: stopped; what was under way waits for `resume`.
    """
    store = Store(storage)
    refuse_existing(store, spec.study.name)
    setup = with_batch(prepare(spec, data_root, space, where=where))
    start = start_architectures(spec, setup.space, _fronts(store, spec, where), where)
    build_strategy(setup, where)
    refuse_infeasible(setup, where, start)
    executor = _executor(spec)
    dataset = prepared_dataset(setup, store.new_artifacts())
    new = NewStudy(
        name=spec.study.name,
        spec=setup.spec.to_json(),
        space=setup.space.to_json(),
        task=asdict(setup.task),
        dataset="" if dataset is None else dataset.sha256,
        start=start,
        target=spec.budget.trials,
    )
    create_study(store, new)
    return _drive(store, setup, executor, dataset, progress)


def resume(
    name: str,
    *,
    storage: str,
    data_root: Path,
    trials: int | None = None,
    seconds: float | None = None,
    executor: Plugin | None = None,
    progress: Report | None = None,
    space: SearchSpace | None = None,
) -> StudyStatus:
    """Continue a study up to `trials` in total; one that has them already is left as it is.

    Args:
        trials, seconds: new totals, kept for later; None keeps those of the study.
        executor: for this run, in place of the study's.
        storage, data_root, progress, space: as for `search`.

    Raises:
        UsageError: no such study, its space or dataset has changed, or another driver runs it.
        StudyFailedError, KeyboardInterrupt: as for `search`.
    """
    store = Store.open_existing(storage)
    status = store.status(name)
    begun = status.trials.ended + status.trials.running + status.trials.waiting
    spec = StudySpec.from_json(store.spec(name))
    if trials is not None:
        trials = max(trials, begun)
    spec = with_budget(spec, trials, seconds)
    spec = spec.model_copy(update={"executor": executor}) if executor else spec
    wanted = spec.budget.trials
    if status.state == "finished" and wanted is not None and status.trials.ended >= wanted:
        return status
    setup = prepare(spec, data_root, space, where=f'study "{name}"')
    with store.reading() as connection:
        refuse_change(store.row(connection, name), setup)
    dataset = prepared_dataset(setup, store.artifacts(name))
    return _drive(store, setup, _executor(spec), dataset, progress)


def _executor(spec: StudySpec) -> Executor:
    """The executor, which starts no process before it is given a job."""
    executor: Executor = plugins.load("executor", spec.executor.name).build(**spec.executor.options)
    return executor


def prepared_dataset(setup: Setup, artifacts: str) -> Artifact | None:
    """The sealed dataset in an artifact store, written if it is not there; None without one."""
    if setup.dataset is None:
        return None
    from evaluators.datasets import save_prepared

    return save_prepared(setup.dataset, artifacts)


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
    setup: Setup,
    executor: Executor,
    dataset: Artifact | None,
    progress: Report | None,
) -> StudyStatus:
    name = setup.spec.study.name
    book = Ledger(store, name)
    state, reason = "stopped", "failed"
    try:
        with uninterrupted():
            twin = OptunaTwin(store, name, setup.space, setup.objectives)
        try:
            with heartbeat(book.beat):
                artifacts = store.artifacts(name)
                driver = Driver(store, setup, book, twin, executor, dataset, artifacts, progress)
                state, reason = "finished", driver.run()
        except TakenOverError:
            twin.forget()
            raise
        finally:
            with uninterrupted():
                executor.shutdown(wait=False)
                twin.release()
                twin.close()
    except KeyboardInterrupt:
        reason = "interrupted"
        raise
    except StudyFailedError as error:
        reason = str(error)
        raise
    finally:
        book.close(state, reason)
    return store.status(name)
