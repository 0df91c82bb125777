"""Sparse networks as bundles: what has gone is gone, and what is claimed is of what is left."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from fakes.sparse_bundles import (
    GRAPH,
    dense_is_faster,
    entries_are_faster,
    made,
    operations,
    settle,
    undecided,
)
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import nas
from evaluators.datasets import load
from nas.cli import main
from nas.contracts.graphs import graph_set
from nas.export._base import BundleError, ExportError
from nas.export._graph import PrunedGraph, digest_of, read_graph
from nas.export._manifest import GRAPH as GRAPH_FILE
from nas.export._manifest import GraphEntry, manifest_digest, text_of
from nas.export._products import SparseMap, timed_products
from nas.export._reading import read_manifest
from nas.export._weights import numbers
from nas.export.bundle import export_trial
from nas.export.load import load_bundle, load_weights
from nas.latency.measure import measure_bundle, measure_trial
from nas.verifying import verify
from search_spaces import plugins
from search_spaces.errors import SpaceError
from search_spaces.plugins import Plugin
from search_spaces.sparsity.edges import Scored, Ticket

WEIGHTS = "weights.safetensors"
GATS = {"operators": ["gat"], "heads": [4]}


@pytest.mark.parametrize("bits", [None, 4])
@pytest.mark.parametrize("structure", ["units", "heads", "layers"])
def test_structures_are_gone_from_the_tensors(
    structure: str, bits: int | None, tmp_path: Path
) -> None:
    """Facts, file and program are of the smaller network, which gives what was searched."""
    # Layers go where something is added to their input; heads where all that is added has some.
    space = {**GATS, "connectivity": ["plain" if structure == "heads" else "residual"]}
    one = made(space=space, bits=bits, structure=(structure,), weight_density=(0.5,))
    whole = made(space=space, bits=bits, weight_density=(1.0,), edge_density=(0.5,))
    manifest = one.bundle(tmp_path / "b")
    weights = load_weights(tmp_path / "b")
    leaving = one.space.deployed(one.network, one.architecture)
    trained = sum(p.numel() for p in one.network.parameters() if p.requires_grad)
    assert one.facts["params"] == trained
    assert sum(t.numel() for t in weights.values()) == sum(
        t.numel() for t in leaving.state_dict().values()
    )
    assert manifest["metrics"]["model_bytes"]["value"] == one.facts["model_bytes"]
    for fact in ("params", "macs", "model_bytes"):
        assert one.facts[fact] < 0.75 * whole.facts[fact], fact
    bundle = load_bundle(tmp_path / "b")
    torch.testing.assert_close(
        bundle.predict(GRAPH.x, GRAPH.edge_index), one.logits, rtol=1e-4, atol=1e-4
    )
    # A program's weights, and all else that is in it, which is of one size.
    program = sum(t.numel() for t in cast(nn.Module, bundle.program).state_dict().values())
    assert program == sum(t.numel() for t in leaving.state_dict().values())
    assert bundle.graph is None
    assert not any("pruned" in note for note in manifest["notes"])


@pytest.mark.parametrize("bits", [None, 8, 4])
def test_weights_are_stored_without_their_zeros(bits: int | None, tmp_path: Path) -> None:
    """And read whole, by their names, as the network computes with them."""
    one = made(bits=bits, weight_density=(0.2,))
    manifest = one.bundle(tmp_path / "b")
    with safe_open(tmp_path / "b" / WEIGHTS, framework="pt") as file:
        names = {*file.keys()}
        said = json.loads(file.metadata()["sparse"])
    assert {name + ".mask" for name in said} == {n for n in names if n.endswith(".mask")}
    read = load_weights(tmp_path / "b")
    expected = one.space.deployed(one.network, one.architecture).state_dict()
    assert {name.removeprefix("network.") for name in read} == {*expected}
    for name, tensor in expected.items():
        torch.testing.assert_close(read[f"network.{name}"], tensor, rtol=1e-6, atol=1e-7)
    for name, how in said.items():
        assert tuple(how["shape"]) == read[name].shape
    left = sum(int((read[name] != 0).sum()) for name in said)
    assert left <= round(0.2 * sum(read[name].numel() for name in said))
    assert "stored without their zeros" in " ".join(manifest["notes"])
    control = made(bits=bits, weight_density=(1.0,), edge_density=(0.9,))
    dense = control.bundle(tmp_path / "dense")
    noted = " ".join(dense["notes"])
    assert "without their zeros" not in noted
    assert "multiplied" not in noted
    size, whole = (each["metrics"]["model_bytes"]["value"] for each in (manifest, dense))
    # The last byte of each tensor may be rounded.
    assert abs(size - one.facts["model_bytes"]) <= len(said)
    assert size < whole


def test_a_damaged_file_of_weights_is_refused(tmp_path: Path) -> None:
    """By its hash in a bundle; by itself in words, whatever is missing or does not fit."""
    made(weight_density=(0.2,)).bundle(tmp_path / "b")
    path = tmp_path / "b" / WEIGHTS
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    name = next(n.removesuffix(".mask") for n in tensors if n.endswith(".mask"))
    spoilt: list[dict[str, torch.Tensor]] = [
        {n: t for n, t in tensors.items() if n != name + ".mask"},
        {n: t for n, t in tensors.items() if n != name},
        tensors | {name: tensors[name][1:].clone()},
        tensors | {name + ".mask": tensors[name + ".mask"][1:].clone()},
    ]
    assert numbers(path), "control"
    for one in spoilt:
        save_file(one, tmp_path / "spoilt.safetensors", metadata)
        with pytest.raises(BundleError, match="cannot be read"):
            numbers(tmp_path / "spoilt.safetensors")
    for text in ('{"x": 3}', '{"x": {"shape": 3}}', "[", '{"x": {"shape": [2]}}'):
        save_file(tensors, tmp_path / "spoilt.safetensors", {"sparse": text})
        with pytest.raises(BundleError, match="cannot be read"):
            numbers(tmp_path / "spoilt.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="damaged"):
        load_weights(tmp_path / "b")


def test_a_ticket_leaves_with_its_graph(tmp_path: Path) -> None:
    """The program on what is left gives what the network gives on the whole graph."""
    one = made(edge_density=(0.5,), weight_density=(1.0,))
    manifest = one.bundle(tmp_path / "b")
    bundle = load_bundle(tmp_path / "b")
    ticket = one.network.sparsity.edges
    assert isinstance(ticket, Ticket)
    assert bundle.graph is not None
    kept = bundle.graph.edge_index
    assert torch.equal(kept, ticket.kept(GRAPH.edge_index))
    assert 0.4 < kept.size(1) / GRAPH.edge_index.size(1) < 0.6
    own = bundle.predict(GRAPH.x, kept)
    torch.testing.assert_close(own, one.logits, rtol=1e-5, atol=1e-5)
    on_all = bundle.predict(GRAPH.x, GRAPH.edge_index)
    assert not torch.allclose(on_all, one.logits, atol=1e-2), "control: the edges matter"
    reached = (own.argmax(1) == GRAPH.y)[GRAPH.val].float().mean()
    assert manifest["metrics"]["val_accuracy"]["value"] == pytest.approx(float(reached))
    assert manifest["programs"][0]["parity"]["graphs"][0] == {
        "N": GRAPH.x.size(0),
        "E": kept.size(1),
    }
    assert manifest["graph"] == {
        "file": GRAPH_FILE,
        "n_nodes": GRAPH.x.size(0),
        "edges": kept.size(1),
        "edges_before": GRAPH.edge_index.size(1),
        "digest_before": digest_of(GRAPH.edge_index, GRAPH.x.size(0)),
    }
    text = (tmp_path / "b" / "README.md").read_text()
    assert f"{kept.size(1):,} of {GRAPH.edge_index.size(1):,} are left" in text
    assert re.search(r"holds for that graph alone", " ".join(manifest["notes"]))
    assert GRAPH_FILE in manifest["files"]


def test_a_bundle_knows_its_graph_in_any_order(tmp_path: Path) -> None:
    """And gives what is left of it; another graph is left as it is."""
    made(edge_density=(0.5,), weight_density=(1.0,)).bundle(tmp_path / "b")
    bundle = load_bundle(tmp_path / "b")
    assert bundle.graph is not None
    nodes, edges = GRAPH.x.size(0), GRAPH.edge_index
    mixed = edges[:, torch.randperm(edges.size(1), generator=torch.Generator().manual_seed(0))]
    assert torch.equal(bundle.edges(mixed, nodes), bundle.graph.edge_index)
    other = edges.clone()
    other[0, 0] = (other[0, 0] + 1) % nodes
    assert bundle.edges(other, nodes) is other
    assert bundle.edges(edges, nodes + 1) is edges
    assert bundle.edges(edges[:, 1:], nodes).size(1) == edges.size(1) - 1


def test_bundles_without_a_ticket_know_of_no_graph(write: Any, tmp_path: Path) -> None:
    """Neither a key in the manifest, nor a file, nor a line."""
    write(tmp_path / "b")
    assert "graph" not in json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert not (tmp_path / "b" / GRAPH_FILE).exists()
    assert "## Its graph" not in (tmp_path / "b" / "README.md").read_text()
    assert load_bundle(tmp_path / "b").graph is None


def test_a_ticket_without_its_graph_does_not_leave(tmp_path: Path) -> None:
    """Nor with another one: it would be another network."""
    one = made(edge_density=(0.5,), weight_density=(1.0,))
    with pytest.raises(ExportError, match="give dataset"):
        one.bundle(tmp_path / "b", dataset=None)
    edges = GRAPH.edge_index.clone()
    edges[:, 0] = (edges[:, 0] + 1) % GRAPH.x.size(0)
    with pytest.raises(ExportError, match="of another graph"):
        one.bundle(tmp_path / "b", dataset=replace(GRAPH, edge_index=edges))
    assert not (tmp_path / "b").exists()


def test_what_is_not_settled_does_not_leave(tmp_path: Path) -> None:
    """It is not chosen yet what is left, so its sizes would be those of another network."""
    one = made(weight_density=(0.5,), settled=False)
    with pytest.raises(SpaceError, match="train it for more"):
        one.bundle(tmp_path / "b")
    settle(one.network, GRAPH)
    one.network.eval()
    one.bundle(tmp_path / "b")


def test_a_graph_that_is_not_what_the_manifest_says_is_refused(tmp_path: Path) -> None:
    """Damaged, of other sizes, not there, or not said to be."""
    made(edge_density=(0.5,), weight_density=(1.0,)).bundle(tmp_path / "b")
    folder, entry = tmp_path / "b", read_manifest(tmp_path / "b").graph
    assert entry is not None
    assert isinstance(read_graph(folder, entry), PrunedGraph), "control"
    for change in ({"edges": entry.edges + 1}, {"n_nodes": 3}):
        with pytest.raises(BundleError, match="expected edge_index"):
            read_graph(folder, GraphEntry(**{**dict(entry), **change}))
    save_file({"other": torch.zeros(2, 3)}, tmp_path / GRAPH_FILE)
    with pytest.raises(BundleError, match="cannot be read"):
        read_graph(tmp_path, entry)
    manifest = json.loads((folder / "manifest.json").read_text())
    without = {name: value for name, value in manifest.items() if name != "graph"}
    (folder / "manifest.json").write_text(text_of({**without, "digest": manifest_digest(without)}))
    with pytest.raises(BundleError, match="do not agree"):
        load_bundle(folder)
    (folder / "manifest.json").write_text(
        text_of({**manifest, "digest": manifest_digest(manifest)})
    )
    content = bytearray((folder / GRAPH_FILE).read_bytes())
    content[-1] ^= 1
    (folder / GRAPH_FILE).write_bytes(content)
    with pytest.raises(BundleError, match="damaged"):
        load_bundle(folder)


@pytest.mark.parametrize("dataset", [GRAPH, graph_set()], ids=["nodes", "graphs"])
def test_a_rule_for_edges_is_part_of_the_program(dataset: Any, tmp_path: Path) -> None:
    """It leaves for any graph, so no graph leaves with it."""
    one = made(dataset=dataset, edge_density=(0.5,), weight_density=(1.0,), edge_mode="inductive")
    assert isinstance(one.network.sparsity.edges, Scored)
    manifest = one.bundle(tmp_path / "b")
    assert "graph" not in manifest
    assert "network.sparsity.edges.score.weight" in load_weights(tmp_path / "b")
    assert manifest["metrics"]["model_bytes"]["value"] == one.facts["model_bytes"]
    control = made(dataset=dataset, edge_density=(1.0,), weight_density=(0.99,))
    assert not torch.allclose(control.logits, one.logits, atol=1e-3)


def test_entries_are_multiplied_where_that_is_faster(tmp_path: Path) -> None:
    """In the program, by an operation that torch.export has, and the note says how much faster."""
    one = made(weight_density=(0.2,))
    manifest = one.bundle(tmp_path / "b", rounds=entries_are_faster)
    program = load_bundle(tmp_path / "b").program
    assert any("embedding_bag" in name for name in operations(cast(nn.Module, program)))
    torch.testing.assert_close(program(GRAPH.x, GRAPH.edge_index), one.logits, rtol=1e-5, atol=1e-5)
    [said] = [note for note in manifest["notes"] if "multiplied" in note]
    assert "4 of its pruned weights are multiplied by the entries" in said
    assert "0.25 times as long" in said
    assert f"on {GRAPH.x.size(0)} rows" in said


@pytest.mark.parametrize("rounds", [dense_is_faster, undecided])
def test_otherwise_zeros_are_multiplied_and_a_note_says_so(rounds: Any, tmp_path: Path) -> None:
    """Also where entries were faster in the median, and not by more than rounds differ."""
    manifest = made(weight_density=(0.2,)).bundle(tmp_path / "b", rounds=rounds)
    program = cast(nn.Module, load_bundle(tmp_path / "b").program)
    assert not any("embedding_bag" in name for name in operations(program))
    [said] = [note for note in manifest["notes"] if "multiplied" in note]
    assert "4 of its pruned weights are multiplied as dense matrices" in said
    times = "2" if rounds is dense_is_faster else "0.5"
    assert f"it would have taken {times} times as long" in said


def test_few_bits_are_never_added_up_in_another_order(tmp_path: Path) -> None:
    """Where activations are rounded nothing is timed, and the note says why it is dense."""
    one = made(bits=8, weight_density=(0.2,))
    manifest = one.bundle(tmp_path / "b", rounds=_never)
    [said] = [note for note in manifest["notes"] if "multiplied" in note]
    assert "could round its activations to other numbers" in said


def _never(*_: object) -> Any:
    raise AssertionError("timed what could not be decided")


def test_a_map_by_entries_keeps_leading_dimensions_and_bias() -> None:
    """As a linear map does, for rows without entries too."""
    torch.manual_seed(0)
    plain = nn.Linear(5, 3)
    plain.weight.data[1] = 0
    x = torch.randn(2, 7, 5)
    torch.testing.assert_close(SparseMap(plain)(x), plain(x))


def test_every_operator_leaves_with_entries_alone(tmp_path: Path) -> None:
    """Whatever it does with its maps; weights of its own that are no maps stay dense."""
    names = [name for name in plugins.names("operator") if name != "skip"]
    one = made(
        space={"operators": names, "depth": [len(names)], "width": [8]},
        choices={f"layer{i}.operator": name for i, name in enumerate(names)},
        weight_density=(0.3,),
    )
    manifest = one.bundle(tmp_path / "b", rounds=entries_are_faster)
    said = " ".join(manifest["notes"])
    assert "by the entries" in said
    assert "not those of linear maps" in said  # ARMA


def study(folder: Path, **options: Any) -> str:
    spec = {
        "study": {"name": "sparse"},
        "space": {"name": "gnn", "depth": [1], "width": [16], "operators": ["gcn"]},
        "extension": {"sparsity": {"method": ["random"], "weight_density": [0.5], **options}},
        "dataset": {"name": "digits_knn"},
        "strategy": {"name": "random"},
        "evaluator": {"name": "training", "epochs": 5},
        "budget": {"trials": 1},
        "executor": {"name": "inline"},
    }
    storage = f"sqlite:///{folder}/nas.db"
    nas.search(spec, storage=storage, data_root=folder)
    return storage


def test_a_trial_with_a_ticket_from_study_to_prediction(tmp_path: Path) -> None:
    """By the command line: on the ticket's dataset with its edges, elsewhere with all, and said."""
    storage = study(tmp_path, edge_density=[0.4])
    options = [f"--storage={storage}", f"--data-root={tmp_path}"]
    folder = tmp_path / "b"
    done = CliRunner().invoke(main, ["export", "sparse", f"--to={folder}", *options])
    assert done.exit_code == 0, done.output
    assert "(allowed: 1e-05 times the larger of 1 and the largest output)" in done.stderr
    manifest = json.loads((folder / "manifest.json").read_text())
    reached, trained = (manifest[by]["val_accuracy"]["value"] for by in ("metrics", "training"))
    assert reached == pytest.approx(trained, abs=1e-6)
    known = nas.Study("sparse", storage=storage, data_root=tmp_path).front()[0].metrics
    assert manifest["metrics"]["model_bytes"]["value"] == known["model_bytes"]
    own = ["predict", str(folder), f"--data-root={tmp_path}", "--format=json"]
    told = CliRunner().invoke(main, [*own, "--dataset=digits_knn"])
    assert told.exit_code == 0, told.output
    assert "edges that are left of the bundle's graph" in told.stderr
    dataset = load(Plugin("digits_knn"), tmp_path)
    found = torch.tensor([row["prediction"] for row in json.loads(told.stdout)])
    assert float((found == dataset.y)[dataset.val].float().mean()) == pytest.approx(reached)
    np.savez(
        tmp_path / "other.npz", x=dataset.x.numpy(), edge_index=dataset.edge_index[:, :-40].numpy()
    )
    told = CliRunner().invoke(main, [*own, f"--input={tmp_path / 'other.npz'}"])
    assert told.exit_code == 0, told.output
    assert "warning: this is not the graph" in told.stderr


def test_a_trial_is_timed_as_it_leaves(tmp_path: Path) -> None:
    """With as many edges as its ticket leaves, which is said of the figure."""
    storage = study(tmp_path, edge_density=[0.4], structure=["units"])
    [timed] = measure_trial("sparse", 0, storage=storage, data_root=tmp_path)
    edges = load(Plugin("digits_knn"), tmp_path).task.n_edges
    assert timed.workload.edges == 2 * round(0.4 * edges / 2)
    assert timed.timing.latency_ms > 0
    folder = tmp_path / "b"
    export_trial("sparse", 0, folder, storage=storage, data_root=tmp_path)
    [bundle] = measure_bundle(folder)
    assert bundle.workload.edges == timed.workload.edges


def test_what_units_have_gone_from_is_trained_on(tmp_path: Path) -> None:
    """Its state says what has gone; verifying, which reads no values, leaves it out."""
    storage = study(tmp_path, structure=["units"])
    folder, formats = tmp_path / "b", ("pt2", "state")
    export_trial("sparse", 0, folder, storage=storage, data_root=tmp_path, formats=formats)
    network = nas.load_network(folder)
    dataset = load(Plugin("digits_knn"), tmp_path)
    with torch.no_grad():
        logits = network(dataset.x, dataset.edge_index)
    expected = load_bundle(folder).predict(dataset.x, dataset.edge_index)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)
    found = verify(folder, data_root=tmp_path, latency=False)
    assert found.holds
    [row] = [each for each in found.checks if each.check == "state"]
    assert row.ok is None
    assert "depends on its training" in row.detail


@pytest.mark.slow
def test_half_the_units_and_edges_compiled(tmp_path: Path) -> None:
    """The library has what the portable program has, on the graph that is left."""
    one = made(structure=("units",), weight_density=(0.5,), edge_density=(0.5,))
    one.bundle(tmp_path / "b", formats=["aoti"])
    bundle = load_bundle(tmp_path / "b")
    assert bundle.graph is not None
    logits = bundle.predict(GRAPH.x, bundle.graph.edge_index)
    torch.testing.assert_close(logits, one.logits, rtol=1e-5, atol=1e-5)
    masked = made(weight_density=(0.2,))
    masked.bundle(tmp_path / "c", formats=["aoti"], rounds=entries_are_faster)
    logits = load_bundle(tmp_path / "c").predict(GRAPH.x, GRAPH.edge_index)
    torch.testing.assert_close(logits, masked.logits, rtol=1e-5, atol=1e-5)


def test_an_exporter_with_products_of_its_own_says_so() -> None:
    """Whatever entries alone would cost there."""
    one = made(weight_density=(0.2,))
    leaving = one.space.deployed(one.network, one.architecture)
    found = timed_products(one.network, leaving, "int8_static", 90, _never)
    assert found.executed(leaving) is leaving
    assert "the exporter int8_static has products of its own" in found.notes[0]
    none = made(weight_density=(1.0,), edge_density=(0.5,))
    assert timed_products(none.network, none.network, "int8_static", 90, _never).notes == ()
