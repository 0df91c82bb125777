"""What is answered is what the bundle says, in both forms, of one graph and of several."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.utils import to_undirected

from nas.export._graph import PrunedGraph, digest_of
from nas.export._manifest import NAME
from nas.export.load import Bundle, load_bundle

from .conftest import BINARY, JSON, NAMES, Server, Serving


def a_graph(seed: int = 0, nodes: int = 9, edges: int = 14) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(nodes, 3, generator=generator)
    return x, torch.randint(nodes, (2, edges), generator=generator)


def as_json(x: Tensor, edge_index: Tensor, **more: Any) -> dict[str, Any]:
    return {"x": x.tolist(), "edge_index": edge_index.tolist()} | more


_opened = cache(load_bundle)


def expected(bundle: Path, x: Tensor, edge_index: Tensor, *rest: Any, **more: Any) -> Tensor:
    """By the bundle itself, with edges in both directions where it needs them."""
    opened = _opened(bundle)
    if opened.manifest.contract.edges == "undirected":
        edge_index = to_undirected(edge_index, num_nodes=len(x))
    return opened.predict(x, edge_index, *rest, **more)


def same(got: Any, logits: Tensor) -> None:
    """A JSON answer against logits."""
    assert list(got) == ["predictions", "classes", "probabilities"]
    assert got["classes"] == list(NAMES)
    assert got["predictions"] == [NAMES[i] for i in logits.argmax(1).tolist()]
    torch.testing.assert_close(torch.tensor(got["probabilities"]), logits.softmax(1))


def test_both_forms_say_what_the_bundle_says_of_nodes(nodes: Server, node_bundle: Path) -> None:
    """Edges are given once, and mirrored: the control is another answer without one of them."""
    x, edge_index = a_graph()
    logits = expected(node_bundle, x, edge_index)
    assert not torch.allclose(expected(node_bundle, x, edge_index[:, 1:]), logits)
    same(nodes.json(as_json(x, edge_index)).json, logits)
    answer = nodes.binary({"x": x, "edge_index": edge_index}).tensors
    assert list(answer) == ["logits"]
    torch.testing.assert_close(answer["logits"], logits)


def test_both_forms_say_what_the_bundle_says_of_graphs(graphs: Server, graph_bundle: Path) -> None:
    """With graphs at the end that have no nodes."""
    x, _ = a_graph()
    ids = torch.tensor([0, 0, 0, 0, 2, 2, 2, 2, 2])
    edge_index = torch.tensor([[0, 1, 4, 5], [1, 2, 5, 8]])
    logits = expected(graph_bundle, x, edge_index, ids, graphs=5)
    assert logits.shape == (5, 3)
    same(graphs.json(as_json(x, edge_index, graph_ids=ids.tolist(), graphs=5)).json, logits)
    same(graphs.json(as_json(x, edge_index, graph_ids=ids.tolist())).json, logits[:3])
    counted = torch.zeros(5, dtype=torch.int64)
    tensors = {"x": x, "edge_index": edge_index, "graph_ids": ids}
    torch.testing.assert_close(
        graphs.binary(tensors | {"graphs": counted}).tensors["logits"], logits
    )
    torch.testing.assert_close(graphs.binary(tensors).tensors["logits"], logits[:3])


def test_several_graphs_of_one_request(nodes: Server, node_bundle: Path) -> None:
    """Each is answered in its place; a list of one is a list."""
    made = [a_graph(seed, nodes=seed + 1, edges=2 * seed) for seed in range(12)]
    logits = [expected(node_bundle, *one) for one in made]
    answers = nodes.json([as_json(*one) for one in made]).json
    for got, wanted in zip(answers, logits, strict=True):
        same(got, wanted)
    named = {f"{i}.x": x for i, (x, _) in enumerate(made)}
    named |= {f"{i}.edge_index": e for i, (_, e) in enumerate(made)}
    tensors = nodes.binary(named).tensors
    for index, wanted in enumerate(logits):
        torch.testing.assert_close(tensors[f"{index}.logits"], wanted)
    assert len(nodes.json([as_json(*made[3])]).json) == 1
    assert list(nodes.binary({f"0.{n}": t for n, t in _named(made[3])}).tensors) == ["0.logits"]


def _named(graph: tuple[Tensor, Tensor]) -> list[tuple[str, Tensor]]:
    return [("x", graph[0]), ("edge_index", graph[1])]


def test_accept_names_the_form_of_the_answer(nodes: Server, node_bundle: Path) -> None:
    """Otherwise it has the form of the body, whatever that is called."""
    x, edge_index = a_graph()
    logits = expected(node_bundle, x, edge_index)
    value, tensors = as_json(x, edge_index), dict(_named((x, edge_index)))
    torch.testing.assert_close(nodes.json(value, Accept=BINARY).tensors["logits"], logits)
    same(nodes.binary(tensors, Accept=f"text/html, {JSON};q=0.9").json, logits)
    assert nodes.json(value, Accept="*/*").headers["content-type"] == JSON
    octets = {"Content-Type": "application/octet-stream"}
    assert nodes.binary(tensors, **octets).headers["content-type"] == BINARY
    charset = {"Content-Type": "application/json; charset=UTF-8"}
    assert nodes.json(value, **charset).status == 200


def test_a_large_body_and_a_large_answer(nodes: Server, node_bundle: Path) -> None:
    """Those are read and written beside the event loop."""
    x, edge_index = a_graph(nodes=120_000, edges=50_000)
    logits = expected(node_bundle, x, edge_index)
    answer = nodes.binary(dict(_named((x, edge_index))))
    torch.testing.assert_close(answer.tensors["logits"], logits)
    answer = nodes.binary(dict(_named((x, edge_index))), Accept=JSON)
    same(answer.json, logits)


def test_the_bundles_own_graph(serving: Serving, node_bundle: Path) -> None:
    """Left out edges are its own; the whole graph is known again; another one keeps its edges."""
    x, edge_index = a_graph()
    whole = to_undirected(edge_index, num_nodes=9)
    left = whole[:, ::2]
    opened = load_bundle(node_bundle)
    pruned = PrunedGraph(left, 9, whole.size(1), digest_of(whole, 9))
    logits = opened.predict(x, left)
    assert not torch.allclose(logits, opened.predict(x, whole))
    with serving(replace(opened, graph=pruned)) as server:
        same(server.json({"x": x.tolist()}).json, logits)
        same(server.json(as_json(x, edge_index)).json, logits)
        torch.testing.assert_close(server.binary({"x": x}).tensors["logits"], logits)
        other = edge_index[:, :-3]
        same(server.json(as_json(x, other)).json, expected(node_bundle, x, other))
        said = server.json({"x": x[:5].tolist()})
        assert said.status == 422
        assert "which has 9 nodes, but x has 5 rows" in said.error
        required = server.ask("GET", "/openapi.json").json["components"]["schemas"]["Graph"]
        assert required["required"] == ["x"]


def test_many_at_once_get_each_their_own(graphs: Server, graph_bundle: Path) -> None:
    """Thirty connections; graphs are joined meanwhile."""
    made = [a_graph(seed, nodes=3 + seed % 5) for seed in range(30)]
    ids = [torch.zeros(len(x), dtype=torch.int64) for x, _ in made]
    logits = [expected(graph_bundle, *one, i) for one, i in zip(made, ids, strict=True)]
    right: list[int] = []

    def ask(seed: int) -> None:
        x, edge_index = made[seed]
        for _ in range(5):
            got = graphs.binary({"x": x, "edge_index": edge_index, "graph_ids": ids[seed]})
            if torch.allclose(got.tensors["logits"], logits[seed], atol=1e-5):
                right.append(seed)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(right) == sorted([*range(30)] * 5)


def test_what_else_is_there(nodes: Server, node_bundle: Path) -> None:
    """Health, the manifest as it is in the folder, and HEAD of all of them."""
    health = nodes.ask("GET", "/health").json
    assert health["ready"] is True
    assert health["uptime_seconds"] >= 0
    assert nodes.ask("GET", "/health").json["uptime_seconds"] >= health["uptime_seconds"]
    assert nodes.ask("GET", "/manifest").json == json.loads((node_bundle / NAME).read_text())
    for path in ("/health", "/manifest", "/openapi.json", "/docs"):
        head = nodes.ask("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert int(head.headers["content-length"]) > 50


def test_health_is_answered_while_a_forward_runs(
    serving: Serving, replaced: Callable[..., Bundle]
) -> None:
    """And the graph that is waited for comes, after that."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(x: Tensor, edge_index: Tensor) -> Tensor:
        if len(x) == 5:
            begun.set()
            assert go_on.wait(30)
        return x

    with serving(replaced(slow)) as server:
        answers: list[Any] = []
        x, edge_index = a_graph(nodes=5)
        thread = threading.Thread(
            target=lambda: answers.append(server.json(as_json(x, edge_index)))
        )
        thread.start()
        assert begun.wait(30)
        assert server.ask("GET", "/health").status == 200
        assert server.json({"x": [[1]]}).status == 422  # it was read and checked meanwhile
        assert not answers
        go_on.set()
        thread.join()
        assert answers[0].status == 200


def test_the_log_has_nothing_of_a_request(serving: Serving, node_bundle: Path) -> None:
    """Method, path, status, milliseconds; a path cannot forge a line."""
    with serving(load_bundle(node_bundle)) as server:
        server.json({"x": [["secret"]], "edge_index": [[], []]}, Authorization="secret")
        server.ask("GET", "/health?secret=1")
        server.ask("GET", "/a%0Ab")
    assert [line.rsplit(" ", 2)[0] for line in server.log] == [
        "POST /predict 422",
        "GET /health 200",
        "GET /a%0Ab 404",
    ]
