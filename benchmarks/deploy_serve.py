"""How much of a program's throughput is left over HTTP: `nas serve` beside the bare forward.

Graphs of Cora's size with 64 features go to a two-layer GCN of width 64 as safetensors, over a few
connections that are kept open, from a process of its own. Both are measured in turns, on the same
graph: the program called in a loop, and the answers that come in as many seconds.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from reporting import Row, bounded, processor, row, table, told
from safetensors.torch import save_file
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from evaluators.datasets._base import Preprocessing
from evaluators.latency.allocator import kept_memory
from nas.export._manifest import Provenance
from nas.export.bundle import write_bundle
from nas.export.load import load_bundle
from search_spaces import Architecture, Task

NODES, EDGES, FEATURES, CLASSES, WIDTH = 2708, 10556, 64, 7, 64
CONNECTIONS = 4
LEFT = 0.7
EXPORTERS = ("pt2", "aoti")


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    """For each exporter: answers a second over HTTP and forwards a second, and latencies."""
    del data_root, keep
    rounds, seconds = (2, 1.0) if quick else (7, 4.0)
    measured, lines = [], {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "graph.safetensors"
        graph = made_graph()
        save_file({"x": graph[0], "edge_index": graph[1]}, file)
        for exporter in EXPORTERS:
            told(f"serving {exporter}")
            bundle = Path(folder) / exporter
            write(bundle, exporter)
            found = measure(bundle, graph, file, rounds, seconds)
            measured += _rows(exporter, found)
            lines[exporter] = _cells(found)
    return measured, _text(lines, file_bytes=sum(t.nbytes for t in graph))


def made_graph() -> tuple[Tensor, Tensor]:
    """Of Cora's size."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(NODES, FEATURES, generator=generator)
    return x, torch.randint(NODES, (2, EDGES), generator=generator)


class Gcn(nn.Module):
    """Two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = GCNConv(FEATURES, WIDTH)
        self.second = GCNConv(WIDTH, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        hidden = self.first(x, edge_index).relu()
        return self.second(hidden, edge_index)


def write(folder: Path, exporter: str) -> None:
    """A bundle of it, with random weights."""
    torch.manual_seed(0)
    kind = "node_classification"
    task = Task(kind, FEATURES, CLASSES, NODES, EDGES, 1, 4, 2, 2, "accuracy", "0" * 32)
    write_bundle(
        folder,
        network=Gcn(),
        architecture=Architecture("made", {"depth": 2}),
        task=task,
        preprocessing=Preprocessing(),
        provenance=Provenance(),
        formats=[exporter],
    )


def measure(
    folder: Path, graph: tuple[Tensor, Tensor], file: Path, rounds: int, seconds: float
) -> dict[str, Any]:
    """Both in turns; a second for each of the rounds, and all latencies."""
    program = load_bundle(folder).program
    bare, http, took = [], [], []
    with serving(folder) as url, kept_memory():
        asked(url, file, seconds=1.0)
        for _ in range(rounds):
            bare.append(_forwards(program, graph, seconds))
            answers = asked(url, file, seconds=seconds)
            http.append(len(answers["took"]) / answers["seconds"])
            took += answers["took"]
    return {"bare": bare, "http": http, "took": sorted(took)}


def _forwards(program: Any, graph: tuple[Tensor, Tensor], seconds: float) -> float:
    with torch.inference_mode():
        program(*graph)
        begun, count = time.perf_counter(), 0
        while (now := time.perf_counter()) < begun + seconds:
            program(*graph)
            count += 1
    return count / (now - begun)


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[str]:
    """`nas serve` in a process of its own; gives its URL."""
    line = [sys.executable, "-m", "nas", "serve", str(folder), "--port", "0", "--quiet", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S603
        assert process.stdout is not None  # noqa: S101
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGINT)


def asked(url: str, file: Path, seconds: float) -> dict[str, Any]:
    """What the client found."""
    client = Path(__file__).with_name("deploy_client.py")
    line = [sys.executable, str(client), url, str(file), str(CONNECTIONS), str(seconds)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)  # noqa: S603
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _rows(exporter: str, found: Mapping[str, Any]) -> list[Row]:
    http, bare = statistics.median(found["http"]), statistics.median(found["bare"])
    case = f"serve {exporter}"
    return [
        bounded(row(case, "answers a second, forwards a second", http, bare), ">=", LEFT),
        row(case, "latency p50, ms", 1e3 * _quantile(found["took"], 0.5)),
        row(case, "latency p99, ms", 1e3 * _quantile(found["took"], 0.99)),
    ]


def _cells(found: Mapping[str, Any]) -> Sequence[str]:
    http, bare = found["http"], found["bare"]
    shares = sorted(h / b for h, b in zip(http, bare, strict=True))
    return [
        f"{statistics.median(bare):.0f}",
        f"{statistics.median(http):.0f}",
        f"{statistics.median(http) / statistics.median(bare):.0%}",
        f"{shares[0]:.0%} to {shares[-1]:.0%}",
        f"{1e3 * _quantile(found['took'], 0.5):.1f}",
        f"{1e3 * _quantile(found['took'], 0.99):.1f}",
    ]


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _text(lines: Mapping[str, Sequence[str]], file_bytes: int) -> str:
    columns = ["exporter", "forwards a second", "answers a second", "left", "in each round"]
    columns += ["p50 ms", "p99 ms"]
    head = (
        f"A GCN of width {WIDTH} on graphs of {NODES:,} nodes, {EDGES:,} edges and {FEATURES} "
        f"features, {file_bytes / 2**20:.2f} MiB each, on {os.cpu_count()} cores of "
        f"{processor()}: a forward has one thread, and client, network stack and the reading of "
        f"bodies share what is left. {CONNECTIONS} connections, so each request waits for up to "
        f"{CONNECTIONS - 1} others."
    )
    return f"{head}\n\n" + table("Over HTTP, beside the bare forward", columns, lines)
