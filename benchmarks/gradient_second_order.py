"""The second-order gradient of decisions, against automatic differentiation through the step.

The reference writes the step of the weights as an expression of the decisions, and has the
validation loss after it differentiated. Adam's denominators are held in it, as the product holds
them; beside it stands the same with denominators that move, of which nothing is asked.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluators.datasets import Dataset
from evaluators.preparations._unrolled import Tensors, adam_step, gradients, second_order
from nas.contracts.graphs import node_graph
from search_spaces import SearchSpace, gnn
from search_spaces.relaxation import full, learned, relax

# Steps that the optimizer of the weights remembers.
_BEFORE = 5


def space_of(dataset: Dataset, activations: Sequence[str]) -> SearchSpace:
    """Small, with decisions on operators, depth and what connects layers."""
    return gnn.build(
        dataset.task,
        depth=(1, 2),
        operators=("gcn", "sage", "linear"),
        aggregation=("mean",),
        width=(8,),
        activation=tuple(activations),
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
        dataset = node_graph(seed=seed)
        space = space_of(dataset, [activation])
        torch.manual_seed(seed)
        self._relaxed = relax(space, dataset.task)
        self._inputs = (dataset.x.to(dtype), dataset.edge_index)
        self._y, self._train, self._val = dataset.y, dataset.train, dataset.val
        self.weights = {
            name: tensor.to(dtype).requires_grad_()
            for name, tensor in self._relaxed.initial().items()
        }
        self.decisions = {
            d.name: torch.randn(len(d.choices), dtype=dtype).requires_grad_()
            for d in learned(space)
        }
        self.optimizer = torch.optim.Adam(self.weights.values(), lr=0.01, weight_decay=5e-4)
        for _ in range(_BEFORE):
            self.optimizer.zero_grad()
            loss = self.train_loss(self.weights, self.decisions)
            for name, gradient in gradients(loss, self.weights).items():
                self.weights[name].grad = gradient
            self.optimizer.step()

    def train_loss(self, weights: Tensors, decisions: Tensors) -> Tensor:
        return self._loss(weights, decisions, self._train)

    def val_loss(self, weights: Tensors, decisions: Tensors) -> Tensor:
        return self._loss(weights, decisions, self._val)

    def _loss(self, weights: Tensors, decisions: Tensors, units: Tensor) -> Tensor:
        mixture = full({name: row.softmax(0) for name, row in decisions.items()})
        logits = self._relaxed.logits(weights, mixture, self._inputs)
        return F.cross_entropy(logits[units], self._y[units])

    def second(self) -> Tensor:
        """As the product has it."""
        found = gradients(self.train_loss(self.weights, self.decisions), self.weights)
        step = adam_step(self.optimizer, self.weights, found)
        _, wanted = second_order(self.val_loss, self.train_loss, self.weights, self.decisions, step)
        return _flat(wanted)

    def first(self) -> Tensor:
        """Without what the step does to it: of the weights before the step."""
        return _flat(gradients(self.val_loss(self.weights, self.decisions), self.decisions))

    def moving(self) -> Tensor:
        """Through the step as it is, with denominators that depend on the decisions too."""
        return self.reference(held=False)

    def reference(self, *, held: bool = True) -> Tensor:
        """Through the step, with Adam's denominators held or moving."""
        names = list(self.weights)
        loss = self.train_loss(self.weights, self.decisions)
        raw = torch.autograd.grad(
            loss, [self.weights[n] for n in names], create_graph=True, allow_unused=True
        )
        moved = dict(self.weights)
        for name, gradient in zip(names, raw, strict=True):
            if gradient is not None:
                moved[name] = self._moved(self.weights[name], gradient, held=held)
        return _flat(gradients(self.val_loss(moved, self.decisions), self.decisions))

    def _moved(self, weight: Tensor, raw: Tensor, *, held: bool) -> Tensor:
        """One weight after Adam's step, of Kingma and Ba, with weight decay in the gradient."""
        group, known = self.optimizer.param_groups[0], self.optimizer.state[weight]
        first, second = group["betas"]
        steps = _BEFORE + 1
        gradient = raw + group["weight_decay"] * weight
        mean = first * known["exp_avg"] + (1 - first) * gradient
        square = second * known["exp_avg_sq"] + (1 - second) * gradient**2
        below = (square / (1 - second**steps)).sqrt() + group["eps"]
        below = below.detach() if held else below
        return weight - group["lr"] * mean / (1 - first**steps) / below


def _flat(found: Tensors) -> Tensor:
    return torch.cat([found[name].detach().double().flatten() for name in sorted(found)])


def largest_error(problems: Sequence[Problem], of: Callable[[Problem], Tensor]) -> float:
    """Of a gradient, from the reference with held denominators, relative."""
    errors = []
    for problem in problems:
        expected = problem.reference()
        errors.append(float((of(problem) - expected).norm() / expected.norm()))
    return max(errors)
