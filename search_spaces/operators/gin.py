"""Graph isomorphism network: a perceptron of the node plus the sum of its neighbors.

    x'_i = MLP((1 + eps) x_i + sum over j in N(i) of x_j),    MLP = linear, ReLU, linear

Keyulu Xu, Weihua Hu, Jure Leskovec, Stefanie Jegelka: How Powerful are Graph Neural Networks?
(2019). eps is learned, from 0.

Limits: sums grow with the degree; the paper's batch normalization inside the perceptron is left to
the layer's own normalization.
"""

from torch import nn
from torch_geometric.nn import GINConv

# The map of what neighbors send, which operators may share in a supernet.
TRANSFORM = "nn.0.weight"


def build(in_features: int, out_features: int) -> nn.Module:
    """[N, in_features], [2, E] -> [N, out_features]."""
    perceptron = nn.Sequential(
        nn.Linear(in_features, out_features), nn.ReLU(), nn.Linear(out_features, out_features)
    )
    layer: nn.Module = GINConv(perceptron, train_eps=True)
    return layer
