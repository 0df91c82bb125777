"""What searches find on real graphs for equal CPU time, confirmed on fresh seeds.

Each search is one that `nas compare` makes, in this process: its strategy prepares what it needs,
and proposes; a batch trains together. It ends with its CPU seconds, of which the preparation is
part; trials that end later do not count. The best on validation is trained again on fresh seeds,
and its validation there and its test are told: nothing is chosen by them. Nothing is asked of the
outcome. Random search, with the same seeds and seconds, is the baseline.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from gradient_keeping import configured, kept
from gradient_searching import Found, searched
from reporting import Row, row, table, told
from supernet_parts import DATA

from nas.compare import BASELINE, entrants, holm, paired_interval
from nas.spec import StudySpec, spec_from_mapping

# A relaxed network computes every choice at every place, so all that a few of its steps can weigh.
SPACE: Mapping[str, Any] = {
    "depth": [1, 2, 3],
    "operators": ["gcn", "gat", "sage", "linear"],
    "heads": [4],
    "aggregation": ["mean"],
    "width": [16, 32],
    "activation": ["relu", "elu"],
    "normalization": ["none"],
    "connectivity": ["plain", "residual"],
    "pre_layers": [1],
    "post_layers": [0],
}
# The same for every strategy: a batch trains faster than its networks one by one.
BATCH = 2
# Of some thirty trials its default population would leave nothing to evolution.
EVOLUTION = "evolution:population=10:sample=5"
METRIC: Mapping[str, str] = {"minesweeper": "roc_auc"}


@dataclass(frozen=True)
class Size:
    """How much is searched.

    Attributes:
        seconds: {graph: CPU seconds of a search}.
        seeds: of searches.
        fresh: seeds that confirm what a search has found.
        epochs: that a candidate is trained.
        relaxed: {graph: epochs of a relaxed network}.
    """

    seconds: Mapping[str, float]
    seeds: int
    fresh: int
    epochs: int
    relaxed: Mapping[str, int]

    def strategies(self, graph: str) -> Mapping[str, str]:
        """{what it is called here: what `nas compare` calls it}."""
        # Fewer steps than by default, and larger ones.
        relaxed = f"epochs={self.relaxed[graph]}:architecture_lr=0.1:lr=0.02"
        return {
            BASELINE: BASELINE,
            "evolution": EVOLUTION,
            "evolution, morphism": f"{EVOLUTION}:inherit=morphism",
            "darts": f"darts:{relaxed}",
            "pc_darts": f"pc_darts:{relaxed}",
            "tas": f"tas:{relaxed}",
            "transformation": "transformation",
        }


# The relaxed networks take about a third of the seconds.
FULL = Size(
    seconds={"Cora": 40, "CiteSeer": 70, "minesweeper": 70},
    seeds=3,
    fresh=3,
    epochs=100,
    relaxed={"Cora": 15, "CiteSeer": 12, "minesweeper": 6},
)
QUICK = Size(seconds={"Cora": 8}, seeds=1, fresh=1, epochs=10, relaxed={"Cora": 2})

# {(graph, strategy): of each seed}
Cells = Mapping[tuple[str, str], Sequence[Found]]


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    """Rows, and a table for each graph."""
    size = QUICK if quick else FULL
    cells = {
        (graph, label): [_found(size, graph, text, s, data_root, keep) for s in range(size.seeds)]
        for graph in size.seconds
        for label, text in size.strategies(graph).items()
    }
    return said(size, cells)


@cache
def _warm_up(data_root: Path) -> None:
    """What a process does once belongs to no search."""
    spec = _spec("Cora", 1)
    searched(spec, entrants([BASELINE], spec)[-1], 0, 5.0, 1, data_root)


def _found(
    size: Size, graph: str, text: str, seed: int, data_root: Path, keep: Path | None
) -> Found:
    """One search, made or taken from its file."""
    spec, seconds = _spec(graph, size.epochs), size.seconds[graph]
    # Random search is always among them, and first.
    entrant = entrants([text], spec)[-1]
    recipe = {
        "study": spec.to_json(),
        "strategy": configured("strategy", entrant.plugin),
        "seed": seed,
        "cpu_seconds": seconds,
        "fresh": size.fresh,
    }
    name = f"search-{graph}-{text.replace(':', '-')}-{seed}"

    def make() -> dict[str, Any]:
        _warm_up(data_root)
        return asdict(searched(spec, entrant, seed, seconds, size.fresh, data_root))

    result = Found(**kept(keep, name, recipe, make))
    confirmed = f"{fmean(result.fresh_val):.4f}, test {fmean(result.fresh_test):.4f}"
    told(f"{graph}, {text}, seed {seed}: {result.trials} trials, confirmed {confirmed}")
    return result


def _spec(graph: str, epochs: int) -> StudySpec:
    data = DATA[graph]
    objective = f"val_{METRIC.get(graph, 'accuracy')}"
    return spec_from_mapping(
        {
            "study": {"name": graph, "batch": BATCH, "objectives": {objective: "maximize"}},
            "space": {"name": "gnn", **SPACE},
            "dataset": {"name": data.name, **data.options},
            "strategy": {"name": BASELINE},
            "evaluator": {"name": "training", "epochs": epochs},
            "budget": {"trials": 1},
            "executor": {"name": "inline"},
        }
    )


def said(size: Size, cells: Cells) -> tuple[list[Row], str]:
    """Means over seeds, and differences to random search, paired by seed, Holm over all cells."""
    differences = {cell: _differences(cells, cell) for cell in cells if cell[1] != BASELINE}
    intervals = {cell: paired_interval(values) for cell, values in differences.items()}
    ps = {cell: p for cell, (_, p) in intervals.items() if p is not None}
    adjusted = dict(zip(ps, holm(list(ps.values())), strict=True))
    made: list[Row] = []
    for (graph, label), found in cells.items():
        case = f"{graph}, {label}, {size.seconds[graph]:g} CPU s, {len(found)} seeds"
        made += [
            row(case, f"test {name_of(graph)}, confirmed", _test(found), _random(cells, graph)),
            row(case, f"validation {name_of(graph)}, confirmed", _val(found)),
            row(case, "trials", fmean(one.trials for one in found)),
            row(case, "CPU seconds to prepare", fmean(one.prepared_seconds for one in found)),
            row(case, "Holm p, test differs from random's", adjusted.get((graph, label))),
        ]
    wanted = size.seeds * sum(len(size.strategies(graph)) for graph in size.seconds)
    done = sum(len(found) for found in cells.values())
    made.append(row("all graphs", "searches, of those wanted", done, wanted))
    texts = [_table(size, graph, cells, intervals, adjusted) for graph in size.seconds]
    return made, "\n".join(texts)


def name_of(graph: str) -> str:
    """Of its metric."""
    return METRIC.get(graph, "accuracy")


def _test(found: Sequence[Found]) -> float:
    return fmean(fmean(one.fresh_test) for one in found)


def _val(found: Sequence[Found]) -> float:
    return fmean(fmean(one.fresh_val) for one in found)


def _random(cells: Cells, graph: str) -> float:
    return _test(cells[graph, BASELINE])


def _differences(cells: Cells, cell: tuple[str, str]) -> list[float]:
    """Of test, to random search with the same seed."""
    pairs = zip(cells[cell], cells[cell[0], BASELINE], strict=True)
    return [fmean(one.fresh_test) - fmean(other.fresh_test) for one, other in pairs]


def _table(
    size: Size,
    graph: str,
    cells: Cells,
    intervals: Mapping[tuple[str, str], tuple[tuple[float, float] | None, float | None]],
    adjusted: Mapping[tuple[str, str], float],
) -> str:
    lines = {}
    for label in size.strategies(graph):
        found = cells[graph, label]
        interval, _ = intervals.get((graph, label), (None, None))
        p = adjusted.get((graph, label))
        lines[label] = (
            f"{fmean(one.trials for one in found):.1f}",
            f"{fmean(one.prepared_seconds for one in found):.1f}",
            f"{fmean(one.val for one in found):.4f}",
            f"{_val(found):.4f}",
            f"{_test(found):.4f}",
            "" if interval is None else f"{interval[0]:+.4f} to {interval[1]:+.4f}",
            "" if p is None else f"{p:.2f}",
        )
    title = (
        f"{graph}, {name_of(graph)}: {size.seconds[graph]:g} CPU seconds a search, {size.seeds} "
        f"search seeds, {size.fresh} fresh seeds; p over all {len(adjusted)} cells"
    )
    columns = (
        "strategy",
        "trials",
        "CPU s to prepare",
        "val, in search",
        "val, fresh",
        "test, fresh",
        "test less random's, 95 %",
        "Holm p",
    )
    return table(title, columns, lines)
