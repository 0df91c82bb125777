"""How fast and how small are networks in 8-bit integers, as they run when they have left?

Two layers of one operator on a graph of Cora's size (2,708 nodes, 10,556 edges drawn at random),
written by the exporters and read back: static and dynamic int8, weight-only int8 and float32, all
compiled alike, and float32 as torch runs it. They are timed in turns, one thread, CPU time;
`repeat` is the float32 program a second time in the same turns, and says what a ratio is worth.
Features are 128 (what a later layer reads) and 1,433 (Cora's, in which the first layer is nearly
all there is; given densely, as everywhere here).

What eight bits gain is the processor's doing: with VNNI it adds four products at once to 32 bits,
without it two to 16. So the machine is named first.

Weights are counted in `weights.safetensors`, scales included. A ratio of accuracy would be of no
use here, where weights are random: the difference of logits is shown, over the largest logit.
"""

import tempfile
from pathlib import Path

import torch
from reporting import Row, bounded, processor, row, table, told
from torch import Tensor, nn

from evaluators.datasets import Preprocessing
from evaluators.latency.measuring import measure
from nas.export import Contract
from nas.export._deployed import deployed
from nas.export._weights import content, stored, tensor_bytes
from search_spaces import Task, plugins

NODES, EDGES, CLASSES = 2_708, 10_556, 7
FASTER = {"sage": 1.5, "gcn": 1.15}
SMALLER = 3.4
EXPORTERS = ("aoti", "int8_static", "int8_dynamic", "int8_weight_only")
# (features, width); targets are for all of them.
SIZES = ((128, 128), (128, 256), (1_433, 128))


class Layers(nn.Module):
    """Two layers of an operator."""

    def __init__(self, operator: str, features: int, width: int) -> None:
        super().__init__()
        build = plugins.load("operator", operator).build
        self.first, self.second = build(features, width), build(width, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits: Tensor = self.second(self.first(x, edge_index).relu(), edge_index)
        return logits


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    """Rows and tables; nothing is read or kept."""
    del data_root, keep
    made, times, sizes = list[Row](), {}, {}
    for operator in FASTER:
        for features, width in SIZES[:1] if quick else SIZES:
            case = f"{operator}, {features} features, width {width}"
            told(case)
            found, cells, bytes_ = _one(operator, features, width, case)
            made += found
            times[case], sizes[case] = cells, bytes_
    columns = ("", "torch", *EXPORTERS, "repeat")
    kind = "with" if torch.cpu._is_vnni_supported() else "without"
    text = f"{processor()}, {kind} VNNI\n\n"
    text += table("Milliseconds of one inference (times faster than aoti)", columns, times)
    columns = ("", "float32", "int8", "times smaller", "difference: static", "dynamic", "weights")
    text += "\n" + table("Bytes of weights, and how far logits are off", columns, sizes)
    return made, text


def _one(
    operator: str, features: int, width: int, case: str
) -> tuple[list[Row], list[str], list[str]]:
    torch.manual_seed(0)
    task = Task(
        "node_classification",
        n_features=features,
        n_classes=CLASSES,
        n_nodes=NODES,
        n_edges=EDGES,
        n_graphs=1,
        n_train=140,
        n_val=500,
        n_test=1_000,
        metric="accuracy",
        fingerprint="0" * 32,
    )
    contract = Contract.of(task, Preprocessing())
    network = deployed(Layers(operator, features, width), Preprocessing(), contract)
    graph = torch.rand(NODES, features), torch.randint(NODES, (2, EDGES))
    programs, bytes_ = {"torch": network}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in EXPORTERS:
            exporter, place = plugins.load("exporter", name).build(), Path(folder) / name
            place.mkdir()
            written = exporter.write(network, contract, place, graph)
            bytes_[name] = tensor_bytes(content(*stored(network, network, written.codes)))
            programs[name] = exporter.open(place)
        programs["repeat"] = programs["aoti"]
        with torch.inference_mode():
            exact = network(*graph)
            off = {
                name: float((program(*graph) - exact).abs().max() / exact.abs().max())
                for name, program in programs.items()
            }
            timings = measure([lambda p=p: p(*graph) for p in programs.values()], rounds=15)
    ms = {name: one.latency_ms for name, one in zip(programs, timings, strict=True)}
    faster = row(case, "ms of float32 / ms of static int8", ms["aoti"], ms["int8_static"])
    smaller = row(case, "bytes of float32 / bytes of int8", bytes_["aoti"], bytes_["int8_static"])
    again = row(case, "ms of float32 / ms of float32 again", ms["aoti"], ms["repeat"])
    made = [bounded(faster, ">=", FASTER[operator]), bounded(smaller, ">=", SMALLER), again]
    noisy = any(one.noisy for one in timings)
    cells = [f"{t:.2f} ({ms['aoti'] / t:.2f})" for t in ms.values()]
    cells[-1] += ", noisy" if noisy else ""
    shown = [f"{bytes_[name]:,}" for name in ("aoti", "int8_static")]
    shown += [f"{smaller['ratio']:.2f}"]
    shown += [f"{off[name]:.4f}" for name in ("int8_static", "int8_dynamic", "int8_weight_only")]
    return made, cells, shown
