"""How much entries matter before anything is trained: SNIP, GraSP, SynFlow."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

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
    network: nn.Module, values: Mapping[str, Tensor], inputs: tuple[Tensor, ...]
) -> dict[str, Tensor]:
    """How much of what flows through a network of absolute weights goes through an entry.

        theta * dR/dtheta,    R = the sum of all outputs for inputs of ones

    No data is used but the graph. Biases are 0 in it, and normalization is as in evaluation, so
    that, with activations of degree one, the scores of each layer have the same sum: Hidenori
    Tanaka, Daniel Kunin, Daniel Yamins, Surya Ganguli: Pruning Neural Networks without Any Data by
    Iteratively Conserving Synaptic Flow (2020).

    Args:
        network: it is left as it was.
        values: of its parameters.
        inputs: what it is called with; of the features only their shape counts.

    Raises:
        OverflowError: more flows through it than double precision has numbers for.
    """
    x, *rest = inputs
    for dtype in (x.dtype, torch.float64):
        with _absolute(network, dtype):
            flows = network(torch.ones_like(x, dtype=dtype), *rest).sum()
            found = gradients(values, flows)
            scored = {name: (found[name] * value).detach() for name, value in values.items()}
        if all(bool(score.isfinite().all()) for score in scored.values()):
            return scored
    raise OverflowError(
        "SynFlow's scores are not finite: of so many and so wide layers the flow is above 1e308; "
        "use another method"
    )


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
