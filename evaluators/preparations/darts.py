"""Trains a relaxed network and learns its decisions by gradient: differentiable search.

Hanxiao Liu, Karen Simonyan, Yiming Yang: DARTS: Differentiable Architecture Search (2019). Weights
learn the training units, decisions the validation units, in turns; see `_bilevel`. In the first
epochs decisions stay as they are: weights that know nothing yet favor operators that are quick to
learn. With `order` second, a step of the decisions sees what the next step of the weights makes of
them, for two to three times the work (see `_unrolled`).

The distribution of every epoch is recorded.

Limits: spaces that can be relaxed (`gnn` without `skip`, `nas_bench_graph`; no recipe decisions, no
extension but `quantization`). Decisions are independent of each other, so two choices that are good
only together may not be found.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt

from evaluators._batches import Batches
from evaluators.preparations._bilevel import Bilevel, Order, Recipe, beginning
from evaluators.preparations._relaxed import check_relaxable
from search_spaces import SearchSpace, Task
from search_spaces.relaxation import relax


def prepare(
    space: SearchSpace,
    batches: Batches,
    seed: int,
    *,
    epochs: Annotated[int, Ge(1)] = 50,
    steps: Annotated[int, Ge(1)] = 4,
    warm_up_epochs: Annotated[int, Ge(0)] | None = None,
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
        warm_up_epochs: first so many, in which decisions stay as they are; a fifth by default.
        order: whether a step of the decisions sees what it does to the next step of the weights.
        lr, weight_decay, dropout: of the weights, by Adam.
        architecture_lr: of the decisions, by Adam; 0 learns nothing.
        batch_size: graphs a step.

    Raises:
        SpaceError, PluginError: as of `check`.
    """
    warm_up, task = epochs // 5 if warm_up_epochs is None else warm_up_epochs, batches.dataset.task
    check(space, task, {"epochs": epochs, "warm_up_epochs": warm_up})
    recipe = Recipe(
        epochs, steps, warm_up, order, lr, weight_decay, dropout, architecture_lr, batch_size
    )
    relaxed = relax(space, task)
    return Bilevel(relaxed, batches, seed, recipe, beginning(space))


def check(space: SearchSpace, task: Task, options: Mapping[str, Any]) -> None:
    """Refuse what there is no relaxed network of, before a study is stored.

    Raises:
        SpaceError: the space cannot be relaxed; the message names the decision.
        PluginError: a warm-up that takes all epochs.
    """
    check_relaxable(space, task, options)
