"""Where a database keeps its artifacts, so that no other database's clean-up touches them."""

import os
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from nas.store import schema


def recorded_place(engine: Engine) -> str:
    """What a new study records as its store: a URL, or nothing for SQLite's default.

    By default the artifacts of an SQLite database lie beside its file, and move with it. Under
    `NAS_ARTIFACTS` (a folder or a URL), and for PostgreSQL, each database has a folder of its own.
    """
    named = os.environ.get("NAS_ARTIFACTS", "")
    if not named and engine.dialect.name == "sqlite":
        return ""
    root = named or "nas-artifacts"
    url = root if "://" in root else Path(root).resolve().as_uri()
    with engine.connect().execution_options(read_only=True) as connection:
        database = connection.scalar(sa.select(schema.database.c.id))
    return f"{url.rstrip('/')}/{database}"


def resolved_place(engine: Engine, recorded: str) -> str:
    """The URL of a store from what a study recorded."""
    return recorded or Path(f"{engine.url.database}.artifacts").resolve().as_uri()


def referred_artifacts(connection: sa.Connection, study: int) -> set[str]:
    """The hashes of the artifacts that a study's rows refer to."""
    tables = (schema.trials, schema.evaluations, schema.confirmations, schema.preparations)
    queries = [sa.select(t.c.artifact).where(t.c.study_id == study) for t in tables]
    stopped = schema.trials.c.checkpoint["artifact"].as_string()
    queries.append(sa.select(stopped).where(schema.trials.c.study_id == study))
    return {found for query in queries for found in connection.scalars(query) if found}
