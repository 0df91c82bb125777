"""The graph that a sparse network leaves with, and whether it may leave at all."""

import torch
from torch import Tensor, nn

from search_spaces.errors import SpaceError
from search_spaces.sparsity.edges import Share, first_directions
from search_spaces.sparsity.network import Sparse


def edges_left(network: nn.Module, edges: int) -> int:
    """How many edges its graph has when it leaves: fewer with a ticket.

    A rule for edges leaves with the network, whose graph then has all.

    Args:
        edges: directed, of the graph that it is trained on.
    """
    for share in _shares(network):
        return share.edges_kept(torch.tensor([edges], device="cpu"))
    return edges


def some_left(network: nn.Module, edge_index: Tensor) -> Tensor:
    """[2, e], some of a graph's edges, as many as a ticket would leave; all without a ticket.

    For whoever times a network that was not trained.
    """
    for share in _shares(network):
        return _some(edge_index, share.density)
    return edge_index


def check_settled(network: nn.Module) -> None:
    """Refuse a sparse network of which it is not chosen yet what is left.

    Raises:
        SpaceError: it was trained for too few epochs.
    """
    for module in network.modules():
        if isinstance(module, Sparse) and "epoch" in module.sparsity._buffers:
            epoch, settles = int(module.sparsity.epoch), module.settles_after
            if epoch <= settles:
                raise SpaceError(
                    f"the method {module.plan.method} chooses what is left of a network in "
                    f"{settles} epochs, and this one has the weights of epoch {epoch}; train it "
                    "for more, or give [extension.sparsity] a smaller over_epochs"
                )


def _shares(network: nn.Module) -> list[Share]:
    return [module for module in network.modules() if isinstance(module, Share)]


def _some(edge_index: Tensor, density: float) -> Tensor:
    first = first_directions(edge_index)
    pairs = (first == torch.arange(first.numel())).nonzero()[:, 0]
    order = torch.randperm(pairs.numel(), generator=torch.Generator().manual_seed(0))
    kept = torch.zeros(first.numel(), dtype=torch.bool)
    kept[pairs[order[: max(1, round(density * pairs.numel()))]]] = True
    return edge_index[:, kept[first.clamp(min=0)] | (first < 0)]
