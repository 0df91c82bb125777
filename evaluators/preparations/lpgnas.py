"""Trains a relaxed network and learns its architecture and its bits together, by gradient.

Yiren Zhao, Duo Wang, Daniel Bates, Robert Mullins, Mateja Jamnik, Pietro Lio: Learned Low Precision
Graph Neural Networks (2020). No code of theirs is published; what follows is our reading.

Weights learn the training units, decisions the validation units, in turns (see `_bilevel`). Each
step computes single networks, drawn by the softmax of the decisions. A step of the weights computes
one, and moves what it has. A step of the decisions computes four. Those about formats learn by the
Gumbel-softmax (Eric Jang, Shixiang Gu, Ben Poole: Categorical Reparameterization with
Gumbel-Softmax, 2017) of the first: what is drawn counts 1 in the forward pass, and passes the
gradient by its probability (straight-through); of the formats of weights, which are small, all do.
The temperature falls by a cosine from 5 to 0.1. Those about the architecture learn by scores: how
the loss of each network is beside those of the others (Ronald J. Williams: Simple statistical
gradient-following algorithms for connectionist reinforcement learning, 1992). The paper has the
Gumbel-softmax for both. Straight-through, one operator or width that is drawn alone is told whether
more of its output is wanted, and not whether another would do better: on Cora that led to the
narrowest layer, at no price, where the widest fits best.

First only weights learn; after `warm_up_epochs` also decisions about the architecture; after
`bits_warm_up_epochs` also those about bits. On the validation units decisions pay

    loss + cost_weight E[cost] / E_even[cost] + entropy_weight t H

with the cost that is expected of the distribution, beside that of the even one, so that the weight
means the same in every space; and with the mean H of the decisions' entropies, each from 0 to 1, by
how much t of the epochs is over. Bytes are counted exactly (see `_sizing`); what else networks cost
is learned from `examples` (see `_pricing`).

Limits: spaces `gnn` that can be relaxed: no `skip`, no recipe decisions, no extension but
`quantization` without learned scales and protection. Ranges of activations are those of the batch.
Decisions are independent of each other.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, TypeAlias

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from evaluators._batches import Batch, Batches
from evaluators.preparations._bilevel import Bilevel, Recipe, beginning
from evaluators.preparations._drawing import drawn, entropy, largest, temperature
from evaluators.preparations._expecting import CostOf, Expected, by_scores, cost_of, score
from evaluators.preparations._relaxed import check_relaxable
from evaluators.preparations._sizing import is_of_bits
from evaluators.preparations._unrolled import Tensors, gradients, reached
from search_spaces import Architecture, PluginError, SearchSpace, Task
from search_spaces.relaxation import Mixture, learned, one_hot, relax

Cost: TypeAlias = Literal["model_bytes", "bit_operations", "buffer_bytes", "latency_ms"]
_EPOCHS = 60
_OF_WEIGHTS = "weight_bits"
# Networks that are drawn in a step of the decisions.
_NETWORKS = 4


def prepare(
    space: SearchSpace,
    batches: Batches,
    seed: int,
    *,
    epochs: Annotated[int, Ge(1)] = _EPOCHS,
    steps: Annotated[int, Ge(1)] = 8,
    warm_up_epochs: Annotated[int, Ge(0)] | None = None,
    bits_warm_up_epochs: Annotated[int, Ge(0)] | None = None,
    cost: Cost = "model_bytes",
    examples: Sequence[Sequence[int]] = (),
    costs: Sequence[Annotated[float, Gt(0)]] = (),
    cost_weight: Annotated[float, Ge(0)] = 0.1,
    entropy_weight: Annotated[float, Ge(0)] = 0.1,
    lr: Annotated[float, Gt(0)] = 0.03,
    weight_decay: Annotated[float, Ge(0)] = 5e-4,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.5,
    architecture_lr: Annotated[float, Ge(0)] = 0.1,
    batch_size: Annotated[int, Ge(1)] = 128,
) -> "Lpgnas":
    """Make it.

    Args:
        space: that can be relaxed.
        batches: of the dataset.
        seed: of the study.
        epochs: over which the learning rate and the temperature fall.
        steps: of an epoch of a node task; of a graph task an epoch is a pass over the graphs.
        warm_up_epochs: first so many, in which decisions stay as they are; half by default.
        bits_warm_up_epochs: first so many, in which those about bits do; by default an eighth
            of all more.
        cost: what is paid for.
        examples: architectures, encoded by the space; for bytes none are needed.
        costs: what they cost.
        cost_weight: of the expected cost, beside the validation loss.
        entropy_weight: of the entropy of the decisions, at the end.
        lr, weight_decay, dropout: of the weights, by Adam.
        architecture_lr: of the decisions, by Adam; 0 learns nothing.
        batch_size: graphs a step.

    Raises:
        SpaceError, PluginError: as of `check`.
    """
    task = batches.dataset.task
    given = {
        "epochs": epochs,
        "warm_up_epochs": warm_up_epochs,
        "bits_warm_up_epochs": bits_warm_up_epochs,
        "cost": cost,
        "examples": examples,
        "costs": costs,
    }
    check(space, task, given)
    warm_up, of_bits = _warm_ups(given)
    recipe = Recipe(
        epochs, steps, warm_up, "first", lr, weight_decay, dropout, architecture_lr, batch_size
    )
    expected = Expected(space, _cost_of(space, task, given))
    return Lpgnas(space, batches, seed, recipe, of_bits, expected, cost_weight, entropy_weight)


def check(space: SearchSpace, task: Task, options: Mapping[str, Any]) -> None:
    """Refuse what there is no relaxed network of, before a study is stored.

    Raises:
        SpaceError: the space cannot be relaxed, or its modules are not known; the message names the
            decision.
        PluginError: a warm-up that takes all epochs; a cost without examples.
    """
    (warm_up, of_bits), epochs = _warm_ups(options), options.get("epochs", _EPOCHS)
    check_relaxable(space, task, {"epochs": epochs, "warm_up_epochs": warm_up})
    if has_bits(space) and not warm_up <= of_bits < epochs:
        raise PluginError(
            f"bits_warm_up_epochs: expected fewer than the {epochs} epochs, and no fewer than the "
            f"{warm_up} of warm_up_epochs, got {of_bits}"
        )
    _cost_of(space, task, options)


def has_bits(space: SearchSpace) -> bool:
    """Whether there is something to learn of bits."""
    return any(is_of_bits(d.name) for d in learned(space))


def _warm_ups(options: Mapping[str, Any]) -> tuple[int, int]:
    """Of the architecture, and of bits."""
    epochs = options.get("epochs", _EPOCHS)
    warm_up, of_bits = options.get("warm_up_epochs"), options.get("bits_warm_up_epochs")
    warm_up = epochs // 2 if warm_up is None else warm_up
    return warm_up, min(warm_up + epochs // 8, epochs - 1) if of_bits is None else of_bits


def _cost_of(space: SearchSpace, task: Task, options: Mapping[str, Any]) -> CostOf:
    given = (options.get(name, ()) for name in ("examples", "costs"))
    return cost_of(space, task, options.get("cost", "model_bytes"), *given)


class Lpgnas(Bilevel):
    """A relaxed network of which one network is drawn at a time."""

    def __init__(
        self,
        space: SearchSpace,
        batches: Batches,
        seed: int,
        recipe: Recipe,
        bits_warm_up_epochs: int,
        expected: Expected,
        cost_weight: float,
        entropy_weight: float,
    ) -> None:
        self._space, self._expected, self._cost_weight = space, expected, cost_weight
        self._bits_warm_up, self._epochs = bits_warm_up_epochs, recipe.epochs
        self._entropy_weight, self._done = entropy_weight, 0.0
        super().__init__(
            relax(space, batches.dataset.task),
            batches,
            seed,
            recipe,
            beginning(space),
            weigh=self._drawn,
            measure=self._most_probable,
        )

    def epoch(self, number: int) -> dict[str, float]:
        """The losses; what the distribution costs, and how undecided it is.

        `expected_cost`, `most_probable_cost`, `entropy`, and for bits alone `bits_entropy`.
        """
        self._done = number / self._epochs
        found = super().epoch(number)
        held = {name: row.detach() for name, row in self.logits.items()}
        of_bits = {name: row for name, row in held.items() if is_of_bits(name)}
        return found | {
            "expected_cost": float(self._expected.value(held)),
            "most_probable_cost": self._expected.of(self._likely(held)),
            "entropy": float(entropy(held)),
            "bits_entropy": float(entropy(of_bits)),
        }

    def is_learned(self, name: str, number: int) -> bool:
        return not is_of_bits(name) or number > self._bits_warm_up

    def of_weights(self, loss: Tensor) -> Mapping[str, Tensor | None]:
        # What was not drawn stays as it is: its decay alone would move it as far as a gradient.
        return reached(loss, self.weights)

    def features(self, x: Tensor, logits: Tensors) -> Tensor:
        # Sparse ones have no gradient by formats.
        learns = torch.is_grad_enabled() and any(row.requires_grad for row in logits.values())
        return x if learns or self._sparse is None else self._sparse.to(x.dtype)

    @cached_property
    def _sparse(self) -> Tensor | None:
        """The features of a node task as a sparse matrix, where they are mostly 0."""
        known = self._batches.sparse_features
        return None if known is None else known.dense.to_sparse_csr()

    def gradient(self, train: Batch, val: Batch, number: int, step: int) -> dict[str, Tensor]:  # noqa: ARG002 - of the first order
        weights = {name: tensor.detach() for name, tensor in self.weights.items()}
        losses, scores = list[Tensor](), list[Tensor]()
        for draw in range(_NETWORKS):
            with torch.set_grad_enabled(draw == 0):
                loss, chosen = self._tried(weights, val, (number, step, 3 + draw))
            losses.append(loss)
            scores.append(score(self.logits, chosen))
        found = by_scores(torch.stack(losses).detach(), torch.stack(scores))
        return gradients(losses[0] + found + self._paid(self.logits), self.logits)

    def _tried(
        self, weights: Tensors, val: Batch, seed: tuple[int, ...]
    ) -> tuple[Tensor, dict[str, int]]:
        """The validation loss of a network that is drawn, and its choices but for bits."""
        made = dict[str, Mapping[int, Tensor]]()

        def weigh(logits: Tensors, epoch: int) -> Mixture:
            made.update(self._drawn(logits, epoch))
            return made

        loss = self.misfit(self.output(weights, self.logits, val, seed, 0.0, weigh), val)
        chosen = {
            name: largest(shares)
            for name, shares in made.items()
            if name in self.logits and not is_of_bits(name)
        }
        return loss, chosen

    def _paid(self, logits: Mapping[str, Tensor]) -> Tensor:
        cost = self._cost_weight * self._expected.value(logits) / self._expected.even
        return cost + self._entropy_weight * self._done * entropy(logits)

    def _drawn(self, logits: Mapping[str, Tensor], epoch: int) -> Mixture:
        """One architecture, and how its formats pass the gradient."""
        heat = temperature(epoch, self._epochs)
        shares = {
            name: drawn(
                row if is_of_bits(name) else row.detach(), heat, whole=name.endswith(_OF_WEIGHTS)
            )
            for name, row in logits.items()
        }
        chosen = {name: largest(found) for name, found in shares.items()}
        architecture = self._space.fill(lambda d: d.choices[chosen.get(d.name, 0)])
        return {
            name: shares.get(name, alone)
            for name, alone in one_hot(self._space, architecture).items()
        }

    def _most_probable(self, logits: Mapping[str, Tensor], _epoch: int) -> Mixture:
        return one_hot(self._space, self._likely(logits))

    def _likely(self, logits: Mapping[str, Tensor]) -> Architecture:
        return self._space.fill(
            lambda d: d.choices[int(logits[d.name].argmax()) if d.name in logits else 0]
        )
