"""Chebyshev filter: a learned polynomial of the graph's Laplacian, of degree `hops`.

    x' = sum over k = 0..hops of T_k(L - I) x W_k + b,    L = I - D^-1/2 A D^-1/2

with Chebyshev polynomials T_k, and 2 taken for the largest eigenvalue of L.

Michael Defferrard, Xavier Bresson, Pierre Vandergheynst: Convolutional Neural Networks on Graphs
with Fast Localized Spectral Filtering (2016).

Limits: hops + 1 weight matrices; spectral reading for undirected graphs only.
"""

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge
from torch import nn
from torch_geometric.nn import ChebConv

from search_spaces.decision import Choice

# The map of what neighbors send, which operators may share in a supernet.
TRANSFORM = "lins.1.weight"
CHOICES: Mapping[str, tuple[Choice, ...]] = {"hops": (2, 4, 8)}


def build(in_features: int, out_features: int, *, hops: Annotated[int, Ge(1)] = 2) -> nn.Module:
    """[N, in_features], [2, E] -> [N, out_features]."""
    layer: nn.Module = ChebConv(in_features, out_features, K=hops + 1)
    return layer
