"""The studies of a database as Optuna sees studies: read, folded, and never written.

Optuna's own tables hold no rungs, no metrics but the objectives, and what a dashboard writes into
them (names, notes, whole studies) would be in the user's database. So it gets this instead.
"""

import threading
import time
from collections.abc import Callable, Container, Mapping, Sequence
from copy import deepcopy as copied
from typing import Any, NoReturn

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from nas.record import TrialRecord
from nas.store import Store, StoreError, StoreFailedError
from nas.store.following import Followed, Following
from nas.store.rows import objectives_of

# What is asked more often is answered from what is known.
_FRESH_SECONDS = 1.0
# Ids of trials are unique over all studies.
_TRIALS = 10**9
# As [study] objectives refuses it: what the name of a metric of the sealed split begins with.
_SEALED = "test"


class MirrorError(StoreError):
    """Something was to be written, and is not."""


class _Study:
    """One study, folded as far as it was read."""

    def __init__(self, store: Store, id_: int, name: str) -> None:
        spec = store.spec(name)
        self.id, self.name = id_, name
        self.objectives = objectives_of(spec)
        self.is_constrained = bool(spec["study"]["constraints"])
        self.distributions: dict[str, BaseDistribution] = {
            decision: CategoricalDistribution(choices)
            for decision, choices in store.choices(name).items()
        }
        tables = ("space", "dataset", "strategy", "evaluator")
        self.told = {table: spec[table]["name"] for table in tables if spec.get(table)}
        self._following = Following(store, name)
        self._ended: dict[int, FrozenTrial] = {}
        self._under_way: list[FrozenTrial] = []

    @property
    def directions(self) -> list[StudyDirection]:
        return [StudyDirection[direction.upper()] for direction in self.objectives.values()]

    def advance(self) -> None:
        """Read on."""
        while fresh := self._following.ended():
            self._ended |= {one.record.number: self._frozen(one) for one in fresh}
        standing = self._following.under_way()
        self._under_way = [self._frozen(one) for one in standing]

    def trials(self) -> list[FrozenTrial]:
        """By number; what has ended between two readings is not there twice."""
        under_way = {trial.number: trial for trial in self._under_way}
        return [trial for _, trial in sorted({**under_way, **self._ended}.items())]

    def _frozen(self, followed: Followed) -> FrozenTrial:
        record = followed.record
        state, values = _state(record, list(self.objectives))
        chosen = record.architecture.choices if record.architecture else {}
        params = {name: chosen[name] for name in self.distributions if name in chosen}
        first = next(iter(self.objectives))
        return FrozenTrial(
            number=record.number,
            state=state,
            value=None,
            values=values,
            datetime_start=followed.began,
            datetime_complete=followed.ended if state.is_finished() else None,
            params=params,
            distributions={name: self.distributions[name] for name in params},
            user_attrs=_told(record),
            system_attrs={"constraints": [record.violation]} if self.is_constrained else {},
            intermediate_values={
                epoch: metrics[first]
                for epoch, metrics in followed.rungs.items()
                if metrics.get(first) is not None
            },
            trial_id=self.id * _TRIALS + record.number,
        )


def _state(record: TrialRecord, objectives: Sequence[str]) -> tuple[TrialState, list[float] | None]:
    """Optuna's word for where a trial stands, as in its own tables, and the objectives' values."""
    if record.state in ("running", "waiting"):
        return TrialState[record.state.upper()], None
    if record.state == "failed":
        return TrialState.FAIL, None
    values = [record.metrics.get(metric) for metric in objectives]
    known = [value for value in values if value is not None]
    if record.state == "pruned" or len(known) < len(values):
        return TrialState.PRUNED, None
    return TrialState.COMPLETE, known


def _told(record: TrialRecord) -> dict[str, Any]:
    """The metrics of a trial, and how it went; nothing of the sealed split."""
    shown: dict[str, Any] = {
        metric: value for metric, value in record.metrics.items() if not metric.startswith(_SEALED)
    }
    shown |= {"state": record.state, "epochs": record.epochs, "seconds": round(record.seconds, 3)}
    if record.cached:
        shown["cached"] = True
    if record.failure:
        shown["failure"] = f"{record.failure.get('kind')}: {record.failure.get('message')}"
    return shown


class Mirror(BaseStorage):
    """An Optuna storage of the studies of a database, as they stand; it refuses to be written.

    It may be used by several threads. While the database is away, it is what it was.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._lock = threading.Lock()
        self._studies: dict[int, _Study] = {}
        self._looked = float("-inf")
        self._read: dict[int, float] = {}

    def _known(self) -> Mapping[int, _Study]:
        """The studies; whoever calls holds the lock."""
        if self._clock() - self._looked < _FRESH_SECONDS:
            return self._studies
        try:
            ids = self._store.ids()
            kept = {i: study for i, study in self._studies.items() if ids.get(study.name) == i}
            made = {i: _Study(self._store, i, name) for name, i in ids.items() if i not in kept}
            self._studies = {i: (kept | made)[i] for i in ids.values()}
        except (StoreError, StoreFailedError):  # the database is away, or a study has just gone
            return self._studies
        self._looked = self._clock()
        return self._studies

    def _study(self, study_id: int) -> _Study:
        return self._known()[study_id]

    def get_study_id_from_name(self, study_name: str) -> int:
        with self._lock:
            return {study.name: i for i, study in self._known().items()}[study_name]

    def get_study_name_from_id(self, study_id: int) -> str:
        with self._lock:
            return self._study(study_id).name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        with self._lock:
            return self._study(study_id).directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        with self._lock:
            return dict(self._study(study_id).told)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        with self._lock:
            return {"study:metric_names": list(self._study(study_id).objectives)}

    def get_all_studies(self) -> list[FrozenStudy]:
        with self._lock:
            return [
                FrozenStudy(
                    study_name=study.name,
                    direction=None,
                    directions=study.directions,
                    user_attrs=dict(study.told),
                    system_attrs={"study:metric_names": list(study.objectives)},
                    study_id=study.id,
                )
                for study in self._known().values()
            ]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        with self._lock:
            study = self._study(study_id)
            if self._clock() - self._read.get(study_id, float("-inf")) >= _FRESH_SECONDS:
                try:
                    study.advance()
                    self._read[study_id] = self._clock()
                except (StoreError, StoreFailedError):  # what is known is shown meanwhile
                    pass
            found = [one for one in study.trials() if states is None or one.state in states]
        return copied(found) if deepcopy else found

    def get_trial(self, trial_id: int) -> FrozenTrial:
        study_id, number = divmod(trial_id, _TRIALS)
        found = {one.number: one for one in self.get_all_trials(study_id, deepcopy=False)}
        return found[number]

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise MirrorError("this is a view of the record, and nothing can be changed in it")

    create_new_study = delete_study = set_study_user_attr = set_study_system_attr = _refuse
    create_new_trial = set_trial_param = set_trial_state_values = _refuse
    set_trial_intermediate_value = set_trial_user_attr = set_trial_system_attr = _refuse
