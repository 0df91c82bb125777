"""The file of a profile: `profile.json` and arrays in one `.npz`, without pickles.

Nothing in it depends on a library's classes: it loads after an upgrade of any of them. It is
replaced as a whole, so that a killed process leaves the one before.
"""

import io
import json
import os
import re
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluators.latency.predictor import Predictor
from evaluators.latency.profiled import Profile, Range
from evaluators.latency.samples import ARRAYS, TIMINGS, Samples, plain
from evaluators.latency.tracing import WORK
from evaluators.latency.values import Device, ProfileError
from evaluators.replacing import replacing
from search_spaces.errors import did_you_mean

__all__ = [
    "FOLDER_VARIABLE",
    "FORMAT",
    "SUFFIX",
    "VERSION",
    "Profile",
    "check_writable",
    "device_name",
    "devices_folder",
    "load_profile",
    "profile_path",
    "save_profile",
]
FORMAT = "gnn-nas latency profile"
VERSION = 1
SUFFIX = ".npz"
FOLDER_VARIABLE = "NAS_DEVICES"
_HEADER = "profile.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESTORE = "restore it, or profile again"
# Entries of a zip without a time of their own: equal profiles are equal files.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    TypeError,
    ValueError,
    NotImplementedError,
)
_Arrays = Mapping[str, NDArray[Any]]


def devices_folder() -> Path:
    """Where profiles lie: $NAS_DEVICES, or `devices` in the working directory."""
    return Path(os.environ.get(FOLDER_VARIABLE) or "devices")


def device_name(name: str) -> str:
    """The name itself, if it can name a device: a file in the folder of devices, no other.

    Raises:
        ProfileError: it cannot.
    """
    if not _NAME.fullmatch(name) or name.endswith(SUFFIX):
        raise ProfileError(
            "expected as the name of a device 1 to 100 letters, digits, dots, dashes or "
            f"underscores, beginning with a letter or digit, without {SUFFIX}, got {name!r}"
        )
    return name


def profile_path(name_or_path: str | Path, folder: Path | None = None) -> Path:
    """The file of a profile, which may not be there: a path as it is, a name in the folder.

    Raises:
        ProfileError: neither the path of an `.npz` file nor a name.
    """
    text = str(name_or_path)
    if text.endswith(SUFFIX):
        return Path(text)
    if not _NAME.fullmatch(text):
        raise ProfileError(
            f"expected the name of a device or the path of its file, which ends in {SUFFIX}, got "
            f"{text!r}"
        )
    return (folder or devices_folder()) / f"{text}{SUFFIX}"


def load_profile(name_or_path: str | Path, folder: Path | None = None) -> Profile:
    """Read a profile: by its path, or by its name from the folder of devices.

    Raises:
        ProfileError: there is none, or the file is damaged, of another format, or of a later
            version of this program.
    """
    path = profile_path(name_or_path, folder)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ProfileError(_missing(path, str(name_or_path))) from None
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from error
    header, arrays = _opened(path, content)
    try:
        return _profile(header, arrays)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ProfileError(
            f"{path} is damaged: what is in it does not fit together; {_RESTORE}"
        ) from error


def check_writable(folder: Path) -> None:
    """Make the folder of a profile, before any time is spent on what goes there.

    Raises:
        ProfileError: it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise _unwritable(folder, error) from error


def save_profile(profile: Profile, path: Path) -> None:
    """Write a profile in place of what is there, all or nothing.

    Raises:
        ProfileError: the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_bytes(_content(profile))
    except OSError as error:
        raise _unwritable(path.parent, error) from error


def _unwritable(folder: Path, error: OSError) -> ProfileError:
    return ProfileError(
        f"the profile cannot be written to {folder}: {error.strerror}; name another folder with "
        f"--devices or {FOLDER_VARIABLE}"
    )


def _missing(path: Path, asked: str) -> str:
    if path == Path(asked):
        return (
            f"there is no profile {path}; make one with: nas latency profile --device NAME, or "
            f"give the name of one in the folder that {FOLDER_VARIABLE} names"
        )
    known = sorted(p.stem for p in path.parent.glob(f"*{SUFFIX}"))
    if not known:
        return (
            f'there is no profile of device "{asked}" in {path.parent}, nor of any other; make one '
            f"with: nas latency profile --device {asked}, or set {FOLDER_VARIABLE} to their folder"
        )
    return (
        f'there is no profile of device "{asked}" in {path.parent}; make one with: nas latency '
        f"profile --device {asked}, or set {FOLDER_VARIABLE} to its folder; "
        f"{did_you_mean(asked, known)}"
    )


def _opened(path: Path, content: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header, checked, and the arrays."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if _HEADER not in archive.namelist():
                raise ProfileError(f"{path} is no profile of a device: it has no {_HEADER}")
            header = json.loads(archive.read(_HEADER))
            _check_format(path, header)
            arrays = {
                name.removesuffix(".npy"): _array(archive.read(name))
                for name in archive.namelist()
                if name.endswith(".npy")
            }
    except _DAMAGE as error:
        raise ProfileError(f"{path} is damaged, cut short or no profile; {_RESTORE}") from error
    return header, arrays


def _check_format(path: Path, header: Any) -> None:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        found = header.get("format") if isinstance(header, dict) else header
        raise ProfileError(f'{path}: expected format "{FORMAT}", got {found!r}')
    version = header.get("version")
    if not isinstance(version, int) or version < 1:
        raise ProfileError(f"{path} is damaged: it has no version; {_RESTORE}")
    if version > VERSION:
        raise ProfileError(
            f"{path} has version {version}, of a later release; this one reads up to {VERSION}: "
            "upgrade, or profile again"
        )
    if tuple(header.get("work", ())) != WORK:
        raise ProfileError(
            f"{path} counts other kinds of work than this release does; profile again"
        )


def _array(content: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    return array


def _content(profile: Profile) -> bytes:
    header = {
        "format": FORMAT,
        "version": VERSION,
        "work": WORK,
        "timings": TIMINGS,
        "device": asdict(profile.device),
        "runtime": profile.runtime,
        "versions": dict(profile.versions),
        "origin": profile.origin,
        "drawn": profile.drawn,
        "metrics": profile.metrics,
        "plan": plain(profile.plan),
        "cases": plain(profile.samples.cases),
    }
    arrays: dict[str, NDArray[Any]] = {
        f"samples/{name}": getattr(profile.samples, name) for name in ARRAYS
    }
    if profile.seen is not None:
        arrays |= {f"seen/{name}": array for name, array in vars(profile.seen).items()}
    for metric, predictor in profile.predictors.items():
        arrays |= {f"{metric}/{name}": array for name, array in predictor.to_arrays().items()}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        text = json.dumps(header, indent=1, allow_nan=False)
        archive.writestr(_entry(_HEADER), text)
        for name, array in arrays.items():
            written = io.BytesIO()
            np.lib.format.write_array(written, np.asarray(array), allow_pickle=False)
            archive.writestr(_entry(f"{name}.npy"), written.getvalue())
    return file.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _profile(header: Mapping[str, Any], arrays: _Arrays) -> Profile:
    if tuple(header["timings"]) != TIMINGS:
        raise ValueError("other timings")
    samples = Samples(tuple(header["cases"]), **_group(arrays, "samples"))
    if {len(getattr(samples, name)) for name in ARRAYS} != {len(samples)}:
        raise ValueError("arrays of samples that differ in length")
    metrics = header["metrics"]
    return Profile(
        device=Device(**header["device"]),
        runtime=header["runtime"],
        plan=header["plan"],
        samples=samples,
        versions=header["versions"],
        predictors={m: Predictor.from_arrays(_group(arrays, m)) for m in metrics},
        seen=Range(**_group(arrays, "seen")) if metrics else None,
        drawn=header["drawn"],
        origin=header["origin"],
    )


def _group(arrays: _Arrays, prefix: str) -> dict[str, NDArray[Any]]:
    start = f"{prefix}/"
    return {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}
