"""What every operator keeps: one row a node, no order of nodes, a program for any graph."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, export

from nas.contracts import _signature
from search_spaces import SpaceError, plugins
from search_spaces.plugins import Plugin

KIND = "operator"
WIDTH = 8
SIZES = ((1, 0), (1, 1), (7, 0), (100, 3000))


class Operator:
    """A plug-in, made with the same weights each time, in float64: what is equal shows as equal."""

    def __init__(self, plugin: Plugin) -> None:
        module = plugins.load(KIND, plugin.name)
        self.build, self.given = module.build, dict(plugin.options)
        self.offered: Mapping[str, tuple[Any, ...]] = dict(getattr(module, "CHOICES", {}))
        self.in_features = 6
        try:
            self.make()
        except SpaceError:  # one that cannot change the width
            self.in_features = WIDTH

    @property
    def variants(self) -> list[dict[str, Any]]:
        """Its defaults, and once more for each choice of each option."""
        return [{}] + [{o: choice} for o, choices in self.offered.items() for choice in choices]

    def make(self, **options: Any) -> nn.Module:
        torch.manual_seed(0)
        module: nn.Module = self.build(self.in_features, WIDTH, **{**self.given, **options})
        return module.double()

    def graph(self, nodes: int, edges: int, seed: int = 1) -> tuple[Tensor, Tensor]:
        rng = torch.Generator().manual_seed(seed)
        x = torch.randn(nodes, self.in_features, generator=rng, dtype=torch.float64)
        return x, torch.randint(0, nodes, (2, edges), generator=rng)


@pytest.fixture(scope="module")
def operator(plugin: Plugin) -> Operator:
    return Operator(plugin)


def test_it_is_called_as_operators_are(plugin: Plugin) -> None:
    """`build(in_features, out_features, *, ...)`; what it offers to a search are options of it."""
    _signature.check(KIND, plugin)
    offered = getattr(plugins.load(KIND, plugin.name), "CHOICES", {})
    assert set(offered) <= set(plugins.options(KIND, plugin.name))


def test_output_has_one_row_a_node_and_the_whole_width(operator: Operator) -> None:
    """[N, in], [2, E] -> [N, out], finite, with one node and with no edge too."""
    for options in operator.variants:
        module = operator.make(**options)
        for nodes, edges in SIZES:
            out = module(*operator.graph(nodes, edges))
            assert out.shape == (nodes, WIDTH), options
            assert out.isfinite().all(), options


def test_every_parameter_gets_a_finite_gradient(operator: Operator) -> None:
    """No parameter is counted that the function does not read."""
    for options in operator.variants:
        module = operator.make(**options)
        x, edge_index = operator.graph(20, 60)
        x.requires_grad_()
        module(x, edge_index).square().sum().backward()
        assert x.grad is not None
        assert x.grad.isfinite().all()
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, (name, options)
            assert parameter.grad.isfinite().all(), (name, options)


def test_nodes_have_no_order(operator: Operator) -> None:
    """Permuting the nodes permutes the output; the order of the edges changes nothing."""
    order = torch.randperm(20, generator=torch.Generator().manual_seed(2))
    other = torch.randperm(60, generator=torch.Generator().manual_seed(3))
    for options in operator.variants:
        module = operator.make(**options).eval()
        x, edge_index = operator.graph(20, 60)
        shuffled = order.argsort()[edge_index][:, other]
        moved = module(x[order], shuffled)
        torch.testing.assert_close(moved, module(x, edge_index)[order])
        # The control: the order does matter when the output is not permuted with it.
        assert not torch.allclose(moved, module(x, edge_index))


def test_isolated_nodes_are_finite_in_value_and_gradient(operator: Operator) -> None:
    """Nodes without edges, beside nodes with some and alone."""
    module = operator.make()
    x, edge_index = operator.graph(10, 12)
    x.requires_grad_()
    for edges in (edge_index % 4, edge_index[:, :0]):
        module.zero_grad()
        out = module(x, edges)
        assert out.isfinite().all()
        out.square().sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


def test_graphs_side_by_side_do_not_touch(operator: Operator) -> None:
    """Two graphs in one batch give what each gives alone."""
    for options in operator.variants:
        module = operator.make(**options).eval()
        first, second = operator.graph(9, 30), operator.graph(5, 8, seed=4)
        x = torch.cat([first[0], second[0]])
        edge_index = torch.cat([first[1], second[1] + 9], dim=1)
        alone = torch.cat([module(*first), module(*second)])
        torch.testing.assert_close(module(x, edge_index), alone)


def test_the_seed_decides_the_weights(operator: Operator) -> None:
    """Built twice after the same seed, an operator is the same."""
    graph = operator.graph(9, 30)
    assert torch.equal(operator.make().eval()(*graph), operator.make().eval()(*graph))


def test_every_choice_of_an_option_makes_a_difference(operator: Operator) -> None:
    """No two choices of an option give the same output for the same seed."""
    if not operator.offered:
        pytest.skip("it offers no option to a search: it has no CHOICES")
    graph = operator.graph(9, 30)
    for option, choices in operator.offered.items():
        outputs = [operator.make(**{option: choice}).eval()(*graph) for choice in choices]
        for i, one in enumerate(outputs):
            assert all(not torch.allclose(one, other) for other in outputs[:i]), option


def test_export_holds_for_every_size(operator: Operator) -> None:
    """torch.export with dynamic sizes agrees with the module, one node and no edge included."""
    module = operator.make().float().eval()
    x, edge_index = operator.graph(20, 60)
    shapes = ({0: Dim("N", min=1)}, {1: Dim("E", min=0)})
    program = export(module, (x.float(), edge_index), dynamic_shapes=shapes).module()
    for nodes, edges in SIZES:
        x, edge_index = operator.graph(nodes, edges)
        torch.testing.assert_close(program(x.float(), edge_index), module(x.float(), edge_index))
