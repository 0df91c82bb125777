"""The values that cross between a study and its evaluators: jobs, evaluations, failures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

from search_spaces import Architecture, SearchSpace
from search_spaces.frozen import FrozenMapping
from search_spaces.plugins import Plugin

if TYPE_CHECKING:
    from evaluators.preparation import Work

# Metrics that are computed of any network without training it (see `evaluators.facts`).
FACTS = (
    "params",
    "macs",
    "peak_memory_bytes",
    "model_bytes",
    "buffer_bytes",
    "bit_operations",
)
# Those that a device's profile predicts, where it has samples of them, and the device itself gives.
PREDICTED = ("latency_ms", "energy_mj")

# End the names of metrics that foretell another: by a regression, with its output fitted anew, and
# by a score of the untrained network, which has a unit of its own.
FORESEEN, READ_OUT, ZERO_COST = "_foreseen", "_read_out", "_zero_cost"

# The usual way to take weights over.
ALIKE = "alike"

FailureKind: TypeAlias = Literal["out_of_memory", "divergence", "timeout", "crash", "error"]


@dataclass(frozen=True)
class Artifact:
    """A file in an artifact store: a checkpoint, a sealed dataset.

    Attributes:
        store: URL of the store, `file:///...`.
        sha256: of the content, which is also its name there.
    """

    store: str
    sha256: str

    def at(self, store: str) -> "Artifact":
        """The same content in another store."""
        return replace(self, store=store)


@dataclass(frozen=True)
class Inheritance:
    """Weights of another architecture to start from.

    Attributes:
        artifact: the checkpoint of the other.
        architecture: what the other is.
        by: how they are taken over: a plug-in of the kind inheritance.
    """

    artifact: Artifact
    architecture: Architecture
    by: str = ALIKE


@dataclass(frozen=True)
class Failure:
    """Why a candidate has no result: its own fault, which is data and not an exception.

    Attributes:
        kind: out_of_memory; divergence (the loss is not finite); timeout; crash (its process died);
            error (its network raised).
        message: what happened, in one line.
        detail: the traceback, for `nas show` and `--debug`.
    """

    kind: FailureKind
    message: str
    detail: str = ""


@dataclass(frozen=True)
class Job:
    """All that a worker needs to evaluate one candidate; nothing in it is alive.

    Attributes:
        architecture: what to evaluate.
        space: the space that builds its network.
        evaluator: the plug-in and its options.
        dataset: sealed, without test labels (see `evaluators.datasets.save_sealed`); None
            for an evaluator that brings its own task.
        store: URL of the artifact store that results are written to.
        seed: of the evaluation; equal for all candidates of a study.
        until_epoch: train up to this epoch, counted from the start.
        resume: a checkpoint of the same job at an earlier epoch to go on from.
        inherit: whose weights to start from, and how.
        prepared: what the evaluator's preparation has left (see `evaluators.preparation`).
        timeout_seconds: a bound on this job, checked by the evaluator between epochs.
        may_be_pruned: whether an executor's own scheduler may end it early. A confirmation is
            trained to its end.
    """

    architecture: Architecture
    space: SearchSpace
    evaluator: Plugin
    dataset: Artifact | None
    store: str
    seed: int
    until_epoch: int
    resume: Artifact | None = None
    inherit: Inheritance | None = None
    timeout_seconds: float | None = None
    may_be_pruned: bool = True
    prepared: Artifact | None = None

    @property
    def plugin(self) -> Plugin:
        """What does it."""
        return self.evaluator

    @property
    def reads(self) -> tuple[Artifact, ...]:
        """The artifacts that it reads, but for the dataset."""
        inherited = self.inherit.artifact if self.inherit is not None else None
        return tuple(a for a in (self.resume, inherited, self.prepared) if a is not None)

    @property
    def label(self) -> str:
        """What it is about, for messages."""
        choices = ", ".join(f"{name}={c}" for name, c in self.architecture.choices.items())
        return f"architecture {self.architecture.key[:12]} ({choices})"

    def moved(self, store: str, dataset: Artifact | None) -> "Job":
        """The same with the places of another machine."""
        inherit = self.inherit and replace(self.inherit, artifact=self.inherit.artifact.at(store))
        resume, prepared = (a and a.at(store) for a in (self.resume, self.prepared))
        return replace(
            self, store=store, dataset=dataset, resume=resume, inherit=inherit, prepared=prepared
        )


@dataclass(frozen=True)
class Evaluation:
    """What was measured of a candidate at one epoch.

    Attributes:
        epoch: the epoch reached (`until_epoch`, or where it failed).
        metrics: by name, finite numbers; empty after a failure.
        seconds: wall time spent on it by the worker.
        artifact: its checkpoint.
        failure: why there are no metrics.
        early: why it has ended before the job's `until_epoch` without a failure. "stopped": it was
            asked to (see `Executor.interrupt`); its artifact, if any, is what the same job goes on
            from. "pruned": the executor's own scheduler has ended it; its metrics are of `epoch`.
        notes: how it was evaluated, in words for people, by topic. What is under `warning` was not
            done as asked, and is told while the study runs.
    """

    epoch: int
    metrics: Mapping[str, float] = field(default_factory=FrozenMapping)
    seconds: float = 0.0
    artifact: Artifact | None = None
    failure: Failure | None = None
    early: Literal["", "stopped", "pruned"] = ""
    notes: Mapping[str, str] = field(default_factory=FrozenMapping)

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", FrozenMapping(self.metrics))
        object.__setattr__(self, "notes", FrozenMapping(self.notes))


class Evaluator(Protocol):
    """What an evaluator plug-in's `build` returns."""

    @property
    def epochs(self) -> int:
        """The epoch at which a candidate is done."""
        ...

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics that every evaluation without a failure has."""
        ...

    def evaluate(self, jobs: Sequence[Job]) -> Sequence[Evaluation]:
        """One evaluation for each job, in order; equal jobs give equal metrics, seconds aside.

        A fault of a candidate is a `Failure` in its evaluation. Anything that is wrong with the
        program or the machine is raised.
        """
        ...


@runtime_checkable
class Table(Protocol):
    """What an evaluator has besides, whose results are looked up instead of measured.

    Its module has `task(**options)`, so that a study needs no dataset. Test is in the table, and
    sealed: `nas confirm` and `nas compare` alone ask for it.
    """

    def check(self, space: SearchSpace) -> None:
        """Raise a `UsageError` unless the table has every architecture of the space."""
        ...

    def test_metrics(self, architecture: Architecture) -> Mapping[str, float]:
        """The sealed metrics of an architecture, named `test_...`."""
        ...

    def reference(self, objectives: Mapping[str, str]) -> Mapping[str, float]:
        """A reference point for hypervolumes, from {metric: direction}."""
        ...


@runtime_checkable
class Proxy(Protocol):
    """What an evaluator has besides, whose metrics only foretell what training would give.

    A metric whose name ends in `FORESEEN`, `READ_OUT` or `ZERO_COST` foretells the one without that
    ending.
    """

    @property
    def alone(self) -> Plugin:
        """The evaluator that trains a candidate for real: for `nas confirm` and `nas export`."""
        ...


class InfrastructureError(Exception):
    """Disks, connections or machines have failed, and went on failing when it was tried again."""


class Executor(Protocol):
    """Where batches of jobs run. What an executor plug-in's `build` returns.

    Attributes:
        workers: how many batches run at a time.
        in_process: whether they run in the driver's own process, which a candidate may take along.
    """

    workers: int
    in_process: bool

    def submit(self, jobs: "Sequence[Work]") -> int:
        """Start a batch and return its handle; never more than `workers` batches at a time."""
        ...

    def wait(self, timeout_seconds: float | None = None) -> Mapping[int, Sequence[Evaluation]]:
        """The batches that have ended since the last call; waits for at least one, or the time."""
        ...

    def interrupt(self) -> None:
        """Ask what runs to stop at its next epoch, with a checkpoint where it can; returns at once.

        The evaluations come through `wait` as always: those that were stopped say so (`early`),
        others have ended meanwhile.
        """
        ...

    def shutdown(self, wait: bool = True) -> None:
        """Stop the workers; with `wait=False` what still runs is abandoned. Safe to call twice."""
        ...
