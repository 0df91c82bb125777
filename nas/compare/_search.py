"""One run: a search in memory, trial for trial the one that a study with one worker makes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from evaluators import Artifact, Failure
from nas import judging
from nas.compare._bench import Bench
from nas.compare._entrants import Entrant
from nas.compare._run import ComparisonError, Run, Step, covers
from nas.judging import Verdict
from nas.strategies import Finished, Proposal
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
    facts, verdict = judging.before(bench.setup, proposal.architecture)
    if verdict is not None:
        return _ended(bench, proposal, verdict)
    parent = artifacts.get(proposal.inherit) if proposal.inherit is not None else None
    inherits = proposal.inherit is not None
    evaluation = bench.evaluate(proposal.architecture, parent, inherits=inherits)
    verdict = judging.after(bench.setup, facts, evaluation)
    return _ended(bench, proposal, verdict, evaluation.artifact)


def _ended(
    bench: Bench, proposal: Proposal, verdict: Verdict, artifact: Artifact | None = None
) -> _Trial:
    losses = None
    if all(objective.metric in verdict.metrics for objective in bench.objectives):
        losses = tuple(o.loss(verdict.metrics[o.metric]) for o in bench.objectives)
    finished = Finished(
        proposal.ordinal, proposal.architecture, verdict.outcome, losses, verdict.violation
    )
    return _Trial(finished, artifact, verdict.failure)


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
