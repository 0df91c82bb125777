"""Statistics measured anew, for weights that were trained in other company.

A slice of a supernet has no running statistics of its own, and no ranges of activations: those that
training would leave are of all slices together. They are measured on training units, in as many
passes as there are batches.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from evaluators._batches import Batch
from search_spaces.quantization.layers import activation_quantizers


def recalibrate(network: nn.Module, batches: Sequence[Batch]) -> None:
    """Give each batch normalization the mean and the variance of what it gets on these batches.

    Each batch is normalized by its own statistics; what is kept is their mean, weighted by rows
    (Han Cai et al., Once-for-All, 2020). With one batch, the network in evaluation mode then gives
    what it gave on that batch, exactly. Quantizers of activations see all batches as they would in
    training, from no range on. The network is in evaluation mode afterwards.
    """
    network.eval()
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    quantizers = [quantizer for _, quantizer in activation_quantizers(network)]
    if not norms and not quantizers:
        return
    for quantizer in quantizers:
        quantizer.forget()
        quantizer.train()
    seen: dict[nn.Module, list[tuple[int, Tensor, Tensor]]] = {norm: [] for norm in norms}

    def measure(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0]
        mean, variance = x.mean(0), x.var(0, unbiased=False)
        seen[norm].append((x.size(0), mean, variance))
        _set(norm, mean, variance)

    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    try:
        with torch.no_grad():
            for batch in batches:
                network(*batch.inputs)
    finally:
        for hook in hooks:
            hook.remove()
        network.eval()
    for norm, measured in seen.items():
        rows = sum(count for count, _, _ in measured)
        if rows:
            mean, variance = (
                torch.stack([count / rows * row[i] for count, *row in measured]).sum(0)
                for i in range(2)
            )
            _set(norm, mean, variance)


def _set(norm: nn.Module, mean: Tensor, variance: Tensor) -> None:
    if isinstance(norm, _BatchNorm) and norm.running_mean is not None:
        norm.running_mean.copy_(mean)
    if isinstance(norm, _BatchNorm) and norm.running_var is not None:
        norm.running_var.copy_(variance)
