"""Writing a study to a file that any other database can take it from."""

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import sqlalchemy as sa

from evaluators import Artifact, artifacts
from evaluators.replacing import replacing
from nas.record import ENDED
from nas.store import schema
from nas.store.moving import (
    FORMAT,
    FORMAT_VERSION,
    KEYS,
    PARTS,
    columns,
    graph_of,
    line,
    without_place,
)
from nas.store.places import resolved_place
from nas.store.read import Store
from nas.store.urls import StoreError


def export_to_file(
    store: Store, name: str, to: Path, *, with_artifacts: bool = False
) -> dict[str, int]:
    """Write a study to a new file, which is there when it is complete; returns what it holds.

    Raises:
        StoreError: no such study, or the file is there already or cannot be written.
    """
    if to.exists():
        raise StoreError(f"{to} is there already; delete it, or name another file")
    try:
        with replacing(to) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
            return export_study(store, name, file, with_artifacts=with_artifacts)
    except OSError as error:
        raise StoreError(f"{to} cannot be written: {error.strerror}") from None


def export_study(
    store: Store, name: str, file: TextIO, *, with_artifacts: bool = False
) -> dict[str, int]:
    """Write a study as lines: as it is at one moment, also while it runs; returns what they hold.

    Artifacts that are no longer there are left out, as what they save is only time.

    Raises:
        StoreError: no such study.
    """
    from nas import __version__

    counts = dict.fromkeys((*PARTS, "artifact"), 0)
    header = {"version": FORMAT_VERSION, "tables": schema.VERSION, "program": __version__}
    file.write(line(FORMAT, header))
    used: set[str] = set()
    with store.reading() as connection:
        _see_one_moment(connection)
        study = store.row(connection, name)
        place = resolved_place(store.engine, study["artifacts"])
        for part, row in _rows(connection, study, artifacts.store_path(place)):
            file.write(line(part, row))
            counts[part] += 1
            used |= _artifacts_of(row)
    if with_artifacts:
        for sha256 in sorted(used):
            artifact = Artifact(place, sha256)
            if artifacts.intact(artifact):
                content = base64.b64encode(artifacts.path(artifact).read_bytes()).decode()
                file.write(line("artifact", {"sha256": sha256, "base64": content}))
                counts["artifact"] += 1
    file.write(line("end", counts))
    return counts


def _see_one_moment(connection: sa.Connection) -> None:
    """SQLite's readers always do."""
    if connection.dialect.name == "postgresql":
        connection.execution_options(isolation_level="REPEATABLE READ")


def _rows(
    connection: sa.Connection, study: Mapping[str, Any], folder: Path
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The kind and the content of all rows. What runs is written as what waits."""
    content = _unsigned({column.name: study[column.name] for column in columns("study")})
    content["spec"] = without_place(study["spec"], folder)
    if study["state"] == "running":
        content |= {"state": "stopped", "reason": "exported while it ran"}
    yield "study", content
    for part, key in KEYS.items():
        table = PARTS[part]
        # Rungs are asked for in the order in which they were recorded.
        order = [table.c.id] if part == "evaluation" else [table.c[name] for name in key]
        query = sa.select(*columns(part)).where(table.c.study_id == study["id"]).order_by(*order)
        for row in connection.execute(query).mappings():
            content = _unsigned(row)
            if part == "trial" and content["state"] not in ENDED:
                content["state"] = "waiting"
            yield part, content


def _unsigned(row: "Mapping[str, Any] | sa.RowMapping") -> dict[str, Any]:
    """SQLite does not keep the sign of a zero in a column, PostgreSQL does."""
    return {name: v + 0.0 if isinstance(v, float) else v for name, v in row.items()}


def _artifacts_of(row: Mapping[str, Any]) -> set[str]:
    checkpoint = row.get("checkpoint") or {}
    graph = graph_of(row["spec"]) if "spec" in row else None
    return set(filter(None, (row.get("artifact"), checkpoint.get("artifact"), graph)))
