"""Attention kernels: what the operators of a space do not show of them."""

from collections.abc import Iterator
from itertools import product

import pytest
import torch
from small import FEATURES, NODES, Cohort, matrices_of, odd_features, odd_graph
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GATv2Conv, TransformerConv

from evaluators.engine import edges as edges_module
from evaluators.engine.fields import Field
from evaluators.engine.kernels._base import kernel_of
from search_spaces.message_passing import Layer, LayerPlan

OPERATORS = ("gat", "gatv2", "transformer")
UNITS = torch.tensor([3, 0, NODES - 1, 17, NODES - 2, 8])
SCORING = {"gat": "att_src", "gatv2": "att", "transformer": "lin_query.weight"}


class Attending(nn.Module):
    """A map that rounds its columns up, then two layers of odd widths."""

    def __init__(self, operator: str, heads: int) -> None:
        super().__init__()
        self.map = nn.Linear(FEATURES, 10)
        options = {"heads": heads}
        plan = LayerPlan(operator, 3 * heads, activation="tanh", options=options)
        self.first = Layer(10, plan)
        self.second = Layer(3 * heads, LayerPlan(operator, 5 * heads, options=options))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        scores: Tensor = self.second(self.first(self.map(x), edge_index), edge_index)
        return scores


def network(operator: str, heads: int, dtype: torch.dtype, *, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    made = Attending(operator, heads).to(dtype)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5)
    return made


def sharpen(made: nn.Module, operator: str) -> None:
    """Scores in the thousands, whose exponentials are infinite."""
    for name, parameter in made.named_parameters():
        if name.endswith(SCORING[operator]):
            parameter.data.mul_(1e4)


def fields(edge_index: Tensor, dtype: torch.dtype = torch.float64) -> Iterator[Field]:
    matrices = matrices_of(edge_index, NODES, dtype)
    yield Field.whole(matrices, UNITS)
    yield Field.around(matrices, UNITS, 2)


def loss_of(scores: Tensor) -> Tensor:
    weights = torch.linspace(-1, 1, scores[0].numel(), dtype=scores.dtype).view_as(scores[0])
    return (scores * weights).sum() + scores.square().sum()


def wrong(made: nn.Module, field: Field, edge_index: Tensor, *, sparse: bool = True) -> list[str]:
    """Which of output and gradients are not the module's own, to 1e-9 of the largest."""
    x = odd_features(3)
    cohort = Cohort([made], field, x, sparse=sparse)
    assert cohort.programs[0].stock == ()
    scores = cohort.scores()
    torch.autograd.backward(loss_of(scores))
    expected = made(x, edge_index)[None, UNITS]
    own = dict(made.named_parameters())
    gradients = dict(
        zip(own, torch.autograd.grad(loss_of(expected), list(own.values())), strict=True)
    )
    found = cohort.gradients(0)
    assert found.keys() == own.keys()
    scale = max(float(gradient.abs().max()) for gradient in gradients.values())
    differing = [
        name
        for name, gradient in gradients.items()
        if not bool((found[name] - gradient).abs().max() <= 1e-9 * scale)
    ]
    bound = 1e-9 * expected.abs().max()
    return differing + ["output"] * (not bool((scores - expected).abs().max() <= bound))


@pytest.mark.parametrize(("operator", "heads"), list(product(OPERATORS, (1, 2, 4, 8))))
def test_equals_the_module(operator: str, heads: int) -> None:
    """Output and all gradients, for odd widths behind columns that are rounded up."""
    for seed in range(2):
        edge_index, made = odd_graph(seed), network(operator, heads, torch.float64, seed=seed)
        for field, sparse in product(fields(edge_index), (True, False)):
            assert wrong(made, field, edge_index, sparse=sparse) == []


@pytest.mark.parametrize("operator", OPERATORS)
def test_scores_that_overflow(operator: str) -> None:
    """The largest score of a node is subtracted where exponentials would be infinite."""
    edge_index, made = odd_graph(0), network(operator, 2, torch.float64)
    sharpen(made, operator)
    for field in fields(edge_index):
        assert wrong(made, field, edge_index) == []


@pytest.mark.parametrize("operator", OPERATORS)
def test_without_edges(operator: str) -> None:
    """A graph of nodes alone: each has itself, or a bias and the skip."""
    edge_index = torch.empty(2, 0, dtype=torch.int64)
    made = network(operator, 2, torch.float64)
    for field in fields(edge_index):
        assert wrong(made, field, edge_index) == []


@pytest.mark.parametrize("heads", [1, 2, 8])
@pytest.mark.parametrize("operator", OPERATORS)
def test_more_parallel_edges_than_places(operator: str, heads: int) -> None:
    """Few nodes around the units, and many edges between each two of them."""
    torch.manual_seed(0)
    edge_index = torch.randint(NODES, (2, 4 * NODES**2))
    near = torch.tensor([[0, 1, 2, 3], [3, 0, 1, 2]]).repeat(1, 300)
    for edges in (edge_index, near):
        made = network(operator, heads, torch.float64)
        for field in fields(edges):
            assert wrong(made, field, edges) == []


@pytest.mark.parametrize("kind", [GATConv, GATv2Conv, TransformerConv])
def test_modules_without_a_bias(kind: type[nn.Module]) -> None:
    """They compute what stock computes."""
    edge_index, made = odd_graph(0), network("gat", 2, torch.float64)
    assert isinstance(made.first, Layer)
    made.first.operator = kind(10, 3, 2, bias=False).to(torch.float64)
    for field in fields(edge_index):
        assert wrong(made, field, edge_index) == []


def test_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors at edges come block by block; blocks of two edges or one node change nothing."""
    monkeypatch.setattr(edges_module, "_BLOCK", 40)
    edge_index = odd_graph(0)
    for field in fields(edge_index):
        assert wrong(network("gatv2", 4, torch.float64), field, edge_index) == []
        edges = field.edges("loops", field.rows(0), field.rows(1), 4)
        assert len(edges.blocks(20)) > 4


@pytest.mark.parametrize("operator", OPERATORS)
def test_comparison_can_fail(operator: str) -> None:
    """The control: one edge that a unit receives by is missing, and outputs differ."""
    edge_index = odd_graph(0)
    into = (edge_index[1] == UNITS[0]) & (edge_index[0] != UNITS[0])
    lacking = edge_index[:, torch.arange(edge_index.size(1)) != int(into.nonzero()[0])]
    for field in fields(lacking):
        assert "output" in wrong(network(operator, 2, torch.float64), field, edge_index)


@pytest.mark.parametrize(("operator", "heads"), list(product(OPERATORS, (1, 4))))
def test_company_changes_no_bit(operator: str, heads: int) -> None:
    """Three runs together and each alone, also where one of them has scores that overflow."""
    edge_index, x = odd_graph(0), odd_features(3, dtype=torch.float32)
    networks = [network(operator, heads, torch.float32, seed=seed) for seed in range(3)]
    sharpen(networks[1], operator)
    for field, sparse in product(fields(edge_index, torch.float32), (True, False)):
        together = Cohort(networks, field, x, sparse=sparse)
        scores = together.scores()
        torch.autograd.backward([loss_of(each) for each in scores[:, None]])
        for run, made in enumerate(networks):
            alone = Cohort([made], field, x, sparse=sparse)
            own = alone.scores()
            torch.autograd.backward(loss_of(own))
            assert torch.equal(own[0], scores[run])
            theirs = together.gradients(run)
            for name, gradient in alone.gradients(0).items():
                assert torch.equal(gradient, theirs[name]), name


@pytest.mark.parametrize(
    "module",
    [
        GATConv(4, 4, 2, concat=False),
        GATConv(4, 4, 2, dropout=0.5),
        GATConv(4, 4, 2, edge_dim=3),
        GATConv(4, 4, 2, residual=True),
        GATConv(4, 4, 2, add_self_loops=False),
        GATConv((4, 4), 4, 2),
        GATConv(4, 4, 2, flow="target_to_source"),
        GATv2Conv(4, 4, 2, share_weights=True),
        GATv2Conv(4, 4, 2, residual=True),
        GATv2Conv(4, 4, 2, add_self_loops=False),
        GATv2Conv(4, 4, 2, aggr="mean"),
        TransformerConv(4, 4, 2, beta=True),
        TransformerConv(4, 4, 2, root_weight=False),
        TransformerConv(4, 4, 2, concat=False),
        TransformerConv(4, 4, 2, dropout=0.1),
    ],
)
def test_other_options_are_refused(module: nn.Module) -> None:
    """What the kernels do not compute is left to stock."""
    assert kernel_of(module) is None


@pytest.mark.parametrize("kind", [GATConv, GATv2Conv, TransformerConv])
def test_heads_and_bias_are_signed(kind: type[nn.Module]) -> None:
    """Only modules of as many heads, with or without a bias, are stacked."""
    made = [kind(4, 8, 2), kind(4, 4, 4), kind(4, 8, 2, bias=False)]
    kernel = kernel_of(made[0])
    assert kernel is not None
    assert len({kernel.signature(module) for module in made}) == len(made)
