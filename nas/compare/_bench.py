"""What the runs of one process share: the setup, and what has been measured with one seed."""

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from evaluators import (
    Artifact,
    Evaluation,
    Inheritance,
    Job,
    PreparationJob,
    Prepared,
    Prepares,
    Table,
)
from evaluators.artifacts import store_path
from nas.compare._entrants import Entrant
from nas.compare._run import ComparisonError
from nas.constraints import Constraint
from nas.fold import build_strategy
from nas.preparing import preparations
from nas.setting_up import opened_latency
from nas.setup import Setup, with_batch
from nas.spec import StudySpec
from nas.strategies import Objective
from nas.strategies._base import AnyStrategy
from search_spaces import Architecture, SearchSpace, Task, plugins


@dataclass(frozen=True)
class Candidate:
    """What is to be evaluated.

    Attributes:
        architecture: the candidate.
        parent: whose weights it starts from, and how, if there are any.
        inherits: whether it was to inherit weights: then it answers for nothing else.
    """

    architecture: Architecture
    parent: Inheritance | None = None
    inherits: bool = False


class Bench:
    """Evaluates in this process, for one seed at a time; equal jobs of a seed are done once.

    Args:
        setup: of the study file.
        dataset: prepared; None where the evaluator looks results up.
        store: URL of a folder for checkpoints, which are deleted as the next seed begins. Worker
            processes have folders of their own in it.
    """

    def __init__(self, setup: Setup, dataset: Artifact | None = None, store: str = "") -> None:
        self.setup = setup
        self.dataset = dataset
        self.store = store
        self.objectives = tuple(Objective(m, d) for m, d in setup.objectives.items())
        self._table = setup.evaluator if isinstance(setup.evaluator, Table) else None
        self._measured: dict[str, Evaluation] = {}
        # Of the evaluator, each once.
        self.warnings: list[str] = []

    @property
    def seed(self) -> int:
        return self.setup.spec.study.seed

    def use_seed(self, seed: int) -> None:
        """Be the bench of studies with this seed."""
        if seed == self.seed:
            return
        self._measured.clear()
        self.setup = replace(self.setup, prepared={})
        if self.store:
            shutil.rmtree(store_path(self.store), ignore_errors=True)
        study = self.setup.spec.study.model_copy(update={"seed": seed})
        spec = self.setup.spec.model_copy(update={"study": study})
        self.setup = replace(self.setup, spec=spec)

    def build(self, entrant: Entrant) -> AnyStrategy:
        """A strategy on the problem of the study with this seed.

        Raises:
            UsageError: it cannot handle the problem.
        """
        return build_strategy(self._setup_of(entrant), f'comparing "{entrant.label}"')

    def charge(self, strategy: AnyStrategy) -> int:
        """How many evaluations a strategy's preparation is worth, by the passes that both take.

        Nothing where the evaluator has the same: then every strategy has it.
        """
        preparation, evaluator = strategy.preparation, self.setup.evaluator
        if preparation is None:
            return 0
        if isinstance(evaluator, Prepares) and evaluator.preparation.key == preparation.key:
            return 0
        of_a_trial = getattr(evaluator, "passes", evaluator.epochs)
        return math.ceil(preparation.passes / of_a_trial)

    def prepare(self, strategy: AnyStrategy) -> None:
        """Do what a strategy and the evaluator have prepared, with this seed, once.

        Raises:
            ComparisonError: it fails.
        """
        for preparation in preparations(self.setup, strategy):
            if preparation.key in self.setup.prepared:
                continue
            from evaluators.preparing import prepare

            setup, epochs = self.setup, preparation.epochs
            job = PreparationJob(
                preparation, setup.space, self.dataset, self.store, self.seed, epochs
            )
            advance = prepare(job)
            if advance.artifact is None or advance.failure is not None:
                said = advance.failure.message if advance.failure else "it left nothing"
                raise ComparisonError(f"{job.label} failed with seed {self.seed}: {said}")
            done = Prepared(preparation, advance.artifact, advance.epochs[-1])
            self.setup = replace(setup, prepared={**setup.prepared, preparation.key: done})

    def batch(self, entrant: Entrant) -> int:
        """How many trials a study with this strategy proposes and evaluates together."""
        return with_batch(self._setup_of(entrant)).batch

    def _setup_of(self, entrant: Entrant) -> Setup:
        spec = self.setup.spec.model_copy(update={"strategy": entrant.plugin})
        return replace(self.setup, spec=spec)

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Evaluation]:
        """The evaluations of a batch to its end, by the jobs that a study would send."""
        # What inherits weights is of its place in the batch, all else of its architecture.
        keys = [i if c.inherits else c.architecture.key for i, c in enumerate(candidates)]
        jobs: dict[int | str, Job] = {}
        for key, candidate in zip(keys, candidates, strict=True):
            if key not in self._measured and key not in jobs:
                jobs[key] = self._job(candidate)
        made = self.setup.evaluator.evaluate(list(jobs.values())) if jobs else ()
        found = dict(zip(jobs, made, strict=True))
        for key, evaluation in found.items():
            warning = evaluation.notes.get("warning", "")
            if warning and warning not in self.warnings:
                self.warnings.append(warning)
            if isinstance(key, str) and evaluation.failure is None:
                self._measured[key] = evaluation
        return [found[key] if key in found else self._measured[str(key)] for key in keys]

    def _job(self, candidate: Candidate) -> Job:
        epochs = self.setup.evaluator.epochs
        job = self.setup.job(candidate.architecture, self.dataset, self.store, epochs)
        return replace(job, inherit=candidate.parent) if candidate.parent else job

    def test_metrics(self, architecture: Architecture) -> Mapping[str, float]:
        """What a table has on test; of a network that was trained here, nothing is measured."""
        return self._table.test_metrics(architecture) if self._table is not None else {}

    @contextmanager
    def single_threaded(self) -> Iterator[None]:
        """One thread of torch, as in a study, where anything is trained."""
        if self.dataset is None:
            yield
            return
        from evaluators.executors.inline import one_thread

        with one_thread():
            yield


@dataclass(frozen=True)
class Parcel:
    """A bench on its way to another process: values, of which it is made again there."""

    spec: StudySpec
    task: Task
    space: SearchSpace
    constraints: tuple[Constraint, ...]
    levels: tuple[int, ...]
    dataset: Artifact | None

    @classmethod
    def of(cls, bench: Bench) -> "Parcel":
        setup = bench.setup
        return cls(
            setup.spec, setup.task, setup.space, setup.constraints, setup.levels, bench.dataset
        )

    def bench(self, store: str) -> Bench:
        """The bench, with a folder of its own for checkpoints."""
        dataset = None
        if self.dataset is not None:
            from evaluators.datasets import load_sealed

            dataset = load_sealed(self.dataset)
        module = plugins.load("evaluator", self.spec.evaluator.name)
        setup = Setup(
            spec=self.spec,
            dataset=dataset,
            task=self.task,
            space=self.space,
            evaluator=module.build(self.task, **self.spec.evaluator.options),
            constraints=self.constraints,
            levels=self.levels,
            latency=opened_latency(self.spec, self.task, dataset),
        )
        return Bench(setup, self.dataset, store)
