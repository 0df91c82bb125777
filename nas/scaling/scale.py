"""From a study in a database to architectures at budgets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evaluators import PREDICTED
from nas._chosen import options_of
from nas._options import freeze
from nas.opening import Opened, opened
from nas.scaling.closing import WITHIN, Closing, Scaled, repeated, widths_of
from nas.scaling.points import MACS, Point, frontier, points_of
from nas.scaling.rule import Rule
from nas.setting_up import space_of
from nas.setup import PYTHON_SPACE, Setup
from nas.spec import StudySpec
from nas.store import Store
from search_spaces import Architecture, SearchSpace, UsageError

# Fewer points would be joined by a line, and tell nothing of how sure it is.
NEEDED = 4


class ScalingError(UsageError):
    """A study has no rule, or no network comes near a budget."""


@dataclass(frozen=True)
class Scaling:
    """A study's rule, and what it gives.

    Attributes:
        study: its name.
        base: the trial whose network is scaled; budgets are told in its macs.
        front: what the rule was fitted to, fewest macs first.
        rows: one for each budget.
        spec: the study file with a space that offers what the rows need.
    """

    study: str
    base: Point
    front: tuple[Point, ...]
    depth: Rule
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
    if store.spec(name)["space"]["name"] == PYTHON_SPACE:
        raise ScalingError(
            f"{where}: its space was made in Python, and offers the choices that it has; expected "
            "a [space] with options depth and width"
        )
    study = opened(store, name, data_root, with_latency=False)
    _refuse_space(study.setup, where)
    metric, direction = _metric(study.setup, where)
    points = points_of(store.fronts(name), metric, direction)
    front = frontier(points)
    if len(front) < NEEDED:
        raise ScalingError(
            f"{where}: a rule needs {NEEDED} or more trials that no other beats in {metric} and "
            f"{MACS}, there {'is' if len(front) == 1 else 'are'} {len(front)} (of {len(points)} "
            "complete and feasible); search on: nas resume "
            f"{name} --trials N"
        )
    base = min(front, key=lambda p: p.loss) if trial is None else _point(store, name, trial)
    depth = depth_rule(front, base)
    budgets = _budgets(macs, ratios, base)
    rows = []
    for budget in budgets:
        rows.append(scaled(study.setup, base, depth, budget, where))
        report(len(rows), len(budgets))
    return _offered(study, Scaling(name, base, front, depth, tuple(rows), study.setup.spec))


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


def depth_rule(front: Sequence[Point], base: Point) -> Rule:
    depths = [float(p.architecture.choices["depth"]) for p in front]
    return Rule.fit([p.macs / base.macs for p in front], depths)


def _budgets(macs: Sequence[float], ratios: Sequence[float], base: Point) -> list[float]:
    budgets = [*macs, *(ratio * base.macs for ratio in ratios)]
    if not budgets:
        raise ScalingError("no budget is given; expected macs, as 5e6, or ratios, as 0.25")
    for given in (*macs, *ratios):
        if not 0 < given < float("inf"):
            raise ScalingError(f"expected a budget > 0, got {given:g}")
    return budgets


def scaled(setup: Setup, base: Point, rule: Rule, budget: float, where: str) -> Scaled:
    ratio = budget / base.macs
    like = template(setup, base.architecture, max(1, round(rule.mean(ratio))))
    architecture, macs = Closing.of(setup).nearest(like, budget)
    row = Scaled(budget, macs, architecture, ratio, rule.sd(ratio), rule.covers(ratio))
    if abs(row.error) > WITHIN:
        raise ScalingError(
            f"{where}: no width comes within {WITHIN:.0%} of {budget:,.0f} macs with depth "
            f"{row.depth}; the nearest is width {row.width} with {macs:.0f} macs: ask for that, or "
            "begin with another trial"
        )
    return row


def template(setup: Setup, base: Architecture, depth: int) -> Architecture:
    """The base with another depth; what that leaves to decide takes the first choice."""
    space = _widened(setup, {"depth": (depth,)})
    return space.fill(lambda decision: decision.choices[0], repeated(base.choices, depth))


def _widened(setup: Setup, options: Mapping[str, Any]) -> SearchSpace:
    """The study's space, with its extensions, built with other options."""
    return space_of(_with_options(setup.spec, options), setup.task, setup.evaluator)


def _with_options(spec: StudySpec, options: Mapping[str, Any]) -> StudySpec:
    merged = freeze({**spec.space.options, **options})
    return spec.model_copy(update={"space": replace(spec.space, options=merged)})


def _offered(study: Opened, scaling: Scaling) -> Scaling:
    """With a space that offers every row's choices, in which it is built again and found."""
    setup, rows = study.setup, scaling.rows
    options = _options(setup.space, [row.architecture for row in rows])
    space = _widened(setup, options)
    found = [space.architecture(row.architecture.choices) for row in rows]
    rows = tuple(replace(row, architecture=a) for row, a in zip(rows, found, strict=True))
    return replace(scaling, rows=rows, spec=_with_options(setup.spec, options))


def _options(space: SearchSpace, architectures: Sequence[Architecture]) -> dict[str, Any]:
    """The space's own depths and widths and those of the architectures, as its options.

    Heads that do not divide the new widths are left out, and so are widths that the others do not.
    """
    scaled = {int(a.choices[name]) for a in architectures for name in widths_of(a)}
    offered = _choices(space, ".heads")
    heads = sorted(h for h in offered if not any(w % h for w in scaled)) or [1]
    own = {w for w in _choices(space, ".width") if not any(w % h for h in heads)}
    depths = {*space.by_name["depth"].choices, *(a.choices["depth"] for a in architectures)}
    options: dict[str, Any] = {"depth": sorted(map(int, depths)), "width": sorted(own | scaled)}
    return {**options, "heads": heads} if offered else options


def _choices(space: SearchSpace, ending: str) -> set[int]:
    """What is offered by the decisions of such names."""
    return {int(c) for d in space.decisions if d.name.endswith(ending) for c in d.choices}
