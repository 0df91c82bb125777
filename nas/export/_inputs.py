"""Checks of a graph before it is given to a program, which has none of its own."""

from torch import Tensor

from evaluators.datasets._checks import check_graph
from nas.export._base import BundleError, Contract


def check_inputs(
    contract: Contract, x: Tensor, edge_index: Tensor, graph_ids: Tensor | None, graphs: int | None
) -> int:
    """Compare inputs with the contract and return how many graphs there are.

    Args:
        contract: of the program.
        x, edge_index, graph_ids: as for `Bundle.predict`.
        graphs: how many there are; None for as many as the last of `graph_ids` says.

    Raises:
        UsageError: another type or shape, a feature that is not finite, an edge to a node that is
            not there or to another graph, or graph numbers that are missing or out of order.
    """
    for name, value in (("x", x), ("edge_index", edge_index), ("graph_ids", graph_ids)):
        if not isinstance(value, Tensor) and not (value is None and name == "graph_ids"):
            raise BundleError(
                f"expected {name} as a tensor, got {type(value).__name__}; "
                "torch.as_tensor makes one"
            )
    if (graph_ids is None) == contract.is_graph_task:
        raise BundleError(
            "this network predicts graphs; give graph_ids, the number of each node's graph"
            if contract.is_graph_task
            else "this network predicts nodes; leave graph_ids out"
        )
    if x.dim() == 2 and x.size(0) == 0:
        raise BundleError("x has no rows; expected one node or more")
    if graphs is None:
        graphs = _count(graph_ids, x.size(0))
    check_graph("the input", x, edge_index, graph_ids, graphs)
    if x.size(1) != contract.n_features:
        raise BundleError(
            f"the input: expected {contract.n_features} features, got {x.size(1)} columns of x"
        )
    if contract.features == "row" and bool((x < 0).any()):
        raise BundleError(
            "the input: this network divides features by the sum of their row, so they must be 0 "
            f"or more; got {float(x.min())}. Give raw features"
        )
    return graphs


def _count(graph_ids: Tensor | None, nodes: int) -> int:
    """One more than the largest number."""
    if graph_ids is None or graph_ids.numel() == 0:
        return 1
    smallest, largest = int(graph_ids.min()), int(graph_ids.max())
    if smallest < 0 or largest >= nodes:
        raise BundleError(
            f"the input: graph_ids reach from {smallest} to {largest}; with {nodes} nodes expected "
            f"0 to {nodes - 1}, or say how many graphs there are"
        )
    return largest + 1
