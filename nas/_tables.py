"""The tables of a study file that are not plug-ins, and what their values may be."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen, Predicate, doc
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator

from nas import constraints as bounds
from nas._options import shown
from search_spaces.decision import each_once
from search_spaces.errors import UsageError, did_you_mean
from search_spaces.frozen import FrozenMapping

DIRECTIONS = ("maximize", "minimize")
SEALED = "test"
# How people write them, where their types would tell less.
_OBJECTIVES = doc('{ metric = "maximize" or "minimize", ... }, as { val_accuracy = "maximize" }')
_BOUNDS_LIST = doc('a list of bounds, as ["params <= 50_000", "val_accuracy >= 0.8"]')
_STARTS = doc('a list of { decision = choice, ... } or "study:NAME" for the front of another study')
_TARGETS = doc(
    'a list of exporters, each once, as ["pt2", "onnx"] (`nas plugins exporter` lists them)'
)
_TARGET = doc("{ objective = number, ... }, as { val_accuracy = 0.9 }")
_DEVICE = doc(
    "the name of a profile (`nas latency devices` lists them), or the path of its .npz file"
)
_FOLDER = doc('a folder, as "runs"')
_TRACKING = doc('a tracking URI, as "http://127.0.0.1:5000", or a folder, as "mlflow"')
# The part of a URI before its host, or what a query calls a secret.
_SECRET = re.compile(r"://[^/?#]*@|[?&;][^=&;]*(pass|pwd|token|secret|key)[^=&;]*=", re.I)
# Beyond any search, and within the integers of every database.
_MOST = 1_000_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_METRIC = re.compile(r"[a-z][a-z0-9_]*")
_START = re.compile(r"study:.+")


def dotted(decisions: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Decisions by their dotted names: unquoted, TOML reads `layer0.operator` as nested tables."""
    flat: dict[str, Any] = {}
    for name, value in decisions.items():
        if isinstance(value, Mapping):
            flat |= dotted(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


def study_name(name: str) -> str:
    """The name itself, if it can name a study on a command line and in a URL.

    Raises:
        ValueError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            "expected 1 to 100 letters, digits, dots, dashes or underscores, beginning with a "
            f"letter or digit, got {shown(name)}"
        )
    return name


def searchable(metric: str) -> str:
    """The metric itself, if a search may see it.

    Raises:
        ValueError: it is no metric's name, or of the sealed test split.
    """
    if not _METRIC.fullmatch(metric):
        raise ValueError(
            "expected a metric (lower-case letters, digits, underscores), as val_accuracy or "
            f"params, got {shown(metric)}"
        )
    if metric.startswith(SEALED):
        raise ValueError(
            f"{shown(metric)} is sealed: validation chooses, and test is measured once, by "
            "`nas confirm`; expected a metric such as val_accuracy"
        )
    return metric


class StudyTable(Table):
    """`[study]`: what is sought.

    Attributes:
        name: of the study in its database; by default the file's name without `.toml`.
        seed: of every random choice of the search.
        objectives: {metric: direction}, the most important first.
        constraints: bounds on metrics, as "params <= 50000".
        start: architectures to try first: {decision: choice}, or "study:NAME" for a study's front.
        batch: how many trials are proposed and evaluated together; without it as many as the
            strategy's module says by its constant `BATCH`, or one by one.
    """

    name: str
    seed: Annotated[int, Ge(0)] = 0
    objectives: Annotated[Mapping[str, str], AfterValidator(FrozenMapping), _OBJECTIVES] = (
        FrozenMapping({"val_accuracy": "maximize"})
    )
    constraints: Annotated[tuple[str, ...], _BOUNDS_LIST] = ()
    start: Annotated[
        tuple[Annotated[Mapping[str, str | int | float], AfterValidator(FrozenMapping)] | str, ...],
        _STARTS,
    ] = ()
    batch: Annotated[int, Ge(1), Le(_MOST)] | None = None

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        return study_name(name)

    @field_validator("objectives", mode="before")
    @classmethod
    def _objectives(cls, objectives: Any) -> Any:
        if not isinstance(objectives, Mapping) or not objectives:
            raise ValueError(f"expected {_OBJECTIVES.documentation}, got {shown(objectives)}")
        for metric, direction in objectives.items():
            searchable(metric)
            if direction not in DIRECTIONS:
                hint = did_you_mean(str(direction), DIRECTIONS)
                raise ValueError(f"{metric}: expected a direction, got {shown(direction)}; {hint}")
        return objectives

    @field_validator("constraints")
    @classmethod
    def _constraints(cls, constraints: tuple[str, ...]) -> tuple[str, ...]:
        seen: dict[str, str] = {}
        for text in constraints:
            try:
                bound = bounds.parse(text)
                searchable(bound.metric)
            except UsageError as error:
                raise ValueError(str(error)) from error
            if (first := seen.setdefault(str(bound), text)) is not text:
                raise ValueError(f"expected each bound once, got {shown([first, text])}")
        return constraints

    @field_validator("start")
    @classmethod
    def _start(cls, start: tuple[Any, ...]) -> tuple[Any, ...]:
        for item in start:
            if isinstance(item, str) and not _START.fullmatch(item):
                raise ValueError(f"expected {_STARTS.documentation}, got {shown(item)}")
        return start


class BudgetTable(Table):
    """`[budget]`: when to stop; the bound that is reached first holds.

    Attributes:
        trials: how many in all, over all resumes.
        seconds: spent searching, over all resumes.
        target: {objective: value}; stop when one trial reaches them all.
        no_progress: stop after this many trials in a row without a better one.
    """

    trials: Annotated[int, Ge(1), Le(_MOST)] | None = None
    seconds: Annotated[float, Gt(0)] | None = None
    target: (
        Annotated[Mapping[str, float], AfterValidator(FrozenMapping), MinLen(1), _TARGET] | None
    ) = None
    no_progress: Annotated[int, Ge(1), Le(_MOST)] | None = None


class HalvingTable(Table):
    """`[halving]`: few trials are trained to their end.

    Attributes:
        epochs: of the rungs, ascending, below the evaluator's own epochs.
        reduction: one trial in so many goes on from each rung.
        mode: asynchronous: each trial is compared with those that were at the rung before it;
            successive: trials wait at a rung for the others of their bracket.
        bracket: how many trials compete; without it as many as leave one that is trained to its
            end, `reduction` to the power of the number of rungs.
    """

    epochs: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)]
    reduction: Annotated[int, Ge(2), Le(_MOST)] = 3
    mode: Literal["asynchronous", "successive"] = "asynchronous"
    bracket: Annotated[int, Ge(2), Le(_MOST)] | None = None

    @property
    def competing(self) -> int:
        """How many trials compete in a bracket."""
        return min(self.bracket or self.reduction ** len(self.epochs), _MOST)

    @field_validator("epochs")
    @classmethod
    def _ascending(cls, epochs: tuple[int, ...]) -> tuple[int, ...]:
        if any(later <= earlier for earlier, later in pairwise(epochs)):
            raise ValueError(f"expected ascending epochs, each once, got {shown(epochs)}")
        return epochs

    @field_validator("bracket")
    @classmethod
    def _has_brackets(cls, bracket: int | None, known: ValidationInfo) -> int | None:
        if bracket is not None and known.data.get("mode") == "asynchronous":
            raise ValueError(
                f'only mode = "successive" has brackets, got {bracket} for "asynchronous"; leave '
                "it out, or choose the other mode"
            )
        return bracket


class WorkloadTable(Table):
    """`[latency] workload`: the size of the graph that latency is predicted for.

    Attributes:
        nodes, edges: of one run: of the whole graph, or of all graphs of a batch.
        skew: Gini coefficient of the in-degrees; without it, that of a random graph.
        graphs: in a batch; 1 for a node task.
    """

    nodes: Annotated[int, Ge(1)]
    edges: Annotated[int, Ge(0)]
    skew: Annotated[float, Ge(0), Lt(1)] | None = None
    graphs: Annotated[int, Ge(1)] = 1


class LatencyTable(Table):
    """`[latency]`: how long networks take on a device, predicted from its profile.

    Attributes:
        device: the name of a profile, or the path of one.
        runtime, threads: as the profile's, which are meant where they are left out.
        workload: without it, the study's own graph.
        accept_device: whether the profile may be of another machine than this one.
        confidence: the share of measurements that are to keep a bound on what is predicted.
        remeasure: whether the front is measured when the search has ended.
    """

    device: Annotated[str, MinLen(1), _DEVICE]
    runtime: Literal["eager", "compiled"] | None = None
    threads: Annotated[int, Ge(1)] | None = None
    workload: WorkloadTable | None = None
    accept_device: bool = False
    confidence: Annotated[float, Ge(0.5), Lt(1)] = 0.95
    remeasure: bool = True


class LogTable(Table):
    """`[log]`: where else to tell of a study while it runs.

    Attributes:
        tensorboard: a folder, in which the study has one of its name.
        mlflow: a tracking URI without user and password, or a folder.
    """

    # A URI may have a password, which no error shows.
    model_config = ConfigDict(hide_input_in_errors=True)

    tensorboard: Annotated[str, MinLen(1), _FOLDER] | None = None
    mlflow: Annotated[str, MinLen(1), _TRACKING] | None = None

    @field_validator("mlflow")
    @classmethod
    def _is_open(cls, uri: str | None) -> str | None:
        if uri is not None and _SECRET.search(uri):
            raise ValueError(
                f"expected {_TRACKING.documentation}, got one with a user, a password or a token; "
                "the record keeps it for all to read: take it out, and set "
                "MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN, or "
                "for a database what its driver reads, as PGPASSWORD"
            )
        return uri


# Among the formats of a bundle, what no exporter writes: tensors to train on.
STATE = "state"


class ExportTable(Table):
    """`[export]`: in which forms what is found is to leave.

    Attributes:
        targets: exporters, each of which must take every network that the space has, and `state`;
            what `nas export` writes without `--format`.
    """

    targets: Annotated[
        tuple[Annotated[str, MinLen(1)], ...], MinLen(1), Predicate(each_once), _TARGETS
    ]

    @property
    def exporters(self) -> tuple[str, ...]:
        """The targets that are programs."""
        return tuple(target for target in self.targets if target != STATE)
