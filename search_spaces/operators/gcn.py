"""Graph convolution: a mean over neighbors and self, normalized by both degrees.

    x'_i = W sum over j in N(i) and i of x_j / sqrt(d_i d_j) + b,    d = 1 + number of neighbors

Thomas N. Kipf, Max Welling: Semi-Supervised Classification with Graph Convolutional Networks
(2017).

Limits: a low-pass filter with no weight of its own for the node itself, so deep stacks smooth the
features away, and graphs whose neighbors differ (heterophily) suit it badly.
"""

from torch import nn
from torch_geometric.nn import GCNConv

# The map of what neighbors send, which operators may share in a supernet.
TRANSFORM = "lin.weight"


def build(in_features: int, out_features: int) -> nn.Module:
    """[N, in_features], [2, E] -> [N, out_features]."""
    layer: nn.Module = GCNConv(in_features, out_features)
    return layer
