"""A study as one file of JSON lines, the same whatever database it comes from.

The first line says what the file is, then come the study, its preparations, trials, evaluations,
confirmations, measured latencies, ranking and bundles in a fixed order, artifacts if they were
asked for, and a last line that counts them.
What belongs to one database alone is left out: ids, runs, Optuna's rows, the place of artifacts.
"""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import sqlalchemy as sa

from nas.store.schema import (
    bundles,
    confirmations,
    evaluations,
    latencies,
    preparation_epochs,
    preparations,
    rankings,
    studies,
    trials,
)

FORMAT, FORMAT_VERSION = "gnn-nas study", 1
# What a line may hold, in the order of the file, and where it stands in the database.
PARTS: Mapping[str, sa.Table] = {
    "study": studies,
    "preparation": preparations,
    "preparation_epoch": preparation_epochs,
    "trial": trials,
    "evaluation": evaluations,
    "confirmation": confirmations,
    "latency": latencies,
    "ranking": rankings,
    "bundle": bundles,
}
# What makes a row one of its kind, within a study.
KEYS: Mapping[str, tuple[str, ...]] = {
    "preparation": ("key",),
    "preparation_epoch": ("key", "epoch"),
    "trial": ("ordinal",),
    "evaluation": ("ordinal", "epoch"),
    "confirmation": ("ordinal", "seed"),
    "latency": ("ordinal",),
    "ranking": ("measured",),
    "bundle": ("ordinal", "digest"),
}
_LEFT_OUT: Mapping[str, frozenset[str]] = {
    "study": frozenset({"id", "artifacts", "accounted"}),
    "preparation": frozenset({"study_id", "run_id"}),
    "preparation_epoch": frozenset({"study_id"}),
    "trial": frozenset({"study_id", "run_id", "twin"}),
    "evaluation": frozenset({"id", "study_id"}),
    "confirmation": frozenset({"study_id"}),
    "latency": frozenset({"study_id"}),
    "ranking": frozenset({"study_id"}),
    "bundle": frozenset({"study_id"}),
}
# Whose row must have come before, by the first part of the key.
BELONGS_TO: Mapping[str, str] = {
    "preparation_epoch": "preparation",
    "evaluation": "trial",
    "confirmation": "trial",
    "latency": "trial",
    "bundle": "trial",
}
# In place of the path of a graph that lies among the artifacts.
_AMONG_ARTIFACTS = "artifact:"


def columns(part: str) -> list["sa.Column[Any]"]:
    """What a line of that kind holds."""
    return [column for column in PARTS[part].c if column.name not in _LEFT_OUT[part]]


def line(kind: str, content: object) -> str:
    """One line of the file. Dictionaries keep their order, which is part of what is recorded."""
    text = json.dumps({kind: content}, separators=(",", ":"))
    return f"{text}\n"


def graph_of(spec: Mapping[str, Any]) -> str | None:
    """The hash of a study's graph, where that lies among the artifacts of an exported study."""
    path = str((spec.get("dataset") or {}).get("path", ""))
    return path.removeprefix(_AMONG_ARTIFACTS) if path.startswith(_AMONG_ARTIFACTS) else None


def without_place(spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A stored study file whose graph, if it lies in the artifact store, is named by its hash."""
    path = PurePosixPath(str((spec.get("dataset") or {}).get("path", "")))
    if not path.is_relative_to(folder):
        return dict(spec)
    return {**spec, "dataset": {**spec["dataset"], "path": f"{_AMONG_ARTIFACTS}{path.name}"}}


def with_place(spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The reverse of `without_place`, for another artifact store."""
    sha256 = graph_of(spec)
    if sha256 is None:
        return dict(spec)
    path = folder / sha256[:2] / sha256
    return {**spec, "dataset": {**spec["dataset"], "path": str(path)}}
