"""The usual loop: PyTorch Geometric's own layers on edges, one run at a time.

For graph tasks, whose batches change, and for networks that the engine cannot read.
"""

import math
import time
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluators import metrics
from evaluators._batches import Batch, Batches
from evaluators._dropout import set_dropout
from evaluators._faults import CandidateError, network_fault
from evaluators._memory import available_bytes, explained
from evaluators._recipe import make_optimizer, seed_torch
from evaluators._runs import Run
from evaluators.checkpoint import Weights
from search_spaces import ChangesInTraining
from search_spaces.extension import HoldsWeights


def train(run: Run, batches: Batches) -> None:
    """Train a run until it is done or to be stopped; its `fault` says why where it failed."""
    loop, free = _Loop(run, batches), available_bytes()
    try:
        while run.goes_on:
            loop.epoch()
    except CandidateError as error:
        run.fault = CandidateError(explained(error.failure, free), run.state.epoch)
    run.state.optimizer = loop.optimizer_state()


class _Loop:
    def __init__(self, run: Run, batches: Batches) -> None:
        self.run, self.batches, self.network = run, batches, run.network
        recipe, fold = run.recipe, run.fold
        set_dropout(run.network, float(recipe.dropout), batches.sparse_features)
        trained = any(p.requires_grad for p in run.network.parameters())
        self.optimizer = make_optimizer(run.network, recipe) if trained else None
        self._thaw(run.state.optimizer)
        self.val = batches.split(fold.val, recipe.batch_size)
        self.val_y = batches.dataset.y[fold.val]
        whole = not batches.by_graph or fold.train.numel() <= recipe.batch_size
        self.whole = batches.of(fold.train) if whole else None
        self.holds = run.network if isinstance(run.network, HoldsWeights) else None
        self.changing = [m for m in run.network.modules() if isinstance(m, ChangesInTraining)]
        self.started = time.perf_counter()

    def epoch(self) -> None:
        seed_torch(self.run.seed, self.run.index, self.run.state.epoch + 1)
        self._change()
        train_loss = self._train()
        logits = self._validate()
        if self.run.fault is None:
            value = metrics.selecting(self.batches.dataset.metric, logits, self.val_y)
            if self.run.complete_epoch(value, train_loss):
                self.run.state.best_logits = logits
                self.run.state.keep(self.network.state_dict())
        self._charge()

    def _charge(self) -> None:
        now = time.perf_counter()
        self.run.charge(now - self.started)
        self.started = now
        if not self.run.is_done:
            self.run.check_time()

    def _change(self) -> None:
        """Have the modules that change begin the epoch."""
        self.network.train()
        with network_fault("beginning an epoch"):
            for module in self.changing:
                module.begin_epoch(self.run.state.epoch + 1, self._first_loss)
            self._hold()

    def _first_loss(self) -> Tensor:
        return self._loss(next(iter(self._training_batches())))

    def _loss(self, batch: Batch) -> Tensor:
        weight, lesson = self.batches.dataset.class_weights, self.run.lesson
        if lesson is None:
            return F.cross_entropy(metrics.predict(self.network, batch), batch.y, weight)
        seen = self.batches.of(self.run.seen) if lesson.everywhere else batch
        logits = metrics.predict(self.network, seen)
        own = logits[batch.units] if lesson.everywhere else logits
        of_labels = F.cross_entropy(own, batch.y, weight)
        targets = lesson.targets(seen.units, logits.dtype, logits.device)
        return lesson.losses(of_labels, logits, targets)

    def _train(self) -> float:
        """One pass over the training units; returns the mean loss."""
        self.network.train()
        total = 0.0
        for batch in self._training_batches():
            if self.run.fault is None:
                total += self._step(batch) * batch.y.numel()
                self._charge()
        return total / self.run.fold.train.numel()

    def _training_batches(self) -> Iterable[Batch]:
        if self.whole is not None:
            return [self.whole]
        train = self.run.fold.train
        shuffled = train[torch.randperm(train.numel())]
        pieces = -(-shuffled.numel() // self.run.recipe.batch_size)
        return map(self.batches.of, shuffled.tensor_split(pieces))

    def _step(self, batch: Batch) -> float:
        with network_fault("training the network"):
            loss = self._loss(batch)
            value = loss.item()
            if not math.isfinite(value):
                self.run.diverged(value, "training")
                return value
            if self.optimizer is None or not loss.requires_grad:
                return value
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._hold()
        return value

    def _hold(self) -> None:
        if self.holds is not None and self.optimizer is not None:
            self.holds.hold(self.optimizer)

    def _validate(self) -> Tensor:
        """The logits of the validation units, in evaluation mode."""
        self.network.eval()
        with torch.no_grad():
            with network_fault("validating the network"):
                logits = torch.cat([metrics.predict(self.network, batch) for batch in self.val])
            # Finite logits may still be so far apart that their loss is infinite.
            loss = float(F.cross_entropy(logits, self.val_y))
        if self.run.fault is None and not math.isfinite(loss):
            self.run.diverged(loss, "validation")
        return logits

    def optimizer_state(self) -> Weights:
        if self.optimizer is None:
            return {}
        return {
            f"{name}/{key}": tensor
            for name, parameter in self.network.named_parameters()
            for key, tensor in self.optimizer.state.get(parameter, {}).items()
            if isinstance(tensor, Tensor)
        }

    def _thaw(self, frozen: Weights) -> None:
        by_name = dict(self.network.named_parameters())
        for full_name, tensor in frozen.items():
            name, _, key = full_name.rpartition("/")
            if self.optimizer is not None:
                self.optimizer.state[by_name[name]][key] = tensor.clone()
