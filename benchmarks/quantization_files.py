"""How large `weights.safetensors` of a bundle is, beside what is declared before training.

The fact `model_bytes` is of a network without weights; the file is of a trained one that has left:
a GCN of two layers and 256 channels in full precision, in W8, W4 and W2, and with binary weights.
The tensors are counted as they are read from the file, and the file as it lies there, less its
header. The control holds 2 bits against what full precision declares.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantization_drawn import TASK, trained
from quantization_parts import FULL, uniform
from reporting import Row, bounded, row, table
from safetensors import safe_open

from evaluators.datasets import Preprocessing
from evaluators.facts import facts
from nas.export._manifest import WEIGHTS, Provenance
from nas.export._weights import content, stored
from nas.export.bundle import write_bundle
from search_spaces import gnn
from search_spaces.extensions import quantization

MOST_OFF = 0.05
GCN: Mapping[str, Any] = {
    "depth": (2,),
    "operators": ("gcn",),
    "width": (256,),
    "activation": ("relu",),
    "normalization": ("batch",),
    "connectivity": ("plain",),
    "pre_layers": (1,),
    "post_layers": (0,),
    "output": ("linear",),
}
WAYS: Mapping[str, Mapping[str, Any]] = {
    FULL: uniform(32, 32),
    "W8": uniform(8, 8),
    "W4": uniform(4, 8),
    "W2": uniform(2, 8),
    "binary": uniform("binary", 8),
}


@dataclass(frozen=True)
class Sizes:
    """Bytes: what the fact says, what is read as tensors, the file, and its header."""

    declared: float
    tensors: int
    file: int
    header: int


def files(quick: bool) -> tuple[list[Row], str]:
    """Rows and a table; quick writes the files alone, and no programs beside them."""
    return said({label: written(bits, quick=quick) for label, bits in WAYS.items()})


def written(bits: Mapping[str, Any], *, quick: bool) -> Sizes:
    """Of a network of these formats."""
    plain = gnn.build(TASK, **GCN)
    space = plain.extended(quantization.build(plain, TASK, **bits))
    found = space.fill(lambda decision: decision.choices[0])
    declared = facts(space, found, TASK)["model_bytes"]
    network = trained(space.network(found, TASK))
    leaving = space.deployed(network, found)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bundle" / WEIGHTS
        if quick:
            file.parent.mkdir()
            file.write_bytes(content(*stored(network, leaving, {})))
        else:
            write_bundle(
                file.parent,
                network=network,
                leaving=leaving,
                architecture=found,
                task=TASK,
                preprocessing=Preprocessing(),
                provenance=Provenance(),
            )
        with safe_open(file, framework="pt") as opened:
            tensors = [opened.get_tensor(name) for name in opened.keys()]  # noqa: SIM118
        # It begins with the length of the rest of its header.
        header = 8 + int.from_bytes(file.read_bytes()[:8], "little")
        return Sizes(declared, sum(t.nbytes for t in tensors), file.stat().st_size, header)


def said(found: Mapping[str, Sizes]) -> tuple[list[Row], str]:
    """Rows and a table."""
    full, made, lines = found[FULL], list[Row](), {}
    for label, each in found.items():
        made += [
            bounded(_off(label, "tensors", each.tensors, each.declared), "<=", MOST_OFF),
            bounded(
                _off(label, "file less header", each.file - each.header, each.declared),
                "<=",
                MOST_OFF,
            ),
        ]
        lines[label] = [
            *(f"{bytes_:,.0f}" for bytes_ in (each.declared, each.tensors, each.file, each.header)),
            f"{each.tensors / each.declared:.4f}",
            f"{full.tensors / each.tensors:.2f}",
        ]
    control = _off(
        "W2", "tensors, full precision's fact (control)", found["W2"].tensors, full.declared
    )
    made.append(bounded(control, ">", MOST_OFF))
    columns = ("", "declared", "tensors", "file", "its header", "tensors / declared", "smaller")
    return made, table("Bytes of weights.safetensors", columns, lines)


def _off(label: str, what: str, bytes_: float, declared: float) -> Row:
    return row(f"GCN, {label}", f"{what}: share off what is declared", abs(bytes_ / declared - 1))
