"""From a study in a database to architectures at budgets."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evaluators import PREDICTED
from nas._chosen import options_of
from nas.opening import Opened, opened
from nas.scaling.closing import WITHIN, Closing, Scaled, step_of
from nas.scaling.points import MACS, Point, frontier, points_of
from nas.scaling.rules import Rules
from nas.scaling.widening import offering, space_with, template
from nas.setup import PYTHON_SPACE, Setup
from nas.spec import StudySpec
from nas.store import Store
from search_spaces import Architecture, UsageError

# Fewer points would be joined by a line, and tell nothing of how sure it is.
NEEDED = 4


class ScalingError(UsageError):
    """A study has no rule, or no network comes near a budget."""


@dataclass(frozen=True)
class Scaling:
    """The rules of a study, and what they give.

    Attributes:
        study: its name.
        base: the trial whose network is scaled; budgets are told in its macs.
        front: what the rules were fitted to, fewest macs first.
        rules: for depth and neighbors.
        rows: one for each budget.
        spec: the study file with a space that offers what the rows need.
    """

    study: str
    base: Point
    front: tuple[Point, ...]
    rules: Rules
    rows: tuple[Scaled, ...]
    spec: StudySpec


def scale(
    name: str,
    *,
    storage: str,
    data_root: Path,
    macs: Sequence[float] = (),
    ratios: Sequence[float] = (),
    trial: int | None = None,
    report: Callable[[int, int], None] = lambda _done, _wanted: None,
) -> Scaling:
    """Fit the rule of a study and apply it.

    Args:
        macs: budgets; `ratios`: further ones, in macs of the base.
        trial: whose network is scaled; by default the best of the front in the study's metric.
        report: told how many budgets of how many are done.

    Raises:
        UsageError: no such study or trial; it has no rule, or no network comes near a budget.
    """
    store = Store.open_existing(storage)
    where = f'study "{name}"'
    _refuse_python(store, name, where)
    _check_budgets([*macs, *ratios], where)
    study = opened(store, name, data_root, with_latency=False)
    _refuse_space(study.setup, where)
    front = _front(study, where)
    base = min(front, key=lambda p: p.loss) if trial is None else _point(store, name, trial)
    rules = Rules.fit(study.setup, front, base)
    budgets = [*macs, *(ratio * base.macs for ratio in ratios)]
    likes = [template(study.setup, base.architecture, *rules.at(b / base.macs)) for b in budgets]
    # One space is to offer them all, and in a space all heads divide all widths.
    closing, rows = Closing.of(study.setup, math.lcm(*map(step_of, likes))), []
    for place, (budget, like) in enumerate(zip(budgets, likes, strict=True), start=1):
        row = scaled(closing, like, budget, base, rules)
        if abs(row.error) > WITHIN:
            which = f"budget {place} of {len(budgets)}, " if len(budgets) > 1 else ""
            raise ScalingError(_out_of_reach(closing, row, where, which))
        rows.append(row)
        report(len(rows), len(budgets))
    return _offered(study, Scaling(name, base, front, rules, tuple(rows), study.setup.spec))


def _refuse_python(store: Store, name: str, where: str) -> None:
    if store.spec(name)["space"]["name"] == PYTHON_SPACE:
        raise ScalingError(
            f"{where}: its space was made in Python, and offers the choices that it has; expected "
            "a [space] with options depth and width"
        )


def _front(study: Opened, where: str) -> tuple[Point, ...]:
    """The points that rules are fitted to, if they are enough."""
    metric, direction = _metric(study.setup, where)
    name = study.setup.spec.study.name
    points = points_of(study.store.fronts(name), metric, direction)
    front = frontier(points)
    if len(front) < NEEDED:
        raise ScalingError(
            f"{where}: a rule needs {NEEDED} or more trials that no other beats in {metric} and "
            f"{MACS}, there {'is' if len(front) == 1 else 'are'} {len(front)} (of {len(points)} "
            f"complete and feasible); search on: nas resume {name} --trials N"
        )
    return front


def _refuse_space(setup: Setup, where: str) -> None:
    space = setup.space
    if setup.dataset is None:
        raise ScalingError(
            f'{where}: the evaluator "{setup.spec.evaluator.name}" looks results up, so there are '
            "no networks to scale; expected a study that trains on a dataset"
        )
    takes = options_of("space", setup.spec.space.name)
    has_widths = any(name.endswith(".width") for name in space.by_name)
    lacking = [] if "depth" in space.by_name and "depth" in takes else ["depth"]
    lacking += [] if has_widths and "width" in takes else ["width"]
    if lacking:
        raise ScalingError(
            f'{where}: its space "{space.name}" has no decisions about {" and ".join(lacking)} '
            "that could be scaled; expected depth and width, as in the space gnn"
        )


def _metric(setup: Setup, where: str) -> tuple[str, str]:
    """The first objective that is learned and not counted, and its direction."""
    counted = {*setup.counted, *PREDICTED}
    for metric, direction in setup.objectives.items():
        if metric not in counted:
            return metric, direction
    raise ScalingError(
        f"{where}: its objectives {', '.join(setup.objectives)} are all known without training; "
        "a rule weighs macs against one that is learned, such as val_accuracy"
    )


def _point(store: Store, name: str, number: int) -> Point:
    trial = store.trial(name, number)
    if trial.architecture is None or MACS not in trial.metrics:
        raise ScalingError(
            f'study "{name}": trial {number} is {trial.state} and has no macs; expected one that '
            f"was measured: nas trials {name}"
        )
    return Point(number, trial.metrics[MACS], 0.0, trial.architecture)


def _check_budgets(budgets: Sequence[float], where: str) -> None:
    if not budgets:
        raise ScalingError(
            f"{where}: no budget is given; expected macs, as 5e6, or a ratio, as 0.25"
        )
    for given in budgets:
        if not 0 < given < float("inf"):
            raise ScalingError(f"{where}: expected a budget > 0, got {given:g}")


def scaled(
    closing: Closing, like: Architecture, budget: float, base: Point, rules: Rules
) -> Scaled:
    """The network nearest to a budget, like one that has its depth and neighbors."""
    ratio = budget / base.macs
    architecture, macs = closing.nearest(like, budget)
    return Scaled(
        budget,
        macs,
        architecture,
        ratio,
        depth_sd=rules.depth.sd(ratio),
        neighbors_sd=rules.neighbors_sd(ratio),
        is_covered=rules.depth.covers(ratio),
    )


def _out_of_reach(closing: Closing, row: Scaled, where: str, which: str) -> str:
    """That no width comes near a budget, and what can be had in its place."""
    largest, least = closing.limits(row.architecture)
    is_above, is_below = row.macs < row.budget and largest, row.macs > row.budget and least
    found = "largest" if is_above else "least" if is_below else "nearest"
    others = "; the other budgets get no row either" if which else ""
    return (
        f"{where}: no width comes within {WITHIN:.0%} of {row.budget:,.0f} macs with depth "
        f"{row.depth} ({which}ratio {row.ratio:.3g}); the {found} that can be had is width "
        f"{row.width:,} with {row.macs:,.0f} macs: ask for {'no more' if is_above else 'that'}, or "
        f"begin with another trial{others}"
    )


def _offered(study: Opened, scaling: Scaling) -> Scaling:
    """With a space that offers every row's choices, in which each is found again."""
    spec = offering(study.setup, [row.architecture for row in scaling.rows])
    space = space_with(study.setup, spec)
    rows = tuple(
        replace(row, architecture=space.architecture(row.architecture.choices))
        for row in scaling.rows
    )
    return replace(scaling, rows=rows, spec=spec)
