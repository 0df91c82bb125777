"""From a study file to what a search needs: dataset, space, evaluator, predictions of latency."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from evaluators import FACTS, PREDICTED, Evaluator, Job, Prepared, Prepares, Table
from nas import rungs
from nas.constraints import Constraint, ends, parse
from nas.spec import SpecError, StudySpec, check_plugins
from search_spaces import Architecture, SearchSpace, SpaceExtension, Task, UsageError, plugins
from search_spaces.canonical import digest
from search_spaces.errors import did_you_mean
from search_spaces.frozen import FrozenMapping
from search_spaces.plugins import Plugin

if TYPE_CHECKING:
    from evaluators import Artifact
    from evaluators.datasets._base import Dataset
    from nas.latency.predicting import Latency

T = TypeVar("T")
# The topic under which an evaluation's notes have what limits such a prediction.
LATENCY_NOTE = "latency"
# The name under which a study records a space that was made in Python.
PYTHON_SPACE = "python.space"
# Raise it when the same job gives other numbers than before; it is part of every cache key.
NUMERICS_VERSION = 2


@dataclass(frozen=True)
class Setup:
    """Everything that a study's drivers share, made from its specification.

    Attributes:
        spec: the study file.
        dataset: without its test labels; None where the evaluator looks results up.
        task: of the dataset, or of the evaluator's table.
        space: of the architectures.
        evaluator: for its epochs and the names of its metrics.
        constraints: parsed.
        levels: the epochs at which a trial is measured.
        latency: what `[latency]` names, where that is there and asked for.
        prepared: what its preparations have left, by their keys.
    """

    spec: StudySpec
    dataset: "Dataset | None"
    task: Task
    space: SearchSpace
    evaluator: Evaluator
    constraints: tuple[Constraint, ...]
    levels: tuple[int, ...]
    latency: "Latency | None" = None
    prepared: Mapping[str, Prepared] = field(default_factory=FrozenMapping)

    @property
    def objectives(self) -> Mapping[str, str]:
        return self.spec.study.objectives

    @property
    def batch(self) -> int:
        """How many trials are proposed and evaluated together; see `with_batch`."""
        return self.spec.study.batch or 1

    @property
    def counted(self) -> tuple[str, ...]:
        """The facts of a network itself, on whatever device."""
        return () if self.dataset is None else (*FACTS, *self.space.facts)

    @property
    def known(self) -> tuple[str, ...]:
        """The metrics that `facts` computes."""
        return (*self.counted, *(self.latency.metrics if self.latency is not None else ()))

    def facts(self, architecture: Architecture) -> Mapping[str, float]:
        """What is known of an architecture before it is evaluated; nothing, of a table's.

        Raises:
            CandidateError: its network cannot be built or run, or its latency not predicted.
        """
        if self.dataset is None:
            return {}
        from evaluators.facts import facts

        counted = facts(self.space, architecture, self.task)
        if self.latency is None:
            return counted
        return {**counted, **self.latency.facts(self.space, architecture, self.task)}

    def marks(self, architecture: Architecture) -> Mapping[str, str]:
        """Notes on the facts, by topic: what limits a prediction; of what `facts` can tell of."""
        if self.latency is None:
            return {}
        mark = self.latency.mark(self.space, architecture, self.task)
        return {LATENCY_NOTE: mark} if mark else {}

    def shareable(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Of recorded metrics those that belong to every study that has the same evaluation.

        Predictions are of one study's device: they are no part of what a cache key stands for.
        """
        own = {name for metric in PREDICTED for name in (metric, *ends(metric))}
        own -= set(self.evaluator.metrics)
        return {name: value for name, value in metrics.items() if name not in own}

    def job(
        self, architecture: Architecture, dataset: "Artifact | None", store: str, until_epoch: int
    ) -> Job:
        """The job of one candidate, without checkpoints; `store` is where its own will go."""
        return Job(
            architecture=architecture,
            space=self.space,
            evaluator=self.spec.evaluator,
            dataset=dataset,
            store=store,
            seed=self.spec.study.seed,
            until_epoch=until_epoch,
            prepared=self._prepared_for_evaluator,
        )

    @property
    def _prepared_for_evaluator(self) -> "Artifact | None":
        if not isinstance(self.evaluator, Prepares):
            return None
        return self.prepared[self.evaluator.preparation.key].artifact

    def sealed(self, store: str) -> "Artifact | None":
        """The dataset in an artifact store, written if it is not there; None without one."""
        if self.dataset is None:
            return None
        from evaluators.datasets import save_prepared

        return save_prepared(self.dataset, store)

    def cache_key(self, architecture: Architecture, until_epoch: int) -> str:
        """Equal for evaluations that must have equal results.

        What comes with the program is shared by all studies of a database. Code from elsewhere may
        change under the same name, so its results answer only the study that they belong to.
        """
        import torch

        plugged = (self.spec.space, self.spec.evaluator, *self.spec.extension)
        names = (*(plugin.name for plugin in plugged), *architecture.choices.values())
        foreign = any(isinstance(name, str) and "." in name for name in names)
        prepared = self._prepared_for_evaluator
        return digest(
            {
                **({} if prepared is None else {"prepared": prepared.sha256}),
                "scope": self.spec.study.name if foreign else "",
                "architecture": architecture.key,
                "space_version": self.space.versions,
                "evaluator": [self.spec.evaluator.name, self.spec.evaluator.options],
                "task": self.task.fingerprint,
                "seed": self.spec.study.seed,
                "until_epoch": until_epoch,
                "precision": str(torch.get_default_dtype()),
                "numerics": [NUMERICS_VERSION, torch.__version__],
            }
        )


def prepare(
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
    from evaluators.datasets import load

    if space is None and spec.space.name == PYTHON_SPACE:
        raise UsageError(
            f'the space of study "{spec.study.name}" was made in Python; hand it over again: '
            "Study(name, storage=..., space=...).resume()"
        )
    check_plugins(spec, where, given={"space"} if space is not None else ())
    dataset = None
    if spec.dataset is not None:
        with named(where, "dataset"):
            dataset = load(spec.dataset, data_root).seal()
    module, options = plugins.load("evaluator", spec.evaluator.name), spec.evaluator.options
    with named(where, "evaluator"):
        task: Task = dataset.task if dataset is not None else module.task(**options)
        evaluator: Evaluator = module.build(task, **options)
        if not hasattr(evaluator, "evaluate"):
            raise UsageError(f"build: expected an evaluator of it, got {type(evaluator).__name__}")
        if not hasattr(evaluator, "evaluate"):
            raise UsageError(f"build: expected an evaluator of it, got {type(evaluator).__name__}")
    with named(where, "space"):
        if space is None:
            built = plugins.load("space", spec.space.name).build(task, **spec.space.options)
            space = _of_type(SearchSpace, built)
        space.size()  # goes through an equivalence, which may leave no architecture
    for extension in spec.extension:
        with named(where, f"extension.{extension.name}"):
            build = plugins.load("extension", extension.name).build
            built = build(space, task, **extension.options)
            space = space.extended(_of_type(SpaceExtension, built))
            if taken := sorted({*space.facts} & {*FACTS, *PREDICTED, *evaluator.metrics}):
                raise SpecError(f'brings the fact "{taken[0]}", which studies have of their own')
    if isinstance(evaluator, Table):
        with named(where, "space"):
            evaluator.check(space)
    constraints = constraints_of(spec)
    latency = opened_latency(spec, task, dataset, where) if with_latency else None
    known = latency.metrics if latency is not None else () if with_latency else PREDICTED
    counted = () if dataset is None else (*FACTS, *space.facts)
    _check_metrics(spec, evaluator, constraints, counted, known, where)
    rung_epochs = spec.halving.epochs if spec.halving else ()
    if rung_epochs and rung_epochs[-1] >= evaluator.epochs:
        raise SpecError(
            f"{where}: [halving] epochs: expected rungs below the {evaluator.epochs:,} epochs of "
            f"[evaluator], got {list(rung_epochs)}; lower them, or leave [halving] out"
        )
    levels = rungs.levels(rung_epochs, evaluator.epochs)
    return Setup(spec, dataset, task, space, evaluator, constraints, levels, latency)


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


def with_batch(setup: Setup) -> Setup:
    """The setup of a new study, in which the size of its batches is fixed.

    What the study file leaves to the strategy is decided here, once: a study that has begun keeps
    it. Those that were made before there were batches have none, and go on one by one.
    """
    if setup.spec.study.batch is not None:
        return setup
    module = plugins.load("strategy", setup.spec.strategy.name)
    size = getattr(module, "BATCH", 1)
    if not isinstance(size, int) or size < 1:
        name = setup.spec.strategy.name
        raise SpecError(f'strategy "{name}": its BATCH: expected an integer >= 1, got {size!r}')
    study = setup.spec.study.model_copy(update={"batch": size})
    return replace(setup, spec=setup.spec.model_copy(update={"study": study}))


def with_executor(spec: StudySpec, executor: Plugin | None) -> StudySpec:
    """The specification with another executor; None keeps what it has."""
    return spec.model_copy(update={"executor": executor}) if executor else spec


def with_budget(spec: StudySpec, trials: int | None, seconds: float | None) -> StudySpec:
    """The specification with other totals; None keeps what it has."""
    changes = {k: v for k, v in (("trials", trials), ("seconds", seconds)) if v is not None}
    return spec.model_copy(update={"budget": spec.budget.model_copy(update=changes)})
