"""Trains each candidate as `training` does, on labels and on the predictions of a larger network.

    loss = (1 - share) CE(labels, student) + share T^2 KL(teacher || student)

with both distributions at the temperature T (Geoffrey Hinton, Oriol Vinyals, Jeff Dean: Distilling
the Knowledge in a Neural Network, 2015); after Xuanyi Dong, Yi Yang: Network Pruning via
Transformable Architecture Search, 2019, whose pruned networks learn so of the unpruned one. The
teacher is trained once, before the first trial (`nas prepared NAME`), and its predictions are kept:
no candidate runs it. `train_loss` is this loss; all metrics of validation are of labels, and the
epoch is chosen by them (`best_epoch`), as in `training`. What comes is a trained network: `nas
confirm` and `nas export` do the same with the same teacher.

Limits: no folds, since a fold's validation units would be among those that the teacher has learned.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias

import torch.nn.functional as F
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor

from evaluators import metrics, preparing
from evaluators._batches import batches_of
from evaluators._paths import DeviceName, Means, Precision
from evaluators._recipe import OptimizerName, Recipe
from evaluators._runs import Run
from evaluators._teaching import Lesson
from evaluators.artifacts import ArtifactError
from evaluators.datasets._base import Dataset
from evaluators.preparation import Preparation
from evaluators.training import Training
from evaluators.values import Artifact, Evaluator, Job
from search_spaces import Choice, PluginError, SearchSpace, Task
from search_spaces.frozen import FrozenMapping
from search_spaces.plugins import Plugin

Teaches: TypeAlias = Literal["labeled", "all"]


def build(
    task: Task,
    *,
    share: Annotated[float, Ge(0), Le(1)] = 0.9,
    temperature: Annotated[float, Gt(0)] = 4.0,
    teaches: Teaches = "labeled",
    teacher: Mapping[str, Choice] = FrozenMapping(),
    teacher_epochs: Annotated[int, Ge(1)] = 200,
    epochs: Annotated[int, Ge(1)] = 200,
    lr: Annotated[float, Ge(0)] = 0.01,
    weight_decay: Annotated[float, Ge(0)] = 5e-4,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.5,
    optimizer: OptimizerName = "adam",
    patience: Annotated[int, Ge(1)] | None = None,
    seeds: Annotated[int, Ge(1), Le(1_000)] = 1,
    batch_size: Annotated[int, Ge(1)] = 128,
    share_input_dropout: bool = False,
    precision: Precision = "float32",
    device: DeviceName = "auto",
) -> Evaluator:
    """The evaluator for a task.

    Args:
        task: what the networks fit.
        share: how much the teacher counts, and not the labels; with 0 it is `training`.
        temperature: T; the higher, the more the teacher's small probabilities count.
        teaches: at which units the teacher is learned: those with a training label, or all nodes
            of the graph, whose features are known; no label but those is read.
        teacher: choices of the teacher, by decision, where it is not the largest of the space with
            the first choice of all that is no scale.
        teacher_epochs: how long it is trained.
        epochs, patience, seeds, share_input_dropout: of candidates, as of `training`.
        lr, weight_decay, dropout, optimizer, batch_size, precision, device: of both, as of
            `training`; recipe decisions change candidates alone.

    Raises:
        PluginError: all graphs are to be taught, which whole graphs are not.
    """
    if teaches == "all" and task.is_graph_task:
        raise PluginError(
            'teaches: expected "labeled" for a graph task, since "all" is for the nodes of a graph '
            'that are seen anyway, got "all"'
        )
    recipe = Recipe(lr, weight_decay, dropout, optimizer, patience, batch_size)
    options = {
        "architecture": dict(teacher),
        "lr": lr,
        "weight_decay": weight_decay,
        "dropout": dropout,
        "optimizer": optimizer,
        "batch_size": batch_size,
        "precision": precision,
        "device": device,
    }
    preparation = Preparation(Plugin("teacher", options), teacher_epochs, teacher_epochs)
    means = Means(precision, device, share_input_dropout)
    teaching = _Teaching(share, temperature, everywhere=teaches == "all")
    return Transfer(task.metric, epochs, recipe, seeds, means, teaching, preparation)


@dataclass(frozen=True)
class _Teaching:
    """The options of `build`."""

    share: float
    temperature: float
    everywhere: bool


class Transfer(Training):
    """The evaluator.

    Attributes:
        preparation: of the teacher.
    """

    def __init__(
        self,
        metric: str,
        epochs: int,
        recipe: Recipe,
        seeds: int,
        means: Means,
        teaching: _Teaching,
        preparation: Preparation,
    ) -> None:
        super().__init__(metric, epochs, recipe, seeds, 0, means)
        self.preparation, self._teaching = preparation, teaching

    def teach(self, run: Run, job: Job) -> None:
        """Have a run learn what the teacher of its job predicts."""
        if not self._teaching.share:
            return
        taught = taught_by(job, self._teaching)
        run.lesson = taught.lesson
        if taught.warning:
            run.warn(taught.warning)

    def _identity(self, job: Job) -> dict[str, Any]:
        prepared = None if job.prepared is None else job.prepared.sha256
        how = self._teaching
        told = [prepared, how.share, how.temperature, how.everywhere]
        return super()._identity(job) | {"teacher": told}


@dataclass(frozen=True, eq=False)
class _Taught:
    """A lesson, and what is to be said of it, if anything."""

    lesson: Lesson
    warning: str


def taught_by(job: Job, teaching: _Teaching) -> _Taught:
    """What the runs of a job learn besides the labels.

    Raises:
        ArtifactError: it has no teacher, or one that is missing, damaged, or of another space or
            dataset.
    """
    if job.prepared is None or job.dataset is None:
        raise ArtifactError(f"{job.label}: nothing was prepared for it, so it has no teacher")
    return _taught(job.prepared, job.dataset, job.space, teaching)


# One and the same for all that learn alike: they are trained together.
@lru_cache(maxsize=8)
def _taught(
    artifact: Artifact, dataset: Artifact, space: SearchSpace, teaching: _Teaching
) -> _Taught:
    known = batches_of(dataset).dataset
    preparing.check_origin(artifact, space, known)
    logits = preparing.weights(artifact)["logits"].clone()
    lesson = Lesson(logits, teaching.share, teaching.temperature, teaching.everywhere)
    return _Taught(lesson, _doubt(logits, known))


def _doubt(logits: Tensor, dataset: Dataset) -> str:
    """What is to be said of a teacher that knows nothing."""
    labeled = dataset.y >= 0
    val, train = dataset.val & labeled, dataset.train & labeled
    commonest = dataset.y[train].bincount().argmax()
    guess = F.one_hot(commonest, dataset.n_classes).float().expand(int(val.sum()), -1)
    y, metric = dataset.y[val], dataset.metric
    reached = metrics.selecting(metric, logits[val], y)
    guessed = metrics.selecting(metric, guess.contiguous(), y)
    if reached > guessed:
        return ""
    return (
        f"the teacher reaches val_{metric} {reached:.3f}, no more than a guess of the commonest "
        f"class ({guessed:.3f}): raise teacher_epochs, or change lr or teacher"
    )
