"""PyTorch's own format: `torch.export`, for any sizes of graph; runs with torch alone.

The program is traced once, with the numbers of nodes, edges and graphs left open. No tensor that it
was traced with is kept, no path of this machine, and nothing in the file is a pickle.
"""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from nas.export._archive import check_archive
from nas.export._base import BundleError, Contract, Exporter, Runnable, Written
from nas.export._traced import traced


@dataclass(frozen=True)
class Pt2:
    """Writes and opens `model.pt2`."""

    file: str = "model.pt2"
    needs: str = "torch"
    reading: str = 'import torch\nnetwork = torch.export.load("model.pt2").module()'
    tolerance: float = 1e-5

    def write(
        self,
        network: nn.Module,
        contract: Contract,
        folder: Path,
        sample: tuple[Tensor, ...],  # noqa: ARG002
    ) -> Written:
        """Trace the network and save the program.

        Raises:
            ExportFailedError: it cannot be traced for all sizes of graph.
        """
        content = io.BytesIO()
        torch.export.save(traced(network, contract), content)
        path = folder / self.file
        check_archive(path, content.getvalue())
        path.write_bytes(content.getvalue())
        return Written([path])

    def open(self, folder: Path) -> Runnable:
        """The program as a function of tensors, without gradients.

        Raises:
            BundleError: the file is no such program, or holds a pickle.
        """
        path = folder / self.file
        content = path.read_bytes()
        check_archive(path, content)
        try:
            with _unlogged():
                return torch.export.load(io.BytesIO(content)).module()
        except Exception as error:  # a fault boundary: the file decides what torch trips over
            raise BundleError(
                f"{path}: torch {torch.__version__} cannot load this program ({error}); the "
                "manifest says which version wrote it"
            ) from error


@contextmanager
def _unlogged() -> Iterator[None]:
    """What is raised is not logged as well, with a traceback."""
    logger = logging.getLogger("torch.export")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def build() -> Exporter:
    """An exporter of `model.pt2`."""
    return Pt2()
