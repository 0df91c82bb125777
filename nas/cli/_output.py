"""Rows on stdout: a table for people, JSON or CSV for programs."""

import csv
import io
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import click

Row: TypeAlias = Mapping[str, Any]
FORMATS = ("text", "json", "csv")


def write_json(value: Any) -> None:
    """One JSON value and a line break: all that a command with `--format json` prints."""
    click.echo(json_text(value), nl=False)


def json_text(value: Any) -> str:
    """JSON for people and programs; a number that is not finite is an error, as JSON has none."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    return f"{text}\n"


def write_rows(rows: Sequence[Row], fmt: str, columns: Sequence[str] = ()) -> None:
    """A list of objects: as JSON; as CSV, nested ones flattened (`metrics.val_accuracy`); as text.

    `columns` are the (flattened) columns of the text; the others get them all.
    """
    if fmt == "json":
        write_json(list(rows))
    elif fmt == "csv":
        click.echo(csv_text(rows), nl=False)
    else:
        flat = [flattened(row) for row in rows]
        write_table(columns, [[cell(row.get(name)) for name in columns] for row in flat])


def csv_text(rows: Sequence[Row]) -> str:
    """The rows as CSV under the union of their columns, in the order in which they appear."""
    flat = [flattened(row) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    if columns:
        writer.writeheader()
    writer.writerows(flat)
    return file.getvalue()


def flattened(row: Row, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted columns; lists as JSON; nothing as an empty cell."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            flat[f"{prefix}{name}"] = json.dumps(value, default=_plain)
        else:
            flat[f"{prefix}{name}"] = "" if value is None else value
    return flat


def write_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, clip: bool = True
) -> None:
    """Columns aligned, numbers to the right; with `clip` lines end at the edge of a terminal."""
    lines = [[name.rpartition(".")[2] for name in columns], *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [bool(rows) and all(_numeric(row[i]) for row in rows) for i in range(len(columns))]
    edge = shutil.get_terminal_size().columns if clip and sys.stdout.isatty() else None
    for line in lines:
        cells = zip(line, widths, right, strict=True)
        text = "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in cells).rstrip()
        click.echo(text if edge is None or len(text) <= edge else f"{text[: edge - 1]}…")


def _numeric(text: str) -> bool:
    return not text or text.replace(",", "").replace(".", "").replace("-", "").isdigit()


# Scores of untrained networks may have any size.
_MANY = 1e6


def cell(value: Any) -> str:
    """A value for people: four digits behind the point, thousands apart, five digits of what is
    a million or more and no whole number."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and value >= 2):
        return f"{int(value):,}"
    if isinstance(value, float):
        return measured(value) if abs(value) >= 1e-3 or value == 0 else f"{value:.3g}"
    return str(value)


def measured(value: float) -> str:
    """What is no count, for people."""
    return f"{value:.4e}" if abs(value) >= _MANY else f"{value:.4f}"


def choices(decisions: Mapping[str, Any]) -> str:
    """Decisions in one line: `depth=2 layer0.operator=gcn`."""
    return " ".join(f"{name}={value}" for name, value in decisions.items())


def duration(seconds: float) -> str:
    """`48 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(n_bytes: int) -> str:
    """`512 B`, `1.2 MB`."""
    value = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    item = getattr(value, "item", None)  # numpy's numbers
    if callable(item):
        return item()
    raise TypeError(f"expected a JSON value, got {type(value).__name__}: {value!r}")
