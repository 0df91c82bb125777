"""Which trials of a study random search would have proposed as well."""

from collections.abc import Mapping
from typing import Any

from nas.record import TrialRecord


def is_random(spec: Mapping[str, Any], trial: TrialRecord) -> bool:
    """Whether it was drawn at random: all of `random`, and what others note as their start."""
    return spec["strategy"]["name"] == "random" or trial.note.get("phase") == "startup"


def row_of(spec: Mapping[str, Any], trials: int) -> str:
    """What the random row of a study is, in a sentence; or why it has none, and how to get one."""
    strategy = spec["strategy"]["name"]
    if strategy == "random":
        return "The strategy is random search itself: the random row is the search."
    if trials:
        return (
            f"The random row: the best so far of the {trials} trials with which {strategy} began, "
            "drawn at random before it knew anything. It has fewer trials than the search; nas "
            "compare gives random search as many, over several seeds."
        )
    return (
        f"No random row: the record has no trial of {strategy} that was drawn at random. For one, "
        f"run: nas compare SPEC --strategies {strategy}, and nas report of that comparison."
    )
