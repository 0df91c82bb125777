"""Trains a relaxed network and learns its widths by gradient, and by what they cost: pruning.

Xuanyi Dong, Yi Yang: Network Pruning via Transformable Architecture Search (2019). Weights learn
the training units, decisions the validation units, in turns (see `_bilevel`). In each step two of
the widths of a layer are drawn, by the Gumbel-softmax without replacement, and weighed by their
renormalized probabilities; the narrower output is interpolated along its channels to be as wide as
the other. Depth and all other decisions are mixed by all their choices. The temperature falls by a
cosine from 5 to 0.1.

What costs too much, or too little, pays: `cost_weight` times the expected distance from the band
of costs, from `target` less `tolerance` to `target` (see `_costing`). It takes the place of the
paper's plus or minus log E[cost], by whether the most probable network is above or below: where
choices are few and coarse that flips to and fro for good. What networks cost is learned from
`examples` (see `_pricing`).

Limits: spaces `gnn` that can be relaxed (no `skip`, no recipe decisions, no extension but
`quantization`). Batch normalization is by the batch of each width, with leading parts of the same
factors.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from evaluators._batches import Batches
from evaluators.preparations._bilevel import Bilevel, Recipe, beginning
from evaluators.preparations._costing import Band, Costing, check_reachable, costing
from evaluators.preparations._drawing import temperature
from evaluators.preparations._pricing import Pricing
from evaluators.preparations._relaxed import check_relaxable
from search_spaces import PluginError, SearchSpace, Task
from search_spaces.relaxation import Mixture, learned, relax

Start: TypeAlias = Literal["even", "largest", "smallest"]
_AT_ONCE = 2
# What the first or the last choice of a scale begins with beyond the others.
_LEANING = 3.0


def prepare(
    space: SearchSpace,
    batches: Batches,
    seed: int,
    *,
    epochs: Annotated[int, Ge(1)] = 100,
    steps: Annotated[int, Ge(1)] = 4,
    examples: Sequence[Sequence[int]] = (),
    costs: Sequence[Annotated[float, Gt(0)]] = (),
    target: Annotated[float, Gt(0)] | None = None,
    tolerance: Annotated[float, Gt(0), Lt(1)] = 0.05,
    cost_weight: Annotated[float, Ge(0)] = 2.0,
    start: Start = "even",
    lr: Annotated[float, Gt(0)] = 0.01,
    weight_decay: Annotated[float, Ge(0)] = 5e-4,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.5,
    architecture_lr: Annotated[float, Ge(0)] = 0.02,
    batch_size: Annotated[int, Ge(1)] = 128,
) -> "Tas":
    """Make it.

    Args:
        space: that can be relaxed.
        batches: of the dataset.
        seed: of the study.
        epochs: over which the learning rate and the temperature fall.
        steps: of an epoch of a node task; of a graph task an epoch is a pass over the graphs.
        examples: architectures, encoded by the space.
        costs: what they cost.
        target: what the network found is to cost, at most; without it costs do not count.
        tolerance: by which share of that it may cost less.
        cost_weight: of the distance from the band, beside the validation loss.
        start: whether all choices begin alike, or scales lean to their largest, or smallest.
        lr, weight_decay, dropout: of the weights, by Adam.
        architecture_lr: of the decisions, by Adam; 0 learns nothing.
        batch_size: graphs a step.

    Raises:
        SpaceError, PluginError: as of `check`.
    """
    task = batches.dataset.task
    given = {"target": target, "tolerance": tolerance, "examples": examples, "costs": costs}
    check(space, task, given)
    recipe = Recipe(
        epochs, steps, 0, "first", lr, weight_decay, dropout, architecture_lr, batch_size
    )
    pricing = _pricing(space, task, given)
    known = None
    if pricing is not None and target is not None:
        known = costing(pricing, Band.below(target, tolerance))
    logits = leaning(space, start)
    return Tas(space, batches, seed, recipe, logits, known, cost_weight, pricing)


def check(space: SearchSpace, task: Task, options: Mapping[str, Any]) -> None:
    """Refuse what there is no relaxed network of, and costs that no network has.

    Raises:
        SpaceError: the space cannot be relaxed; the message names the decision.
        PluginError: a target without examples, or one that cannot be reached.
    """
    check_relaxable(space, task, options)
    pricing, target = _pricing(space, task, options), options.get("target")
    if target is None:
        return
    if pricing is None:
        raise PluginError("target: expected examples, and what they cost, besides; got none")
    check_reachable(pricing, Band.below(target, options.get("tolerance", 0.05)))


def _pricing(space: SearchSpace, task: Task, options: Mapping[str, Any]) -> Pricing | None:
    examples, costs = options.get("examples", ()), options.get("costs", ())
    if not examples:
        return None
    return Pricing.fitted(space, task, [space.decode(row) for row in examples], costs)


def leaning(space: SearchSpace, start: Start) -> dict[str, Tensor]:
    """What is learned, as it begins, by torch's random numbers."""
    logits = beginning(space)
    for decision in learned(space):
        if decision.ordered and start != "even":
            logits[decision.name][-1 if start == "largest" else 0] += _LEANING
    return logits


def drawn(row: Tensor, heat: float) -> dict[int, Tensor]:
    """Two of the choices, or all of fewer, without replacement, and how much each counts.

    The largest of logits [choices] with Gumbel noise are a draw by their softmax; the two are
    weighed by the Gumbel-softmax at a temperature, renormalized.
    """
    noise = -torch.empty_like(row, requires_grad=False).exponential_().log()
    perturbed = row.log_softmax(0) + noise
    chosen = perturbed.detach().topk(min(_AT_ONCE, row.numel())).indices
    shares = (perturbed[chosen] / heat).softmax(0)
    return dict(zip(chosen.tolist(), shares.unbind(), strict=True))


class Tas(Bilevel):
    """A relaxed network whose widths are drawn, in training."""

    def __init__(
        self,
        space: SearchSpace,
        batches: Batches,
        seed: int,
        recipe: Recipe,
        logits: dict[str, Tensor],
        known: Costing | None,
        cost_weight: float,
        pricing: Pricing | None,
    ) -> None:
        self._known, self._cost_weight, self._pricing = known, cost_weight, pricing
        self._epochs = recipe.epochs
        relaxed = relax(space, batches.dataset.task)
        cost = self._cost_of if known is not None and cost_weight else None
        super().__init__(
            relaxed,
            batches,
            seed,
            recipe,
            logits,
            weigh=self._weighed,
            cost=cost,
            align="interpolate",
        )

    def epoch(self, number: int) -> dict[str, float]:
        """The losses, and where the distribution stands to the band of costs."""
        found = super().epoch(number)
        if self._known is None or self._pricing is None:
            return found
        held = {name: row.detach() for name, row in self.logits.items()}
        return found | self._known.measured(held) | {"price_error": self._pricing.error}

    def _cost_of(self, logits: Mapping[str, Tensor]) -> Tensor:
        if self._known is None:
            raise ValueError("without a band there is no distance from it")
        return self._cost_weight * self._known.distance(logits)

    def _weighed(self, logits: Mapping[str, Tensor], epoch: int) -> Mixture:
        """Of widths two; of other decisions all choices."""
        heat = temperature(epoch, self._epochs)
        return {
            name: drawn(row, heat)
            if name.endswith(".width")
            else dict(enumerate(row.softmax(0).unbind()))
            for name, row in logits.items()
        }
