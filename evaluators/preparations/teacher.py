"""Trains one network, the unpruned one, for others to learn its predictions.

It is the largest of its space, with the first choice of what is no scale, and what `architecture`
says otherwise. It is trained as the evaluator `training` trains candidates, on training labels, and
the epoch with the best validation value counts. What is left has its predictions for every node,
or graph, so that it is never run again. Of recipe decisions it takes nothing: how it is trained is
said by the options.
"""

import copy
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from annotated_types import Ge, Lt
from torch import Tensor

from evaluators import metrics
from evaluators._batches import Batches
from evaluators._faults import network_fault
from evaluators._folds import run_folds
from evaluators._paths import DeviceName, Means, Precision, train
from evaluators._recipe import OptimizerName, Recipe, seed_torch
from evaluators._runs import Allowance, Run
from evaluators.preparations._sampling import largest
from evaluators.preparations._states import under
from search_spaces import Architecture, Choice, Decision, SearchSpace, SpaceError, Task
from search_spaces.errors import did_you_mean
from search_spaces.frozen import FrozenMapping

# Behind those of the runs of a job: a candidate that is the same network begins with other weights.
_INDEX = 1_000_000
_GRAPHS_AT_A_TIME = 512
_NUMBERS = ("epoch", "best_epoch", "best_value", "best_train_loss")


def prepare(
    space: SearchSpace,
    batches: Batches,
    seed: int,
    *,
    architecture: Mapping[str, Choice] = FrozenMapping(),
    lr: Annotated[float, Ge(0)] = 0.01,
    weight_decay: Annotated[float, Ge(0)] = 5e-4,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.5,
    optimizer: OptimizerName = "adam",
    batch_size: Annotated[int, Ge(1)] = 128,
    precision: Precision = "float32",
    device: DeviceName = "auto",
) -> "Teacher":
    """Make it.

    Args:
        space: of the candidates.
        batches: of the dataset.
        seed: of the study.
        architecture: choices of the teacher that are not the largest, by their decisions.
        lr, weight_decay, dropout, optimizer, batch_size, precision, device: as of the evaluator
            `training`.

    Raises:
        SpaceError: the architecture is not in the space.
        CandidateError: its network cannot be built.
    """
    recipe = Recipe(lr, weight_decay, dropout, optimizer, None, batch_size)
    taught = unpruned(space, architecture)
    return Teacher(space, batches, seed, taught, recipe, Means(precision, device))


def check(space: SearchSpace, task: Task, options: Mapping[str, Any]) -> None:  # noqa: ARG001
    """Refuse a teacher that is not in the space, before a study is stored.

    Raises:
        SpaceError: it is not.
    """
    unpruned(space, options.get("architecture", {}))


def unpruned(space: SearchSpace, given: Mapping[str, Choice]) -> Architecture:
    """The largest architecture but for some choices.

    Raises:
        SpaceError: a decision that is not there, or not with these choices, or another choice.
    """
    for name, choice in given.items():
        if name not in space.by_name:
            hint = did_you_mean(name, space.by_name)
            raise SpaceError(f'teacher: the space has no decision "{name}"; {hint}')
        known = space.by_name[name].choices
        if choice not in known:
            raise SpaceError(f'teacher: "{name}" expected one of {list(known)}, got {choice!r}')

    def choose(decision: Decision) -> Choice:
        return given.get(decision.name, largest(decision)[0])

    made = space.fill(choose)
    if idle := sorted(given.keys() - made.choices.keys()):
        raise SpaceError(
            f'teacher: nothing is decided by "{idle[0]}" in the network that is chosen so; leave '
            "it out, or choose what needs it, too"
        )
    return made


class _Unstopped(Run):
    """An epoch that has begun is ended: between epochs it is asked whether to stop."""

    @property
    def goes_on(self) -> bool:
        return not self.is_done


class Teacher:
    """A network in training, and its predictions."""

    def __init__(
        self,
        space: SearchSpace,
        batches: Batches,
        seed: int,
        architecture: Architecture,
        recipe: Recipe,
        means: Means,
    ) -> None:
        self._batches, self._means = batches, means
        (fold,) = run_folds(batches.dataset, seed, 1, 0)
        seed_torch(seed, _INDEX, 0)
        with network_fault("building the teacher"):
            network = space.network(architecture, batches.dataset.task)
        network.to(means.dtype)
        key = int(architecture.key[:16], 16)
        self._run = _Unstopped(network, recipe, fold, seed, _INDEX, key, 0, Allowance(None))

    def epoch(self, number: int) -> dict[str, float]:
        """One epoch; the metrics of the best one so far."""
        run = self._run
        run.until_epoch = number
        train([run], self._batches, self._means)
        if run.fault is not None:
            raise run.fault
        run.measure(self._batches.dataset.y[run.fold.val])
        return {name: v for name, v in run.state.metrics.items() if name != "train_seconds"}

    def distribution(self) -> dict[str, list[float]]:
        """Nothing is learned of the decisions."""
        return {}

    def _logits(self) -> Tensor:
        """[U, C] of the best epoch, for every unit."""
        network = copy.deepcopy(self._run.network)
        network.load_state_dict(self._run.state.best)
        network.float().eval()
        units = torch.arange(self._batches.dataset.y.numel())
        with torch.no_grad(), network_fault("running the teacher"):
            batches = self._batches.split(units, _GRAPHS_AT_A_TIME)
            return torch.cat([metrics.predict(network, batch) for batch in batches])

    def state_dict(self) -> dict[str, Tensor]:
        state = self._run.state
        numbers = [float(getattr(state, name)) for name in _NUMBERS]
        groups = {
            "current": self._run.network.state_dict(),
            "best": state.best,
            "optimizer": state.optimizer,
        }
        kept = {
            f"{group}/{n}": tensor for group, own in groups.items() for n, tensor in own.items()
        }
        return kept | {
            "numbers": torch.tensor(numbers, dtype=torch.float64),
            "val_logits": state.best_logits,
            "logits": self._logits(),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        run, own = self._run, self._run.state
        run.network.load_state_dict(under("current", state))
        own.best = {n: tensor.clone() for n, tensor in under("best", state).items()}
        own.optimizer = {n: tensor.clone() for n, tensor in under("optimizer", state).items()}
        own.best_logits = state["val_logits"].clone()
        epoch, best_epoch, own.best_value, own.best_train_loss = state["numbers"].tolist()
        own.epoch, own.best_epoch = int(epoch), int(best_epoch)
