"""How fast are programs, beside the same network in torch, in one run?

Two layers of an operator of width 64 on a graph of Cora's size (2,708 nodes, 10,556 edges drawn at
random), 64 and 1,433 features, one thread, CPU time, all in turns: torch as it is, the program of
torch.export, the compiled one, that once more (`repeat`: what a ratio is worth), and ONNX. `any
edges` is the compiled program that mirrors edges itself, given both directions all the same: what
it costs that callers cannot forget them.
"""

import tempfile
from pathlib import Path

import torch
from reporting import Row, bounded, processor, row, table, told
from torch import Tensor, nn
from torch_geometric.utils import to_undirected

from evaluators.datasets import Preprocessing
from evaluators.latency.measuring import measure
from nas.export import Contract
from nas.export._deployed import deployed
from search_spaces import Task, plugins

NODES, EDGES, CLASSES, WIDTH = 2_708, 5_278, 7, 64
OPERATORS = ("gcn", "sage", "gat")
FEATURES = (64, 1_433)
FASTER = 1.3
COLUMNS = ("torch", "pt2", "aoti", "repeat", "any edges", "onnx")


class Layers(nn.Module):
    """Two layers of an operator."""

    def __init__(self, operator: str, features: int) -> None:
        super().__init__()
        build = plugins.load("operator", operator).build
        self.first, self.second = build(features, WIDTH), build(WIDTH, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits: Tensor = self.second(self.first(x, edge_index).relu(), edge_index)
        return logits


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    """Rows and a table; nothing is read or kept."""
    del data_root, keep
    made, times = list[Row](), dict[str, list[str]]()
    for operator in OPERATORS:
        for features in FEATURES[:1] if quick else FEATURES:
            case = f"{operator}, {features} features, width {WIDTH}"
            told(case)
            ms, noisy = _timed(operator, features)
            target = row(case, "ms of torch / ms of aoti", ms["torch"], ms["aoti"])
            made.append(bounded(target, ">=", FASTER))
            made.append(row(case, "ms of aoti / ms of aoti again", ms["aoti"], ms["repeat"]))
            made.append(row(case, "ms with any edges / ms", ms["any edges"], ms["aoti"]))
            made.append(row(case, "ms of onnx / ms of torch", ms["onnx"], ms["torch"]))
            times[case] = [f"{t:.2f} ({ms['torch'] / t:.2f})" for t in ms.values()]
            times[case][-1] += ", noisy" if noisy else ""
    text = table("Milliseconds of one inference (times faster than torch)", ("", *COLUMNS), times)
    return made, f"{processor()}\n\n{text}"


def _timed(operator: str, features: int) -> tuple[dict[str, float], bool]:
    """Milliseconds by column, and whether the machine was too busy for them."""
    torch.manual_seed(0)
    task = Task(
        "node_classification",
        features,
        CLASSES,
        NODES,
        2 * EDGES,
        1,
        140,
        500,
        1_000,
        "accuracy",
        "0" * 32,
    )
    network = Layers(operator, features)
    edge_index = to_undirected(torch.randint(NODES, (2, EDGES)), num_nodes=NODES)
    graph = torch.rand(NODES, features), edge_index
    plain = deployed(network, Preprocessing(), Contract.of(task, Preprocessing()))
    mirrored = Preprocessing(undirected=True)
    runs = {"torch": plain}
    with tempfile.TemporaryDirectory() as folder:
        for column, name, preparation in (
            ("pt2", "pt2", Preprocessing()),
            ("aoti", "aoti", Preprocessing()),
            ("any edges", "aoti", mirrored),
            ("onnx", "onnx", Preprocessing()),
        ):
            place = Path(folder) / column
            place.mkdir()
            contract = Contract.of(task, preparation)
            module = deployed(network, preparation, contract)
            exporter = plugins.load("exporter", name).build()
            exporter.write(module, contract, place, graph)
            runs[column] = exporter.open(place)
    runs["repeat"] = runs["aoti"]
    ordered = [runs[column] for column in COLUMNS]
    with torch.inference_mode():
        timings = measure([lambda p=p: p(*graph) for p in ordered], rounds=15)
    ms = {name: one.latency_ms for name, one in zip(COLUMNS, timings, strict=True)}
    return ms, any(one.noisy for one in timings)
