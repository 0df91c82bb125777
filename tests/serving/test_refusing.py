"""What is wrong with a request is said in words, with a status below 500, and nothing breaks."""

import struct
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from nas.export.load import Bundle

from .conftest import JSON, Server, Serving

X = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
GOOD = {"x": X, "edge_index": [[0], [1]]}
TENSORS = {"x": torch.tensor(X), "edge_index": torch.tensor([[0], [1]])}
IDS = torch.zeros(2, dtype=torch.int64)

WRONG_JSON: list[tuple[Any, int, str]] = [
    (b"", 400, "the body is not JSON: EOF"),
    (b"{", 400, "the body is not JSON"),
    (b"\xff\xfe\x00", 400, "the body is not JSON"),
    (b'{"x": 1e', 400, "the body is not JSON"),
    (b"[" * 100_000, 400, "recursion limit"),
    (b'{"x":' + b"[" * 100_000, 400, "recursion limit"),
    (None, 422, "the body: input should be an object; a graph has x and edge_index, see /docs"),
    (3, 422, "the body: input should be an object, got 3"),
    ("x", 422, "the body: input should be an object"),
    ([], 422, "expected 1 to 1000 graphs in a request, got 0"),
    ([GOOD] * 1001, 422, "expected 1 to 1000 graphs in a request, got 1001; ask in parts"),
    ([GOOD, 5], 422, "[1]: input should be an object, got 5"),
    ([GOOD, {"x": X, "edge_index": [[0], [2]]}], 422, "graph 1: the input: edge_index has 1 entr"),
    ({}, 422, "x: field required"),
    ({"x": X}, 422, "edge_index is missing; this bundle has no graph of its own"),
    ({"edge_index": [[], []]}, 422, "x: field required"),
    (GOOD | {"edge_index": None}, 422, "edge_index: input should be a valid array"),
    (GOOD | {"y": 1}, 422, "y: extra inputs are not permitted"),
    (GOOD | {"graph_ids": [0, 0]}, 422, "graph_ids: extra inputs are not permitted"),
    (GOOD | {"x": []}, 422, "x has no rows; expected one node or more"),
    (GOOD | {"x": [[], []]}, 422, "x has no columns"),
    (GOOD | {"x": [1, 2]}, 422, "x[0]: input should be a valid array, got 1"),
    (GOOD | {"x": [[1, 2, "3"]]}, 422, 'x[0][2]: input should be a valid number, got "3"'),
    (GOOD | {"x": [[1, 2, True]]}, 422, "x[0][2]: input should be a valid number, got true"),
    (GOOD | {"x": [[1, 2, None]]}, 422, "x[0][2]: input should be a valid number"),
    (GOOD | {"x": [[1, 2, 3], [1, 2]]}, 422, "row 0 has 3 numbers and row 1 has 2"),
    (GOOD | {"x": [[1, 2], [1, 2]]}, 422, "expected 3 features, got 2 columns of x"),
    (b'{"x":[[1,2,NaN],[1,2,3]],"edge_index":[[],[]]}', 422, "NaN or infinite, the first in row 0"),
    (b'{"x":[[1,2,1e999],[1,2,3]],"edge_index":[[],[]]}', 422, "1 values that are NaN or infi"),
    (GOOD | {"x": [[1e39, 2, 3], [1, 2, 3]]}, 422, "1 values that are NaN or infinite"),
    (GOOD | {"edge_index": []}, 422, "edge_index must have two rows"),
    (GOOD | {"edge_index": [[0, 1]]}, 422, "edge_index must have two rows"),
    (GOOD | {"edge_index": [[0, 1], [1]]}, 422, "row 0 has 2 numbers and row 1 has 1"),
    (GOOD | {"edge_index": [[0], [2]]}, 422, "outside the 2 nodes 0 to 1; the first is node 2"),
    (GOOD | {"edge_index": [[-1], [0]]}, 422, "the first is node -1, the source of edge 0"),
    (GOOD | {"edge_index": [[0.0], [1.0]]}, 422, "edge_index[0][0]: input should be a valid int"),
    (GOOD | {"edge_index": [[2**63], [0]]}, 422, "edge_index: expected integers below 2^63"),
    (GOOD | {"edge_index": [[10**400], [0]]}, 422, "edge_index: expected integers below 2^63"),
]


@pytest.mark.parametrize(("body", "status", "said"), WRONG_JSON, ids=lambda v: repr(v)[:50])
def test_wrong_json(nodes: Server, body: Any, status: int, said: str) -> None:
    """Its place, what was expected, what came."""
    answer = nodes.json(body)
    assert (answer.status, said in answer.error) == (status, True), answer.error
    assert nodes.json(GOOD).status == 200


WRONG_GRAPHS: list[tuple[Any, str]] = [
    (GOOD, "graph_ids: field required; a graph has x, edge_index and graph_ids"),
    (GOOD | {"graph_ids": []}, "graph_ids has 0 entries, but x has 2 nodes"),
    (GOOD | {"graph_ids": [0]}, "graph_ids has 1 entries, but x has 2 nodes"),
    (GOOD | {"graph_ids": [1, 0]}, "graph_ids must ascend"),
    (GOOD | {"graph_ids": [-1, 0]}, "graph_ids reach from -1 to 0"),
    (GOOD | {"graph_ids": [0, 5]}, "graph_ids reach from 0 to 5; with 2 nodes expected"),
    (GOOD | {"graph_ids": [0, 1]}, "1 edges join different graphs"),
    (GOOD | {"graph_ids": [0, 0], "graphs": 0}, "graphs: input should be greater than or equal to"),
    (GOOD | {"graph_ids": [0, 0], "graphs": 10**12}, "graphs: input should be less than or equal"),
    (
        GOOD | {"graph_ids": [0, 0], "graphs": True},
        "graphs: input should be a valid integer, got t",
    ),
    (GOOD | {"graph_ids": [1, 1], "graphs": 1}, "reach to 1, but there are 1 graphs, 0 to 0"),
    (GOOD | {"graph_ids": [2**63, 0]}, "graph_ids: expected integers below 2^63"),
]


@pytest.mark.parametrize(("body", "said"), WRONG_GRAPHS, ids=lambda v: repr(v)[-50:])
def test_wrong_json_of_graphs(graphs: Server, body: Any, said: str) -> None:
    """What only a graph task can have wrong."""
    answer = graphs.json(body)
    assert (answer.status, said in answer.error) == (422, True), answer.error


def header(text: bytes, rest: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text)) + text + rest


def entry(name: str, dtype: str, shape: str, begin: int, end: int) -> bytes:
    offsets = f"[{begin},{end}]"
    one = f'{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}'
    return f'{{"{name}":{one}}}'.encode()


WRONG_BINARY: list[tuple[Any, int, str]] = [
    (b"", 400, "the body is not a safetensors file"),
    (b"PK\x03\x04" + bytes(60), 400, "the body is not a safetensors file"),  # an .npz
    (b"\x80\x04\x95" + bytes(60), 400, "the body is not a safetensors file"),  # a pickle
    (save(TENSORS)[:-1], 400, "the body is not a safetensors file"),
    (save(TENSORS) + b"x", 400, "the body is not a safetensors file"),
    (struct.pack("<Q", 2**60) + b"{}", 400, "header too large"),
    (header(entry("x", "F32", "[1099511627776,3]", 0, 13194139533312)), 400, "not a safetensors"),
    (header(entry("x", "F32", "[4611686018427387904,8]", 0, 0)), 400, "not a safetensors"),
    (header(entry("x", "F32", "[-1,3]", 0, 0)), 400, "not a safetensors file"),
    (header(entry("x", "Q7", "[1]", 0, 1), b"0"), 400, "not a safetensors file"),
    (header(entry("x", "F32", "[0,3]", 0, 0)), 422, "edge_index is missing"),
    (header(b"[" * 200_000), 400, "not a safetensors file"),
    ({"y": torch.zeros(1)}, 422, "tensor 'y': expected x, edge_index"),
    ({"edge_index": TENSORS["edge_index"]}, 422, "x is missing; expected the tensors x, edge_ind"),
    (TENSORS | {"graph_ids": IDS}, 422, "tensor 'graph_ids': expected x, edge_index"),
    (
        TENSORS | {"0.x": torch.zeros(1, 3)},
        422,
        "expected names that are all numbered, 0.x, or none",
    ),
    ({f"1.{n}": t for n, t in TENSORS.items()}, 422, "the graphs are numbered with gaps"),
    ({"0.x": TENSORS["x"]}, 422, "graph 0: edge_index is missing"),
    (
        {f"{i}.x": torch.zeros(1) for i in range(1001)},
        422,
        "1 to 1000 graphs in a request, got 1001",
    ),
    (TENSORS | {"x": TENSORS["x"].double()}, 422, "x must be float32 of shape [N, F], got float64"),
    (TENSORS | {"x": torch.zeros(())}, 422, "got float32 of shape []"),
    (TENSORS | {"x": torch.zeros(2, 3, 1)}, 422, "got float32 of shape [2, 3, 1]"),
    (TENSORS | {"x": torch.zeros(0, 3)}, 422, "x has no rows"),
    (TENSORS | {"x": torch.full((2, 3), float("nan"))}, 422, "6 values that are NaN or infinite"),
    (TENSORS | {"edge_index": torch.zeros(2, 1)}, 422, "edge_index must be int64 of shape [2, E]"),
    (TENSORS | {"edge_index": torch.zeros(1, 2).long()}, 422, "is it transposed?"),
    (TENSORS | {"edge_index": torch.zeros(3).long()}, 422, "got int64 of shape [3]"),
    (TENSORS | {"edge_index": torch.zeros(()).long()}, 422, "got int64 of shape []"),
    (TENSORS | {"edge_index": torch.tensor([[2**62], [0]])}, 422, "the first is node 46116860184"),
]


@pytest.mark.parametrize(("body", "status", "said"), WRONG_BINARY, ids=lambda v: repr(v)[:50])
def test_wrong_binary(nodes: Server, body: Any, status: int, said: str) -> None:
    """Sizes are those that came, not those that are claimed."""
    answer = nodes.binary(body)
    assert (answer.status, said in answer.error) == (status, True), answer.error
    assert nodes.binary(TENSORS).status == 200


WRONG_TENSORS: list[tuple[dict[str, Tensor], str]] = [
    (TENSORS, "this network predicts graphs; give graph_ids"),
    (TENSORS | {"graph_ids": torch.full((2,), float("nan"))}, "graph_ids must be int64 of shape"),
    (TENSORS | {"graph_ids": torch.zeros(2, dtype=torch.bool)}, "graph_ids must be int64 of shape"),
    (TENSORS | {"graph_ids": IDS.reshape(2, 1)}, "got int64 of shape [2, 1]"),
    (TENSORS | {"graph_ids": IDS[:0]}, "graph_ids has 0 entries"),
    (TENSORS | {"graph_ids": IDS, "graphs": IDS.float()}, "graphs must be int64 of shape [B]"),
    (TENSORS | {"graph_ids": IDS, "graphs": IDS[0].clone()}, "graphs must be int64 of shape [B]"),
    (
        TENSORS | {"graph_ids": IDS, "graphs": IDS[:0]},
        "graphs is empty; expected one graph or more",
    ),
    (
        TENSORS | {"graph_ids": IDS, "graphs": torch.zeros(100_001).long()},
        "expected at most 100000 graphs, got 100001; ask in parts",
    ),
]


@pytest.mark.parametrize(("tensors", "said"), WRONG_TENSORS, ids=lambda v: repr(v)[-40:])
def test_wrong_tensors_of_graphs(graphs: Server, tensors: Any, said: str) -> None:
    """What only a graph task can have wrong."""
    answer = graphs.binary(tensors)
    assert answer.status in (413, 422)
    assert said in answer.error


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "none came; set it"),
        ({"Content-Type": "text/plain"}, "got 'text/plain'; set it"),
        ({"Content-Type": "application/x-npz"}, "got 'application/x-npz'"),
        ({"Content-Type": f"{JSON}; charset=latin-1"}, "expected JSON in utf-8, got the charset"),
        (
            {"Content-Type": JSON, "Content-Encoding": "gzip"},
            "not compressed, got Content-Encoding",
        ),
    ],
)
def test_another_type(nodes: Server, headers: dict[str, str], said: str) -> None:
    """415, with the types that are taken."""
    answer = nodes.ask("POST", "/predict", b"{}", headers)
    assert answer.status == 415
    assert said in answer.error


def test_other_places_and_methods(nodes: Server) -> None:
    """404; 405 with what is allowed."""
    assert "there is no /nope here; see /docs" in nodes.ask("GET", "/nope").error
    assert nodes.ask("GET", "/predict/").status == 404
    assert nodes.ask("GET", "/../etc/passwd").status == 404
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        answer = nodes.ask(method, "/predict")
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
    answer = nodes.ask("POST", "/health", b"x")
    assert answer.status == 405
    assert {m.strip() for m in answer.headers["allow"].split(",")} == {"GET", "HEAD"}
    assert "/health does not take POST" in answer.error


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ValueError("inner words\nmore"), 500, "the program failed on a graph that its contract"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 503, "not enough memory"),
        (MemoryError(), 503, "not enough memory"),
    ],
)
def test_a_program_that_fails(
    serving: Serving, replaced: Callable[..., Bundle], error: Exception, status: int, said: str
) -> None:
    """That is no fault of the client, is said so, and the next one is answered."""

    def failing(x: Tensor, edge_index: Tensor) -> Tensor:
        if len(x) == 2:
            raise error
        return x

    with serving(replaced(failing), together=False) as server:
        answer = server.json(GOOD)
        assert (answer.status, said in answer.error) == (status, True)
        assert server.json({"x": X[:1], "edge_index": [[], []]}).status == 200


class PanicException(BaseException):
    """As Rust's libraries raise it: no `Exception`."""


@pytest.mark.parametrize("error", [MemoryError(), PanicException("Python API call failed")])
@pytest.mark.parametrize("nodes", [2, 200_000])
def test_no_memory_for_a_file(
    nodes: int, error: BaseException, serving: Serving, replaced: Callable[..., Bundle]
) -> None:
    """503, whoever finds out; the next one is answered."""

    def none(_: bytes) -> Any:
        raise error

    tensors = {"x": torch.zeros(nodes, 3), "edge_index": TENSORS["edge_index"]}
    with serving(replaced(lambda x, _edges: x), together=False) as server:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("nas.serving.bodies.load", none)
            answer = server.binary(tensors)
        assert (answer.status, "not enough memory" in answer.error) == (503, True)
        assert server.binary(tensors).status == 200


def test_no_memory_for_a_thread(
    serving: Serving, replaced: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same."""

    def none(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with serving(replaced(lambda x, _edges: x), together=False) as server:
        monkeypatch.setattr("asyncio.to_thread", none)
        answer = server.binary(TENSORS | {"x": torch.zeros(200_000, 3)})
        assert (answer.status, "not enough memory" in answer.error) == (503, True)
        assert server.binary(TENSORS).status == 200


def test_an_accept_of_something_else(nodes: Server) -> None:
    """Is of no effect, as /openapi.json says."""
    answer = nodes.json(GOOD, Accept="text/xml")
    assert (answer.status, answer.headers["content-type"]) == (200, JSON)
    described = nodes.ask("GET", "/openapi.json").json["paths"]["/predict"]["post"]
    assert "what else Accept says is of no effect" in described["description"]


def test_outputs_that_are_not_finite(serving: Serving, replaced: Callable[..., Bundle]) -> None:
    """JSON has no such numbers, and nobody has a use for them."""
    with serving(replaced(lambda x, _edges: x * 1e30), together=False) as server:
        large = {"x": [[1e9, 2, 3]], "edge_index": [[], []]}
        for answer in (server.json(large), server.json(large, Accept="application/octet-stream")):
            assert answer.status == 422
            assert "outputs are not finite for this input: its features are too" in answer.error
        assert server.json(GOOD).status == 200


def test_a_fault_of_the_server_is_not_shown(
    serving: Serving,
    replaced: Callable[..., Bundle],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The client gets a sentence, stderr the type and the place, and neither a value."""

    def broken(*_: Any, **__: Any) -> bytes:
        raise TypeError("a secret")

    monkeypatch.setattr("nas.serving.answers.to_json", broken)
    with serving(replaced(lambda x, _edges: x), together=False) as server:
        answer = server.json(GOOD)
        assert (answer.status, answer.error) == (500, "the server failed; its log says where")
    said = capsys.readouterr().err
    assert "error: TypeError at" in said
    assert "secret" not in said
