"""Renaming and deleting studies, in our tables and in Optuna's."""

import sqlalchemy as sa

from nas.store.engine import StoreError
from nas.store.optuna_tables import delete_twin
from nas.store.read import OPTUNA_STUDIES, Store
from nas.store.schema import metadata, studies


def rename_study(store: Store, name: str, new: str) -> None:
    """Give a study another name, in our tables and in Optuna's."""
    if not new.strip():
        raise StoreError("expected a name for the study, got an empty one")
    store.refuse_running(name)
    with store.writing() as connection:
        row = store.row(connection, name, lock=True)
        store.refuse_existing(connection, new)
        spec = {**row["spec"], "study": {**row["spec"]["study"], "name": new}}
        change = sa.update(studies).where(studies.c.id == row["id"])
        connection.execute(change.values(name=new, spec=spec))
        if sa.inspect(connection).has_table(OPTUNA_STUDIES.name):
            twin = sa.update(OPTUNA_STUDIES).where(OPTUNA_STUDIES.c.study_name == name)
            connection.execute(twin.values(study_name=new))


def delete_study(store: Store, name: str) -> None:
    """Remove a study and its rows; its artifacts stay until `nas gc`.

    Raises:
        StoreError: no such study, or a driver is running it.
    """
    store.refuse_running(name)
    with store.writing() as connection:
        delete_twin(connection, name)
        study = store.row(connection, name, lock=True)["id"]
        for table in (t for t in metadata.tables.values() if "study_id" in t.c):
            connection.execute(sa.delete(table).where(table.c.study_id == study))
        connection.execute(sa.delete(studies).where(studies.c.id == study))
