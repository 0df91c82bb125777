"""What the attention operators share: how a width is divided among heads."""

from search_spaces.errors import SpaceError


def width_per_head(operator: str, out_features: int, heads: int) -> int:
    """The width of one head, when all heads side by side are `out_features` wide.

    Raises:
        SpaceError: the width cannot be divided evenly.
    """
    if heads < 1 or out_features % heads:
        raise SpaceError(
            f'operator "{operator}": expected a width that is divisible by the number of heads, '
            f"got width {out_features} and heads {heads}"
        )
    return out_features // heads
