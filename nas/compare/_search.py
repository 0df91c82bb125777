"""One run: a search in memory, trial for trial the one that a study with one worker makes."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from evaluators import Artifact, Failure
from evaluators.facts import CandidateError
from nas.compare._bench import Bench
from nas.compare._entrants import Entrant
from nas.compare._run import ComparisonError, Run, Step, covers
from nas.constraints import total_violation
from nas.strategies import Finished, Proposal
from nas.strategies._base import Outcome
from nas.strategies._distinct import propose_distinct

# So many failures at the beginning, and nothing else, are no candidates' faults.
FAILURES = 10


@dataclass
class _Trace:
    """A run so far."""

    steps: list[Step] = field(default_factory=list)
    front: list[tuple[float, ...]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    artifacts: dict[int, Artifact] = field(default_factory=dict)
    failed: int = 0
    infeasible: int = 0
    repeated: int = 0


@dataclass(frozen=True)
class _Trial:
    finished: Finished
    artifact: Artifact | None = None
    failure: Failure | None = None


def run_one(
    bench: Bench,
    entrant: Entrant,
    seed: int,
    trials: int,
    tick: Callable[[Finished], None] | None = None,
) -> Run:
    """Search with one strategy and one seed, for so many trials or until the space is exhausted.

    Args:
        bench: of this process.
        entrant: the strategy.
        seed: of the study that the run equals.
        trials: each is charged, whether it repeats or was measured for another strategy.
        tick: called with each trial that has ended.

    Raises:
        UsageError: the strategy cannot handle the problem.
        ComparisonError: the first `FAILURES` candidates failed.
    """
    began = time.perf_counter()
    bench.use_seed(seed)
    strategy = bench.build(entrant)
    state, trace, ordinal = strategy.initial(), _Trace(), 0
    with bench.single_threaded():
        while ordinal < trials:
            proposal = propose_distinct(strategy, state, ordinal, (), trace.seen)
            if proposal is None:
                break
            trial = _evaluated(bench, proposal, trace.artifacts)
            state = strategy.fold(state, trial.finished)
            _note(trace, bench, trial)
            ordinal += 1
            if tick is not None:
                tick(trial.finished)
            if trial.failure is not None and trace.failed == ordinal == FAILURES:
                raise ComparisonError(
                    f"the first {FAILURES} candidates of {entrant.label} with seed {seed} failed, "
                    f"the last one with: {trial.failure.message}"
                )
    return Run(
        strategy=entrant.label,
        seed=seed,
        objectives=bench.objectives,
        trials=ordinal,
        steps=tuple(trace.steps),
        failed=trace.failed,
        infeasible=trace.infeasible,
        repeated=trace.repeated,
        seconds=round(time.perf_counter() - began, 3),
    )


def _evaluated(bench: Bench, proposal: Proposal, artifacts: Mapping[int, Artifact]) -> _Trial:
    """Cheap facts first: what breaks a bound on them ends here, and is charged."""
    architecture, setup = proposal.architecture, bench.setup
    try:
        facts = setup.facts(architecture)
    except CandidateError as error:
        return _ended(bench, proposal, "failed", {}, failure=error.failure)
    violation = total_violation((c for c in setup.constraints if c.metric in facts), facts)
    if violation > 0:
        return _ended(bench, proposal, "infeasible", facts, violation)
    parent = artifacts.get(proposal.inherit) if proposal.inherit is not None else None
    evaluation = bench.evaluate(architecture, parent, inherits=proposal.inherit is not None)
    metrics, artifact = {**facts, **evaluation.metrics}, evaluation.artifact
    failure = evaluation.failure or _unusable(bench, metrics)
    if failure is not None:
        return _ended(bench, proposal, "failed", facts, artifact=artifact, failure=failure)
    violation = total_violation(setup.constraints, metrics)
    outcome: Outcome = "infeasible" if violation > 0 else "complete"
    return _ended(bench, proposal, outcome, metrics, violation, artifact)


def _unusable(bench: Bench, metrics: Mapping[str, float]) -> Failure | None:
    for objective in bench.objectives:
        if objective.metric not in metrics:
            return Failure("error", f"the evaluator gave no {objective.metric}")
    for metric, value in metrics.items():
        if not math.isfinite(value):
            return Failure("divergence", f"{metric} is {value}")
    return None


def _ended(
    bench: Bench,
    proposal: Proposal,
    outcome: Outcome,
    metrics: Mapping[str, float],
    violation: float = 0.0,
    artifact: Artifact | None = None,
    failure: Failure | None = None,
) -> _Trial:
    losses = None
    if all(objective.metric in metrics for objective in bench.objectives):
        losses = tuple(o.loss(metrics[o.metric]) for o in bench.objectives)
    finished = Finished(proposal.ordinal, proposal.architecture, outcome, losses, violation)
    return _Trial(finished, artifact, failure)


def _note(trace: _Trace, bench: Bench, trial: _Trial) -> None:
    """Keep of a trial what later ones and the result need."""
    finished = trial.finished
    key = finished.architecture.key
    trace.failed += finished.outcome == "failed"
    trace.infeasible += finished.outcome == "infeasible"
    trace.repeated += key in trace.seen
    trace.seen.add(key)
    if trial.artifact is not None:
        trace.artifacts[finished.ordinal] = trial.artifact
    losses = finished.losses
    if finished.outcome != "complete" or losses is None:
        return
    if any(covers(old, losses) for old in trace.front):
        return
    trace.front = [old for old in trace.front if not covers(losses, old)]
    trace.front.append(losses)
    test = bench.test_metrics(finished.architecture)
    trace.steps.append(Step(finished.ordinal, losses, key, dict(test)))
