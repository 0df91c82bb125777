"""One training run: epochs of one training pass and one validation pass, and the best of them.

The random numbers of epoch e (dropout masks, order of batches) are drawn from a generator seeded by
(job seed, run, e), the weights by (job seed, run, 0). So a shorter run is a prefix of a longer one,
and a resumed run needs no state of a generator.
"""

import math
import time
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evaluators import metrics
from evaluators._batches import Batch, Batches
from evaluators._dropout import set_dropout
from evaluators._faults import CandidateError, network_fault
from evaluators._folds import Fold
from evaluators._inherit import signatures
from evaluators.checkpoint import RunState, Weights
from evaluators.values import Failure
from search_spaces import PluginError

OptimizerName: TypeAlias = Literal["adam", "adamw", "sgd"]
_MOMENTUM = 0.9


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; the fields are options of the evaluator or `train.` decisions.

    Raises:
        PluginError: one of them is out of its range.
    """

    lr: float
    weight_decay: float
    dropout: float
    optimizer: OptimizerName
    patience: int | None
    batch_size: int

    def __post_init__(self) -> None:
        expected = {
            "lr": ("0 or more", self.lr >= 0),
            "weight_decay": ("0 or more", self.weight_decay >= 0),
            "dropout": ("from 0 to below 1", 0 <= self.dropout < 1),
            "optimizer": ("adam, adamw or sgd", self.optimizer in get_args(OptimizerName)),
            "patience": ("1 or more", self.patience is None or self.patience >= 1),
            "batch_size": ("1 or more", self.batch_size >= 1),
        }
        for name, (what, is_met) in expected.items():
            if not is_met:
                raise PluginError(
                    f"evaluator training: expected {name} {what}, got {getattr(self, name)!r}; "
                    f'correct the option, or the choices of the decision "train.{name}"'
                )


def seed_torch(seed: int, run: int, epoch: int) -> None:
    """Seed the generator of the CPU for one epoch of one run; 0 is the making of the weights."""
    word = np.random.SeedSequence([seed, run, epoch]).generate_state(1, np.uint64)[0]
    torch.default_generator.manual_seed(int(word) >> 1)


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Plain optimizers over all parameters; the learning rate is constant."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    lr, decay = float(recipe.lr), float(recipe.weight_decay)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=lr, momentum=_MOMENTUM, weight_decay=decay, fused=True
        )
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, lr=lr, weight_decay=decay, fused=True)


class Run:
    """A network in training on one fold, from one seed.

    Args:
        network: fresh, or with the weights to start from; it is changed.
        recipe: how to train it.
        batches: of the dataset.
        fold: which units it learns from.
        seed, index: of the job, and of the run within it.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        batches: Batches,
        fold: Fold,
        seed: int,
        index: int,
    ) -> None:
        self.network, self.recipe, self.batches, self.fold = network, recipe, batches, fold
        self.seed, self.index = seed, index
        # Before dropout is set, which is no part of what a network is.
        self.signatures = signatures(network)
        set_dropout(network, float(recipe.dropout), batches.sparse_features)
        self.optimizer = make_optimizer(network, recipe) if list(network.parameters()) else None
        self.val = batches.split(fold.val, recipe.batch_size)
        self.val_y = batches.dataset.y[fold.val]
        whole = not batches.by_graph or fold.train.numel() <= recipe.batch_size
        self.whole = batches.of(fold.train) if whole else None
        self.state = RunState()

    def train_to(self, until_epoch: int, deadline: float) -> None:
        """Train up to an epoch, unless patience has run out before.

        Raises:
            CandidateError: the network raised, the loss is not finite, memory or time ran out.
        """
        started = time.perf_counter()
        state = self.state
        try:
            while state.epoch < until_epoch and not self._out_of_patience():
                self._epoch(state.epoch + 1, deadline)
                state.epoch += 1
        except CandidateError as error:
            error.epoch = state.epoch
            raise
        finally:
            state.seconds += time.perf_counter() - started

    def _out_of_patience(self) -> bool:
        patience = self.recipe.patience
        return patience is not None and self.state.epoch - self.state.best_epoch >= patience

    def _epoch(self, epoch: int, deadline: float) -> None:
        seed_torch(self.seed, self.index, epoch)
        train_loss = self._train(epoch, deadline)
        logits = self._validate(epoch)
        value = metrics.selecting(self.batches.dataset.metric, logits, self.val_y)
        if value > self.state.best_value:
            self.state.keep_best(epoch, value, train_loss, logits, self.network.state_dict())

    def _train(self, epoch: int, deadline: float) -> float:
        """One pass over the training units; returns the mean loss."""
        self.network.train()
        total = 0.0
        for batch in self._training_batches():
            if time.monotonic() > deadline:
                raise CandidateError(
                    Failure("timeout", f"its time was over in epoch {epoch} of run {self.index}")
                )
            total += self._step(batch, epoch) * batch.y.numel()
        return total / self.fold.train.numel()

    def _training_batches(self) -> "list[Batch] | map[Batch]":
        if self.whole is not None:
            return [self.whole]
        shuffled = self.fold.train[torch.randperm(self.fold.train.numel())]
        pieces = -(-shuffled.numel() // self.recipe.batch_size)
        return map(self.batches.of, shuffled.tensor_split(pieces))

    def _step(self, batch: Batch, epoch: int) -> float:
        with network_fault("training the network"):
            logits = metrics.predict(self.network, batch)
            loss = F.cross_entropy(logits, batch.y, weight=self.batches.dataset.class_weights)
            value = loss.item()
            self._check_finite(value, "training", epoch)
            if self.optimizer is None or not loss.requires_grad:
                return value
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return value

    def _validate(self, epoch: int) -> Tensor:
        """The logits of the validation units, in evaluation mode."""
        self.network.eval()
        with torch.no_grad():
            with network_fault("validating the network"):
                logits = torch.cat([metrics.predict(self.network, batch) for batch in self.val])
            # Finite logits may still be so far apart that their loss is infinite.
            loss = float(F.cross_entropy(logits, self.val_y))
            self._check_finite(loss, "validation", epoch)
        return logits

    def _check_finite(self, loss: float, what: str, epoch: int) -> None:
        if not math.isfinite(loss):
            where = f"in epoch {epoch} of run {self.index}"
            raise CandidateError(
                Failure("divergence", f"the {what} loss is {loss}, not finite {where}")
            )

    def best_metrics(self) -> dict[str, float]:
        """The metrics of the best epoch."""
        state = self.state
        validation = metrics.all_metrics(state.best_logits, self.val_y)
        return {f"val_{name}": value for name, value in validation.items()} | {
            "train_loss": state.best_train_loss,
            "best_epoch": float(state.best_epoch),
            "train_seconds": state.seconds,
        }

    def freeze(self) -> RunState:
        """The state with the current weights and the optimizer's, to go on from."""
        self.state.current = {k: v.clone() for k, v in self.network.state_dict().items()}
        self.state.optimizer = self._optimizer_tensors()
        return self.state

    def _optimizer_tensors(self) -> Weights:
        if self.optimizer is None:
            return {}
        return {
            f"{name}/{key}": tensor
            for name, parameter in self.network.named_parameters()
            for key, tensor in self.optimizer.state.get(parameter, {}).items()
            if isinstance(tensor, Tensor)
        }

    def thaw(self, state: RunState) -> None:
        """Go on from a frozen state; the network has the same architecture."""
        self.state = state
        self.network.load_state_dict(state.current)
        by_name = dict(self.network.named_parameters())
        for full_name, tensor in state.optimizer.items():
            name, _, key = full_name.rpartition("/")
            if self.optimizer is not None:
                self.optimizer.state[by_name[name]][key] = tensor.clone()
