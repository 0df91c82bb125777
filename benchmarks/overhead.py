"""What does a trial cost beside its evaluation, as the record grows, and beside plain Optuna?

An evaluator that takes no time on a space of 12 decisions, proposed and evaluated one by one.
Records are written in bulk, and plain Optuna begins with a copy of them. After each of our trials
one of each other side is run in the same process, so that all see the same machine; times are
medians of the clock. The disk's fsync stands beside them: what plain Optuna waits for most.

    python benchmarks/overhead.py [--quick] [--json FILE] [--write]
                                  [--only trials,growth,memory,executors,look,fsync]
"""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import optuna
from optuna import samplers
from overhead_measure import WARM, Series, beyond, interleaved, machine, python
from overhead_record import NAME, Databases, Plain, databases, filled, spec
from reporting import Row, bounded, by_section, command_line, row, table, told

from nas.record import Progress
from nas.study import search
from search_spaces.plugins import Plugin

DOCUMENT = Path(__file__).with_suffix(".md")
SECTIONS = ("trials", "growth", "memory", "executors", "look", "fsync")
KINDS = ("SQLite", "PostgreSQL")
MOST_COMMITS = 8
MOST_OF_OPTUNA = 0.5
MOST_GROWTH = 2.0
MOST_MB = 600.0
MOST_OVER_POOL_MS = 3.0
MOST_LOOK_SECONDS = 0.5
# Name in the table: executor, its options.
EXECUTORS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "processes": ("processes", {}),
    "ray": ("ray", {}),
    "ray_tune, no logger": ("ray_tune", {"loggers": []}),
    "ray_tune, its three loggers": ("ray_tune", {}),
}

Rows: TypeAlias = list[Row]


@dataclass(frozen=True)
class Size:
    """How much of the benchmark is run."""

    record: int = 10_000
    records: tuple[int, ...] = (100, 1_000, 10_000, 20_000)
    trials: int = 30
    rounds: int = 3
    jobs: int = 120


FULL = Size()
QUICK = Size(1_000, (100, 1_000), 12, 2, 40)


def trials(size: Size) -> tuple[str, Rows]:
    """Against plain Optuna, at one record."""
    lines, rows = {}, []
    for kind in KINDS:
        with databases(kind) as where:
            if where is None:
                rows.append(row(f"{kind}, no server here", "ms a trial", None))
                continue
            for strategy in ("random", "evolution"):
                told(f"trials: {kind}, {strategy}")
                found = _against_optuna(where, strategy, size)
                for name, series in found.items():
                    lines[f"{kind}, {strategy}: {name}"] = _cells(
                        series, found["plain Optuna, random"]
                    )
                rows += _rows_against(f"{kind}, {strategy}, {size.record:,} trials", found)
    title = f"A trial at a record of {size.record:,}, beside its evaluation"
    return table(title, ["", "ms", "of plain Optuna", "commits", "statements"], lines), rows


def _against_optuna(where: Databases, strategy: str, size: Size) -> dict[str, Series]:
    storage = where.new(strategy)
    filled(storage, strategy, size.record)
    others: dict[str, Callable[[], None]] = {}
    sides: dict[str, samplers.BaseSampler] = {"random": samplers.RandomSampler(seed=0)}
    if strategy == "evolution":
        sides["TPE, its default"] = samplers.TPESampler(seed=0)
        if where.server is None:
            sides["random, our settings of SQLite"] = samplers.RandomSampler(seed=0)
    for number, (name, sampler) in enumerate(sides.items()):
        copy = where.copy(storage, f"{strategy}{number}")
        others[f"plain Optuna, {name}"] = Plain(copy, sampler, hardened="our" in name)
    found = interleaved(storage, size.trials + WARM, others)
    return dict(zip(["ours", *others], found, strict=True))


def _cells(series: Series, baseline: Series) -> list[str]:
    ms, counts = series.typical_ms, [series.typical(what) for what in ("commits", "statements")]
    ratio = ms / baseline.typical_ms
    return [f"{ms:.1f}", f"{ratio:.2f}", *(f"{count:.0f}" for count in counts)]


def _rows_against(case: str, found: Mapping[str, Series]) -> Iterator[Row]:
    ours, plain = next(iter(found.values())), found["plain Optuna, random"]
    cost = row(case, "ms a trial", ours.typical_ms, plain.typical_ms)
    yield bounded(cost, "<=", MOST_OF_OPTUNA)
    commits, statements = (ours.typical(what) for what in ("commits", "statements"))
    yield bounded(row(case, "commits a trial", commits), "<=", MOST_COMMITS)
    yield row(case, "commits a trial, plain Optuna", plain.typical("commits"))
    yield row(case, "statements a trial", statements, plain.typical("statements"))
    for name, series in list(found.items())[2:]:
        yield row(case, f"ms a trial, {name}", series.typical_ms, plain.typical_ms)


def growth(size: Size) -> tuple[str, Rows]:
    """Ours alone, with evolution, as the record grows."""
    lines, rows = {}, []
    for kind in KINDS:
        with databases(kind) as where:
            if where is None:
                continue
            storages, twins = {}, {}
            for record in size.records:
                told(f"growth: {kind}, {record:,} trials")
                storages[record] = where.new(f"r{record}")
                twins[record] = filled(storages[record], "evolution", record)
            ms: dict[int, list[float]] = {record: [] for record in size.records}
            for _ in range(size.rounds):
                for record, storage in storages.items():
                    (ours,) = interleaved(storage, size.trials + WARM, {})
                    ms[record] += ours.ms[WARM:]
        found = {record: statistics.median(values) for record, values in ms.items()}
        first, last = size.records[0], size.records[-1]
        lines[kind] = [*(f"{value:.1f}" for value in found.values())]
        lines[kind] += [f"{found[last] / found[first]:.2f}", f"{twins[last]:.1f}"]
        case = f"{kind}, evolution, {first:,} to {last:,} trials"
        cost = row(case, "ms a trial", found[last], found[first])
        rows.append(bounded(cost, "<=", MOST_GROWTH))
        case = f"{kind}, {last:,} trials without twins"
        rows.append(row(case, "seconds to make them", twins[last]))
    columns = ["ms a trial", *(f"{n:,} trials" for n in size.records), "growth", "twins made, s"]
    return table("As the record grows, evolution", columns, lines), rows


# Peaks in MB: of the imports, and after so many trials more. (A process inherits the peak that
# `resource` knows from the one that started it.)
_CHILD = """
import json, sys
from pathlib import Path
import optuna, sqlalchemy, torch, nas, nas.driver, nas.study
import trivial.evaluator, trivial.space
def peak():
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
imports = peak()
nas.study.resume(sys.argv[1], storage=sys.argv[2], data_root=Path(), trials=int(sys.argv[3]))
print(json.dumps([imports, peak()]))
"""


def memory(size: Size) -> tuple[str, Rows]:
    """The driver's process, which resumes the longest record."""
    record = size.records[-1]
    lines, rows = {}, []
    for kind in KINDS:
        told(f"memory: {kind}")
        with databases(kind) as where:
            if where is None:
                continue
            storage = where.new("memory")
            filled(storage, "evolution", record)
            said = python(["-c", _CHILD, NAME, storage, str(record + 5)])
        imports, peak = json.loads(said.splitlines()[-1])
        lines[kind] = [f"{imports:.0f}", f"{peak:.0f}"]
        case = f"{kind}, evolution, {record:,} trials"
        rows.append(bounded(row(case, "peak of the driver, MB", peak), "<=", MOST_MB))
        rows.append(row(case, "peak of the imports, MB", imports))
    title = f"Memory of the driver's process at {record:,} trials, peak in MB"
    return table(title, ["", "imports (torch, Optuna, SQLAlchemy)", "study resumed"], lines), rows


def executors(size: Size) -> tuple[str, Rows]:
    """Two workers with jobs that take no time."""
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")])
    )
    names = list(EXECUTORS)
    ms: dict[str, list[float]] = {name: [] for name in names}
    for number in range(size.rounds):
        for name in names if number % 2 == 0 else names[::-1]:
            told(f"executors: {name}, round {number + 1}")
            ms[name].append(_ms_a_job(*EXECUTORS[name], size.jobs))
    found = {name: statistics.median(values) for name, values in ms.items()}
    lines = {
        name: [f"{found[name]:.1f}", f"{min(values):.1f} to {max(values):.1f}"]
        for name, values in ms.items()
    }
    rows = [row("2 workers", f"ms a trial, {name}", value) for name, value in found.items()]
    case, bound = "2 workers, ray over processes", MOST_OVER_POOL_MS
    rows.append(beyond(case, "ms a trial", found["ray"], found["processes"], bound))
    title = "Executors, two workers, trivial jobs"
    return table(title, ["", "ms a trial", "rounds"], lines), rows


def _ms_a_job(executor: str, options: Mapping[str, Any], jobs: int) -> float:
    """A new study's milliseconds a trial, from when both workers run to the end."""
    warm = jobs // 4
    ends: list[float] = []

    def after(progress: Progress) -> None:
        if progress.last is not None:
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        own = {"results": f"{folder}/results"} if executor == "ray_tune" else {}
        plugin = Plugin(executor, {"workers": 2, **options, **own})
        wanted = spec("random", warm + jobs, plugin)
        search(wanted, storage=f"sqlite:///{folder}/nas.db", data_root=Path(), progress=after)
    return 1000 * (ends[-1] - ends[warm - 1]) / jobs


def look(size: Size) -> tuple[str, Rows]:
    """`nas status` and `nas list`, beyond what the program takes to start."""
    records = size.records[0], size.records[-1]
    lines, rows = {}, []
    for kind in KINDS:
        told(f"look: {kind}")
        with databases(kind) as where:
            if where is None:
                continue
            storages = {record: where.new(f"look{record}") for record in records}
            for record, storage in storages.items():
                filled(storage, "evolution", record)
            seconds = _looked(storages, 1 + 2 * size.rounds)
        help_seconds = seconds["--help", records[0]]
        lines[kind] = [f"{help_seconds:.2f}"]
        for name in ("status", "list"):
            for record in records:
                value = seconds[name, record]
                lines[kind].append(f"{value - help_seconds:.2f}")
                bound = MOST_LOOK_SECONDS if record == records[-1] else None
                case, measure = f"{kind}, {record:,} trials", f"seconds of nas {name}"
                rows.append(beyond(case, measure, value, help_seconds, bound))
    beyonds = [f"{name}, {n:,} trials" for name in ("status", "list") for n in records]
    title = "`nas status` and `nas list`: seconds beyond those of `nas --help`"
    return table(title, ["", "nas --help", *beyonds], lines), rows


def _looked(storages: Mapping[int, str], rounds: int) -> dict[tuple[str, int], float]:
    """{(command, record): seconds}, interleaved."""
    commands = {"--help": ["--help"], "status": ["status", NAME], "list": ["list"]}
    seconds: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for name, command in commands.items():
            for record, storage in storages.items():
                began = time.perf_counter()
                python(["-m", "nas", *command], NAS_STORAGE=storage)
                took = time.perf_counter() - began
                seconds.setdefault((name, record), []).append(took)
    return {which: statistics.median(values) for which, values in seconds.items()}


def fsync(size: Size) -> tuple[str, Rows]:
    """What the disk takes to keep 4 KiB, today."""
    del size
    ms = []
    with tempfile.TemporaryFile() as file:
        for _ in range(200):
            began = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            ms.append(1000 * (time.perf_counter() - began))
    median, slow = statistics.median(ms), statistics.quantiles(ms, n=20)[-1]
    lines = {"4 KiB and fsync, ms": [f"{median:.2f}", f"{slow:.2f}"]}
    return table("The disk", ["", "median", "95 %"], lines), [row("fsync", "ms", median)]


def main() -> None:
    quick = "records up to 1,000, few trials"
    arguments = command_line(__doc__, quick, DOCUMENT, SECTIONS).parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    size = QUICK if arguments.quick else FULL
    runs = {"trials": trials, "growth": growth, "memory": memory}
    runs |= {"executors": executors, "look": look, "fsync": fsync}

    def run(section: str) -> tuple[str, Rows]:
        text, rows = runs[section](size)
        return f"{text}\n{machine()}\n", rows

    by_section(arguments, run, DOCUMENT, "What a trial costs beside its evaluation")


if __name__ == "__main__":
    main()
