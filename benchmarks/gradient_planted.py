"""Whether differentiable search finds the operator that made the labels (benchmarks/planted).

For each planted operator and seed the relaxed network is trained as the strategy has it prepared,
and the most probable operator is held against the planted one. Controls: the same labels at other
nodes, where over all of these graphs none may win on the average; and decisions that do not learn,
which stay as they began.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import planted
from gradient_keeping import configured, kept
from reporting import Row, bounded, row, table, told

from evaluators import Preparation, PreparationJob
from evaluators.artifacts import store_url
from evaluators.datasets import save_sealed
from evaluators.preparing import prepare
from search_spaces.plugins import Plugin

SEEDS, QUICK = 10, 2
# Of which a mean is judged.
FEWEST = 8
EPOCHS = 50
# {preparation: options}
SEARCHES: Mapping[str, Mapping[str, Any]] = {
    "darts": {"epochs": EPOCHS, "order": "first"},
    "pc_darts": {"epochs": EPOCHS},
}
STILL = "darts, learning rate 0 (control)"
LEAST_FOUND, MOST_ALIKE, MOST_MOVED = 0.9, 0.5, 0.01


@dataclass(frozen=True)
class Asked:
    """One run: how it searches, and on what graph."""

    search: str
    options: Mapping[str, Any]
    operator: str
    seed: int
    shuffled: bool = False


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    """Rows, and a table for each way to search."""
    del data_root
    seeds = range(QUICK if quick else SEEDS)
    made, texts = list[Row](), list[str]()
    for name, options in SEARCHES.items():
        of = {
            shuffled: {
                operator: [
                    probabilities(Asked(name, options, operator, seed, shuffled), keep)
                    for seed in seeds
                ]
                for operator in planted.OPERATORS
            }
            for shuffled in (False, True)
        }
        found, control = of[False], of[True]
        made += rows_of(name, found, control)
        texts.append(_table(name, found, control))
        told(f"{name}: {len(seeds)} seeds of {len(found)} operators")
    still = Asked("darts", {**SEARCHES["darts"], "architecture_lr": 0.0}, "mean", 0)
    moved = max(abs(p - 1 / len(planted.OPERATORS)) for p in probabilities(still, keep))
    case = f"{STILL}, one run"
    made.append(bounded(row(case, "furthest from uniform", moved), "<=", MOST_MOVED))
    return made, "\n".join([*texts, f"{case}: furthest from uniform {moved:.4f}\n"])


def probabilities(asked: Asked, keep: Path | None) -> list[float]:
    """Of the operators, in their order, when the search has ended."""
    recipe = {
        **vars(asked),
        "search": configured("preparation", Plugin(asked.search, asked.options)),
        "graph": [planted.NODES, planted.NEIGHBORS, planted.FEATURES, planted.CLASSES],
        "width": planted.WIDTH,
    }
    options = "".join(f"-{name}-{value}" for name, value in asked.options.items())
    shuffled = "-shuffled" if asked.shuffled else ""
    name = f"planted-{asked.search}{options}-{asked.operator}{shuffled}-{asked.seed}"
    found: list[float] = kept(keep, name, recipe, lambda: _searched(asked))["probabilities"]
    return found


def _searched(asked: Asked) -> dict[str, Any]:
    dataset = planted.graph(asked.operator, asked.seed, shuffled=asked.shuffled)
    space = planted.space(dataset.task)
    preparation = Preparation(Plugin(asked.search, asked.options), EPOCHS, 1.0)
    with tempfile.TemporaryDirectory() as folder:
        store = store_url(Path(folder))
        sealed = save_sealed(dataset.seal(), store)
        job = PreparationJob(preparation, space, sealed, store, asked.seed, EPOCHS)
        advance = prepare(job)
    if advance.failure is not None:
        raise SystemExit(f"{asked}: {advance.failure.message}")
    last = advance.epochs[-1]
    return {
        "probabilities": list(last.distribution[planted.PLANTED]),
        "metrics": dict(last.metrics),
        "epochs": last.epoch,
        "seconds": advance.seconds,
    }


# {planted operator: probabilities, of each seed}
Runs = Mapping[str, Sequence[Sequence[float]]]


def rows_of(name: str, found: Runs, control: Runs) -> list[Row]:
    """Of runs on graphs as planted, and on those with shuffled labels."""
    made = []
    for place, operator in enumerate(planted.OPERATORS):
        runs = found[operator]
        case = f"{name}, planted {operator}, {len(runs)} seeds"
        share = row(case, "share of seeds that find it", _share(runs, place))
        made += [
            bounded(share, ">=", LEAST_FOUND),
            row(case, "its mean probability", fmean(run[place] for run in runs)),
            _alike(f"{case}, labels shuffled (control)", control[operator]),
        ]
    # Of shuffled labels nothing is left of the operator that made them, but how many of each class.
    runs = [run for of_one in control.values() for run in of_one]
    return [*made, _alike(f"{name}, labels shuffled (control), {len(runs)} runs", runs)]


def _alike(case: str, runs: Sequence[Sequence[float]]) -> Row:
    # Few runs each settle on something, and their mean says nothing.
    bound = MOST_ALIKE if len(runs) >= FEWEST else None
    return bounded(row(case, "largest mean probability", max(_means(runs))), "<=", bound)


def _share(runs: Sequence[Sequence[float]], place: int) -> float:
    return fmean(max(range(len(run)), key=run.__getitem__) == place for run in runs)


def _means(runs: Sequence[Sequence[float]]) -> list[float]:
    """Of each operator over seeds."""
    return [fmean(column) for column in zip(*runs, strict=True)]


def _table(name: str, found: Runs, control: Runs) -> str:
    lines = {}
    for place, operator in enumerate(planted.OPERATORS):
        runs = found[operator]
        right = f"{round(_share(runs, place) * len(runs))} of {len(runs)}"
        lines[operator] = (right, *(f"{mean:.2f}" for mean in _means(runs)))
    for operator, runs in control.items():
        means = (f"{mean:.2f}" for mean in _means(runs))
        lines[f"{operator}, labels shuffled (control)"] = ("", *means)
    every = _means([run for runs in control.values() for run in runs])
    lines["all shuffled (control)"] = ("", *(f"{mean:.2f}" for mean in every))
    columns = ("planted", "found", *planted.OPERATORS)
    return table(f"{name}: mean probability of each operator", columns, lines)
