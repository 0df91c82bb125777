"""What may lie in a `model.pt2`: JSON and raw numbers, never a pickle.

`torch.export.load` unpickles, without a filter, whatever an archive declares as a pickled tensor, a
custom object or a sample input that a filtered load refuses. A program that this package writes
has none of these, so an archive that has one is refused before torch opens it.
"""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

from nas.export._base import BundleError

_MEMBERS = re.compile(
    r"[^/]+/("
    r"models/model\.json"
    r"|data/weights/(model_weights_config\.json|weight_\d+)"
    r"|data/constants/(model_constants_config\.json|tensor_\d+)"
    r"|data/sample_inputs/model\.pt"
    r"|archive_format|archive_version|byteorder|\.data/version|\.data/serialization_id"
    r"|\.format_version|\.storage_alignment"
    r")"
)
_SAMPLE_INPUTS = "data/sample_inputs/model.pt"
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")


def check_archive(path: Path, content: bytes) -> None:
    """Refuse an archive that torch would unpickle something of.

    Args:
        path: what messages call it.
        content: its bytes, which must be the ones that are then given to torch.

    Raises:
        BundleError: it is no archive of a program, holds a file that has no place there, sample
            inputs, or a value that is declared as a pickle.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            # Of two members with one name torch may read the other one.
            if len(set(names)) != len(names) or len({n.partition("/")[0] for n in names}) != 1:
                raise BundleError(f"{path} holds a file twice, or two programs; not loaded")
            for name in names:
                _check_member(path, archive, name)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise BundleError(f"{path} is not a program of torch.export: {error}") from error


def _check_member(path: Path, archive: zipfile.ZipFile, name: str) -> None:
    if not _MEMBERS.fullmatch(name):
        raise BundleError(f'{path} holds "{name}", which no exported network has; not loaded')
    inner = name.partition("/")[2]
    if inner == _SAMPLE_INPUTS and archive.getinfo(name).file_size:
        raise BundleError(f"{path} holds sample inputs, which are a pickle; not loaded")
    if inner in _CONFIGS:
        for key, value in _entries(path, archive.read(name)):
            pickled = not isinstance(value, dict) or value.get("use_pickle") is not False
            if pickled or not _is_payload(value.get("path_name")):
                raise BundleError(f'{path}: "{key}" is not declared as raw numbers; not loaded')


def _entries(path: Path, content: bytes) -> list[tuple[str, Any]]:
    try:
        value = json.loads(content)
        return list(value["config"].items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{path}: its table of weights cannot be read ({error})") from error


def _is_payload(name: object) -> bool:
    return isinstance(name, str) and re.fullmatch(r"(weight|tensor)_\d+", name) is not None
