"""Clients that send too much, too slowly, or nothing: refused in time, and others are answered."""

import contextlib
import dataclasses
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from nas.export.load import Bundle, load_bundle
from nas.serving.limits import Limits

from .conftest import BINARY, JSON, Server, Serving
from .test_refusing import GOOD, X

POST = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def small(serving: Serving, node_bundle: Path) -> Iterator[Server]:
    """Takes 10,000 bytes, of JSON 2,000; 20 nodes and 30 edges."""
    limits = Limits(10_000, 2_000, nodes=20, edges=30)
    with serving(load_bundle(node_bundle), limits) as server:
        yield server


def sized(nodes: int) -> bytes:
    return save({"x": torch.zeros(nodes, 3), "edge_index": torch.zeros(2, 0, dtype=torch.int64)})


def test_too_large_by_its_length(small: Server) -> None:
    """The limit, what came, and what would do."""
    answer = small.binary(bytes(10_001))
    assert answer.status == 413
    assert "expected at most 10000 bytes, 10001 were announced" in answer.error
    assert "--max-request-bytes" in answer.error
    answer = small.json(b" " * 2_001)
    assert answer.status == 413
    assert f"expected at most 2000 bytes, 2001 were announced; {BINARY} takes fewer" in answer.error
    assert small.binary(bytes(10_000)).status == 400  # the control: it is read, and is no file
    assert small.json(b" " * 2_000).status == 400


def test_too_large_without_a_length(small: Server) -> None:
    """Chunks are counted as they come."""

    def chunks(n_bytes: int) -> Iterator[bytes]:
        for _ in range(n_bytes // 100):
            yield bytes(100)

    headers = {"Content-Type": BINARY}
    answer = small.ask("POST", "/predict", chunks(10_100), headers)
    assert answer.status == 413
    assert "expected at most 10000 bytes, more came" in answer.error
    assert small.ask("POST", "/predict", chunks(10_000), headers).status == 400


def test_a_huge_length_is_refused_at_once(small: Server) -> None:
    """Before a byte of the body came, which a client that asks first need not send."""
    length = b"Content-Length: 999999999999\r\n"
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", small.port), 30) as connection:
        connection.sendall(POST + length + b"Expect: 100-continue\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")
    assert time.monotonic() - began < 5


def test_a_client_that_sends_first_and_reads_then_is_told_why(small: Server) -> None:
    """What nobody wants is thrown away for a while, or the answer would be lost with it."""
    answer = small.binary(bytes(30_000_000))
    assert answer.status == 413


def test_memory_stays_bounded(serving: Serving, node_bundle: Path) -> None:
    """Bodies that are held at once have a limit together: 503, and then they are welcome again."""
    limits = Limits(request_bytes=2**20, seconds=30)
    with serving(load_bundle(node_bundle), limits) as server, contextlib.ExitStack() as open_:
        head = POST.replace(b"json", b"octet-stream") + b"Content-Length: 1048576\r\n\r\n"
        waiting = []
        for _ in range(4):
            waiting.append(
                open_.enter_context(socket.create_connection(("127.0.0.1", server.port), 30))
            )
            waiting[-1].sendall(head + bytes(1_048_000))
        _until(server, 4 * 1_048_000)
        answer = server.binary(sized(1000))
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "too many large requests at once" in answer.error
        for one in waiting:
            one.close()
        _until(server, 0)
        assert server.binary(sized(1000)).status == 200
        _until(server, 0)  # what was answered or refused is not held either


def _until(server: Server, n_bytes: int) -> None:
    """Wait until so much is held."""
    for _ in range(600):
        if server.held.now == n_bytes:
            return
        time.sleep(0.05)
    raise AssertionError(f"{server.held.now} bytes are held, not {n_bytes}")


def test_too_many_nodes_or_edges(small: Server) -> None:
    """A graph of a size that is not served here."""
    assert small.binary(sized(20)).status == 200
    answer = small.binary(sized(21))
    assert answer.status == 413
    assert "at most 20 nodes, got 21; this server was started with --max-nodes 20" in answer.error
    answer = small.json(GOOD | {"edge_index": [[0] * 31, [1] * 31]})
    assert answer.status == 413
    assert "expected at most 30 edges, got 31" in answer.error


@pytest.fixture(scope="module")
def hasty(serving: Serving, node_bundle: Path) -> Iterator[Server]:
    """Waits for a second."""
    with serving(load_bundle(node_bundle), Limits(seconds=1)) as server:
        yield server


def test_a_body_that_does_not_come(hasty: Server) -> None:
    """408; and what comes drop by drop does not gain time."""
    answer = hasty.raw(POST + b'Content-Length: 100\r\n\r\n{"x"')
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not come within 1 seconds, only 4 bytes of it" in answer
    with socket.create_connection(("127.0.0.1", hasty.port), 30) as connection:
        connection.sendall(POST + b"Content-Length: 100\r\n\r\n")
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() < began + 20:
                connection.sendall(b" ")
                time.sleep(0.1)
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("sent", [b"", b"POST /pre", POST], ids=["nothing", "a word", "headers"])
def test_a_head_that_does_not_come(hasty: Server, sent: bytes) -> None:
    """The connection is closed."""
    began = time.monotonic()
    with contextlib.suppress(ConnectionResetError):
        assert hasty.raw(sent) == b""
    assert 0.5 < time.monotonic() - began < 10


def test_a_head_drop_by_drop(hasty: Server) -> None:
    """Each byte does not begin the time anew."""
    began = time.monotonic()
    connection = socket.create_connection(("127.0.0.1", hasty.port), 30)
    with connection, contextlib.suppress(OSError):
        for byte in POST * 10:
            connection.sendall(bytes([byte]))
            time.sleep(0.1)
    assert time.monotonic() - began < 10


def test_a_connection_is_kept_and_closed_when_idle(hasty: Server) -> None:
    """Two requests on one; then it ends."""
    body = b'{"x":[[1,2,3]],"edge_index":[[],[]]}'
    request = POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with socket.create_connection(("127.0.0.1", hasty.port), 30) as connection:
        for _ in range(2):
            connection.sendall(request)
            assert b"200 OK" in connection.recv(65536)
            time.sleep(0.5)
        began = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""
        assert time.monotonic() - began < 5


def test_requests_that_are_sent_ahead(nodes: Server) -> None:
    """Three at once on one connection: three answers in their order."""
    bodies = [
        b'{"x":[[1,2,3]],"edge_index":[[],[]]}',
        b"{}",
        b'{"x":[[3,2,1]],"edge_index":[[],[]]}',
    ]
    sent = b"".join(POST + b"Content-Length: %d\r\n\r\n" % len(b) + b for b in bodies[:2])
    last = POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(bodies[2]) + bodies[2]
    came = nodes.raw(sent + last)
    assert [part[:3] for part in came.split(b"HTTP/1.1 ")[1:]] == [b"200", b"422", b"200"]


def test_a_head_that_is_too_large(nodes: Server) -> None:
    """Of one header or of many; a large body that comes with its head is none."""
    for more in (b"A: " + b"x" * 200_000, b"A: b\r\n" * 40_000, b"x" * 200_000):
        answer = nodes.raw(POST + more)
        assert answer.startswith(b"HTTP/1.1 431 "), answer[:200]
        assert b'{"error": "the head is too large"}' in answer
    body = b" " * 200_000
    head = POST + b"Connection: close\r\nContent-Length: 200000\r\n\r\n"
    assert nodes.raw(head + body).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("n_bytes", [60_000, 70_000, 200_000])
def test_a_path_that_is_too_long(nodes: Server, n_bytes: int) -> None:
    """414 where it cannot be read; a shorter one is of no place."""
    answer = nodes.raw(
        b"GET /" + b"a" * n_bytes + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 404 " if n_bytes < 2**16 else b"HTTP/1.1 414 "), answer
    assert b'{"error":' in answer


def test_what_is_wrong_with_a_head_is_said(nodes: Server) -> None:
    """In the parser's words."""
    for length, said in ((b"-5", b"invalid character"), (b"9" * 30, b"overflow")):
        answer = nodes.raw(POST + b"Content-Length: " + length + b"\r\n\r\n")
        assert b'"the request is not HTTP/1.1: ' in answer
        assert said in answer
    assert b"a URL that cannot be read" in nodes.raw(b"GET http://[ HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize(
    "content",
    [
        b"hello\r\n\r\n",
        b"GET /health HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60),
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: abc\r\n\r\n",
        POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
        POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
    ],
    ids=lambda c: repr(c)[-30:],
)
def test_what_is_not_http(nodes: Server, content: bytes) -> None:
    """400, as JSON, and the connection ends."""
    answer = nodes.raw(content)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b'{"error": ' in answer
    assert nodes.json(GOOD).status == 200


def test_trailers_are_nothing(nodes: Server) -> None:
    """What follows a body in chunks."""
    body = b'{"x":[[1,2,3]],"edge_index":[[],[]]}'
    sent = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body)
    answer = nodes.raw(sent + body + b"\r\n0\r\nContent-Type: text/plain\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_clients_that_go(nodes: Server) -> None:
    """In the middle of a body, or without waiting for the answer: nobody else notices."""
    before = threading.active_count()
    for content in (POST + b"Content-Length: 100\r\n\r\n{", POST, b"P"):
        with socket.create_connection(("127.0.0.1", nodes.port), 30) as connection:
            connection.sendall(content)
    body = save({"x": torch.zeros(2000, 3), "edge_index": torch.zeros(2, 0, dtype=torch.int64)})
    head = POST.replace(b"json", b"octet-stream") + b"Content-Length: %d\r\n\r\n" % len(body)
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", nodes.port), 30) as connection:
            connection.sendall(head + body)
    assert nodes.json(GOOD).status == 200
    assert threading.active_count() <= before + 2


def test_an_answer_that_nobody_takes(serving: Serving, replaced: Callable[..., Bundle]) -> None:
    """It is given up, so that it is not kept for ever."""

    def wide(x: Tensor, _edges: Tensor) -> Tensor:
        return torch.zeros(len(x), 2_000_000)

    bundle = replaced(wide)
    contract = bundle.manifest.contract.model_copy(update={"n_classes": 2_000_000})
    manifest = bundle.manifest.model_copy(update={"contract": contract})
    bundle = dataclasses.replace(bundle, manifest=manifest)
    with serving(bundle, Limits(seconds=1), together=False) as server:
        body = save({"x": torch.tensor(X), "edge_index": torch.zeros(2, 0, dtype=torch.int64)})
        head = POST.replace(b"json", b"octet-stream") + b"Content-Length: %d\r\n\r\n" % len(body)
        for more in (b"", b"Connection: close\r\n"):
            with socket.create_connection(("127.0.0.1", server.port), 30) as connection:
                connection.sendall(head[:-2] + more + b"\r\n" + body)
                time.sleep(4)
                came = 0
                with contextlib.suppress(ConnectionResetError):
                    while part := connection.recv(2**20):
                        came += len(part)
                assert came < 16_000_000


def test_json_says_what_it_has(nodes: Server) -> None:
    """The control of the whole file: this is how a good one is answered."""
    answer = nodes.json(GOOD)
    assert answer.status == 200
    assert answer.headers["content-type"] == JSON
