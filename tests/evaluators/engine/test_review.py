"""Networks that look like others and are not; each is trained as the usual loop trains it."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from parity_cases import Case, ring
from parity_measure import CPU
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, TransformerConv

from evaluators import _paths, _stock
from evaluators._batches import Batches
from evaluators._folds import Fold
from evaluators._recipe import Recipe
from evaluators._runs import Allowance, Run
from evaluators.engine.edges import Edges
from evaluators.engine.graph import Graph
from evaluators.engine.reading import read
from evaluators.engine.stack import exact, rounded
from evaluators.engine.tracing import UnreadableError

RING = ring()
FEATURES, CLASSES, WIDTH = RING.x.size(1), RING.n_classes, 8
Between = Callable[[Any, Tensor, Tensor], Tensor]
Make = Callable[[], nn.Module]


class Network(nn.Module):
    """Two layers, and what is between them."""

    def __init__(self, between: Between, **modules: nn.Module) -> None:
        super().__init__()
        self.first, self.second = GCNConv(FEATURES, WIDTH), GCNConv(WIDTH, CLASSES)
        self.between = between
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.between(self, self.first(x, edge_index), edge_index)
        scores: Tensor = self.second(x, edge_index)
        return scores


def frozen(network: nn.Module, name: str) -> nn.Module:
    for own, parameter in network.named_parameters():
        parameter.requires_grad_(not own.startswith(name))
    return network


def twice() -> nn.Module:
    norm = nn.BatchNorm1d(WIDTH, affine=False)
    return Network(lambda n, h, _: n.b(F.relu(n.a(h))), a=norm, b=norm)


def hooked() -> nn.Module:
    network: Any = Network(lambda _, h, __: F.relu(h))
    network.first.register_propagate_forward_hook(lambda *given: 2 * given[2])
    return network  # type: ignore[no-any-return]


def hooked_backward() -> nn.Module:
    network: Any = Network(lambda _, h, __: F.relu(h))
    network.second.register_full_backward_hook(lambda _, gradients, __: (0 * gradients[0], None))
    return network  # type: ignore[no-any-return]


def hooked_parameter() -> nn.Module:
    network: Any = Network(lambda _, h, __: F.relu(h))
    network.first.lin.weight.register_hook(lambda gradient: 0 * gradient)
    return network  # type: ignore[no-any-return]


def _as_it_is(x_j: Tensor, edge_weight: Tensor) -> Tensor:
    return x_j


def replaced_method() -> nn.Module:
    network: Any = Network(lambda _, h, __: F.relu(h))
    network.first.message = _as_it_is
    return network  # type: ignore[no-any-return]


def transformer() -> nn.Module:
    return Network(lambda n, h, e: n.layer(h, e), layer=TransformerConv(WIDTH, WIDTH))


IN_PLACE = nn.ReLU(inplace=True)
PLAIN: Mapping[str, Make] = {"plain": lambda: Network(lambda _, h, __: F.relu(h))}
READ: Mapping[str, Make] = {
    "a module that has the name of a function": lambda: Network(
        lambda n, h, _: n.leaky_relu(n.elu(h)), leaky_relu=nn.LeakyReLU(0.5), elu=nn.Linear(8, 8)
    ),
    "in place": lambda: Network(lambda n, h, _: n.act(h), act=IN_PLACE),
    "a frozen layer": lambda: frozen(Network(lambda _, h, __: F.relu(h)), "first"),
    "half of a joint tensor is frozen": lambda: frozen(transformer(), "layer.lin_value"),
    "the other half": lambda: frozen(transformer(), "layer.lin_key"),
}
UNREAD: Mapping[str, Make] = {
    "a sum with a factor": lambda: Network(lambda _, h, __: torch.add(h, h.relu(), alpha=0.5)),
    "in place, of what others read": lambda: Network(lambda n, h, _: h + n.act(h), act=IN_PLACE),
    "in place, of the same by another name": lambda: Network(
        lambda n, h, _: n.same(h) + n.act(h), act=IN_PLACE, same=nn.Identity()
    ),
    "one buffer in two places": twice,
    "a layer's hook": hooked,
    "a hook of the backward pass": hooked_backward,
    "a parameter's hook": hooked_parameter,
    "a replaced method": replaced_method,
}
FAULTY: Mapping[str, Make] = {
    "layers": lambda: Network(lambda n, h, e: n.layer(h, e), layer=GCNConv(WIDTH + 1, WIDTH)),
    "a normalization": lambda: Network(lambda n, h, _: n.norm(h), norm=nn.BatchNorm1d(WIDTH + 1)),
    "a dimension too many": lambda: Network(lambda _, h, __: torch.stack([h, h]).amax(0, True)),
}


def made(kinds: Mapping[str, Make], kind: str) -> nn.Module:
    torch.manual_seed(0)
    return kinds[kind]()


def trained(network: nn.Module) -> Run:
    fold = Fold(RING.train.nonzero().squeeze(1), RING.val.nonzero().squeeze(1))
    recipe = Recipe(0.1, 5e-4, 0.0, "sgd", None, 128)
    return Run(network, recipe, fold, 0, 0, 0, 5, Allowance(None))


def by_the_engine(networks: Sequence[nn.Module]) -> list[Run]:
    runs = [trained(network) for network in networks]
    _paths.train(runs, Batches(RING), _paths.Means(device="cpu"))
    return runs


def by_the_loop(network: nn.Module) -> Run:
    run = trained(network)
    _stock.train(run, Batches(RING))
    return run


def are_equal(ours: Run, theirs: Run) -> bool:
    """Of weights, before and after; equal but for rounding."""
    expected = theirs.network.state_dict()
    found = ours.network.state_dict()
    assert list(found) == list(expected)
    assert ours.fault is None
    pairs = [(found[name], expected[name]) for name in expected]
    pairs.append((ours.state.best_logits, theirs.state.best_logits))
    return all(torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in pairs)


@pytest.mark.parametrize("kind", READ)
def test_what_is_read_is_what_it_looks_like(kind: str) -> None:
    """The engine's weights after some steps are those of the usual loop."""
    (ours,) = by_the_engine([made(READ, kind)])
    assert ours.notes["path"] == "fast"
    assert are_equal(ours, by_the_loop(made(READ, kind)))


@pytest.mark.parametrize("kind", UNREAD)
def test_what_is_not_what_it_looks_like_is_not_read(kind: str) -> None:
    """It is trained by the usual loop, and its notes say so."""
    (ours,) = by_the_engine([made(UNREAD, kind)])
    assert ours.notes["path"] == "stock"
    assert are_equal(ours, by_the_loop(made(UNREAD, kind)))


def test_they_are_not_plain_networks() -> None:
    """The control: each of them is not what the engine would have made of it."""
    plain = by_the_loop(made(PLAIN, "plain"))
    for kind in ("a layer's hook", "a parameter's hook", "a replaced method"):
        assert not are_equal(by_the_loop(made(UNREAD, kind)), plain)


@pytest.mark.parametrize("kind", FAULTY)
def test_modules_that_do_not_fit_together(kind: str) -> None:
    """A fault of the candidate, not of the program; those beside it are trained."""
    faulty, sound = by_the_engine([made(FAULTY, kind), made(READ, "in place")])
    assert faulty.fault is not None
    assert faulty.fault.failure.kind == "error"
    assert are_equal(sound, by_the_loop(made(READ, "in place")))


def test_frozen_and_trained_side_by_side() -> None:
    """What one run does not train, another does."""
    networks = [made(PLAIN, "plain"), made(READ, "a frozen layer")]
    for order in (networks, networks[::-1]):
        ours = by_the_engine(copy.deepcopy(order))
        for run, network in zip(ours, order, strict=True):
            assert run.notes["path"] == "fast"
            assert are_equal(run, by_the_loop(copy.deepcopy(network)))


@pytest.mark.parametrize("width", [48, 80, 96])
def test_attention_beside_other_layers(width: int) -> None:
    """Outputs of equal widths can be added, whatever computed them."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = GATConv(FEATURES, width // 8, heads=8), GCNConv(FEATURES, width)
            self.output = nn.Linear(width, CLASSES)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            scores: Tensor = self.output(self.a(x, edge_index) + self.b(x, edge_index))
            return scores

    torch.manual_seed(0)
    network = Both()
    (ours,) = by_the_engine([copy.deepcopy(network)])
    assert ours.notes["path"] == "fast"
    assert are_equal(ours, by_the_loop(network))


@pytest.mark.parametrize("connectivity", ["residual", "jk", "dense"])
def test_layers_as_wide_as_the_features(connectivity: str) -> None:
    """Which are not padded, where the layers' columns are: they are added all the same."""
    assert rounded(FEATURES) != exact(FEATURES)
    case = Case("gcn", 2, connectivity=connectivity, width=FEATURES)
    network = case.network(RING.task)
    (ours,) = by_the_engine([copy.deepcopy(network)])
    assert ours.notes["path"] == "fast"
    assert are_equal(ours, by_the_loop(network))


def test_pieces_of_other_widths_are_not_added() -> None:
    """Two pieces of 8 columns are not one of 16, though both have 16."""

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Linear(FEATURES, n) for n in (8, 8, 16))
            self.output = nn.Linear(16, CLASSES)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            scores: Tensor = self.output(torch.cat([self.a(x), self.b(x)], dim=1) + self.c(x))
            return scores

    with pytest.raises(UnreadableError, match="columns are not the same"):
        read(Mixed(), FEATURES)


def test_a_fault_of_the_engine_costs_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what it cannot train is trained the usual way, with a warning, from where it was."""

    def fails(*_: object) -> Tensor:
        raise RuntimeError("no such product; anywhere")

    torch.manual_seed(0)
    networks = [Case(name, 2).network(RING.task) for name in ("gcn", "gat", "gat")]
    expected = [by_the_loop(copy.deepcopy(network)) for network in networks]
    monkeypatch.setattr(Edges, "dots", fails)
    found = by_the_engine(networks)
    assert [run.notes["path"] for run in found] == ["fast", "stock", "stock"]
    assert "warning" not in found[0].notes
    for run in found[1:]:
        assert "the engine failed, please report it" in run.notes["warning"]
        assert "RuntimeError: no such product, anywhere (test_review.py" in run.notes["warning"]
    assert all(are_equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))


def test_the_whole_graph_is_kept_once() -> None:
    """Losses that see all of it share what is made of it; each has its own units."""
    graph = Graph(RING, torch.float32, CPU)
    program = read(Network(lambda n, h, _: n.norm(h), norm=nn.BatchNorm1d(WIDTH)), FEATURES)
    parts = torch.split(RING.train.nonzero().squeeze(1), 10)
    views = [graph.view(units, program, training=True) for units in parts]
    products = {id(view.field.product("gcn", RING.x.size(0), RING.x.size(0))) for view in views}
    assert len(products) == len({id(view.features) for view in views}) == 1
    for view, units in zip(views, parts, strict=True):
        assert view.field.is_whole
        assert torch.equal(view.field.units, units)
        assert torch.equal(view.y, RING.y[units])


def test_a_run_that_stopped_at_an_earlier_rung_has_its_notes() -> None:
    """As if it had been trained now."""
    (ours,) = by_the_engine([made(PLAIN, "plain")])
    again = trained(ours.network)
    again.state = ours.state
    _paths.train([again], Batches(RING), _paths.Means(device="cpu"))
    assert again.notes == ours.notes
