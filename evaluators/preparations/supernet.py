"""Trains one network with shared weights for all architectures of an elastic space.

A step draws several architectures, runs the slice of each on the training units, and moves the
shared weights once, by the sum of their gradients. By `rule`:

- `fair`: all are dealt alike, every choice of a decision as often as any other.
- `sandwich`: one largest, one smallest, the others dealt. The largest learns the labels; the others
  the largest's predictions of the training units, by the weight `distill`, and the labels, by the
  rest (Jiahui Yu et al.: BigNAS: Scaling Up Neural Architecture Search with Big Single-Stage
  Models, 2020).
- `shrinking`: first the largest alone; then depth opens, then width, with channels sorted by their
  importance, then all else, and the largest as it was when depth opened is distilled (Han Cai et
  al.: Once-for-All: Train One Network and Specialize it for Efficient Deployment, 2020).

`masked_epochs` more come before any label is looked at (see `_masking`). The learning rate falls by
a cosine to a twentieth of `lr`. `samples` slices are read out, of new weights and of those that are
trained: what foretells accuracy learns it from them (`evaluators.foreseeing`).

Limits: float32, on the CPU; the memory is that of the widest weights, four times.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor

from evaluators._batches import Batch, Batches
from evaluators.preparations._masking import Masking
from evaluators.preparations._measuring import Measuring
from evaluators.preparations._rules import STAGES, Drawing, Rule
from evaluators.preparations._sampling import Decks
from evaluators.preparations._states import grouped, moments, remember, under
from evaluators.slicing import Subnets
from search_spaces import Architecture, PluginError, SearchSpace, Task
from search_spaces.sorting import sort
from search_spaces.supernet import Supernet

_FLOOR = 0.05
_DISTILL = 0.5


def prepare(
    space: SearchSpace,
    batches: Batches,
    seed: int,
    *,
    epochs: Annotated[int, Ge(1)] = 100,
    masked_epochs: Annotated[int, Ge(0)] = 0,
    steps: Annotated[int, Ge(1)] = 10,
    subnets: Annotated[int, Ge(2), Le(64)] = 4,
    rule: Rule = "fair",
    distill: Annotated[float, Ge(0), Le(1)] | None = None,
    share_transforms: bool = True,
    lr: Annotated[float, Gt(0)] = 0.02,
    weight_decay: Annotated[float, Ge(0)] = 5e-4,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.5,
    batch_size: Annotated[int, Ge(1)] = 128,
    samples: Annotated[int, Ge(0)] = 400,
) -> "Training":
    """Make it.

    Args:
        space: elastic.
        batches: of the dataset.
        seed: of the study.
        epochs: over which the learning rate falls, without those before.
        masked_epochs: before them, without labels; an even number has two equal stages.
        steps: of an epoch of a node task; of a graph task an epoch is a pass over the graphs.
        subnets: architectures a step.
        rule: which of them.
        distill: how much the others learn of the largest, and not of the labels; 0.5 where the rule
            distills, which `fair` does not.
        share_transforms: whether the operators of a layer share the map of what neighbors send.
        lr, weight_decay, dropout: of Adam, and of the slices.
        batch_size: graphs a step.
        samples: slices that are read out.

    Raises:
        SpaceError, PluginError: as of `check`.
    """
    task = batches.dataset.task
    given = {"masked_epochs": masked_epochs, "share_transforms": share_transforms}
    check(space, task, {**given, "rule": rule, "distill": distill})
    supernet = Supernet(space, task, share_transforms=share_transforms)
    return Training(
        Subnets(supernet, batches, dropout),
        seed,
        _Recipe(
            epochs,
            masked_epochs,
            steps,
            subnets,
            rule,
            _DISTILL if distill is None else distill,
            lr,
            weight_decay,
            batch_size,
            samples,
        ),
    )


def check(space: SearchSpace, task: Task, options: Mapping[str, Any]) -> None:
    """Refuse what there is no supernet of, before a study is stored.

    Raises:
        SpaceError: the space is not elastic, or an operator's tensors have no slices.
        PluginError: masked epochs on a graph task; `distill` by a rule that distills nothing.
    """
    masked = options.get("masked_epochs", 0)
    if masked and task.is_graph_task:
        raise PluginError(
            f"masked_epochs: expected 0 for a graph task, since nodes are what is hidden, got "
            f"{masked}"
        )
    if options.get("rule", "fair") == "fair" and options.get("distill") is not None:
        raise PluginError(
            f"distill: the rule fair distills nothing, got {options['distill']:g}; leave it out, "
            'or set rule = "sandwich" or "shrinking"'
        )
    with torch.device("meta"):
        share_transforms = bool(options.get("share_transforms", True))
        Supernet(space, task, share_transforms=share_transforms).initial()


@dataclass(frozen=True)
class _Recipe:
    """The options of `prepare` of these names."""

    epochs: int
    masked_epochs: int
    steps: int
    subnets: int
    rule: Rule
    distill: float
    lr: float
    weight_decay: float
    batch_size: int
    samples: int


class Training:
    """A supernet in training."""

    def __init__(self, subnets: Subnets, seed: int, recipe: _Recipe) -> None:
        self._subnets, self._seed, self._recipe = subnets, seed, recipe
        dataset = subnets.batches.dataset
        known = dataset.y >= 0
        self._train = (dataset.train & known).nonzero()[:, 0]
        graphs = -(-self._train.numel() // recipe.batch_size)
        self._steps = graphs if subnets.batches.by_graph else recipe.steps
        self._measuring = Measuring(subnets)
        self._drawing = Drawing(recipe.rule, recipe.subnets, recipe.epochs)
        self._samples: Mapping[str, Tensor] = {}
        self._teacher: dict[str, Tensor] = {}
        self._new = subnets.supernet.initial() if recipe.masked_epochs else {}
        self._masking = Masking(subnets, seed, recipe.masked_epochs)
        first = self._masking.subnets if recipe.masked_epochs else subnets
        self._hold(first.supernet.initial())

    def _hold(self, weights: Mapping[str, Tensor]) -> None:
        """Train these weights from here on, with an optimizer that has not begun."""
        self.weights = {name: tensor.requires_grad_() for name, tensor in weights.items()}
        lr, decay = self._recipe.lr, self._recipe.weight_decay
        parameters = list(self.weights.values())
        self._optimizer = torch.optim.Adam(parameters, lr=lr, weight_decay=decay, fused=True)

    def epoch(self, number: int) -> dict[str, float]:
        rng = np.random.default_rng([self._seed, number])
        number -= self._recipe.masked_epochs
        if number <= 0:
            return self._masked(number + self._recipe.masked_epochs, rng)
        self._begin_stage(number)
        decks = Decks(self._subnets.supernet.space, rng)
        losses = [
            self._step(batch, self._drawing.drawn(number, decks), number, i)
            for i, batch in enumerate(self._batches(rng))
        ]
        if number == self._recipe.epochs:
            self._read_out("trained", self.weights)
        return {"train_loss": math.fsum(losses) / len(losses), **self._measuring.ends(self.weights)}

    def _masked(self, number: int, rng: np.random.Generator) -> dict[str, float]:
        """An epoch without labels; validation sees an output that is as new."""
        masking, losses = self._masking, list[float]()
        decks = Decks(self._subnets.supernet.space, rng)
        for step in range(self._recipe.steps):
            batch = masking.batch(rng)
            self._optimizer.zero_grad(set_to_none=True)
            for i, one in enumerate(masking.drawn(number, decks, self._recipe.subnets)):
                seed = (self._seed, number, step, i)
                loss = masking.loss(masking.subnets.trained(self.weights, one, batch, seed), batch)
                loss.backward()  # type: ignore[no-untyped-call]
                losses.append(loss.item())
            self._optimizer.step()
        begun = self._masking.handed_on(self.weights, self._new)
        return {"train_loss": math.fsum(losses) / len(losses), **self._measuring.ends(begun)}

    def distribution(self) -> dict[str, list[float]]:
        """Nothing is learned of the decisions."""
        return {}

    def _batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        cut = self._subnets.batches
        if not cut.by_graph:
            for _ in range(self._steps):
                yield cut.of(self._train)
            return
        shuffled = self._train[torch.from_numpy(rng.permutation(self._train.numel()))]
        for units in shuffled.tensor_split(self._steps):
            yield cut.of(units)

    def _begin_stage(self, number: int) -> None:
        if number == 1:
            if self._recipe.masked_epochs:
                self._hold(self._masking.handed_on(self.weights, self._new))
            rng = np.random.default_rng([self._seed, 0, 1])
            self._samples = {"architectures": self._measuring.drawn(self._recipe.samples, rng)}
            # Of other weights than training begins with: what both agree on is the architecture's.
            self._read_out("begun", self._subnets.supernet.initial())
        stage = self._drawing.begins(number)
        if stage == STAGES["depth"]:
            self._teacher = {name: w.detach().clone() for name, w in self.weights.items()}
        if stage == STAGES["width"]:
            self._hold(sort(self._subnets.supernet, self.weights))

    def _step(
        self, batch: Batch, architectures: list[Architecture], number: int, step: int
    ) -> float:
        """One step; the mean loss of its slices."""
        self._optimizer.param_groups[0]["lr"] = self._lr(number, step)
        self._optimizer.zero_grad(set_to_none=True)
        total, taught = 0.0, self._taught(batch, architectures)
        for i, architecture in enumerate(architectures):
            seed = (self._seed, number, step, i)
            logits = self._subnets.trained(self.weights, architecture, batch, seed)
            loss = self._loss(logits, batch.y, taught)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
            if i == 0 and self._recipe.rule == "sandwich":
                taught = logits.detach().softmax(-1)
        if math.isfinite(total):
            self._optimizer.step()
        return total / len(architectures)

    def _taught(self, batch: Batch, architectures: list[Architecture]) -> Tensor | None:
        """What slices learn from the start of a step: predictions [rows, C] of the teacher."""
        if not self._teacher:
            return None
        supernet = self._subnets.supernet
        space, of = supernet.space, architectures[0].choices
        like = space.fill(lambda d: of[d.name] if d.name in of and not d.ordered else d.choices[-1])
        with torch.no_grad():
            return self._subnets.trained(self._teacher, like, batch, None).softmax(-1)

    def _loss(self, logits: Tensor, y: Tensor, taught: Tensor | None) -> Tensor:
        weight = self._subnets.batches.dataset.class_weights
        of_labels = F.cross_entropy(logits, y, weight)
        share = self._recipe.distill
        if taught is None or not share:
            return of_labels
        return share * F.cross_entropy(logits, taught) + (1 - share) * of_labels

    def _lr(self, number: int, step: int) -> float:
        done = (number - 1 + step / self._steps) / self._recipe.epochs
        return self._recipe.lr * (_FLOOR + (1 - _FLOOR) * (1 + math.cos(math.pi * done)) / 2)

    def _read_out(self, when: str, weights: Mapping[str, Tensor]) -> None:
        """Read the samples out, with these weights."""
        values = self._measuring.of_read_outs(weights, self._samples["architectures"])
        self._samples = {**self._samples, when: values}

    def state_dict(self) -> dict[str, Tensor]:
        return {
            **grouped("weights", self.weights),
            **moments("adam", self.weights, self._optimizer),
            **grouped("teacher", self._teacher),
            **grouped("samples", self._samples),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._hold({name: tensor.clone() for name, tensor in under("weights", state).items()})
        remember("adam", self.weights, self._optimizer, state)
        self._teacher, self._samples = under("teacher", state), under("samples", state)
