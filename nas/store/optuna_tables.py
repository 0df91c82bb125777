"""Optuna's own tables: made where there are none, refused where they differ."""

import json
from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa

from nas.store.engine import StoreError, hidden_password
from nas.store.read import OPTUNA_STUDIES

# The one revision that is written by plain statements here.
REVISION = "v3.2.0.a"
# Of PostgreSQL's advisory locks, which are numbers: ours for making what Optuna needs.
_MAKING_LOCK = 0x6E6174
# What the functions below import; whoever only reads does without.
LIBRARIES = ("alembic.migration", "alembic.script", "optuna.storages._rdb.models")


def optuna_tables() -> Mapping[str, sa.Table]:
    """{name: table}, as the installed Optuna has them."""
    from optuna.storages._rdb.models import BaseModel

    tables: Mapping[str, sa.Table] = BaseModel.metadata.tables
    return tables


def make_tables(connection: sa.Connection, storage: str) -> None:
    """Make Optuna's tables with their version, where they are not, and refuse other versions."""
    import optuna
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from optuna.storages._rdb import models

    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MAKING_LOCK)))
    script = ScriptDirectory(str(Path(models.__file__).parent / "alembic"))
    context = MigrationContext.configure(connection)
    known, found = script.get_current_head(), context.get_current_revision()
    if known != REVISION or found not in (None, REVISION):
        raise StoreError(
            f"expected Optuna's tables of revision {REVISION} in {hidden_password(storage)}, "
            f"found {found or 'none'}, and Optuna {optuna.__version__} knows {known}; upgrade what "
            f"is older: pip install -U gnn-nas, or: optuna storage upgrade --storage URL"
        )
    if found is None:
        models.BaseModel.metadata.create_all(connection)
        version = optuna_tables()["version_info"]
        if connection.scalar(sa.select(version.c.schema_version)) is None:
            row = {"schema_version": models.SCHEMA_VERSION, "library_version": optuna.__version__}
            connection.execute(sa.insert(version).values(row))
        context.stamp(script, REVISION)


def make_study(connection: sa.Connection, name: str, objectives: Mapping[str, str]) -> int:
    """The id of the Optuna study of that name, which is made where there is none."""
    tables = optuna_tables()
    studies = tables["studies"]
    query = sa.select(studies.c.study_id).where(studies.c.study_name == name)
    found = connection.scalar(query)
    if found is not None:
        return int(found)
    inserted = connection.execute(sa.insert(studies).values(study_name=name)).inserted_primary_key
    study = int(inserted[0])  # type: ignore[index]
    connection.execute(
        sa.insert(tables["study_directions"]),
        [
            {"study_id": study, "objective": i, "direction": direction.upper()}
            for i, direction in enumerate(objectives.values())
        ],
    )
    names = {"key": "study:metric_names", "value_json": json.dumps(list(objectives))}
    connection.execute(sa.insert(tables["study_system_attributes"]).values(study_id=study, **names))
    return study


def delete_twin(connection: sa.Connection, name: str) -> None:
    """Delete the Optuna study, where there is one."""
    if not sa.inspect(connection).has_table(OPTUNA_STUDIES.name):
        return
    tables = optuna_tables()
    study = sa.select(tables["studies"].c.study_id).where(tables["studies"].c.study_name == name)
    study_id = connection.scalar(study)
    of_trials = sa.select(tables["trials"].c.trial_id).where(
        tables["trials"].c.study_id == study_id
    )
    # What refers to others goes before them.
    for table in sorted(tables.values(), key=lambda t: (t.name == "studies", t.name == "trials")):
        if "study_id" in table.c:
            connection.execute(sa.delete(table).where(table.c.study_id == study_id))
        elif "trial_id" in table.c:
            connection.execute(sa.delete(table).where(table.c.trial_id.in_(of_trials)))
