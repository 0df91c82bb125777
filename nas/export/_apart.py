"""By how much a program and what it is to compute differ, on graphs of all sizes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.export._base import Contract
from nas.export._manifest import Manifest
from nas.export._sample import SIZES, like_task, made_up

_MORE_NODES = 10
_MOST_EDGES = 2**20


@dataclass(frozen=True)
class Apart:
    """How two programs compare.

    Attributes:
        largest: of all |p - y| of a graph, relative to its max(1, max|y|): the largest.
        mean: over all graphs, relative to the largest max(1, max|y|).
        where: the graph of the largest.
        fault: what makes a comparison impossible; empty where nothing does.
    """

    largest: float = 0.0
    mean: float = 0.0
    where: str = ""
    fault: str = ""


def graphs_for(
    manifest: Manifest, sample: tuple[Tensor, ...] | None
) -> list[tuple[str, tuple[Tensor, ...]]]:
    """Graphs by their names: of all sizes, ten times as large as the bundle's own, and that one.

    The large one has fewer nodes where its features would take more than 128 MiB, and no more than
    a million edges.

    Args:
        sample: raw inputs of the dataset's own graph, where it is here; nodes are like its nodes.
    """
    contract, own = manifest.contract, manifest.programs[0].parity.graphs[0]
    features = contract.n_features
    nodes, edges, graphs = like_task(
        features, *(_MORE_NODES * own.get(letter, 1) for letter in "NEB")
    )
    share = min(1.0, _MOST_EDGES / max(edges, 1))
    large = max(graphs, round(nodes * share)), round(edges * share), graphs
    like = None if sample is None else sample[0]
    made = [(*size, made_up(contract, size, like)) for size in (*SIZES, large)]
    found = [(f"{n:,} nodes, {e:,} edges", inputs) for n, e, _, inputs in made]
    return found if sample is None else [("the dataset's graph", sample), *found]


def apart(
    program: Callable[..., Tensor],
    reference: Callable[..., Tensor],
    contract: Contract,
    graphs: Sequence[tuple[str, tuple[Tensor, ...]]],
) -> Apart:
    """Run both on each graph; shapes must be the contract's, and all numbers finite."""
    largest, total, count, size, where = 0.0, 0.0, 0, 1.0, ""
    for name, inputs in graphs:
        try:
            with torch.inference_mode():
                got, expected = program(*inputs), reference(*inputs)
        except Exception as error:  # a fault boundary: a program of a stranger runs
            reason = str(error).strip().partition("\n")[0]
            return Apart(fault=f"on {name} one fails: {type(error).__name__}: {reason}"[:300])
        rows = inputs[3].size(0) if contract.is_graph_task else inputs[0].size(0)
        shape = (rows, contract.n_classes)
        for each in (got, expected):
            if tuple(each.shape) != shape or each.dtype != torch.float32:
                return Apart(
                    fault=f"on {name} one gives {each.dtype} {list(each.shape)}, expected float32 "
                    f"{list(shape)}"
                )
            if not bool(each.isfinite().all()):
                return Apart(fault=f"on {name} one gives values that are not finite")
        off, most = (got - expected).abs(), max(1.0, float(expected.abs().max()))
        if float(off.max()) / most >= largest:
            largest, where = float(off.max()) / most, name
        total, count, size = total + float(off.sum()), count + off.numel(), max(size, most)
    return Apart(largest, total / max(count, 1) / size, where)
