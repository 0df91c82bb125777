"""Callbacks of Ray Tune, as a user has them."""

from typing import Any, ClassVar

from ray.tune import Callback


class Remembering(Callback):
    """Keeps what it is told, for all of its kind."""

    configs: ClassVar[list[dict[str, Any]]] = []
    results: ClassVar[list[dict[str, Any]]] = []

    def on_trial_complete(self, *, trial: Any, **_: Any) -> None:
        self.configs.append(dict(trial.config))

    def on_trial_result(self, *, result: dict[str, Any], **_: Any) -> None:
        self.results.append(dict(result))


class Failing(Callback):
    """Has a fault of its own."""

    def on_trial_start(self, **_: Any) -> None:
        raise LookupError("this callback is broken")
