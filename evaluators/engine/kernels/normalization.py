"""Normalizations, over the columns of a row or over all rows of a column."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evaluators.engine.kernels._base import Kernel, Pass
from evaluators.engine.kernels._site import Site
from evaluators.engine.kernels.activation import stack_of_ones
from evaluators.engine.values import Value, dense, head


class LayerNorm(Kernel):
    """(x - mean) / sqrt(variance + eps) * w + b, over a row's own columns."""

    types = (nn.LayerNorm,)
    minds_padding = True

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:
        return isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1

    @classmethod
    def signature(cls, module: nn.Module) -> str:
        return f"eps={module.eps}, affine={module.elementwise_affine}, bias={_has_bias(module)}"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.eps = float(site.modules[0].eps)  # type: ignore[arg-type]
        names = [name for name in ("weight", "bias") if site.has(name)]
        self.affine = {name: site.vector(name, site.columns) for name in names}
        self._own: Tensor | None = None
        if any(own != size for pieces in site.columns for own, size in pieces):
            self._own = stack_of_ones(site.columns, site.stack)
            self._count = self._own.sum(2, keepdim=True)

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        x = dense(head(value, at.field.rows(need)))
        if self._own is None:
            normalized = F.layer_norm(x, (x.size(2),), eps=self.eps)
        else:
            # Columns beyond are 0, and their gradient has to be.
            x = x * self._own
            centered = (x - x.sum(2, keepdim=True) / self._count) * self._own
            variance = centered.square().sum(2, keepdim=True) / self._count
            normalized = centered * torch.rsqrt(variance + self.eps)
        return _affine(normalized, self.affine)


class BatchNorm(Kernel):
    """(x - mean) / sqrt(variance + eps) * w + b, over all nodes; by running means outside training.

    Sergey Ioffe, Christian Szegedy: Batch Normalization: Accelerating Deep Network Training by
    Reducing Internal Covariate Shift (2015).
    """

    types = (nn.BatchNorm1d,)
    mixes_rows = True

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:
        return (
            isinstance(module, nn.BatchNorm1d)
            and module.track_running_stats
            and module.momentum is not None
        )

    @classmethod
    def signature(cls, module: nn.Module) -> str:
        return f"eps={module.eps}, momentum={module.momentum}, affine={module.affine}"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.eps = float(site.modules[0].eps)  # type: ignore[arg-type]
        self.momentum = float(site.modules[0].momentum)  # type: ignore[arg-type]
        names = ("weight", "bias") if site.has("weight") else ()
        self.affine = {name: site.vector(name, site.columns) for name in names}
        self.mean = site.vector("running_mean", site.columns)
        self.variance = site.vector("running_var", site.columns)
        self.batches = site.stack.whole(site.name("num_batches_tracked"))

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        x = dense(head(value, at.field.rows(need)))
        if not at.training:
            return _affine((x - self.mean) * torch.rsqrt(self.variance + self.eps), self.affine)
        if x.size(1) < 2:
            raise ValueError("expected more than one node to normalize over in training")
        mean = x.mean(1, keepdim=True)
        centered = x - mean
        variance = centered.square().mean(1, keepdim=True)
        self._track(mean.detach(), variance.detach() * (x.size(1) / (x.size(1) - 1)))
        return _affine(centered * torch.rsqrt(variance + self.eps), self.affine)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        self.mean.lerp_(mean.expand_as(self.mean), self.momentum)
        self.variance.lerp_(variance.expand_as(self.variance), self.momentum)
        self.batches += 1


def _affine(x: Tensor, affine: dict[str, Tensor]) -> Tensor:
    if "weight" in affine:
        x = x * affine["weight"]
    return x + affine["bias"] if "bias" in affine else x


def _has_bias(module: nn.Module) -> bool:
    return getattr(module, "bias", None) is not None
