"""PyTorch's own format: `torch.export`, for any sizes of graph; runs with torch alone.

The program is traced once, with the numbers of nodes, edges and graphs left open. No tensor that it
was traced with is kept, no path of this machine, and nothing in the file is a pickle.
"""

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from nas.export._archive import check_archive
from nas.export._base import SMALLEST, BundleError, Contract, Exporter, ExportFailedError, Runnable
from nas.export._manifest import MODEL
from nas.export._sample import TRACED, made_up

# What tracing notes about each node; none of it is needed to run, some of it names local files.
_NOTES = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node", "custom")


@dataclass(frozen=True)
class Pt2:
    """Writes and opens `model.pt2`."""

    file: str = MODEL

    def write(self, network: nn.Module, contract: Contract, folder: Path) -> list[Path]:
        """Trace the network and save the program.

        Raises:
            ExportFailedError: it cannot be traced for all sizes of graph.
        """
        program = _traced(network, contract)
        _forget_origin(program)
        content = io.BytesIO()
        torch.export.save(program, content)
        path = folder / self.file
        check_archive(path, content.getvalue())
        path.write_bytes(content.getvalue())
        return [path]

    def open(self, folder: Path) -> Runnable:
        """The program as a function of tensors, without gradients.

        Raises:
            BundleError: the file is no such program, or holds a pickle.
        """
        path = folder / self.file
        content = path.read_bytes()
        check_archive(path, content)
        try:
            return torch.export.load(io.BytesIO(content)).module()
        except Exception as error:  # a fault boundary: the file decides what torch trips over
            raise BundleError(
                f"{path}: torch {torch.__version__} cannot load this program ({error}); the "
                "manifest says which version wrote it"
            ) from error


def build() -> Exporter:
    """An exporter of `model.pt2`."""
    return Pt2()


def _traced(network: nn.Module, contract: Contract) -> ExportedProgram:
    dims = {letter: Dim(letter, min=smallest) for letter, smallest in SMALLEST.items()}
    shapes: dict[str, Mapping[int, Dim]] = {
        spec.name: {i: dims[size] for i, size in enumerate(spec.shape) if isinstance(size, str)}
        for spec in contract.inputs
    }
    inputs = made_up(contract, TRACED)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            return torch.export.export(network, inputs, dynamic_shapes=shapes)
    except Exception as error:  # a fault boundary: the network is a plug-in's
        reason = str(error).strip().partition("\n")[0]
        raise ExportFailedError(
            "the network cannot be exported for all sizes of graph: "
            f"{type(error).__name__}: {reason}"
        ) from error


def _forget_origin(program: ExportedProgram) -> None:
    """Drop what says where the program was traced, and on what."""
    program._example_inputs = None
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                for note in _NOTES:
                    node.meta.pop(note, None)
