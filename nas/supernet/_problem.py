"""What `nas supernet specialise` searches: a study's supernet, for a device and bounds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evaluators import PREDICTED
from nas._options import freeze
from nas.constraints import Constraint, parse
from nas.feasible import fastest, nearest, refuse_infeasible, refuse_never_timed, too_slow
from nas.fold import build_strategy, facts_of
from nas.latency.predicting import open_latency
from nas.setting_up import constraints_of
from nas.setup import Setup
from nas.spec import LatencyTable, SpecError, StudySpec, options_of
from nas.supernet import ENDINGS, Measure
from search_spaces import Architecture, UsageError
from search_spaces.frozen import FrozenMapping
from search_spaces.plugins import Plugin

LATENCY = "latency_ms"
_FINE_TUNING = "fine_tune_epochs"
_CONFIDENCE = float(LatencyTable.model_fields["confidence"].default)
# Rounds of linas: a predictor is fitted for each, and few evaluations in between are no news.
_ROUNDS = 20


class SpecialiseError(UsageError):
    """A study, a device or bounds that no supernet can be specialised for."""


@dataclass(frozen=True)
class Request:
    """What is wanted.

    Attributes:
        bounds: on latency in ms, each > 0, none twice.
        device: the name of a profile, or the path of one; by default the study's.
        strategy: as of `nas compare`: "name" or "name:option=value:..."; for several objectives.
        evaluations: in all.
        rank_by: what accuracy is: foreseen by the regression over read-outs, of the slice with its
            output fitted anew (read_out), or of the slice as it is.
        fine_tune_epochs: how many epochs each slice is trained before it counts; by default as
            many as in the study.
        accept_device: whether the profile may be of another machine than this one.
        confidence: the share of measurements that are to keep a bound; by default the study's, or
            that of study files.
        measures: whether winners are measured, where this is the profile's device.

    Raises:
        SpecialiseError: a bound is no such number, or is there twice.
    """

    bounds: tuple[float, ...]
    device: str | None = None
    strategy: str = "linas"
    evaluations: int = 1_000
    rank_by: Measure = "foreseen"
    fine_tune_epochs: int | None = None
    accept_device: bool = False
    confidence: float | None = None
    measures: bool = True

    def __post_init__(self) -> None:
        if not self.bounds:
            raise SpecialiseError("latency: no bound is given; expected milliseconds, as 2,5,10")
        for bound in self.bounds:
            if not 0 < bound < math.inf:
                raise SpecialiseError(
                    f"latency: expected bounds > 0 in milliseconds, as 2,5,10, got {bound:g}"
                )
        twice = [bound for bound in self.bounds if self.bounds.count(bound) > 1]
        if twice:
            raise SpecialiseError(f"latency: expected each bound once, got {twice[0]:g} twice")
        if self.evaluations < 1:
            raise SpecialiseError(f"evaluations: expected 1 or more, got {self.evaluations}")
        if self.fine_tune_epochs is not None and self.fine_tune_epochs < 0:
            raise SpecialiseError(f"fine_tune_epochs: expected >= 0, got {self.fine_tune_epochs}")
        if self.rank_by not in ENDINGS:
            expected = ", ".join(ENDINGS)
            raise SpecialiseError(f'rank_by: expected {expected}, got "{self.rank_by}"')
        if self.confidence is not None and not 0.5 <= self.confidence < 1:
            raise SpecialiseError(
                f"confidence: expected a number >= 0.5 and < 1, got {self.confidence:g}"
            )


def searched(spec: StudySpec, request: Request) -> StudySpec:
    """The study without rungs, and with slices that are fine-tuned as long as is asked for."""
    spec, epochs = spec.model_copy(update={"halving": None}), request.fine_tune_epochs
    name, options = spec.evaluator.name, spec.evaluator.options
    if epochs is None or _FINE_TUNING not in options_of("evaluator", name):
        return spec
    evaluator = Plugin(name, freeze({**options, _FINE_TUNING: epochs}))
    return spec.model_copy(update={"evaluator": evaluator})


def problem_of(setup: Setup, request: Request, where: str) -> Setup:
    """The study's setup with the objectives, bounds, device and strategy that are asked for.

    Constraints of the study are kept but for those on latency: the widest bound takes their place.

    Args:
        where: begins each message.

    Raises:
        UsageError: the device or the strategy cannot be used so.
    """
    metric = f"val_{setup.task.metric}{ENDINGS[request.rank_by]}"
    if metric not in setup.evaluator.metrics:
        raise SpecialiseError(
            f"{where}: rank_by: slices that are fine-tuned are not read out; rank by foreseen or "
            "slice, or leave fine-tuning out"
        )
    old = setup.spec.study
    kept = tuple(text for text in old.constraints if parse(text).metric != LATENCY)
    study = old.model_copy(
        update={
            "objectives": FrozenMapping({metric: "maximize", LATENCY: "minimize"}),
            "constraints": (*kept, str(Constraint(LATENCY, "<=", max(request.bounds)))),
            "start": (),
        }
    )
    table = _latency_table(setup.spec, request, where)
    update = {"study": study, "latency": table, "strategy": _strategy(setup.spec, request, where)}
    spec = setup.spec.model_copy(update=update)
    edges = None if setup.dataset is None else setup.dataset.edge_index
    try:
        latency = open_latency(table, setup.task, edges)
    except UsageError as error:
        raise SpecialiseError(f"{where}: {error}") from error
    constraints = constraints_of(spec)
    for metric in {c.metric for c in constraints} & {*PREDICTED} - {*latency.metrics}:
        raise SpecialiseError(
            f'{where}: the study bounds {metric}, which the profile "{latency.profile.name}" does '
            "not predict; choose another device"
        )
    counts = any(c.metric in setup.counted for c in constraints)
    made = replace(setup, spec=spec, constraints=constraints, latency=latency, counts=counts)
    build_strategy(made, where)
    return made


def _latency_table(spec: StudySpec, request: Request, where: str) -> LatencyTable:
    own, device = spec.latency, request.device
    if own is not None and device in (None, own.device):
        accept = own.accept_device or request.accept_device
        confidence = request.confidence or own.confidence
        return own.model_copy(update={"accept_device": accept, "confidence": confidence})
    if device is None:
        raise SpecialiseError(
            f"{where}: device: missing, and the study has no [latency]; name a profile, see: "
            "nas latency devices"
        )
    return LatencyTable(
        device=device,
        workload=None if own is None else own.workload,
        accept_device=request.accept_device,
        confidence=request.confidence or (_CONFIDENCE if own is None else own.confidence),
    )


def _strategy(spec: StudySpec, request: Request, where: str) -> Plugin:
    """The strategy; linas as it is has rounds that suit so many evaluations."""
    from nas.compare import entrants

    text = request.strategy.strip()
    try:
        found = {entrant.label: entrant.plugin for entrant in entrants([text], spec)}[text]
    except UsageError as error:
        raise SpecialiseError(f"{where}: strategy: {error}") from error
    if found.name != "linas" or found.options:
        return found
    batch = max(10, request.evaluations // _ROUNDS)
    return Plugin("linas", freeze({"startup": 2 * batch, "batch": batch}))


def bounds_of(setup: Setup, request: Request) -> tuple[Constraint, ...]:
    """The bounds, in their order, as confident as the problem's own."""
    (widest,) = (c for c in setup.constraints if c.metric == LATENCY)
    return tuple(replace(widest, bound=bound) for bound in request.bounds)


def feasible(setup: Setup, request: Request, where: str) -> Sequence[Architecture]:
    """An architecture that keeps all bounds, to begin with; none where nothing could be built.

    Raises:
        SpecialiseError: none is found; the message has the nearest.
    """
    try:
        refuse_never_timed(setup, where)
        tightest = min(bounds_of(setup, request), key=lambda c: c.bound)
        found = fastest(setup, tightest)
        if found.architecture is None:
            return []
        if found.violation > 0:
            least = _rounded_up(tightest.judged(found.facts))
            raise SpecialiseError(
                f"{where}: latency: {too_slow(setup, tightest, found)}; ask for {least:g} ms or "
                "more"
            )
        others = [c for c in setup.constraints if c.metric in setup.known and c.metric != LATENCY]
        if not others:
            return [found.architecture]
        all_bounds = (*others, tightest)
        first, seed = [found.architecture], setup.spec.study.seed
        kept = nearest(setup.space, all_bounds, facts_of(setup), seed, first)
        if kept.violation > 0:
            refuse_infeasible(replace(setup, constraints=all_bounds), where, first)
    except SpecError as error:
        raise SpecialiseError(str(error)) from error
    return [] if kept.architecture is None else [kept.architecture]


def _rounded_up(value: float) -> float:
    """To three digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return math.ceil(value / unit) * unit
