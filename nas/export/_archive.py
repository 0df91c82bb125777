"""What may lie in a program's archive: JSON and raw numbers, or one library; never a pickle.

Files are stored as they are, so that none is larger once it is read (`nas.export._layout`), and the
JSON has nothing that torch would run while it opens it (`nas.export._program`).

`torch.export.load` unpickles, without a filter, whatever an archive declares as a pickled tensor, a
custom object or a sample input that a filtered load refuses. A program that this package writes
has none of these, so an archive that has one is refused before torch opens it.

A compiled program is native code. That nothing in its archive is unpickled, and that it was made
for this kind of machine, is all that can be checked of it.
"""

import io
import json
import math
import platform
import re
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from nas.export._base import BundleError, ElsewhereError, shown
from nas.export._layout import check_layout
from nas.export._program import check_program

_SIGNS = (
    r"archive_format|archive_version|byteorder|\.data/version|\.data/serialization_id"
    r"|\.format_version|\.storage_alignment"
)
_MEMBERS = re.compile(
    r"[^/]+/("
    r"models/model\.json"
    r"|data/weights/(model_weights_config\.json|weight_\d+)"
    r"|data/constants/(model_constants_config\.json|tensor_\d+)"
    r"|data/sample_inputs/model\.pt"
    rf"|{_SIGNS})"
)
_LIBRARY = r"data/aotinductor/model/\w+\.wrapper"
# The second JSON says which of torch's own operations the library calls by name.
_COMPILED = re.compile(rf"[^/]+/({_LIBRARY}\.so|{_LIBRARY}(_metadata)?\.json|{_SIGNS})")
# What zipfile raises of bytes that are none.
_NO_ARCHIVE = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    ArithmeticError,
    OSError,
    EOFError,
    struct.error,
)
_SAMPLE_INPUTS = "data/sample_inputs/model.pt"
_GRAPH = "models/model.json"
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")


def check_archive(path: Path, content: bytes) -> None:
    """Refuse an archive that torch would unpickle something of.

    Args:
        path: what messages call it.
        content: its bytes, which must be the ones that are then given to torch.

    Raises:
        BundleError: it is no archive of a program, holds a file that has no place there, sample
            inputs, a value that is declared as a pickle or larger than its file, or a graph with
            more than operations of torch.
    """
    with _opened(path, content) as archive:
        for name in archive.namelist():
            _check_member(path, archive, name)


def check_compiled(path: Path, content: bytes) -> None:
    """Refuse an archive that is more, or less, than one library for this kind of machine.

    Args:
        path: what messages call it.
        content: its bytes, which must be the ones that are then given to torch.

    Raises:
        BundleError: it is no archive of a compiled program, holds a file that has no place there,
            or is for another kind of machine.
    """
    with _opened(path, content) as archive:
        names = archive.namelist()
        for name in names:
            if not _COMPILED.fullmatch(name):
                raise BundleError(f"{path} holds {shown(name)}, which no compiled network has")
        libraries = [name for name in names if name.endswith(".so")]
        described = [name for name in names if name.endswith("_metadata.json")]
        if len(libraries) != 1 or len(described) != 1:
            raise BundleError(f"{path} holds {len(libraries)} libraries, expected one; not loaded")
        _check_machine(path, archive.read(described[0]))


@contextmanager
def _opened(path: Path, content: bytes) -> Iterator[zipfile.ZipFile]:
    """The archive, each of whose files is there once, in one folder."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            if not names:
                raise zipfile.BadZipFile("it holds no file")
            # Of two members with one name torch may read the other one.
            if len(set(names)) != len(names) or len({n.partition("/")[0] for n in names}) != 1:
                raise BundleError(f"{path} holds a file twice, or two programs; not loaded")
            check_layout(path, content, archive)
            yield archive
    except _NO_ARCHIVE as error:
        raise BundleError(
            f"{path} is not a program of torch.export ({error}); copy the bundle again"
        ) from error


# Instructions that a compiled program may ask for, and whether this processor has them.
_HAS: Mapping[str, Callable[[], bool]] = {
    "AVX2": torch.cpu._is_avx2_supported,
    "AVX512": torch.cpu._is_avx512_supported,
    "AVX512_VNNI": torch.cpu._is_vnni_supported,
    "AMX_TILE": torch.cpu._is_amx_tile_supported,
}


def machine(metadata: Mapping[str, Any]) -> str:
    """The kind of machine that a program was compiled for, in words."""
    words = ("AOTI_PLATFORM", "AOTI_MACHINE", "AOTI_CPU_ISA")
    return " ".join(str(metadata.get(word, "")) for word in words).strip()


def _check_machine(path: Path, content: bytes) -> None:
    try:
        metadata = dict(json.loads(content))
    except (ValueError, TypeError, RecursionError) as error:
        raise BundleError(f"{path}: what it was compiled for cannot be read ({error})") from error
    same = (sys.platform, platform.machine())
    lacks = [
        word
        for word in str(metadata.get("AOTI_CPU_ISA", "")).split()
        if word in _HAS and not _HAS[word]()
    ]
    if (metadata.get("AOTI_PLATFORM"), metadata.get("AOTI_MACHINE")) != same or lacks:
        raise ElsewhereError(
            f"{path} was compiled for {machine(metadata)}; this machine is {' '.join(same)}"
            + (f" without {', '.join(lacks)}" if lacks else "")
            + ". Run model.pt2 beside it, which runs anywhere, or export again on this machine"
        )


def _check_member(path: Path, archive: zipfile.ZipFile, name: str) -> None:
    if not _MEMBERS.fullmatch(name):
        raise BundleError(f"{path} holds {shown(name)}, which no exported network has; not loaded")
    folder, _, inner = name.partition("/")
    if inner == _GRAPH:
        check_program(path, archive.read(name))
    if inner == _SAMPLE_INPUTS and archive.getinfo(name).file_size:
        raise BundleError(f"{path} holds sample inputs, which are a pickle; not loaded")
    if inner in _CONFIGS:
        for key, value in _entries(path, archive.read(name)):
            pickled = not isinstance(value, dict) or value.get("use_pickle") is not False
            if pickled or not _is_payload(value.get("path_name")):
                raise BundleError(
                    f"{path}: {shown(key)} is not declared as raw numbers; not loaded"
                )
            _check_size(path, archive, f"{folder}/{Path(inner).parent}", key, value)


def _check_size(
    path: Path, archive: zipfile.ZipFile, folder: str, key: str, value: dict[str, Any]
) -> None:
    """Whether a tensor has no more numbers than its file has bytes."""
    try:
        size = archive.getinfo(f"{folder}/{value['path_name']}").file_size
        sizes = [each["as_int"] for each in value["tensor_meta"]["sizes"]]
        if all(type(each) is int and each >= 0 for each in sizes) and math.prod(sizes) <= size:
            return
    except (KeyError, TypeError):
        pass
    raise BundleError(f"{path}: {shown(key)} is said to be larger than its file; not loaded")


def _entries(path: Path, content: bytes) -> list[tuple[str, Any]]:
    try:
        value = json.loads(content)
        return list(value["config"].items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{path}: its table of weights cannot be read ({error})") from error


def _is_payload(name: object) -> bool:
    return isinstance(name, str) and re.fullmatch(r"(weight|tensor)_\d+", name) is not None
