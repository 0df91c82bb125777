"""Strategies side by side: same space, same evaluator, same number of true evaluations.

Each pair of a strategy and a seed is one run: a search in memory that proposes what `nas search`
with that strategy and seed would, and that is charged for every trial. `compare` makes the runs
that are not stored yet and gives a `Comparison`, whose rows are means over seeds and differences to
random search, paired by seed. See docs/comparing.md.
"""

from nas.compare._bench import Bench
from nas.compare._compare import Comparison, compare
from nas.compare._entrants import BASELINE, Entrant, entrants, split
from nas.compare._plan import Standing
from nas.compare._reference import checked_point, example
from nas.compare._run import ComparisonError, Run, Step
from nas.compare._search import run_one
from nas.compare._statistics import Row, holm, paired_interval

__all__ = [
    "BASELINE",
    "Bench",
    "Comparison",
    "ComparisonError",
    "Entrant",
    "Row",
    "Run",
    "Standing",
    "Step",
    "checked_point",
    "compare",
    "entrants",
    "example",
    "holm",
    "paired_interval",
    "run_one",
    "split",
]
