"""How much entries matter before anything is trained: SNIP, GraSP, SynFlow."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from search_spaces.sparsity.linearized import linearized

# Of a network as it is, on training units; with a number by which its logits are divided.
Loss = Callable[[float], Tensor]
# Logits are divided by this, so that no unit's gradient is next to nothing.
TEMPERATURE = 200.0


def gradients(
    values: Mapping[str, Tensor], loss: Tensor, *, twice: bool = False
) -> dict[str, Tensor]:
    """Of a loss by tensors; 0 where it does not depend on one.

    Args:
        twice: whether they are to be differentiated again.
    """
    found = torch.autograd.grad(loss, list(values.values()), create_graph=twice, allow_unused=True)
    return {
        name: torch.zeros_like(value) if gradient is None else gradient
        for (name, value), gradient in zip(values.items(), found, strict=True)
    }


def snip(values: Mapping[str, Tensor], loss: Loss) -> dict[str, Tensor]:
    """By how much the loss would change without an entry: abs(theta * dL/dtheta).

    Namhoon Lee, Thalaiyasingam Ajanthan, Philip Torr: SNIP: Single-shot Network Pruning Based on
    Connection Sensitivity (2019).
    """
    slopes = gradients(values, loss(1.0))
    return {name: (slopes[name] * value).detach().abs() for name, value in values.items()}


def grasp(values: Mapping[str, Tensor], loss: Loss) -> dict[str, Tensor]:
    """By how much the flow of gradients would fall without an entry: theta * H g.

        g = dL/dtheta,    d(g . g)/dtheta = 2 H g

    Without an entry g . g changes by -2 theta H g, so what has a large theta H g is to be left:
    taking it out makes the flow smaller. Chaoqi Wang, Guodong Zhang, Roger Grosse: Picking Winning
    Tickets Before Training by Preserving Gradient Flow (2020).
    """
    slopes = gradients(values, loss(TEMPERATURE), twice=True)
    flow = torch.stack([(slope.detach() * slope).sum() for slope in slopes.values()]).sum()
    if not flow.requires_grad:
        return {name: torch.zeros_like(value) for name, value in values.items()}
    curved = gradients(values, flow)
    found = {name: (curved[name] * value).detach() for name, value in values.items()}
    scale = torch.stack([score.sum() for score in found.values()]).sum().abs() + 1e-12
    return {name: score / scale for name, score in found.items()}


def synflow(
    network: nn.Module,
    values: Mapping[str, Tensor],
    inputs: tuple[Tensor, ...],
    *,
    steering: bool = True,
) -> dict[str, Tensor]:
    """How much of what flows through a network of absolute weights goes through an entry.

        theta * dR/dtheta,    R = the sum of all outputs for inputs of ones

    No data is used but the graph. Of the network only what is linear counts (`linearized`), without
    biases, and so what flows in flows out: the scores of all tensors that any path has to pass have
    the same sum, R. Where paths part, as in a layer with weights of its own for the node itself, or
    beside a shortcut, it is the scores of all branches together that have; one of them may become
    empty while others carry R. Hidenori Tanaka, Daniel Kunin, Daniel Yamins, Surya Ganguli: Pruning
    Neural Networks without Any Data by Iteratively Conserving Synaptic Flow (2020), there of
    networks of one path.

    Through queries and keys, of which attention makes coefficients and nothing else, nothing flows.
    Their scores are those of the sum of their logits, scaled to the sum R, so that they stay, too.

    Args:
        network: it is left as it was.
        values: of its parameters.
        inputs: what it is called with; of the features only their shape counts.
        steering: whether queries and keys have scores; without it they are 0.

    Raises:
        OverflowError: more flows through it than double precision has numbers for.
    """
    x, *rest = inputs
    for dtype in (x.dtype, torch.float64):
        with _absolute(network, dtype), linearized(network) as logits:
            flows = network(torch.ones_like(x, dtype=dtype), *rest).sum()
            # What has no logits is taken apart at once: a graph's messages take memory.
            scored = _flow(values, flows, again=bool(logits))
            aside = {n: values[n] for n, score in scored.items() if score is None}
            if steering and aside and logits:
                scored |= _scaled(
                    _flow(aside, torch.stack([one.sum() for one in logits]).sum()), flows.detach()
                )
        found = {
            name: torch.zeros_like(values[name]) if score is None else score
            for name, score in scored.items()
        }
        if all(bool(score.isfinite().all()) for score in found.values()):
            return found
    raise OverflowError(
        "SynFlow's scores are not finite: of so many and so wide layers the flow is above 1e308; "
        "use another method"
    )


def _flow(
    values: Mapping[str, Tensor], total: Tensor, *, again: bool = False
) -> dict[str, Tensor | None]:
    """Of a sum that is linear in each tensor; None of those that it does not depend on."""
    if not total.requires_grad:
        return dict.fromkeys(values)
    found = torch.autograd.grad(total, list(values.values()), retain_graph=again, allow_unused=True)
    return {
        name: None if gradient is None else (gradient * value).detach()
        for (name, value), gradient in zip(values.items(), found, strict=True)
    }


def _scaled(scores: Mapping[str, Tensor | None], total: Tensor) -> dict[str, Tensor | None]:
    """Each with this sum; nothing comes of nothing."""
    return {
        name: score * (total / score.sum()) if score is not None and bool(score.any()) else score
        for name, score in scores.items()
    }


@contextmanager
def _absolute(network: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Have absolute weights of a type, no biases, and all in evaluation mode."""
    kept = {name: p.detach().clone() for name, p in network.named_parameters()}
    training = {module: module.training for module in network.modules()}
    before = next((tensor.dtype for tensor in kept.values()), dtype)
    network.eval().to(dtype)
    try:
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                is_bias = name.rpartition(".")[2].startswith("bias")
                parameter.copy_(torch.zeros_like(parameter) if is_bias else parameter.abs())
        yield
    finally:
        network.to(before)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.copy_(kept[name])
        for module, mode in training.items():
            module.training = mode
