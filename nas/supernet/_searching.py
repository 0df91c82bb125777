"""The search for candidates that all bounds share, and the winners among them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evaluators import Artifact, Evaluation, Job
from evaluators.facts import facts
from evaluators.latency.values import Timing
from nas.compare import Bench, run_one
from nas.compare._bench import Candidate
from nas.compare._entrants import Entrant
from nas.constraints import Constraint
from nas.latency.remeasure import Measure
from nas.setup import Setup
from nas.strategies import Finished
from nas.supernet._choosing import Evaluated, best, measured
from nas.supernet._problem import Request, bounds_of
from nas.supernet._winners import Winner
from search_spaces import Architecture
from search_spaces.frozen import FrozenMapping


@dataclass(frozen=True)
class Voice:
    """Who is told.

    Attributes:
        report: how many evaluations of how many are done.
        say: what is done, in lines.
    """

    report: Callable[[int, int], None] = lambda _done, _wanted: None
    say: Callable[[str], None] = lambda _line: None


class Searching:
    """One search in memory.

    Args:
        setup: the problem.
        dataset: sealed.
        store: URL of a folder for checkpoints.
        start: architectures to try first.

    Attributes:
        ended: how many evaluations were charged so far.
    """

    def __init__(
        self,
        setup: Setup,
        request: Request,
        dataset: Artifact,
        store: str,
        start: Sequence[Architecture],
    ) -> None:
        self.setup, self.dataset, self.store = setup, dataset, store
        self._request, self._start = request, start
        self._bench = Bench(setup, dataset, store)
        self._bounds = bounds_of(setup, request)
        self.ended = 0

    def candidates(self, voice: Voice) -> list[Evaluated]:
        """All that ended well, in their order.

        Raises:
            ComparisonError: the first ones failed, one after the other.
        """
        found: list[Evaluated] = []
        wanted = self._request.evaluations

        def tick(finished: Finished) -> None:
            self.ended += 1
            if finished.outcome == "complete" and finished.losses is not None:
                known = self.setup.facts(finished.architecture)
                found.append(Evaluated(finished.architecture, finished.losses[0], known))
            voice.report(self.ended, wanted)

        entrant = Entrant(self._request.strategy, self.setup.spec.strategy)
        run_one(self._bench, entrant, self.setup.spec.study.seed, wanted, tick, self._start)
        for warning in self._bench.warnings:
            voice.say(f"warning: {warning}")
        return found

    def winners(
        self, candidates: Sequence[Evaluated], measure: Measure, voice: Voice
    ) -> list[Winner]:
        """One for each bound, measured where this is the device."""
        timings: Mapping[str, Timing] = {}
        latency = self.setup.latency
        if self._request.measures and latency is not None:
            if refusal := latency.refusal():
                voice.say(f"the winners are not measured: {refusal}")
            else:
                timings, candidates = measured(
                    self.setup, candidates, self._bounds, measure, voice.say
                )
        winners = [self._winner(candidates, bound, timings) for bound in self._bounds]
        _tell(winners, len(candidates), voice)
        return winners

    def _winner(
        self,
        candidates: Sequence[Evaluated],
        bound: Constraint,
        timings: Mapping[str, Timing],
    ) -> Winner:
        chosen = best(candidates, bound, timings)
        if chosen is None:
            return Winner(bound.bound)
        setup, architecture = self.setup, chosen.architecture
        counted = facts(
            setup.space, architecture, setup.task, setup.in_degrees, kept=setup.edges_kept
        )
        metrics = {**self.evaluated([architecture])[0].metrics, **chosen.facts, **counted}
        timing = timings.get(architecture.structure_key)
        return Winner(bound.bound, architecture, FrozenMapping(metrics), timing)

    def job(self, architecture: Architecture) -> Job:
        """What the evaluator is given."""
        epochs = self.setup.evaluator.epochs
        return self.setup.job(architecture, self.dataset, self.store, epochs)

    def evaluated(self, architectures: Sequence[Architecture]) -> list[Evaluation]:
        """What was measured of them in the search; nothing is evaluated again."""
        return self._bench.evaluate([Candidate(a) for a in architectures])


def _tell(winners: Sequence[Winner], candidates: int, voice: Voice) -> None:
    """What is to be known of winners besides their rows."""
    if not candidates:
        voice.say(
            "warning: no candidate keeps the study's constraints; look at more with --evaluations "
            "N, or search a study without them"
        )
    for winner in winners if candidates else ():
        if winner.architecture is None:
            voice.say(
                f"warning: no candidate keeps {winner.bound_ms:g} ms; look at more with "
                "--evaluations N, or ask for more time"
            )
    if any(winner.timing is not None and winner.timing.noisy for winner in winners):
        voice.say(
            "warning: this machine was too busy or unsteady to measure all winners well: "
            "predictions count for those that are noisy; run this again when it is idle"
        )
