"""Supernets from outside a search: how well slices rank, and the best of them for a device."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from evaluators import FORESEEN, READ_OUT

# What an inherited evaluator says of a candidate, and how the names of those metrics end.
Measure: TypeAlias = Literal["slice", "read_out", "foreseen"]
ENDINGS: Mapping[Measure, str] = {"slice": "", "read_out": READ_OUT, "foreseen": FORESEEN}


def ranked(ranking: Mapping[str, Any]) -> str:
    """How well the slices of a study's supernet rank, in a line, as `nas supernet rank` found."""
    tau = next(a["kendall"] for a in ranking["agreements"] if a["measure"] == "foreseen")
    verdict = "enough" if ranking["is_enough"] else "not enough to trust it"
    return f"tau {tau:.2f} of what is foreseen, {ranking['needed']:.2f} needed: {verdict}"
