"""A trial with its weights: what is exported."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from evaluators import ALIKE, Artifact, Inheritance, Proxy
from evaluators._folds import run_folds
from evaluators.artifacts import intact
from evaluators.checkpoint import best_metrics, best_run, best_weights
from evaluators.executors import inline
from evaluators.training import Training
from nas.background import background
from nas.executing import executed
from nas.export._background import Background
from nas.opening import opened
from nas.record import TrialRecord
from nas.retraining import ConfirmError
from nas.setup import Setup
from nas.store import Store, StoreError
from nas.store.confirmations import confirmations
from search_spaces import Architecture, SearchSpace, Task

if TYPE_CHECKING:
    from torch import Tensor, nn

    from evaluators.datasets._base import Dataset


@dataclass(frozen=True)
class Candidate:
    """One trial, ready to be deployed.

    Attributes:
        study, trial, seed: where it comes from.
        space, architecture, task: what builds its network.
        dataset: for its preparation, as a sample, and to measure on; with the validation units of
            the very run that the weights are of, where there were several folds.
        weights: the state of the network at its best validation epoch.
        metrics: of these very weights, measured by the search; no mean over seeds or folds.
        confirmed: {metric: {"mean", "stderr", "n"}} over fresh seeds.
        retrained: whether there was no checkpoint, and it was trained for this.
        background: its study's front, its data, how to train it again.
        targets: the formats in which its study wants networks to leave.
    """

    study: str
    trial: int
    seed: int
    space: SearchSpace
    architecture: Architecture
    task: Task
    dataset: "Dataset"
    weights: Mapping[str, "Tensor"]
    metrics: Mapping[str, float]
    confirmed: Mapping[str, Mapping[str, float | None]] | None
    retrained: bool
    background: Background = field(default_factory=Background)
    targets: tuple[str, ...] = ()

    def network(self) -> "nn.Module":
        """With its weights, for inference."""
        network = self.space.network(self.architecture, self.task)
        network.load_state_dict(self.weights)
        return network.eval()


def candidate(
    name: str,
    trial: int | Literal["best"],
    *,
    storage: str,
    data_root: Path,
    space: SearchSpace | None = None,
) -> Candidate:
    """Load a trial of a study; a checkpoint that is lost is trained again, by the same job.

    "best" is the first by fresh validation where trials have been confirmed, else the first of the
    front.

    Raises:
        UsageError: no such study or trial, or the trial was not evaluated to its end.
        ConfirmError: it had to be retrained, and failed.
    """
    store = Store.open_existing(storage)
    record = _chosen(store, name, trial)
    setup = opened(store, name, data_root, space, with_latency=False).setup
    if record.architecture is None:
        raise StoreError(f"trial {record.number} of study {name!r} has no architecture")
    if setup.dataset is None:
        raise StoreError(
            f'study "{name}" looked its results up in a table, so there are no weights to export; '
            'search with the evaluator "training" and a [dataset]'
        )
    artifact, retrained = _artifact(store, setup, record)
    confirmed = [c.metrics for c in confirmations(store, name) if c.trial == record.number]
    facts = {name: record.metrics[name] for name in setup.counted if name in record.metrics}
    return Candidate(
        study=name,
        trial=record.number,
        seed=setup.spec.study.seed,
        space=setup.space,
        architecture=record.architecture,
        task=setup.task,
        dataset=as_validated(setup, setup.dataset, artifact),
        weights=best_weights(artifact),
        metrics={**facts, **best_metrics(artifact)},
        confirmed=confirmed[0] if confirmed else None,
        retrained=retrained,
        background=background(store, setup, record),
        targets=() if setup.spec.export is None else setup.spec.export.targets,
    )


def as_validated(setup: Setup, dataset: "Dataset", artifact: Artifact) -> "Dataset":
    """The dataset with the split that the run was trained and validated on."""
    evaluator = setup.alone.evaluator if isinstance(setup.evaluator, Proxy) else setup.evaluator
    if not isinstance(evaluator, Training) or not evaluator.folds:
        return dataset
    folds = run_folds(dataset, setup.spec.study.seed, evaluator.seeds, evaluator.folds)
    fold = folds[best_run(artifact)]
    masks = [
        torch.zeros_like(dataset.train).index_fill(0, units, True)
        for units in (fold.train, fold.val)
    ]
    return replace(dataset, train=masks[0], val=masks[1])


def _chosen(store: Store, name: str, trial: int | Literal["best"]) -> TrialRecord:
    if trial == "best":
        confirmed = confirmations(store, name)
        if confirmed:
            return store.trial(name, confirmed[0].trial)
        front = store.front(name)
        if not front:
            raise StoreError(
                f'study "{name}" has no complete, feasible trial; see `nas trials {name}`'
            )
        return front[0]
    record = store.trial(name, trial)
    if record.state not in ("complete", "infeasible") or not record.epochs:
        raise StoreError(
            f'trial {trial} of study "{name}" is {record.state}; only one that was evaluated to '
            f"its end can be exported, see `nas front {name}`"
        )
    return record


def _artifact(store: Store, setup: Setup, record: TrialRecord) -> tuple[Artifact, bool]:
    """The checkpoint of a trial, and whether the trial had to be trained again for it.

    One that began with another trial's weights needs that one's checkpoint for it, and so on.
    """
    url = store.artifacts(setup.spec.study.name)
    if record.artifact is not None and intact(Artifact(url, record.artifact)):
        return Artifact(url, record.artifact), False
    if record.architecture is None:
        raise StoreError(f"trial {record.number} has no architecture")
    # Lost or damaged: the job is known, and gives the same numbers again. Of a proxy's trial, which
    # has no weights of its own, it is the training that it stands for.
    lost = record.artifact is not None or not isinstance(setup.evaluator, Proxy)
    trains = setup if lost else setup.alone
    epochs = record.epochs if lost else trains.evaluator.epochs
    job = trains.job(record.architecture, setup.sealed(url), url, epochs)
    if record.inherit is not None:
        parent = store.trial(setup.spec.study.name, record.inherit)
        if parent.artifact is not None and parent.architecture is not None:
            artifact, _ = _artifact(store, setup, parent)
            by = record.inherit_by or ALIKE
            job = replace(job, inherit=Inheritance(artifact, parent.architecture, by))
    [(_, [evaluation])] = executed(inline.build(), [(None, [job])])
    if evaluation.failure is not None:
        raise ConfirmError(
            f"there is no checkpoint of trial {record.number}, and training it failed: "
            f"{evaluation.failure.message}"
        )
    if evaluation.artifact is None:
        raise StoreError(
            f'the evaluator "{setup.spec.evaluator.name}" leaves no checkpoints, so there are no '
            'weights to export; search with one that does, as "training"'
        )
    return evaluation.artifact, True
