"""What all drivers of a study share: dataset, space, evaluator, predictions of latency."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from evaluators import FACTS, PREDICTED, Evaluator, Job, Prepared, Prepares, Proxy
from nas.constraints import Constraint, ends
from nas.spec import SpecError, StudySpec
from search_spaces import Architecture, SearchSpace, Task, plugins
from search_spaces.canonical import digest
from search_spaces.frozen import FrozenMapping
from search_spaces.plugins import Plugin

if TYPE_CHECKING:
    from torch import Tensor

    from evaluators import Artifact
    from evaluators.datasets._base import Dataset
    from nas.latency.predicting import Latency
    from search_spaces.sparsity.edges import Edges

# The topic under which an evaluation's notes have what limits such a prediction.
LATENCY_NOTE = "latency"
# The name under which a study records a space that was made in Python.
PYTHON_SPACE = "python.space"
# Raise it when the same job gives other numbers than before; it is part of every cache key.
NUMERICS_VERSION = 2
# Architectures whose facts are kept, of some hundred bytes each.
MOST_REMEMBERED = 20_000


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
        counts: whether facts have what is counted in a network, which takes much longer than to
            predict its latency.
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
    counts: bool = True
    # By structure. It goes along where a setup is replaced by one with another seed or budget.
    _facts: dict[str, Mapping[str, float]] = field(default_factory=dict, repr=False, compare=False)

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
        return () if self.dataset is None or not self.counts else (*FACTS, *self.space.facts)

    @property
    def known(self) -> tuple[str, ...]:
        """The metrics that `facts` computes."""
        return (*self.counted, *(self.latency.metrics if self.latency is not None else ()))

    def facts(self, architecture: Architecture) -> Mapping[str, float]:
        """What is known of an architecture before it is evaluated; nothing, of a table's.

        It is remembered by structure: a strategy and the driver ask for the same.

        Raises:
            CandidateError: its network cannot be built or run, or its latency not predicted.
        """
        if self.dataset is None:
            return {}
        known, key = self._facts, architecture.structure_key
        if key not in known:
            if len(known) >= MOST_REMEMBERED:
                known.pop(next(iter(known)))
            known[key] = self._computed_facts(architecture)
        return known[key]

    def _computed_facts(self, architecture: Architecture) -> Mapping[str, float]:
        from evaluators.facts import facts

        counted: Mapping[str, float] = {}
        if self.counts:
            counted = facts(
                self.space, architecture, self.task, self.in_degrees, kept=self.edges_kept
            )
        if self.latency is None:
            return counted
        return {**counted, **self.latency.facts(self.space, architecture, self.task)}

    @cached_property
    def in_degrees(self) -> "Tensor | None":
        """[n_nodes] of the dataset; None without one."""
        if self.dataset is None:
            return None
        import torch

        return torch.bincount(self.dataset.edge_index[1], minlength=self.task.n_nodes)

    @cached_property
    def edges_kept(self) -> "Callable[[Edges], int] | None":
        """How many edges of the dataset a ticket or a rule leaves; None without one.

        The rule's graphs are told apart by nobody here: of many, as if they were one.
        """
        if self.dataset is None or all(e.name != "sparsity" for e in self.space.extensions):
            return None
        from search_spaces.sparsity.edges import EdgeCounts

        return EdgeCounts.of(self.dataset.edge_index).kept

    def marks(self, architecture: Architecture) -> Mapping[str, str]:
        """Notes on an architecture, by topic: what limits a prediction, what extensions remark."""
        known = {
            extension.name: extension.remark(architecture, self.task)
            for extension in self.space.extensions
            if extension.remark is not None
        }
        if self.latency is not None:
            known[LATENCY_NOTE] = self.latency.mark(self.space, architecture, self.task)
        return {topic: mark for topic, mark in known.items() if mark}

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

    @cached_property
    def alone(self) -> "Setup":
        """With the evaluator that trains candidates for real, where this study's does not."""
        if not isinstance(self.evaluator, Proxy):
            return self
        plugin = self.evaluator.alone
        evaluator = plugins.load("evaluator", plugin.name).build(self.task, **plugin.options)
        spec = self.spec.model_copy(update={"evaluator": plugin, "halving": None})
        return replace(self, spec=spec, evaluator=evaluator, levels=(evaluator.epochs,))

    def sealed(self, store: str) -> "Artifact | None":
        """The dataset in an artifact store, written if it is not there; None without one."""
        if self.dataset is None:
            return None
        from evaluators.datasets import save_sealed

        return save_sealed(self.dataset, store)

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
