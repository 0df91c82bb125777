"""The ways in which a network can run: `eager`, by PyTorch in Python, or `compiled`.

Compiled is what AOTInductor makes of the exported program: machine code in one file, a package, for
any size of graph, for one number of threads and for processors with the same instructions. It takes
some ten seconds of one core, most of them in the C++ compiler.
"""

import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from evaluators.latency.device import this_device
from evaluators.latency.scheduling import sums_first
from evaluators.latency.values import LatencyError, Runtime
from search_spaces.canonical import digest

# Names and open dimensions of a network's inputs, in their order.
_OPEN: Sequence[tuple[str, Mapping[int, str]]] = (
    ("x", {0: "N"}),
    ("edge_index", {1: "E"}),
    ("graph_ids", {0: "N"}),
    ("graphs", {0: "B"}),
)
_SMALLEST = {"N": 1, "E": 0, "B": 1}
# Sizes to trace with that occur nowhere else in a network.
_NODES, _EDGES, _GRAPHS = 13, 29, 3


def runnable(
    network: nn.Module | Path,
    inputs: Sequence[Tensor],
    runtime: Runtime,
    folder: Path | None = None,
    *,
    threads: int = 1,
) -> Callable[[], Tensor]:
    """One inference over the inputs, as a function to be timed.

    Args:
        network: in evaluation mode, on the same device as the inputs. Or a package of
            `compile_network`, for the runtime compiled.
        inputs: as of `graphs.inputs`.
        runtime: eager or compiled.
        folder: keeps packages, so that the next time nothing is compiled; None keeps none.
        threads: that a compiled program will use; an eager one takes those it finds when it runs.

    Raises:
        LatencyError: it cannot be compiled; see `compile_network`.
    """
    if isinstance(network, Path):
        return _run(load_package(network), inputs)
    if runtime == "eager":
        return _run(network, inputs)
    if folder is not None:
        package = compile_network(network, inputs, folder, threads=threads)
        return _run(load_package(package), inputs)
    with tempfile.TemporaryDirectory(prefix="nas-compiled-") as fleeting:
        package = compile_network(network, inputs, Path(fleeting), threads=threads)
        # The file is not needed once it is loaded.
        return _run(load_package(package), inputs)


def compile_network(
    network: nn.Module, inputs: Sequence[Tensor], folder: Path, *, threads: int = 1
) -> Path:
    """The package of a network; one of the same structure that is in the folder is taken instead.

    Whoever takes one of the same structure may get other weights, which take the same time.

    Args:
        network: in evaluation mode.
        inputs: for their number, widths and device; the package takes any size of graph.
        folder: must exist.
        threads: that the program will use.

    Raises:
        LatencyError: no C++ compiler, or a network that cannot be exported or compiled.
    """
    program = _exported(network, inputs)
    key = _key(program, inputs[0].device.type, threads)
    path = folder / f"{key}.pt2"
    if path.exists():
        return path
    _require_compiler()
    partial = folder / f"{key}-{os.getpid()}.pt2"
    options = {
        "cpp.threads": threads,
        "compile_threads": 1,
        # Debug tables double the size of the package.
        "aot_inductor.enable_line_tables": False,
    }
    with _quiet(), _explained("compiled"), sums_first():
        torch._inductor.aoti_compile_and_package(
            program, package_path=str(partial), inductor_configs=options
        )
    partial.replace(path)
    return path


def load_package(path: Path) -> Callable[..., Tensor]:
    """The program of a package that `compile_network` made on this machine.

    Raises:
        LatencyError: it cannot be loaded.
    """
    with _quiet(), _explained("loaded"):
        program: Callable[..., Tensor] = torch._inductor.aoti_load_package(str(path))
        return program


def _run(program: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with torch.inference_mode():
            return program(*inputs)

    return run


def _exported(network: nn.Module, inputs: Sequence[Tensor]) -> ExportedProgram:
    dims = {letter: Dim(letter, min=least) for letter, least in _SMALLEST.items()}
    shapes = {
        name: {place: dims[letter] for place, letter in sizes.items()}
        for name, sizes in _OPEN[: len(inputs)]
    }
    ring = torch.arange(_EDGES) % _NODES
    traced = (
        torch.rand(_NODES, inputs[0].size(1), generator=torch.Generator().manual_seed(0)),
        torch.stack([ring, (ring + 1) % _NODES]),
        torch.arange(_NODES) * _GRAPHS // _NODES,
        torch.zeros(_GRAPHS, dtype=torch.int64),
    )
    example = tuple(tensor.to(inputs[0].device) for tensor in traced[: len(inputs)])
    with _quiet(), _explained("exported"), torch.no_grad():
        return torch.export.export(network, example, dynamic_shapes=shapes)


def _key(program: ExportedProgram, kind: str, threads: int) -> str:
    """Equal for programs that take the same time: same operations, shapes and machine."""
    tensors = {**program.state_dict, **program.constants}
    return digest(
        {
            "code": program.graph_module.code,
            "tensors": {
                name: [list(one.shape), str(one.dtype)]
                for name, one in tensors.items()
                if isinstance(one, Tensor)
            },
            "machine": this_device(kind="cuda" if kind == "cuda" else "cpu").fingerprint,
            "threads": threads,
            "torch": torch.__version__,
        }
    )


def _require_compiler() -> None:
    name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(name) is None:
        raise LatencyError(
            f'runtime "compiled" needs a C++ compiler, and "{name}" is not on the PATH; install '
            "one (apt install g++), name yours in CXX, or use the runtime eager"
        )


@contextmanager
def _explained(done: str) -> Iterator[None]:
    """A fault boundary: the network is a plug-in's, and compilers have errors of many types."""
    try:
        yield
    except Exception as error:
        raise LatencyError(
            f"the network cannot be {done} for the runtime compiled: {type(error).__name__}: "
            f"{(str(error).strip().splitlines() or [''])[0]}; use the runtime eager"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings that PyTorch's compiler gives to its own developers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
