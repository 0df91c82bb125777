"""The identity: a layer with this operator is left out of the network altogether.

    x'_i = x_i

Limits: as wide as its input. In a `gnn` space the whole layer goes, with its normalization,
activation and shortcut, so a network may be reached by more than one architecture.
"""

from torch import Tensor, nn

from search_spaces.errors import SpaceError


class Identity(nn.Module):
    """The identity with the signature of an operator."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:  # noqa: ARG002 - not used, by name
        return x


def build(in_features: int, out_features: int) -> nn.Module:
    """[N, in_features], [2, E] -> [N, out_features].

    Raises:
        SpaceError: the two widths differ.
    """
    if in_features != out_features:
        raise SpaceError(
            'operator "skip": expected as many features out as in, '
            f"got {in_features} in and {out_features} out"
        )
    return Identity()
