"""What a study can be told to: each kind is a module with `open_logger`, and needs a package."""

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nas._tables import LogTable
from nas.spec import SpecError
from nas.watching.points import Point

# Key of [log]: the package that its module needs. The extra has the name of the key.
NEEDS: Mapping[str, str] = {"tensorboard": "tensorboard", "mlflow": "mlflow"}


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


class Logger(Protocol):
    """Where points go."""

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


def refuse_missing(log: LogTable | None, where: str) -> None:
    """Raise where a study is to be told to what is not installed here.

    Raises:
        SpecError: with the command that installs it.
    """
    for kind in places(log) if log is not None else ():
        if importlib.util.find_spec(NEEDS[kind]) is None:
            raise SpecError(
                f"{where}: [log] {kind}: the package {NEEDS[kind]} is not installed: "
                f"pip install 'gnn-nas[{kind}]', or leave the key out"
            )
