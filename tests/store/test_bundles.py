"""The bundles of a trial are recorded with it, once each, and go where the study goes."""

import io
from pathlib import Path
from typing import Any

import pytest
from fakes.studies import fake_spec
from sqlalchemy import event
from sqlalchemy.engine import Engine

from nas.bundling import recorded
from nas.store import Store, StoreError
from nas.store.bundles import store_bundle, stored_bundles
from nas.store.exporting import export_study
from nas.store.housekeeping import delete_study
from nas.store.importing import import_study
from nas.store.invariants import broken_invariants
from nas.study import search

ONE, OTHER = "1" * 64, "2" * 64


def searched(database: str) -> Store:
    search(fake_spec(2), storage=database, data_root=Path())
    return Store(database)


def digests(store: Store, trial: int = 0) -> list[tuple[str, list[str]]]:
    return [(row["digest"], row["formats"]) for row in stored_bundles(store, "fake", trial)]


def test_each_is_recorded_once(database: str) -> None:
    store = searched(database)
    assert digests(store) == []
    for digest, formats in ((ONE, ["aoti", "pt2"]), (OTHER, ["pt2"]), (ONE, ["aoti", "pt2"])):
        store_bundle(store, "fake", 0, digest, formats)
    assert sorted(digests(store)) == [(ONE, ["aoti", "pt2"]), (OTHER, ["pt2"])]
    assert digests(store, 1) == []
    with pytest.raises(StoreError, match='no study "other"'):
        store_bundle(store, "other", 0, ONE, [])


def test_they_move_with_the_study_and_go_with_it(database: str, tmp_path: Path) -> None:
    store = searched(database)
    store_bundle(store, "fake", 1, ONE, ["pt2"])
    file = io.StringIO()
    assert export_study(store, "fake", file)["bundle"] == 1
    other = Store(f"sqlite:///{tmp_path / 'other.db'}")
    lines = file.getvalue().splitlines(keepends=True)
    import_study(other, lines, "a file")
    assert stored_bundles(other, "fake", 1) == stored_bundles(store, "fake", 1)
    delete_study(store, "fake")
    with store.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM nas_bundles").scalar() == 0
    wrong = [line.replace('"ordinal":1,"digest"', '"ordinal":7,"digest"') for line in lines]
    with pytest.raises(StoreError, match="there is no trial 7 before this bundle"):
        import_study(store, wrong, "a file")


def test_one_of_no_trial_breaks_an_invariant(storage: str) -> None:
    store = searched(storage)
    with store.reading() as connection:
        assert broken_invariants(connection, 1) == []
    store_bundle(store, "fake", 7, ONE, [])
    with store.reading() as connection:
        assert broken_invariants(connection, 1) == ["1 bundles have no trial"]


def _read_only(connection: Any, _record: Any) -> None:
    connection.execute("pragma query_only=on")


def test_a_database_that_takes_nothing_is_told_in_words(storage: str) -> None:
    """Whatever it is, nothing is raised: the bundle is there."""
    store = searched(storage)
    manifest = {
        "provenance": {"study": "fake", "trial": 0},
        "programs": [{"exporter": "pt2"}],
        "digest": ONE,
    }
    assert recorded(storage, manifest) == ""
    assert digests(store) == [(ONE, ["pt2"])]
    gone = recorded(f"{storage}.gone", manifest)
    assert "the bundle is written, but its digest could not be recorded" in gone
    assert "there is no database" in gone
    event.listen(Engine, "connect", _read_only)
    try:
        assert "readonly database" in recorded(storage, {**manifest, "digest": OTHER})
    finally:
        event.remove(Engine, "connect", _read_only)
    assert digests(store) == [(ONE, ["pt2"])]
    delete_study(store, "fake")
    assert 'no study "fake"' in recorded(storage, manifest)
    assert recorded(storage, {**manifest, "provenance": {"study": None, "trial": None}}) == ""
