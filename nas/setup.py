"""From a study file to what a search needs: dataset, space, evaluator; and what it is bound to."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators import Evaluator, Job, Table
from nas import rungs
from nas.constraints import Constraint, parse
from nas.spec import SpecError, StudySpec, check_plugins
from nas.store import StoreError
from search_spaces import Architecture, SearchSpace, Task, UsageError, plugins
from search_spaces.canonical import digest
from search_spaces.errors import did_you_mean

if TYPE_CHECKING:
    from evaluators import Artifact
    from evaluators.datasets._base import Dataset

FACTS = ("params", "macs")
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
    """

    spec: StudySpec
    dataset: "Dataset | None"
    task: Task
    space: SearchSpace
    evaluator: Evaluator
    constraints: tuple[Constraint, ...]
    levels: tuple[int, ...]

    @property
    def objectives(self) -> Mapping[str, str]:
        return self.spec.study.objectives

    @property
    def batch(self) -> int:
        """How many trials are proposed and evaluated together; see `with_batch`."""
        return self.spec.study.batch or 1

    @property
    def known(self) -> tuple[str, ...]:
        """The metrics that `facts` computes."""
        return FACTS if self.dataset is not None else ()

    def facts(self, architecture: Architecture) -> Mapping[str, float]:
        """What is known of an architecture before it is evaluated; nothing, of a table's.

        Raises:
            CandidateError: its network cannot be built or run.
        """
        if self.dataset is None:
            return {}
        from evaluators.facts import facts

        return facts(self.space, architecture, self.task)

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
        )

    def cache_key(self, architecture: Architecture, until_epoch: int) -> str:
        """Equal for evaluations that must have equal results.

        What comes with the program is shared by all studies of a database. Code from elsewhere may
        change under the same name, so its results answer only the study that they belong to.
        """
        import torch

        names = (self.spec.space.name, self.spec.evaluator.name, *architecture.choices.values())
        foreign = any(isinstance(name, str) and "." in name for name in names)
        return digest(
            {
                "scope": self.spec.study.name if foreign else "",
                "architecture": architecture.key,
                "space_version": self.space.version,
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
) -> Setup:
    """Load the dataset, build space and evaluator, and check that they fit each other.

    Args:
        space: given from Python, in place of the study file's.
        where: begins each message: the study file.

    Raises:
        UsageError: a plug-in's option, a metric or a graph that would fail later.
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
        with _named(where, "dataset"):
            dataset = load(spec.dataset, data_root).seal()
    module, options = plugins.load("evaluator", spec.evaluator.name), spec.evaluator.options
    with _named(where, "evaluator"):
        task: Task = dataset.task if dataset is not None else module.task(**options)
        evaluator: Evaluator = module.build(task, **options)
    with _named(where, "space"):
        if space is None:
            built = plugins.load("space", spec.space.name).build(task, **spec.space.options)
            space = _search_space(built)
        space.size()  # goes through an equivalence, which may leave no architecture
        if isinstance(evaluator, Table):
            evaluator.check(space)
    constraints = tuple(parse(text) for text in spec.study.constraints)
    _check_metrics(spec, evaluator, constraints, where)
    rung_epochs = spec.halving.epochs if spec.halving else ()
    if rung_epochs and rung_epochs[-1] >= evaluator.epochs:
        raise SpecError(
            f"{where}: [halving] epochs: expected rungs below the {evaluator.epochs} epochs of "
            f"[evaluator], got {list(rung_epochs)}"
        )
    levels = rungs.levels(rung_epochs, evaluator.epochs)
    return Setup(spec, dataset, task, space, evaluator, constraints, levels)


@contextmanager
def _named(where: str, table: str) -> Iterator[None]:
    """Begin the message of a plug-in's error with the file and the table that chose it."""
    try:
        yield
    except UsageError as error:
        raise SpecError(f"{where}: [{table}] {error}") from error


def _search_space(built: object) -> SearchSpace:
    if not isinstance(built, SearchSpace):
        raise UsageError(f"build returned {type(built).__name__}, expected a SearchSpace")
    return built


def _check_metrics(
    spec: StudySpec, evaluator: Evaluator, constraints: tuple[Constraint, ...], where: str
) -> None:
    known = (*evaluator.metrics, *(FACTS if spec.dataset is not None else ()))
    wanted = [("objectives", metric) for metric in spec.study.objectives]
    wanted += [("constraints", constraint.metric) for constraint in constraints]
    for key, metric in wanted:
        if metric not in known:
            raise SpecError(
                f'{where}: [study] {key}: the evaluator "{spec.evaluator.name}" does not give '
                f'"{metric}" for this dataset; {did_you_mean(metric, known)}'
            )


def start_architectures(
    spec: StudySpec,
    space: SearchSpace,
    fronts: Mapping[str, list[Architecture]],
    where: str = "the study",
) -> list[Architecture]:
    """The architectures to try first: given ones, and those of other studies' fronts.

    A decision that is active and not given takes its first choice.

    Args:
        fronts: {name: architectures} of the studies that `[study] start` names.
        where: begins each message: the study file.

    Raises:
        SpecError: one of them is not in the space.
    """
    found: dict[str, Architecture] = {}
    for item in spec.study.start:
        if isinstance(item, str):
            candidates = [dict(a.choices) for a in fronts[item.removeprefix("study:")]]
        else:
            candidates = [dict(item)]
        for choices in candidates:
            with _named(where, "study"):
                architecture = _completed(space, choices, item)
            found.setdefault(architecture.key, architecture)
    return list(found.values())


def _completed(space: SearchSpace, choices: Mapping[str, Any], item: object) -> Architecture:
    # Not by `space.fill`, which gives the representative of an equivalence: another description,
    # to which the given choices would not belong.
    made: dict[str, Any] = {}
    for decision in space.decisions:
        if decision.is_active(made):
            made[decision.name] = choices.get(decision.name, decision.choices[0])
    try:
        return space.architecture({**made, **choices})
    except UsageError as error:
        raise SpecError(f"start: {item!r} is not in the space: {error}") from None


def refuse_change(stored: Mapping[str, Any], setup: Setup) -> None:
    """Compare what a study is bound to with what its specification makes now.

    Args:
        stored: the study's row: `name`, `space`, `task`.

    Raises:
        StoreError: they differ; the message shows where.
    """
    lines = [
        *_differences("space", stored["space"], setup.space.to_json()),
        *_differences("dataset", stored["task"], asdict(setup.task)),
    ]
    if lines:
        shown = "\n  ".join(lines[:12])
        raise StoreError(
            f'study "{stored["name"]}" cannot go on, its space or dataset has changed (recorded '
            f"-> now):\n  {shown}\nrestore it, or start a new study with --name; `start = "
            f'["study:{stored["name"]}"]` begins from this one\'s front'
        )


def _differences(where: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for key in sorted({*old, *new}):
            if key not in new:
                found.append(f"{where}.{key}: gone")
            elif key not in old:
                found.append(f"{where}.{key}: new")
            else:
                found += _differences(f"{where}.{key}", old[key], new[key])
        return found
    return [] if old == new else [f"{where}: {old} -> {new}"]


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


def with_budget(spec: StudySpec, trials: int | None, seconds: float | None) -> StudySpec:
    """The specification with other totals; None keeps what it has."""
    changes = {k: v for k, v in (("trials", trials), ("seconds", seconds)) if v is not None}
    return spec.model_copy(update={"budget": spec.budget.model_copy(update=changes)})
