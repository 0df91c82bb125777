"""Databases of every earlier version are brought up to date and keep what they hold."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine

from nas.store import Store, StoreError, schema
from nas.store.engine import engine_options, harden, parse_url
from nas.store.invariants import broken_invariants

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = sorted(file.stem for file in GOLDEN.glob("*.sql"))
fork = multiprocessing.get_context("fork")


def bare_engine(storage: str) -> Engine:
    url = parse_url(storage)
    engine = sa.create_engine(url, **engine_options(url))
    harden(engine)
    return engine


def make_golden(storage: str, version: str) -> dict[str, list[dict[str, Any]]]:
    """A database as that version wrote it; returns its rows."""
    engine = bare_engine(storage)
    script = (GOLDEN / f"{version}.sql").read_text(encoding="utf-8")
    if engine.dialect.name == "sqlite":
        script = script.replace("SERIAL", "INTEGER")
    with engine.begin() as connection:
        for statement in filter(str.strip, script.split(";\n")):
            connection.exec_driver_sql(statement)
    rows = rows_of(engine)
    engine.dispose()
    return rows


def rows_of(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    found = {}
    with engine.connect() as connection:
        for name in sa.inspect(connection).get_table_names():
            table = sa.Table(name, sa.MetaData(), autoload_with=connection)
            rows = connection.execute(sa.select(table)).mappings()
            found[name] = sorted((dict(row) for row in rows), key=repr)
    return found


def shape_of(storage: str) -> dict[str, Any]:
    """All that the database says of its tables, but for the order of columns."""
    engine = bare_engine(storage)
    inspector = sa.inspect(engine)
    shape = {
        name: {
            "columns": {
                c["name"]: (str(c["type"]), c["nullable"], c["default"], c.get("autoincrement"))
                for c in inspector.get_columns(name)
            },
            "key": inspector.get_pk_constraint(name)["constrained_columns"],
            "foreign": [
                (k["constrained_columns"], k["referred_table"], k["options"])
                for k in inspector.get_foreign_keys(name)
            ],
            "unique": sorted(u["column_names"] for u in inspector.get_unique_constraints(name)),
            "indexes": sorted(
                (str(i["name"]), i["column_names"], i["unique"])
                for i in inspector.get_indexes(name)
            ),
        }
        for name in inspector.get_table_names()
    }
    engine.dispose()
    return shape


def version_of(storage: str) -> tuple[int, str | None]:
    """What programs before alembic read, and what alembic reads."""
    engine = bare_engine(storage)
    with engine.connect() as connection:
        ours = connection.exec_driver_sql("SELECT version FROM nas_database").scalar_one()
        has = sa.inspect(connection).has_table("nas_alembic_version")
        query = "SELECT version_num FROM nas_alembic_version"
        steps = connection.exec_driver_sql(query).scalar_one() if has else None
    engine.dispose()
    return ours, steps


@pytest.mark.parametrize("version", VERSIONS)
def test_an_earlier_version_ends_as_a_new_database_and_keeps_its_rows(
    database: str, version: str, new_database: Callable[[str], str]
) -> None:
    before = make_golden(database, version)
    # Alembic's own table came with version 6.
    number = int(version[1])
    assert version_of(database) == (number, str(number) if number >= 6 else None)
    store = Store.open_existing(database)
    assert version_of(database) == (schema.VERSION, str(schema.VERSION))

    after = rows_of(store.engine)
    for table, rows in before.items():
        if table in ("nas_database", "nas_alembic_version"):
            continue
        kept = [{name: row[name] for name in rows[0] if name in row} for row in after[table]]
        if (version, table) == ("v1_first", "nas_evaluations"):
            # Its failures are in the trials' rows as well, which is where they are read.
            rows = [row for row in rows if row.pop("failure") is None]
        assert sorted(kept, key=repr) == sorted(rows, key=repr), table
    assert after["nas_database"][0]["id"] == before["nas_database"][0]["id"]
    assert store.status("old").trials.complete == 1
    assert [trial.state for trial in store.trials("old")] == ["complete", "failed", "waiting"]
    assert [rung["epoch"] for rung in store.evaluations("old", 0)] == [5, 10]

    new = new_database(parse_url(database).get_backend_name().replace("postgresql", "postgres"))
    Store(new)
    assert shape_of(database) == shape_of(new)
    assert version_of(new) == (schema.VERSION, str(schema.VERSION))


def test_a_study_of_before_there_were_preparations_has_none(database: str) -> None:
    """Its trials inherit as they did, in the one way that there was."""
    make_golden(database, "v6")
    store = Store.open_existing(database)
    assert store.prepared("old") == {}
    assert [(trial.inherit_by, trial.prepared) for trial in store.trials("old")] == [
        (None, None)
    ] * 3
    assert store.status("old").trials.complete == 1
    with store.reading() as connection:
        assert broken_invariants(connection, 1) == []


def test_what_reflection_compares_sees_a_missing_column(database: str, new_database: Any) -> None:
    Store(database)
    before = shape_of(database)
    with bare_engine(database).begin() as connection:
        connection.exec_driver_sql("ALTER TABLE nas_trials DROP COLUMN deaths")
    assert shape_of(database) != before


def test_the_last_step_leads_to_the_version_of_the_program() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "nas.store:migrations")
    steps = ScriptDirectory.from_config(config)
    assert steps.get_heads() == [str(schema.VERSION)]
    versions = [str(version) for version in range(schema.VERSION, 0, -1)]
    assert [step.revision for step in steps.walk_revisions()] == versions


def test_optunas_tables_beside_ours_keep_their_own_version(database: str) -> None:
    import optuna

    make_golden(database, "v4")
    url = parse_url(database).render_as_string(hide_password=False)
    optuna.create_study(study_name="theirs", storage=url)
    theirs = rows_of(bare_engine(database))["alembic_version"]
    Store(database)
    assert rows_of(bare_engine(database))["alembic_version"] == theirs
    assert optuna.load_study(study_name="theirs", storage=url).trials == []


def test_a_database_of_today_is_opened_without_a_write_or_alembic(database: str) -> None:
    Store(database)
    code = (
        "import sys; from sqlalchemy import event; from sqlalchemy.engine import Engine\n"
        "said = []\n"
        "event.listen(Engine, 'before_cursor_execute', lambda c, u, s, *_: said.append(s))\n"
        "from nas.store import Store\n"
        "Store.open_existing(sys.argv[1]).studies(); Store(sys.argv[1])\n"
        "wrote = ('CREATE', 'ALTER', 'INSERT', 'UPDATE', 'BEGIN IMMEDIATE')\n"
        "print(len(said) > 3, [s for s in said if s.startswith(wrote)], 'alembic' in sys.modules)\n"
    )
    command = [sys.executable, "-c", code, database]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "True [] False\n"


def test_a_process_killed_in_the_middle_leaves_the_old_version_to_be_upgraded_again(
    database: str,
) -> None:
    before = make_golden(database, "v1")

    def open_and_die() -> None:
        def hook(_c: Any, _u: Any, statement: str, *_: Any) -> None:
            if "ADD COLUMN deaths" in statement:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "after_cursor_execute", hook)
        Store(database)

    child = fork.Process(target=open_and_die)
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert version_of(database) == (1, None)
    assert rows_of(bare_engine(database)) == before
    assert Store(database).status("old").trials.complete == 1
    assert version_of(database) == (schema.VERSION, str(schema.VERSION))


def test_a_step_that_fails_changes_nothing_and_says_what_to_do(database: str) -> None:
    before = make_golden(database, "v2")

    def refuse(_c: Any, _u: Any, statement: str, *_: Any) -> None:
        if "ADD COLUMN checkpoint" in statement:
            raise sa.exc.OperationalError(statement, {}, Exception("no room"))

    event.listen(Engine, "before_cursor_execute", refuse)
    try:
        said = rf"version 2, which could not be .* version {schema.VERSION}: no room"
        with pytest.raises(StoreError, match=said):
            Store(database)
    finally:
        event.remove(Engine, "before_cursor_execute", refuse)
    assert rows_of(bare_engine(database)) == before
    Store(database)


def test_one_that_cannot_be_written_to_says_so(storage: str) -> None:
    make_golden(storage, "v1")

    def read_only(connection: Any, _: Any) -> None:
        connection.execute("pragma query_only=on")

    event.listen(Engine, "connect", read_only)
    try:
        with pytest.raises(StoreError, match=r"tables of version 1.*where it can be written to"):
            Store.open_existing(storage)
    finally:
        event.remove(Engine, "connect", read_only)
    assert version_of(storage) == (1, None)


def test_one_of_a_later_program_is_refused_by_this_one(database: str) -> None:
    Store(database)
    with bare_engine(database).begin() as connection:
        connection.exec_driver_sql("UPDATE nas_database SET version = version + 1")
    said = f"tables of version {schema.VERSION + 1}, this program knows {schema.VERSION}"
    with pytest.raises(StoreError, match=said):
        Store(database)


def _open(storage: str, barrier: Any, answers: Any) -> None:
    barrier.wait()
    try:
        answers.put(len(Store(storage).studies()))
    except Exception as error:  # the test shows it
        answers.put(repr(error))


@pytest.mark.parametrize("old", [True, False], ids=["old", "empty"])
def test_of_many_that_open_a_database_at_once_all_are_served(
    old: bool, new_database: Callable[[str], str]
) -> None:
    for kind in ("sqlite", "sqlite", "postgres", "postgres"):
        storage = new_database(kind)
        if old:
            make_golden(storage, "v1")
        barrier, answers = fork.Barrier(4), fork.Queue()
        arguments = (storage, barrier, answers)
        children = [fork.Process(target=_open, args=arguments) for _ in range(4)]
        for child in children:
            child.start()
        assert [answers.get(timeout=60) for _ in children] == [int(old)] * 4
        for child in children:
            child.join()
        assert version_of(storage) == (schema.VERSION, str(schema.VERSION))
