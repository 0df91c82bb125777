"""A cohort: runs whose programs are alike, trained side by side.

An epoch is one step on the training loss and one pass for validation, for all runs at once. A run's
numbers do not depend on the others: not its random numbers, not its gradients, not its steps, and
on one machine not a bit of any of them (`tests/evaluators/engine/test_company.py`).
"""

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluators import metrics
from evaluators._faults import network_fault
from evaluators._runs import Run
from evaluators.checkpoint import Weights
from evaluators.engine.dropout import Draws
from evaluators.engine.graph import Graph, View
from evaluators.engine.kernels._base import Pass
from evaluators.engine.optimizers import Optimizers
from evaluators.engine.program import Compiled, Program
from evaluators.engine.stack import Stack
from evaluators.engine.values import Input, products_in_bfloat16

# Logits as far apart may have an infinite loss; of nearer ones it need not be computed.
_FAR = 1e30
# A fault in the backward pass of our own kernels is no candidate's.
_OURS = nullcontext()


@dataclass(frozen=True)
class Means:
    """What all runs of a cohort have in common besides their program; see `groups.train`."""

    share_input_dropout: bool = False
    in_bfloat16: bool = False


@dataclass(frozen=True)
class Candidate:
    """A run with the program of its network."""

    run: Run
    program: Program


class Cohort:
    """Runs in training; their networks have the weights when `close` is called, not before."""

    def __init__(self, graph: Graph, candidates: Sequence[Candidate], means: Means) -> None:
        """Args: candidates with equal signatures, one fold, lesson and kind of optimizer."""
        self.graph, self.means = graph, means
        self.runs = [candidate.run for candidate in candidates]
        program, fold = candidates[0].program, self.runs[0].fold
        self.train = graph.view(self.runs[0].seen, program, training=True)
        self.val = graph.view(fold.val, program, training=False)
        networks = [run.network for run in self.runs]
        self.stack = Stack(networks, graph.dtype, graph.device)
        self.compiled = Compiled([candidate.program for candidate in candidates], self.stack)
        self.optimizers = Optimizers(
            self.stack,
            [run.recipe for run in self.runs],
            [run.state.optimizer for run in self.runs],
        )
        self._lesson = self.runs[0].lesson
        if self._lesson is not None:
            self._labeled = fold.train.to(graph.device)
            self._targets = self._lesson.targets(self.runs[0].seen, graph.dtype, graph.device)
        # The best weights of each run, once it has some of its own: its slices of the leaves.
        self._best: dict[int, list[Tensor]] = {}

    def advance(self) -> None:
        """Epochs, until one of the runs is done, or all are to be stopped."""
        while all(run.goes_on for run in self.runs):
            started = time.perf_counter()
            self._epoch()
            share = (time.perf_counter() - started) / len(self.runs)
            for run in self.runs:
                run.charge(share)
                if not run.is_done:
                    run.check_time()

    def _epoch(self) -> None:
        losses = self._step()
        logits = self._validate()
        values = metrics.selecting_each(self.graph.dataset.metric, logits, self.val.y)
        spans = (logits.amax((1, 2)) - logits.amin((1, 2))).tolist()
        for number, run in enumerate(self.runs):
            if run.fault is not None:
                continue
            if not spans[number] < _FAR:
                loss = float(self._losses(logits[number : number + 1], self.val.y, None))
                if not math.isfinite(loss):
                    run.diverged(loss, "validation")
                    continue
            if run.complete_epoch(values[number], losses[number]):
                # A copy: a slice would keep the logits of all runs alive.
                run.state.best_logits = logits[number].to("cpu", copy=True)
                self._keep(number)

    def _step(self) -> list[float]:
        """One step of each run; the training losses, each run's mean over its units."""
        logits = self._logits(self.train, training=True)
        losses = self._training_losses(logits)
        values: list[float] = losses.detach().tolist()
        for run, value in zip(self.runs, values, strict=True):
            if not math.isfinite(value):
                run.diverged(value, "training")
        if losses.requires_grad:
            self.optimizers.zero_grad()
            with network_fault("training the network") if self.compiled.program.stock else _OURS:
                losses.sum().backward()  # type: ignore[no-untyped-call]
            sound = [number for number, run in enumerate(self.runs) if run.fault is None]
            self.optimizers.step(sound)
        return values

    def _validate(self) -> Tensor:
        """The logits of the validation units [K, U, C]."""
        with torch.no_grad():
            return self._logits(self.val, training=False)

    def _logits(self, view: View, *, training: bool) -> Tensor:
        """At the units of a view [K, U, C]."""
        features = Input(view.features, view.field.rows(self.compiled.program.hops))
        with products_in_bfloat16(self.means.in_bfloat16):
            logits = self.compiled(self._pass(view, training=training), features)
        return view.field.of_units(logits).to(self.graph.dtype)

    def _pass(self, view: View, *, training: bool) -> Pass:
        draws = None
        if training:
            draws = Draws(
                [(run.seed, run.index, run.key) for run in self.runs],
                [run.state.epoch + 1 for run in self.runs],
                [float(run.recipe.dropout) for run in self.runs],
                share_input=self.means.share_input_dropout,
                dtype=self.graph.dtype,
                device=self.graph.device,
            )
        return Pass(view.field, len(self.runs), draws)

    def _training_losses(self, logits: Tensor) -> Tensor:
        """Of the logits [K, U, C] of what the runs see [K]."""
        weights, lesson = self.graph.class_weights, self._lesson
        if lesson is None:
            return self._losses(logits, self.train.y, weights)
        own, y = logits, self.train.y
        if lesson.everywhere:
            own, y = logits[:, self._labeled], y[self._labeled]
        return lesson.losses(self._losses(own, y, weights), logits, self._targets)

    def _losses(self, logits: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        """The mean cross entropy of each run [K], weighted by class."""
        runs, units, classes = logits.shape
        each = F.cross_entropy(
            logits.reshape(runs * units, classes), y.repeat(runs), weights, reduction="none"
        ).view(runs, units)
        return each.mean(1) if weights is None else each.sum(1) / weights[y].sum()

    def _keep(self, number: int) -> None:
        """The weights of a run are its best so far."""
        leaves = self._leaves(number)
        kept = self._best.get(number)
        if kept is None:
            self._best[number] = [leaf.clone() for leaf in leaves]
            return
        for old, new in zip(kept, leaves, strict=True):
            old.copy_(new)

    def _own(self, number: int) -> list[Tensor]:
        """What the modules of a run's network keep to themselves."""
        state = self.stack.networks[number].state_dict()
        return [state[name] for name in sorted(self.stack.kept)]

    def close(self) -> None:
        """Give each run its weights, the best ones, and the state of its optimizer."""
        # All before any: a run is left as it was where something fails.
        ended = [
            (
                self._weights(number, self._leaves(number)),
                self.optimizers.freeze(number),
                self._weights(number, self._best[number]) if number in self._best else None,
            )
            for number in range(len(self.runs))
        ]
        for run, (weights, optimizer, best) in zip(self.runs, ended, strict=True):
            run.network.load_state_dict(weights)
            run.state.optimizer = optimizer
            if best is not None:
                run.state.best = best

    def _leaves(self, number: int) -> list[Tensor]:
        """A run's slices of the leaves, and what its modules keep to themselves."""
        return [leaf.detach()[number] for leaf in self.stack.leaves] + self._own(number)

    def _weights(self, number: int, leaves: Sequence[Tensor]) -> Weights:
        """As the network's state dict has them."""
        own = dict(zip(sorted(self.stack.kept), leaves[len(self.stack.leaves) :], strict=True))
        found: Weights = {}
        for name, tensor in self.stack.networks[number].state_dict().items():
            part = self.stack.parts.get(name)
            value = own.get(name, tensor) if part is None else part.read(number, leaves[part.leaf])
            found[name] = value.detach().to(device="cpu", dtype=tensor.dtype).clone()
        return found
