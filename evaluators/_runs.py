"""A training run: one network on one fold from one seed, and where it stands."""

from dataclasses import dataclass, field

from torch import Tensor, nn

from evaluators import metrics, stopping
from evaluators._faults import CandidateError
from evaluators._folds import Fold
from evaluators._recipe import Recipe
from evaluators._teaching import Lesson
from evaluators.checkpoint import RunState
from evaluators.inheritances.alike import Signatures, signatures
from evaluators.values import Failure
from search_spaces.extension import Settles


@dataclass(eq=False)
class Allowance:
    """The time that the runs of one candidate may take together.

    Attributes:
        seconds: the bound; None for none.
        spent: so far, by all of them; a run in a cohort is charged its share.
    """

    seconds: float | None
    spent: float = 0.0

    @property
    def is_over(self) -> bool:
        return self.seconds is not None and self.spent > self.seconds


@dataclass(eq=False)
class Run:
    """One training run.

    Attributes:
        network: fresh, or with the weights to start from; it is changed.
        recipe: how to train it.
        fold: which units it learns from.
        seed, index: of the job, and of the run within it.
        key: of the architecture, as a number.
        until_epoch: where it ends.
        allowance: of its candidate.
        lesson: what it learns besides labels, if anything.
        state: how far it is.
        fault: why it ended early.
        notes: how it was trained.
        signatures: of the network's parts.
    """

    network: nn.Module
    recipe: Recipe
    fold: Fold
    seed: int
    index: int
    key: int
    until_epoch: int
    allowance: Allowance
    lesson: Lesson | None = None
    state: RunState = field(default_factory=RunState)
    fault: CandidateError | None = None
    notes: dict[str, str] = field(default_factory=dict)
    signatures: Signatures = field(init=False)

    def __post_init__(self) -> None:
        # Before anything is put in place of its modules, which is no part of what a network is.
        self.signatures = signatures(self.network)

    @property
    def seen(self) -> Tensor:
        """The units whose outputs are in its training loss [U]."""
        train = self.fold.train
        return train if self.lesson is None else self.lesson.units(train)

    @property
    def is_done(self) -> bool:
        patience, state = self.recipe.patience, self.state
        tired = patience is not None and state.epoch - state.best_epoch >= patience
        return self.fault is not None or state.epoch >= self.until_epoch or tired

    @property
    def goes_on(self) -> bool:
        """Whether another epoch is to be trained now."""
        return not self.is_done and not stopping.requested()

    def warn(self, what: str) -> None:
        """Note what was done in place of what was asked for; the same once."""
        warnings = self.notes.get("warning", "").split("; ") if "warning" in self.notes else []
        if what not in warnings:
            self.notes["warning"] = "; ".join([*warnings, what])

    def fail(self, failure: Failure) -> None:
        self.fault = CandidateError(failure, self.state.epoch)

    def check_time(self) -> None:
        if self.allowance.is_over:
            where = f"in epoch {self.state.epoch + 1} of run {self.index}"
            self.fail(Failure("timeout", f"its time was over {where}"))

    def charge(self, seconds: float) -> None:
        self.state.seconds += seconds
        self.allowance.spent += seconds

    def diverged(self, loss: float, what: str) -> None:
        where = f"in epoch {self.state.epoch + 1} of run {self.index}"
        self.fail(Failure("divergence", f"the {what} loss is {loss}, not finite {where}"))

    def complete_epoch(self, value: float, train_loss: float) -> bool:
        """Count an epoch with its validation value; True where it is the best so far.

        While a network is still becoming another one, the last epoch is.
        """
        state = self.state
        state.epoch += 1
        settles = self.network.settles_after if isinstance(self.network, Settles) else 0
        if value <= state.best_value and state.best_epoch > settles:
            return False
        state.best_epoch, state.best_value = state.epoch, value
        state.best_train_loss = train_loss
        return True

    def measure(self, y: Tensor) -> None:
        """Take down the metrics of the best epoch, on validation labels [U], where there is one."""
        state = self.state
        if not state.epoch:
            return
        validation = metrics.all_metrics(state.best_logits, y)
        state.metrics = {f"val_{name}": value for name, value in validation.items()} | {
            "train_loss": state.best_train_loss,
            "best_epoch": float(state.best_epoch),
            "train_seconds": state.seconds,
        }
