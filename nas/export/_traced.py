"""A network as a program of torch, traced once, for any sizes of graph."""

import warnings
from collections.abc import Mapping

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from nas.export._base import SMALLEST, Contract, ExportFailedError
from nas.export._sample import TRACED, made_up

# What tracing notes about each node; none of it is needed to run, some of it names local files.
_NOTES = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node", "custom")


def traced(network: nn.Module, contract: Contract) -> ExportedProgram:
    """The program of a network, with the numbers of nodes, edges and graphs left open.

    It keeps no tensor that it was traced with, and no path of this machine.

    Raises:
        ExportFailedError: it cannot be traced for all sizes of graph.
    """
    program = with_origin(network, contract)
    _forget_origin(program)
    return program


def with_origin(network: nn.Module, contract: Contract) -> ExportedProgram:
    """The same with all that tracing notes, which compilers look for; not for a file.

    Raises:
        ExportFailedError: it cannot be traced for all sizes of graph.
    """
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
