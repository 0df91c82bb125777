"""Do the slices of a supernet rank architectures as training them alone does?

Architectures are drawn from the space `gnn` as it is, trained alone with several seeds, and ranked
by what the evaluator `inherited` says of them. Beside it: another seed of training alone (the
ceiling), 20 epochs of training alone, and read-outs of weights that were never trained. Control:
the values of slices shuffled.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from reporting import Row, bounded, row, table, told
from supernet_parts import Ground

from evaluators import FORESEEN, READ_OUT, Evaluation
from nas.supernet._agreement import Agreement, agreement, ceiling
from nas.supernet.ranking import ENOUGH, OF_CEILING, TRIED
from search_spaces import Architecture

SPACE: Mapping[str, Any] = {"hops": (2, 4)}
SHORT = 20


@dataclass(frozen=True)
class Size:
    """How much is trained."""

    datasets: tuple[str, ...]
    architectures: int
    seeds: int
    epochs: int
    supernet: Mapping[str, Any]


FULL = Size(("Cora", "CiteSeer", "minesweeper"), 50, 3, 200, {})
QUICK = Size(("Cora",), 12, 2, 40, {"epochs": 15, "samples": 60})


def ranked(size: Size, data_root: Path, store: str, keep: Path | None) -> tuple[list[Row], str]:
    """Rows and tables."""
    rows, texts = [], []
    for name in size.datasets:
        ground = Ground.of(name, data_root, store, SPACE)
        found = _agreements(ground, size, keep)
        rows += _rows(name, found)
        texts.append(_table(name, size, found))
    return rows, "\n".join(texts)


def _agreements(ground: Ground, size: Size, keep: Path | None) -> list[Agreement]:
    drawn, metric = ground.drawn(size.architectures), f"val_{ground.dataset.metric}"
    alone = [_alone(ground, drawn, size.epochs, seed, keep) for seed in range(size.seeds)]
    # A seed of its own: the others' first epochs are in what it is judged by.
    short = _alone(ground, drawn, SHORT, size.seeds, keep)
    sound = [i for i in range(len(drawn)) if all(i in values for values in (*alone, short))]
    mean = [float(np.mean([values[i] for values in alone])) for i in sound]
    told(f"{ground.name}: the supernet is trained")
    chosen = [drawn[i] for i in sound]
    slices = _slices(ground, size.supernet, chosen)
    untrained = _slices(ground, {**size.supernet, "epochs": 1, "steps": 1, "lr": 1e-9}, chosen)
    shuffled = np.random.default_rng(0).permutation([s.metrics[metric + FORESEEN] for s in slices])
    return [
        agreement("slice", _values(slices, metric), mean),
        agreement("slice, read out", _values(slices, metric + READ_OUT), mean),
        agreement("foreseen from read-outs", _values(slices, metric + FORESEEN), mean),
        agreement("never trained, read out", _values(untrained, metric + READ_OUT), mean),
        agreement("never trained, foreseen", _values(untrained, metric + FORESEEN), mean),
        agreement(f"{SHORT} epochs alone", [short[i] for i in sound], mean),
        agreement("foreseen, shuffled (control)", shuffled.tolist(), mean),
        ceiling([[values[i] for i in sound] for values in alone]),
    ]


def _values(found: Sequence[Evaluation], metric: str) -> list[float]:
    return [evaluation.metrics[metric] for evaluation in found]


def _slices(
    ground: Ground, options: Mapping[str, Any], architectures: Sequence[Architecture]
) -> list[Evaluation]:
    return ground.slices(options, ground.supernet(options, 0), architectures)


def _alone(
    ground: Ground, drawn: Sequence[Architecture], epochs: int, seed: int, keep: Path | None
) -> dict[int, float]:
    """{its place: the metric} of those that could be trained; kept in a file, where wanted."""
    file = None if keep is None else keep / f"{ground.name}-{epochs}-{seed}-{len(drawn)}.json"
    if file is not None and file.exists():
        kept = json.loads(file.read_text())
        if kept["keys"] == [a.key for a in drawn]:
            return {int(i): value for i, value in kept["values"].items()}
    metric, values = f"val_{ground.dataset.metric}", dict[int, float]()
    for start in range(0, len(drawn), 10):
        found = ground.alone(drawn[start : start + 10], epochs, seed)
        values |= {
            start + i: one.metrics[metric] for i, one in enumerate(found) if one.failure is None
        }
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"keys": [a.key for a in drawn], "values": values}))
    return values


def _rows(name: str, found: Sequence[Agreement]) -> list[Row]:
    by_name = {a.measure: a for a in found}
    needed = min(ENOUGH, OF_CEILING * by_name["ceiling"].kendall)
    foreseen, control = by_name["foreseen from read-outs"], by_name["foreseen, shuffled (control)"]
    rows = [row(name, f"kendall: {a.measure}", a.kendall) for a in found if a is not foreseen]
    return [
        bounded(row(name, "kendall: foreseen from read-outs", foreseen.kendall), ">=", needed),
        bounded(row(name, "kendall: its control, above 0.3", control.kendall), "<", 0.3),
        *rows,
    ]


def _table(name: str, size: Size, found: Sequence[Agreement]) -> str:
    by_name = {a.measure: a for a in found}
    needed = min(ENOUGH, OF_CEILING * by_name["ceiling"].kendall)
    reached = by_name["foreseen from read-outs"].kendall >= needed
    verdict = "reached" if reached else "NOT reached"
    title = (
        f"{name}: {size.architectures} architectures, {size.seeds} seeds of {size.epochs} epochs; "
        f"{needed:.2f} needed, {verdict}"
    )
    lines = {
        a.measure: (
            f"{a.kendall:.2f}",
            f"{a.interval[0]:.2f} to {a.interval[1]:.2f}",
            f"{a.spearman:.2f}",
        )
        for a in found
    }
    text = table(title, ("ranked by", "Kendall", "95 %", "Spearman"), lines)
    return text if reached else f"{text}\n{TRIED}\n"
