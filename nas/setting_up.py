"""From a study file to a `Setup`: plug-ins are made, and checked against each other."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from evaluators import FACTS, PREDICTED, Evaluator, Table
from nas import rungs
from nas._chosen import extension_table
from nas.constraints import Constraint, parse
from nas.setup import PYTHON_SPACE, Setup
from nas.spec import SpecError, StudySpec, check_plugins
from search_spaces import SearchSpace, SpaceExtension, Task, UsageError, plugins
from search_spaces.errors import did_you_mean

if TYPE_CHECKING:
    from evaluators.datasets._base import Dataset
    from nas.latency.predicting import Latency

T = TypeVar("T")


def set_up(
    spec: StudySpec,
    data_root: Path,
    space: SearchSpace | None = None,
    where: str = "the study",
    *,
    with_latency: bool = True,
) -> Setup:
    """Load the dataset, build space and evaluator, and check that they fit each other.

    Args:
        space: given from Python, in place of the study file's.
        where: begins each message: the study file.
        with_latency: whether to open the profile that `[latency]` names: only a search needs it.
            Without it the metrics of a profile may be asked for before there is one.

    Raises:
        UsageError: a plug-in's option, a metric, a profile or a graph that would fail later.
    """
    _refuse_missing_space(spec, space)
    check_plugins(spec, where, given={"space"} if space is not None else ())
    dataset = _sealed_dataset(spec, data_root, where)
    task, evaluator = _evaluator(spec, dataset, where)
    space = space_of(spec, task, evaluator, space, where)
    _check_epochs(space, evaluator, where)
    constraints = constraints_of(spec)
    latency = opened_latency(spec, task, dataset, where) if with_latency else None
    known = latency.metrics if latency is not None else () if with_latency else PREDICTED
    counted = () if dataset is None else (*FACTS, *space.facts)
    _check_metrics(spec, evaluator, constraints, counted, known, where)
    levels = _levels(spec, evaluator, where)
    return Setup(spec, dataset, task, space, evaluator, constraints, levels, latency)


def _refuse_missing_space(spec: StudySpec, given: SearchSpace | None) -> None:
    if given is None and spec.space.name == PYTHON_SPACE:
        raise UsageError(
            f'the space of study "{spec.study.name}" was made in Python; hand it over again: '
            "Study(name, storage=..., space=...).resume()"
        )


def _sealed_dataset(spec: StudySpec, data_root: Path, where: str) -> "Dataset | None":
    if spec.dataset is None:
        return None
    from evaluators.datasets import load

    with named(where, "dataset"):
        return load(spec.dataset, data_root).seal()


def _evaluator(spec: StudySpec, dataset: "Dataset | None", where: str) -> tuple[Task, Evaluator]:
    """The evaluator, and the task that it is for: its own, where there is no dataset."""
    module, options = plugins.load("evaluator", spec.evaluator.name), spec.evaluator.options
    with named(where, "evaluator"):
        task: Task = dataset.task if dataset is not None else module.task(**options)
        evaluator: Evaluator = module.build(task, **options)
        if not hasattr(evaluator, "evaluate"):
            raise UsageError(f"build: expected an evaluator of it, got {type(evaluator).__name__}")
        return task, evaluator


def space_of(
    spec: StudySpec,
    task: Task,
    evaluator: Evaluator,
    given: SearchSpace | None = None,
    where: str = "the study",
) -> SearchSpace:
    """The space with its extensions, in the order of the study file.

    Args:
        given: from Python, in place of the study file's.

    Raises:
        SpecError: it cannot be built so, or the evaluator is not for it.
    """
    with named(where, "space"):
        if given is None:
            built = plugins.load("space", spec.space.name).build(task, **spec.space.options)
            given = _of_type(SearchSpace, built)
        given.size()  # goes through an equivalence, which may leave no architecture
    space = given
    for extension in spec.extension:
        with named(where, extension_table(extension.name)):
            build = plugins.load("extension", extension.name).build
            built = build(space, task, **extension.options)
            space = space.extended(_of_type(SpaceExtension, built))
            if taken := sorted({*space.facts} & {*FACTS, *PREDICTED, *evaluator.metrics}):
                raise SpecError(f'brings the fact "{taken[0]}", which studies have of their own')
    if isinstance(evaluator, Table):
        with named(where, "space"):
            evaluator.check(space)
    return space


def _levels(spec: StudySpec, evaluator: Evaluator, where: str) -> tuple[int, ...]:
    """The epochs at which a trial is measured."""
    rung_epochs = spec.halving.epochs if spec.halving else ()
    if rung_epochs and rung_epochs[-1] >= evaluator.epochs:
        raise SpecError(
            f"{where}: [halving] epochs: expected rungs below the {evaluator.epochs:,} epochs of "
            f"[evaluator], got {list(rung_epochs)}; lower them, or leave [halving] out"
        )
    return rungs.levels(rung_epochs, evaluator.epochs)


def _check_epochs(space: SearchSpace, evaluator: Evaluator, where: str) -> None:
    """Networks that become others as they are trained have to be trained for longer than that."""
    for extension in space.extensions:
        if evaluator.epochs <= extension.least_epochs:
            shorter = " or ".join(extension.lasting) or "its schedule"
            raise SpecError(
                f"{where}: [evaluator] epochs: expected more than {extension.least_epochs:,}, "
                f"before which networks of [extension.{extension.name}] are not what they become, "
                f"got {evaluator.epochs:,}; raise it, or lower {shorter} in "
                f"[extension.{extension.name}]"
            )


def constraints_of(spec: StudySpec) -> tuple[Constraint, ...]:
    """The constraints, parsed; those on predictions as confident as `[latency]` says."""
    constraints = tuple(parse(text) for text in spec.study.constraints)
    if spec.latency is None:
        return constraints
    confidence = spec.latency.confidence
    return tuple(
        replace(c, confidence=confidence) if c.metric in PREDICTED else c for c in constraints
    )


def opened_latency(
    spec: StudySpec, task: Task, dataset: "Dataset | None", where: str = "the study"
) -> "Latency | None":
    """What `[latency]` names; None without that table.

    Raises:
        SpecError: the profile cannot be used as the table says.
    """
    if spec.latency is None:
        return None
    if dataset is None:
        raise SpecError(
            f'{where}: [latency]: the evaluator "{spec.evaluator.name}" brings its own results, '
            "latency among them where it has any; leave the table out"
        )
    from nas.latency.predicting import open_latency

    with named(where, "latency"):
        return open_latency(spec.latency, task, dataset.edge_index)


@contextmanager
def named(where: str, table: str) -> Iterator[None]:
    """Begin the message of a plug-in's error with the file and the table that chose it."""
    try:
        yield
    except UsageError as error:
        raise SpecError(f"{where}: [{table}] {error}") from error


def _of_type(expected: type[T], built: object) -> T:
    if not isinstance(built, expected):
        got, wanted = type(built).__name__, expected.__name__
        raise UsageError(f"build: expected it to return a {wanted}, got {got}")
    return built


def _check_metrics(
    spec: StudySpec,
    evaluator: Evaluator,
    constraints: tuple[Constraint, ...],
    counted: tuple[str, ...],
    predicted: tuple[str, ...],
    where: str,
) -> None:
    known = [*evaluator.metrics, *counted]
    if spec.dataset is not None:
        known += predicted
    twice = [metric for metric in predicted if metric in evaluator.metrics]
    if twice and spec.latency is not None:
        raise SpecError(
            f'{where}: [latency]: the evaluator "{spec.evaluator.name}" gives {twice[0]} '
            "itself; leave the table out"
        )
    wanted = [("objectives", metric) for metric in spec.study.objectives]
    wanted += [("constraints", constraint.metric) for constraint in constraints]
    for key, metric in wanted:
        if metric not in known:
            hint = did_you_mean(metric, known)
            if metric in PREDICTED and spec.latency is None:
                hint = 'to have it predicted, name a profile: [latency] device = "NAME"'
            raise SpecError(
                f'{where}: [study] {key}: the evaluator "{spec.evaluator.name}" does not give '
                f'"{metric}" for this dataset; {hint}'
            )
