"""Does one supernet stand for the networks of its space: exactly, in rank, for any device, fast?

`exact`: 200 slices against the networks extracted from them; storage; sorting at full width.
`largest`: its largest slice against the same network trained alone, paired by seed. Half of the
validation labels choose the epoch of the latter; both are measured on the other half.
`ranking`: benchmarks/supernet_ranking.py: slices against training alone.
`bounds`: benchmarks/supernet_bounds.py: many latency bounds from one supernet.
`speed`: candidates a second, beside training each to its end.

    python benchmarks/supernet.py [--quick] [--json FILE] [--data-root DIR] [--write]
                                  [--only exact,largest,ranking,bounds,speed] [--keep DIR]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import supernet_bounds
import supernet_ranking
import torch
from reporting import Row, bounded, by_section, command_line, row, table, told
from supernet_parts import Ground

from evaluators import preparing
from evaluators._batches import Batches
from evaluators.artifacts import store_url
from evaluators.checkpoint import best_weights
from evaluators.metrics import accuracy, predict
from evaluators.preparations._sampling import largest_architecture
from evaluators.preparations._states import under
from evaluators.slicing import Subnets
from nas.compare import paired_interval
from search_spaces.sorting import sort
from search_spaces.supernet import Supernet

DOCUMENT = Path(__file__).with_suffix(".md")
SECTIONS = ("exact", "largest", "ranking", "bounds", "speed")
# A space in which one network is the largest, of operators that are used most.
OF_LARGEST: Mapping[str, Any] = {
    "depth": (1, 2),
    "operators": ("gcn", "gat", "sage"),
    "heads": (1, 2, 4),
    "aggregation": ("mean",),
    "width": (16, 32, 64),
    "activation": ("relu", "elu"),
    "normalization": ("none",),
    "connectivity": ("plain", "residual"),
    "pre_layers": (0,),
    "post_layers": (0,),
    "output": ("gcn",),
}
SANDWICH: Mapping[str, Any] = {"rule": "sandwich", "epochs": 80, "lr": 0.005, "samples": 10}
MOST_APART, MOST_LOST, LEAST_FASTER = 1e-6, -0.01, 50.0


def main() -> None:
    parser = command_line(__doc__, "few architectures, few seeds, Cora", DOCUMENT, SECTIONS)
    parser.add_argument("--data-root", type=Path, default=Path("data"), metavar="DIR")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep what is trained here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:

        def run(section: str) -> tuple[str, list[Row]]:
            rows, text = _section(section, arguments, folder)
            return text, rows

        by_section(arguments, run, DOCUMENT, "Supernet", " --data-root data")


def _section(section: str, arguments: argparse.Namespace, folder: str) -> tuple[list[Row], str]:
    root, store, quick = arguments.data_root, store_url(Path(folder)), arguments.quick
    if section == "exact":
        return exact(root, store, 40 if quick else 200)
    if section == "largest":
        return largest(root, store, arguments.keep, quick=quick)
    if section == "speed":
        return speed(root, store, 6 if quick else 30)
    if section == "bounds":
        return supernet_bounds.bounds(root, store, quick=quick)
    size = supernet_ranking.QUICK if quick else supernet_ranking.FULL
    return supernet_ranking.ranked(size, root, store, arguments.keep)


def exact(data_root: Path, store: str, count: int) -> tuple[list[Row], str]:
    """Slices and extracted networks, in float64; storage; sorting."""
    ground = Ground.of("Cora", data_root, store, supernet_ranking.SPACE)
    supernet = Supernet(ground.space, ground.dataset.task)
    torch.manual_seed(0)
    weights = {name: tensor.double() for name, tensor in supernet.initial().items()}
    dataset = replace(ground.dataset, x=ground.dataset.x.double())
    subnets = Subnets(supernet, Batches(dataset))
    units = dataset.val.nonzero()[:, 0]
    inputs = subnets.batches.of(units).inputs
    apart, shared, views = 0.0, 0, 0
    own = {tensor.untyped_storage().data_ptr() for tensor in weights.values()}
    for architecture in ground.drawn(count):
        slice_ = subnets.evaluated(weights, architecture, units)
        with torch.no_grad():
            network = subnets.network(weights, architecture)
            alone = network(*inputs)[units]
        apart = max(apart, float((slice_ - alone).abs().max() / alone.abs().max()))
        for piece in supernet.slices(architecture).values():
            for block in piece.blocks:
                views += 1
                shared += block.view(weights).untyped_storage().data_ptr() in own
    moved = _moved_by_sorting(supernet, subnets, weights, units)
    case = f"Cora, {count} slices of the space gnn, float64"
    rows = [
        bounded(
            row(case, "largest difference to the extracted, relative", apart), "<=", MOST_APART
        ),
        bounded(row(case, "share of views in the supernet's storage", shared / views), ">=", 1.0),
        bounded(row(case, "moved by sorting, at full width", moved["widest"]), "<=", MOST_APART),
        bounded(row(case, "moved by sorting, at half (control)", moved["half"]), ">", MOST_APART),
    ]
    return rows, _table_of(case, rows)


def _moved_by_sorting(
    supernet: Supernet, subnets: Subnets, weights: Mapping[str, torch.Tensor], units: torch.Tensor
) -> dict[str, float]:
    """How much outputs change, relatively: of networks of full width, and of half width."""
    ordered, space = sort(supernet, weights), supernet.space
    rng, found = np.random.default_rng(0), {"widest": 0.0, "half": 0.0}
    for part, place in (("widest", -1), ("half", 0)):
        for _ in range(20):
            drawn = space.sample(rng)
            one = space.fill(
                lambda d, drawn=drawn, place=place: (  # type: ignore[misc]
                    d.choices[place]
                    if d.name.endswith("width")
                    else drawn.choices.get(d.name, d.choices[0])
                )
            )
            before, after = (subnets.evaluated(w, one, units) for w in (weights, ordered))
            moved = float((before - after).abs().max() / before.abs().max())
            found[part] = max(found[part], moved)
    return found


def largest(
    data_root: Path, store: str, keep: Path | None, *, quick: bool
) -> tuple[list[Row], str]:
    """The largest slice and the same network alone, for each seed."""
    rows, lines = [], {}
    seeds = 3 if quick else 30
    for name in ("Cora",) if quick else ("Cora", "CiteSeer", "Photo"):
        ground = Ground.of(name, data_root, store, OF_LARGEST, split=1)
        differences = _differences(ground, range(seeds), data_root, keep)
        of_slice, alone = (fmean(pair[i] for pair in differences) for i in (0, 1))
        interval, _ = paired_interval([a - b for a, b in differences])
        low, high = interval or (float("nan"), float("nan"))
        told(f"{name}: {of_slice:.4f} beside {alone:.4f}")
        case = f"{name}, {seeds} seeds"
        rows += [
            bounded(row(case, "difference, lower end", low), ">=", MOST_LOST),
            row(case, "accuracy of the largest slice", of_slice),
            row(case, "accuracy of the same network alone", alone),
        ]
        lines[name] = (f"{of_slice:.4f}", f"{alone:.4f}", f"{low:+.4f} to {high:+.4f}")
    depth, width = (max(OF_LARGEST[name]) for name in ("depth", "width"))
    title = (
        f"the largest slice ({depth} hidden layers of gcn, {width} wide, and an output of gcn; "
        f"rule {SANDWICH['rule']}) and the same network alone, {seeds} paired seeds"
    )
    columns = ("graph", "slice", "alone", "difference, 95 %")
    return rows, table(title, columns, lines)


def _differences(
    ground: Ground, seeds: Iterable[int], data_root: Path, keep: Path | None
) -> list[tuple[float, float]]:
    """Of each seed; kept in a file, where wanted."""
    file = None if keep is None else keep / f"{ground.name}-largest.json"
    recipe = json.loads(json.dumps([ground.space.digest, SANDWICH]))
    kept = json.loads(file.read_text()) if file is not None and file.exists() else {}
    known = kept.get("pairs", {}) if kept.get("recipe") == recipe else {}
    for seed in seeds:
        if str(seed) not in known:
            known[str(seed)] = _difference(ground, seed, data_root)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"recipe": recipe, "pairs": known}))
    return [(first, second) for first, second in (known[str(seed)] for seed in seeds)]


def _difference(ground: Ground, seed: int, data_root: Path) -> tuple[float, float]:
    """Accuracy of the two on the half of validation that chose nothing."""
    other = Ground.of(ground.name, data_root, ground.store, OF_LARGEST, split=2)
    units = other.dataset.val.nonzero()[:, 0]
    y = other.dataset.y[units]
    one = largest_architecture(ground.space)
    artifact = ground.supernet(SANDWICH, seed)
    weights = under("weights", preparing.weights(artifact))
    supernet = Supernet(ground.space, ground.dataset.task, share_transforms=True)
    subnets = Subnets(supernet, Batches(ground.dataset))
    of_slice = accuracy(subnets.evaluated(weights, one, units), y)
    (trained,) = ground.alone([one], 200, seed)
    if trained.artifact is None:
        raise SystemExit(f"training alone failed: {trained.failure}")
    network = ground.space.network(one, ground.dataset.task)
    network.load_state_dict(best_weights(trained.artifact))
    with torch.no_grad():
        logits = predict(network.eval(), Batches(other.dataset).of(units))
    return of_slice, accuracy(logits, y)


def speed(data_root: Path, store: str, count: int) -> tuple[list[Row], str]:
    """Candidates a second of both evaluators, on the same architectures, in one run."""
    ground = Ground.of("Cora", data_root, store, supernet_ranking.SPACE)
    options = {"epochs": 1, "samples": 20}
    artifact, drawn = ground.supernet(options, 0), ground.drawn(count, seed=1)
    ground.slices(options, artifact, drawn[:2])  # what both read once is read
    began = time.process_time()
    ground.slices(options, artifact, drawn)
    inherited = count / (time.process_time() - began)
    began = time.process_time()
    ground.alone(drawn, 200, 0)
    alone = count / (time.process_time() - began)
    case = f"Cora, {count} architectures of the space gnn, one process"
    measure = "candidates a CPU second, inherited / 200 epochs alone"
    rows = [bounded(row(case, measure, inherited, alone), ">=", LEAST_FASTER)]
    lines = {
        "inherited, recalibrated and read out": (f"{inherited:.1f}", f"{1e3 / inherited:.1f}"),
        "training, the fast path, 200 epochs": (f"{alone:.2f}", f"{1e3 / alone:.0f}"),
    }
    text = table(case, ("evaluator", "candidates a CPU second", "CPU ms a candidate"), lines)
    return rows, f"{text}\n{inherited / alone:.0f} times\n"


def _table_of(title: str, rows: list[Row]) -> str:
    return table(
        title,
        ("measure", "value", "target"),
        {r["measure"]: (f"{r['value']:.2g}", r["target"]) for r in rows},
    )


if __name__ == "__main__":
    main()
