"""Trains the arms: fresh seeds, the study's evaluator and executor; checkpoints only to count."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from evaluators import Evaluation, Job
from evaluators.checkpoint import best_weights
from nas.executing import executed, made_executor
from nas.setup import Setup
from nas.sparse.arms import ArmName, Trained
from nas.sparse.rows import Rows
from nas.telling import Once
from search_spaces import Architecture
from search_spaces.plugins import Plugin
from search_spaces.sparsity.counted import counted, left

# Seeds of the dense parent that are trained together, at most; sparse networks gain nothing by it.
_TOGETHER = 8
# Of an evaluator that averages runs: here each seed is a run of its own.
_ONE_RUN = {"seeds": 1, "folds": 0}


class SparseTrainingError(Exception):
    """A network of an arm could not be trained."""


@dataclass(frozen=True)
class Bench:
    """What is trained, and where.

    Attributes:
        setup: of the study, with the evaluator that trains for real.
        dense, searched: the architectures; the random network has that of the searched one.
        metric: that is read.
        store: URL of a folder for checkpoints.
    """

    setup: Setup
    dense: Architecture
    searched: Architecture
    metric: str
    store: str

    def job(self, arm: ArmName, seed: int, counts: Mapping[str, int] | None = None) -> Job:
        """One training; the random one needs the counts of the searched one of its seed."""
        setup = self.setup
        architecture = self.dense if arm == "dense" else self.searched
        job = setup.job(architecture, setup.sealed(self.store), self.store, setup.evaluator.epochs)
        options = dict(job.evaluator.options)
        options |= {name: one for name, one in _ONE_RUN.items() if name in options}
        job = replace(
            job, seed=seed, may_be_pruned=False, evaluator=Plugin(job.evaluator.name, options)
        )
        if counts is None:
            return job
        space = counted(setup.space, counts)
        named = Architecture(space.name, architecture.choices)
        return replace(job, space=space, architecture=named)

    def measured(self, job: Job, evaluation: Evaluation) -> Trained:
        """What became of a training, counted in the network itself."""
        artifact, dataset = evaluation.artifact, self.setup.dataset
        if artifact is None or dataset is None:
            raise SparseTrainingError(
                f'the evaluator "{job.evaluator.name}" keeps no checkpoint, so nothing can be '
                "counted; search with one that does, as training"
            )
        network = job.space.network(job.architecture, self.setup.task)
        network.load_state_dict(best_weights(artifact))
        found = left(network, dataset.x, dataset.edge_index)
        value = evaluation.metrics[self.metric]
        return Trained(job.seed, value, found.weights, found.edges, found.counts)


class Training:
    """Trains what is missing of each arm, and keeps each training as it ends."""

    def __init__(
        self,
        bench: Bench,
        rows: Rows,
        seeds: Sequence[int],
        progress: Callable[[int, int], None],
        warn: Callable[[str], None],
    ) -> None:
        self._bench, self._rows, self._seeds = bench, rows, seeds
        self._progress, self._warn = progress, Once(warn)

    def run(self) -> None:
        """All arms; the random one last, by the counts of the searched one.

        Raises:
            SparseTrainingError: a training failed; those that ended are kept.
        """
        self._show()
        first = [*self._batches("dense", _TOGETHER), *self._batches("searched", 1)]
        self._train(first)
        self._train(self._batches("random", 1))

    def _batches(self, arm: ArmName, size: int) -> Iterator[tuple[ArmName, Sequence[Job]]]:
        missing = [seed for seed in self._seeds if (arm, seed) not in self._rows.trained]
        for start in range(0, len(missing), size):
            seeds = missing[start : start + size]
            yield arm, [self._bench.job(arm, seed, self._counts(arm, seed)) for seed in seeds]

    def _counts(self, arm: ArmName, seed: int) -> Mapping[str, int] | None:
        return self._rows.trained["searched", seed].left if arm == "random" else None

    def _train(self, batches: Iterable[tuple[ArmName, Sequence[Job]]]) -> None:
        failures: list[str] = []
        executor = made_executor(self._bench.setup.spec)
        queue = (((arm, jobs), jobs) for arm, jobs in batches)
        with closing(executed(executor, queue)) as ended:
            for (arm, jobs), evaluations in ended:
                for job, evaluation in zip(jobs, evaluations, strict=True):
                    failures += self._keep(arm, job, evaluation)
        if failures:
            raise SparseTrainingError(failures[0])

    def _keep(self, arm: ArmName, job: Job, evaluation: Evaluation) -> list[str]:
        if evaluation.failure is not None:
            failure = evaluation.failure
            return [f"{arm}, seed {job.seed}: {failure.kind}: {failure.message}"]
        self._warn(evaluation.notes.get("warning", ""))
        self._rows.add(arm, self._bench.measured(job, evaluation))
        self._show()
        return []

    def _show(self) -> None:
        kept = [key for key in self._rows.trained if key[1] in self._seeds]
        self._progress(len(kept), 3 * len(self._seeds))
