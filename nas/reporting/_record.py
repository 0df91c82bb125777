"""What a report of a study is made from, read from its database at once."""

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nas.record import Confirmation, StudyStatus, TrialRecord
from nas.store import Store
from nas.store.confirmations import confirmations
from nas.store.fronts import nearest, ranked
from nas.store.reported import Rung, all_rungs, bound_to
from nas.store.rows import objectives_of
from search_spaces import Task

# Of what computes; the rest is in constraints.txt.
_PACKAGES = ("gnn-nas", "torch", "torch-geometric", "optuna", "numpy")


@dataclass(frozen=True)
class Record:
    """A study.

    Attributes:
        status: at a glance.
        spec: the study file, as stored.
        decisions: {decision: its choices} of the space.
        space: its name and version.
        task: what networks have to fit.
        trials: by number.
        ranked: (rank, trial) of the complete and feasible ones, best first; rank 0 is the front.
        rungs: all that was measured, by trial and epoch.
        confirmed: by `nas confirm`, ranked.
        environment: where the report is written: {what: version}.
    """

    status: StudyStatus
    spec: Mapping[str, Any]
    decisions: Mapping[str, Sequence[Any]]
    space: tuple[str, str]
    task: Task
    trials: Sequence[TrialRecord]
    ranked: Sequence[tuple[int, TrialRecord]]
    rungs: Sequence[Rung] = ()
    confirmed: Sequence[Confirmation] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def objectives(self) -> dict[str, str]:
        """{metric: direction}, the most important first."""
        return objectives_of(self.spec)

    @property
    def order(self) -> str:
        """What "best first" means on a page, in words: the order of `ranked`."""
        first = next(iter(self.objectives))
        return (
            f"front after front, in each by {first}" if len(self.objectives) > 1 else f"by {first}"
        )

    @property
    def front(self) -> list[TrialRecord]:
        return [trial for rank, trial in self.ranked if rank == 0]

    @property
    def best(self) -> list[TrialRecord]:
        """The complete and feasible trials, front after front."""
        return [trial for _, trial in self.ranked]

    @property
    def nearest(self) -> TrialRecord | None:
        """Of a study in which nothing is feasible: what came nearest to its constraints."""
        return None if self.ranked else nearest(self.trials)


def read(store: Store, name: str) -> Record:
    """The record of a study.

    Raises:
        StoreError: there is none of that name.
    """
    trials, spec = store.trials(name), store.spec(name)
    space, task = bound_to(store, name)
    return Record(
        status=store.status(name),
        spec=spec,
        decisions={n: d["choices"] for n, d in space["decisions"].items()},
        space=(space["name"], str(space["version"])),
        task=Task(**task),
        trials=tuple(trials),
        ranked=tuple(ranked(spec, trials)),
        rungs=tuple(all_rungs(store, name)),
        confirmed=tuple(confirmations(store, name)),
        environment=environment(),
    )


def environment() -> dict[str, str]:
    """What this program runs on; the machine's name and folders stay out of what is passed on."""
    found = {name: _version(name) for name in _PACKAGES}
    system = f"{platform.system()} {platform.machine()}"
    return {"Python": platform.python_version(), **found, "system": system}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
