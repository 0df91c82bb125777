"""One run: a search in memory, trial for trial the one that a study with one worker makes."""

import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field

from evaluators import Artifact, Failure, Inheritance
from nas import judging
from nas.compare._bench import Bench, Candidate
from nas.compare._entrants import Entrant
from nas.compare._run import ComparisonError, Run, Step, covers
from nas.fold import begun
from nas.judging import Verdict
from nas.strategies import Finished, Proposal
from nas.strategies._base import AnyStrategy
from nas.strategies._distinct import propose_distinct
from search_spaces import Architecture

# So many failures at the beginning, and nothing else, are no candidates' faults.
FAILURES = 10


@dataclass
class _Trace:
    """A run so far.

    Attributes:
        charged: how many evaluations its preparation is worth.
    """

    charged: int = 0
    steps: list[Step] = field(default_factory=list)
    front: list[tuple[float, ...]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    # By number, the trials that have left weights.
    parents: dict[int, tuple[Artifact, Architecture]] = field(default_factory=dict)
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
    start: Sequence[Architecture] = (),
) -> Run:
    """Search with one strategy and one seed, for so many trials or until the space is exhausted.

    Args:
        bench: of this process.
        entrant: the strategy.
        seed: of the study that the run equals.
        trials: each is charged, whether it repeats or was measured for another strategy; so is
            what the strategy has prepared.
        tick: called with each trial that has ended.
        start: architectures to try first.

    Raises:
        UsageError: the strategy cannot handle the problem.
        ComparisonError: the first `FAILURES` candidates failed.
    """
    began = time.perf_counter()
    bench.use_seed(seed)
    strategy, size = bench.build(entrant), bench.batch(entrant)
    trace, ended = _Trace(bench.charge(strategy)), 0
    with bench.single_threaded():
        bench.prepare(strategy)
        state = begun(strategy, bench.setup)
        while ended + trace.charged < trials:
            batch = range(ended, min(ended + size, trials - trace.charged))
            first = [Proposal(i, start[i]) for i in batch if i < len(start)]
            rest = batch[len(first) :]
            proposals = first + _proposed(strategy, state, rest, trace.seen, first)
            for trial in _evaluated(bench, proposals, trace):
                state = strategy.fold(state, trial.finished)
                _note(trace, bench, trial)
                ended += 1
                if tick is not None:
                    tick(trial.finished)
                if trial.failure is not None and trace.failed == ended == FAILURES:
                    raise ComparisonError(
                        f"the first {FAILURES} candidates of {entrant.label} with seed {seed} "
                        f"failed, the last one with: {trial.failure.message}"
                    )
            if len(proposals) < len(batch):
                break
    return Run(
        strategy=entrant.label,
        seed=seed,
        objectives=bench.objectives,
        trials=ended + trace.charged,
        steps=tuple(trace.steps),
        failed=trace.failed,
        infeasible=trace.infeasible,
        repeated=trace.repeated,
        charged=trace.charged,
        seconds=round(time.perf_counter() - began, 3),
    )


def _proposed(
    strategy: AnyStrategy,
    state: object,
    ordinals: range,
    seen: Container[str],
    first: Sequence[Proposal],
) -> list[Proposal]:
    """A batch, from one state: what is proposed is pending for the next; less when exhausted.

    Args:
        first: proposals of the batch that are there already.
    """
    proposals: list[Proposal] = []
    for ordinal in ordinals:
        pending = [proposal.architecture for proposal in (*first, *proposals)]
        proposal = propose_distinct(strategy, state, ordinal, pending, seen)
        if proposal is None:
            break
        proposals.append(proposal)
    return proposals


def _evaluated(bench: Bench, proposals: Sequence[Proposal], trace: _Trace) -> Iterator[_Trial]:
    """Cheap facts first: what breaks a bound on them costs no more, and is charged."""
    before = [judging.before(bench.setup, proposal.architecture) for proposal in proposals]
    asked = [p for p, (_, verdict) in zip(proposals, before, strict=True) if verdict is None]
    evaluations = iter(bench.evaluate([_candidate(proposal, trace) for proposal in asked]))
    for proposal, (facts, verdict) in zip(proposals, before, strict=True):
        if verdict is not None:
            yield _ended(bench, proposal, verdict)
        else:
            evaluation = next(evaluations)
            verdict = judging.after(bench.setup, facts, evaluation)
            yield _ended(bench, proposal, verdict, evaluation.artifact)


def _candidate(proposal: Proposal, trace: _Trace) -> Candidate:
    if proposal.inherit is None:
        return Candidate(proposal.architecture)
    parent = trace.parents.get(proposal.inherit)
    inheritance = parent and Inheritance(*parent, proposal.inherit_by)
    return Candidate(proposal.architecture, inheritance, inherits=True)


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
        trace.parents[finished.ordinal] = trial.artifact, finished.architecture
    losses = finished.losses
    if finished.outcome != "complete" or losses is None:
        return
    if any(covers(old, losses) for old in trace.front):
        return
    trace.front = [old for old in trace.front if not covers(losses, old)]
    trace.front.append(losses)
    test = bench.test_metrics(finished.architecture)
    trace.steps.append(Step(finished.ordinal + trace.charged, losses, key, dict(test)))
