"""A report as a value: sections of words, tables and charts, and what charts are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

# What is drawn of a chart: see templates/report.js.
Kind: TypeAlias = Literal["front", "parallel", "lines", "bars", "points"]


@dataclass(frozen=True)
class Table:
    """Rows under a head, as text; columns of `numbers` are aligned to the right.

    `trials` are the numbers of the trials that rows are of, where a row can be chosen.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    trials: tuple[int, ...] = ()


@dataclass(frozen=True)
class Chart:
    """What a chart shows, in words and as the JSON that its script reads.

    Attributes:
        key: of the element that it is drawn into, unique on the page.
        kind: how.
        told: what it shows, in a sentence: all that a screen reader says of the drawing.
        data: titles of axes, and series of numbers; None is a number that is not there.
        table: the same as rows, or as much of it as can be read.
        width_px: at least so wide, in a frame that scrolls.
    """

    key: str
    kind: Kind
    told: str
    data: Mapping[str, Any]
    table: Table | None = None
    width_px: int = 0


@dataclass(frozen=True)
class Section:
    """A part of the page. Without charts and tables, its words say why there are none."""

    key: str
    title: str
    words: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    code: str = ""


@dataclass(frozen=True)
class Chosen:
    """What is shown of a trial when it is chosen: here of the best, before anything is.

    `standing` says why it is this one: "the best", or what came nearest where nothing is feasible.
    """

    trial: int
    standing: str
    metrics: Mapping[str, float]
    decisions: Mapping[str, Any]
    drawing: str


@dataclass(frozen=True)
class Report:
    """One page.

    Attributes:
        name: of the study or comparison.
        kind: of which of them.
        subtitle: where it stands, in a sentence.
        sections: in the order of the page.
        trials: what charts know of each trial, by columns (see `_columns`); empty for a comparison.
        drawings: {architecture's key: SVG} of the front and of the best trials.
        chosen: the best trial, else the nearest to feasible; None where there is neither.
    """

    name: str
    kind: Literal["study", "comparison"]
    subtitle: str
    sections: Sequence[Section]
    trials: Mapping[str, Any] = field(default_factory=dict)
    drawings: Mapping[str, str] = field(default_factory=dict)
    chosen: Chosen | None = None
