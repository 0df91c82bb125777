"""A study in a process of its own, killed when it commits."""

import os
import signal
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine

from nas.spec import StudySpec
from nas.store import Store, StoreError
from nas.study import resume, search


def go(spec: StudySpec, storage: str, kill_at_commit: int | None) -> None:
    """Search or resume, in a child process; at the given commit it is killed."""
    if kill_at_commit is not None:
        commits = iter(range(kill_at_commit))

        def die(_: object) -> None:
            if next(commits, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "commit", die)
    name = spec.study.name
    if name in known(storage):
        resume(name, storage=storage, data_root=Path())
    else:
        search(spec, storage=storage, data_root=Path())


def known(storage: str) -> list[str]:
    """The studies of a database, which may not be there yet."""
    try:
        return [status.name for status in Store.open_existing(storage).studies()]
    except StoreError:
        return []


def check_exact(storage: str, name: str, wanted: int) -> None:
    """A study has the trials wanted, each ended once, in our tables and in Optuna's."""
    store = Store(storage)
    trials = store.trials(name)
    assert [t.number for t in trials] == list(range(wanted))
    assert sorted(t.seq for t in trials if t.seq is not None) == list(range(wanted))
    status = store.status(name)
    assert (status.state, status.drivers) == ("finished", 0)
    query = sa.text(
        "select t.state, a.value_json from trials t join studies s on s.study_id = t.study_id "
        "left join trial_user_attributes a on a.trial_id = t.trial_id and a.key = 'nas:ordinal' "
        "where s.study_name = :name"
    )
    with store.engine.connect() as connection:
        twins = connection.execute(query, {"name": name}).all()
    assert sorted(int(ordinal) for _, ordinal in twins) == list(range(wanted))
    assert not {str(state) for state, _ in twins} & {"RUNNING", "WAITING"}
