"""Writing a new study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from nas.store.places import recorded_place
from nas.store.read import Store
from nas.store.schema import studies
from search_spaces import Architecture


def now() -> str:
    """The time, as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class NewStudy:
    """What a study is created with."""

    name: str
    spec: Mapping[str, Any]
    space: Mapping[str, Any]
    task: Mapping[str, Any]
    dataset: str
    start: Sequence[Architecture]
    target: int | None
    latency: Mapping[str, Any] | None = None


def refuse_existing(store: Store, name: str) -> None:
    """Raise when the database has a study of that name already."""
    with store.reading() as connection:
        store.refuse_existing(connection, name)


def create_study(store: Store, new: NewStudy) -> None:
    """Write a new study's row.

    Raises:
        StoreError: there is a study of that name.
    """
    with store.writing() as connection:
        store.refuse_existing(connection, new.name)
        connection.execute(
            sa.insert(studies).values(
                name=new.name,
                state="new",
                reason="",
                spec=dict(new.spec),
                space=dict(new.space),
                task=dict(new.task),
                dataset=new.dataset,
                latency=new.latency,
                start=[a.to_json() for a in new.start],
                artifacts=recorded_place(store.engine),
                target=new.target,
                seconds=0.0,
                next_ordinal=0,
                next_seq=0,
                created=now(),
                changed=now(),
            )
        )
