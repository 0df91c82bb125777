"""Edges as a network was trained on them, made of edges as people have them, inside a program."""

import torch
from torch import Tensor

# More edges than any machine holds: what traces a program must know that sums of such numbers of
# edges are numbers still.
_MOST = 2**40


def undirected(edge_index: Tensor, n_nodes: int) -> Tensor:
    """Each edge in both directions, once: [2, E] -> [2, e], whatever of that was there before.

    A self-loop is one edge. What was given twice is one edge, too.

    Args:
        edge_index: [2, E] int64.
        n_nodes: N; `N * N` must fit in 63 bits.
    """
    source, target = edge_index[0], edge_index[1]
    low, high = torch.minimum(source, target), torch.maximum(source, target)
    # Pairs once each: sorting them is all that this costs, so it is done before they are doubled.
    pairs: Tensor = torch.unique(low * n_nodes + high)
    low = pairs // n_nodes
    high = pairs - low * n_nodes
    other = (low != high).nonzero()[:, 0]
    for found in (pairs, other):
        torch._check(found.size(0) <= _MOST)  # type: ignore[no-untyped-call]
    return torch.stack([torch.cat([low, high[other]]), torch.cat([high, low[other]])])
