"""A server answers to its own names alone, so that no page can give its name this address."""

import signal
from pathlib import Path

import pytest
import torch

from .conftest import Server
from .test_command import ended, first_line, process


@pytest.mark.parametrize("path", ["/health", "/manifest", "/docs", "/openapi.json", "/nowhere"])
def test_another_name_is_refused(nodes: Server, path: str) -> None:
    """With the remedy, before anything else is looked at; those of the machine are answered."""
    for host in ("evil.example", f"evil.example:{nodes.port}", ""):
        answer = nodes.ask("GET", path, headers={"Host": host})
        assert answer.status == 421, host
        assert "--allowed-host" in answer.error
    for host in ("localhost", f"127.0.0.1:{nodes.port}", f"[::1]:{nodes.port}"):
        assert nodes.ask("GET", path, headers={"Host": host}).status in (200, 404)


def test_a_request_of_another_name_is_not_computed(nodes: Server) -> None:
    """A large body too: the client comes to read why."""
    tensors = {"x": torch.zeros(200_000, 3), "edge_index": torch.zeros(2, 0, dtype=torch.int64)}
    assert nodes.binary(tensors, Host="evil.example").status == 421
    assert nodes.binary(tensors).status == 200


def test_two_names_are_none(nodes: Server) -> None:
    """What a proxy reads and what is read here could differ."""
    came = nodes.raw(
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n"
        b"Connection: close\r\n\r\n"
    )
    assert b" 421 " in came.partition(b"\r\n")[0]


def test_a_name_can_be_allowed(node_bundle: Path) -> None:
    """As that of a proxy; others are not by that."""
    allowed = ("--allowed-host", "nas.example", "--allowed-host", "other.example")
    with process(str(node_bundle), "--port", "0", *allowed) as running:
        port = int(first_line(running).rsplit(":", 1)[1])
        server = Server(port, None)  # type: ignore[arg-type]
        for host, status in (("nas.example", 200), ("other.example:443", 200), ("x.example", 421)):
            assert server.ask("GET", "/health", headers={"Host": host}).status == status
        running.send_signal(signal.SIGINT)
        code, _, err = ended(running)
    assert code == 0
    assert err.count(" 421 ") == 1  # in the log, as all others
