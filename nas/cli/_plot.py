"""A study's trials in the terminal: one metric by another, or the best so far."""

import math
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from nas.cli._axis import Axis, below, beside
from nas.cli._output import measured
from nas.cli._usage import WrongUsage

if TYPE_CHECKING:
    from nas.record import TrialRecord
    from nas.store import Store

_LEAST_WIDTH, _HEIGHT = 20, 16
# What surrounds the lines of the plot itself: title, frame, ticks, legend.
_AROUND = 8
_DIM, _BRIGHT = (128, 128, 128), "cyan"
_ASCII = str.maketrans("┌┐└┘─│·●•", "++++-|.o*")


@dataclass(frozen=True)
class Plot:
    """Points of two kinds.

    Attributes:
        title: what is up, by what is across.
        names: of the kinds; what comes first is dim.
        points: of each, (across, up).
        marks: of each, a character.
        lines: of each, whether its points are joined.
    """

    title: str
    names: tuple[str, str]
    points: tuple[Sequence[tuple[float, float]], Sequence[tuple[float, float]]]
    marks: tuple[str, str] = ("·", "●")
    lines: tuple[bool, bool] = (False, False)


def write_plot(store: "Store", name: str, axes: tuple[str, str] | None) -> None:
    """Draw the trials of a study on stdout; plainly, where nobody sits at a terminal.

    Args:
        axes: metrics, across and up; without them the second and the first objective, or, of a
            study with one, the best of it so far.

    Raises:
        UsageError: no such study, or no trial has such a metric.
    """
    objectives = store.status(name).objectives
    if axes is None and len(objectives) > 1:
        up, across = list(objectives)[:2]
        axes = across, up
    if axes is None:
        ((metric, direction),) = objectives.items()
        plot = _best_so_far(store.trials(name), metric, direction)
    else:
        plot = _against(store, name, axes)
    if not plot.points[1]:
        click.echo("no trial is complete and feasible: there is nothing to draw")
        return
    click.echo(_in_letters(plot))
    if axes is not None and len(objectives) > 2:
        click.echo(
            f"two of {len(objectives)} objectives are drawn, and the front is that of all: "
            "--axes A,B draws others"
        )


def _against(store: "Store", name: str, axes: tuple[str, str]) -> Plot:
    front = store.front(name)
    on_front = {trial.number for trial in front}
    rest = [trial for trial in store.fronts(name) if trial.number not in on_front]
    known = list(dict.fromkeys(m for trial in (*front, *rest) for m in trial.settled))
    for metric in axes if known else ():
        if metric not in known:
            from search_spaces.errors import did_you_mean

            raise WrongUsage(f'--axes: no trial has "{metric}"; {did_you_mean(metric, known)}')
    sought = store.status(name).objectives
    across, up = (f"{m} ({sought[m]})" if m in sought else m for m in axes)
    return Plot(
        f"{up} by {across}",
        ("dominated", "front"),
        (list(_points(rest, axes)), list(_points(front, axes))),
    )


def _points(
    trials: Sequence["TrialRecord"], axes: tuple[str, str]
) -> Iterator[tuple[float, float]]:
    for trial in trials:
        values = [trial.settled.get(metric) for metric in axes]
        if all(value is not None and math.isfinite(value) for value in values):
            yield float(values[0] or 0), float(values[1] or 0)


def _best_so_far(trials: Sequence["TrialRecord"], metric: str, direction: str) -> Plot:
    """By the order in which trials ended: what each has, and the best up to there as steps."""
    ended = sorted(
        (t.seq, t.settled) for t in trials if t.seq is not None and t.state == "complete"
    )
    reached, steps = list[tuple[float, float]](), list[tuple[float, float]]()
    better = max if direction == "maximize" else min
    for place, values in ended:
        value = values.get(metric)
        if value is None or not math.isfinite(value):
            continue
        reached.append((float(place), float(value)))
        best = better(value, steps[-1][1]) if steps else value
        steps += [(float(place), steps[-1][1])] if steps else []
        steps.append((float(place), float(best)))
    return Plot(
        f"{metric} ({direction}) by trials ended",
        ("each trial", f"best so far, {measured(steps[-1][1]) if steps else ''}"),
        (reached, steps),
        marks=("·", "•"),
        lines=(False, True),
    )


def _in_letters(plot: Plot) -> str:
    from uniplot import plot_to_string

    kinds = [kind for kind in (0, 1) if plot.points[kind]]
    xs = [[point[0] for point in plot.points[kind]] for kind in kinds]
    ys = [[point[1] for point in plot.points[kind]] for kind in kinds]
    across, up = (Axis.of([value for values in one for value in values]) for one in (xs, ys))
    size = shutil.get_terminal_size()
    height = max(min(size.lines - _AROUND, _HEIGHT), 5)
    labels = beside(up, height)
    # A frame on both sides, and a space before the labels.
    width = max(size.columns, _LEAST_WIDTH) - 3 - max(map(len, labels))
    text: str = plot_to_string(
        xs=xs,
        ys=ys,
        title=plot.title,
        legend_labels=[plot.names[kind] for kind in kinds],
        lines=[plot.lines[kind] for kind in kinds],
        width=width,
        height=height,
        color=[(_DIM, _BRIGHT)[kind] for kind in kinds] if _is_colored() else False,
        character_set="ascii",
        force_ascii_characters=[plot.marks[kind] for kind in kinds],
        x_as_log=across.is_log,
        y_as_log=up.is_log,
        x_min=across.low,
        x_max=across.high,
        y_min=up.low,
        y_max=up.high,
        x_labels=False,
        y_labels=False,
        x_gridlines=[],
        y_gridlines=[],
    )
    return _readable("\n".join(_labelled(text.splitlines(), labels, below(across, width))))


def _labelled(lines: Sequence[str], labels: Sequence[str], line_below: str) -> Iterator[str]:
    """The lines of a plot with labels beside its rows, and a line of them below its frame."""
    beside_row = iter(labels)
    for line in lines:
        yield (f"{line} {next(beside_row)}" if line.startswith("│") else line).rstrip()
        if line.startswith("└"):
            yield f" {line_below}"


def _is_colored() -> bool:
    """At a terminal that has colors, unless its user wants none (no-color.org)."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return sys.stdout.isatty() and wanted


def _readable(text: str) -> str:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return text.translate(_ASCII)
    return text
