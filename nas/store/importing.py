"""Taking a study from a file: all of it or nothing, and every fault is named with its line."""

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from evaluators import artifacts
from nas.record import ENDED
from nas.store import schema
from nas.store.invariants import broken_invariants
from nas.store.moving import BELONGS_TO, FORMAT, FORMAT_VERSION, KEYS, PARTS, columns, with_place
from nas.store.places import recorded_place, resolved_place
from nas.store.read import Store
from nas.store.rows import objectives_of
from nas.store.urls import StoreError
from search_spaces import Architecture

# How many rows one statement writes.
_BATCH = 500
# The JSON columns that hold no object.
_LISTS = ("pending", "start", "formats")
_STATES = {"study": ("new", "stopped", "finished"), "trial": ("waiting", *ENDED)}


def import_study(store: Store, lines: Iterable[str], where: str, name: str | None = None) -> str:
    """Write the study of a file, in one transaction; returns its name.

    Optuna's rows are made by the study's next run.

    Args:
        where: the file, for messages.
        name: another name than the one in the file.

    Raises:
        StoreError: the file is no study or is damaged, or the database has one of that name.
    """
    return _Import(store, where, name).take(lines)


class _Import:
    """One file on its way into the database."""

    def __init__(self, store: Store, where: str, name: str | None) -> None:
        self._store, self._where, self._name = store, where, name
        self._place = recorded_place(store.engine)
        self._artifacts = resolved_place(store.engine, self._place)
        self._number = 0
        self._study = 0
        self._seen: dict[str, set[tuple[Any, ...]]] = {part: set() for part in PARTS}
        self._order: set[int] = set()
        self._counts = dict.fromkeys((*PARTS, "artifact"), 0)
        self._waiting: dict[str, list[dict[str, Any]]] = {part: [] for part in KEYS}

    def take(self, lines: Iterable[str]) -> str:
        entries = self._entries(lines)
        kind, header = next(entries, ("nothing", None))
        self._check_header(kind, header)
        with self._store.writing() as connection:
            name = self._take_study(connection, *next(entries, ("nothing", None)))
            for kind, content in entries:
                if kind == "end":
                    self._check_end(content, entries)
                    break
                self._take(connection, kind, content)
            else:
                raise self._fault('expected a last line "end", the file ends before it: cut off?')
            for part in KEYS:
                self._flush(connection, part)
            if broken := broken_invariants(connection, self._study):
                raise self._fault(f"the study does not hold together: {'; '.join(broken)}")
        return name

    def _entries(self, lines: Iterable[str]) -> Iterator[tuple[str, Any]]:
        """The kind and the content of each line."""
        try:
            for self._number, text in enumerate(lines, start=1):
                try:
                    value = json.loads(text)
                except ValueError:
                    value = None
                if not isinstance(value, dict) or len(value) != 1:
                    raise self._fault("expected a JSON object of one key, as nas storage export")
                yield next(iter(value.items()))
        except UnicodeDecodeError:
            raise self._fault("expected text in UTF-8 after this line") from None

    def _check_header(self, kind: str, header: Any) -> None:
        if kind != FORMAT or not isinstance(header, dict):
            raise self._fault(f'expected a file of nas storage export, with "{FORMAT}" first')
        for what, known in (("version", FORMAT_VERSION), ("tables", schema.VERSION)):
            found = header.get(what)
            if not isinstance(found, int) or found > known:
                raise self._fault(
                    f'expected "{what}" up to {known}, got {found!r}: written by gnn-nas '
                    f"{header.get('program', '')}, use that version or a later one"
                )

    def _check_end(self, content: Any, entries: Iterator[tuple[str, Any]]) -> None:
        # Files of earlier versions do not count what these had not.
        if (
            not isinstance(content, dict)
            or dict.fromkeys(self._counts, 0) | content != self._counts
        ):
            raise self._fault(f"the file is not complete: expected {content}, got {self._counts}")
        if next(entries, None) is not None:
            raise self._fault('expected nothing after the line "end"')

    def _take_study(self, connection: sa.Connection, kind: str, content: Any) -> str:
        if kind != "study":
            raise self._fault(f'expected the "study" after the first line, got "{kind}"')
        row = self._checked("study", content)
        try:
            objectives_of(row["spec"])
            spec = with_place(row["spec"], artifacts.store_path(self._artifacts))
            name = row["name"] if self._name is None else self._name
            spec["study"] = {**spec["study"], "name": name}
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._fault("expected a study file as it was stored under spec") from None
        if not name.strip():
            raise StoreError("expected a name for the study, got an empty one")
        self._store.refuse_existing(connection, name)
        row |= {"name": name, "spec": spec, "artifacts": self._place}
        inserted = connection.execute(sa.insert(schema.studies).values(row)).inserted_primary_key
        self._study = int(inserted[0])  # type: ignore[index]
        self._counts["study"] += 1
        return str(name)

    def _take(self, connection: sa.Connection, kind: str, content: Any) -> None:
        if kind == "artifact":
            self._take_artifact(content)
        elif kind in KEYS:
            row = self._checked(kind, content)
            self._check_place(kind, row)
            self._waiting[kind].append({**row, "study_id": self._study})
            if len(self._waiting[kind]) >= _BATCH:
                self._flush(connection, kind)
        else:
            expected = ", ".join(map(repr, (*KEYS, "artifact", "end")))
            raise self._fault(f"expected one of {expected}, got {kind!r}")
        self._counts[kind] += 1

    def _check_place(self, kind: str, row: dict[str, Any]) -> None:
        """Whether a row may stand beside those before it."""
        key = tuple(row[name] for name in KEYS[kind])
        if key in self._seen[kind]:
            raise self._fault(f"the {kind} {key} is there twice")
        self._seen[kind].add(key)
        if (whole := BELONGS_TO.get(kind)) and key[:1] not in self._seen[whole]:
            raise self._fault(f"there is no {whole} {key[0]} before this {kind}")
        if kind == "trial" and row["seq"] is not None:
            if row["seq"] in self._order:
                raise self._fault(f"two trials ended as number {row['seq']}")
            self._order.add(row["seq"])

    def _take_artifact(self, content: Any) -> None:
        try:
            data = base64.b64decode(content["base64"], validate=True)
            expected = content["sha256"]
        except (KeyError, TypeError, binascii.Error, ValueError):
            raise self._fault("expected an artifact with its sha256 and base64") from None
        found = hashlib.sha256(data).hexdigest()
        if found != expected:
            raise self._fault(f"the artifact {expected!r} is damaged: its hash is {found}")
        artifacts.write(self._artifacts, data)

    def _flush(self, connection: sa.Connection, part: str) -> None:
        rows, self._waiting[part] = self._waiting[part], []
        if rows:
            connection.execute(sa.insert(PARTS[part]), rows)

    def _checked(self, part: str, content: Any) -> dict[str, Any]:
        """The row of a line; what older tables did not have is what it is in a new database."""
        if not isinstance(content, dict):
            raise self._fault(f"expected the {part} as an object, got {content!r}")
        known = {column.name: column for column in columns(part)}
        if unknown := sorted(content.keys() - known.keys()):
            raise self._fault(f"no {part} has {', '.join(unknown)}")
        row = {}
        for name, column in known.items():
            if name in content:
                row[name] = content[name]
            elif column.nullable:
                row[name] = None
            elif column.server_default is None:
                raise self._fault(f"expected {name} in the {part}")
            else:
                row[name] = column.type.python_type(0)
            if complaint := _complaint(column, row[name]):
                raise self._fault(f"{name} of the {part}: expected {complaint}, got {row[name]!r}")
        self._check_values(part, row)
        return row

    def _check_values(self, part: str, row: dict[str, Any]) -> None:
        states = _STATES.get(part)
        if states and row["state"] not in states:
            expected = ", ".join(states)
            raise self._fault(f"state of the {part}: expected {expected}, got {row['state']!r}")
        if row.get("architecture") is not None:
            try:
                Architecture.from_json(row["architecture"])
            except (KeyError, TypeError, ValueError):
                raise self._fault("expected an architecture with space and choices") from None

    def _fault(self, what: str) -> StoreError:
        return StoreError(f"{self._where}, line {self._number}: {what}; nothing has been imported")


def _complaint(column: "sa.Column[Any]", value: Any) -> str:
    """What a column takes, where it does not take the value."""
    if value is None:
        return "" if column.nullable else "a value"
    kind = column.type
    if isinstance(kind, sa.String):
        longest = math.inf if kind.length is None else kind.length
        fits = isinstance(value, str) and len(value) <= longest and "\0" not in value
        return "" if fits else f"text of up to {longest} characters"
    if isinstance(kind, sa.Boolean):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(kind, sa.Integer):
        fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31
        return "" if fits else "a whole number of 32 bits"
    if isinstance(kind, sa.Float):
        return "" if isinstance(value, int | float) and not isinstance(value, bool) else "a number"
    if column.name in _LISTS:
        return "" if isinstance(value, list) else "a list"
    return "" if isinstance(value, dict) else "an object"
