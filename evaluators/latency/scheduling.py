"""A mistake of torch 2.13's compiler, mended while it compiles.

Before it fuses two loops it may write one of them anew, over the sizes of the other. It then looks
up again what that loop reads, and forgets that a tensor has had another name since sums were added
to it in place. So the loop may come before the sums, and reads the zeros that they begin with. Sums
over edges are made in that way, and no option of the compiler keeps it from this.

The same mend in torch itself: https://github.com/pytorch/pytorch/pull/185873
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_RELEASE = "2.13."


@contextmanager
def sums_first() -> Iterator[None]:
    """What is compiled meanwhile reads sums once they are made; other releases stay as they are."""
    if not torch.__version__.startswith(_RELEASE):
        yield
        return
    from torch._inductor.scheduler import SchedulerNode

    before = SchedulerNode.recompute_size_and_body

    def recomputed(node: SchedulerNode, *args: Any, **options: Any) -> None:
        before(node, *args, **options)
        node.set_read_writes(node.read_writes.rename(node.mutation_renames))

    SchedulerNode.recompute_size_and_body = recomputed  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        SchedulerNode.recompute_size_and_body = before  # type: ignore[method-assign]
