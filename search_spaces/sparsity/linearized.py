"""A network as SynFlow sees it: linear in its features.

- What rounds or normalizes passes on what it gets: a normalized output does not depend on how much
  came in, so nothing would flow.
- Activations do, too. Of absolute weights and inputs that are not negative ReLU is the identity;
  others are not of degree one, and what flows in would not flow out.
- Messages are absolute, as weights are: some operators give edges numbers below 0.
- Softmax gives numbers that stay as they are: messages are weighed by them, and nothing flows from
  what they were made of. Those logits are kept, for what is made for them alone.

Functions are known by their names, in operators from outside, too; normalization also by its
modules. Limits: an operator that multiplies what depends on its input (a gate), or that calls
something of its own for one of these, is taken as it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.overrides import TorchFunctionMode
from torch_geometric.nn import MessagePassing

from search_spaces.quantization.quantizers import ActivationQuantizer, WeightQuantizer

_PASSING = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, ActivationQuantizer, WeightQuantizer)
_GRAPH_NORMS = "torch_geometric.nn.norm."
# Names of functions whose first argument is passed on; with _ at their end, too.
_FUNCTIONS = frozenset(
    (
        *("relu", "relu6", "hardtanh", "leaky_relu", "prelu", "rrelu", "threshold", "celu", "elu"),
        *("selu", "gelu", "silu", "mish", "hardswish", "tanh", "tanhshrink", "softsign"),
        *("sigmoid", "hardsigmoid", "logsigmoid", "softplus", "softshrink", "hardshrink"),
        *("log_softmax", "layer_norm", "batch_norm", "group_norm", "instance_norm", "rms_norm"),
    )
)
# The steps of a softmax, by edges or as a whole, that make it what it is.
_COEFFICIENTS = frozenset(("exp", "softmax", "softmax_csr"))


class _Linear(TorchFunctionMode):
    """What functions give while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.logits: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        name, kwargs = getattr(func, "__name__", "").rstrip("_"), kwargs or {}
        if name in _FUNCTIONS:
            return args[0] if args else kwargs["input"]
        found = func(*args, **kwargs)
        if name in _COEFFICIENTS:
            self.logits.append(args[0] if args else kwargs["input"])
            return found.detach()
        return found


@contextmanager
def linearized(network: nn.Module) -> Iterator[list[Tensor]]:
    """Have a network be linear in its features, and give the logits that it has as it is run."""
    passing = [module for module in network.modules() if _passes(module)]
    hooks = [module.register_forward_hook(_passed) for module in passing]
    for module in network.modules():
        if isinstance(module, MessagePassing):
            hooks.append(module.register_message_forward_hook(_absolute))
    try:
        with _Linear() as mode:
            yield mode.logits
    finally:
        for hook in hooks:
            hook.remove()


def _passes(module: nn.Module) -> bool:
    return isinstance(module, _PASSING) or type(module).__module__.startswith(_GRAPH_NORMS)


def _passed(_module: nn.Module, given: tuple[Any, ...], _found: Tensor) -> Any:
    return given[0]


def _absolute(_module: nn.Module, _inputs: tuple[Any, ...], messages: Tensor) -> Tensor:
    # Most are: another tensor of the size of all messages is spared.
    return messages.abs() if bool((messages.detach() < 0).any()) else messages
