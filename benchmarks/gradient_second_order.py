"""The second-order gradient of decisions, against automatic differentiation through the step.

The reference writes Adam's step of the weights as an expression of the decisions, and has the
validation loss after it differentiated. Adam's denominators are held in it, as the product holds
them; beside it stands the same with denominators that move, of which nothing is asked.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from evaluators._batches import Batch, Batches
from evaluators.preparations import darts
from evaluators.preparations._bilevel import Bilevel, Order
from evaluators.preparations._states import under
from evaluators.preparations._unrolled import Tensors
from nas.contracts.graphs import node_graph
from search_spaces import SearchSpace, Task, gnn
from search_spaces.relaxation import full, relax

# What the optimizer of the weights remembers, and how it goes on.
BEFORE, LR, DECAY, BETAS, EPS = 5, 0.01, 5e-4, (0.9, 0.999), 1e-8


def space_of(task: Task, activation: str) -> SearchSpace:
    """Small, with decisions on operators, depth and what connects layers."""
    return gnn.build(
        task,
        depth=(1, 2),
        operators=("gcn", "sage", "linear"),
        aggregation=("mean",),
        width=(8,),
        activation=(activation,),  # type: ignore[arg-type]
        normalization=("none",),
        connectivity=("plain", "residual"),
        pre_layers=(0,),
        post_layers=(0,),
        output=("linear",),
    )


class Problem:
    """A relaxed network on a planted graph, some steps after it was made.

    Args:
        activation: of all layers.
        seed: of weights and of decisions.
        dtype: of all numbers.
    """

    def __init__(self, activation: str, seed: int, dtype: torch.dtype = torch.float64) -> None:
        self._dataset = node_graph(seed=seed)
        self._space, self._seed = space_of(self._dataset.task, activation), seed
        self._batches = Batches(self._dataset)
        self._train, self._val = (
            self._batches.of(mask.nonzero()[:, 0])
            for mask in (self._dataset.train, self._dataset.val)
        )
        begun = self._made("first")
        for step in range(BEFORE):
            begun.train(self._train, 1, step)
        self._state = {
            name: (torch.randn(tensor.shape) if name.startswith("logits/") else tensor).to(dtype)
            for name, tensor in begun.state_dict().items()
        }

    def _made(self, order: Order) -> Bilevel:
        torch.manual_seed(self._seed)
        return darts.prepare(
            self._space,
            self._batches,
            self._seed,
            order=order,
            lr=LR,
            weight_decay=DECAY,
            dropout=0.0,
        )

    def _gradient(self, order: Order) -> Tensor:
        """As the product has it."""
        made = self._made(order)
        made.load_state_dict(self._state)
        return _flat(made.gradient(self._train, self._val, 1, 0))

    def second(self) -> Tensor:
        """With what a step of the weights makes of it."""
        return self._gradient("second")

    def first(self) -> Tensor:
        """Of the weights before the step."""
        return self._gradient("first")

    def moving(self) -> Tensor:
        """Through the step as it is, with denominators that depend on the decisions too."""
        return self.reference(held=False)

    def reference(self, *, held: bool = True) -> Tensor:
        """Through the step, with Adam's denominators held or moving."""
        weights, decisions = (
            {
                name: tensor.clone().requires_grad_()
                for name, tensor in under(group, self._state).items()
            }
            for group in ("weights", "logits")
        )
        loss = self._loss(weights, decisions, self._train)
        raw = torch.autograd.grad(
            loss, list(weights.values()), create_graph=True, allow_unused=True
        )
        moved = dict(weights)
        for name, gradient in zip(weights, raw, strict=True):
            if gradient is not None:
                moved[name] = self._moved(name, weights[name], gradient, held=held)
        after = self._loss(moved, decisions, self._val)
        found = torch.autograd.grad(after, list(decisions.values()))
        return _flat(dict(zip(decisions, found, strict=True)))

    def _loss(self, weights: Tensors, decisions: Tensors, batch: Batch) -> Tensor:
        mixture = full({name: row.softmax(0) for name, row in decisions.items()})
        x, edges = batch.inputs
        dtype = next(iter(weights.values())).dtype
        relaxed = relax(self._space, self._dataset.task)
        logits = relaxed.logits(weights, mixture, (x.to(dtype), edges))
        return F.cross_entropy(batch.select(logits), batch.y)

    def _moved(self, name: str, weight: Tensor, raw: Tensor, *, held: bool) -> Tensor:
        """One weight after Adam's step, with weight decay in its gradient."""
        known = [self._state[f"of_weights/{key}/{name}"] for key in ("exp_avg", "exp_avg_sq")]
        gradient = raw + DECAY * weight
        mean, square = (
            beta * old + (1 - beta) * new
            for beta, old, new in zip(BETAS, known, (gradient, gradient**2), strict=True)
        )
        first, second = (1 - beta ** (BEFORE + 1) for beta in BETAS)
        below = (square / second).sqrt() + EPS
        below = below.detach() if held else below
        return weight - LR * mean / first / below


def _flat(found: Tensors) -> Tensor:
    return torch.cat([found[name].detach().double().flatten() for name in sorted(found)])


def largest_error(problems: Sequence[Problem], of: Callable[[Problem], Tensor]) -> float:
    """Of a gradient, from the reference with held denominators, relative."""
    errors = []
    for problem in problems:
        expected = problem.reference()
        errors.append(float((of(problem) - expected).norm() / expected.norm()))
    # NumPy's largest of numbers of which one is none is none.
    return float(np.max(errors))
