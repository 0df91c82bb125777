"""Dropout; of sparse features, on their non-zeros alone: what happens to a zero does not matter."""

from dataclasses import replace

from torch import Tensor, nn

from evaluators.engine.kernels._base import Kernel, Pass
from evaluators.engine.values import Input, Value, head


class Dropout(Kernel):
    """Each element kept with probability 1 - p, and scaled; p is the run's, not the module's."""

    types = (nn.Dropout,)

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        value = head(value, at.field.rows(need))
        if at.draws is None or not at.draws.any:
            return value
        if isinstance(value, Input):
            return self._of_input(at, value)
        return value * self._kept(at, value)

    def _of_input(self, at: Pass, value: Input) -> Input:
        if at.draws is None:
            return value
        sparse, features = value.features.sparse, value.features.columns
        if sparse is not None:
            kept = at.draws.kept(int(sparse.crow[value.rows]), of_input=True)
        else:
            kept = at.draws.kept(value.rows * features, of_input=True)
            kept = kept.view(-1, value.rows, features)
        # Dropped twice: both masks count.
        kept = kept if value.kept is None else kept * value.kept
        rest = None if value.rest is None else value.rest * self._kept(at, value.rest)
        return replace(value, kept=kept, rest=rest)

    def _kept(self, at: Pass, x: Tensor) -> Tensor:
        if at.draws is None:
            raise ValueError("nothing is dropped in evaluation mode")
        kept = at.draws.kept(x.size(1) * x.size(2), of_input=False)
        return kept.view(-1, x.size(1), x.size(2))
