"""The values of a preparation: what a study has done once, before its first proposal.

Training a supernet, or a relaxed network whose decisions are weights, is one long job and no trial.
A strategy or an evaluator declares it (`Preparation`); the study runs it first, on the same
executor as its trials, records every epoch, and hands what is left to both (`Prepared`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from evaluators.values import Artifact, Evaluation, Job
from search_spaces import SearchSpace
from search_spaces.canonical import digest
from search_spaces.frozen import FrozenMapping
from search_spaces.plugins import Plugin

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Preparation:
    """What is to be done; equal keys are one and the same job within a study.

    Attributes:
        plugin: a module with a function `prepare`, and options for it (see `Preparer`).
        epochs: until when.
        passes: how many passes of a single network over the training units it takes in all. It is
            charged as so many: a trial of E epochs is E, times its seeds and folds (`passes` of an
            evaluator, where it has that).
    """

    plugin: Plugin
    epochs: int
    passes: float

    @property
    def key(self) -> str:
        """32 hex digits, of everything that its result depends on besides the study."""
        return digest([self.plugin.name, self.plugin.options, self.epochs])


@runtime_checkable
class Prepares(Protocol):
    """What an evaluator has besides, where its jobs need something prepared (`Job.prepared`)."""

    @property
    def preparation(self) -> Preparation: ...


class Preparer(Protocol):
    """What a preparation's `prepare(space, batches, seed, *, ...)` returns.

    `batches` cuts batches out of the dataset (see `evaluators.batches_of`); it has no test labels.

    Before it is made and before each epoch the random numbers of torch are seeded anew, so that a
    run that goes on from a checkpoint is the run that was never stopped. Other random numbers are
    to be made from the study's seed and the epoch.
    """

    def epoch(self, number: int) -> Mapping[str, float]:
        """Train epoch `number`, from 1, and return what was measured, by name."""
        ...

    def distribution(self) -> "Mapping[str, Sequence[float]]":
        """{decision: a probability for each of its choices, in their order}, as it is now.

        Empty where nothing is learned of the decisions.
        """
        ...

    def state_dict(self) -> "Mapping[str, Tensor]":
        """All that the next epoch depends on, and all that its readers need."""
        ...

    def load_state_dict(self, state: "Mapping[str, Tensor]") -> None:
        """Be as it was when `state_dict` gave this."""
        ...


@dataclass(frozen=True)
class PreparedEpoch:
    """One epoch of a preparation, for the record.

    Attributes:
        epoch: from 1.
        metrics: by name, finite numbers.
        distribution: {decision: a probability for each choice}.
    """

    epoch: int
    metrics: Mapping[str, float]
    distribution: Mapping[str, tuple[float, ...]] = field(default_factory=FrozenMapping)

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", FrozenMapping(self.metrics))
        rows = {name: tuple(row) for name, row in self.distribution.items()}
        object.__setattr__(self, "distribution", FrozenMapping(rows))


@dataclass(frozen=True)
class PreparationJob:
    """A stretch of a preparation, for a worker; nothing in it is alive.

    Attributes:
        preparation: what to do.
        space: of the architectures.
        dataset: prepared, without test labels.
        store: URL of the artifact store that its checkpoint is written to.
        seed: of the study.
        until_epoch: where it ends.
        resume: its last checkpoint.
        pause_seconds: after so long it returns what it has, to be recorded, and to go on.
        timeout_seconds: a bound on this stretch.
    """

    preparation: Preparation
    space: SearchSpace
    dataset: Artifact | None
    store: str
    seed: int
    until_epoch: int
    resume: Artifact | None = None
    pause_seconds: float | None = None
    timeout_seconds: float | None = None

    @property
    def plugin(self) -> Plugin:
        """What does it."""
        return self.preparation.plugin

    @property
    def reads(self) -> tuple[Artifact, ...]:
        """The artifacts that it reads, but for the dataset."""
        return (self.resume,) if self.resume is not None else ()

    @property
    def label(self) -> str:
        """What it is about, for messages."""
        return f"the preparation {self.plugin.name}"

    def moved(self, store: str, dataset: Artifact | None) -> "PreparationJob":
        """The same with the places of another machine."""
        resume = self.resume and self.resume.at(store)
        return replace(self, store=store, dataset=dataset, resume=resume)


@dataclass(frozen=True)
class Advance(Evaluation):
    """How far a stretch of a preparation came.

    Attributes:
        epochs: that it has trained, in order.
    """

    epochs: tuple[PreparedEpoch, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """What a preparation has left.

    Attributes:
        preparation: what was done.
        artifact: its last checkpoint (`evaluators.preparing.weights` reads it).
        last: its last epoch.
    """

    preparation: Preparation
    artifact: Artifact
    last: PreparedEpoch


# What an executor takes.
Work: TypeAlias = Job | PreparationJob
