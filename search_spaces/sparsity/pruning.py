"""What a sparse network remembers, and which of its weights are pruned."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch_geometric.nn import Linear as PygLinear
from torch_geometric.nn import MessagePassing

from search_spaces.sparsity.edges import Edges

# The name of the module that remembers, in a network.
NAME = "sparsity"
_WEIGHTED = (nn.Linear, PygLinear, nn.Embedding)
# How parameters begin that attention reads, and biases: vectors, whatever their shape.
_VECTORS = ("att", "bias")


class Pruning(nn.Module):
    """What a sparse network remembers.

    Attributes:
        masks: which entries of each weight are left, by its name, a buffer each.
        begun: what parameters are set back to, where a method does that.
        kept: which channels of each source, or which layers, where they go as a whole.
        is_smaller: [], whether they have gone.
        edges: which edges are left; None where all are.
        epoch: [], the last that has begun.
    """

    # No network takes these over from another one (`evaluators.inheritances.alike`).
    signature = ""
    epoch: Tensor
    is_smaller: Tensor
    edges: Edges | None

    def __init__(
        self, weights: Mapping[str, Tensor], sizes: Mapping[str, int], edges: Edges | None
    ) -> None:
        super().__init__()
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))
        self.masks = nn.Module()
        for name, weight in weights.items():
            mask = torch.ones(weight.shape, dtype=torch.bool, device=weight.device)
            self.masks.register_buffer(flat(name), mask)
        self.begun = nn.Module()
        self.kept = nn.Module()
        for name, size in sizes.items():
            self.kept.register_buffer(name, torch.zeros(size, dtype=torch.int64))
        self.register_buffer("is_smaller", torch.zeros((), dtype=torch.bool))
        self.edges = edges

    def mask(self, name: str) -> Tensor:
        """Of the weight of a name."""
        found: Tensor = self.masks.get_buffer(flat(name))
        return found

    def remember(self, network: nn.Module) -> None:
        """Keep all parameters and statistics as they are now, to be set back to."""
        for name, tensor in list(trained(network)):
            self.begun.register_buffer(flat(name), tensor.detach().clone())


def trained(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What training changes: parameters, and buffers but for those that say what is left."""
    yield from network.named_parameters()
    own = f"{NAME}."
    yield from ((n, buffer) for n, buffer in network.named_buffers() if not n.startswith(own))


def prunable(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Weights by name, each once: matrices that are no attention vectors and no biases."""
    seen = set[int]()
    for path, module in network.named_modules():
        if path == NAME or path.startswith(f"{NAME}."):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            is_map = isinstance(module, _WEIGHTED) and name == "weight"
            is_own = isinstance(module, MessagePassing) and not name.startswith(_VECTORS)
            if (is_map or is_own) and parameter.dim() > 1 and id(parameter) not in seen:
                seen.add(id(parameter))
                yield f"{path}.{name}" if path else name, parameter


def flat(name: str) -> str:
    """As a name of a buffer, in which dots are not allowed."""
    return name.replace(".", ":")
