"""What the layers of PyTorch Geometric have in common that map to `out_channels`, with a bias."""

from torch import nn

from evaluators.engine.kernels._base import Kernel
from evaluators.engine.kernels._site import Site
from evaluators.engine.stack import Columns, rounded


class Convolution(Kernel):
    """One step of propagation, unless `hops` says otherwise.

    Attributes:
        outs: the columns of each run's output.
    """

    @classmethod
    def hops(cls, module: nn.Module) -> int:  # noqa: ARG003 - some layers know more
        return 1

    @classmethod
    def columns(cls, module: nn.Module, columns: Columns) -> Columns:  # noqa: ARG003 - its input's
        return rounded(int(module.out_channels))  # type: ignore[arg-type]

    @classmethod
    def signature(cls, module: nn.Module) -> str:
        return f"bias={module.bias is not None}"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.outs = site.outs(self.columns)
