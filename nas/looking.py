"""A study in a database, to look at from Python."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators import PreparedEpoch
from nas.drawing import Drawing, draw_trial
from nas.record import StudyStatus, TrialRecord
from nas.store import Store
from nas.store.bundles import stored_bundles
from search_spaces import SearchSpace

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_STORAGE = "sqlite:///nas.db"
DEFAULT_DATA_ROOT = Path("data")


class Recorded:
    """What a study has found so far; nothing is changed by looking.

    Raises:
        StoreError: no such study.
    """

    def __init__(
        self,
        name: str,
        *,
        storage: str = DEFAULT_STORAGE,
        data_root: Path | str = DEFAULT_DATA_ROOT,
        space: SearchSpace | None = None,
    ) -> None:
        self.name = name
        self.storage = storage
        self.data_root = Path(data_root)
        self._space = space
        self._store = Store.open_existing(storage)
        self._store.status(name)

    def status(self) -> StudyStatus:
        """Counts, best values, time spent."""
        return self._store.status(self.name)

    def trials(self) -> list[TrialRecord]:
        """All trials, by number."""
        return self._store.trials(self.name)

    def trial(self, number: int) -> TrialRecord:
        """One trial."""
        return self._store.trial(self.name, number)

    def draw(self, number: int) -> Drawing:
        """A trial's architecture as SVG: a string, which a notebook shows as an image."""
        return draw_trial(self._store, self.name, number, self._space)

    def front(self) -> list[TrialRecord]:
        """The feasible trials that no other dominates, the best in the first objective first.

        Latency counts as it was measured, where it was: `metrics` has what was predicted,
        `measured` what was measured, and `settled` what counts.
        """
        return self._store.front(self.name)

    def prepared_epochs(self, key: str) -> Sequence[PreparedEpoch]:
        """What was recorded of a preparation, epoch by epoch; `status().preparations` has keys."""
        return self._store.prepared_epochs(self.name, key)

    def to_frame(self) -> "pd.DataFrame":
        """One row a trial: its number, state, epochs, seconds, cached, then decisions and metrics.

        Where latency was measured on the device, `measured_latency_ms` has it.
        """
        import pandas as pd

        rows = []
        for trial in self.trials():
            row = trial.to_json()
            decisions, metrics = row.pop("decisions"), row.pop("metrics")
            row["failure"] = (row["failure"] or {}).get("kind")
            if measured := row.pop("measured"):
                metrics["measured_latency_ms"] = measured["latency_ms"]
            rows.append({**row, **decisions, **metrics})
        return pd.DataFrame(rows)

    def bundles(self, trial: int) -> list[dict[str, Any]]:
        """What is recorded of a trial's bundles: digest, formats, and when each was written."""
        return stored_bundles(self._store, self.name, trial)

    def report(self, to: Path | str) -> Path:
        """Write the study as one page of HTML that needs nothing else; returns where.

        Raises:
            UsageError: plotly is not installed, or the file cannot be written.
        """
        from nas.reporting import write

        return write(self.storage, self.name, Path(to))

    def __repr__(self) -> str:
        return f"Study({self.name!r}, {self.status().trials.ended} trials)"
