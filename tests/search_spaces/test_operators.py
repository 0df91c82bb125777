"""What our own operators keep besides the contract (`nas.contracts`): help, limits, refusals."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from search_spaces import SpaceError, plugins

OPERATORS = plugins.names("operator")
WIDTH = 8


def offered(operator: str) -> dict[str, tuple[Any, ...]]:
    return dict(getattr(plugins.load("operator", operator), "CHOICES", {}))


def make(operator: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    module: nn.Module = plugins.load("operator", operator).build(WIDTH, WIDTH, **options)
    return module.double()


def graph(nodes: int, edges: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(nodes, WIDTH, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, nodes, (2, edges), generator=generator)


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_docstring_says_what_it_is(operator: str) -> None:
    """A summary in one line, a formula and the limits."""
    text = plugins.load("operator", operator).__doc__ or ""
    assert plugins.summary("operator", operator).endswith(".")
    assert " = " in text
    assert "Limits:" in text


@pytest.mark.parametrize("operator", [n for n in OPERATORS if "heads" in offered(n)])
def test_a_width_that_heads_do_not_divide_is_refused(operator: str) -> None:
    """The message names both numbers."""
    with pytest.raises(SpaceError, match=f'"{operator}".* width 8 and heads 3'):
        make(operator, heads=3)


def test_skip_is_as_wide_as_its_input() -> None:
    """The identity cannot change the width."""
    x, edge_index = graph(4, 5)
    assert torch.equal(make("skip")(x, edge_index), x)
    with pytest.raises(SpaceError, match="got 6 in and 8 out"):
        plugins.load("operator", "skip").build(6, 8)


def test_linear_does_not_look_at_the_edges() -> None:
    """The operator that tells whether the graph helps."""
    x, edge_index = graph(9, 30)
    assert torch.equal(make("linear")(x, edge_index), make("linear")(x, edge_index[:, :0]))
