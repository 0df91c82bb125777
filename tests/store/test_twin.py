"""Optuna's tables as our plain statements write them, against what Optuna's own API writes."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import Trial, TrialState, create_trial
from torch import nn

from nas.constraints import parse
from nas.record import TrialRecord
from nas.store import Store, StoreError
from nas.store.new import NewStudy, create_study
from nas.store.optuna_tables import REVISION, delete_twin, optuna_tables
from nas.store.schema import studies, trials
from nas.store.twin import Twin
from nas.strategies._suggest import distributions
from search_spaces import Architecture, Decision, SearchSpace

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
OBJECTIVES = {"accuracy": "maximize", "params": "minimize"}
CONSTRAINT = parse("params<=90")
SPACE = SearchSpace(
    "twin",
    1,
    (
        Decision("kind", ("plain", "wide")),
        Decision("width", (2, 4, 8), {"kind": ("wide",)}),
        Decision("bias", ("yes", "no")),
        Decision("train.lr", (0.1, 0.01), role="recipe"),
    ),
    lambda architecture, task: nn.Identity(),  # noqa: ARG005
)
PLAIN = SPACE.architecture({"kind": "plain", "bias": "no", "train.lr": 0.01})
WIDE = SPACE.architecture({"kind": "wide", "width": 8, "bias": "yes", "train.lr": 0.1})
# State, metrics, and what Optuna is to see of them: its state, values, and the constraint.
ENDINGS: list[tuple[str, dict[str, float], TrialState, list[float] | None, float | None]] = [
    ("complete", {"accuracy": 0.7, "params": 60}, TrialState.COMPLETE, [0.7, 60], 0.0),
    ("complete", {"accuracy": 0.9, "params": 80}, TrialState.COMPLETE, [0.9, 80], 0.0),
    ("infeasible", {"accuracy": 0.8, "params": 180}, TrialState.COMPLETE, [0.8, 180], 1.0),
    ("infeasible", {"params": 180}, TrialState.PRUNED, None, 1.0),
    ("pruned", {"accuracy": 0.1, "params": 45}, TrialState.PRUNED, None, 0.0),
    ("failed", {}, TrialState.FAIL, None, None),
]


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, storage: str) -> Store:
    """A database of the test's own, with our study "one" in it."""
    if request.param == "postgres":
        server = sa.make_url(request.getfixturevalue("postgres")).set(
            drivername="postgresql+psycopg"
        )
        engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
        name = f"twin_{threading.get_ident()}_{next(_COUNTER)}"
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        storage = server.set(database=name).render_as_string(hide_password=False)
    store = Store(storage)
    create_study(store, NewStudy("one", {}, {}, {}, "", (), None))
    return store


_COUNTER = iter(range(1000))


def twin_of(store: Store) -> Twin:
    return Twin(store, "one", SPACE, OBJECTIVES, [CONSTRAINT])


def record(ordinal: int, state: Any, metrics: dict[str, float]) -> TrialRecord:
    return TrialRecord(ordinal, state, WIDE, metrics, 1, 1.0, False, None, 0.0, ordinal, None)


def row(ordinal: int, state: str, metrics: dict[str, float], twin: int | None) -> dict[str, Any]:
    """A trial in our table."""
    architecture = architecture_of(ordinal)
    ended = state not in ("running", "waiting")
    return {
        "study_id": 1,
        "ordinal": ordinal,
        "state": state,
        "last_seq": -1,
        "pending": [],
        "architecture": architecture.to_json(),
        "key": architecture.key,
        "seq": ordinal if ended else None,
        "cached": False,
        "metrics": metrics,
        "violation": 0.0,
        "epochs": 1,
        "seconds": 1.0,
        "twin": twin,
    }


def architecture_of(ordinal: int) -> Architecture:
    return (PLAIN, WIDE)[ordinal % 2]


def write_ours(store: Store) -> list[int]:
    """Every ending through our statements, and one trial under way; returns the twins."""
    twin = twin_of(store)
    twins = []
    for ordinal, (state, metrics, *_) in enumerate(ENDINGS):
        with store.writing() as connection:
            twins.append(twin.begin(connection, ordinal, architecture_of(ordinal)))
            row_ = row(ordinal, state, metrics, twins[-1])
            connection.execute(sa.insert(trials).values(row_))
        with store.writing() as connection:
            twin.end(connection, twins[-1], record(ordinal, state, metrics))
    last = len(ENDINGS)
    with store.writing() as connection:
        twins.append(twin.begin(connection, last, architecture_of(last)))
        connection.execute(sa.insert(trials).values(row(last, "running", {}, twins[-1])))
    return twins


@contextmanager
def optunas(store: Store) -> Iterator[optuna.storages.RDBStorage]:
    """Optuna's own storage on the database."""
    storage = optuna.storages.RDBStorage(store.url.render_as_string(hide_password=False))
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def write_theirs(store: Store, name: str) -> None:
    """The same trials through Optuna's API."""
    offered = distributions(SPACE)
    with optunas(store) as storage:
        study = optuna.create_study(
            study_name=name, storage=storage, directions=["maximize", "minimize"]
        )
        study.set_metric_names(list(OBJECTIVES))
        for ordinal, (_, _, state, values, violation) in enumerate([*ENDINGS, (None,) * 5]):
            architecture = architecture_of(ordinal)
            begun = create_trial(
                state=TrialState.RUNNING,
                params=dict(architecture.choices),
                distributions={n: offered[n] for n in architecture.choices},
                user_attrs={"nas:ordinal": ordinal, "nas:architecture": architecture.key},
            )
            trial = Trial(study, storage.create_new_trial(study._study_id, begun))
            if violation is not None:
                trial.set_constraint(str(CONSTRAINT), violation)
            if state is not None:
                study.tell(trial.number, values, state=state)


def contents(store: Store, name: str) -> dict[str, list[str]]:
    """All of a study's rows in Optuna's tables, but for ids and times; times by being there."""
    tables, found = optuna_tables(), {}
    with store.reading() as connection:
        study = connection.scalar(
            sa.select(tables["studies"].c.study_id).where(tables["studies"].c.study_name == name)
        )
        number = dict(
            connection.execute(
                sa.select(tables["trials"].c.trial_id, tables["trials"].c.number).where(
                    tables["trials"].c.study_id == study
                )
            ).all()
        )
        for table in tables.values():
            rows = [r._mapping for r in connection.execute(sa.select(table))]
            found[table.name] = sorted(
                repr(
                    [
                        (k, v is not None if k.startswith("datetime") else v)
                        for k, v in r.items()
                        if not (k.endswith("_id") or k == "study_name")
                    ]
                    + [number.get(r.get("trial_id"))]
                )
                for r in rows
                if r.get("study_id", study) == study and r.get("trial_id", -1) in {*number, -1}
            )
    return found


def test_every_row_is_what_optunas_own_api_writes(store: Store) -> None:
    write_ours(store)
    write_theirs(store, "two")
    ours, theirs = contents(store, "one"), contents(store, "two")
    assert len(ours["trials"]) == len(ENDINGS) + 1
    assert {name for name, rows in ours.items() if rows} >= {
        "trial_params",
        "trial_values",
        "trial_system_attributes",
        "trial_user_attributes",
        "study_directions",
        "study_system_attributes",
    }
    assert ours == theirs


def test_optuna_reads_the_study(store: Store) -> None:
    write_ours(store)
    with optunas(store) as storage:
        study = optuna.load_study(study_name="one", storage=storage)
        read = study.get_trials()
        assert [d.name.lower() for d in study.directions] == list(OBJECTIVES.values())
        assert study.metric_names == list(OBJECTIVES)
        assert [t.number for t in study.best_trials] == [0, 1]  # not the infeasible ones
    assert [t.number for t in read] == list(range(len(ENDINGS) + 1))
    offered = distributions(SPACE)
    for trial, (_, _, state, values, violation) in zip(read, ENDINGS, strict=False):
        architecture = architecture_of(trial.number)
        assert (trial.state, trial.values) == (state, values)
        assert trial.params == dict(architecture.choices)
        assert trial.distributions == {n: offered[n] for n in architecture.choices}
        assert trial.user_attrs["nas:ordinal"] == trial.number
        assert trial.user_attrs["nas:architecture"] == architecture.key
        assert trial.constraints == ({} if violation is None else {str(CONSTRAINT): violation})
        assert trial.duration is not None
    assert (read[-1].state, read[-1].datetime_complete) == (TrialState.RUNNING, None)


def test_times_are_as_optuna_writes_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Naive and local when read, whatever the tables hold: no time zone apart."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    now = datetime.now(UTC).astimezone().replace(tzinfo=None)
    write_ours(store)
    with optunas(store) as storage:
        trial = optuna.load_study(study_name="one", storage=storage).get_trials()[0]
    monkeypatch.undo()
    time.tzset()
    for moment in (trial.datetime_start, trial.datetime_complete):
        assert moment is not None
        assert abs((moment - now).total_seconds()) < 60


@pytest.mark.parametrize(
    ("value", "state"), [(float("inf"), TrialState.COMPLETE), (float("nan"), TrialState.PRUNED)]
)
def test_values_that_are_not_finite(store: Store, value: float, state: TrialState) -> None:
    """Optuna has a place for an infinite one, and takes no NaN."""
    twin = twin_of(store)
    with store.writing() as connection:
        begun = twin.begin(connection, 0, PLAIN)
        twin.end(connection, begun, record(0, "complete", {"accuracy": value, "params": 1}))
    with optunas(store) as storage:
        trial = storage.get_trial(begun)
    assert (trial.state, trial.values) == (state, [value, 1] if state.name == "COMPLETE" else None)


def test_a_trial_is_ended_once(store: Store) -> None:
    twins = write_ours(store)
    before = contents(store, "one")
    twin = twin_of(store)
    with store.writing() as connection:
        twin.end(connection, twins[0], record(0, "failed", {}))
        twin.mark(connection, twins[:-1], "WAITING")
    assert contents(store, "one") == before
    with store.writing() as connection:  # the one that is under way is ended
        twin.end(connection, twins[-1], record(len(ENDINGS), "failed", {}))
    assert contents(store, "one") != before


def test_marks_say_whether_a_driver_has_a_trial(store: Store) -> None:
    *_, under_way = write_ours(store)
    twin = twin_of(store)

    def state() -> TrialState:
        with optunas(store) as storage:
            return storage.get_trial(under_way).state

    with store.writing() as connection:
        twin.mark(connection, [under_way], "WAITING")
    assert state() == TrialState.WAITING
    with store.writing() as connection:
        twin.mark(connection, [under_way], "RUNNING")
    assert state() == TrialState.RUNNING


def test_nothing_is_left_of_a_transaction_that_fails(store: Store) -> None:
    twins = write_ours(store)
    before, twin = contents(store, "one"), twin_of(store)

    def fail_late() -> None:
        with store.writing() as connection:
            twin.begin(connection, 99, PLAIN)
            twin.end(connection, twins[-1], record(len(ENDINGS), "failed", {}))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_late()
    assert contents(store, "one") == before


def numbers(store: Store) -> list[int]:
    table = optuna_tables()["trials"]
    with store.reading() as connection:
        return sorted(connection.scalars(sa.select(table.c.number)))


def begin_many(store: Store, lock: bool, ordinals: range, start: threading.Barrier) -> None:
    mine = Store(store.storage)
    twin = twin_of(mine)
    for ordinal in ordinals:
        start.wait(10)
        with mine.writing() as connection:
            if lock:
                mine.row(connection, "one", lock=True)
            twin.begin(connection, ordinal, PLAIN)
            if not lock:
                start.wait(10)
    mine.engine.dispose()


@pytest.mark.parametrize("lock", [True, False])
def test_two_drivers_number_their_trials_under_the_studys_lock(store: Store, lock: bool) -> None:
    """Consecutively; without it (the control) PostgreSQL would give a number twice."""
    if not lock and store.url.get_backend_name() == "sqlite":
        pytest.skip("SQLite has one writer at a time, lock or not")
    start = threading.Barrier(2)
    drivers = [
        threading.Thread(target=begin_many, args=(store, lock, range(first, first + 8), start))
        for first in (0, 8)
    ]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join(60)
    assert (numbers(store) == list(range(16))) is lock


def test_drivers_that_start_at_once_make_one_study(store: Store) -> None:
    """Of tables, versions and study there is one each, and Optuna takes the tables for its own."""
    start, failed = threading.Barrier(4), []

    def begin() -> None:
        mine = Store(store.storage)
        start.wait(10)
        try:
            twin_of(mine)
        except Exception as error:
            failed.append(error)

    drivers = [threading.Thread(target=begin) for _ in range(4)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join(60)
    assert failed == []
    with optunas(store) as storage:
        assert storage.get_current_version() == storage.get_head_version() == REVISION
        assert [s.study_name for s in storage.get_all_studies()] == ["one"]


def unlink(connection: sa.Connection) -> None:
    """As an older version of this program left it."""
    connection.execute(sa.update(trials).values(twin=None))


def lose_all(connection: sa.Connection) -> None:
    """As an imported study comes."""
    delete_twin(connection, "one")
    unlink(connection)


def delete_with_optuna(connection: sa.Connection) -> None:
    delete_twin(connection, "one")


def lose_the_first(connection: sa.Connection) -> None:
    """Only some have no rows, and those that have are not the first."""
    first = sa.select(trials.c.twin).where(trials.c.ordinal < 3).scalar_subquery()
    kinds = ("params", "values", "user_attributes", "system_attributes")
    for name in (*(f"trial_{kind}" for kind in kinds), "trials"):
        table = optuna_tables()[name]
        connection.execute(sa.delete(table).where(table.c.trial_id.in_(first)))


def reopen(connection: sa.Connection) -> None:
    """As an older version left ended trials when it was killed between the two sides."""
    table = optuna_tables()["trials"]
    connection.execute(sa.update(table).values(state="RUNNING", datetime_complete=None))
    connection.execute(sa.delete(optuna_tables()["trial_values"]))


def reopen_and_unlink(connection: sa.Connection) -> None:
    reopen(connection)
    unlink(connection)


def wait_there(connection: sa.Connection) -> None:
    table = optuna_tables()["trials"]
    change = sa.update(table).where(table.c.state == "RUNNING")
    connection.execute(change.values(state="WAITING"))


GAPS: list[Callable[[sa.Connection], None]] = [
    unlink,
    lose_all,
    delete_with_optuna,
    reopen,
    reopen_and_unlink,
    wait_there,
]


@pytest.mark.parametrize("damage", GAPS)
def test_repair_closes_each_gap(
    store: Store, damage: Callable[[sa.Connection], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.store.twin._CHUNK", 4)  # more trials than are made at a time
    write_ours(store)
    whole = contents(store, "one")
    with store.writing() as connection:
        damage(connection)
    twin = twin_of(store)
    with store.writing() as connection:
        twin.repair(connection)
    assert contents(store, "one") == whole
    with store.reading() as connection:
        link = sa.select(trials.c.ordinal, trials.c.twin).order_by(trials.c.ordinal)
        links = dict(connection.execute(link).all())
    with optunas(store) as storage:
        study = storage.get_study_id_from_name("one")
        read = {t._trial_id: t.user_attrs["nas:ordinal"] for t in storage.get_all_trials(study)}
    assert {twin: ordinal for ordinal, twin in links.items()} == read


def test_repair_gives_what_is_missing_numbers_behind_the_others(store: Store) -> None:
    write_ours(store)
    with store.writing() as connection:
        lose_the_first(connection)
    twin = twin_of(store)
    with store.writing() as connection:
        twin.repair(connection)
    last = len(ENDINGS) + 1
    assert numbers(store) == list(range(3, last + 3))


def writes(store: Store, twin: Twin) -> int:
    """How many statements of a repair write anything."""
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement.split()[0])

    sa.event.listen(store.engine, "before_cursor_execute", note)
    with store.writing() as connection:
        twin.repair(connection)
    sa.event.remove(store.engine, "before_cursor_execute", note)
    assert seen, "the repair looks"
    return sum(word in ("INSERT", "UPDATE", "DELETE") for word in seen)


def test_what_is_whole_is_not_written_to(store: Store) -> None:
    write_ours(store)
    twin = twin_of(store)
    assert writes(store, twin) == 0
    with store.writing() as connection:
        reopen(connection)
    assert writes(store, twin) > 0


def test_tables_of_a_revision_that_is_not_known_are_refused(store: Store) -> None:
    twin_of(store)
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v9.0.0.a'")
    with pytest.raises(
        StoreError, match=r"expected .*v3\.2\.0\.a.*found v9\.0\.0\.a.*pip install"
    ) as e:
        twin_of(store)
    assert "secret" not in str(e.value)


def test_deleting_leaves_other_studies_alone(store: Store) -> None:
    write_ours(store)
    write_theirs(store, "two")
    before = contents(store, "two")
    with store.writing() as connection:
        delete_twin(connection, "one")
    assert contents(store, "two") == before
    with store.reading() as connection:
        left = {t.name: connection.execute(sa.select(t)).all() for t in optuna_tables().values()}
        assert connection.scalar(sa.select(studies.c.name)) == "one"
    assert len(left["trials"]) == len(before["trials"])
    assert len(left["trial_params"]) == len(before["trial_params"])
    assert [s.study_name for s in left["studies"]] == ["two"]


def test_deleting_what_optuna_never_knew_is_nothing(store: Store) -> None:
    with store.writing() as connection:
        delete_twin(connection, "one")
    assert not sa.inspect(store.engine).has_table("studies")
