"""A comparison from a study file to its rows: what is stored is read, what is missing is run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluators import Table
from nas.compare import _statistics
from nas.compare._bench import Bench
from nas.compare._entrants import BASELINE, entrants
from nas.compare._plan import Plan, Report
from nas.compare._reference import checked_point, example
from nas.compare._run import Run
from nas.compare._statistics import Row
from nas.feasible import refuse_infeasible
from nas.preparing import preparations
from nas.setting_up import set_up
from nas.setup import Setup
from nas.spec import SpecError, StudySpec
from nas.strategies import Objective
from search_spaces import SearchSpace, UsageError


@dataclass(frozen=True)
class Comparison:
    """Runs of several strategies with the same seeds.

    Attributes:
        objectives: as of the study.
        trials: wanted of each run.
        runs: {label: runs in the order of the seeds}; random search is among them.
        baseline: the label of random search.
        reference: the reference point of hypervolumes, {metric: value}; empty for one objective.
    """

    objectives: tuple[Objective, ...]
    trials: int
    runs: Mapping[str, Sequence[Run]]
    baseline: str
    reference: Mapping[str, float] = field(default_factory=dict)

    def rows(self, at: Sequence[int] = ()) -> list[Row]:
        """A row for each number of evaluations and each strategy; by default after all trials."""
        point = [o.loss(self.reference[o.metric]) for o in self.objectives if self.reference]
        return _statistics.rows(self.runs, self.baseline, at or (self.trials,), point)


def compare(
    spec: StudySpec,
    strategies: Sequence[str],
    *,
    seeds: int | Sequence[int],
    trials: int | None = None,
    reference: Mapping[str, float] | None = None,
    workers: int = 1,
    storage: str | None = None,
    data_root: Path = Path("data"),
    space: SearchSpace | None = None,
    progress: Report | None = None,
    where: str = "the study",
) -> Comparison:
    """Run strategies side by side; runs that are stored are not made again.

    Args:
        spec: the study file; its executor, its strategy and its budget but for `trials` do not
            count.
        strategies: "name" or "name:option=value:..."; random search is added.
        seeds: how many, from the study's own on; or which.
        trials: evaluations of each run; by default those of the study's budget.
        reference: the point up to which hypervolumes are measured, for several objectives.
        workers: processes; 1 runs in this one.
        storage: URL of the database that keeps the runs; None keeps none.
        data_root: where raw public datasets lie.
        space: made in Python, in place of the specification's.
        progress: called as runs go on.
        where: begins the messages about the specification: the study file.

    Raises:
        UsageError: something is wrong with the arguments; no run has begun.
        ComparisonError: the candidates of a run fail, or a worker process died.
    """
    trials = _checked_trials(spec, trials, where)
    numbers = _checked_seeds(spec, seeds)
    _refuse_unequal(spec, where)
    setup = set_up(spec, data_root, space, where=where)
    bench = Bench(setup)
    found = entrants(strategies, spec)
    for entrant in found:
        strategy = bench.build(entrant)
        preparations(setup, strategy, where)
        if (charged := bench.charge(strategy)) >= trials:
            raise UsageError(
                f'comparing "{entrant.label}": what it prepares is worth {charged} evaluations, '
                f"and there are {trials}; give more trials, or let it prepare less"
            )
    point = _reference(setup, reference)
    refuse_infeasible(setup, where)
    plan = Plan(setup, found, numbers, trials, storage)
    plan.run(workers, progress or (lambda _: None))
    return Comparison(
        objectives=bench.objectives,
        trials=trials,
        runs={e.label: [plan.runs[e.label, seed] for seed in numbers] for e in found},
        baseline=next(e.label for e in found if e.plugin.name == BASELINE),
        reference=point,
    )


def _checked_trials(spec: StudySpec, trials: int | None, where: str) -> int:
    trials = spec.budget.trials if trials is None else trials
    if trials is None:
        raise SpecError(f"{where}: [budget] trials: missing, and no other number of trials given")
    if trials < 1:
        raise UsageError(f"trials: expected an integer >= 1, got {trials}")
    return trials


def _checked_seeds(spec: StudySpec, seeds: int | Sequence[int]) -> list[int]:
    first = spec.study.seed
    numbers = list(range(first, first + seeds) if isinstance(seeds, int) else seeds)
    if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise UsageError(f"seeds: expected at least one, all >= 0 and different, got {seeds}")
    return numbers


def _refuse_unequal(spec: StudySpec, where: str) -> None:
    if spec.halving is not None:
        raise SpecError(
            f"{where}: [halving]: a comparison gives every strategy the same number of full "
            "evaluations, and halving has none of equal cost; leave the table out"
        )
    if spec.study.start:
        raise SpecError(
            f"{where}: [study] start: a comparison begins every strategy with nothing; leave it "
            "out, or add --set 'study.start=[]'"
        )


def _reference(setup: Setup, reference: Mapping[str, float] | None) -> Mapping[str, float]:
    """The reference point in the order of the objectives; nothing for one objective."""
    objectives = setup.objectives
    if len(objectives) == 1 and not reference:
        return {}
    if reference is None and isinstance(setup.evaluator, Table):
        reference = setup.evaluator.reference(objectives)
    if reference is None:
        raise UsageError(
            f"several objectives are compared by the hypervolume up to a point that is worse than "
            f"what is of interest in each of them: {example(objectives)}"
        )
    return checked_point(objectives, reference)
