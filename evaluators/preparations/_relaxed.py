"""What the preparations of relaxed networks have in common: who is relaxed, and what is refused."""

from collections.abc import Mapping
from typing import Any

import torch

from search_spaces import PluginError, SearchSpace, Task
from search_spaces.relaxation import relax


def check_relaxable(space: SearchSpace, task: Task, options: Mapping[str, Any]) -> None:
    """Refuse what there is no relaxed network of, before a study is stored.

    Raises:
        SpaceError: the space cannot be relaxed, or not in so many parts (`channel_parts`).
        PluginError: nothing would be learned: the warm-up takes all epochs.
    """
    epochs, warm_up = options.get("epochs"), options.get("warm_up_epochs")
    if epochs is not None and warm_up is not None and warm_up >= epochs:
        raise PluginError(
            f"warm_up_epochs: expected fewer than the {epochs} epochs, since decisions are learned "
            f"after the warm-up, got {warm_up}"
        )
    with torch.device("meta"):
        relax(space, task, options.get("channel_parts", 1)).initial()
