"""A study that is there: opened, and compared with what it is bound to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.binding import refuse_change
from nas.setting_up import set_up
from nas.setup import Setup
from nas.spec import StudySpec
from nas.store import Store
from search_spaces import SearchSpace


@dataclass(frozen=True)
class Opened:
    """A stored study.

    Attributes:
        store: the database.
        row: of the study.
        setup: as its specification makes it now.
    """

    store: Store
    row: Mapping[str, Any]
    setup: Setup

    @property
    def id(self) -> int:
        """Of the row."""
        return int(self.row["id"])

    @property
    def artifacts(self) -> str:
        """URL of its artifact store."""
        return self.store.artifacts(self.row["name"])


def opened(
    store: Store,
    name: str,
    data_root: Path,
    space: SearchSpace | None = None,
    *,
    changed: Callable[[StudySpec], StudySpec] = lambda spec: spec,
    with_latency: bool = True,
) -> Opened:
    """Open a study of a database.

    Args:
        data_root: where raw public datasets lie.
        space: made in Python, where it was so when the study began.
        changed: what this run has otherwise than the stored specification: budget, executor.
        with_latency: whether the profile of `[latency]` is needed.

    Raises:
        UsageError: no such study; its space, data or profile cannot be made, or has changed.
    """
    with store.reading() as connection:
        row = store.row(connection, name)
    spec = changed(StudySpec.from_json(row["spec"]))
    where = f'study "{name}"'
    setup = set_up(spec, data_root, space, where=where, with_latency=with_latency)
    refuse_change(row, setup)
    return Opened(store, row, replace(setup, prepared=store.prepared(name)))
