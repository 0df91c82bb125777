"""What is known of a network besides its weights, where a study knows it."""

from dataclasses import dataclass, field

from nas.export._manifest import Data, Latency, Peer
from nas.export._recipe import Recipe


@dataclass(frozen=True)
class Background:
    """Facts for whoever deploys a network; all may be missing.

    Attributes:
        data: what it was trained on.
        latency: by device.
        front, directions: of its study, see `nas.export._manifest.Description`.
        recipe: how to train it again.
    """

    data: Data | None = None
    latency: tuple[Latency, ...] = ()
    front: tuple[Peer, ...] = ()
    directions: dict[str, str] = field(default_factory=dict)
    recipe: Recipe | None = None
