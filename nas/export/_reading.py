"""Reading the manifest of a stranger: of bounded size, as it was written, and by its schema."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nas.export._base import BundleError, shown
from nas.export._manifest import (
    FILE_NAME,
    FORMAT,
    LONGEST_NAME,
    NAME,
    VERSION,
    Manifest,
    manifest_digest,
    text_of,
)

_MOST_BYTES = 2**20


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a bundle.

    Raises:
        BundleError: it is missing, no JSON, of another version, or breaks the schema.
    """
    path = folder / NAME
    text, value = _json(path)
    if value.get("format") != FORMAT:
        raise BundleError(
            f'{path}: expected "format": "{FORMAT}", got {_short(value.get("format"))}'
        )
    if value.get("version") != VERSION or value["version"] is True:
        raise BundleError(
            f"{path}: this program reads bundles of version {VERSION}, this one has version "
            f"{_short(value.get('version'))}; use the gnn-nas that wrote it or export it again"
        )
    if not _is_as_written(text, value) or value.get("digest") != manifest_digest(value):
        raise BundleError(
            f"{path} is damaged or was changed: its digest is not that of what it says; copy the "
            "bundle again"
        )
    try:
        return Manifest.model_validate_json(json.dumps(value))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(_plain, first["loc"])) or "the manifest"
        raise BundleError(f"{path}: {where}: {first['msg']}") from error


def read_text(path: Path, most_bytes: int) -> str:
    """The text of a plain file, as it is: line breaks are not changed.

    Raises:
        BundleError: it is a link, no plain file, or larger than that.
        OSError, ValueError: it is not there, or no text.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise BundleError(f"{path} is not a plain file; copy the whole bundle")
    with path.open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise BundleError(f"{path} is larger than {most_bytes} bytes; no bundle has such a file")
    return content.decode("utf-8")


def _is_as_written(text: str, value: Any) -> bool:
    try:
        return text == text_of(value)
    except (ValueError, RecursionError):
        return False


def _short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}..."


def _plain(part: int | str) -> str:
    """A key of the manifest, or a place in a list; what a stranger wrote there in quotes."""
    text = str(part)
    return text if len(text) <= LONGEST_NAME and FILE_NAME.fullmatch(text) else shown(text)


def _json(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = read_text(path, _MOST_BYTES)
        value = json.loads(text, parse_constant=_no_number)
    except OSError as error:
        raise BundleError(
            f"{path.parent} is not a bundle: {NAME} cannot be read ({error.strerror}); "
            "name the folder that `nas export` wrote"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: expected JSON: {error}") from error
    if not isinstance(value, dict):
        raise BundleError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return text, value


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
