"""Which of the trials under way are evaluated together, as one batch of jobs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from evaluators import Artifact, Evaluation
from nas.judging import Verdict
from search_spaces import Architecture


@dataclass
class UnderWay:
    """A trial under way: what is known of it, and at which rung it is.

    Attributes:
        verdict: by its facts alone: there is nothing to evaluate.
        known: of the next rung, what the record answers.
        seconds, trained: of the rungs so far.
        checkpoint: to go on from: of the last rung, or where it was stopped after that.
        carried_seconds: what it had taken from the last rung on when it was stopped.
        deaths: how many drivers have died while it was theirs.
    """

    ordinal: int
    architecture: Architecture
    inherit: int | None = None
    inherit_by: str | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    verdict: Verdict | None = None
    known: Evaluation | None = None
    level: int = 0
    seconds: float = 0.0
    trained: bool = False
    checkpoint: Artifact | None = None
    carried_seconds: float = 0.0
    deaths: int = 0


class Ready:
    """The trials that wait for a worker, in the order in which they are to be recorded.

    That order is a function of the trials alone: the lowest level first, then by ordinal. So those
    that a killed driver had not come to catch up before the others go on, as they had before.

    Args:
        size: of a batch.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._trials: list[UnderWay] = []

    def __iter__(self) -> Iterator[UnderWay]:
        return iter(self._trials)

    def __len__(self) -> int:
        return len(self._trials)

    def add(self, trial: UnderWay) -> None:
        self._trials.append(trial)
        self._trials.sort(key=lambda trial: (trial.level, trial.ordinal))

    @property
    def level(self) -> int | None:
        """The lowest level that a trial waits for; None where none waits."""
        return self._trials[0].level if self._trials else None

    def take(self, ahead: int | None = None, workers: int = 1) -> list[UnderWay]:
        """The next batch: trials of one level, no architecture twice.

        An architecture that is there already ends the batch: it waits to be answered from the
        record, whoever is killed meanwhile. The last trials of a study are shared out evenly, so
        that no worker is idle while another has a whole batch.

        Args:
            ahead: how many trials have yet to be proposed; None where there is no bound.
            workers: who share what is left.
        """
        share = self._size if ahead is None else -(-(len(self._trials) + ahead) // workers)
        taken: dict[str, UnderWay] = {}
        for trial in self._trials[: min(self._size, share)]:
            if trial.level != self.level or trial.architecture.key in taken:
                break
            taken[trial.architecture.key] = trial
        del self._trials[: len(taken)]
        return list(taken.values())
