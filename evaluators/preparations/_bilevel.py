"""Trains a relaxed network: weights on the training units, decisions on the validation units.

The two take turns, step by step. Of each decision one number is learned for each choice; a softmax
of them tells how much it counts. An epoch is `steps` steps of a node task, and of a graph task a
pass over its training graphs. The learning rate of the weights falls by a cosine to a twentieth.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluators import metrics
from evaluators._batches import Batch, Batches
from evaluators._dropout import dropped
from evaluators._faults import network_fault
from evaluators.preparations._states import grouped, moments, remember, under
from evaluators.preparations._unrolled import Loss, Tensors, adam_step, gradients, second_order
from search_spaces import SearchSpace
from search_spaces.relaxation import Align, Mixture, Relaxed, full, learned

Order: TypeAlias = Literal["first", "second"]
# How much each choice of a decision counts in an epoch, of what is learned.
Weigh: TypeAlias = Callable[[Tensors, int], Mixture]
# What is added to the validation loss, of what is learned.
Cost: TypeAlias = Callable[[Tensors], Tensor]

_FLOOR = 0.05
# The standard deviation of what is learned, as it begins: choices count nearly alike.
_INITIAL = 1e-3
_BETAS, _DECAY = (0.5, 0.999), 1e-3
_GRAPHS_AT_A_TIME = 512
# What is learned of edges besides has the decision's name behind this.
_EDGES = "edges"


@dataclass(frozen=True)
class Recipe:
    """How a relaxed network is trained; `darts` says what the options of these names are."""

    epochs: int
    steps: int
    warm_up_epochs: int
    order: Order
    lr: float
    weight_decay: float
    dropout: float
    architecture_lr: float
    batch_size: int


def beginning(space: SearchSpace, edges: frozenset[str] = frozenset()) -> dict[str, Tensor]:
    """What is learned as it begins, by torch's random numbers, of several choices each."""
    names = [(d.name, d.name) for d in learned(space)]
    names += [(f"{_EDGES}/{d.name}", d.name) for d in learned(space) if d.name in edges]
    sizes = {name: len(space.by_name[of].choices) for name, of in names}
    return {name: _INITIAL * torch.randn(size) for name, size in sizes.items()}


def counting(logits: Tensors) -> dict[str, Tensor]:
    """{decision: [choices] how much each counts}.

    PC-DARTS multiplies the softmax of an edge with that of weights that edges have besides; of the
    choices of one decision, normalized, that is the softmax of the sum.
    """
    besides = under(_EDGES, logits)
    return {
        name: (row + besides[name] if name in besides else row).softmax(0)
        for name, row in logits.items()
        if not name.startswith(f"{_EDGES}/")
    }


def all_choices(logits: Tensors, _epoch: int) -> Mixture:
    """Every choice counts."""
    return full(counting(logits))


class Bilevel:
    """A relaxed network in training.

    Args:
        relaxed: the network.
        batches: of the dataset.
        seed: of the study.
        recipe: how.
        logits: what is learned, as it begins.
        weigh, cost: see the types.
        measure: what is measured on the validation units; as `weigh` where it is not given.
        align: how outputs of several widths are added.

    Attributes:
        weights: of the network.
        logits: {decision: [choices]}; {edges/decision: [choices]} besides, where there are any.
    """

    def __init__(
        self,
        relaxed: Relaxed,
        batches: Batches,
        seed: int,
        recipe: Recipe,
        logits: Tensors,
        *,
        weigh: Weigh = all_choices,
        cost: Cost | None = None,
        measure: Weigh | None = None,
        align: Align = "pad",
    ) -> None:
        self.relaxed, self._batches, self._seed, self._recipe = relaxed, batches, seed, recipe
        self._weigh, self._cost, self._align = weigh, cost, align
        self._measure = weigh if measure is None else measure
        dataset = batches.dataset
        known = dataset.y >= 0
        self._train = (dataset.train & known).nonzero()[:, 0]
        self._val = (dataset.val & known).nonzero()[:, 0]
        self._hold(relaxed.initial(), logits)

    def _hold(self, weights: Tensors, logits: Tensors) -> None:
        recipe = self._recipe
        self.weights = {name: tensor.requires_grad_() for name, tensor in weights.items()}
        self.logits = {name: tensor.requires_grad_() for name, tensor in logits.items()}
        self._of_weights = torch.optim.Adam(
            list(self.weights.values()), recipe.lr, weight_decay=recipe.weight_decay
        )
        # A space of one architecture has nothing to learn, and an optimizer wants something.
        learned = list(self.logits.values()) or [torch.zeros(0)]
        lr = recipe.architecture_lr
        self._of_logits = torch.optim.Adam(learned, lr, _BETAS, weight_decay=_DECAY)

    def epoch(self, number: int) -> dict[str, float]:
        """Train epoch `number`, from 1; the losses, and the metric of the validation units."""
        losses, steps = list[float](), list(self._batches_of_epoch())
        for step, (train, val) in enumerate(steps):
            done = (number - 1 + step / len(steps)) / self._recipe.epochs
            self._of_weights.param_groups[0]["lr"] = self._recipe.lr * _cosine(done)
            if number > self._recipe.warm_up_epochs and self.logits:
                self.learn(train, val, number, step)
            losses.append(self.train(train, number, step))
        return {"train_loss": math.fsum(losses) / len(losses), **self._validated(number)}

    def learn(self, train: Batch, val: Batch, number: int, step: int) -> None:
        """A step of what is learned of the decisions; the weights stay as they are."""
        found = self.gradient(train, val, number, step)
        for name, tensor in self.logits.items():
            tensor.grad = found[name] if self.is_learned(name, number) else None
        self._of_logits.step()

    def is_learned(self, name: str, number: int) -> bool:  # noqa: ARG002 - of most, all are
        """Whether a decision may move in epoch `number`, after the warm-up."""
        return True

    def train(self, train: Batch, number: int, step: int) -> float:
        """A step of the weights; what is learned of the decisions stays as it is. Their loss."""
        loss = self._train_loss(train, number, step)(self.weights, _held(self.logits))
        for name, gradient in self.of_weights(loss).items():
            self.weights[name].grad = gradient
        if math.isfinite(loss.item()):
            self._of_weights.step()
        return loss.item()

    def of_weights(self, loss: Tensor) -> Mapping[str, Tensor | None]:
        """Its gradients; None leaves a weight as it is."""
        return gradients(loss, self.weights)

    def gradient(self, train: Batch, val: Batch, number: int, step: int) -> dict[str, Tensor]:
        """Of the validation loss, in what is learned, by the order of the recipe."""
        val_loss = self._val_loss(val, number, step)
        if self._recipe.order == "first":
            return gradients(val_loss(_held(self.weights), self.logits), self.logits)
        train_loss = self._train_loss(train, number, step)
        of_weights = gradients(train_loss(self.weights, _held(self.logits)), self.weights)
        moved = adam_step(self._of_weights, self.weights, of_weights)
        return second_order(val_loss, train_loss, self.weights, self.logits, moved)[1]

    def _val_loss(self, batch: Batch, number: int, step: int) -> Loss:
        def loss(weights: Tensors, logits: Tensors) -> Tensor:
            found = self._loss(weights, logits, batch, (number, step, 1), 0.0)
            return found if self._cost is None else found + self._cost(logits)

        return loss

    def _train_loss(self, batch: Batch, number: int, step: int) -> Loss:
        def loss(weights: Tensors, logits: Tensors) -> Tensor:
            return self._loss(weights, logits, batch, (number, step, 0), self._recipe.dropout)

        return loss

    def _loss(
        self, weights: Tensors, logits: Tensors, batch: Batch, seed: tuple[int, ...], p: float
    ) -> Tensor:
        return self.misfit(self.output(weights, logits, batch, seed, p, self._weigh), batch)

    def features(self, x: Tensor, logits: Tensors) -> Tensor:  # noqa: ARG002 - of most, as they are
        """What a network reads, where `logits` are what is learned of the decisions."""
        return x

    def misfit(self, output: Tensor, batch: Batch) -> Tensor:
        """[] the loss of the outputs of a batch."""
        return F.cross_entropy(output, batch.y, self._batches.dataset.class_weights)

    def output(
        self,
        weights: Tensors,
        logits: Tensors,
        batch: Batch,
        seed: tuple[int, ...],
        p: float,
        weigh: Weigh,
    ) -> Tensor:
        """Of a batch; equal seeds weigh and drop the same."""
        torch.manual_seed(hash((self._seed, *seed)) % 2**63)
        mixture, constant = weigh(logits, seed[0]), self._batches.sparse_features
        dtype = next(iter(weights.values())).dtype
        x, *others = (x.to(dtype) if x.is_floating_point() else x for x in batch.inputs)
        inputs = (self.features(x, logits), *others)
        with network_fault("training the relaxed network"):
            found = self.relaxed.logits(
                weights, mixture, inputs, lambda x: dropped(x, p, constant), self._align
            )
        return batch.select(found)

    def _batches_of_epoch(self) -> Iterator[tuple[Batch, Batch]]:
        """Training and validation units for each step."""
        cut, recipe = self._batches, self._recipe
        if not cut.by_graph:
            pair = cut.of(self._train), cut.of(self._val)
            yield from [pair] * recipe.steps
            return
        train, val = (units[torch.randperm(units.numel())] for units in (self._train, self._val))
        pieces = min(-(-train.numel() // recipe.batch_size), val.numel())
        yield from zip(
            map(cut.of, train.tensor_split(pieces)),
            map(cut.of, val.tensor_split(pieces)),
            strict=True,
        )

    def _validated(self, number: int) -> dict[str, float]:
        """Of all validation units, nothing dropped."""
        held = _held(self.weights), _held(self.logits)
        with torch.no_grad():
            output = torch.cat(
                [
                    self.output(*held, batch, (number, 0, 2), 0.0, self._measure)
                    for batch in self._batches.split(self._val, _GRAPHS_AT_A_TIME)
                ]
            )
        y, name = self._batches.dataset.y[self._val], self._batches.dataset.metric
        loss = float(F.cross_entropy(output, y))
        return {"val_loss": loss, f"val_{name}": metrics.selecting(name, output, y)}

    def distribution(self) -> dict[str, list[float]]:
        """Of every decision of the space."""
        shares = counting(_held(self.logits))
        return {
            decision.name: shares[decision.name].tolist() if decision.name in shares else [1.0]
            for decision in self.relaxed.space.decisions
        }

    def state_dict(self) -> dict[str, Tensor]:
        return {
            **grouped("weights", self.weights),
            **grouped("logits", self.logits),
            **moments("of_weights", self.weights, self._of_weights),
            **moments("of_logits", self.logits, self._of_logits),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        weights, logits = under("weights", state), under("logits", state)
        # In the order that they had: what is drawn or summed of them depends on it.
        self._hold(
            {name: weights[name].clone() for name in self.weights},
            {name: logits[name].clone() for name in self.logits},
        )
        remember("of_weights", self.weights, self._of_weights, state)
        remember("of_logits", self.logits, self._of_logits, state)


def _held(tensors: Tensors) -> dict[str, Tensor]:
    """No gradient goes to them."""
    return {name: tensor.detach() for name, tensor in tensors.items()}


def _cosine(done: float) -> float:
    return _FLOOR + (1 - _FLOOR) * (1 + math.cos(math.pi * done)) / 2
