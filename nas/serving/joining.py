"""Whether graphs may be joined: a program is tried with graphs that were made up."""

import torch

from nas.export._base import Contract, Runnable
from nas.export._sample import made_up
from nas.serving.graphs import Graph, joined

# (nodes, edges, graphs) of what a program is tried with before it is used.
_TRIED = ((7, 12, 2), (1, 0, 1), (40, 160, 3))
_SAME = 1e-5


def joins(program: Runnable, contract: Contract) -> bool:
    """Whether graphs may be joined: a graph task whose graphs do not change one another.

    Made-up graphs are given apart and together, and must agree to 1e-5 of the largest output, or
    of 1 where that is less. For a node task the program is run too, so that it is warm.
    """
    graphs = [_made_up(contract, size) for size in _TRIED]
    with torch.inference_mode():
        apart = [program(*graph.inputs) for graph in graphs]
        if not contract.is_graph_task:
            return False
        together = program(*joined(graphs).inputs)
    expected = torch.cat(apart)
    allowed = _SAME * max(1.0, float(expected.abs().max()))
    return together.shape == expected.shape and bool(((together - expected).abs() <= allowed).all())


def _made_up(contract: Contract, size: tuple[int, int, int]) -> Graph:
    x, edge_index, *rest = made_up(contract, size)
    return Graph(x, edge_index, rest[0] if rest else None, size[2] if rest else 1)
