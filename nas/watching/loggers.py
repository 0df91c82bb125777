"""What a study can be told to: each kind is a module with `open_logger`, and needs a package."""

import importlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from nas._tables import LogTable
from nas.spec import SpecError
from nas.watching.points import Point

# Key of [log]: the package that its module needs. The extra has the name of the key.
NEEDS: Mapping[str, str] = {"tensorboard": "tensorboard", "mlflow": "mlflow"}
# Of MLflow's own stores of runs; plug-ins of it have more.
_LOCAL = ("sqlite", "file")
_SCHEMES = ("http", "https", "databricks", "postgresql", "mysql", "mssql", *_LOCAL)
_PLUGINS = "mlflow.tracking_store"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9.-]*)(?:\+[^:/]*)?://")


@dataclass(frozen=True)
class Subject:
    """What a logger has to know of the study.

    Attributes:
        name: of the study.
        identity: of no other study, in any database, of the same name or not.
        settings: what it was begun with, by dotted names.
        objectives: {metric: direction}.
    """

    name: str
    identity: str
    settings: Mapping[str, str]
    objectives: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """How a study stands, as its record has it.

    Attributes:
        state: running, stopped or finished.
        reason: why it is not running.
        seconds: since 1970; when it last changed.
    """

    state: str
    reason: str
    seconds: float


class Logger(Protocol):
    """Where points go."""

    def mark(self, standing: Standing) -> None:
        """Have it written how the study stands; called when it is opened, and before its close."""

    def write(self, points: Sequence[Point]) -> None:
        """Have points written when this returns; those that are there are left as they are."""

    def close(self) -> None:
        """Let go of what is open."""


# None: another process of this study is at it, and this one is to ask again later.
Open = Callable[[str, Subject], Logger | None]


def places(log: LogTable) -> dict[str, str]:
    """{kind: where to} of those that are wanted."""
    return {kind: place for kind in NEEDS if (place := getattr(log, kind)) is not None}


def opening(kind: str) -> Open:
    """The function that opens a logger of a kind.

    Raises:
        ModuleNotFoundError: its package is not installed.
    """
    found: Open = importlib.import_module(f"nas.watching.{kind}").open_logger
    return found


def is_server(place: str) -> bool:
    """Whether what is written there goes to another process, which may not answer."""
    scheme = _SCHEME.match(place)
    return place == "databricks" or (scheme is not None and scheme[1].lower() not in _LOCAL)


def refuse_unfit(log: LogTable | None, where: str) -> None:
    """Raise where a study is to be told to what is not installed here, or cannot be told to.

    Raises:
        SpecError: with what installs it, or with what was expected.
    """
    for kind, place in places(log).items() if log is not None else ():
        if importlib.util.find_spec(NEEDS[kind]) is None:
            raise SpecError(
                f"{where}: [log] {kind}: the package {NEEDS[kind]} is not installed: "
                f"pip install 'gnn-nas[{kind}]', or leave the key out"
            )
        scheme = _SCHEME.match(place) if kind == "mlflow" else None
        if scheme is not None:
            _refuse_scheme(scheme[1], place, where)
        elif place != "databricks":
            _refuse_file(kind, place, where)


def _refuse_scheme(scheme: str, place: str, where: str) -> None:
    added = [point.name for point in importlib.metadata.entry_points(group=_PLUGINS)]
    if scheme.lower() not in (*_SCHEMES, *added):
        raise SpecError(
            f"{where}: [log] mlflow: expected a tracking URI that begins with one of "
            f"{', '.join(f'{each}://' for each in sorted({*_SCHEMES, *added}))}, or a folder, got "
            f'"{place}"'
        )


def _refuse_file(kind: str, place: str, where: str) -> None:
    folder = Path(place)
    for part in (folder, *folder.parents):
        if part.exists():
            if not part.is_dir():
                raise SpecError(
                    f'{where}: [log] {kind}: expected a folder, got "{place}", and "{part}" is a '
                    "file; name another, or move it away"
                )
            return
