"""What a run writes of the trials that it owns, and sees of those that it does not, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evaluators import Failure
from nas.record import TrialState
from search_spaces import Architecture


@dataclass(frozen=True)
class Reserved:
    """An ordinal that this run owns.

    Attributes:
        ordinal: of the proposal.
        last_seq: the last ended trial that the strategy may see; -1 for none.
        pending: the ordinals that were under way when it was reserved.
        architecture: what was proposed, if a run got as far as that.
        inherit: the trial whose weights it starts from.
        inherit_by: how.
        prepared: the artifact that the proposal was made from.
        checkpoint: where a stop left it between two rungs: epoch, artifact, seconds.
        deaths: how many drivers have died while it was theirs.
        is_orphan: whether another run had it before.
    """

    ordinal: int
    last_seq: int
    pending: tuple[int, ...]
    architecture: Architecture | None = None
    inherit: int | None = None
    inherit_by: str | None = None
    prepared: str | None = None
    checkpoint: Mapping[str, Any] | None = None
    deaths: int = 0
    is_orphan: bool = False


@dataclass(frozen=True)
class Ending:
    """How a trial ended, complete with what is kept of it.

    Attributes:
        notes: of an evaluation that failed; those of the others are in their own rows.
    """

    state: TrialState
    metrics: Mapping[str, float] = field(default_factory=dict)
    violation: float = 0.0
    epochs: int = 0
    seconds: float = 0.0
    cached: bool = False
    artifact: str | None = None
    failure: Failure | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Company:
    """What other runs have of a study.

    Attributes:
        begun: how many ordinals have been given out, to anybody.
        measured: {ordinal: the epoch of its last rung, 0 for none} of their trials.
        has_orphans: whether some of these belong to a run that is gone, or has left.
    """

    begun: int
    measured: Mapping[int, int]
    has_orphans: bool


def reserved(row: Mapping[Any, Any], *, died: bool) -> Reserved:
    """A row of trials that has not ended; `died` says that its driver has."""
    value = row["architecture"]
    return Reserved(
        ordinal=row["ordinal"],
        last_seq=row["last_seq"],
        pending=tuple(row["pending"]),
        architecture=Architecture.from_json(value) if value else None,
        inherit=row["inherit"],
        inherit_by=row["inherit_by"],
        prepared=row["prepared"],
        checkpoint=row["checkpoint"],
        deaths=row["deaths"] + died,
        is_orphan=True,
    )
