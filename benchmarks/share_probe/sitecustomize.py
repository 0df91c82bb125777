"""Times what a Python process does, by phase; every process that finds this on its path does so.

Python imports a module of this name when it starts, so the program that is measured runs as it is,
its worker processes too. Times are exclusive: what a phase calls that belongs to another is that
one's. They are kept in a file a process, which outlives a process that is killed. Which functions
make a phase is said by name, so that one probe measures several revisions: see `PHASES`.
"""

import _frozen_importlib
import functools
import mmap
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

# Phase: {module: its functions and methods}; "*" for all that it defines, and a module that ends
# with a dot stands for all that begin so. What belongs to several belongs to the first. A name that
# a revision does not have is none of its phases; `search_share.py` refuses one without training.
PHASES: dict[str, dict[str, str]] = {
    "imports": {},
    "training": {
        "evaluators.engine.cohort": "Cohort.advance",
        "evaluators._stock": "_Loop.epoch",
    },
    "facts": {"evaluators.facts": "facts"},
    "data": {
        "evaluators.datasets._load": "load",
        "evaluators.datasets._base": "Dataset.seal save_sealed load_sealed",
        "evaluators._batches": "Batches.__init__ Batches.graph",
    },
    "evaluation": {"evaluators.run": "run"},
    "record": {"nas.store.": "*", "nas.recording": "*"},
    "proposing": {"nas.proposing": "*", "nas.strategies.": "*", "nas.fold": "*"},
    "telling": {"nas.telling": "*", "nas.cli._progress": "*"},
    "checking": {
        "nas.spec": "load_spec",
        "nas.setting_up": "set_up",
        "nas.feasible": "*",
    },
}

# The same by the names that they had in earlier revisions.
FORMER: dict[str, dict[str, str]] = {
    "data": {"evaluators.datasets._base": "save_prepared load_prepared"},
    "checking": {"nas.setup": "prepare"},
}


class Clock:
    """CPU and wall seconds of each phase, by thread; written to a file as they pass."""

    def __init__(self, folder: str) -> None:
        size = 16 * len(PHASES)
        file = Path(folder) / str(os.getpid())
        file.write_bytes(bytes(size))
        with file.open("r+b") as handle:
            self._numbers = memoryview(mmap.mmap(handle.fileno(), size)).cast("d")
        self._lock = threading.Lock()
        self._local = threading.local()
        self._add(0, time.process_time(), 0.0)  # of Python's own start

    def _add(self, phase: int, cpu: float, wall: float) -> None:
        with self._lock:
            self._numbers[2 * phase] += cpu
            self._numbers[2 * phase + 1] += wall

    def call(self, phase: int, function: Any, args: Any, kwargs: Any) -> Any:
        local = self._local
        before = getattr(local, "phase", None)
        if before == phase:
            return function(*args, **kwargs)
        self._turn(before)
        local.phase = phase
        try:
            return function(*args, **kwargs)
        finally:
            self._turn(phase)
            local.phase = before

    def _turn(self, phase: int | None) -> None:
        """Charge what has passed since the last turn of this thread."""
        local, cpu, wall = self._local, time.thread_time(), time.perf_counter()
        if phase is not None:
            self._add(phase, cpu - local.cpu, wall - local.wall)
        local.cpu, local.wall = cpu, wall


def install(clock: Clock) -> None:
    """Time all imports from here on, and in what they load, the functions of the phases."""
    machinery: Any = _frozen_importlib
    original = machinery._find_and_load

    def find_and_load(name: str, *args: Any) -> ModuleType:
        module: ModuleType = clock.call(0, original, (name, *args), {})
        if name.startswith(("nas.", "evaluators.")):
            watch(clock, sys.modules.get(name, module))
        return module

    machinery._find_and_load = find_and_load


def watch(clock: Clock, module: ModuleType) -> None:
    """Put the timed functions of a module in the place of its own, once."""
    if vars(module).get("_is_watched"):
        return
    vars(module)["_is_watched"] = True
    for table in (PHASES, FORMER):
        for phase, functions in _meant(table, module.__name__):
            _watch(clock, [*PHASES].index(phase), module, set(functions.split()))
            break


def _meant(table: dict[str, dict[str, str]], module: str) -> Iterator[tuple[str, str]]:
    """(Phase, functions) of the entries of a table that mean a module."""
    for phase, modules in table.items():
        for name, functions in modules.items():
            if module == name or (name[-1] == "." and module.startswith(name)):
                yield phase, functions


def _watch(clock: Clock, phase: int, module: ModuleType, names: set[str]) -> None:
    owners: list[Any] = [module, *(v for v in vars(module).values() if isinstance(v, type))]
    for owner in owners:
        if owner is not module and owner.__module__ != module.__name__:
            continue
        prefix = "" if owner is module else f"{owner.__name__}."
        for name, value in list(vars(owner).items()):
            own = isinstance(value, FunctionType) and value.__module__ == module.__name__
            if own and ("*" in names or prefix + name in names):
                setattr(owner, name, timed(clock, phase, value))


def timed(clock: Clock, phase: int, function: FunctionType) -> Any:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return clock.call(phase, function, args, kwargs)

    return call


if "SEARCH_SHARE" in os.environ:
    install(Clock(os.environ["SEARCH_SHARE"]))
