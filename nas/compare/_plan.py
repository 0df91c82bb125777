"""Which runs a comparison wants: those that are stored are read, the others are made and kept."""

import importlib.metadata
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from evaluators.artifacts import store_url
from nas import __version__
from nas._options import thaw
from nas.compare._bench import Bench
from nas.compare._entrants import Entrant
from nas.compare._run import Run
from nas.compare._source import source_digest
from nas.compare._workers import Task, Told, run_all
from nas.setup import NUMERICS_VERSION, PYTHON_SPACE, Setup
from nas.spec import StudySpec
from nas.store import Store
from nas.store.comparisons import store_run, stored_runs
from nas.strategies import Objective
from search_spaces import plugins
from search_spaces.canonical import digest

# What every run goes through.
RUNNING = (
    "nas.compare._search",
    "nas.judging",
    "nas.pareto",
    "nas.strategies._distinct",
    "search_spaces.space",
)


@dataclass(frozen=True)
class Standing:
    """How far a comparison is.

    Attributes:
        done, wanted: runs, those that were stored among them.
        share: of the trials of all runs, in [0, 1].
        seconds_left: by the trials made so far, None when unknown.
        warning: of the evaluator, told once, or "".
    """

    done: int
    wanted: int
    share: float
    seconds_left: float | None = None
    warning: str = ""


Report = Callable[[Standing], None]


class Plan:
    """Which runs are wanted, which are there, and where they are kept."""

    def __init__(
        self,
        setup: Setup,
        found: Sequence[Entrant],
        seeds: Sequence[int],
        trials: int,
        storage: str | None,
    ) -> None:
        self._setup = setup
        self._trials = trials
        self._store = Store(storage) if storage is not None else None
        self._digest = _digest(setup, trials)
        self.runs: dict[tuple[str, int], Run] = {}
        self._missing: list[Task] = [(entrant, seed) for seed in seeds for entrant in found]
        if self._store is not None:
            self._take_stored(stored_runs(self._store, self._digest))

    def _take_stored(self, stored: Mapping[tuple[str, int], Mapping[str, object]]) -> None:
        objectives = tuple(Objective(m, d) for m, d in self._setup.objectives.items())
        for entrant, seed in self._missing:
            value = stored.get((entrant.digest, seed))
            if value is not None:
                self.runs[entrant.label, seed] = Run.from_json(value, entrant.label, objectives)
        self._missing = [(e, seed) for e, seed in self._missing if (e.label, seed) not in self.runs]

    def run(self, workers: int, progress: Report) -> None:
        if not self._missing:
            return
        clock = _Clock(len(self.runs), len(self._missing), self._trials, progress)
        clock.tell()

        def told(message: Told) -> None:
            if message.run is not None:
                self._keep(message.task[0], message.run)
            clock.told(message)

        with tempfile.TemporaryDirectory(prefix="nas-compare-") as folder:
            dataset = self._setup.sealed(store_url(Path(folder) / "dataset"))
            bench = Bench(self._setup, dataset, store_url(Path(folder) / "checkpoints"))
            run_all(bench, self._missing, self._trials, workers, told)

    def _keep(self, entrant: Entrant, run: Run) -> None:
        if self._store is not None:
            labels = (self._setup.spec.study.name, entrant.label)
            sought = tuple(self._setup.objectives.items())
            store_run(self._store, self._digest, entrant.digest, labels, run.to_json(), sought)
        self.runs[entrant.label, run.seed] = run


class _Clock:
    """Counts trials, and says how long the rest will take."""

    def __init__(self, stored: int, missing: int, trials: int, progress: Report) -> None:
        self._stored, self._missing, self._trials = stored, missing, trials
        self._progress = progress
        # When the first word came, and of how many trials: what was before is no measure.
        self._first: tuple[float, int] | None = None
        self._ended = 0
        self._under_way: dict[Task, int] = {}
        self._warned: set[str] = set()

    def told(self, message: Told) -> None:
        if message.run is None:
            self._under_way[message.task] = message.trials
        else:
            self._under_way.pop(message.task, None)
            self._ended += 1
        for warning in message.warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                self.tell(warning)
        self.tell()

    def tell(self, warning: str = "") -> None:
        # An exhausted run counts as all of its trials: nothing is left of it.
        made = self._ended * self._trials + sum(self._under_way.values())
        left = self._missing * self._trials - made
        now, seconds = time.monotonic(), None
        if self._first is None and made:
            self._first = (now, made)
        elif self._first is not None and made > self._first[1]:
            seconds = (now - self._first[0]) * left / (made - self._first[1])
        wanted = self._stored + self._missing
        share = 1 - left / (wanted * self._trials)
        self._progress(Standing(self._stored + self._ended, wanted, share, seconds, warning))


def _digest(setup: Setup, trials: int) -> str:
    """Equal for comparisons whose runs of one strategy and seed must be equal."""
    spec = setup.spec
    return digest(
        {
            "program": [__version__, NUMERICS_VERSION],
            "torch": importlib.metadata.version("torch") if setup.dataset is not None else "",
            "sources": {name: source_digest(name) for name in _decisive_modules(setup)},
            "space": setup.space.to_json(),
            "task": asdict(setup.task),
            "evaluator": [spec.evaluator.name, thaw(spec.evaluator.options)],
            "objectives": [list(pair) for pair in setup.objectives.items()],
            "constraints": [str(constraint) for constraint in setup.constraints],
            **_latency(setup),
            **_extensions(spec),
            "batch": spec.study.batch,
            "trials": trials,
        }
    )


def _latency(setup: Setup) -> dict[str, object]:
    """What predictions and the bounds on them depend on; nothing where there are none."""
    if setup.latency is None or setup.spec.latency is None:
        return {}
    return {"latency": {**setup.latency.bound_to(), "confidence": setup.spec.latency.confidence}}


def _extensions(spec: StudySpec) -> dict[str, object]:
    """What the networks depend on besides the space's decisions; nothing where there are none."""
    return (
        {"extensions": [[p.name, thaw(p.options)] for p in spec.extension]}
        if spec.extension
        else {}
    )


def _decisive_modules(setup: Setup) -> list[str]:
    """Whose code, besides the strategy's, decides what a run proposes and what is measured.

    The rest counts by the version of the program; operators that come from elsewhere have none.
    """
    spec = setup.spec
    choices = {choice for decision in setup.space.decisions for choice in decision.choices}
    foreign = sorted(c for c in choices if isinstance(c, str) and "." in c)
    named = [
        plugins.load(kind, plugin.name).__name__
        for kind, plugin in (
            ("space", spec.space),
            ("evaluator", spec.evaluator),
            *(("extension", extension) for extension in spec.extension),
        )
        if plugin.name != PYTHON_SPACE
    ]
    return [*RUNNING, *named, *foreign]
