"""How much decisions matter, by Optuna's PED-ANOVA on trials rebuilt from the record."""

import math
import re
import warnings
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from nas.reporting._record import Record
from nas.reporting._report import Chart, Section, Table
from nas.store.rows import losses_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

# Fewer complete trials say nothing; PED-ANOVA wants five of them among the best.
LEAST = 20
_BEST_TENTH = 0.1
_AMONG_BEST = 5

# Optuna warns of parameters by name, where few trials stand on one side.
_NAMED = re.compile(r"parameter `([^`]+)`")

_LIMITS = (
    "How much each decision separates the best trials from all, by PED-ANOVA (S. Watanabe, "
    "A. Bansal, F. Hutter, 2023; conditional decisions as Optuna treats them); shares of each "
    "objective sum to 1.",
    "Limits: it looks at decisions one by one, so what matters only together counts little. Trials "
    "are those of a search, which tries most what it believes in, not a sample of the space; "
    "pruned and failed ones are left out. It says what went with good values, not what made them.",
)


def importance(record: Record) -> Section:
    key, title = "importance", "Importance of decisions"
    n = len(record.best)
    if n < LEAST:
        said = f"{n} complete, feasible, different trials; from {LEAST} on something can be said."
        return Section(key, title, (said,))
    found, unsure = _measured(record)
    names = list(dict.fromkeys(name for shares in found.values() for name in shares))
    if not names:
        return Section(key, title, ("No decision has more than one choice in these trials.",))
    first = found[next(iter(found))]
    names.sort(key=lambda name: -first.get(name, 0.0))
    series = [
        {"name": metric, "x": names, "y": [round(shares.get(name, 0.0), 4) for name in names]}
        for metric, shares in found.items()
    ]
    rows = tuple((name, *(f"{s.get(name, 0.0):.3f}" for s in found.values())) for name in names)
    head = ("decision", *found)
    table = Table("Importance", head, rows, frozenset(range(1, len(head))))
    told = f"Importance of {len(names)} decisions; most for {next(iter(found))}: {names[0]}"
    data = {"x": "", "y": "share of importance", "mode": "group", "series": series}
    most = math.ceil(_quantile(n) * n)
    least = f"Of {n:,} trials the best {most} by each objective are set against all."
    doubts = (
        [f"For want of trials these may be far off: {', '.join(dict.fromkeys(unsure))}."]
        if unsure
        else []
    )
    chart = Chart("importance-chart", "bars", told, data, table, 46 * len(names))
    return Section(key, title, (*_LIMITS, least, *doubts), (chart,))


def _quantile(trials: int) -> float:
    return max(_BEST_TENTH, _AMONG_BEST / trials)


def _measured(record: Record) -> tuple[dict[str, Mapping[str, float]], list[str]]:
    """{objective: {decision: share}}, and the decisions of which Optuna is not sure."""
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    quantile = _quantile(len(record.best))
    found: dict[str, Mapping[str, float]] = {}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(directions=["minimize"] * len(record.objectives))
        study.add_trials(_rebuilt(record))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for place, metric in enumerate(record.objectives):
                found[metric] = get_param_importances(
                    study,
                    evaluator=PedAnovaImportanceEvaluator(target_quantile=quantile),
                    target=partial(_loss, place),
                )
    finally:
        optuna.logging.set_verbosity(verbosity)
    return found, [name for t in told for name in _NAMED.findall(str(t.message))]


def _loss(place: int, trial: "FrozenTrial") -> float:
    return float(trial.values[place])


def _rebuilt(record: Record) -> "list[FrozenTrial]":
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution

    offered: dict[str, BaseDistribution] = {
        name: CategoricalDistribution(tuple(choices)) for name, choices in record.decisions.items()
    }
    rebuilt = []
    for trial in record.best:
        choices = dict(trial.architecture.choices) if trial.architecture else {}
        own = {name: offered[name] for name in choices}
        losses = losses_of(trial.settled, record.objectives)
        rebuilt.append(optuna.create_trial(params=choices, distributions=own, values=losses))
    return rebuilt
