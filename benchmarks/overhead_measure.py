"""How benchmarks/overhead.py measures: trials of several sides in turn, timed and counted."""

import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from overhead_record import NAME
from reporting import Row, bounded, processor, row
from sqlalchemy import event
from sqlalchemy.engine import Engine

from nas.record import Progress
from nas.store import Store
from nas.study import resume

# What is counted; the rest opens and closes transactions.
STATEMENTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
# Of each series, while caches fill.
WARM = 3


def beyond(
    case: str, measure: str, value: float, baseline: float, at_most: float | None = None
) -> Row:
    """A row of what a value has over its baseline; the bound is on that."""
    over = row(case, f"{measure}, beyond the baseline", value - baseline)
    return bounded(over, "<=", at_most) | {"baseline": baseline}


@contextmanager
def counted(counts: Counter[str]) -> Iterator[None]:
    """Count commits and statements of all connections."""

    def on_commit(_connection: Any) -> None:
        counts["commits"] += 1

    def on_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        counts["statements"] += statement.lstrip().startswith(STATEMENTS)

    event.listen(Engine, "commit", on_commit)
    event.listen(Engine, "before_cursor_execute", on_statement)
    try:
        yield
    finally:
        event.remove(Engine, "commit", on_commit)
        event.remove(Engine, "before_cursor_execute", on_statement)


class Series:
    """Trials of one side: their milliseconds, and what each asked of the database."""

    def __init__(self) -> None:
        self.ms: list[float] = []
        self.counts: list[Counter[str]] = []

    def add(self, began: float, before: Counter[str], now: Counter[str]) -> None:
        self.ms.append(1000 * (time.perf_counter() - began))
        self.counts.append(now - before)

    @property
    def typical_ms(self) -> float:
        return statistics.median(self.ms[WARM:])

    def typical(self, what: str) -> float:
        return statistics.median(counts[what] for counts in self.counts[WARM:])


def interleaved(
    storage: str, trials: int, others: Mapping[str, Callable[[], None]]
) -> list[Series]:
    """So many more trials of our study; after each of them, one of every other side."""
    counts: Counter[str] = Counter()
    ours, theirs = Series(), {name: Series() for name in others}
    began, before = time.perf_counter(), Counter[str]()

    def after(progress: Progress) -> None:
        nonlocal began, before
        if progress.last is None:
            return
        ours.add(began, before, counts)
        for name, trial in others.items():
            began, before = time.perf_counter(), counts.copy()
            trial()
            theirs[name].add(began, before, counts)
        began, before = time.perf_counter(), counts.copy()

    store = Store.open_existing(storage)
    ended = store.status(NAME).trials.ended
    store.engine.dispose()
    with counted(counts):
        resume(NAME, storage=storage, data_root=Path(), trials=ended + trials, progress=after)
    return [ours, *theirs.values()]


def python(arguments: Sequence[str], **environment: str) -> str:
    """What a process of Python says, which can import what the benchmarks do."""
    here = Path(__file__).parent
    paths = [str(here), str(here.parent), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | environment
    done = subprocess.run(  # noqa: S603 - this Python, and modules of ours
        [sys.executable, *arguments], env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{arguments}: {done.stderr}")
    return done.stdout


def machine() -> str:
    """What the numbers were measured on."""
    busy = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    return f"{processor()}, {busy}, Optuna {optuna.__version__}"
