"""How much memory relaxed networks keep for their gradient, by K: one of K parts is mixed.

What autograd saves on the way forward is counted by its storages, each once, weights and inputs
left out. A relaxed network keeps what every choice of a layer computes; where one of K parts of the
channels goes through the choices, that is a Kth. What is not mixed - the channels that pass, and
the outputs of layers - stays as it was. Control: a network of one choice everywhere, in which there
is nothing to save by parts.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from reporting import Row, bounded, row, table
from torch import Tensor

from nas.contracts.graphs import node_graph
from search_spaces import SearchSpace, Task, gnn
from search_spaces.gnn import OPERATORS
from search_spaces.relaxation import full, learned, relax

PARTS, WIDTHS = (1, 2, 4, 8), (64, 256)
LEAST_SHARE = 0.8
MIXED = {f"{len(OPERATORS)} operators": OPERATORS, "gcn alone (control)": ("gcn",)}


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    """Rows and a table; nothing is read or kept."""
    del data_root, keep
    nodes = 150 if quick else 2_000
    made, lines = list[Row](), {}
    for title, operators in MIXED.items():
        for width in WIDTHS:
            # Features as many as channels: all layers read as much, whatever K.
            dataset = node_graph(nodes=nodes, x=torch.randn(nodes, width))
            space, inputs = _space(dataset.task, width, operators), (dataset.x, dataset.edge_index)
            found = {k: saved(space, dataset.task, inputs, k) for k in PARTS}
            case = f"{title}, width {width}, {nodes} nodes"
            for k in PARTS[1:]:
                one = row(case, f"bytes kept, K = 1 / K = {k}", found[1], found[k])
                made.append(_judged(one, k, width, is_mixed=operators is OPERATORS))
            lines[f"{title}, {width}"] = _cells(found)
    columns = ("mixed, width", *(f"K = {k}" for k in PARTS))
    return made, table("MB kept for the gradient (times less than with K = 1)", columns, lines)


def _judged(one: Row, parts: int, width: int, *, is_mixed: bool) -> Row:
    """Targets are for the wider layers; of the control, that its largest K falls short of them."""
    if width < max(WIDTHS) or not (is_mixed or parts == max(PARTS)):
        return one
    return bounded(one, ">=" if is_mixed else "<", LEAST_SHARE * parts)


def _cells(found: Mapping[int, int]) -> list[str]:
    return [f"{size / 1e6:.1f} ({found[1] / size:.2f})" for size in found.values()]


def _space(task: Task, width: int, operators: tuple[str, ...]) -> SearchSpace:
    # One choice of each option; gcn has none.
    one = {} if operators == ("gcn",) else {"heads": (1,), "hops": (2,), "aggregation": ("mean",)}
    return gnn.build(
        task,
        depth=(2,),
        operators=operators,
        width=(width,),
        activation=("relu",),
        normalization=("none",),
        connectivity=("plain",),
        pre_layers=(0,),
        post_layers=(0,),
        output=("linear",),
        **one,  # type: ignore[arg-type]
    )


def saved(space: SearchSpace, task: Task, inputs: tuple[Tensor, ...], parts: int) -> int:
    """Bytes that one call forward keeps for the way back.

    Args:
        inputs: what networks are called with.
        parts: one of so many parts of the channels is mixed.
    """
    torch.manual_seed(0)
    relaxed = relax(space, task, parts)
    weights = {name: w.requires_grad_() for name, w in relaxed.initial().items()}
    logits = {d.name: torch.zeros(len(d.choices), requires_grad=True) for d in learned(space)}
    others = {t.untyped_storage().data_ptr() for t in (*weights.values(), *inputs)}
    found: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in others:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        mixture = full({name: row.softmax(0) for name, row in logits.items()})
        kept = relaxed.logits(weights, mixture, inputs)
    del kept
    return sum(found.values())
