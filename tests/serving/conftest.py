"""Small bundles, and servers of them in a thread of this process."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch_geometric.nn import GCNConv, global_mean_pool

from evaluators.datasets._base import Preprocessing
from nas.export._manifest import Manifest, Provenance
from nas.export.bundle import write_bundle
from nas.export.load import Bundle, load_bundle
from nas.serving.app import Service, make_app
from nas.serving.batching import Forwards
from nas.serving.elsewhere import attend
from nas.serving.joining import joins
from nas.serving.limits import Held, Limits
from nas.serving.program import Program
from nas.serving.running import Connected, config
from search_spaces import Architecture, Task
from search_spaces.task import TaskKind

FEATURES, CLASSES = 3, 3
NAMES = ("cat", "dog", "bird")
JSON = "application/json"
BINARY = "application/vnd.safetensors"


class Nodes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = GCNConv(FEATURES, 8)
        self.second = GCNConv(8, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.second(self.first(x, edge_index).relu(), edge_index)


class Graphs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.nodes = Nodes()

    def forward(self, x: Tensor, edge_index: Tensor, graph_ids: Tensor, graphs: Tensor) -> Tensor:
        return global_mean_pool(self.nodes(x, edge_index), graph_ids, size=graphs.size(0))


def made_bundle(
    folder: Path, kind: TaskKind, *, undirected: bool = False, exporter: str = "pt2"
) -> Path:
    torch.manual_seed(0)
    graphs = kind.startswith("graph")
    task = Task(kind, FEATURES, CLASSES, 60, 240, 8 if graphs else 1, 4, 2, 2, "accuracy", "0" * 32)
    write_bundle(
        folder,
        network=Graphs() if graphs else Nodes(),
        architecture=Architecture("made", {"depth": 2}),
        task=task,
        preprocessing=Preprocessing("none", undirected),
        class_names=NAMES,
        provenance=Provenance(),
        formats=[exporter],
    )
    return folder


@pytest.fixture(scope="session")
def node_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For a node task on undirected graphs, with names of classes."""
    return made_bundle(
        tmp_path_factory.mktemp("serving") / "node", "node_classification", undirected=True
    )


@pytest.fixture(scope="session")
def graph_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For a graph task."""
    return made_bundle(tmp_path_factory.mktemp("serving") / "graph", "graph_classification")


@pytest.fixture(scope="session")
def endless_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For a node task; its program, of `--exporter fakes.endless`, never returns of 13 nodes."""
    folder = tmp_path_factory.mktemp("serving") / "endless"
    return made_bundle(folder, "node_classification", exporter="fakes.endless")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def tensors(self) -> dict[str, Tensor]:
        assert self.headers["content-type"] == BINARY
        return load(self.body)

    @property
    def error(self) -> str:
        """What is said, in the one form in which it is."""
        assert self.headers["content-type"] == JSON
        assert list(self.json) == ["error"]
        text: str = self.json["error"]
        assert "Traceback" not in text
        assert "\n" not in text
        return text


@dataclass
class Server:
    port: int
    held: Held
    log: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, named, answer.read())
        finally:
            connection.close()

    def json(self, value: Any, **headers: str) -> Answer:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.ask("POST", "/predict", body, {"Content-Type": JSON, **headers})

    def binary(self, tensors: bytes | dict[str, Tensor], **headers: str) -> Answer:
        body = tensors if isinstance(tensors, bytes) else save(tensors)
        return self.ask("POST", "/predict", body, {"Content-Type": BINARY, **headers})

    def raw(self, content: bytes, timeout: float = 30.0) -> bytes:
        """All that comes back for some bytes, until the connection is closed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as connection:
            connection.sendall(content)
            came = b""
            while part := connection.recv(65536):
                came += part
            return came


Serving = Callable[..., AbstractContextManager[Server]]


class Here(Program):
    """Whatever is called as a program, in a thread instead of a process."""

    def __init__(self, program: Callable[..., Tensor], manifest: Manifest) -> None:
        super().__init__(Path(), None, manifest)
        self._program = program

    def start(self, together: bool | None = None) -> bool:
        self._connection, theirs = socket.socketpair()
        paths = [slot.path for slot in self._slots]

        def run() -> None:
            with theirs, contextlib.suppress(OSError):
                attend(theirs, paths, self._program, self._contract)

        threading.Thread(target=run).start()
        return joins(self._program, self._contract) if together is None else together


@contextmanager
def served(bundle: Bundle, limits: Limits | None = None, **given: Any) -> Iterator[Server]:
    """A server of a bundle; keywords go to `Forwards`."""
    limits = limits or Limits()
    listening = socket.create_server(("127.0.0.1", 0))
    server = Server(listening.getsockname()[1], Held(limits.held_bytes))
    settings = {"most_graphs": 256, "most_bytes": limits.request_bytes} | given
    program = Here(bundle.program, bundle.manifest)
    settings["together"] = program.start(settings.get("together"))
    forwards = Forwards(program.run, **settings)
    service = Service(bundle, forwards, lambda: program.away, limits, "0" * 64, server.held)
    app = make_app(service, server.url, server.log.append)
    running = Connected(config(app, limits), program, told=lambda: None)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    while not running.started:
        time.sleep(0.01)
    try:
        yield server
    finally:
        running.should_exit = True
        thread.join()
        program.close()


@pytest.fixture(scope="session")
def serving() -> Serving:
    """Serves a bundle in this process."""
    return served


@pytest.fixture(scope="session")
def nodes(node_bundle: Path) -> Iterator[Server]:
    """A server of the node bundle."""
    with served(load_bundle(node_bundle)) as server:
        yield server


@pytest.fixture(scope="session")
def graphs(graph_bundle: Path) -> Iterator[Server]:
    """A server of the graph bundle."""
    with served(load_bundle(graph_bundle)) as server:
        yield server


@pytest.fixture
def replaced(node_bundle: Path) -> Callable[..., Bundle]:
    """The node bundle with another program."""

    def make(program: Callable[..., Tensor]) -> Bundle:
        return replace(load_bundle(node_bundle), program=program)

    return make
