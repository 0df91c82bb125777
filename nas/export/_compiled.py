"""Programs compiled to native code by AOTInductor: a shared library in an archive, run by torch.

Tracing leaves what is to be computed; compiling fuses it into loops of C++ for the processor that
compiles. The library runs where torch is, on processors that have the same vector instructions,
without a compiler.
"""

import io
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from evaluators.latency.scheduling import sums_first
from nas.export._archive import check_compiled
from nas.export._base import BundleError, Contract, ExportError, ExportFailedError, Runnable
from nas.export._parity import NEAR, SAME, compare
from nas.export._quiet import quiet
from nas.export._sample import SIZES, made_up

_PREFIX = "compiled"
_SETTINGS: Mapping[str, Any] = {
    # Loops of one thread add to a sum in a fixed order, and without atomic additions: twice as fast
    # a core. Matrix products still take as many threads as torch is given.
    "cpp.threads": 1,
    # What is read once for each edge is computed once for each edge, not again in every column.
    "realize_reads_threshold": 1,
    # No tables of lines and no folders of this machine for debuggers.
    "aot_inductor.enable_line_tables": False,
    "aot_inductor.enable_frame_pointer": False,
}


@dataclass(frozen=True)
class Compiled:
    """What exporters of compiled programs have in common: how they are opened."""

    file: str = "compiled.pt2"
    needs: str = "torch"
    reading: str = (
        'import torch\nnetwork = torch._inductor.aoti_load_package("compiled.pt2")  # native code'
    )

    def check_machine(self) -> None:
        """Refuse to begin without a compiler.

        Raises:
            ExportError: there is none.
        """
        check_compiler()

    def open(self, folder: Path) -> Runnable:
        """The program as a function of tensors, without gradients.

        Raises:
            BundleError: the file is no such program, or is for another kind of machine.
        """
        path = folder / self.file
        content = path.read_bytes()
        check_compiled(path, content)
        try:
            program: Runnable = torch._inductor.aoti_load_package(io.BytesIO(content))
        except Exception as error:  # a fault boundary: the file decides what torch trips over
            raise BundleError(
                f"{path}: torch {torch.__version__} cannot load this program ({error}); run "
                "model.pt2 beside it, or export again on this machine"
            ) from error
        return program


def put(
    exporter: Compiled,
    folder: Path,
    program: ExportedProgram,
    reference: nn.Module,
    contract: Contract,
    *,
    rounds: bool,
    tolerance: float = SAME,
    mean_tolerance: float = NEAR,
    freezing: bool = False,
) -> list[Path]:
    """Compile a program, write it, and compare it with what it is to compute.

    Args:
        reference: computes in plain operations of torch what the program does.
        rounds: whether both round activations on their way; then the mean is bound.
        tolerance: by how much they may differ otherwise, see `compare`.
        mean_tolerance: by how much in the mean.
        freezing: whether weights are laid out for the processor now, as matrix products of integers
            need it. Weights that are converted before a product would be stored as they are after.

    Raises:
        ExportError: there is no compiler, or the program cannot be compiled.
    """
    path = folder / exporter.file
    content = _compiled(program, freezing=freezing)
    check_compiled(path, content)
    path.write_bytes(content)
    graphs = [made_up(contract, size) for size in SIZES]
    limit = mean_tolerance if rounds else tolerance
    try:
        compare(exporter.open(folder), reference, contract, graphs, limit, in_mean=rounds)
    except ExportFailedError as error:
        raise ExportFailedError(
            f"{path.name}, beside the same operations before they were compiled: {error}"
        ) from error
    return [path]


def check_compiler() -> None:
    """Refuse to begin where nothing compiles C++.

    Raises:
        ExportError: there is no compiler.
    """
    from torch._inductor import config

    names = [name for name in config.cpp.cxx if name]
    if not any(shutil.which(name) for name in names):
        raise ExportError(
            f"this exporter compiles C++, and there is no {' or '.join(names)} here: install it "
            "(Debian, Ubuntu: apt install g++; or name a compiler in the environment variable "
            "CXX), or export with pt2, which needs none"
        )


def _compiled(program: ExportedProgram, *, freezing: bool) -> bytes:
    from torch._inductor import aoti_compile_and_package, config

    check_compiler()
    settings = {**_SETTINGS, "freezing": freezing}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{_PREFIX}.pt2"
        try:
            with config.patch(settings), torch.no_grad(), quiet(), sums_first():
                aoti_compile_and_package(program, package_path=str(path))
        except Exception as error:  # a fault boundary: the network is a plug-in's
            reason = str(error).strip().partition("\n")[0]
            raise ExportFailedError(
                f"the network cannot be compiled: {type(error).__name__}: {reason}"
            ) from error
        return _library_alone(path.read_bytes())


def _library_alone(content: bytes) -> bytes:
    """The archive without the sources of the library; equal archives of equal libraries."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            if not name.endswith((".cpp", ".kernel_metadata.json")):
                inner = name.partition("/")[2]
                new.writestr(zipfile.ZipInfo(f"{_PREFIX}/{inner}"), old.read(name))
    return made.getvalue()
