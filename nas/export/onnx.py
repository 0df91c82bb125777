"""ONNX, for other runtimes and languages: one file that runs with onnxruntime, without torch.

For portability. onnxruntime runs graph networks slower than torch does, by how much is in
docs/bundles.md. It needs `pip install 'gnn-nas[onnx]'` here. The file has no path of this machine
and no note of where it was traced.
"""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nas.export._base import (
    BundleError,
    Contract,
    Exporter,
    ExportError,
    ExportFailedError,
    Runnable,
    Written,
)
from nas.export._parity import NEAR, rounds_activations
from nas.export._quiet import quiet
from nas.export._traced import traced
from search_spaces.extensions.neighborhood import Neighborhood
from search_spaces.sparsity.edges import Scored

# Of the operators; all runtimes that are kept have had it since 2023.
OPSET = 18
_PROVIDERS = ["CPUExecutionProvider"]
_SLOWER = (
    "model.onnx is for portability: onnxruntime takes longer than torch for graphs on CPUs. "
    "Where torch runs, pt2 is faster, and aoti faster still."
)
# Of onnxruntime: fatal errors alone; all others are raised.
_FATAL = 4


@dataclass(frozen=True)
class Onnx:
    """Writes and opens `model.onnx`."""

    file: str = "model.onnx"
    needs: str = "onnxruntime and numpy"
    arrays: Literal["torch", "numpy"] = "numpy"
    reading: str = (
        "import numpy as np\n"
        "import onnxruntime\n"
        'session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])\n'
        "names = [given.name for given in session.get_inputs()]\n"
        "network = lambda *inputs: session.run(None, dict(zip(names, inputs)))[0]"
    )
    tolerance: float = 1e-5

    def check_machine(self) -> None:
        """Refuse to begin where a package is not installed.

        Raises:
            ExportError: it says how it is.
        """
        _check_installed()

    def unfit(self, network: nn.Module) -> str:
        """What sorts edges has no translation."""
        if any(isinstance(module, Neighborhood | Scored) for module in network.modules()):
            return "it chooses edges by sorting them, which ONNX has no stable way to"
        return ""

    def write(
        self,
        network: nn.Module,
        contract: Contract,
        folder: Path,
        sample: tuple[Tensor, ...],  # noqa: ARG002
    ) -> Written:
        """Trace the network, translate the program, check and save it.

        Raises:
            ExportError: a package is not installed; the network cannot be traced for all sizes of
                graph, or has an operation that ONNX has not.
        """
        _check_installed()
        content = _translated(network, contract)
        path = folder / self.file
        path.write_bytes(content)
        mean_tolerance = NEAR if rounds_activations(network) else None
        return Written([path], (_SLOWER,), mean_tolerance=mean_tolerance)

    def open(self, folder: Path) -> Runnable:
        """The program as a function of tensors, by onnxruntime on one thread.

        Raises:
            BundleError: the file is no such program, or onnxruntime cannot run it.
        """
        _check_installed()
        import onnx
        import onnxruntime

        path = folder / self.file
        content = path.read_bytes()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        try:
            _check(onnx.load_model_from_string(content))
            session = onnxruntime.InferenceSession(content, options, providers=_PROVIDERS)
        except Exception as error:  # a fault boundary: the file decides what they trip over
            raise BundleError(
                f"{path}: onnxruntime {onnxruntime.__version__} cannot load this program "
                f"({_first_line(error)}); export the network again"
            ) from error
        return _Session(path, session)


class _Session(nn.Module):
    """A program of tensors, in place of one of arrays; a module, as other programs are."""

    def __init__(self, path: Path, session: Any) -> None:
        super().__init__()
        self.path, self.session = path, session
        self.names = [given.name for given in session.get_inputs()]

    def forward(self, *inputs: Tensor) -> Tensor:
        arrays = [tensor.detach().numpy() for tensor in inputs]
        try:
            (logits,) = self.session.run(None, dict(zip(self.names, arrays, strict=True)))
        except Exception as error:  # a fault boundary: onnxruntime's classes have no other base
            given = zip(self.names, arrays, strict=False)
            sizes = ", ".join(f"{name} {list(array.shape)}" for name, array in given)
            raise BundleError(
                f"{self.path}: onnxruntime fails on {sizes}: {_first_line(error)}"
            ) from error
        return torch.from_numpy(logits)


def _translated(network: nn.Module, contract: Contract) -> bytes:
    """The file."""
    program = traced(network, contract)
    try:
        with quiet(), torch.no_grad():
            translated = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                verbose=False,
                input_names=[spec.name for spec in contract.inputs],
                output_names=[contract.output.name],
            )
            if translated is None:
                raise RuntimeError("torch made no program")
            model = translated.model_proto
            _forget_origin(model)
            _name_sizes(model, contract)
            content: bytes = model.SerializeToString(deterministic=True)
            _check(model)
    except Exception as error:  # a fault boundary: the network is a plug-in's
        raise ExportFailedError(
            f"the network cannot be translated to ONNX: {_cause(error)}; export it with pt2 or aoti"
        ) from error
    return content


def _forget_origin(model: Any) -> None:
    """Drop what was noted of where each operation comes from, and shapes of what is between."""
    model.ClearField("doc_string")
    del model.metadata_props[:]
    for graph in _graphs(model.graph):
        parts = (graph, *graph.node, *graph.initializer, *graph.input, *graph.output)
        for part in parts:
            part.ClearField("doc_string")
            del part.metadata_props[:]
        del graph.value_info[:]


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph and those within its operations."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *[attribute.g] * attribute.HasField("g")):
                yield from _graphs(inner)


def _name_sizes(model: Any, contract: Contract) -> None:
    """Give inputs and output the letters of the contract, in place of those of the trace."""
    specs = (*contract.inputs, contract.output)
    for value, spec in zip((*model.graph.input, *model.graph.output), specs, strict=True):
        dimensions = value.type.tensor_type.shape.dim
        for dimension, size in zip(dimensions, spec.shape, strict=True):
            if isinstance(size, str):
                dimension.dim_param = size


def _check(model: Any) -> None:
    """Refuse what is no program of ONNX's own operators, whole in one file."""
    import onnx

    onnx.checker.check_model(model, full_check=True)
    if other := {each.domain for each in model.opset_import} - {""}:
        raise ValueError(f"it has operators of {', '.join(sorted(other))}")
    tensors = [tensor for graph in _graphs(model.graph) for tensor in graph.initializer]
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors):
        raise ValueError("its weights lie in another file")


def _cause(error: BaseException) -> str:
    """The innermost reason; torch wraps each in a report of many lines."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _check_installed() -> None:
    """Refuse to begin without the packages, which are not installed with this program.

    Raises:
        ExportError: one of them is not there.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise ExportError(
                f"this exporter writes ONNX, and {package} is not installed: "
                "pip install 'gnn-nas[onnx]', or export with pt2 or aoti"
            )


def build() -> Exporter:
    """An exporter of `model.onnx`."""
    return Onnx()
