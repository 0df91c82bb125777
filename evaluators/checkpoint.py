"""Checkpoints: one safetensors file for all runs of a job, and how to read weights out of it.

Names: `run0/best/<name in the state dict>`; while the job can go on, also `run0/current/...`,
`run0/optimizer/<parameter>/<key>` and `run0/best_logits`. The header is JSON in the file's
metadata: which job it belongs to, the signatures of the network's parts (see
`evaluators.inheritances.alike`), and epoch, best epoch and best value of each run. A run that had
not begun when its job was stopped has no best weights yet, and the current ones are those it begins
with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from evaluators import tensors
from evaluators.artifacts import ArtifactError
from evaluators.inheritances._base import Parent
from evaluators.values import Artifact
from search_spaces import Architecture

Weights: TypeAlias = dict[str, Tensor]
_FORMAT = "gnn-nas checkpoint 1"
_NUMBERS = ("epoch", "best_epoch", "best_value", "best_train_loss", "seconds", "metrics")
_GROUPS = ("best", "current", "optimizer")


@dataclass(eq=False)
class RunState:
    """Where one training run stands.

    Attributes:
        epoch: how many epochs are complete.
        best_epoch, best_value, best_train_loss: of the best epoch, the earliest among equals.
        seconds: of training, so far.
        best_logits: [val units, C] at the best epoch.
        best: weights and buffers of the best epoch.
        current: weights and buffers now.
        optimizer: its tensors by `parameter/key`.
        metrics: of the best epoch of this very run, as they were when it was stored.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_value: float = -1.0
    best_train_loss: float = 0.0
    seconds: float = 0.0
    best_logits: Tensor = field(default_factory=lambda: torch.empty(0, 0))
    best: Weights = field(default_factory=dict)
    current: Weights = field(default_factory=dict)
    optimizer: Weights = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)

    def keep(self, weights: Weights) -> None:
        """These weights and buffers are the best so far; they are copied."""
        for name in self.best.keys() - weights.keys():
            del self.best[name]
        for name, tensor in weights.items():
            kept = self.best.get(name)
            if kept is None or kept.shape != tensor.shape:
                self.best[name] = tensor.clone()
            else:
                kept.copy_(tensor)


def write(
    store: str,
    job: Mapping[str, Any],
    signatures: Mapping[str, str],
    runs: list[RunState],
    *,
    final: bool,
) -> Artifact:
    """Store a checkpoint; a final one keeps the best weights alone."""
    kept: Weights = {}
    for index, run in enumerate(runs):
        for group in _GROUPS[:1] if final else _GROUPS:
            for name, tensor in getattr(run, group).items():
                kept[f"run{index}/{group}/{name}"] = tensor
        if not final:
            kept[f"run{index}/best_logits"] = run.best_logits
    header = {
        "format": _FORMAT,
        "final": final,
        "job": dict(job),
        "signatures": dict(signatures),
        "runs": [{name: getattr(run, name) for name in _NUMBERS} for run in runs],
    }
    return tensors.write(store, "checkpoint", header, kept)


def resume(artifact: Artifact, job: Mapping[str, Any]) -> list[RunState]:
    """The states of a job's runs, to go on from.

    Raises:
        ArtifactError: it is missing, damaged, no checkpoint, of another job, or of a finished one.
    """
    header, runs = _read(artifact)
    if header["final"]:
        raise ArtifactError(f"{_what(artifact)} is of a finished job; it has nothing to go on from")
    if header["job"] != dict(job):
        differ = sorted(k for k in job if header["job"].get(k) != job[k])
        raise ArtifactError(f"{_what(artifact)} is of another job: {', '.join(differ)} differ")
    return runs


def run_weights(artifact: Artifact) -> list[Weights]:
    """The best weights of each run, in the order of the runs.

    Raises:
        ArtifactError: it is missing, damaged or no checkpoint.
    """
    return [run.best for run in _read(artifact)[1]]


def parents(artifact: Artifact, architecture: Architecture) -> list[Parent]:
    """The networks of each run, with their best weights, to inherit from.

    Raises:
        ArtifactError: it is missing, damaged or no checkpoint.
    """
    header, runs = _read(artifact)
    signatures = header.get("signatures", {})
    return [Parent(architecture, run.best, signatures) for run in runs]


def best_weights(artifact: Artifact) -> Weights:
    """The best weights of the run with the best validation value, the earliest among equals.

    Raises:
        ArtifactError: it is missing, damaged or no checkpoint.
    """
    return _best_run(artifact).best


def best_metrics(artifact: Artifact) -> dict[str, float]:
    """The metrics of the very weights that `best_weights` gives, no mean over runs.

    Raises:
        ArtifactError: it is missing, damaged or no checkpoint.
    """
    return _best_run(artifact).metrics


def best_run(artifact: Artifact) -> int:
    """Which run `best_weights` gives the weights of.

    Raises:
        ArtifactError: it is missing, damaged or no checkpoint.
    """
    values = [run.best_value for run in _read(artifact)[1]]
    return values.index(max(values))


def _best_run(artifact: Artifact) -> RunState:
    return max(_read(artifact)[1], key=lambda run: run.best_value)


def _read(artifact: Artifact) -> tuple[dict[str, Any], list[RunState]]:
    what = "a checkpoint of training"
    header, found = tensors.read(artifact, "checkpoint", what, _FORMAT)
    try:
        runs = [RunState(**{name: run[name] for name in _NUMBERS}) for run in header["runs"]]
        for name, tensor in found.items():
            _put(runs, name, tensor)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ArtifactError(f"{_what(artifact)} is not {what}: {error}") from error
    return header, runs


def _put(runs: list[RunState], full_name: str, tensor: Tensor) -> None:
    run, group, *rest = full_name.split("/", 2)
    state = runs[int(run.removeprefix("run"))]
    if group == "best_logits":
        state.best_logits = tensor
    elif group in _GROUPS:
        getattr(state, group)[rest[0]] = tensor
    else:
        raise ValueError(f'unexpected tensor "{full_name}"')


def _what(artifact: Artifact) -> str:
    return f"the artifact {artifact.sha256[:12]}"
