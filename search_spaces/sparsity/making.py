"""Networks made sparse, and what is left of them made ordinary again."""

from typing import Any

from torch import nn

from search_spaces.sparsity.edges import Edges, Scored, Share, Ticket
from search_spaces.sparsity.network import Sparse
from search_spaces.sparsity.planning import Plan
from search_spaces.sparsity.pruning import NAME, Pruning, prunable
from search_spaces.sparsity.structure import Source

_MADE: dict[type[Any], type[Any]] = {}


def made_sparse(
    network: nn.Module, plan: Plan, source: Source, edges: Edges | None = None
) -> nn.Module:
    """Give a network the class and the module of a sparse one; it is changed, and returned."""
    own = type(network)
    if own not in _MADE:
        attributes = {"__module__": __name__, "dense": own}
        _MADE[own] = type(f"Sparse{own.__name__}", (Sparse, own), attributes)
    is_masked = plan.weight_density < 1 and plan.structure == "none"
    weights = dict(prunable(network)) if is_masked else {}
    sizes = source.sizes if plan.weight_density < 1 and plan.structure != "none" else {}
    made: Any = network
    made.__class__ = _MADE[own]
    made.add_module(NAME, Pruning(weights, sizes, edges))
    made.plan, made.source = plan, source
    return network


def made_dense(network: nn.Module) -> nn.Module:
    """Without what remembers, as it computes now; it is changed, and returned.

    A rule for edges stays, and so do all edges of a graph that are part of no rule.
    """
    if not isinstance(network, Sparse):
        return network
    edges = network.sparsity.edges
    return _with_edges(network, edges if isinstance(edges, Scored) else None)


def made_countable(network: nn.Module) -> nn.Module:
    """As large as what leaves, whatever is left; it may be changed.

    What a ticket leaves of edges is told by their number alone.
    """
    if not isinstance(network, Sparse):
        return network
    edges, plan, source = network.sparsity.edges, network.plan, network.source
    if isinstance(edges, Ticket):
        edges = Share(edges.density)
    if plan.weight_density < 1 and plan.structure != "none":
        small = source.built(source.smaller())
        return small if edges is None else _with_edges(made_sparse(small, plan, source), edges)
    return _with_edges(network, edges)


def _with_edges(network: nn.Module, edges: Edges | None) -> nn.Module:
    """A sparse network with nothing of that but a rule for its edges; a dense one without."""
    made: Any = network
    if edges is None:
        del made._modules[NAME]
        made.__class__ = made.dense
        return network
    made.sparsity = Pruning({}, {}, edges)
    for name in list(made.sparsity._buffers):
        delattr(made.sparsity, name)
    return network
