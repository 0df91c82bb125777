"""Which trials of a study are best: by what was measured on the device, where that is known."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from evaluators import PREDICTED
from nas.constraints import Constraint, parse
from nas.record import TrialRecord
from nas.store.rows import losses_of, objectives_of

# Where a prediction and a measurement are equal the measured trial goes first.
_TRIFLE = 1e-6


def ranked(spec: Mapping[str, Any], trials: Sequence[TrialRecord]) -> list[tuple[int, TrialRecord]]:
    """The feasible, complete trials of a study with their ranks, front after front.

    What was measured counts in place of what was predicted, for constraints too. What was not, or
    on a device too busy to measure well, is expected to be as far off its prediction as the
    measured ones are in the middle: a device that is slower than its profile by a tenth is so for
    all of them.

    Args:
        spec: the study file, as it is stored.
        trials: of the study, by number; of equal architectures the first one stands for all.
    """
    candidates = _candidates(spec, trials)
    if not candidates:
        return []
    from nas.pareto import non_dominated_ranks  # imports numpy, which a status does without

    objectives, off = objectives_of(spec), _how_far_off(trials)
    losses = [losses_of(_expected(trial, off), objectives) for trial in candidates]
    ranks = [int(rank) for rank in non_dominated_ranks(losses)]
    keys = range(len(candidates))
    order = sorted(keys, key=lambda i: (ranks[i], *losses[i], candidates[i].number))
    return [(ranks[i], candidates[i]) for i in order]


def best_measured(spec: Mapping[str, Any], trials: Sequence[TrialRecord]) -> dict[str, float]:
    """{objective: its value in the first trial of `ranked`}, whose arguments it has."""
    objectives, off = objectives_of(spec), _how_far_off(trials)
    best = min(
        _candidates(spec, trials),
        key=lambda trial: (*losses_of(_expected(trial, off), objectives), trial.number),
        default=None,
    )
    return {} if best is None else {metric: float(best.settled[metric]) for metric in objectives}


def nearest(trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """The infeasible trial that breaks its constraints least; None where there is none."""
    infeasible = [trial for trial in trials if trial.state == "infeasible"]
    return min(infeasible, key=lambda trial: (trial.violation, trial.number), default=None)


def broken(spec: Mapping[str, Any], trial: TrialRecord) -> list[Constraint]:
    """The bounds that a trial does not keep as measured; none, where it was not measured well."""
    if not trial.is_measured_well:
        return []
    bounds = [parse(text) for text in spec["study"].get("constraints", ())]
    return [bound for bound in bounds if (bound.violation(trial.settled) or 0.0) > 0]


def _candidates(spec: Mapping[str, Any], trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Complete and feasible ones; of equal architectures the first."""
    distinct: dict[str, TrialRecord] = {}
    for trial in trials:
        if trial.state == "complete" and trial.architecture is not None and not broken(spec, trial):
            distinct.setdefault(trial.architecture.key, trial)
    return list(distinct.values())


def _how_far_off(trials: Sequence[TrialRecord]) -> dict[str, float]:
    """Of each measured metric the median of measured over predicted."""
    found = {}
    for metric in PREDICTED:
        quiet = [trial for trial in trials if trial.is_measured_well]
        pairs = [(t.measured.get(metric), t.metrics.get(metric)) for t in quiet]
        ratios = [measured / predicted for measured, predicted in pairs if measured and predicted]
        if ratios:
            found[metric] = median(ratios) * (1 + _TRIFLE)
    return found


def _expected(trial: TrialRecord, off: Mapping[str, float]) -> Mapping[str, float]:
    if trial.is_measured_well:
        return trial.settled
    factors = {metric: factor for metric, factor in off.items() if metric in trial.metrics}
    return {**trial.metrics, **{m: trial.metrics[m] * factor for m, factor in factors.items()}}
