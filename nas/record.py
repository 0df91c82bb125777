"""What a study has recorded, as values for people and scripts. Imports neither torch nor ray."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias

from evaluators import PREDICTED
from nas.constraints import ends
from search_spaces import Architecture
from search_spaces.frozen import FrozenMapping

# waiting: proposed, and owned by nobody now (the study was stopped, or its process was killed).
TrialState: TypeAlias = Literal["waiting", "running", "complete", "pruned", "infeasible", "failed"]
ENDED: tuple[TrialState, ...] = ("complete", "pruned", "infeasible", "failed")


@dataclass(frozen=True)
class TrialRecord:
    """One trial. `number` is its ordinal: unique, from 0, in the order of proposing.

    `cached` says that it was answered from the record, without training. `violation` is by how much
    the constraints are broken, 0 when feasible. `seq` is the order in which trials ended. `note` is
    what the strategy said of its proposal; None stands for a number that is not finite. `inherit`
    is the number of the trial whose weights it started from, `inherit_by` how, and `prepared` the
    hash of what the study had prepared for its strategy. `evaluated` is how it was evaluated:
    the evaluator's notes of its last evaluation, by topic. `measured` is what its network took on
    the device itself (see `evaluators.latency.values.Timing`), empty where it was not measured.
    """

    number: int
    state: TrialState
    architecture: Architecture | None
    metrics: Mapping[str, float]
    epochs: int
    seconds: float
    cached: bool
    failure: Mapping[str, str] | None
    violation: float
    seq: int | None
    artifact: str | None
    note: Mapping[str, str | int | float | None] = field(default_factory=FrozenMapping)
    inherit: int | None = None
    inherit_by: str | None = None
    prepared: str | None = None
    evaluated: Mapping[str, str] = field(default_factory=FrozenMapping)
    measured: Mapping[str, Any] = field(default_factory=FrozenMapping)

    @property
    def is_measured_well(self) -> bool:
        """Whether what was measured counts: its device was quiet meanwhile."""
        return bool(self.measured) and not self.measured.get("noisy")

    @property
    def settled(self) -> Mapping[str, float]:
        """The metrics, with what was measured well on the device in place of predictions."""
        if not self.is_measured_well:
            return self.metrics
        known = {m: self.measured[m] for m in PREDICTED if self.measured.get(m) is not None}
        replaced = {end for metric in known for end in ends(metric)}
        return {k: v for k, v in self.metrics.items() if k not in replaced} | known

    def to_json(self) -> dict[str, Any]:
        """The object of `nas trials --format json`."""
        return {
            "trial": self.number,
            "state": self.state,
            "architecture": self.architecture.key if self.architecture else None,
            "decisions": dict(self.architecture.choices) if self.architecture else {},
            "metrics": dict(self.metrics),
            "epochs": self.epochs,
            "seconds": self.seconds,
            "cached": self.cached,
            "failure": dict(self.failure) if self.failure else None,
            "note": dict(self.note),
            "evaluated": dict(self.evaluated),
            "measured": dict(self.measured),
        }


@dataclass(frozen=True)
class PreparationRecord:
    """What a study has done once, before its first proposal.

    Attributes:
        key: of plug-in, options and epochs.
        plugin, options: what does it.
        epoch: up to where it is recorded.
        epochs: at which it is complete.
        passes: of a single network over the training units, in all.
        seconds: that it has taken.
        artifact: the hash of its last checkpoint.
    """

    key: str
    plugin: str
    options: Mapping[str, Any]
    epoch: int
    epochs: int
    passes: float
    seconds: float
    artifact: str | None

    @property
    def is_complete(self) -> bool:
        return self.epoch >= self.epochs

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "options": dict(self.options)}


@dataclass(frozen=True)
class TrialCounts:
    """How many trials are in each state; cached ones are counted in their state too."""

    complete: int = 0
    failed: int = 0
    pruned: int = 0
    infeasible: int = 0
    cached: int = 0
    running: int = 0
    waiting: int = 0

    @property
    def ended(self) -> int:
        return self.complete + self.failed + self.pruned + self.infeasible


@dataclass(frozen=True)
class StudyStatus:
    """One study at a glance, by SQL counts alone where nothing was measured on a device.

    Attributes:
        name: of the study.
        state: new, running (a live driver has beaten lately), stopped, or finished.
        reason: why the last run ended: "20 trials", "the space is exhausted", "interrupted", ...
        objectives: {metric: direction}.
        target: trials wanted, or None.
        trials: counts.
        best: {objective: its value in the best trial so far}: of those that keep their bounds as
            measured the best in the first objective, where several are in the next one.
        seconds: spent searching, over all runs.
        created, changed: ISO 8601, UTC.
        storage: URL, without a password.
        drivers: how many processes run it now.
        preparations: what it has done before its first proposal.
    """

    name: str
    state: Literal["new", "running", "stopped", "finished"]
    reason: str
    objectives: Mapping[str, str]
    target: int | None
    trials: TrialCounts
    best: Mapping[str, float]
    seconds: float
    created: str
    changed: str
    storage: str
    drivers: int = 0
    preparations: tuple[PreparationRecord, ...] = ()

    def best_told(self, told: Callable[[float], str]) -> str:
        """The values of `best` in words, as those of one trial; "" where there is none."""
        values = [f"{metric} {told(value)}" for metric, value in self.best.items()]
        return ", ".join(values).replace(", ", " with ", 1)

    def to_json(self) -> dict[str, Any]:
        value = asdict(replace(self, preparations=()))
        value = {"study": value.pop("name"), **value}
        value["preparations"] = [one.to_json() for one in self.preparations]
        value["objectives"] = dict(self.objectives)
        value["best"] = dict(self.best)
        return value


@dataclass(frozen=True)
class Progress:
    """What a running study tells about itself, after each trial and about once a second.

    Attributes:
        status: the counts and the best so far.
        last: the trial that has just ended, if one has.
        trials_per_minute: of this run.
        seconds_left: estimated, None when unknown.
        message: something to tell once ("dataset: ...", "10 trials in a row failed"), or "".
    """

    status: StudyStatus
    last: TrialRecord | None = None
    trials_per_minute: float = 0.0
    seconds_left: float | None = None
    message: str = ""


@dataclass(frozen=True)
class Confirmation:
    """A trial retrained on fresh seeds.

    Attributes:
        trial: its number.
        architecture: its key.
        decisions: its choices.
        seeds: how many.
        metrics: {"val_accuracy": {"mean": ..., "stderr": ..., "n": ...}, "test_accuracy": {...}};
            the standard error of one seed is None.
        values: {"val_accuracy": one value a seed, ...}, in the order of the seeds.
        rank: 1 is best, by the mean of fresh validation on the first objective.
    """

    trial: int
    architecture: str
    decisions: Mapping[str, Any]
    seeds: int
    metrics: Mapping[str, Mapping[str, float | None]]
    values: Mapping[str, tuple[float, ...]]
    rank: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"values": {k: list(v) for k, v in self.values.items()}}
