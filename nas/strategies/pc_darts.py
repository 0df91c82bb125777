"""Differentiable search with a part of the channels: as `darts`, for less memory.

Yuhui Xu et al.: PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture Search
(2020). The relaxed network is that of the preparation `pc_darts`; what is proposed is as with
`darts`.

One objective, which is measured on the validation units. Limits: spaces that can be relaxed: `gnn`
without `skip`, and `nas_bench_graph`, without recipe decisions; of extensions `gnn` with
`quantization` alone. What fits a network in which everything counts a little need not fit alone:
hold it against `random` on your graph (`nas compare`), as for any strategy.
"""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt

from evaluators import Preparation
from nas.strategies._base import Problem
from nas.strategies._learned import Learned, passes
from search_spaces.plugins import Plugin
from search_spaces.relaxation import most_parts


def build(
    problem: Problem,
    *,
    epochs: Annotated[int, Ge(1)] = 50,
    steps: Annotated[int, Ge(1)] = 4,
    warm_up_epochs: Annotated[int, Ge(0)] | None = None,
    channel_parts: Annotated[int, Ge(1)] | None = None,
    normalize_edges: bool = True,
    order: Literal["first", "second"] = "first",
    lr: Annotated[float, Gt(0)] = 0.01,
    weight_decay: Annotated[float, Ge(0)] = 5e-4,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.5,
    architecture_lr: Annotated[float, Ge(0)] = 0.006,
    batch_size: Annotated[int, Ge(1)] = 128,
) -> Learned:
    """Make the strategy.

    Args:
        problem: what to search.
        epochs: of the relaxed network.
        steps: of an epoch of a node task; of a graph task an epoch is a pass over the graphs.
        warm_up_epochs: first so many, in which decisions stay as they are; three of ten by default.
        channel_parts: one of so many parts of the channels goes through what is mixed; by default
            4, or 2 where widths, or widths a head, cannot be divided so.
        normalize_edges: whether what is read is weighed by weights of its own besides.
        order: whether a step of the decisions sees what it does to the next step of the weights;
            second takes two to three times the work.
        lr, weight_decay, dropout: of the weights of the relaxed network, by Adam.
        architecture_lr: of the decisions, by Adam; 0 learns nothing, and all draws are even.
        batch_size: graphs a step.

    Raises:
        StrategyError: several objectives, one that is known without training, or a space that
            cannot be relaxed.
    """
    options = {
        "epochs": epochs,
        "steps": steps,
        "normalize_edges": normalize_edges,
        "order": order,
        "lr": lr,
        "weight_decay": weight_decay,
        "dropout": dropout,
        "architecture_lr": architecture_lr,
        "batch_size": batch_size,
    }
    if warm_up_epochs is not None:
        options["warm_up_epochs"] = warm_up_epochs
    parts = most_parts(problem.space) if channel_parts is None else channel_parts
    options["channel_parts"] = parts
    spent = passes(problem.space, epochs * steps, order, parts)
    preparation = Preparation(Plugin("pc_darts", options), epochs, spent)
    return Learned(problem, "pc_darts", preparation)
