"""Of a whole `nas search`, which share of the processor's time is not training?

Random search over Cora with the space of studies/cora.toml, as a process of its own: `python -m nas
search`, start-up and database and all. CPU time is that of the process and of its workers, as the
kernel counts it; a probe (`share_probe/sitecustomize.py`) says what of it went where. Training is
the loop over epochs: forward, backward, step and validation. With a single epoch nearly nothing is
training: that control must be far above the bound, or the measure could not fail.

    python benchmarks/search_share.py [--quick] [--json FILE] [--write] [--data-root DIR]
                                      [--before TREE] [--rounds N]
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reporting import Row, bounded, command_line, processor, put, report, row, table, told
from share_probe.sitecustomize import PHASES

TREE = Path(__file__).resolve().parents[1]
DOCUMENT = Path(__file__).with_suffix(".md")
TRIALS, QUICK_TRIALS = 50, 10
MOST_OUTSIDE, MOST_OF_BEFORE = 0.10, 0.5
LEAST_OF_CONTROL = 0.5
STUDY = """
[study]
name = "share"
objectives = { val_accuracy = "maximize" }
[space]
name = "gnn"
depth = [1, 2]
operators = ["gcn", "gat", "sage", "appnp", "tag", "cheb", "linear"]
hops = [2, 4, 8]
width = [16, 32, 64]
activation = ["relu", "elu"]
normalization = ["none"]
connectivity = ["plain", "residual"]
pre_layers = [0]
post_layers = [0]
output = ["gcn", "gat", "sage", "appnp", "tag", "cheb", "linear"]
dropout = [0.5, 0.6, 0.8]
lr = [0.005, 0.01, 0.02]
weight_decay = [5e-4, 1e-3, 5e-3]
[dataset]
name = "planetoid"
subset = "Cora"
normalize = "row"
[strategy]
name = "random"
[evaluator]
name = "training"
epochs = EPOCHS
[executor]
EXECUTOR
[budget]
trials = TRIALS
"""
EXECUTORS = {"inline": 'name = "inline"', "processes": 'name = "processes"\nworkers = 2'}


def share(
    tree: Path, data_root: Path, trials: int, executor: str = "inline", *, epochs: int = 200
) -> dict[str, Any]:
    """Run a search with the program that lies in a folder, and say where its time went.

    Args:
        tree: of the source, of this revision or another one.
        data_root: where the raw files of Cora are.
        executor: inline or processes (two of them).
        epochs: of each trial; the default of the evaluator.

    Returns:
        cpu_seconds (of all processes), wall_seconds, training_cpu_seconds, outside_seconds (the
        rest of the CPU), share_outside, idle_seconds (of the cores that the search may use, what
        it did not, be it that others did), and `<phase>_cpu_seconds`, `<phase>_wall_seconds`; the
        phases are those of the probe, and `rest`: what none of them is.
    """
    with tempfile.TemporaryDirectory(prefix="search-share-") as folder:
        study, times = Path(folder, "study.toml"), Path(folder, "times")
        times.mkdir()
        study.write_text(_study(trials, executor, epochs), encoding="utf-8")
        command = [sys.executable, "-m", "nas", "search", str(study), "--data-root", str(data_root)]
        command += ["--storage", f"sqlite:///{folder}/nas.db"]
        cpu, wall = _run(command, tree.resolve(), times)
        phases = _phases(times)
    training = phases["training"][0]
    if not training:
        raise SystemExit(f"{tree}: nothing that the probe knows as training was called")
    cores = 1 if executor == "inline" else 2
    phases["rest"] = (cpu - sum(of for of, _ in phases.values()), 0.0)
    return {
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "training_cpu_seconds": training,
        "outside_seconds": cpu - training,
        "share_outside": (cpu - training) / cpu,
        "idle_seconds": max(0.0, cores * wall - cpu),
        **{f"{name}_cpu_seconds": of for name, (of, _) in phases.items()},
        **{f"{name}_wall_seconds": of for name, (_, of) in phases.items()},
    }


def _study(trials: int, executor: str, epochs: int) -> str:
    text = STUDY.replace("EPOCHS", str(epochs)).replace("TRIALS", str(trials))
    return text.replace("EXECUTOR", EXECUTORS[executor])


def _run(command: Sequence[str], tree: Path, times: Path) -> tuple[float, float]:
    """CPU and wall seconds of a command that runs a tree's program, with its children."""
    probe = Path(__file__).resolve().parent / "share_probe"
    env = os.environ | {"PYTHONPATH": f"{probe}{os.pathsep}{tree}", "SEARCH_SHARE": str(times)}
    env |= {"OMP_NUM_THREADS": "1", "NAS_ARTIFACTS": str(times.parent / "artifacts")}
    began = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603 - this Python, and our own program
        command, env=env, cwd=times.parent, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    said = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}\n{said.decode()}")
    return usage.ru_utime + usage.ru_stime, wall


def _phases(times: Path) -> dict[str, tuple[float, float]]:
    """CPU and wall seconds of each phase, over all processes."""
    numbers = [memoryview(file.read_bytes()).cast("d").tolist() for file in times.iterdir()]
    sums = [sum(column) for column in zip(*numbers, strict=True)]
    return {name: (sums[2 * i], sums[2 * i + 1]) for i, name in enumerate(PHASES)}


def measured(
    trees: Mapping[str, Path], data_root: Path, trials: int, executor: str, rounds: int
) -> dict[str, dict[str, float]]:
    """Of each tree the medians over rounds; the trees take turns, in both orders."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
    for number in range(rounds):
        for name in trees if number % 2 == 0 else list(trees)[::-1]:
            told(f"{executor}, {trials} trials, {name}, round {number + 1} of {rounds}")
            found[name].append(share(trees[name], data_root, trials, executor))
    return {
        name: {key: statistics.median(one[key] for one in ones) for key in ones[0]}
        for name, ones in found.items()
    }


def rows_of(
    case: str, found: Mapping[str, Mapping[str, float]], at_most: float | None = None
) -> list[Row]:
    """The rows of one case.

    Args:
        at_most: the bound on the share; None for none.
    """
    now, before = found["now"], found.get("before", {})
    share_row = row(case, "share of CPU time outside training", now["share_outside"])
    outside = row(
        case, "CPU seconds outside", now["outside_seconds"], before.get("outside_seconds")
    )
    rows = [
        bounded(share_row, "<=", at_most),
        bounded(outside, "<=", MOST_OF_BEFORE if before else None),
        row(case, "CPU seconds", now["cpu_seconds"], before.get("cpu_seconds")),
        row(case, "idle seconds", now["idle_seconds"], before.get("idle_seconds")),
    ]
    for phase in (*PHASES, "rest"):
        key = f"{phase}_cpu_seconds"
        rows.append(row(case, f"CPU seconds, {phase}", now[key], before.get(key)))
    return rows


def cells(found: Mapping[str, float]) -> list[str]:
    names = ["cpu_seconds", *(f"{phase}_cpu_seconds" for phase in (*PHASES, "rest"))]
    names += ["outside_seconds", "wall_seconds", "idle_seconds"]
    return [f"{found['share_outside']:.3f}", *(f"{found[name]:.2f}" for name in names)]


def main() -> None:
    parser = command_line(__doc__, f"{QUICK_TRIALS} trials, one round", DOCUMENT)
    parser.add_argument("--data-root", type=Path, default=Path("data"), metavar="DIR")
    parser.add_argument("--before", type=Path, metavar="TREE", help="another revision's source")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    arguments = parser.parse_args()
    trials = QUICK_TRIALS if arguments.quick else TRIALS
    rounds = 1 if arguments.quick else arguments.rounds
    trees = {"now": TREE} | ({"before": arguments.before} if arguments.before else {})
    rows: list[Row] = []
    lines: dict[str, list[str]] = {}
    for executor in EXECUTORS:
        found = measured(trees, arguments.data_root, trials, executor, rounds)
        lines |= {f"{executor}, {name}": cells(one) for name, one in found.items()}
        # What a search begins with is little beside many trials; each worker begins with the same.
        at_most = MOST_OUTSIDE if trials == TRIALS and executor == "inline" else None
        rows += rows_of(f"Cora, random, {trials} trials, {executor}", found, at_most)
    told("control: one epoch")
    control = share(TREE, arguments.data_root, trials, epochs=1)
    lines["control: one epoch"] = cells(control)
    case = f"control: {trials} trials of one epoch"
    one = row(case, "share of CPU time outside training", control["share_outside"])
    rows.append(bounded(one, ">=", LEAST_OF_CONTROL))
    columns = ["", "share outside", "CPU, s", *PHASES, "rest", "outside", "wall, s", "idle, s"]
    text = table(f"Where the time of {trials} trials went, CPU seconds", columns, lines)
    text += f"\n{processor()}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n"
    print(f"\n{text}", flush=True)
    if arguments.write:
        command = f"python benchmarks/search_share.py{' --quick' if arguments.quick else ''}"
        put(DOCUMENT, "share", "What of a search is not training", command, text)
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
