"""The extension: which decisions there are, what is refused, and what is known before training."""

import dataclasses
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import sparse
from torch import nn

from evaluators.datasets import Dataset
from evaluators.facts import facts
from nas.contracts import graphs
from nas.export._graph import facts_left
from nas.setting_up import set_up
from nas.spec import SpecError, spec_from_mapping
from search_spaces import Architecture, Decision, SearchSpace, SpaceError, Task, gnn
from search_spaces.extensions import neighborhood, quantization, sparsity
from search_spaces.sparsity.edges import EdgeCounts
from search_spaces.sparsity.network import Sparse

TASK = sparse.DATASET.task
RESIDUAL = {"connectivity": ["residual"], "depth": [3], "pre_layers": [1], "width": [16]}
DEGREES = torch.bincount(sparse.DATASET.edge_index[1], minlength=90)


def extension(base: SearchSpace, **options: Any) -> SearchSpace:
    return base.extended(sparsity.build(base, TASK, **options))


def test_only_what_a_method_looks_at_is_decided() -> None:
    """So that no two architectures are the same one."""
    space = extension(
        sparse.space(given=RESIDUAL),
        method=["granet", "snip", "lottery", "layer_ticket", "dynamic"],
        weight_density=[1.0, 0.5],
        edge_density=[1.0, 0.8],
        structure=["none", "units"],
        scope=["global", "layer"],
        over_epochs=[30, 60],
        every=[5, 10],
        rounds=[2, 3],
    )
    expected = {
        "granet": {"scope", "over_epochs", "every"},
        "snip": {"scope", "structure"},
        "lottery": {"scope", "over_epochs", "rounds"},
        "layer_ticket": set(),
        "dynamic": {"over_epochs", "every"},
    }
    for method, names in expected.items():
        for density in (0.5, 1.0):
            chosen = sparse.first(
                space, **{"sparsity.method": method, "sparsity.weight_density": density}
            )
            decided = {n.removeprefix("sparsity.") for n in chosen.choices if "sparsity." in n}
            of_weights = {"scope", "structure"} if density == 1 else set()
            assert decided == {"method", "weight_density", "edge_density"} | names - of_weights
    one, other = pickle.loads(pickle.dumps(space)), space  # noqa: S301 - our own
    assert (one, one.digest) == (other, other.digest)


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ({}, {"weight_density": [1.0]}, "1 both, so nothing is pruned"),
        ({}, {"method": ["granet"], "structure": ["units"]}, "again and again"),
        ({}, {"method": ["snip"], "structure": ["layers"]}, 'add connectivity = ["residual"]'),
        ({}, {"method": ["layer_ticket"]}, 'add connectivity = ["residual"]'),
        ({}, {"method": ["snip"], "structure": ["heads"]}, 'or leave "heads" out'),
        (RESIDUAL, {"method": ["layer_ticket"], "structure": ["units"]}, '"units" go once'),
        ({}, {"edge_mode": "inductive"}, "give edge_density a choice below 1"),
        ({}, {"every": [2, 6], "over_epochs": [5, 20]}, "lower every, or raise over_epochs"),
    ],
)
def test_what_makes_no_sense_is_refused(
    given: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpaceError, match=re.escape(message)):
        extension(sparse.space(given=given), **options)


def test_a_schedule_is_judged_by_methods_that_have_one() -> None:
    """Controls of what is refused: nothing changes every few epochs; as long as the schedule."""
    extension(sparse.space(), method=["magnitude"], every=[6], over_epochs=[5])
    extension(sparse.space(), method=["granet"], every=[5], over_epochs=[5])


@pytest.mark.parametrize(
    ("given", "method", "structure", "density", "is_whole"),
    [
        ({"connectivity": ["plain", "residual"], "depth": [3]}, "layer_ticket", "", 0.5, True),
        (RESIDUAL, "layer_ticket", "", 0.5, False),
        (RESIDUAL, "layer_ticket", "", 0.9, True),
        ({"operators": ["gat"], "heads": [1]}, "snip", "heads", 0.5, True),
        ({"operators": ["gat"], "heads": [4]}, "snip", "heads", 0.5, False),
        ({"width": [1]}, "snip", "units", 0.5, True),
        ({}, "snip", "units", 0.5, False),
        ({}, "snip", "none", 0.5, False),
    ],
)
def test_it_is_remarked_where_nothing_is_left_out(
    given: dict[str, Any], method: str, structure: str, density: float, is_whole: bool
) -> None:
    """As many parameters as of the dense network, if and only if."""
    options: dict[str, Any] = {"structure": structure} if structure else {}
    space = sparse.pruned(
        sparse.space(given=given), method=method, weight_density=density, **options
    )
    remark = space.extensions[-1].remark
    assert remark is not None
    said = remark(sparse.first(space), TASK)
    assert ("nothing is left out of this network" in said) == is_whole
    found, dense = known(space), plain_facts(given)
    assert (found["nonzero_params"] == dense["params"]) == is_whole


def test_of_spaces_and_tasks_that_are_not_for_it() -> None:
    """Structures of modules that are not known, tickets of many graphs, binary weights."""
    plain = sparse.space()
    behind = plain.extended(neighborhood.build(plain, TASK))
    with pytest.raises(SpaceError, match="does not say which modules"):
        extension(behind, method=["snip"], structure=["units"])
    extension(behind, method=["snip"])
    many = graphs.graph_set().task
    base = gnn.build(many, operators=["gin"])
    with pytest.raises(SpaceError, match='edge_mode = "inductive"'):
        sparsity.build(base, many, edge_density=[0.5])
    sparsity.build(base, many, edge_density=[0.5], edge_mode="inductive")
    bits = plain.extended(
        quantization.build(plain, TASK, weight_bits=["binary", "4"], activation_bits=["8"])
    )
    with pytest.raises(SpaceError, match="has no 0"):
        extension(bits)
    extension(bits, method=["snip"], structure=["units"])


def test_no_extension_comes_after_it() -> None:
    """Which would change networks that it has made already; before it they may."""
    plain = sparse.space()
    first = extension(plain)
    with pytest.raises(SpaceError, match=r"put \[extension.sparsity\] behind \[extension.quant"):
        first.extended(quantization.build(first, TASK, weight_bits=[4], activation_bits=[8]))
    other = plain.extended(quantization.build(plain, TASK, weight_bits=[4], activation_bits=[8]))
    assert extension(other).name == "gnn+quantization+sparsity"


def study(epochs: int, *extensions: tuple[str, dict[str, Any]]) -> Any:
    return spec_from_mapping(
        {
            "study": {"name": "x", "objectives": {"val_accuracy": "maximize"}},
            "space": {"name": "gnn", "depth": [1]},
            "extension": dict(extensions),
            "dataset": {"name": "digits_knn"},
            "strategy": {"name": "random"},
            "evaluator": {"name": "training", "epochs": epochs},
            "budget": {"trials": 1},
        }
    )


@pytest.mark.parametrize(
    ("options", "least", "shorter"),
    [
        ({}, 20, "over_epochs"),
        ({"over_epochs": [10, 30]}, 30, "over_epochs"),
        (
            {"method": ["snip", "lottery"], "over_epochs": [10], "rounds": [2, 3]},
            30,
            "over_epochs or rounds",
        ),
        ({"method": ["snip"]}, 0, ""),
    ],
)
def test_a_study_trains_for_longer_than_its_schedule(
    options: dict[str, Any], least: int, shorter: str, tmp_path: Path
) -> None:
    set_up(study(least + 1, ("sparsity", options)), tmp_path)
    if least:
        with pytest.raises(SpecError) as caught:
            set_up(study(least, ("sparsity", options)), tmp_path, where="a.toml")
        assert str(caught.value) == (
            f"a.toml: [evaluator] epochs: expected more than {least}, before which networks of "
            f"[extension.sparsity] are not what they become, got {least}; raise it, or lower "
            f"{shorter} in [extension.sparsity]"
        )


def test_a_study_names_the_tables_in_the_wrong_order(tmp_path: Path) -> None:
    bits = ("quantization", {"weight_bits": [4], "activation_bits": [8]})
    few = ("sparsity", {"method": ["snip"]})
    set_up(study(5, bits, few), tmp_path)
    with pytest.raises(SpecError, match=r"\[extension.quantization\] .* has to be the last"):
        set_up(study(5, few, bits), tmp_path)


def known(space: SearchSpace, **choices: Any) -> dict[str, float]:
    return facts(space, sparse.first(space, **choices), TASK, DEGREES)


def plain_facts(given: dict[str, Any]) -> dict[str, float]:
    return known(sparse.space(given=given))


def test_of_single_entries_the_facts_are_dense_but_for_those_that_are_no_zeros() -> None:
    """No mask and no weight of an edge is counted, however they are chosen."""
    dense = plain_facts({})
    half = sparse.network(method="snip", weight_density=0.5)
    entries = sum(weight.numel() for weight in half.weights().values())
    for method in ("granet", "snip", "lottery", "dynamic"):
        for density in (0.5, 0.25):
            space = sparse.pruned(sparse.space(), method=method, weight_density=density)
            found = known(space)
            nonzero = found.pop("nonzero_params")
            # Zeros are left out of the file alone, for a bit an entry.
            stored = found.pop("model_bytes")
            masks = sum(-(-weight.numel() // 8) for weight in half.weights().values())
            gone = entries - round(density * entries)
            assert stored == dense["model_bytes"] - 4 * gone + masks
            assert found == {name: v for name, v in dense.items() if name != "model_bytes"}
            assert nonzero == dense["params"] - entries + round(density * entries)
    network = sparse.network(method="dynamic", weight_density=0.37, over_epochs=2, every=1)
    sparse.begin(network, 1)
    space = sparse.pruned(sparse.space(), method="dynamic", weight_density=0.37)
    assert known(space)["nonzero_params"] == dense["params"] - entries + sum(
        sparse.left(network).values()
    )


@pytest.mark.parametrize("method", ["snip", "granet"])
def test_of_a_ticket_the_facts_are_of_the_edges_left(method: str) -> None:
    """Those of the network on the pruned graph; the control is the whole graph."""
    space = sparse.pruned(sparse.space(), method=method, weight_density=1.0, edge_density=0.5)
    found, dense = known(space), plain_facts({})
    kept = round(0.5 * sparse.DATASET.edge_index.size(1) / 2) * 2
    fewer = dataclasses.replace(TASK, n_edges=kept)
    architecture = sparse.first(sparse.space())
    on_fewer = facts(sparse.space(), architecture, fewer)
    assert found["params"] == found["nonzero_params"] == dense["params"]
    assert found["model_bytes"] == dense["model_bytes"]
    assert found["macs"] == on_fewer["macs"] < dense["macs"]
    assert found["peak_memory_bytes"] == on_fewer["peak_memory_bytes"] < dense["peak_memory_bytes"]


def uneven() -> Dataset:
    """The graph with self-loops, edges that are there twice, and edges of one direction."""
    edges = sparse.DATASET.edge_index
    loops = torch.arange(30).repeat(2, 1)
    forward = torch.stack([torch.arange(0, 40), torch.arange(45, 85)])
    edge_index = torch.cat([edges, loops, forward, edges[:, :20]], dim=1)
    return dataclasses.replace(sparse.DATASET, edge_index=edge_index)


def looped() -> Dataset:
    """Both directions of each edge once, and self-loops."""
    edges = torch.cat([sparse.DATASET.edge_index, torch.arange(30).repeat(2, 1)], dim=1)
    return dataclasses.replace(sparse.DATASET, edge_index=edges.unique(dim=1))


def trained_ticket(dataset: Dataset, **given: Any) -> tuple[SearchSpace, Sparse, int]:
    """A space, its network after training, and how many edges are left."""
    base = sparse.space(dataset, {"operators": ["sage"], "output": ["sage"]})
    space = sparse.pruned(base, dataset, method="snip", weight_density=1.0, **given)
    torch.manual_seed(0)
    network = space.network(sparse.first(space), dataset.task)
    assert isinstance(network, Sparse)
    sparse.begin(network, 1, dataset)
    edges = network.eval().sparsity.edges
    assert edges is not None
    return space, network, edges.choose(dataset.x, dataset.edge_index)[0].size(1)


@pytest.mark.parametrize("mode", ["ticket", "inductive"])
@pytest.mark.parametrize("density", [0.8, 0.3])
def test_facts_know_self_loops(mode: str, density: float) -> None:
    """As many operations as on the edges that are left; the control takes loops for edges."""
    dataset = looped()
    space, _, left = trained_ticket(dataset, edge_density=density, edge_mode=mode)
    task, architecture = dataset.task, sparse.first(space)
    degrees = torch.bincount(dataset.edge_index[1], minlength=90)
    kept = EdgeCounts.of(dataset.edge_index).kept
    found = facts(space, architecture, task, degrees, kept=kept)["macs"]
    # What the rule itself takes depends on all edges.
    same = facts(space, architecture, task, degrees, kept=lambda _: left)["macs"]
    assert found == same != facts(space, architecture, task, degrees)["macs"]
    if mode == "ticket":
        plain = sparse.space(dataset, {"operators": ["sage"], "output": ["sage"]})
        fewer = dataclasses.replace(task, n_edges=left)
        assert found == facts(plain, sparse.first(plain), fewer)["macs"]


def test_where_pairs_differ_facts_are_of_the_mean_and_a_bundle_of_its_graph() -> None:
    """Of edges twice and of one direction it is not known before who is left; then it is."""
    dataset = uneven()
    space, network, _ = trained_ticket(dataset, edge_density=0.5)
    counts = EdgeCounts.of(dataset.edge_index)
    assert counts.loops > 30
    assert counts.edges == dataset.task.n_edges != 2 * counts.pairs + counts.loops
    edges = network.sparsity.edges
    assert edges is not None
    means = []
    for seed in range(40):
        rows = torch.rand(counts.edges, generator=torch.Generator().manual_seed(seed))
        (group,) = network.groups()
        group.keep_top({"edges": rows}, 0.5)
        means.append(edges.choose(dataset.x, dataset.edge_index)[0].size(1))
    assert sum(means) / len(means) == pytest.approx(counts.kept(edges), rel=0.02)
    assert len(set(means)) > 1
    left = means[-1]
    recorded = facts(space, sparse.first(space), dataset.task, DEGREES, kept=counts.kept)
    chosen = Candidate(
        network, space, sparse.first(space), dataset, {"macs": recorded["macs"], "params": 1.0}
    )
    found = facts_left(chosen, network)  # type: ignore[arg-type]
    fewer = dataclasses.replace(dataset.task, n_edges=left)
    plain = sparse.space(dataset, {"operators": ["sage"], "output": ["sage"]})
    assert found == {"macs": facts(plain, sparse.first(plain), fewer)["macs"]}
    assert left == counts.kept(edges) or found["macs"] != recorded["macs"]
    # Without a ticket there is nothing to be told again.
    assert facts_left(chosen, nn.Linear(1, 1)) == {}  # type: ignore[arg-type]


@dataclasses.dataclass
class Candidate:
    """What `facts_left` asks of one."""

    trained: nn.Module
    space: SearchSpace
    architecture: Architecture
    dataset: Dataset
    metrics: dict[str, float]

    @property
    def task(self) -> Task:
        return self.dataset.task


@pytest.mark.parametrize("structure", ["units", "heads", "layers"])
@pytest.mark.parametrize("edges", [1.0, 0.5])
def test_of_structures_the_facts_are_of_the_smaller_network(structure: str, edges: float) -> None:
    """As of one that was trained: parameters, operations, bytes and memory."""
    given = RESIDUAL | {"operators": ["gat"], "heads": [4]}
    space = sparse.pruned(
        sparse.space(given=given),
        method="magnitude",
        weight_density=0.5,
        edge_density=edges,
        structure=structure,
        over_epochs=1,
    )
    architecture = sparse.first(space)
    found, dense = known(space), plain_facts(given)
    torch.manual_seed(0)
    network = space.network(architecture, TASK)
    assert isinstance(network, Sparse)
    for _ in sparse.training(network, 2):
        pass
    leaves = space.deployed(network, architecture)
    assert found["params"] == sum(p.numel() for p in leaves.parameters())
    assert found["nonzero_params"] == found["params"]
    names = ("params", "macs", "model_bytes", "buffer_bytes", "peak_memory_bytes")
    for name in names:
        assert found[name] <= dense[name]
        assert found[name] < dense[name] or name == "buffer_bytes"
    leaving = SearchSpace("leaving", 1, (Decision("one", (1,)),), Built(space, network))
    fewer = dataclasses.replace(TASK, n_edges=edges_left(network))
    again = facts(leaving, leaving.architecture({"one": 1}), fewer)
    assert {name: found[name] for name in names} == {name: again[name] for name in names}


def edges_left(network: Sparse) -> int:
    edges = network.sparsity.edges
    return TASK.n_edges if edges is None else edges.edges_kept(DEGREES)


class Built:
    """What a trained network leaves, as a space of it alone."""

    def __init__(self, space: SearchSpace, network: nn.Module) -> None:
        self.space, self.network = space, network

    def __call__(self, architecture: Architecture, task: Task) -> nn.Module:
        del architecture, task
        return self.space.deployed(self.network, sparse.first(self.space))


def test_a_rule_for_edges_is_part_of_what_leaves() -> None:
    """With its own parameters."""
    space = sparse.pruned(
        sparse.space(), method="snip", weight_density=1.0, edge_density=0.5, edge_mode="inductive"
    )
    found, dense = known(space), plain_facts({})
    scorer = TASK.n_features * 16 + 16 + 16
    assert found["params"] == dense["params"] + scorer
    assert found["model_bytes"] == dense["model_bytes"] + 4 * scorer


def test_embeddings_are_exchanged_too() -> None:
    """As many entries of a table as of any matrix, at all times; the control is snip's table."""
    space = SearchSpace("rows", 1, (Decision("width", (8,)),), rows)
    for method in ("dynamic", "rigl"):
        made = sparse.pruned(space, method=method, weight_density=0.5, over_epochs=6, every=2)
        torch.manual_seed(0)
        network = made.network(sparse.first(made), TASK)
        assert isinstance(network, Sparse)
        counts, masks = set(), []
        for _, _epoch in sparse.training(network, 8):
            counts.add(sparse.left(network)["table.weight"])
            masks.append(sparse.masks(network)["table.weight"])
        assert len(counts) == 1
        assert method != "dynamic" or counts == {round(0.5 * 90 * 8)}
        assert not torch.equal(masks[0], masks[-1])
    still = sparse.pruned(space, method="snip", weight_density=0.5)
    torch.manual_seed(0)
    network = still.network(sparse.first(still), TASK)
    assert isinstance(network, Sparse)
    masks = [sparse.masks(network)["table.weight"] for _ in sparse.training(network, 8)]
    assert torch.equal(masks[0], masks[-1])


def rows(architecture: Architecture, task: Task) -> nn.Module:
    return Table(int(architecture.choices["width"]), task)


class Table(nn.Module):
    """What is known of a node is its number alone."""

    def __init__(self, width: int, task: Task) -> None:
        super().__init__()
        self.table, self.last = nn.Embedding(task.n_nodes, width), nn.Linear(width, task.n_classes)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        del edge_index
        logits: torch.Tensor = self.last(self.table(torch.arange(x.size(0))))
        return logits
