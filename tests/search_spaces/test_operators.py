"""The contract of every operator, found by discovery: a new module is under it at once."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, export

from search_spaces import SpaceError, plugins

OPERATORS = plugins.names("operator")
WIDTH = 8
SIZES = ((1, 0), (1, 1), (7, 0), (100, 3000))


def offered(operator: str) -> dict[str, tuple[Any, ...]]:
    return dict(getattr(plugins.load("operator", operator), "CHOICES", {}))


# Each operator with its defaults, and once more for each choice of each of its options.
CASES = [(operator, {}) for operator in OPERATORS] + [
    (operator, {option: choice})
    for operator in OPERATORS
    for option, choices in offered(operator).items()
    for choice in choices
]


def make(operator: str, **options: Any) -> nn.Module:
    """In float64, so that what should be equal is equal to many digits."""
    torch.manual_seed(0)
    in_features = WIDTH if operator == "skip" else 6
    module: nn.Module = plugins.load("operator", operator).build(in_features, WIDTH, **options)
    return module.double()


def graph(operator: str, nodes: int, edges: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = WIDTH if operator == "skip" else 6
    x = torch.randn(nodes, features, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, nodes, (2, edges), generator=generator)


@pytest.mark.parametrize(("operator", "options"), CASES)
def test_output_has_one_row_a_node_and_the_whole_width(operator: str, options: Any) -> None:
    """[N, in], [2, E] -> [N, out], finite, with one node and with no edge too."""
    module = make(operator, **options)
    for nodes, edges in SIZES:
        out = module(*graph(operator, nodes, edges))
        assert out.shape == (nodes, WIDTH)
        assert out.isfinite().all()


@pytest.mark.parametrize(("operator", "options"), CASES)
def test_every_parameter_gets_a_finite_gradient(operator: str, options: Any) -> None:
    """No parameter is counted that the function does not read."""
    module = make(operator, **options)
    x, edge_index = graph(operator, 20, 60)
    x.requires_grad_()
    module(x, edge_index).square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(("operator", "options"), CASES)
def test_nodes_have_no_order(operator: str, options: Any) -> None:
    """Permuting the nodes permutes the output; the order of the edges changes nothing."""
    module = make(operator, **options)
    x, edge_index = graph(operator, 20, 60)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(2))
    place = order.argsort()
    shuffled = place[edge_index][:, torch.randperm(60, generator=torch.Generator().manual_seed(3))]
    torch.testing.assert_close(module(x[order], shuffled), module(x, edge_index)[order])
    if operator != "skip":
        # The control: the order does matter when the output is not permuted with it.
        assert not torch.allclose(module(x[order], shuffled), module(x, edge_index))


@pytest.mark.parametrize("operator", OPERATORS)
def test_isolated_nodes_are_finite_in_value_and_gradient(operator: str) -> None:
    """Nodes without edges, beside nodes with some and alone."""
    module = make(operator)
    x, edge_index = graph(operator, 10, 12)
    x.requires_grad_()
    for edges in (edge_index % 4, edge_index[:, :0]):
        module.zero_grad()
        out = module(x, edges)
        assert out.isfinite().all()
        out.square().sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize(("operator", "options"), CASES)
def test_graphs_side_by_side_do_not_touch(operator: str, options: Any) -> None:
    """Two graphs in one batch give what each gives alone."""
    module = make(operator, **options)
    first, second = graph(operator, 9, 30), graph(operator, 5, 8, seed=4)
    x = torch.cat([first[0], second[0]])
    edge_index = torch.cat([first[1], second[1] + 9], dim=1)
    alone = torch.cat([module(*first), module(*second)])
    torch.testing.assert_close(module(x, edge_index), alone)


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_seed_decides_the_weights(operator: str) -> None:
    """Built twice after the same seed, an operator is the same."""
    x, edge_index = graph(operator, 9, 30)
    assert torch.equal(make(operator)(x, edge_index), make(operator)(x, edge_index))


@pytest.mark.parametrize("operator", [name for name in OPERATORS if offered(name)])
def test_every_choice_of_an_option_makes_a_difference(operator: str) -> None:
    """No two choices of an option give the same output for the same seed."""
    x, edge_index = graph(operator, 9, 30)
    for option, choices in offered(operator).items():
        assert option in plugins.options("operator", operator)
        outputs = [make(operator, **{option: choice})(x, edge_index) for choice in choices]
        for i, one in enumerate(outputs):
            assert all(not torch.allclose(one, other) for other in outputs[:i]), option


@pytest.mark.parametrize("operator", OPERATORS)
def test_export_holds_for_every_size(operator: str) -> None:
    """torch.export with dynamic sizes agrees with the module, one node and no edge included."""
    module = make(operator).float().eval()
    x, edge_index = graph(operator, 20, 60)
    shapes = ({0: Dim("N", min=1)}, {1: Dim("E", min=0)})
    program = export(module, (x.float(), edge_index), dynamic_shapes=shapes).module()
    for nodes, edges in SIZES:
        x, edge_index = graph(operator, nodes, edges)
        torch.testing.assert_close(program(x.float(), edge_index), module(x.float(), edge_index))


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
    x, edge_index = graph("skip", 4, 5)
    assert torch.equal(make("skip")(x, edge_index), x)
    with pytest.raises(SpaceError, match="got 6 in and 8 out"):
        plugins.load("operator", "skip").build(6, 8)


def test_linear_does_not_look_at_the_edges() -> None:
    """The operator that tells whether the graph helps."""
    x, edge_index = graph("linear", 9, 30)
    assert torch.equal(make("linear")(x, edge_index), make("linear")(x, edge_index[:, :0]))
