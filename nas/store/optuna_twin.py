"""Optuna's own tables, kept in step with ours, so that Optuna's tools can read a study.

Our tables are the record. A trial's twin is written after ours and repaired when the study is
resumed: one RUNNING row when it starts, one state and values when it ends. An orphan goes on under
its old row, so that both sides always have the same number of trials.
"""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import sqlalchemy as sa

from nas.interrupt import uninterrupted
from nas.store.engine import (
    StoreFailedError,
    engine_options,
    harden,
    hidden_password,
    reachable,
)
from nas.store.read import OPTUNA_STUDIES, Store
from search_spaces import Architecture

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

    from nas.record import TrialRecord
    from search_spaces import SearchSpace

ORDINAL = "nas:ordinal"


def open_storage(store: Store) -> "RDBStorage":
    """Optuna's storage on the same database, with the same settings of the connection."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    _make_tables(store)
    with reachable(store.url):
        url = store.url.render_as_string(hide_password=False)
        storage = optuna.storages.RDBStorage(url, engine_kwargs=engine_options(store.url))
    harden(storage.engine)
    storage.engine.dispose()
    return storage


def _make_tables(store: Store) -> None:
    """Make Optuna's tables in one transaction, where there are none.

    Optuna makes them one by one; killed in between, it would leave a table without its index, and
    two studies of one name would get in.
    """
    from optuna.storages._rdb.models import BaseModel

    with store.reading() as connection:
        there = sa.inspect(connection).has_table(OPTUNA_STUDIES.name)
    if not there:
        with store.writing() as connection:
            BaseModel.metadata.create_all(connection)


class OptunaTwin:
    """The Optuna study of one of our studies."""

    def __init__(
        self,
        store: Store,
        name: str,
        space: "SearchSpace",
        objectives: Mapping[str, str],
    ) -> None:
        import optuna
        from optuna.study import StudyDirection

        self._store = store
        self._space = space
        self._objectives = objectives
        self._storage = open_storage(store)
        self.study: optuna.Study = optuna.create_study(
            study_name=name,
            storage=self._storage,
            directions=[StudyDirection[d.upper()] for d in objectives.values()],
            load_if_exists=True,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.study.set_metric_names(list(objectives))
        # ordinal -> Optuna's trial id, of trials that have not ended there.
        self._open = self._unfinished()

    def _unfinished(self) -> dict[int, int]:
        from optuna.trial import TrialState

        states = (TrialState.RUNNING, TrialState.WAITING)
        found = self._storage.get_all_trials(self.study._study_id, deepcopy=False, states=states)
        return {t.user_attrs[ORDINAL]: t._trial_id for t in found if ORDINAL in t.user_attrs}

    def start(self, ordinal: int, architecture: Architecture) -> None:
        """Make the RUNNING row of a trial, or take the one that it has."""
        from optuna.trial import TrialState, create_trial

        if ordinal in self._open:
            with self._tolerated():
                self._storage.set_trial_state_values(self._open[ordinal], TrialState.RUNNING)
            return
        from nas.strategies._sampler import distributions

        offered = distributions(self._space)
        trial = create_trial(
            state=TrialState.RUNNING,
            params=dict(architecture.choices),
            distributions={name: offered[name] for name in architecture.choices},
            user_attrs={ORDINAL: ordinal, "nas:architecture": architecture.key},
        )
        with self._tolerated():
            self._open[ordinal] = self._storage.create_new_trial(self.study._study_id, trial)

    def end(self, trial: "TrialRecord", violations: Mapping[str, float]) -> None:
        """Close the row of a trial that has ended in our table; a second time changes nothing."""
        from optuna.trial import TrialState

        twin = self._open.pop(trial.number, None)
        if twin is None:
            return
        measured = all(metric in trial.metrics for metric in self._objectives)
        states = {"failed": TrialState.FAIL, "pruned": TrialState.PRUNED}
        state = states.get(trial.state, TrialState.COMPLETE if measured else TrialState.PRUNED)
        values = [trial.metrics[m] for m in self._objectives] if measured else None
        with self._tolerated():
            for constraint, violation in violations.items():
                key = f"constraints:{constraint}"
                self._storage.set_trial_system_attr(twin, key, violation)
            complete = values if state == TrialState.COMPLETE else None
            self._storage.set_trial_state_values(twin, state, complete)

    def forget(self) -> None:
        """Let go of what is under way: another run has taken it over."""
        self._open.clear()

    def release(self) -> None:
        """Mark what is under way as WAITING: the study is being stopped."""
        from optuna.trial import TrialState

        for twin in self._open.values():
            with self._tolerated():
                self._storage.set_trial_state_values(twin, TrialState.WAITING)

    def open_ordinals(self) -> tuple[int, ...]:
        """The trials that have a row here which is not closed."""
        return tuple(sorted(self._open))

    @contextlib.contextmanager
    def _tolerated(self) -> Iterator[None]:
        """Another process may have closed the row; the record is ours, so that is no error."""
        from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError

        try:
            with (
                uninterrupted(),
                reachable(self._store.url),
                contextlib.suppress(UpdateFinishedTrialError),
            ):
                yield
        except StorageInternalError as error:
            shown = hidden_password(self._store.storage)
            raise StoreFailedError(f"Optuna's tables in {shown} cannot be written") from error

    def close(self) -> None:
        """Let go of the connections."""
        self._storage.remove_session()
        self._storage.engine.dispose()


def delete_twin(store: Store, name: str) -> None:
    """Delete the Optuna study, where there is one."""
    import optuna

    storage = open_storage(store)
    with contextlib.suppress(KeyError):
        optuna.delete_study(study_name=name, storage=storage)
    storage.remove_session()
    storage.engine.dispose()
