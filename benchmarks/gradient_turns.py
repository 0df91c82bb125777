"""Whose turn it is: a step of the weights or one of the decisions; and PC-DARTS with K = 1."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from gradient_second_order import space_of
from reporting import Row, bounded, row
from torch import Tensor

from evaluators._batches import Batches
from evaluators.preparations import darts, pc_darts
from evaluators.preparations._bilevel import Bilevel, Order
from nas.contracts.graphs import node_graph

EPOCHS = 4
_PLAIN: Mapping[str, Any] = {"warm_up_epochs": 0, "normalize_edges": False}


def turns(order: Order, steps: int) -> list[Row]:
    """How many tensors change in any bit: in the turn of the others, and in their own.

    With the tensors of a group come what its optimizer remembers of them.
    """
    dataset = node_graph()
    batches = Batches(dataset)
    train, val = (batches.of(mask.nonzero()[:, 0]) for mask in (dataset.train, dataset.val))
    bilevel = _made(darts, order=order)
    theirs, own = ({"weights": 0, "logits": 0} for _ in range(2))
    for step in range(steps):
        states = [_copied(bilevel)]
        bilevel.learn(train, val, 1, step)
        states.append(_copied(bilevel))
        bilevel.train(train, 1, step)
        states.append(_copied(bilevel))
        for group, (foreign, mine) in {"weights": (0, 1), "logits": (1, 0)}.items():
            theirs[group] += _changed(group, *states[foreign : foreign + 2])
            own[group] += _changed(group, *states[mine : mine + 2])
    case = f"{order} order, {steps} steps of each"
    return [
        *(
            bounded(row(case, f"{g} changed in turns of others", n), "<=", 0)
            for g, n in theirs.items()
        ),
        *(
            bounded(row(case, f"{g} changed in their own (control)", n), ">", 0)
            for g, n in own.items()
        ),
    ]


def of_one_part() -> list[Row]:
    """How far PC-DARTS is from DARTS after some epochs, in all that is trained."""
    expected = _trained(darts)
    same = _apart(_trained(pc_darts, channel_parts=1, **_PLAIN), expected)
    half = _apart(_trained(pc_darts, channel_parts=2, **_PLAIN), expected)
    edges = {**_PLAIN, "normalize_edges": True}
    with_edges = _apart(_trained(pc_darts, channel_parts=1, **edges), expected)
    case = f"PC-DARTS less DARTS, {EPOCHS} epochs"
    return [
        bounded(row(case, "K = 1: largest difference of decisions", same), "<=", 0),
        bounded(row(case, "K = 2 (control)", half), ">", 0),
        row(case, "K = 1, edges normalized", with_edges),
    ]


def _made(module: ModuleType, **options: Any) -> Bilevel:
    dataset = node_graph()
    torch.manual_seed(0)
    made: Bilevel = module.prepare(space_of(dataset.task, "relu"), Batches(dataset), 0, **options)
    return made


def _trained(module: ModuleType, **options: Any) -> dict[str, Tensor]:
    bilevel = _made(module, epochs=EPOCHS, **options)
    for number in range(1, EPOCHS + 1):
        bilevel.epoch(number)
    shares = bilevel.distribution()
    return {name: torch.tensor(row) for name, row in shares.items()}


def _apart(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    return max(float((found[name] - row).abs().max()) for name, row in expected.items())


def _copied(bilevel: Bilevel) -> dict[str, Tensor]:
    """All that is trained, with what optimizers remember of it."""
    return {name: tensor.clone() for name, tensor in bilevel.state_dict().items()}


def _changed(group: str, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> int:
    mine = (f"{group}/", f"of_{group}/")
    return sum(
        name not in before or not torch.equal(before[name], tensor)
        for name, tensor in after.items()
        if name.startswith(mine)
    )
