"""What a specialisation gives: the best network for each bound."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluators.latency.values import Timing
from search_spaces import Architecture
from search_spaces.frozen import FrozenMapping


@dataclass(frozen=True)
class Winner:
    """The best network for one bound.

    Attributes:
        bound_ms: on its latency.
        architecture: None where no candidate keeps the bound; then all else is empty.
        metrics: of the slice, foreseen, predicted and counted.
        timing: as measured on the device; None where it was not.
        bundle: the folder, where it was exported.
        exported: of the weights in the bundle, on validation.
    """

    bound_ms: float
    architecture: Architecture | None = None
    metrics: Mapping[str, float] = field(default_factory=FrozenMapping)
    timing: Timing | None = None
    bundle: Path | None = None
    exported: Mapping[str, float] = field(default_factory=FrozenMapping)

    def to_json(self) -> dict[str, Any]:
        """One row."""
        own = self.architecture
        return {
            "bound_ms": self.bound_ms,
            "architecture": None if own is None else own.key,
            "decisions": {} if own is None else dict(own.choices),
            "metrics": dict(self.metrics),
            "measured_latency_ms": None if self.timing is None else self.timing.latency_ms,
            "noisy": None if self.timing is None else self.timing.noisy,
            "bundle": None if self.bundle is None else str(self.bundle),
            "exported": dict(self.exported),
        }


@dataclass(frozen=True)
class Specialisation:
    """What a supernet gives for a device.

    Attributes:
        study: its name.
        device: the name of the profile.
        metric: by which candidates are ranked.
        evaluations: how many candidates were looked at; `seconds`: how long that took.
        winners: one for each bound, in the order of the bounds.
    """

    study: str
    device: str
    metric: str
    evaluations: int
    seconds: float
    winners: tuple[Winner, ...]

    def to_json(self) -> dict[str, Any]:
        """One object."""
        own = ("study", "device", "metric", "evaluations", "seconds")
        rows = [winner.to_json() for winner in self.winners]
        return {name: getattr(self, name) for name in own} | {"winners": rows}
