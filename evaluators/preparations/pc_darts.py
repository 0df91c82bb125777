"""Differentiable search in which a part of the channels goes through what is mixed.

Yuhui Xu, Lingxi Xie, Xiaopeng Zhang, Xin Chen, Guo-Jun Qi, Qi Tian, Hongkai Xiong: PC-DARTS:
Partial Channel Connections for Memory-Efficient Architecture Search (2020). Layers are built at one
of `channel_parts` of their width, the other channels go past them, and all are shuffled: what is
kept for the gradient of a layer falls as much. Which outputs are read (depth, connectivity, links)
is weighed by weights of its own besides (`normalize_edges`), which steadies it where samples of
channels change; decisions stay as they are in the first epochs. Else as `darts`.

Limits: as of `darts`; widths, and widths a head, must be divisible by `channel_parts`.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt

from evaluators._batches import Batches
from evaluators.preparations._bilevel import Bilevel, Order, Recipe, beginning
from evaluators.preparations._relaxed import check_relaxable
from search_spaces import SearchSpace, Task
from search_spaces.relaxation import most_parts, relax


def prepare(
    space: SearchSpace,
    batches: Batches,
    seed: int,
    *,
    epochs: Annotated[int, Ge(1)] = 50,
    steps: Annotated[int, Ge(1)] = 4,
    warm_up_epochs: Annotated[int, Ge(0)] | None = None,
    channel_parts: Annotated[int, Ge(1)] | None = None,
    normalize_edges: bool = True,
    order: Order = "first",
    lr: Annotated[float, Gt(0)] = 0.01,
    weight_decay: Annotated[float, Ge(0)] = 5e-4,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.5,
    architecture_lr: Annotated[float, Ge(0)] = 0.006,
    batch_size: Annotated[int, Ge(1)] = 128,
) -> Bilevel:
    """Make it.

    Args:
        space: that can be relaxed.
        batches: of the dataset.
        seed: of the study.
        epochs: over which the learning rate falls.
        steps: of an epoch of a node task; of a graph task an epoch is a pass over the graphs.
        warm_up_epochs: first so many, in which decisions stay as they are; three of ten by default.
        channel_parts: one of so many parts of the channels goes through what is mixed; by default
            4, or 2 where widths, or widths a head, cannot be divided so.
        normalize_edges: whether what is read is weighed by weights of its own besides.
        order: whether a step of the decisions sees what it does to the next step of the weights.
        lr, weight_decay, dropout: of the weights, by Adam.
        architecture_lr: of the decisions, by Adam; 0 learns nothing.
        batch_size: graphs a step.

    Raises:
        SpaceError, PluginError: as of `check`.
    """
    warm_up = 3 * epochs // 10 if warm_up_epochs is None else warm_up_epochs
    task = batches.dataset.task
    parts = most_parts(space) if channel_parts is None else channel_parts
    check(space, task, {"epochs": epochs, "warm_up_epochs": warm_up, "channel_parts": parts})
    recipe = Recipe(
        epochs, steps, warm_up, order, lr, weight_decay, dropout, architecture_lr, batch_size
    )
    relaxed = relax(space, task, parts)
    edges = relaxed.edges if normalize_edges else frozenset[str]()
    return Bilevel(relaxed, batches, seed, recipe, beginning(space, edges))


def check(space: SearchSpace, task: Task, options: Mapping[str, Any]) -> None:
    """Refuse what there is no relaxed network of, before a study is stored.

    Raises:
        SpaceError: the space cannot be relaxed, or not in so many parts.
        PluginError: a warm-up that takes all epochs.
    """
    check_relaxable(space, task, {"channel_parts": most_parts(space), **options})
