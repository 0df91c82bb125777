"""Supernets from outside a search: how well slices rank, and the best of them for a device."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from evaluators import FORESEEN, READ_OUT

# What an inherited evaluator says of a candidate, and how the names of those metrics end.
Measure: TypeAlias = Literal["slice", "read_out", "foreseen"]
ENDINGS: Mapping[Measure, str] = {"slice": "", "read_out": READ_OUT, "foreseen": FORESEEN}
