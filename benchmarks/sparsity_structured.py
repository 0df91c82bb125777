"""How fast are half the units and half the edges, as they run when they have left?

Networks of two layers of 256 channels on Cora, whose subnetworks were chosen by a few epochs of
training (times do not depend on how well), are deployed, compiled alike (AOTInductor), and timed in
turns, one thread, CPU time: the parent on the whole graph, the subnetwork on the graph that is
left, and each of the two savings alone. Control: a tenth of the weights, single entries, is as slow
as all of them. `repeat` is the parent a second time, and says what a ratio is worth.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from quantization_parts import Trainer
from reporting import Row, bounded, row, table, told
from supernet_parts import DATA
from torch import Tensor, nn

from evaluators.datasets import Dataset, load
from evaluators.latency.measuring import measure
from nas.export import Contract
from nas.export._deployed import deployed
from search_spaces import plugins
from search_spaces.plugins import Plugin
from search_spaces.sparsity.edges import Ticket

FASTER, AS_FAST = 1.8, 1.15
OPERATORS = ("sage", "gcn")
_UNITS = {"method": ("snip",), "structure": ("units",), "weight_density": (0.5,)}
WAYS: Mapping[str, Mapping[str, Any] | None] = {
    "parent": None,
    "half of both": {**_UNITS, "edge_density": (0.5,)},
    "half the units": _UNITS,
    "half the edges": {"method": ("snip",), "weight_density": (1.0,), "edge_density": (0.5,)},
    "0.1 of the weights (control)": {"method": ("snip",), "weight_density": (0.1,)},
}


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    """Rows and a table; nothing is kept."""
    del keep
    made, lines = list[Row](), {}
    data = DATA["Cora"]
    dataset = load(data, data_root)
    for operator in OPERATORS[:1] if quick else OPERATORS:
        told(operator)
        found, cells = _one(operator, dataset)
        made += found
        lines[operator] = cells
    title = "Cora, width 256: milliseconds of one inference (times faster than the parent)"
    return made, table(title, ("", *WAYS, "repeat"), lines)


def _one(operator: str, dataset: Dataset) -> tuple[list[Row], list[str]]:
    contract = Contract.of(dataset.task, dataset.preprocessing)
    exporter = plugins.load("exporter", "aoti").build()
    calls, sizes = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        space = {
            "depth": (2,),
            "operators": (operator,),
            "width": (256,),
            "activation": ("relu",),
            "normalization": ("none",),
            "connectivity": ("plain",),
            "pre_layers": (0,),
            "post_layers": (0,),
            "output": (operator,),
            **({"aggregation": ("mean",)} if operator == "sage" else {}),
        }
        trainer = Trainer(
            "Cora",
            dataset,
            {},
            space,
            Plugin("training", {"epochs": 3}),
            Path(folder).as_uri(),
            None,
            "sparsity",
        )
        for number, (label, given) in enumerate(WAYS.items()):
            place = Path(folder) / str(number)
            place.mkdir()
            network, edges = _left(trainer, given, dataset)
            sizes[label] = sum(p.numel() for p in network.parameters())
            module = deployed(network, dataset.preprocessing, contract)
            exporter.write(module, contract, place, (dataset.x, edges))
            calls[label] = exporter.open(place), edges
        calls["repeat"] = calls["parent"]
        with torch.inference_mode():
            timings = measure(
                [lambda p=p, e=e: p(dataset.x, e) for p, e in calls.values()], rounds=15
            )
    ms = {label: one.latency_ms for label, one in zip(calls, timings, strict=True)}
    cells = [f"{t:.2f} ({ms['parent'] / t:.2f})" for t in ms.values()]
    if any(one.noisy for one in timings):
        cells[-1] += ", noisy"
    both, control = list(WAYS)[1], list(WAYS)[-1]
    made = [
        bounded(_faster(operator, both, ms), ">=", FASTER),
        *(_faster(operator, label, ms) for label in (*list(WAYS)[2:4], "repeat")),
        bounded(_faster(operator, control, ms), "<", AS_FAST),
        row(f"{operator}, {both}", "params", sizes[both], sizes["parent"]),
    ]
    return made, cells


def _faster(operator: str, label: str, ms: Mapping[str, float]) -> Row:
    case = f"{operator}, {label}"
    return row(case, "ms of the parent / ms", ms["parent"], ms[label])


def _left(
    trainer: Trainer, given: Mapping[str, Any] | None, dataset: Dataset
) -> tuple[nn.Module, Tensor]:
    """A trained network as it leaves, and the edges of its graph."""
    space, found = trainer.network(given)
    network: Any = trainer.networks(space, found, [0])[0]
    edges = dataset.edge_index
    if given is not None and isinstance(network.sparsity.edges, Ticket):
        edges = network.sparsity.edges.kept(edges)
    return space.deployed(network, found).eval(), edges
