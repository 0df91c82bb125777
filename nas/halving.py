"""Halving: which trials of a study go on at a rung, decided from rows of the record.

Nothing is remembered between two runs that the record does not have. Asked again, a decision is the
same; so a killed study goes on as if it had not been.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from nas import rungs
from nas.constraints import total_violation
from nas.setup import Setup
from nas.store.ledger import Ledger
from nas.store.rows import losses_of


class Member(Protocol):
    """A trial under way: its number, and the level that it trains for, or was measured at."""

    @property
    def ordinal(self) -> int: ...

    @property
    def level(self) -> int: ...


@dataclass(frozen=True)
class Rival:
    """A trial of another driver, and the level that it has yet to be measured at."""

    ordinal: int
    level: int


M = TypeVar("M", bound=Member)


@dataclass(frozen=True)
class Decision(Generic[M]):
    """What becomes of a trial at a rung, and what was measured of it there."""

    trial: M
    goes_on: bool
    metrics: Mapping[str, float]


class Halving(Generic[M]):
    """The `[halving]` of a study; of one without, no trial ever comes to a rung."""

    def __init__(self, setup: Setup, ledger: Ledger) -> None:
        self._setup = setup
        self._ledger = ledger
        table = setup.spec.halving
        self._reduction = table.reduction if table else 1
        self._bracket = table.competing if table else 1
        self._successive = table is not None and table.mode == "successive"
        self._waiting: dict[int, M] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether there are trials to decide on, when their brackets have been measured."""
        return bool(self._waiting)

    def measured(self, trial: M, row: int) -> list[Decision[M]]:
        """What follows from a trial's being measured at its level: nothing yet, where it waits.

        Args:
            trial: which holds no worker now.
            row: of its evaluation; asynchronous halving looks at this one and those before it.
        """
        if self._successive:
            self._waiting[trial.ordinal] = trial
            return []
        seen = self._ledger.rung_until(self._setup.levels[trial.level], row)
        goes_on = rungs.goes_on(*self._ranked_by(seen), self._reduction)
        return [Decision(trial, goes_on, seen[-1])]

    def settle(
        self, under_way: Iterable[Member], begun: int, *, closing: bool, below: int | None = None
    ) -> list[Decision[M]]:
        """Decide on the lowest bracket that has been measured as far as it got; by ordinal.

        Args:
            under_way: the trials that have not ended and do not wait here; those of other drivers
                at the level that they have yet to be measured at.
            begun: how many ordinals have been given out.
            closing: whether a bracket that is not full is decided on too: nothing will join it.
            below: only where the bracket's trials are at a lower level than this: those that
                another bracket is behind with come first.
        """
        trials = self._due(under_way, begun, closing)
        if below is not None and trials and trials[0].level >= below:
            return []
        if not trials:
            return []
        rows = self._ledger.rung_of(self._setup.levels[trials[0].level], self._rivals(trials[0]))
        ordinals = list(rows)
        order = rungs.best(*self._ranked_by(list(rows.values())), self._reduction)
        chosen = {ordinals[index] for index in order}
        for trial in trials:
            del self._waiting[trial.ordinal]
        return [Decision(t, t.ordinal in chosen, rows[t.ordinal]) for t in trials]

    def _rivals(self, trial: Member) -> range:
        """The ordinals of a trial's bracket: the first of a study are one, the next another."""
        first = trial.ordinal - trial.ordinal % self._bracket
        return range(first, first + self._bracket)

    def _due(self, under_way: Iterable[Member], begun: int, closing: bool) -> list[M]:
        """The trials at a bracket's lowest level, once none of them trains for it.

        Of several brackets that with the lowest level, and then the first.
        """
        brackets: dict[int, list[Member]] = {}
        members: list[Member] = [*self._waiting.values(), *under_way]
        for trial in members:
            brackets.setdefault(self._rivals(trial).stop, []).append(trial)
        due: dict[tuple[int, int], list[M]] = {}
        for end, trials in brackets.items():
            lowest = min(trial.level for trial in trials)
            ordinals = sorted(trial.ordinal for trial in trials if trial.level == lowest)
            waiting = all(ordinal in self._waiting for ordinal in ordinals)
            if waiting and (closing or end <= begun):
                due[lowest, end] = [self._waiting[ordinal] for ordinal in ordinals]
        return due[min(due)] if due else []

    def _ranked_by(
        self, measured: Sequence[Mapping[str, float]]
    ) -> tuple[list[tuple[float, ...]], list[float]]:
        """Losses and violations at a rung."""
        losses = [losses_of(metrics, self._setup.objectives) for metrics in measured]
        return losses, [total_violation(self._setup.constraints, metrics) for metrics in measured]
