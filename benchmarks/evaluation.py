"""How many times faster is a candidate evaluated than by the usual loop, and what does it take?

The baseline is the plain PyG example, in this file: a dense matrix of features, edge_index,
F.dropout before each layer, Adam, one training step and one evaluation of the whole graph an epoch,
the best validation kept. Beside it the same loop with a cheap dropout (torch.rand >= p), each lever
of the fast path alone, all together, and cohorts; then every operator, a graph of 169,343 nodes in
fresh processes, a mixed study, and two workers. All sides validate after every epoch. Ratios of
process CPU time with one thread, ways interleaved in one process, medians over rounds; the workers
alone are measured by the clock. See benchmarks/evaluation.md.

    python benchmarks/evaluation.py [--quick] [--json FILE] [--data-root DIR] [--write]
                                    [--only levers,operators,large,study,workers]
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import evaluation_large
import evaluation_study
import torch
import torch.nn.functional as F
from evaluation_levers import COHORT, LEVERS, NARROW, SHARED, TOGETHER
from evaluation_measure import (
    DATASETS,
    DROPOUT,
    LR,
    WEIGHT_DECAY,
    Line,
    Model,
    Timing,
    Trains,
    faster,
    interleaved,
    missing,
    read,
)
from reporting import Row, by_section, command_line, processor, table, told
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from evaluators import metrics
from evaluators.datasets import Dataset

DOCUMENT = Path(__file__).with_suffix(".md")
SECTIONS = ("levers", "operators", "large", "study", "workers")
# By dataset, of GCN of width 64: one at a time and a cohort with a shared mask against the naive
# loop; a cohort with independent masks against one at a time.
TARGETS: Mapping[str, tuple[float, float, float]] = {
    "Cora": (15, 28, 1.3),
    "CiteSeer": (15, 28, 1.3),
}
OPERATORS = (
    *("gcn", "gat", "sage", "gin", "appnp", "tag", "cheb", "arma", "graph", "sg"),
    *("gatv2", "transformer"),
)
Drop: TypeAlias = Callable[[Tensor, float, bool], Tensor]


@dataclass(frozen=True)
class Size:
    """How much of the benchmark is run."""

    datasets: tuple[str, ...] = tuple(DATASETS)
    operators: tuple[str, ...] = OPERATORS
    rounds: int = 5
    epochs: int = 20
    large: evaluation_large.Size = field(default_factory=evaluation_large.Size)
    study: evaluation_study.Size = field(default_factory=evaluation_study.Size)


FULL = Size()
QUICK = Size(
    ("Cora", "minesweeper"),
    ("gcn", "gat", "sage"),
    rounds=2,
    epochs=5,
    large=evaluation_large.Size(nodes=20_000, repeats=1),
    study=evaluation_study.Size(architectures=6, epochs=40, naive_epochs=4, jobs=32),
)


class PlainGcn(nn.Module):
    """The two-layer GCN of PyG's example."""

    def __init__(self, features: int, width: int, classes: int, drop: Drop) -> None:
        super().__init__()
        self.conv1, self.conv2 = GCNConv(features, width), GCNConv(width, classes)
        self.drop = drop

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.drop(x, DROPOUT, self.training)
        x = self.conv1(x, edge_index).relu()
        x = self.drop(x, DROPOUT, self.training)
        scores: Tensor = self.conv2(x, edge_index)
        return scores


def cheap_dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """F.dropout without the Bernoulli generator, which is slow on CPUs not made by Intel."""
    return x * (torch.rand_like(x) >= p) / (1 - p) if training else x


class CheapDropout(nn.Dropout):
    """The same as a module."""

    def forward(self, x: Tensor) -> Tensor:
        return cheap_dropout(x, self.p, self.training)


def naive_loop(network: nn.Module, dataset: Dataset, epochs: int) -> float:
    """The plain loop; returns the best validation value."""
    x, edge_index, y = dataset.x, dataset.edge_index, dataset.y
    train, val = dataset.train, dataset.val
    optimizer = torch.optim.Adam(network.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    best, kept = -1.0, network.state_dict()
    for _ in range(epochs):
        network.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x, edge_index)[train], y[train])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        network.eval()
        with torch.no_grad():
            logits = network(x, edge_index)
        value = metrics.selecting(dataset.metric, logits[val], y[val])
        if value > best:
            best = value
            kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(kept)
    return best


def naive_candidate(network: nn.Module, dataset: Dataset, epochs: int) -> float:
    """The plain loop over a network of a space, whose `nn.Dropout` modules wait for their p."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = DROPOUT
    return naive_loop(network, dataset, epochs)


def cheap_candidate(network: nn.Module, dataset: Dataset, epochs: int) -> float:
    """The same with a cheap dropout."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Dropout):
            network.set_submodule(name, CheapDropout(DROPOUT))
    return naive_loop(network, dataset, epochs)


def naive(dataset: Dataset, model: Model, epochs: int) -> Trains:
    """The baseline."""
    return _naive(dataset, model, epochs, F.dropout, naive_candidate)


def naive_cheap(dataset: Dataset, model: Model, epochs: int) -> Trains:
    """The baseline without the handicap of a slow generator; cheap dropout as a lever alone."""
    return _naive(dataset, model, epochs, cheap_dropout, cheap_candidate)


def _naive(
    dataset: Dataset,
    model: Model,
    epochs: int,
    drop: Drop,
    candidate: Callable[[nn.Module, Dataset, int], float],
) -> Trains:
    torch.manual_seed(0)
    if model.operator == "gcn":
        plain = PlainGcn(dataset.x.size(1), model.width, dataset.n_classes, drop)
        return lambda: _ignored(naive_loop(plain, dataset, epochs))
    space, architecture = model.candidate(dataset.task)
    network = space.network(architecture, dataset.task)
    return lambda: _ignored(candidate(network, dataset, epochs))


def _ignored(value: float) -> None:
    """What is timed returns nothing."""


NAIVE, CHEAP = Line("naive", naive), Line("naive, cheap dropout", naive_cheap)


def levers(size: Size, data_root: Path) -> tuple[str, list[Row]]:
    """GCN of width 64 and 16: every lever on every dataset."""
    texts, rows = [], []
    for width, ways in ((64, LEVERS), (16, NARROW)):
        found: dict[str, dict[str, Timing]] = {}
        for name in size.datasets:
            told(f"levers, width {width}: {name}")
            found[name] = interleaved(
                read(name, data_root),
                Model("gcn", width),
                (NAIVE, CHEAP, *ways),
                size.rounds,
                size.epochs,
            )
            rows += _lever_rows(f"{name}, gcn {width}", found[name], TARGETS.get(name), width)
        title = f"GCN of width {width}: times the naive loop (times the one with cheap dropout)"
        lines = {
            line.name: [_cell(t, line.name) for t in found.values()] for line in (CHEAP, *ways)
        }
        first = {"naive, CPU ms an epoch": [f"{t[NAIVE.name].median:.1f}" for t in found.values()]}
        before = {
            "before the first epoch, CPU ms: naive / all together": [
                _before(timings) for timings in found.values()
            ]
        }
        texts.append(table(title, ["", *found], first | lines | before))
    return "\n".join(texts), rows


def _lever_rows(
    case: str,
    timings: Mapping[str, Timing],
    targets: tuple[float, float, float] | None,
    width: int,
) -> list[Row]:
    """Every way against the naive loop, and against the one with cheap dropout."""
    one, shared, cohort = targets if targets and width == 64 else (1.0, None, None)
    bounds = {TOGETHER.name: one, SHARED.name: shared if width == 64 else None}
    rows = []
    for baseline in (NAIVE.name, CHEAP.name):
        wanted, usual = bounds if baseline == NAIVE.name else {}, timings[baseline].median
        rows += [
            faster(case, f"{name}, CPU ms / {baseline}", t.median, usual, wanted.get(name))
            for name, t in timings.items()
            if name != baseline
        ]
    rows += [
        missing(case, f"{name}, CPU ms / {NAIVE.name}", bound)
        for name, bound in bounds.items()
        if bound is not None and name not in timings
    ]
    measure = f"{COHORT.name}, CPU ms / one at a time"
    if COHORT.name in timings and TOGETHER.name in timings:
        mine, single = timings[COHORT.name].median, timings[TOGETHER.name].median
        rows.append(faster(case, measure, mine, single, cohort))
    elif cohort is not None:
        rows.append(missing(case, measure, cohort))
    return rows


def _cell(timings: Mapping[str, Timing], name: str) -> str:
    if name not in timings:
        return "-"
    mine = timings[name].median
    by_naive, by_cheap = (timings[b].median / mine for b in (NAIVE.name, CHEAP.name))
    return f"{by_naive:.2f} ({by_cheap:.2f})"


def _before(timings: Mapping[str, Timing]) -> str:
    shown = [timings[n].before if n in timings else None for n in (NAIVE.name, TOGETHER.name)]
    return " / ".join("-" if ms is None else f"{ms:.0f}" for ms in shown)


def operators(size: Size, data_root: Path) -> tuple[str, list[Row]]:
    """Every operator on every dataset: never slower than the naive loop."""
    cells: dict[str, list[str]] = {operator: [] for operator in size.operators}
    rows = []
    for name in size.datasets:
        dataset = read(name, data_root)
        for operator in size.operators:
            told(f"operators: {name}, {operator}")
            lines = (NAIVE, CHEAP, TOGETHER, COHORT)
            timings = interleaved(dataset, Model(operator), lines, size.rounds, size.epochs)
            shown = [_cell(timings, line.name) for line in (TOGETHER, COHORT)]
            cells[operator].append(f"{timings[NAIVE.name].median:.1f}: {'; '.join(shown)}")
            rows += _lever_rows(f"{name}, {operator} 64", timings, None, 64)
    title = (
        "Two layers of width 64 (attention: 8 heads): CPU ms an epoch of the naive loop: times it "
        "(times cheap dropout), one at a time; in cohorts of 8"
    )
    return table(title, ["operator", *size.datasets], cells), rows


def large(size: Size, _: Path) -> tuple[str, list[Row]]:
    return evaluation_large.measured(size.large, NAIVE, TOGETHER)


def study(size: Size, data_root: Path) -> tuple[str, list[Row]]:
    loops = {NAIVE.name: naive_candidate, CHEAP.name: cheap_candidate}
    return evaluation_study.mixed(size.study, read("Cora", data_root), loops)


def workers(size: Size, data_root: Path) -> tuple[str, list[Row]]:
    return evaluation_study.two_workers(size.study, read("Cora", data_root))


def main() -> None:
    parser = command_line(__doc__, "two datasets, few epochs and rounds", DOCUMENT, SECTIONS)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--sample", type=int, metavar="N", help="architectures of the mixed study")
    arguments = parser.parse_args()
    size, options = QUICK if arguments.quick else FULL, ""
    if arguments.sample:
        size = replace(size, study=replace(size.study, architectures=arguments.sample))
        options = f" --sample {arguments.sample}"
    torch.set_num_threads(1)
    runs = {"levers": levers, "operators": operators, "large": large, "study": study}
    runs |= {"workers": workers}
    machine = f"{processor()}, torch {torch.__version__}, one thread a process"

    def run(section: str) -> tuple[str, list[Row]]:
        text, rows = runs[section](size, arguments.data_root)
        return f"{text}\n{machine}\n", rows

    by_section(arguments, run, DOCUMENT, "What evaluating a candidate costs", options)


if __name__ == "__main__":
    main()
