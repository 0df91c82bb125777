"""The second-order gradient of a bi-level problem: what a step of the weights does to it.

Hanxiao Liu, Karen Simonyan, Yiming Yang: DARTS: Differentiable Architecture Search (2019). With w'
the weights after one step on the training loss,

    d/da L_val(w'(a), a) = grad_a L_val(w', a) - grad_a <grad_w L_train(w, a), s v>
    v = grad_w' L_val(w', a),  s = - dw' / d grad_w L_train

and the second term is a difference of two gradients, at w + e s v and at w - e s v. The step is the
one that Adam takes, momentum and weight decay included; its denominators are held, so that s is one
number for each weight: of a step of gradient descent it is the learning rate.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.optim import Adam

Tensors: TypeAlias = Mapping[str, Tensor]
# Of the weights and of what is to be learned on the validation units.
Loss: TypeAlias = Callable[[Tensors, Tensors], Tensor]
# Of the difference, in the norm of the weights. DARTS has 0.01, which reaches over the kinks of
# piecewise linear activations; with much less, float32 has no digits left.
_STEP = 3e-4


@dataclass(frozen=True, eq=False)
class Step:
    """One step of the weights.

    Attributes:
        weights: after it.
        slopes: by how much each of them falls as its gradient grows.
    """

    weights: Tensors
    slopes: Tensors


def adam_step(optimizer: Adam, weights: Tensors, gradients: Tensors) -> Step:
    """The step that the optimizer would take next; it and the weights stay as they are.

    A weight whose gradient is 0 has no slope: the loss does not depend on it here.
    """
    moved, slopes = {}, {}
    group = optimizer.param_groups[0]
    (first, second), lr = group["betas"], group["lr"]
    for name, weight in weights.items():
        known, raw = optimizer.state.get(weight, {}), gradients[name]
        gradient = raw + group["weight_decay"] * weight.detach()
        steps = float(known["step"]) + 1 if known else 1.0
        mean = (1 - first) * gradient + (first * known["exp_avg"] if known else 0)
        square = (1 - second) * gradient**2 + (second * known["exp_avg_sq"] if known else 0)
        rate = lr / ((square / (1 - second**steps)).sqrt() + group["eps"]) / (1 - first**steps)
        moved[name] = weight.detach() - rate * mean
        slopes[name] = torch.where(raw == 0, 0.0, rate * (1 - first))
    return Step(moved, slopes)


def gradients(loss: Tensor, tensors: Tensors) -> dict[str, Tensor]:
    """Of each tensor; 0 where the loss does not depend on it."""
    return {
        name: torch.zeros_like(tensors[name]) if gradient is None else gradient
        for name, gradient in reached(loss, tensors).items()
    }


def reached(loss: Tensor, tensors: Tensors) -> dict[str, Tensor | None]:
    """The same, and None where the loss does not depend on a tensor."""
    found = torch.autograd.grad(loss, list(tensors.values()), allow_unused=True)
    return dict(zip(tensors, found, strict=True))


def second_order(
    val_loss: Loss, train_loss: Loss, weights: Tensors, learned: Tensors, step: Step
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss on the validation units after a step of the weights, and its gradient.

    Args:
        val_loss, train_loss: on each half of the units.
        weights: before the step.
        learned: what the gradient is of, which requires one.
        step: of the weights.
    """
    moved = {name: weight.requires_grad_() for name, weight in step.weights.items()}
    loss = val_loss(moved, learned)
    both = gradients(loss, {**_named("w", moved), **_named("a", learned)})
    along = {name: step.slopes[name] * both[f"w/{name}"] for name in moved}
    norm = torch.stack([direction.pow(2).sum() for direction in along.values()]).sum().sqrt()
    found = {name: both[f"a/{name}"] for name in learned}
    if float(norm) == 0:
        return loss, found
    size = _STEP / float(norm)
    sides = []
    for sign in (size, -size):
        shifted = {name: weights[name].detach() + sign * along[name] for name in weights}
        sides.append(gradients(train_loss(shifted, learned), learned))
    return loss, {
        name: found[name] - (sides[0][name] - sides[1][name]) / (2 * size) for name in learned
    }


def _named(group: str, tensors: Tensors) -> dict[str, Tensor]:
    return {f"{group}/{name}": tensor for name, tensor in tensors.items()}
