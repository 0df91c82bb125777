"""The optimizers of K runs: torch's own fused steps, one call a run, each with its own recipe.

A step sees a run's slices and nothing else, so it does not depend on the runs beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from evaluators._recipe import MOMENTUM, Recipe
from evaluators.checkpoint import Weights
from evaluators.engine.stack import Stack

_ALWAYS = {"maximize": False, "foreach": False, "fused": True}
_BETAS = {"beta1": 0.9, "beta2": 0.999}
_STATES = {"adam": ("exp_avg", "exp_avg_sq"), "adamw": ("exp_avg", "exp_avg_sq")}


class Optimizers:
    """One optimizer for each run, over its slices of the leaves and the modules it keeps.

    All recipes have the same kind of optimizer.
    """

    def __init__(self, stack: Stack, recipes: Sequence[Recipe], frozen: Sequence[Weights]) -> None:
        """Args: frozen, the state of each run's optimizer by `parameter/key`; empty for none."""
        self._stack, self._recipes = stack, recipes
        self._kind = recipes[0].optimizer
        self._trained = [i for i, leaf in enumerate(stack.leaves) if leaf.requires_grad]
        self._keys = _STATES.get(self._kind, ("momentum_buffer",))
        leaves = [stack.leaves[i].detach() for i in self._trained]
        self._own = [
            {
                name: parameter
                for name, parameter in network.named_parameters()
                if name in stack.kept and parameter.requires_grad
            }
            for network in stack.networks
        ]
        self._slots = {key: [torch.zeros_like(leaf) for leaf in leaves] for key in self._keys}
        self._parameters = [
            [leaf[run] for leaf in leaves] + [p.detach() for p in own.values()]
            for run, own in enumerate(self._own)
        ]
        self._states = [
            {
                key: [slot[run] for slot in self._slots[key]]
                + [torch.zeros_like(p) for p in own.values()]
                for key in self._keys
            }
            for run, own in enumerate(self._own)
        ]
        self._steps = [
            [torch.zeros((), device=stack.device) for _ in parameters]
            for parameters in self._parameters
        ]
        for run, state in enumerate(frozen):
            if state:
                self._thaw(run, state)

    def zero_grad(self) -> None:
        for i in self._trained:
            self._stack.leaves[i].grad = None
        for own in self._own:
            for parameter in own.values():
                parameter.grad = None

    def step(self, runs: Sequence[int]) -> None:
        """One step of these runs, by the gradients that the last backward pass left."""
        sliced = []
        for i in self._trained:
            gradient = self._stack.leaves[i].grad
            sliced.append(None if gradient is None else gradient.contiguous().unbind(0))
        for run in runs:
            gradients = [None if g is None else g[run] for g in sliced]
            gradients += [p.grad for p in self._own[run].values()]
            self._step(run, gradients)

    def _step(self, run: int, gradients: Sequence[Tensor | None]) -> None:
        has = [i for i, gradient in enumerate(gradients) if gradient is not None]
        given = [gradient for gradient in gradients if gradient is not None]
        if not has:
            return
        recipe = self._recipes[run]
        rates = {"lr": float(recipe.lr), "weight_decay": float(recipe.weight_decay)}
        common: dict[str, Any] = _ALWAYS | rates
        parameters = [self._parameters[run][i] for i in has]
        state = {key: [values[i] for i in has] for key, values in self._states[run].items()}
        steps = [self._steps[run][i] for i in has]
        if self._kind == "sgd":
            # torch begins the momentum with the first gradient: 0.9 * 0 + gradient is the same.
            sgd(
                parameters,
                given,
                list[Tensor | None](state["momentum_buffer"]),
                momentum=MOMENTUM,
                dampening=0.0,
                nesterov=False,
                has_sparse_grad=False,
                **common,
            )
            return
        function: Callable[..., None] = adam if self._kind == "adam" else adamw
        function(
            parameters,
            given,
            state["exp_avg"],
            state["exp_avg_sq"],
            [],
            steps,
            amsgrad=False,
            eps=1e-8,
            **_BETAS,
            **common,
        )

    def freeze(self, run: int) -> Weights:
        """A run's state by `parameter/key`, as torch's optimizers have it."""
        found: Weights = {}
        place = {leaf: i for i, leaf in enumerate(self._trained)}
        for name, part in self._stack.parts.items():
            if part.leaf not in place:
                continue
            i = place[part.leaf]
            for key in self._keys:
                found[f"{name}/{key}"] = part.read(run, self._states[run][key][i]).cpu()
            if self._kind != "sgd":
                found[f"{name}/step"] = self._steps[run][i].cpu().clone()
        for i, name in enumerate(self._own[run], start=len(self._trained)):
            for key in self._keys:
                found[f"{name}/{key}"] = self._states[run][key][i].cpu().clone()
            if self._kind != "sgd":
                found[f"{name}/step"] = self._steps[run][i].cpu().clone()
        return found

    def _thaw(self, run: int, frozen: Mapping[str, Tensor]) -> None:
        place = {leaf: i for i, leaf in enumerate(self._trained)}
        own = {name: i for i, name in enumerate(self._own[run], start=len(self._trained))}
        for full_name, value in frozen.items():
            name, _, key = full_name.rpartition("/")
            part = self._stack.parts.get(name)
            i = own[name] if part is None else place[part.leaf]
            if key == "step":
                self._steps[run][i].copy_(value)
            elif part is None:
                self._states[run][key][i].copy_(value)
            else:
                part.write(run, self._states[run][key][i], value)
