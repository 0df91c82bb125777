"""Every operator computes in a cohort what PyTorch Geometric's module computes."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import pytest
import torch
from small import CPU, FEATURES, NODES, Cohort, matrices_of, odd_features, odd_graph, stacked
from torch import Tensor, nn
from torch_geometric.nn import (
    APPNP,
    ARMAConv,
    ChebConv,
    GINConv,
    GraphConv,
    MessagePassing,
    SAGEConv,
    SGConv,
    TAGConv,
)

from evaluators.engine.dropout import Draws
from evaluators.engine.fields import Field
from evaluators.engine.kernels._base import Pass, kernel_of
from evaluators.engine.kernels._site import Site
from evaluators.engine.kernels.dropout import Dropout
from evaluators.engine.matrices import KINDS, Matrices, prepare
from evaluators.engine.values import Input, dense
from search_spaces import plugins
from search_spaces.decision import Choice

UNITS = torch.tensor([3, 0, NODES - 1, 17, NODES - 2, 8])
Options = dict[str, Choice]
_SPECTRAL = ("gcn", "sg", "appnp", "tag", "arma", "cheb")


def _cases() -> Iterator[tuple[str, Options]]:
    for name in plugins.names("operator"):
        choices: Mapping[str, tuple[Choice, ...]] = getattr(
            plugins.load("operator", name), "CHOICES", {}
        )
        for options in itertools.product(*choices.values()):
            yield name, dict(zip(choices, options, strict=True))


CASES = [pytest.param(n, o, id="-".join(map(str, [n, *o.values()]))) for n, o in _cases()]


def _widths(operator: str, options: Options) -> list[tuple[int, ...]]:
    """Two layers each, of three networks that can train together: wider and narrower ones."""
    if operator == "skip":
        return [(FEATURES, FEATURES)] * 3
    if "heads" in plugins.options("operator", operator):
        return [(32, 16)] * 3
    return [(64, 10), (40, 16), (33, 13)]


def _networks(operator: str, options: Options, dtype: torch.dtype) -> list[nn.Module]:
    torch.manual_seed(5)
    made = [stacked(operator, w, options).to(dtype) for w in _widths(operator, options)]
    for network in made:
        # Biases begin at 0, and so does eps: what is wrong with them would not show.
        for parameter in network.parameters():
            if parameter.dim() == 1:
                nn.init.uniform_(parameter, -0.5, 0.5)
    return list(made)


def _fields(matrices: Matrices, hops: int) -> list[Field]:
    return [Field.whole(matrices, UNITS), Field.around(matrices, UNITS, hops)]


def _upstream(dtype: torch.dtype) -> Tensor:
    return torch.randn(UNITS.numel(), 3, dtype=dtype, generator=torch.Generator().manual_seed(1))


def _differs(found: Tensor, expected: Tensor) -> bool:
    scale = expected.abs().max().clamp(min=1e-3)
    return bool((found - expected).abs().max() > 1e-9 * scale)


def _wrong(cohort: Cohort, x: Tensor, edge_index: Tensor) -> list[str]:
    """What is not equal: outputs and gradients, by name."""
    scores = cohort.scores()
    upstream = _upstream(x.dtype)
    scores.backward(upstream.expand_as(scores))
    wrong = []
    for run, network in enumerate(cohort.stack.networks):
        network.zero_grad()
        expected = network(x, edge_index)[UNITS]
        expected.backward(upstream)
        if _differs(scores[run], expected):
            wrong.append(f"output of {run}")
        gradients = cohort.gradients(run)
        own = dict(network.named_parameters())
        if not cohort.stack.kept and gradients.keys() != own.keys():
            wrong.append(f"parameters {gradients.keys() ^ own.keys()}")
        wrong += [
            f"{name} of {run}"
            for name, gradient in gradients.items()
            if _differs(gradient, own[name].grad)  # type: ignore[arg-type]
        ]
    return wrong


@pytest.mark.parametrize("edges", [90, 2 * NODES**2])
@pytest.mark.parametrize(("operator", "options"), CASES)
def test_equals_the_module(operator: str, options: Options, edges: int) -> None:
    """Output and gradients are the module's, for all nodes and around some; with parallel edges."""
    x, edge_index = odd_features(3), odd_graph(4, edges=edges)
    matrices = matrices_of(edge_index, NODES)
    networks = _networks(operator, options, torch.float64)
    for sparse in (True, False):
        for field in _fields(matrices, Cohort(networks, _whole(matrices), x, sparse=sparse).hops):
            cohort = Cohort(networks, field, x, sparse=sparse)
            assert cohort.programs[0].stock == ()
            assert _wrong(cohort, x, edge_index) == []


def _whole(matrices: Matrices) -> Field:
    return Field.whole(matrices, UNITS)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("operator", ["sage", "graph"])
def test_maxima_of_many_graphs(operator: str, seed: int) -> None:
    """Ties are among few values, so they are many; each graph has others."""
    x, edge_index = odd_features(seed), odd_graph(seed)
    matrices = matrices_of(edge_index, NODES)
    networks = _networks(operator, {"aggregation": "max"}, torch.float64)
    for sparse in (True, False):
        for field in _fields(matrices, 2):
            assert _wrong(Cohort(networks, field, x, sparse=sparse), x, edge_index) == []


def _propagates(operator: str) -> bool:
    modules = plugins.load("operator", operator).build(8, 8).modules()
    return any(isinstance(module, MessagePassing) for module in modules)


@pytest.mark.parametrize("operator", plugins.names("operator"))
def test_a_moved_edge_shows(operator: str) -> None:
    """The control: the comparison fails over another graph, where the operator reads it at all."""
    x, edge_index = odd_features(3), odd_graph(4)
    moved = edge_index.clone()
    place = int((edge_index[1] == UNITS[0]).nonzero()[0])
    moved[0, place] = (moved[0, place] + 1) % (NODES - 3)
    networks = _networks(operator, {}, torch.float64)
    cohort = Cohort(networks, _whole(matrices_of(moved, NODES)), x, sparse=False)
    assert bool(_wrong(cohort, x, edge_index)) == _propagates(operator)


@pytest.mark.parametrize("operator", [*_SPECTRAL, "sage", "graph", "gin"])
def test_a_changed_weight_shows(operator: str) -> None:
    """The control: the comparison fails for matrices of which one weight is another."""
    x, edge_index = odd_features(3), odd_graph(4)
    tensors = dict(prepare(torch.empty(NODES, 0, dtype=torch.float64), edge_index))
    matrices = Matrices(tensors, NODES)
    for kind in KINDS:
        matrix = matrices.of(kind)
        values = matrix.values.clone()
        values[int(matrix.crow[UNITS[0]])] *= 1 + 1e-6
        tensors[f"{kind}.values"] = values
    networks = _networks(operator, {}, torch.float64)
    cohort = Cohort(networks, _whole(Matrices(tensors, NODES)), x, sparse=False)
    assert _wrong(cohort, x, edge_index)


def _draws(
    runs: Sequence[int], p: float, dtype: torch.dtype, *, share_input: bool = False
) -> Draws:
    epochs, probabilities = [0 for _ in runs], [p for _ in runs]
    seeds = [(7, run) for run in runs]
    return Draws(seeds, epochs, probabilities, share_input=share_input, dtype=dtype, device=CPU)


@pytest.mark.parametrize(("operator", "options"), CASES)
def test_equals_the_module_on_what_dropout_kept(operator: str, options: Options) -> None:
    """The first layer's input, dropped: as the module computes it from dropped features."""
    x, edge_index = odd_features(3), odd_graph(4)
    matrices = matrices_of(edge_index, NODES)
    torch.manual_seed(2)
    width = FEATURES if operator == "skip" else 16
    networks = [stacked(operator, (width,), options).double() for _ in range(2)]
    for sparse, share in itertools.product((True, False), (True, False)):
        for field in _fields(matrices, Cohort(networks, _whole(matrices), x, sparse=sparse).hops):
            cohort = Cohort(networks, field, x, sparse=sparse)
            scores = cohort.scores(_draws(range(2), 0.4, x.dtype, share_input=share))
            scores.backward(_upstream(x.dtype).expand_as(scores))
            dropped = _dropped(cohort, _draws(range(2), 0.4, x.dtype, share_input=share))
            for run, network in enumerate(networks):
                network.zero_grad()
                expected = network(dropped[min(run, len(dropped) - 1)], edge_index)[UNITS]
                expected.backward(_upstream(x.dtype))
                assert not _differs(scores[run], expected)
                for name, gradient in cohort.gradients(run).items():
                    assert not _differs(gradient, network.get_parameter(name).grad), name


def _dropped(cohort: Cohort, draws: Draws) -> Tensor:
    """[K or 1, N, F]: the features that the first layer reads."""
    field, rows = cohort.field, cohort.field.rows(cohort.hops)
    at = Pass(field, cohort.compiled.runs, draws)
    site = Site(cohort.stack, "", [], [])
    value = Dropout(site)(at, Input(cohort.features, rows), cohort.hops)
    kept = dense(value)
    if field.order is None:
        return kept
    dropped = kept.new_zeros(kept.size(0), NODES, FEATURES)
    dropped[:, field.order[:rows]] = kept
    return dropped


@pytest.mark.parametrize(("operator", "options"), CASES)
def test_company_changes_no_bit(operator: str, options: Options) -> None:
    """Output and gradients of a run are the same bits alone and beside others, with dropout."""
    x, edge_index = odd_features(3, dtype=torch.float32), odd_graph(4)
    matrices = matrices_of(edge_index, NODES, torch.float32)
    networks = _networks(operator, options, torch.float32)
    hops = Cohort(networks, _whole(matrices), x, sparse=True).hops
    for sparse, field in zip((True, False), _fields(matrices, hops), strict=True):
        together = Cohort(networks, field, x, sparse=sparse)
        scores = together.scores(_draws(range(3), 0.3, x.dtype))
        scores.backward(_upstream(x.dtype).expand_as(scores))
        for run, network in enumerate(networks):
            alone = Cohort([network], field, x, sparse=sparse)
            own = alone.scores(_draws([run], 0.3, x.dtype))
            own.backward(_upstream(x.dtype)[None])
            assert torch.equal(scores[run], own[0])
            theirs, mine = together.gradients(run), alone.gradients(0)
            assert all(torch.equal(theirs[name], mine[name]) for name in mine)


@pytest.mark.parametrize(("operator", "options"), CASES)
def test_padding_stays_zero(operator: str, options: Options) -> None:
    """No gradient beyond a network's own weights, so training leaves them at 0."""
    x, edge_index = odd_features(3), odd_graph(4)
    networks = _networks(operator, options, torch.float64)
    cohort = Cohort(networks, _whole(matrices_of(edge_index, NODES)), x, sparse=True)
    scores = cohort.scores(_draws(range(3), 0.3, x.dtype))
    scores.backward(_upstream(x.dtype).expand_as(scores))
    for number, leaf in enumerate(cohort.stack.leaves):
        if leaf.grad is None:
            continue
        for run in range(len(networks)):
            own = torch.zeros(leaf[run].numel(), dtype=torch.bool)
            for part in cohort.stack.parts.values():
                if part.leaf == number:
                    own[part.positions[run].reshape(-1)] = True
            assert not leaf[run].detach().reshape(-1)[~own].any()
            assert not leaf.grad[run].reshape(-1)[~own].any()


def _perceptron(*parts: nn.Module) -> nn.Module:
    return nn.Sequential(*parts)


@pytest.mark.parametrize(
    "module",
    [
        SAGEConv(4, 4, project=True),
        SAGEConv(4, 4, normalize=True),
        SAGEConv(4, 4, root_weight=False),
        SAGEConv(4, 4, aggr="median"),
        GraphConv(4, 4, aggr="min"),
        GraphConv(4, 4, flow="target_to_source"),
        GINConv(_perceptron(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))),
        GINConv(nn.Linear(4, 4)),
        TAGConv(4, 4, normalize=False),
        ChebConv(4, 4, K=2, normalization="rw"),
        ChebConv(4, 4, K=2, normalization=None),
        ARMAConv(4, 4),
        ARMAConv(4, 4, num_stacks=2, act=None),
        SGConv(4, 4, cached=True),
        SGConv(4, 4, add_self_loops=False),
        APPNP(K=2, alpha=0.1, dropout=0.5),
        APPNP(K=2, alpha=0.1, normalize=False),
    ],
    ids=str,
)
def test_other_options_are_refused(module: nn.Module) -> None:
    """A kernel takes no module whose options it does not compute."""
    assert kernel_of(module) is None


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_filter_of_few_terms(k: int) -> None:
    """Chebyshev filters of degree 0, 1, 2: the recurrence begins with special cases."""
    x, edge_index = odd_features(3), odd_graph(4)
    for width in (10, 40):
        network = _Filter(ChebConv(FEATURES, width, K=k), width).double()
        for sparse, field in itertools.product(
            (True, False), _fields(matrices_of(edge_index, NODES), k - 1)
        ):
            assert _wrong(Cohort([network], field, x, sparse=sparse), x, edge_index) == []


class _Filter(nn.Module):
    def __init__(self, operator: nn.Module, width: int) -> None:
        super().__init__()
        self.operator, self.output = operator, nn.Linear(width, 3)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        scores: Tensor = self.output(self.operator(x, edge_index))
        return scores
